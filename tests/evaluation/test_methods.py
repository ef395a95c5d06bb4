"""Scores of a fold, to a file and back."""

import numpy as np
import pytest

from molig.errors import InputError, OutputError
from molig.evaluation.methods import FoldScores

LABELS = np.array([[1.0, np.nan], [0.0, 1.0], [np.nan, 0.0]])
SCORES = np.array([[0.5, np.nan], [-1.5, np.nan], [3.0, np.nan]])


def fold(**more) -> FoldScores:
    return FoldScores(np.array([1, 5, 9]), LABELS, SCORES, **more)


@pytest.mark.parametrize("more", [{}, {"probabilities": SCORES / 4, "baseline": SCORES / 8, "seconds": 2.5}])
def test_round_trip(tmp_path, more):
    path = tmp_path / "fold-1" / "method.npz"
    fold(**more).save(path)
    found = FoldScores.load(path)
    for name in ("rows", "labels", "scores", "probabilities", "baseline", "seconds"):
        expected = getattr(fold(**more), name)
        if expected is None:
            assert getattr(found, name) is None
        else:
            np.testing.assert_array_equal(getattr(found, name), expected)
    assert found.scores.dtype == np.float64
    assert [p.name for p in path.parent.iterdir()] == ["method.npz"]


@pytest.mark.parametrize("damage", ["empty", "cut", "garbled", "text", "pickle", "other arrays"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, damage):
    path = tmp_path / "method.npz"
    fold().save(path)
    content = path.read_bytes()
    if damage == "pickle":
        np.savez(path, rows=np.array([{}], dtype=object))
    elif damage == "other arrays":
        np.savez(path, rows=np.zeros(3))
    else:
        garbled = bytearray(content)
        garbled[45:90] = bytes(45)
        path.write_bytes(
            {"garbled": garbled, "empty": b"", "cut": content[: len(content) // 2], "text": b"no archive"}[
                damage
            ]
        )
    with pytest.raises(InputError, match=r"method\.npz is damaged: .*; delete it to compute it again"):
        FoldScores.load(path)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "fold-1").touch()
    with pytest.raises(OutputError, match="cannot write"):
        fold().save(tmp_path / "fold-1" / "method.npz")
