"""Feature store to score on one core, against RDKit's parser over the same molecules; bytes per molecule.

Run: ``python tests/benchmarks/store_speed.py [--repeats 3] [--molecules 5000] [--model NAME ...]``
The molecules are drawn from the data set library_moses_1m in ``MOLIG_DATA_DIR``, or come with RDKit.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
from common import interleaved, nci_smiles, one_core
from rdkit import Chem

import molig
from molig.files import markdown_table
from molig.model import ScreeningModel
from molig.molecules import smiles_records
from molig.molecules.records import Records, batched
from molig.screening import FeatureStore, ScreeningOptions, prepare, screen

MODELS = ("tox21-w2n2-simple", "tox21-w1n2-simple", "descriptors", "tox21", "hiv")
BATCH = 512
JOBS = ("features", "scores", "coarse", "hits", "SMILES")


def drawn(n: int) -> list[str]:
    """SMILES of a screening library."""
    folder = os.environ.get("MOLIG_DATA_DIR")
    path = Path(folder or "") / "library_moses_1m.parquet"
    smiles = (
        pq.read_table(path, columns=["smiles"])["smiles"].to_pylist() if folder and path.is_file() else None
    )
    found = smiles or nci_smiles()
    return random.Random(0).sample(found, min(n, len(found)))


def features(path: Path, model: ScreeningModel) -> Callable[[], object]:
    """Open a store, read the rows and features that a model needs, and do nothing with them."""

    def run() -> None:
        store = FeatureStore(path)
        fed = store.feed(model)
        for records in batched(store.records(), BATCH):
            molecules, _ = fed.parser.parse_many(records)
            fed.features_of(molecules)

    return run


def scores(path: Path, model: ScreeningModel) -> Callable[[], object]:
    """Open a store and score its rows."""

    def run() -> None:
        store = FeatureStore(path)
        fed = store.feed(model)
        for records in batched(store.records(), BATCH):
            molecules, _ = fed.parser.parse_many(records)
            fed.score_molecules(molecules)

    return run


def of_smiles(smiles: list[str], model: ScreeningModel) -> Callable[[], object]:
    """Score the same molecules from their SMILES."""

    def run() -> None:
        for records in batched(smiles_records(smiles), BATCH):
            molecules, _ = model.parser.parse_many(records)
            model.score_molecules(molecules)

    return run


def main() -> None:
    """Print, for each model, speeds as multiples of the parser's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--molecules", type=int, default=5000)
    parser.add_argument("--model", action="append")
    options = parser.parse_args()
    one_core()
    smiles = drawn(options.molecules)
    rows = []
    with TemporaryDirectory() as folder:
        for name in options.model or MODELS:
            model = molig.load_model(name)
            assert isinstance(model, ScreeningModel)
            path = Path(folder) / name
            info = prepare(Records(smiles_records(smiles)), path, [model.info])
            chosen = ScreeningOptions(jobs=1, rank_by=model.tasks[0])
            to_file = {"output": Path(folder) / "hits.csv", "options": chosen}
            seconds = interleaved(
                {
                    "parser": lambda: [Chem.MolFromSmiles(s) for s in smiles],
                    # Whatever comes after the parser waits for the memory that it has given back.
                    "nothing": features(path, model),
                    "features": features(path, model),
                    "scores": scores(path, model),
                    "coarse": scores(path, model.in_bfloat16()),
                    "hits": lambda path=path, model=model, to_file=to_file: screen(path, model, **to_file),
                    "SMILES": of_smiles(smiles, model),
                },
                options.repeats,
            )
            best = {job: min(times) for job, times in seconds.items()}
            ratios = [f"{best['parser'] / best[job]:.2f}" for job in JOBS]
            rows.append([name, f"{info.bytes_per_molecule:.0f}", *ratios])
    header = [
        "model",
        "bytes a molecule",
        "store -> features",
        "store -> scores",
        "the same in bfloat16",
        "store -> hits.csv",
        "SMILES -> scores",
    ]
    print(
        f"{len(smiles):,} molecules on one core; speeds as multiples of MolFromSmiles alone (best of each)\n"
    )
    print("\n".join(markdown_table(header, rows, "lr")))


if __name__ == "__main__":
    main()
