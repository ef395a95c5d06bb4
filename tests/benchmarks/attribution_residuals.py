"""How well attributions add up: residuals and estimated errors over whole sets of molecules.

Run: ``python tests/benchmarks/attribution_residuals.py [--set nci|tox21|library] [--task SR-MMP|all]
[--target logit] [--tol 0.01] [--limit N]``

``nci`` comes with RDKit; ``tox21`` (the test fifth of the bundled model) and ``library`` (10,000 MOSES
molecules) are read from the directory that MOLIG_DATA_DIR names. Without ``--task`` each molecule is
explained for its highest-scoring task.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from common import nci_smiles, one_core

import molig
from molig.attribution import Explainer
from molig.model import find_model
from molig.molecules import Rejection, smiles_records

MODEL = "tox21-w2n2-simple"
LIBRARY_SIZE = 10_000


def main() -> None:
    """Print the distribution of the residuals, the errors, the evaluations and the speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=["nci", "tox21", "library"], default="nci")
    parser.add_argument("--task")
    parser.add_argument("--target", default="probability")
    parser.add_argument("--tol", type=float, default=0.01)
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    one_core()
    smiles = molecules(options.set)[: options.limit]
    all_tasks = options.task == "all"
    explainer = Explainer(
        molig.load_model(MODEL),
        task=None if all_tasks else options.task,
        target=options.target,
        tol=options.tol,
    )
    start = time.process_time()
    records = smiles_records(smiles)
    results = (
        explainer.explain_all_tasks(records)
        if all_tasks
        else ([e] for e in explainer.explain_records(records))
    )
    scalars = [
        (abs(e.residual), abs(e.score - e.baseline_score), e.error, largest(e), e.n_evaluations, e.converged)
        for found in results
        if not isinstance(found, Rejection)
        for e in found
        if not isinstance(e, Rejection)
    ]
    seconds = time.process_time() - start
    residual, change, error, top, evaluations, converged = np.array(scalars).T
    floor = explainer.tolerance.floor
    print(f"{options.set}, task {options.task or 'highest-scoring'}, {options.target}, tol {options.tol}")
    print(
        f"{len(scalars)} explanations of {len(smiles)} molecules, "
        f"{len(scalars) / seconds:.1f} a second on one core"
    )
    print(f"not converged: {int((converged == 0).sum())}")
    for name, values in (
        (f"residual / max(|F(x)-F(x')|, {floor})", residual / np.maximum(change, floor)),
        (f"estimated error / max(largest attribution, {floor})", error / np.maximum(top, floor)),
        ("evaluations", evaluations),
    ):
        quantiles = ", ".join(f"{q} % {np.percentile(values, q):.2g}" for q in (50, 95, 99, 100))
        print(f"{name}: {quantiles}")


def molecules(name: str) -> list[str]:
    """SMILES of a set."""
    if name == "nci":
        return nci_smiles()
    data = Path(os.environ["MOLIG_DATA_DIR"])
    if name == "library":
        return pd.read_parquet(data / "library_moses_1m.parquet")["smiles"][:LIBRARY_SIZE].tolist()
    split = pd.read_csv(find_model(MODEL) / "split.csv")
    rows = split.loc[split["part"] == "test", "row"] - 1
    return pd.read_parquet(data / "tox21.parquet")["smiles"].iloc[rows].tolist()


def largest(explanation: molig.Explanation) -> float:
    """Largest attribution of a single feature."""
    parts = explanation.atom_attributions, explanation.pair_attributions
    return max(float(np.abs(part).max(initial=0)) for part in parts)


if __name__ == "__main__":
    main()
