"""Evaluations end to end on a small table."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.screening_tables import labelled_rows, quick_recipe, small_table, write_table
from support.small_model import TASKS

from molig.errors import InputError, MoligError, UnknownNameError, UsageError
from molig.evaluation import EvaluationRun, evaluate, plan_evaluation, write_evaluation
from molig.evaluation import run as protocol
from molig.evaluation.report import evaluation_json, evaluation_markdown, pooled_reliability
from molig.training import LabelledTable

QUICK = {"n_resamples": 20}


@pytest.fixture(scope="module")
def plan(tmp_path_factory, nci_file):
    return plan_evaluation(quick_recipe(), small_table(tmp_path_factory.mktemp("data") / "table.csv"))


@pytest.fixture(scope="module")
def whole(plan, tmp_path_factory):
    """An evaluation that nobody interrupts; do not write to its directory."""
    output = tmp_path_factory.mktemp("whole") / "out"
    return evaluate(plan, EvaluationRun(output, **QUICK)), output


def assert_same(found, expected):
    assert found.figures.keys() == expected.figures.keys()
    for name, folds in expected.scores.items():
        for one, other in zip(found.scores[name], folds, strict=True):
            np.testing.assert_array_equal(one.rows, other.rows)
            np.testing.assert_array_equal(one.scores, other.scores)
    for name, figures in expected.figures.items():
        assert found.figures[name].medians == pytest.approx(figures.medians, nan_ok=True)
        assert found.figures[name].median_intervals == figures.median_intervals
    assert found.comparisons == expected.comparisons


def test_every_molecule_is_scored_once_by_every_method(plan, whole):
    found, output = whole
    assert set(found.scores) == {"molig", "nearest-active"}
    for folds in found.scores.values():
        rows = np.concatenate([fold.rows for fold in folds])
        assert sorted(rows) == list(range(1, 61))
        for number, fold in enumerate(folds):
            tested = plan.indices(number, "test")
            np.testing.assert_array_equal(fold.labels, plan.data.labels[tested])
    network = found.scores["molig"][0]
    np.testing.assert_allclose(network.probabilities, 1 / (1 + np.exp(-network.scores)), atol=1e-6)
    assert network.baseline.shape == network.scores.shape
    assert set(found.figures["molig"].neutral) == set(TASKS)
    assert {p.name for p in (output / "fold-1").iterdir()} == {"molig.npz", "nearest-active.npz"}


def test_two_processes_find_the_same(plan, whole, tmp_path):
    seen = []
    run = EvaluationRun(tmp_path, jobs=2, on_done=lambda *done: seen.append(done[:2]), **QUICK)
    assert_same(evaluate(plan, run), whole[0])
    assert sorted(seen) == [("molig", 0), ("molig", 1), ("nearest-active", 0), ("nearest-active", 1)]


def test_interrupted_within_a_fold_and_resumed(plan, whole, tmp_path):
    class StopError(Exception):
        pass

    def interrupt(fold, entry):
        if (fold, entry["epoch"]) == (1, 1):
            raise StopError

    with pytest.raises(StopError):
        evaluate(plan, EvaluationRun(tmp_path, on_epoch=interrupt, **QUICK))
    assert (tmp_path / "fold-1" / "molig.npz").exists()
    assert (tmp_path / "fold-2" / "checkpoint.safetensors").exists()
    epochs, done = [], []
    run = EvaluationRun(
        tmp_path,
        resume=True,
        on_epoch=lambda fold, entry: epochs.append((fold, entry["epoch"])),
        on_done=lambda method, fold, scores: done.append((method, fold)),
        **QUICK,
    )
    assert_same(evaluate(plan, run), whole[0])
    assert epochs == [(1, 2)]
    assert done[0] == ("molig", 0)
    assert len(done) == 4
    assert not (tmp_path / "fold-2" / "checkpoint.safetensors").exists()


def test_a_finished_evaluation_is_read_again(plan, whole):
    found, output = whole
    epochs = []
    run = EvaluationRun(output, resume=True, on_epoch=lambda *e: epochs.append(e), **QUICK)
    assert_same(evaluate(plan, run), found)
    assert epochs == []
    with pytest.raises(UsageError, match="add --resume"):
        evaluate(plan, EvaluationRun(output, **QUICK))


def test_a_damaged_fold_is_named(plan, whole, tmp_path):
    run = EvaluationRun(tmp_path, resume=True, **QUICK)
    evaluate(plan, run, network=False)
    (tmp_path / "fold-2" / "nearest-active.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"fold-2/nearest-active\.npz is damaged"):
        evaluate(plan, run, network=False)


def test_a_baseline_may_be_added_later(plan, whole, tmp_path):
    run = EvaluationRun(tmp_path, resume=True, **QUICK)
    first = evaluate(plan, run, network=False)
    assert list(first.figures) == ["nearest-active"]
    assert first.comparisons == []
    assert_same(evaluate(plan, run), whole[0])


def test_an_unknown_baseline(plan, tmp_path, nci_file):
    recipe = quick_recipe(evaluation={"baselines": ["random_forrest"]})
    other = plan_evaluation(recipe, small_table(tmp_path / "t.csv"))
    with pytest.raises(UnknownNameError, match="did you mean 'random-forest'"):
        evaluate(other, EvaluationRun(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_error_in_a_process_ends_the_others(plan, tmp_path, monkeypatch):
    """A damaged checkpoint; threads stand for processes, which take long to start."""

    def threads(jobs, context, start, arguments):
        monkeypatch.setitem(protocol._HERE, "worker", *arguments)
        return ThreadPoolExecutor(jobs)

    monkeypatch.setattr(protocol, "ProcessPoolExecutor", threads)
    (tmp_path / "fold-1").mkdir()
    run = EvaluationRun(tmp_path, resume=True, jobs=2, **QUICK)
    (tmp_path / "plan.json").write_text(json.dumps({"fingerprint": plan.fingerprint}))
    (tmp_path / "fold-1" / "checkpoint.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"checkpoint\.safetensors is damaged"):
        evaluate(plan, run)


def test_a_process_that_dies_is_told(plan, tmp_path, monkeypatch):
    class Broken:
        def submit(self, *_):
            raise protocol.BrokenProcessPool

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(protocol, "ProcessPoolExecutor", lambda *_: Broken())
    with pytest.raises(MoligError, match=r"a process ended unexpectedly.* --resume and fewer jobs"):
        evaluate(plan, EvaluationRun(tmp_path, jobs=2))


# --- files ------------------------------------------------------------------------------------------


def strictly(text: str):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_json(whole, plan):
    found = strictly(evaluation_json(whole[0], "small"))
    assert found["table"] == {"file": "table.csv", "sha256": plan.digest}
    assert found["recipe"]["optimization"]["epochs"] == 2
    assert found["molecules"]["used"] == 60
    assert sum(parts["test"] for parts in found["molecules"]["parts"]) == 60
    method = found["methods"]["nearest-active"]
    assert method["title"] == "Nearest active"
    assert method["medians"]["brier"] is None
    figures = whole[0].figures["molig"]
    for task in TASKS:
        assert found["methods"]["molig"]["tasks"][task]["means"]["roc_auc"] == pytest.approx(
            figures.tasks[task].mean.roc_auc, abs=1e-6
        )
    assert {test["figure"] for test in found["sign_tests"]} == {"roc_auc", "pr_auc", "bedroc", "ef_1"}


def test_reliability_of_every_method(whole):
    found = strictly(evaluation_json(whole[0], "small"))["methods"]
    assert found["nearest-active"]["reliability"] is None  # it states no probabilities
    curve = pooled_reliability(whole[0].scores["molig"])
    written = found["molig"]["reliability"]
    assert [one["n"] for one in written["bins"]] == curve.count.tolist()
    assert sum(one["n"] for one in written["bins"]) == 60 * len(TASKS)
    for name, values in (("mean_predicted", curve.mean_predicted), ("observed", curve.observed)):
        assert [one[name] for one in written["bins"]] == pytest.approx(values.tolist(), rel=1e-5)
    assert written["expected_calibration_error"] == pytest.approx(curve.expected_error, rel=1e-5)
    text = evaluation_markdown(whole[0], "small")
    assert f"Expected calibration error: molig {curve.expected_error:.3f}." in text
    first = f"{curve.mean_predicted[0]:.3f} | {curve.observed[0]:.3f} | {curve.count[0]}"
    assert f"| molig | {first} |" in text


def test_how_the_results_came_about(whole):
    found = strictly(evaluation_json(whole[0], "small", "molig evaluate --recipe r.toml"))
    assert found["command"] == "molig evaluate --recipe r.toml"
    assert found["seed"] == 0
    assert {"molig", "torch", "rdkit", "scikit-learn", "numpy"} <= set(found["versions"])
    last = evaluation_markdown(whole[0], "small", "molig evaluate --recipe r.toml").splitlines()[-1]
    assert last.startswith("Made by `molig evaluate --recipe r.toml`, seed 0; molig ")
    assert all(f"{name} {version}" in last for name, version in found["versions"].items())
    assert evaluation_markdown(whole[0], "small").splitlines()[-1].startswith("Made with seed 0; molig ")


def test_small_numbers_are_not_rounded_away(tmp_path, nci_file):
    recipe = quick_recipe(optimization={"weight_decay": 3e-8})
    plan = plan_evaluation(recipe, small_table(tmp_path / "t.csv"))
    found = evaluate(plan, EvaluationRun(tmp_path / "out", **QUICK), network=False)
    written = strictly(evaluation_json(found, "small"))
    assert written["recipe"]["optimization"]["weight_decay"] == 3e-8


def test_markdown(whole):
    text = evaluation_markdown(whole[0], "small")
    lines = text.splitlines()
    assert lines[0] == "# small"
    assert lines[2].startswith("2-fold stratified cross-validation of `table.csv`: 60 molecules, 2 tasks.")
    tables = [line for line in lines if line.startswith("|")]
    assert any(line.startswith("| molig | 0.") for line in tables)
    assert any(line.startswith("| Nearest active | ROC-AUC | ") for line in tables)
    for task in TASKS:
        assert any(line.startswith(f"| {task} |") for line in tables)
    assert "nan" not in text
    assert "## Notes" not in text


def test_files(whole, tmp_path):
    paths = write_evaluation(whole[0], tmp_path, title="small")
    figures = [f"{name}.{kind}" for name in ("roc", "enrichment", "reliability") for kind in ("svg", "png")]
    assert [p.name for p in paths] == ["evaluation.json", "evaluation.md", *figures]
    assert all(p.stat().st_size > 0 for p in paths)
    assert (tmp_path / "roc.svg").read_text().startswith("<?xml")
    assert (tmp_path / "roc.png").read_bytes().startswith(b"\x89PNG")


def test_tasks_without_figures_are_written_as_such(tmp_path, nci_file):
    """A given test part with one class in one task and no labels in the other."""
    rows = labelled_rows()
    for i, row in enumerate(rows):
        row["split"] = ("train", "train", "validation", "test")[i % 4]
        if row["split"] == "test":
            row |= {"nitrogen": 0, "carbonyl": ""}
    rows += [rows[0] | {"split": "test", "nitrogen": 0}, {**rows[1], "smiles": "C1CC"}]
    recipe = quick_recipe(
        split={"kind": "given"}, evaluation={"folds": 1, "baselines": ["logistic-regression"]}
    )
    plan = plan_evaluation(recipe, LabelledTable(write_table(tmp_path / "t.csv", rows), TASKS))
    found = evaluate(plan, EvaluationRun(tmp_path / "out", **QUICK))
    assert found.figures["molig"].medians["roc_auc"] is None
    written = strictly(evaluation_json(found, "one class"))
    assert written["methods"]["molig"]["medians"]["roc_auc"] is None
    assert written["methods"]["molig"]["tasks"]["carbonyl"]["by_fold"]["roc_auc"] == [None]
    assert len(written["problems"]) == 2
    text = evaluation_markdown(found, "one class")
    assert "given split of `t.csv`" in text
    assert "- fold 1: task nitrogen has no actives in the test part" in text
    assert "- 1 rows of the table could not be used" in text
    assert "- 1 test molecules have a copy in the training part" in text
    assert "nan" not in text
    for path in write_evaluation(found, tmp_path, title="one class"):
        assert path.stat().st_size
