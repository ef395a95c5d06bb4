"""Explanations a second, as ratios to Captum (50 steps) within one run, on one core.

Run: ``python tests/benchmarks/attribution_speed.py [--tol 0.01 --tol 0.05] [--peer SCRIPT]
[--peer-python PYTHON] [--json FILE]``

Captum explains the same network, one molecule a call. Errors of single attributions, as shares of the largest
of a molecule, are against 512 even secant panels in double precision. With ``--peer`` another script is run
before and after,
which must write its rates as JSON to the file that the environment variable PEERS_OUT names.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import captum
import numpy as np
import torch
from attribution_errors import largest, reference
from captum.attr import IntegratedGradients
from common import interleaved, median_ratio, nci_smiles, one_core

import molig
from molig.attribution import Explainer, Target
from molig.model import ScreeningModel
from molig.molecules import Molecule, smiles_records
from molig.network import collate
from molig.secant.weave import entry_matrix

TASK = "SR-ARE"
STEPS = 50
PEER_RATE = "D.denseweave_IG50_one_mol_per_call_ibs50"
PEER_RESIDUALS = "D.completeness.denseweave"


def main() -> None:
    """Print rates, ratios and residuals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--molecules", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tol", type=float, action="append", help="several; the first is compared most")
    parser.add_argument("--peer", help="Script of a peer; gets the argument 'weave'.")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    one_core()
    tols = options.tol or [0.01, 0.05]
    model = molig.load_model("tox21-w2n2-simple")
    smiles = nci_smiles()
    many = smiles[:: len(smiles) // options.molecules][: options.molecules]
    few, fewest = many[::4], many[::16]
    by_tol = {tol: Explainer(model, task=TASK, tol=tol) for tol in tols}
    one = by_tol[tols[0]]
    each = [Explainer(model, task=task, tol=tols[0]) for task in model.tasks]
    parsed, _ = model.parser.parse_many(list(smiles_records(fewest)))
    peer = [_peer(options.peer, options.peer_python)] if options.peer else []
    jobs: dict[str, Callable[[], object]] = {
        f"tol {tol}": partial(explained, explainer, many) for tol, explainer in by_tol.items()
    }
    seconds = interleaved(
        jobs
        | {
            "all tasks": lambda: list(one.explain_all_tasks(smiles_records(few))),
            "each task": lambda: [explained(e, few) for e in each],
            "captum": lambda: [captum_explains(model, m) for m in parsed],
        },
        options.repeats,
    )
    if options.peer:
        peer.append(_peer(options.peer, options.peer_python))
    exact = [exactly(model, m) for m in parsed]
    theirs = [captum_explains(model, m) for m in parsed]
    result: dict[str, object] = {
        "captum": {
            "molecules/s": len(fewest) / statistics.median(seconds["captum"]),
            "residual, median and max": spread([residual for _, residual in theirs]),
            "error, median and max": spread(errors([found for found, _ in theirs], exact)),
        }
    }
    for tol, explainer in by_tol.items():
        name = f"tol {tol}"
        found = explained(explainer, many)
        rate = len(many) / statistics.median(seconds[name])
        result[name] = {
            "molecules/s": rate,
            "ratio to captum (same network)": median_ratio(seconds["captum"], seconds[name])
            * (len(many) / len(fewest)),
            "ratio to peer": statistics.mean(rate / p[0] for p in peer) if peer else None,
            "residual, median and max": spread(
                [abs(e.residual) / max(abs(e.score - e.baseline_score), 1e-12) for e in found]
            ),
            "error, median and max": spread(errors([flat(e) for e in explained(explainer, fewest)], exact)),
            "evaluations": statistics.mean(e.n_evaluations for e in found),
        }
    result |= {
        "all tasks / mean of one task": median_ratio(seconds["all tasks"], seconds["each task"])
        * len(model.tasks),
        "peer molecules/s": [p[0] for p in peer],
        "peer residual, median and max": peer[0][1] if peer else None,
        "versions": {"torch": torch.__version__, "captum": captum.__version__, "molig": molig.__version__},
        "machine": f"{platform.machine()}, one core",
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


def explained(explainer: Explainer, smiles: list[str]) -> list[molig.Explanation]:
    """Explanations of all molecules."""
    found = explainer.explain_records(smiles_records(smiles))
    return [e for e in found if isinstance(e, molig.Explanation)]


def flat(explanation: molig.Explanation) -> np.ndarray:
    """Attributions of atoms' features, then of pairs'."""
    return np.concatenate([explanation.atom_attributions.ravel(), explanation.pair_attributions.ravel()])


def exactly(model: ScreeningModel, molecule: Molecule) -> np.ndarray:
    """The reference."""
    target = Target.of(None, model.objective)
    return reference(model.double(), model.featurize([molecule.mol]), model.task_index(TASK), target)


def errors(found: list[np.ndarray], exact: list[np.ndarray]) -> list[float]:
    """The largest error in each molecule, as a share of its largest attribution."""
    return [largest(a - b) / max(largest(b), 1e-12) for a, b in zip(found, exact, strict=True)]


def spread(values: list[float]) -> list[float]:
    """Median and maximum."""
    return [float(np.median(values)), max(values)]


def captum_explains(model: ScreeningModel, molecule: Molecule) -> tuple[np.ndarray, float]:
    """Captum's attributions of one molecule, by 50 Gauss-Legendre steps, and their relative residual."""
    graphs = model.featurize([molecule.mol])
    task = model.task_index(TASK)
    one = collate(graphs, model.schema, fold=False)
    batches = {}

    def forward(atoms: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
        n = len(atoms)
        if n not in batches:
            batches[n] = collate(graphs.select(np.zeros(n, dtype=int)), model.schema, fold=False)
        batch = replace(batches[n], atom_inputs=atoms.flatten(0, 1), pair_inputs=pairs.flatten(0, 1))
        return model.network(batch)[:, task].sigmoid()

    inputs = one.atom_inputs[None], one.pair_inputs[None]
    zeros = tuple(torch.zeros_like(x) for x in inputs)
    found = IntegratedGradients(forward).attribute(inputs, zeros, n_steps=STEPS, internal_batch_size=STEPS)
    with torch.no_grad():
        change = float(forward(*inputs) - forward(*zeros))
    entries = [
        x[0].double() @ entry_matrix(model.schema, level)
        for x, level in zip(found, ("atom", "pair"), strict=True)
    ]
    attributions = torch.cat([x.ravel() for x in entries]).numpy()
    return attributions, abs(float(attributions.sum()) - change) / max(abs(change), 1e-12)


def _peer(script: str, python: str) -> tuple[float, list[float]]:
    """Molecules a second of CPU time, and the median and largest relative residual, of another program."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "peer.json"
        environment = {**os.environ, "PEERS_OUT": str(out)}
        subprocess.run([python, script, "weave"], env=environment, check=True, stdout=sys.stderr)
        found = json.loads(out.read_text())
    errors = found[PEER_RESIDUALS][f"gausslegendre@{STEPS}"]
    return found[PEER_RATE]["mol_per_cpu_s"], [errors["rel_median"], errors["rel_max"]]


if __name__ == "__main__":
    main()
