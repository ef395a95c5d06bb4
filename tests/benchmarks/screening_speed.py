"""SMILES to score on one core, against RDKit's parser alone and, if installed, Chemprop.

Run: ``python tests/benchmarks/screening_speed.py [--repeats 3] [--model tox21-w2n2-simple]``
Chemprop is not a dependency; ``pip install -c constraints.txt chemprop 'lightning<2.6'`` brings it.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import warnings
from collections.abc import Callable

from common import interleaved, median_ratio, nci_smiles, one_core
from rdkit import Chem

import molig


def chemprop_job(smiles: list[str]) -> Callable[[], object] | None:
    """Predict with Chemprop as its documentation does: datapoints, data loader, trainer."""
    try:
        import torch
        from chemprop import data, featurizers, models, nn
        from lightning import pytorch as pl
    except ImportError:
        return None
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(0)
    network = models.MPNN(nn.BondMessagePassing(), nn.MeanAggregation(), nn.BinaryClassificationFFN())
    trainer = pl.Trainer(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        devices=1,
    )
    featurizer = featurizers.SimpleMoleculeMolGraphFeaturizer()

    def predict() -> object:
        points = [data.MoleculeDatapoint.from_smi(s) for s in smiles]
        loader = data.build_dataloader(
            data.MoleculeDataset(points, featurizer), batch_size=256, shuffle=False, num_workers=0
        )
        return trainer.predict(network, loader)

    return predict


def main() -> None:
    """Time the jobs in turn and print molecules per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="tox21-w2n2-simple")
    options = parser.parse_args()
    one_core()
    smiles = nci_smiles()
    model = molig.load_model(options.model)
    jobs: dict[str, Callable[[], object]] = {
        "RDKit MolFromSmiles only": lambda: [Chem.MolFromSmiles(s) for s in smiles],
        "molig SMILES to 12 scores": lambda: model.predict_proba(smiles),
    }
    peer = chemprop_job(smiles)
    if peer is not None:
        jobs["Chemprop SMILES to score"] = peer
    seconds = interleaved(jobs, options.repeats)
    for name, times in seconds.items():
        print(f"{name:30s} {len(smiles) / statistics.median(times):10,.0f} molecules/s")
    floor, ours, *others = seconds.values()
    print(f"molig runs at {100 * median_ratio(floor, ours):.0f} % of the parser's speed (aim: at least 15 %)")
    for times in others:
        print(f"molig runs at {median_ratio(times, ours):.1f} times Chemprop's speed (aim: at least 2)")


if __name__ == "__main__":
    main()
