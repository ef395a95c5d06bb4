"""Errors of single attributions, against a fine reference in double precision.

Run: ``python tests/benchmarks/attribution_errors.py [--molecules 100] [--tol 0.01] [--json FILE]``

The reference sums secant shares over 1,000 even panels (their error falls with the square of the width); for
the first molecule it is compared with 20,000 midpoints of the plain gradient by automatic differentiation.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from common import nci_smiles, one_core

import molig
from molig.attribution import Explainer, Explanation, Target
from molig.model import ScreeningModel
from molig.molecules import smiles_records
from molig.secant import Panels

PANELS = 1_000
MIDPOINTS = 20_000
CHUNK = 250
GRADIENT_CHECKS = 1


def main() -> None:
    """Print the distribution of the largest error of each molecule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--molecules", type=int, default=100)
    parser.add_argument("--tol", type=float, action="append")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    one_core()
    tols = options.tol or [0.01, 0.001, 0.0001]
    model = molig.load_model("tox21-w2n2-simple")
    double = model.double()
    smiles = nci_smiles()
    smiles = smiles[:: len(smiles) // options.molecules][: options.molecules]
    found = {tol: list(Explainer(model, tol=tol).explain_records(smiles_records(smiles))) for tol in tols}
    errors: dict[float, list[float]] = {tol: [] for tol in tols}
    estimates: dict[float, list[float]] = {tol: [] for tol in tols}
    checks = []
    for i in range(len(smiles)):
        first = found[tols[0]][i]
        if not isinstance(first, Explanation):
            continue
        exact = reference(double, first)
        if len(checks) < GRADIENT_CHECKS:
            checks.append(float(np.abs(exact - midpoints(double, first)).max() / np.abs(exact).max()))
        for tol in tols:
            why = found[tol][i]
            flat = np.concatenate([why.atom_attributions.ravel(), why.pair_attributions.ravel()])
            errors[tol].append(float(np.abs(flat - exact).max() / np.abs(exact).max()))
            estimates[tol].append(why.error / float(np.abs(exact).max()))
        print(f"{i + 1} of {len(smiles)}", end="\r", file=sys.stderr)
    result = {
        "molecules": len(errors[tols[0]]),
        "panels of the reference": PANELS,
        "midpoints of the gradient": MIDPOINTS,
        "reference against midpoints of the gradient, largest difference": checks,
        "largest error of a feature, as a share of the molecule's largest attribution": {
            str(tol): {
                **{f"{q} %": float(np.percentile(errors[tol], q)) for q in (50, 90, 99, 100)},
                "share of molecules within the estimate": float(
                    np.mean(np.array(errors[tol]) <= estimates[tol])
                ),
                "mean evaluations": float(np.mean([e.n_evaluations for e in found[tol]])),
                "not converged": sum(not e.converged for e in found[tol]),
            }
            for tol in tols
        },
        "versions": {"molig": molig.__version__, "torch": torch.__version__},
    }
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def reference(model: ScreeningModel, why: Explanation) -> np.ndarray:
    """Attributions of an explanation's task by secant shares on even panels, flat: atoms, then pairs."""
    graphs = model.featurize([why.mol])
    task = model.task_index(why.task)
    relaxed = model.relax(graphs)
    total = np.zeros(why.atom_attributions.size + why.pair_attributions.size)
    for start in range(0, PANELS, CHUNK):
        trail = relaxed.trail()
        outputs = trail.visit(np.zeros(CHUNK + 1, dtype=int), np.arange(start, start + CHUNK + 1) / PANELS)
        left = np.arange(CHUNK)
        atoms, pairs = trail.share(Panels(left, left + 1, np.full(CHUNK, task)))
        slopes = Target(why.target).slope(outputs[:-1, task], outputs[1:, task])
        for rows, part in (
            (atoms, slice(0, why.atom_attributions.size)),
            (pairs, slice(why.atom_attributions.size, None)),
        ):
            total[part] += slopes @ rows.reshape(CHUNK, -1)
    return total


def midpoints(model: ScreeningModel, why: Explanation) -> np.ndarray:
    """The same by midpoints of the gradient."""
    relaxed = model.relax(model.featurize([why.mol]))
    task = model.task_index(why.task)
    total = np.zeros(why.atom_attributions.size + why.pair_attributions.size)
    for start in range(0, MIDPOINTS, CHUNK):
        places = (np.arange(start, start + CHUNK) + 0.5) / MIDPOINTS
        found = relaxed.densities(np.zeros(CHUNK, dtype=int), places, np.full(CHUNK, task))
        slopes = Target(why.target).slope(found.values, found.values)
        for slope, atom, pair in zip(slopes, found.atoms, found.pairs, strict=True):
            total += slope * np.concatenate([atom.ravel(), pair.ravel()]) / MIDPOINTS
    return total


if __name__ == "__main__":
    main()
