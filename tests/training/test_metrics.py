"""ROC-AUC and PR-AUC against their definitions by counting."""

import numpy as np
import pytest

from molig.training.metrics import all_task_metrics, median_auc, task_metrics


def test_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    labels, scores = (rng.random(60) < 0.3).astype(float), np.round(rng.random(60), 1)
    active, inactive = scores[labels == 1], scores[labels == 0]
    pairs = (active[:, None] > inactive) + 0.5 * (active[:, None] == inactive)
    assert task_metrics(labels, scores).roc_auc == pytest.approx(pairs.mean())


def test_missing_labels_do_not_count():
    found = task_metrics(np.array([1, 0, np.nan, 0]), np.array([0.9, 0.1, 5, 0.2]))
    assert (found.roc_auc, found.pr_auc, found.n_actives, found.n_inactives) == (1.0, 1.0, 1, 2)


def test_one_class_has_no_auc():
    found = task_metrics(np.array([1, 1, np.nan]), np.zeros(3))
    assert found.roc_auc is None
    assert found.pr_auc is None


def test_median_leaves_out_tasks_without_auc():
    labels = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 0]], dtype=float)
    metrics = all_task_metrics(
        labels, np.array([[3, 0, 1], [2, 0, 2], [1, 0, 3]], dtype=float), ["a", "b", "c"]
    )
    assert median_auc(metrics) == pytest.approx(np.median([1.0, 0.5]))
    assert np.isnan(median_auc({"b": metrics["b"]}))
