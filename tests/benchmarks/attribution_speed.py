"""Explanations a second, as ratios to Captum (50 steps) within one run, on one core.

Run: ``python tests/benchmarks/attribution_speed.py [--tol 0.01] [--peer SCRIPT --peer-python PYTHON]
[--json FILE]``

Captum explains the same network, one molecule a call. With ``--peer`` another script is run before and after,
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
from dataclasses import replace
from pathlib import Path

import captum
import numpy as np
import torch
from captum.attr import IntegratedGradients
from common import interleaved, median_ratio, nci_smiles, one_core

import molig
from molig.attribution import Explainer
from molig.model import ScreeningModel
from molig.molecules import Molecule, smiles_records
from molig.network import collate

TASK = "SR-ARE"
STEPS = 50
PEER_RATE = "D.denseweave_IG50_one_mol_per_call_ibs50"
PEER_RESIDUALS = "D.completeness.denseweave"


def main() -> None:
    """Print rates, ratios and residuals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--molecules", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tol", type=float, default=0.01)
    parser.add_argument("--peer", help="Script of a peer; gets the argument 'weave'.")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    one_core()
    model = molig.load_model("tox21-w2n2-simple")
    smiles = nci_smiles()
    many = smiles[:: len(smiles) // options.molecules][: options.molecules]
    few, fewest = many[::4], many[::16]
    one = Explainer(model, task=TASK, tol=options.tol)
    each = [Explainer(model, task=task, tol=options.tol) for task in model.tasks]
    parsed, _ = model.parser.parse_many(list(smiles_records(fewest)))
    peer = [_peer(options.peer, options.peer_python)] if options.peer else []
    seconds = interleaved(
        {
            "one task": lambda: list(one.explain_records(smiles_records(many))),
            "all tasks": lambda: list(one.explain_all_tasks(smiles_records(few))),
            "each task": lambda: [list(e.explain_records(smiles_records(few))) for e in each],
            "captum": lambda: [captum_explains(model, m) for m in parsed],
        },
        options.repeats,
    )
    if options.peer:
        peer.append(_peer(options.peer, options.peer_python))
    rate = {name: statistics.median(seconds[name]) for name in seconds}
    per_molecule = {
        "one task": rate["one task"] / len(many),
        "captum": rate["captum"] / len(fewest),
    }
    found = [e for e in one.explain_records(smiles_records(many)) if isinstance(e, molig.Explanation)]
    ours = [abs(e.residual) / max(abs(e.score - e.baseline_score), 1e-12) for e in found]
    theirs = [captum_explains(model, m) for m in parsed]
    result = {
        "molig molecules/s": 1 / per_molecule["one task"],
        "captum molecules/s (same network)": 1 / per_molecule["captum"],
        "ratio to captum (same network)": median_ratio(seconds["captum"], seconds["one task"])
        * len(many)
        / len(fewest),
        "molig residual, median and max": [float(np.median(ours)), max(ours)],
        "captum residual, median and max": [float(np.median(theirs)), max(theirs)],
        "all tasks / mean of one task": median_ratio(seconds["all tasks"], seconds["each task"])
        * len(model.tasks),
        "peer molecules/s": [p[0] for p in peer],
        "ratio to peer": statistics.mean(1 / per_molecule["one task"] / p[0] for p in peer) if peer else None,
        "peer residual, median and max": peer[0][1] if peer else None,
        "versions": {"torch": torch.__version__, "captum": captum.__version__, "molig": molig.__version__},
        "machine": f"{platform.machine()}, one core",
    }
    for name, value in result.items():
        print(f"{name}: {value}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def captum_explains(model: ScreeningModel, molecule: Molecule) -> float:
    """Relative residual of Captum's attributions of one molecule, by 50 Gauss-Legendre steps."""
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
    return abs(float(sum(x.double().sum() for x in found)) - change) / max(abs(change), 1e-12)


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
