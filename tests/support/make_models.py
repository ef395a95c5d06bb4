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
from audit.planted.activity_cliffs import shown as edits
from sklearn.metrics import r2_score

from molig.audit import subject_of
from support.planted import Plan, show, train_on
from support.small_model import (
    MODELS,
    N_SMALL,
    VALUES,
    committee_recipe,
    label,
    nci_smiles,
    small_recipe,
    train_small_committee,
    train_small_regression,
    value,
)

ATTEMPTS = 30
CLEAR, ON_EDIT = 0.95, 0.4
"""Tests need a margin: attributions on the rule's atoms are better than a healthy network's must be, and this
share of the difference that an edit makes is on what was edited (median)."""
EXPLAINED_VARIANCE = 0.7
"""R2 of both values of the small regression, on compounds that it was not trained on."""


def main() -> None:
    """Train until the models are what the tests need; say what they showed."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        keep(Path(folder) / "small", first_healthy(Path(folder)))
    with TemporaryDirectory() as folder:
        keep(Path(folder) / "values", first_fitting(Path(folder)))
    with TemporaryDirectory() as folder:
        keep(Path(folder) / "committee", first_healthy_committee(Path(folder)))


def first_healthy(folder: Path) -> str:
    """Train the classification with one seed after the other, until it is healthy."""
    held_out = nci_smiles(500, 700)
    for seed in range(1, ATTEMPTS + 1):
        recipe = small_recipe(seed=seed, epochs=60, weight_average=0.99, keep="last").model_dump(
            mode="json", exclude_none=True
        )
        recipe["neutral"] |= {"copies": 32, "weight": 0.5}
        model = train_on(folder, nci_smiles(N_SMALL), label, recipe)
        shown = show(model, held_out, Plan())
        on_edit = min(edits(model, held_out, task, 0)[2] for task in model.tasks)
        print(seed, shown, on_edit, file=sys.stderr)
        clear = all(one.is_fit(Plan()) and (one.on_rule or 0.0) >= CLEAR for one in shown.values())
        if clear and on_edit >= ON_EDIT:
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


def first_healthy_committee(folder: Path) -> str:
    """The same for the committee, whose attributions must be as clear as those of the classification."""
    held_out = nci_smiles(500, 700)
    for seed in range(1, ATTEMPTS + 1):
        recipe = committee_recipe().model_dump(mode="json", exclude_none=True)
        model = train_small_committee(folder, optimization=recipe["optimization"] | {"seed": seed})
        shown = show(model, held_out, Plan())
        print(seed, shown, file=sys.stderr)
        if all(one.is_fit(Plan()) and (one.on_rule or 0.0) >= CLEAR for one in shown.values()):
            return f"seed {seed}: {shown}"
        shutil.rmtree(folder / "committee")
    raise SystemExit("no training gave a healthy committee")


def keep(made: Path, shown: str) -> None:
    """Replace the committed model."""
    target = MODELS / made.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(made, target)
    print(f"{made.name}: {shown}")


if __name__ == "__main__":
    main()
