import numpy as np
import pytest

from molig.depiction import PairMatrix, draw_pair_matrix
from molig.depiction.panel import PanelError
from molig.errors import UnknownNameError


def matrix(n: int = 3, **words: object) -> PairMatrix:
    scores = np.add.outer(np.arange(n), np.arange(n)) / 10 - 0.1
    return PairMatrix([f"C{i}" for i in range(n)], scores, np.eye(n, k=1) + np.eye(n, k=-1) > 0, **words)


@pytest.mark.parametrize("n", [1, 3, 150])
def test_maps_of_any_size_are_drawn(n):
    svg = draw_pair_matrix(matrix(n, title="a <b>", unit="logit"))
    assert b"contribution to logit" in svg
    assert b"a &lt;b&gt;" in svg
    assert len(svg) < 150_000
    assert svg == draw_pair_matrix(matrix(n, title="a <b>", unit="logit"))


def test_several_stand_in_a_grid_on_one_scale():
    svg = draw_pair_matrix([matrix(title=f"m{i}") for i in range(4)], note="4 of 9 molecules")
    assert all(f"m{i}".encode() in svg for i in range(4))
    assert svg.count(b"+0.3") == 1
    assert b"4 of 9 molecules" in svg


def test_nothing_is_drawn_white_and_png_is_png():
    nothing = PairMatrix(["C0"], np.zeros((1, 1)), np.zeros((1, 1), bool))
    assert draw_pair_matrix(nothing, kind="png").startswith(b"\x89PNG")


def test_what_does_not_fit_is_named():
    with pytest.raises(
        PanelError, match=r"scores: expected shape \(2, 2\), one row per atom \(got \(3, 3\)\)"
    ):
        PairMatrix(["a", "b"], np.zeros((3, 3)), np.zeros((2, 2), bool))
    with pytest.raises(PanelError, match="finite"):
        PairMatrix(["a"], np.full((1, 1), np.nan), np.zeros((1, 1), bool))
    with pytest.raises(PanelError, match="at least one"):
        draw_pair_matrix([])
    with pytest.raises(UnknownNameError, match="palette"):
        draw_pair_matrix(matrix(), palette="red")
