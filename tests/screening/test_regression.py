"""Screening with values: any number, ranked from the highest down."""

import copy

import numpy as np
import pandas as pd
import pytest

from molig.errors import UsageError
from molig.model import ScreeningModel
from molig.screening import ScreeningOptions, screen

SMILES = ["CCO", "CCCCCCCCCCCC", "bad(", "c1ccccc1", "Brc1ccc(Br)cc1Br", "C", "CCO"]


@pytest.fixture
def below_zero(small_regression) -> ScreeningModel:
    """A model whose values are all negative, and large."""
    network = copy.deepcopy(small_regression.network)
    network.last.bias.data -= 1e4
    return ScreeningModel(small_regression.info, network)


@pytest.mark.parametrize("top_k", [None, 3])
def test_values_are_written_and_ranked_from_the_highest(small_regression, tmp_path, top_k):
    result = screen(
        SMILES,
        small_regression,
        output=tmp_path / "hits.csv",
        options=ScreeningOptions(task="mass", top_k=top_k),
    )
    hits = pd.read_csv(tmp_path / "hits.csv")
    assert (result.n_scored, result.n_rejected) == (6, 1)
    scores = small_regression.predict(SMILES).scores[:, small_regression.task_index("mass")]
    np.testing.assert_allclose(hits["mass"], scores[hits["row"] - 1], rtol=1e-5)
    assert scores[np.isfinite(scores)].max() > 1  # no probabilities
    for row, rank in zip(hits["row"], hits["rank"], strict=True):
        assert rank == 1 + (scores > scores[row - 1] + 1e-4).sum()
    if top_k:
        assert hits["rank"].tolist() == sorted(hits["rank"])
        assert len(hits) == top_k


def test_negative_values_keep_their_order(below_zero):
    hits = screen(SMILES, below_zero, task="mass").hits
    assert (hits["mass"] < 0).all()
    expected = hits["mass"].rank(ascending=False, method="min").astype(int)
    assert hits["rank"].tolist() == expected.tolist()


def test_values_of_several_tasks_are_not_ranked_together(small_regression):
    with pytest.raises(
        UsageError, match=r"cannot be ranked together; choose one by task .'nitrogens', 'mass'., or .*'all'"
    ):
        screen(SMILES, small_regression)
