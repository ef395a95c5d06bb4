"""The committed figures are those of the published results."""

from dataclasses import asdict

import pytest

from molig.benchmark import ground_truth_sets
from molig.benchmark.ground_truth import GRAPH_ATTRIBUTION, find_data_file, read_table
from molig.benchmark.published import PublishedFigures, published_figures

TASKS = ["benzene", "logic7", "logic10", "crippen"]
_COLUMNS = ["figure", "task", "model", "method", "metric", "n_runs", "mean", "median", "min", "max"]
_METRICS = {"ATT AUROC": "attribution_auroc", "ATT tau": "kendall_tau"}


def read_published_results(directory):
    """Every published figure, per task, method and network."""
    path = find_data_file("attr_published_results.parquet", GRAPH_ATTRIBUTION, directory)
    frame = read_table(path, _COLUMNS, GRAPH_ATTRIBUTION).to_pandas()
    frame = frame[(frame["figure"] == "F3 hparams") & frame["metric"].isin(list(_METRICS))]
    frame = frame.assign(metric=frame["metric"].map(_METRICS)).rename(columns={"model": "network"})
    order = ["task", "metric", "method", "network", "n_runs", "mean", "median", "min", "max"]
    return frame[order].reset_index(drop=True)


def summarize_published(results, task):
    """Best figures of one task."""
    rows = results[results["task"] == task]
    best = _best(rows)
    gradients = rows[rows["method"] == "IG"]
    integrated = _best(gradients)
    return PublishedFigures(
        task=task,
        metric=str(best["metric"]),
        best=float(best["median"]),
        best_method=str(best["method"]),
        best_network=str(best["network"]),
        best_run=float(rows["max"].max()),
        ig=float(integrated["median"]),
        ig_network=str(integrated["network"]),
        ig_best_run=float(gradients["max"].max()),
        random=float(rows.loc[rows["method"] == "Random", "median"].max()),
    )


def _best(rows):
    return rows.sort_values("median", kind="stable").iloc[-1]


@pytest.mark.parametrize("task", TASKS)
def test_committed_figures_are_those_of_the_file(data_dir, task):
    found = asdict(summarize_published(read_published_results(data_dir), task))
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}
    assert asdict(published_figures(task)) == rounded


@pytest.mark.parametrize("task", TASKS)
def test_figures_belong_to_a_set_and_its_main_metric(task):
    assert published_figures(task).metric == ground_truth_sets()[task].metrics[0]
    assert published_figures(task, "top_n") is None


def test_all_figures_of_the_study_can_be_read(data_dir):
    results = read_published_results(data_dir)
    assert set(TASKS) < set(results["task"])
    assert not results.duplicated(["task", "method", "network"]).any()
    assert set(results["metric"]) == {"attribution_auroc", "kendall_tau"}
