"""The table of methods side by side."""

import numpy as np
import pandas as pd
import pytest

from molig.benchmark import GroundTruth, ModelQuality, compare, ground_truth_sets
from molig.benchmark.compare import COLUMNS, model_quality, number, to_markdown
from molig.benchmark.published import published_figures
from molig.errors import UsageError
from molig.model import Objective


@pytest.fixture
def truth():
    truths = (np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([[0.0, 0.0]]))

    def make(name):
        return GroundTruth(
            ground_truth_sets()[name],
            ("a", "b", "c"),
            ("FCC", "CF", "CC"),
            np.array([1.0, 1.0, 0.0]),
            np.array(["test"] * 3),
            truths,
        )

    return make


def scores(sign=1.0):
    return [sign * np.array([3.0, 2.0, 1.0]), sign * np.array([0.0, 1.0]), np.zeros(2)]


def test_one_row_per_metric_and_method(truth):
    found = compare(truth("N"), {"IG": scores(), "wrong": scores(-1)}, ModelQuality("r2", 0.9))
    assert list(found.columns) == COLUMNS
    assert found[["method", "metric", "value", "n_molecules"]].to_numpy().tolist() == [
        ["IG", "top_n", 1.0, 2],
        ["wrong", "top_n", 0.0, 2],
        ["IG", "attribution_auroc", 1.0, 2],
        ["wrong", "attribution_auroc", 0.0, 2],
    ]
    assert found["published_best"].isna().all()


def test_published_figures_stand_beside(truth):
    found = compare(truth("logic7"), {"IG": scores()}, ModelQuality("roc_auc", 0.99)).iloc[0]
    figures = published_figures("logic7")
    assert (found["published_best"], found["published_ig"]) == (figures.best, figures.ig)


def test_errors_name_method_and_set(truth):
    with pytest.raises(UsageError, match=r"method 'IG' on logic7: molecule 0 .*shape \(3,\)"):
        compare(truth("logic7"), {"IG": [np.zeros(2)] * 3}, ModelQuality("r2", 1.0))
    with pytest.raises(UsageError, match="at least one method"):
        compare(truth("logic7"), {}, ModelQuality("r2", 1.0))


def test_markdown_joins_sets_in_order(truth):
    frame = pd.concat(
        [
            compare(truth("N"), {"IG": scores()}, ModelQuality("r2", 0.95)),
            compare(
                truth("logic7"), {"occlusion|x": scores(-1), "IG": scores()}, ModelQuality("roc_auc", 1.0)
            ),
        ]
    )
    assert to_markdown(frame, digits=2).splitlines() == [
        "| task | metric | molecules | IG | occlusion\\|x | model | published IG | published best |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
        "| N | top-n | 2 | 1.00 [1.00, 1.00] |  | R2 0.95 |  |  |",
        "| N | attribution AUROC | 2 | 1.00 [1.00, 1.00] |  | R2 0.95 |  |  |",
        "| logic7 | attribution AUROC | 2 | 1.00 [1.00, 1.00] | 0.00 [0.00, 0.00] | AUC 1.00 | 0.78 | 0.78 |",
        "| logic7 | Jaccard index (GEA) | 2 | 0.75 [0.50, 1.00] | 0.00 [0.00, 0.00] | AUC 1.00 |  |  |",
    ]
    assert to_markdown(frame) == to_markdown(frame)


def test_frames_that_are_no_comparison_are_refused(truth):
    frame = compare(truth("logic7"), {"IG": scores()}, ModelQuality("roc_auc", 1.0))
    with pytest.raises(UsageError, match="no column 'low'"):
        to_markdown(frame.drop(columns="low"))
    with pytest.raises(UsageError, match="two values for 'IG' by attribution_auroc on logic7"):
        to_markdown(pd.concat([frame, frame]))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.99996, "0.999"), (1.0, "1.000"), (-0.0001, "0.000"), (-0.25, "-0.250"), (np.nan, "")],
)
def test_numbers_are_never_rounded_up_to_perfect(value, text):
    assert number(value, 3) == text


def test_model_quality_is_auc_or_r2():
    targets = np.array([0.0, 1.0, 1.0])
    ranked = model_quality(Objective.CLASSIFICATION, targets, np.array([0.1, 0.2, 0.05]))
    assert ranked == ModelQuality("roc_auc", 0.5)
    assert model_quality(Objective.REGRESSION, targets, targets * 0 + 2 / 3).value == pytest.approx(0.0)
    assert np.isnan(model_quality(Objective.CLASSIFICATION, np.ones(2), np.ones(2)).value)
    with pytest.raises(UsageError, match="expected"):
        model_quality(Objective.REGRESSION, targets, np.zeros(2))
