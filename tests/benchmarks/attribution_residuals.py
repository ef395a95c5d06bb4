"""How well attributions add up: residuals over the NCI molecules.

Run: ``python tests/benchmarks/attribution_residuals.py [--task SR-MMP] [--tol 0.01] [--limit N]``
Without ``--task`` each molecule is explained for its highest-scoring task.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from common import nci_smiles, one_core

import molig
from molig.attribution import Explainer
from molig.molecules import Rejection, smiles_records

FLOOR = 0.01  # that of molig.explain


def main() -> None:
    """Print the distribution of the residuals, the evaluations and the speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tox21-w2n2-simple")
    parser.add_argument("--task")
    parser.add_argument("--target", default="probability")
    parser.add_argument("--tol", type=float, default=0.01)
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    one_core()
    smiles = nci_smiles()[: options.limit]
    explainer = Explainer(
        molig.load_model(options.model), task=options.task, target=options.target, tol=options.tol
    )
    start = time.process_time()
    found = [e for e in explainer.explain_records(smiles_records(smiles)) if not isinstance(e, Rejection)]
    seconds = time.process_time() - start
    change = np.array([abs(e.score - e.baseline_score) for e in found])
    residual = np.abs([e.residual for e in found])
    relative = residual / np.maximum(change, FLOOR)
    evaluations = np.array([e.n_evaluations for e in found])
    print(
        f"{len(found)} of {len(smiles)} molecules explained, {len(found) / seconds:.1f} a second on one core"
    )
    print(f"not converged: {sum(not e.converged for e in found)}")
    for name, values in ((f"residual / max(|F(x)-F(x')|, {FLOOR})", relative), ("residual", residual)):
        quantiles = ", ".join(f"{q} % {np.percentile(values, q):.2e}" for q in (50, 95, 99, 100))
        print(f"{name}: {quantiles}")
    print(f"smallest |F(x)-F(x')| {change.min():.4f}; evaluations: median {np.median(evaluations):.0f}, "
          f"99 % {np.percentile(evaluations, 99):.0f}, largest {evaluations.max()}")  # fmt: skip


if __name__ == "__main__":
    main()
