"""Scoring with a Chemprop network: molig against Chemprop in one run, on one core, from SMILES to scores.

    python tests/benchmarks/foreign_speed.py -n 1000 --repeats 3

Chemprop runs its Python featurizer and data loader, in batches of 64, as its command line has, and of 256;
the network is Chemprop's default (width 300, depth 3) with 12 tasks. With --admet also the ten networks of
ADMET-AI, against the package's own `predict` without its physicochemical properties and percentiles.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem, rdBase

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import interleaved, nci_smiles, one_core
from foreign.chemprop_models import Kind, build, real_chemprop, save

from molig.foreign import load_admet_ai, load_chemprop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("-r", "--repeats", type=int, default=3)
    parser.add_argument("--admet", action="store_true")
    given = parser.parse_args()
    one_core()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    smiles = nci_smiles()[: given.n]
    real_chemprop()
    kind = Kind(
        "BinaryClassificationFFN",
        passing={"d_h": 300},
        predictor={"n_tasks": 12, "hidden_dim": 300, "n_layers": 1},
    )
    model = build(kind)
    with tempfile.TemporaryDirectory() as folder:
        ours = load_chemprop(save(model, Path(folder) / "model.pt"))
    runs: dict[str, Callable[[], np.ndarray]] = {
        "molig": lambda: ours.predict(smiles).scores,
        "chemprop, 64": lambda: theirs(model, smiles, 64),
        "chemprop, 256": lambda: theirs(model, smiles, 256),
    }
    if given.admet:
        admet, package = load_admet_ai(), admet_package()
        runs |= {"molig, ADMET-AI": lambda: admet.predict(smiles).scores, "ADMET-AI": lambda: package(smiles)}
    found = {name: run() for name, run in runs.items()}
    for name, seconds in interleaved(runs, given.repeats).items():
        per_thousand = 1000 * statistics.median(seconds) / len(smiles)
        print(f"{name:18s} {per_thousand:8.3f} s per 1,000 molecules (CPU, median of {len(seconds)})")
    for mine, other in (("molig", "chemprop, 64"), ("molig, ADMET-AI", "ADMET-AI")):
        if other in found:
            print(f"{mine} - {other}: at most {np.abs(found[mine] - found[other]).max():.1e}")


def theirs(model: Any, smiles: list[str], batch_size: int) -> np.ndarray:
    """Chemprop's own way from SMILES to scores, without Lightning's overhead of a trainer."""
    from chemprop.data import MoleculeDatapoint, MoleculeDataset, build_dataloader

    with rdBase.BlockLogs(), torch.inference_mode():
        data = MoleculeDataset([MoleculeDatapoint(Chem.MolFromSmiles(s)) for s in smiles])
        loader = build_dataloader(data, batch_size=batch_size, shuffle=False)
        return torch.cat([model(batch.bmg) for batch in loader]).numpy()


def admet_package() -> Callable[[list[str]], np.ndarray]:
    """The package's predictions, quietly."""
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        from admet_ai import ADMETModel

        package = ADMETModel(include_physchem=False, drugbank_path=None, num_workers=0)

    def run(smiles: list[str]) -> np.ndarray:
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            return package.predict(smiles).to_numpy()

    return run


if __name__ == "__main__":
    main()
