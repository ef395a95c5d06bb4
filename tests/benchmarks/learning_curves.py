"""How much a small table teaches: members of the default committee, with starting weights and without.

Random parts of the training part of the largest targets of MoleculeACE, judged on the published test part::

    MOLIG_DATA_DIR=... python tests/benchmarks/learning_curves.py --out curves.csv

Prints means over targets and draws of the RMSE; an existing file is gone on with.
"""

from __future__ import annotations

import argparse
import os
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

from molig.model import Objective
from molig.training import TrainingRequest, read_recipe, train_model
from molig.training.recipe import DEFAULT_RECIPE, SplitKind, StartRecipe, find_recipe

SIZES = (100, 300, 1000, 3000)
TARGETS = 3
# So many of each draw validate.
VALIDATION = 0.1


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    whole = pd.read_parquet(Path(os.environ["MOLIG_DATA_DIR"]) / "moleculeace_30.parquet")
    largest = whole.loc[whole["split"] == "train", "dataset"].value_counts().index[:TARGETS]
    done = pd.read_csv(options.out) if options.out.exists() else pd.DataFrame()
    for size, target, draw, start in product(SIZES, largest, range(options.draws), ("", "descriptors")):
        key = {"rows": size, "target": target, "draw": draw, "start": start or "random weights"}
        if len(done) and (done[list(key)] == pd.Series(key)).all(axis=1).any():
            continue
        figures = trained(whole[whole["dataset"] == target], size, draw, start)
        print(key, figures, file=sys.stderr, flush=True)
        done = pd.concat([done, pd.DataFrame([key | figures])], ignore_index=True)
        done.to_csv(options.out, index=False)
    means = done.drop(columns=["target", "draw"]).groupby(["rows", "start"]).mean().round(3)
    print(means.to_string())


def trained(table: pd.DataFrame, size: int, draw: int, start: str) -> dict[str, float]:
    """RMSE of the committee and its members on the test part, learnt from a draw of the training part."""
    rng = np.random.default_rng(draw)
    training, test = (table[table["split"] == part] for part in ("train", "test"))
    drawn = training.iloc[rng.permutation(len(training))[:size]].copy()
    drawn["split"] = np.where(np.arange(len(drawn)) < VALIDATION * len(drawn), "validation", "train")
    recipe = read_recipe(find_recipe(DEFAULT_RECIPE))
    split = recipe.split.model_copy(update={"kind": SplitKind.GIVEN, "column": "split"})
    optimization = recipe.optimization.model_copy(
        update={"learning_rate": recipe.optimization.learning_rate * (1 if start else 2)}
    )
    changes = {"objective": Objective.REGRESSION, "split": split, "optimization": optimization}
    with TemporaryDirectory() as folder:
        source = Path(folder) / "table.csv"
        pd.concat([drawn, test])[["smiles", "pActivity", "split"]].to_csv(source, index=False)
        request = TrainingRequest(
            source,
            Path(folder) / "model",
            ("pActivity",),
            recipe.model_copy(update=changes | {"start": StartRecipe(model=start)}),
            device="cpu",
        )
        info = train_model(request).info
    found = {member.name: member.figures["rmse"] for member in info.committee.members}
    return found | {"committee": info.metrics["test"]["pActivity"].rmse}


if __name__ == "__main__":
    main()
