"""Which baseline explains a Chemprop network rightly, judged on networks that were trained on rules.

    python tests/benchmarks/foreign_baselines.py --sets choosing --out choosing.json
    python tests/benchmarks/foreign_baselines.py --sets reporting --out docs/results/attribution/...json

A network of Chemprop's default size learns each set; of test molecules that it scores above 0.5 and that are
active, explanations with every baseline are compared with the truth (attribution AUROC, the best of the valid
alternatives). The default was chosen on the sets of `choosing`. Needs MOLIG_DATA_DIR and Chemprop.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem

sys.path.insert(0, str(Path(__file__).parents[1]))

from foreign.chemprop_models import real_chemprop, save
from sklearn.metrics import roc_auc_score

from molig.attribution import Explainer
from molig.benchmark.ground_truth import ground_truth_sets, read_ground_truth
from molig.benchmark.metrics import attribution_auroc
from molig.benchmark.rules import read_rule_set, rule_groups
from molig.foreign import load_chemprop
from molig.molecules import Record

BASELINES = ("zero", "neutral", "mean", "library", "compound:CCCCCC", "compound:c1ccccc1")
PUBLISHED = {"choosing": ("logic7",), "reporting": ("benzene", "logic10")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", choices=tuple(PUBLISHED), required=True)
    parser.add_argument("--train", type=int, default=4000, help="molecules")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("-n", type=int, default=150, help="molecules explained")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    results: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    for name in (*PUBLISHED[given.sets], *rule_groups()[given.sets]):
        if name not in results:
            results[name] = judged(name, given)
            print(json.dumps({name: results[name]}), flush=True)
            given.out.write_text(json.dumps(results, indent=1) + "\n")


def judged(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Mean attribution AUROC of every baseline and score, on a network trained for the set."""
    truth = (read_ground_truth if name in ground_truth_sets() else read_rule_set)(name)
    rng = np.random.default_rng(0)
    train = np.flatnonzero(truth.parts == "train")
    train = rng.permutation(train)[: given.train]
    test = np.flatnonzero(truth.parts == "test")
    started = time.process_time()
    file = given.out.with_suffix(f".{name}.pt")
    if not file.exists():
        save(trained(truth, train.tolist(), given.epochs), file, ["label"])
    seconds = time.process_time() - started
    model = load_chemprop(file)
    scores = model.predict([truth.smiles[i] for i in test]).scores[:, 0]
    known = np.isfinite(scores)
    found: dict[str, Any] = {"auc": round(float(roc_auc_score(truth.targets[test][known], scores[known])), 4)}
    found["seconds of training"] = round(seconds)
    right = test[known & (scores > 0.5) & (truth.targets[test] == 1)]
    chosen = rng.permutation(right)[: given.n].tolist()
    found["explained"] = len(chosen)
    for baseline in BASELINES:
        for target in ("probability", "logit"):
            found[f"{baseline}, {target}"] = mean_auroc(truth, model, chosen, baseline, target)
    return found


def trained(truth: Any, rows: list[int], epochs: int) -> Any:
    """A network of Chemprop's default size, trained as its command line does."""
    chemprop = real_chemprop()
    from chemprop.data import MoleculeDatapoint, MoleculeDataset, build_dataloader
    from lightning import pytorch

    pytorch.seed_everything(0, verbose=False)
    points = [
        MoleculeDatapoint(Chem.MolFromSmiles(truth.smiles[i]), np.array([truth.targets[i]])) for i in rows
    ]
    nn = chemprop.nn
    network = chemprop.models.MPNN(
        nn.BondMessagePassing(), nn.NormAggregation(), nn.BinaryClassificationFFN(), batch_norm=False
    )
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pytorch.Trainer(max_epochs=epochs, accelerator="cpu", enable_checkpointing=False, **quiet)
    loader = build_dataloader(MoleculeDataset(points), batch_size=64, num_workers=0)
    trainer.fit(network, loader)
    return network.eval()


def mean_auroc(truth: Any, model: Any, rows: list[int], baseline: str, target: str) -> float:
    explainer = Explainer(model, task="label", baseline=baseline, target=target)
    records = [Record(i, "", truth.smiles[i]) for i in rows]
    values = [
        attribution_auroc(truth.truths[row], explanation.atom_scores)
        for row, explanation in zip(rows, explainer.explain_records(records), strict=True)
    ]
    return round(float(np.nanmean(values)), 4)


if __name__ == "__main__":
    main()
