"""Training epochs on one core, molecules featurized beforehand: molig against Chemprop, if installed.

Run: ``python tests/benchmarks/training_speed.py [--repeats 3] [--out FILE]``
Both networks have their usual widths and batch sizes; molig's epoch includes its zero-feature copies.
``--batch`` changes molig's batch, ``--hidden 200 50`` its fully connected layers.
Chemprop is not a dependency; ``pip install -c constraints.txt chemprop 'lightning<2.6'`` brings it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import interleaved, median_ratio, nci_smiles, one_core
from rdkit import Chem

from molig.features import Featurizer
from molig.training import Recipe
from molig.training.loop import Part, Trainer, TrainingRun


def molig_job(smiles: list[str], labels: np.ndarray, batch: int, hidden: list[int]) -> Callable[[], object]:
    """One epoch of molig's own trainer."""
    recipe = Recipe()
    recipe = recipe.model_copy(
        update={
            "network": recipe.network.model_copy(update={"hidden": tuple(hidden), "size_exponent": 0.5}),
            "optimization": recipe.optimization.model_copy(update={"batch_size": batch, "epochs": 100}),
        }
    )
    schema = recipe.features.schema_()
    graphs = Featurizer(schema).featurize([Chem.MolFromSmiles(s) for s in smiles])
    part = Part(graphs, labels)
    trainer = Trainer(
        TrainingRun(
            recipe,
            schema,
            ("active",),
            train=part,
            validation=part,
            device=torch.device("cpu"),
            fingerprint="",
        )
    )
    return trainer.run_epoch


def chemprop_job(smiles: list[str], labels: np.ndarray) -> Callable[[], object] | None:
    """One epoch as Chemprop's documentation does it, molecule graphs cached."""
    try:
        from chemprop import data, featurizers, models, nn
        from lightning import pytorch as pl
    except ImportError:
        return None
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    network = models.MPNN(nn.BondMessagePassing(), nn.MeanAggregation(), nn.BinaryClassificationFFN())
    points = [data.MoleculeDatapoint(Chem.MolFromSmiles(s), y) for s, y in zip(smiles, labels, strict=True)]
    dataset = data.MoleculeDataset(points, featurizers.SimpleMoleculeMolGraphFeaturizer())
    dataset.cache = True
    loader = data.build_dataloader(dataset, batch_size=64, shuffle=True, num_workers=0)

    def train() -> object:
        trainer = pl.Trainer(
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
            devices=1,
            max_epochs=1,
        )
        return trainer.fit(network, loader)

    return train


def main() -> None:
    """Time the epochs in turn and print molecules per second and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--hidden", type=int, nargs="+", default=[2000, 100])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    one_core()
    torch.manual_seed(0)
    smiles = nci_smiles()[::3][:1600]
    labels = np.random.default_rng(0).integers(0, 2, (len(smiles), 1)).astype(np.float64)
    jobs = {"molig": molig_job(smiles, labels, options.batch, options.hidden)}
    peer = chemprop_job(smiles, labels)
    if peer is not None:
        jobs["Chemprop"] = peer
    seconds = interleaved(jobs, options.repeats)
    found = {name: len(smiles) / statistics.median(times) for name, times in seconds.items()}
    for name, speed in found.items():
        print(f"{name:10s} {speed:8,.0f} molecules/s of processor time")
    if peer is not None:
        found["ratio"] = median_ratio(seconds["Chemprop"], seconds["molig"])
        print(f"molig trains {found['ratio']:.2f} times as fast as Chemprop (aim: at least 2)")
    if options.out:
        found |= {"batch": options.batch, "hidden": options.hidden, "torch": torch.__version__}
        found |= {"processors": os.cpu_count()}
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
