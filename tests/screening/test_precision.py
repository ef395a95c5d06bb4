"""Scores whose largest product is made in bfloat16: near those in single precision, and never by accident."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_model import nci_smiles

from molig.errors import UsageError
from molig.foreign import load_models
from molig.model import load_model
from molig.screening import ScreeningOptions, screen

NAME = "tox21-w2n2-simple"
SMILES = nci_smiles(120, start=300)


@pytest.fixture(scope="module")
def model():
    return load_model(NAME)


def scores(model, **options) -> np.ndarray:
    hits = screen(SMILES, model, options=ScreeningOptions(task="SR-MMP", **options)).hits
    return hits["SR-MMP"].to_numpy()


def test_scores_are_near_and_order_is_kept(model):
    exact, coarse = scores(model), scores(model, precision="bfloat16")
    assert 0 < np.abs(exact - coarse).max() < 0.02
    assert np.corrcoef(exact, coarse)[0, 1] > 0.9999
    assert np.array_equal(scores(model), exact), "the model itself is as it was"


def test_tables_do_not_depend_on_stages(model):
    one, two = (scores(model, precision="bfloat16", two_stages=stages) for stages in (False, True))
    assert np.array_equal(one, two)


def test_models_side_by_side():
    both = load_models([NAME, "tox21-w1n2-simple"], "cpu")
    column = f"{NAME}:SR-MMP"
    asked = {"task": [column]}
    exact, coarse = (
        screen(SMILES[:20], both, options=ScreeningOptions(precision=precision, **asked)).hits[column]
        for precision in ("float32", "bfloat16")
    )
    assert 0 < np.abs(exact - coarse).max() < 0.02


def test_other_precisions_are_refused(model):
    with pytest.raises(UsageError, match=r"precision must be float32 or bfloat16 \(got 'int8'\)"):
        scores(model, precision="int8")
