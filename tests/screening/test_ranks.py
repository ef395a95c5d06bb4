"""Ranks of a stream: those that pandas gives to the whole column."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.screening.hits import RankRuns

# Few different values, so that most of them are tied; single precision, as scores are kept.
SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1, width=32), min_size=1, max_size=60)


def pandas_ranks(scores: list[float]) -> list[int]:
    return pd.Series(scores, dtype="float32").rank(method="min", ascending=False).astype(int).tolist()


def ranks(parts: list[list[float]], run_length: int) -> list[int]:
    with TemporaryDirectory() as directory:
        runs = RankRuns(Path(directory), run_length=run_length)
        for part in parts:
            runs.add(part)
        return runs.ranks([score for part in parts for score in part]).tolist()


@given(SCORES, st.integers(1, 70), st.integers(1, 20))
def test_ranks_are_those_of_pandas_whatever_the_runs(scores, run_length, part):
    parts = [scores[i : i + part] for i in range(0, len(scores), part)]
    assert ranks(parts, run_length) == pandas_ranks(scores)


def test_ties_share_the_best_rank_and_the_next_rank_is_skipped():
    assert ranks([[0.5, 0.9, 0.5, 0.1]], run_length=2) == [2, 1, 2, 4]


def test_scores_that_differ_beyond_single_precision_are_tied():
    assert ranks([[0.3, 0.3 + 1e-12]], run_length=10) == [1, 1]


@pytest.mark.parametrize("n_runs", [1, 3, 10])
def test_one_file_of_four_bytes_per_score_is_kept_for_every_run(tmp_path, n_runs):
    runs = RankRuns(tmp_path, run_length=1000)
    for _ in range(n_runs):
        runs.add(np.linspace(0, 1, 1000).tolist())
    assert runs.ranks([1.0, 0.0]).tolist() == [1, 1 + 999 * n_runs]
    files = list(tmp_path.iterdir())
    assert len(files) == n_runs
    assert all(4000 <= file.stat().st_size < 4300 for file in files)


def test_ranks_can_be_asked_for_in_pieces_and_for_scores_never_seen(tmp_path):
    runs = RankRuns(tmp_path)
    runs.add([0.2, 0.4, 0.6])
    assert runs.ranks([0.6]).tolist() == [1]
    assert runs.ranks([0.5, 0.7, 0.0]).tolist() == [2, 1, 4]
