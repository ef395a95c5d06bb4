"""Train the small models of the tests, to a criterion, and put them into ``tests/support/models``.

Weights depend on the processor that finds them; read from a file they are the same everywhere::

    PYTHONPATH=tests python tests/support/make_models.py
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sklearn.metrics import r2_score

from molig.audit import subject_of
from support.planted import Plan, show
from support.small_model import (
    MODELS,
    N_SMALL,
    VALUES,
    nci_smiles,
    train_small_model,
    train_small_regression,
    value,
)

ATTEMPTS = 20
EXPLAINED_VARIANCE = 0.7
"""R2 of both values of the small regression, on compounds that it was not trained on."""


def main() -> None:
    """Train until the models are what the tests need; say what they showed."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        keep(Path(folder) / "small", first_healthy(Path(folder)))
    with TemporaryDirectory() as folder:
        keep(Path(folder) / "values", first_fitting(Path(folder)))


def first_healthy(folder: Path) -> str:
    """Train the classification with one seed after the other, until it is healthy."""
    held_out = nci_smiles(500, 700)
    for seed in range(1, ATTEMPTS + 1):
        model = train_small_model(folder, N_SMALL, seed=seed, epochs=60, weight_average=0.99, keep="last")
        shown = show(model, held_out, Plan())
        print(seed, shown, file=sys.stderr)
        if all(one.is_fit(Plan()) for one in shown.values()):
            return f"seed {seed}: {shown}"
        shutil.rmtree(folder / "small")
    raise SystemExit("no training gave a healthy network")


def first_fitting(folder: Path) -> str:
    """The same for the regression."""
    held_out = nci_smiles(300, 400)
    truth = np.array([[value(one)[name] for name in VALUES] for one in held_out])
    for seed in range(1, ATTEMPTS + 1):
        model = train_small_regression(
            folder, optimization={"seed": seed, "epochs": 40, "batch_size": 16, "learning_rate": 2e-2}
        )
        found = r2_score(truth, subject_of(model, held_out).scores, multioutput="raw_values")
        print(seed, found, file=sys.stderr)
        if found.min() >= EXPLAINED_VARIANCE:
            return f"seed {seed}: R2 {json.dumps(found.round(3).tolist())}"
        shutil.rmtree(folder / "values")
    raise SystemExit("no training gave a regression that fits")


def keep(made: Path, shown: str) -> None:
    """Replace the committed model."""
    target = MODELS / made.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(made, target)
    print(f"{made.name}: {shown}")


if __name__ == "__main__":
    main()
