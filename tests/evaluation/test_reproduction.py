"""Figures of a card beside those of now: what counts as the same."""

import json
import math

import pytest

from molig.evaluation import HeldOut, write_reproduction
from molig.evaluation.held_out import MEDIAN, FigureDifference, figure_differences
from molig.model import BaselineScore
from molig.stats import RankingQuality


def metrics(**figures):
    return RankingQuality(**({"roc_auc": 0.8, "pr_auc": 0.5, "n_actives": 10, "n_inactives": 90} | figures))


@pytest.mark.parametrize(
    ("stated", "now", "same"),
    [
        (0.8, 0.8049, True),
        (0.8, 0.806, False),
        (0.8, 0.794, False),
        (0.0, 0.006, False),
        (20.0, 20.09, True),
        (20.0, 19.8, False),
        (1000, 1004, True),
        (10, 11, False),
        (0.8, math.nan, False),
    ],
)
def test_tolerance(stated, now, same):
    pair = FigureDifference("a", "ef_1", stated, now)
    assert pair.is_reproduced == same
    assert pair.relative == math.inf or pair.relative == pytest.approx(abs(now - stated) / max(1, stated))


def test_what_is_stated_is_compared():
    then = {"a": metrics(ef_1=20.0, brier=0.1), "b": metrics(roc_auc=None)}
    now = {"a": metrics(ef_1=18.0, brier=0.1, bedroc=0.3), "b": metrics(roc_auc=0.7)}
    zero = {"a": BaselineScore(median=0.01, max=0.02, share_neutral=1.0)}
    found = {(p.task, p.figure): p for p in figure_differences(then, now, zero, zero)}
    figures = ["roc_auc", "pr_auc", "ef_1", "brier", "n_actives", "n_inactives"]
    zeros = ["baseline_median", "baseline_max", "baseline_share_neutral"]
    medians = ["roc_auc", "pr_auc", "ef_1", "brier"]
    assert [figure for task, figure in found if task == "a"] == [*figures, *zeros]
    assert [figure for task, figure in found if task == "b"] == ["pr_auc", "n_actives", "n_inactives"]
    assert [figure for task, figure in found if task == MEDIAN] == medians
    assert {key for key, pair in found.items() if not pair.is_reproduced} == {("a", "ef_1"), (MEDIAN, "ef_1")}


def test_a_figure_that_can_no_longer_be_told_differs():
    found = HeldOut("test", {"a": metrics(roc_auc=None)}, {"a": metrics()}, same_table=False)
    assert [(pair.figure, pair.relative) for pair in found.not_reproduced] == [("roc_auc", math.inf)]
    assert not found.is_reproduced
    assert found.largest_difference == math.inf
    assert HeldOut("test", {}, {"a": metrics()}, same_table=True).not_reproduced


def test_the_farthest_comes_first():
    then, now = metrics(ef_1=20.0), metrics(ef_1=19.0, roc_auc=0.7)
    found = HeldOut("test", {"a": now}, {"a": then}, same_table=True)
    assert [pair.figure for pair in found.not_reproduced] == ["roc_auc", "ef_1"]
    assert found.largest_difference == pytest.approx(0.1)


def test_files_of_another_table_and_of_no_card(tmp_path):
    then, now = {"a": metrics()}, {"a": metrics(roc_auc=None, pr_auc=0.7)}
    found = HeldOut("test", now, then, same_table=False)
    paths = write_reproduction(found, tmp_path, model="m", table="t.csv", command="molig evaluate -m m")
    assert [path.name for path in paths] == ["reproduction.json", "reproduction.md"]
    written = json.loads(paths[0].read_text())
    assert written["reproduced"] is False
    assert [(one["now"], one["difference"]) for one in written["figures"][:2]] == [(None, None), (0.7, 0.2)]
    text = paths[1].read_text()
    assert "`t.csv`, which is not the table that the model was trained with. 2 of 4 figures are not" in text
    assert "| a | ROC-AUC | 0.80000 | n/a | n/a | differs |" in text
    assert "| a | actives | 10 | 10 | +0.00000 |  |" in text
    assert "Made by `molig evaluate -m m`; molig " in text
    write_reproduction(HeldOut("test", now, {}, True), tmp_path, model="m", table="t.csv")
    assert json.loads(paths[0].read_text())["reproduced"] is None
    assert "The card states no figures of this part." in paths[1].read_text()
