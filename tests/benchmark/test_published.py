"""The committed figures are those of the published results."""

from dataclasses import asdict

import pytest

from molig.benchmark import ground_truth_sets, published_figures, read_published_results, summarize_published
from molig.errors import InputError

TASKS = ["benzene", "logic7", "logic10", "crippen"]


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


def test_a_task_without_figures_is_refused(data_dir):
    with pytest.raises(InputError, match="no complete figures of task 'amide'"):
        summarize_published(read_published_results(data_dir), "amide")


def test_a_missing_file_says_where_it_comes_from(tmp_path):
    with pytest.raises(InputError, match="google-research/graph-attribution"):
        read_published_results(tmp_path)
