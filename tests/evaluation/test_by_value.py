"""One evaluation per value of a column, and the table over all of them."""

import json

import numpy as np
import pytest
from scipy.stats import rankdata
from support.screening_tables import quick_recipe, write_table
from support.small_model import TASKS, label, nci_smiles, value

from molig.errors import InputError, MoligError, UnknownNameError, UsageError
from molig.evaluation import EvaluationRun
from molig.evaluation import by_value as module
from molig.evaluation.by_value import deal_table, evaluate_by_value, printed_rows, summarise, write_by_value
from molig.evaluation.criteria import RANKING
from molig.evaluation.criteria import VALUES as OF_VALUES
from molig.stats import sign_test
from molig.training import LabelledTable

METHODS = ["nearest-neighbours", "ridge-regression"]


def rows_of(n=60, **more):
    parts = ("train", "train", "validation", "test")
    return [
        {"smiles": s, "mass": value(s)["mass"], "split": parts[i % 4], "assay": "AB"[i // 30], "cliff": i % 2}
        | {name: cells[i] for name, cells in more.items()}
        for i, s in enumerate(nci_smiles(n))
    ]


def recipe(**changes):
    return quick_recipe(
        **{
            "objective": "regression",
            "split": {"kind": "given"},
            "evaluation": {"folds": 1, "baselines": METHODS, "subset_column": "cliff"},
        }
        | changes
    )


def table(path, rows=None, targets=("mass",)):
    return LabelledTable(write_table(path / "long.csv", rows or rows_of()), targets)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    run = EvaluationRun(folder / "out", n_resamples=20)
    return evaluate_by_value(recipe(), table(folder), "assay", run), folder / "out"


def test_every_value_is_an_evaluation_of_its_rows(whole):
    found, output = whole
    assert list(found.evaluations) == ["A", "B"]
    for name, start in (("A", 0), ("B", 30)):
        evaluation = found.evaluations[name]
        assert len(evaluation.plan.data) == 30
        masses = [row["mass"] for row in rows_of()[start : start + 30]]
        np.testing.assert_allclose(evaluation.plan.data.labels[:, 0], masses)
        assert (evaluation.plan.parts[0] == "test").sum() == sum(i % 4 == 3 for i in range(start, start + 30))
        assert {"table.csv", "evaluation.json", "plan.json"} <= {p.name for p in (output / name).iterdir()}
        first = (output / name / "table.csv").read_text().splitlines()[:2]
        assert first[0] == "id,smiles,mass,split,cliff"
        assert first[1].startswith(f"{start + 1},")


def test_the_table_over_all(whole):
    found, _ = whole
    for summary, figures_of in (
        (found.whole(), lambda e: e.figures),
        (found.marked(), lambda e: e.subset.figures),
    ):
        rmse = np.array(
            [
                [figures_of(e)[name].tasks["mass"].mean.rmse for e in found.evaluations.values()]
                for name in summary.figures
            ]
        )
        spearman = np.array([[t.mean.spearman for t in f.tasks.values()] for f in summary.figures.values()])
        for place, name in enumerate(summary.figures):
            assert list(summary.figures[name].tasks) == ["A", "B"]
            assert summary.means[name]["rmse"] == pytest.approx(rmse[place].mean())
            assert summary.figures[name].medians["rmse"] == pytest.approx(np.median(rmse[place]))
            assert summary.ranks[name]["rmse"] == pytest.approx(rankdata(rmse, axis=0)[place].mean())
            assert summary.ranks[name]["spearman"] == pytest.approx(rankdata(-spearman, axis=0)[place].mean())
        first = summary.comparisons[0]
        assert (first.against, first.figure) == (METHODS[0], "rmse")
        assert first.test == sign_test(-rmse[0], -rmse[1])


def test_files(whole, tmp_path):
    found, _ = whole
    results, report = write_by_value(found, tmp_path, title="long", command="molig evaluate")
    content = json.loads(results.read_text())
    assert list(content["values"]) == ["A", "B"]
    assert content["column"] == "assay"
    ranks = [method["mean_ranks"]["rmse"] for method in content["methods"].values()]
    assert sum(ranks) == pytest.approx(6)
    assert content["methods"]["molig"]["tasks"]["B"]["n_measured"] == 8
    assert content["subset"]["column"] == "cliff"
    text = report.read_text()
    assert "Given split of the rows of each `assay` (2) in `long.csv`: 60 molecules." in text
    assert "| method | RMSE: mean | median | mean rank |" in text
    assert "| Ridge regression | RMSE |" in text
    assert "## Where `cliff` is true" in text
    assert "| assay | measured | molig: RMSE |" in text
    assert "nan" not in text
    header, rows = printed_rows(found)
    assert header == ["method", "RMSE", "R2", "Spearman", "mean rank by RMSE"]
    assert [row[0] for row in rows] == [
        "molig", "Nearest neighbours", "Ridge regression",
        "molig (cliff)", "Nearest neighbours (cliff)", "Ridge regression (cliff)",
    ]  # fmt: skip


def test_going_on_trains_nothing_again(whole, tmp_path):
    found, output = whole
    epochs, done = [], []
    run = EvaluationRun(output, resume=True, n_resamples=20, on_epoch=lambda *e: epochs.append(e))
    long = table(tmp_path)
    again = evaluate_by_value(recipe(), long, "assay", run, on_value=lambda v, _: done.append(v))
    assert (epochs, done) == ([], ["A", "B"])
    assert again.whole().ranks == found.whole().ranks
    with pytest.raises(UsageError, match="add --resume"):
        evaluate_by_value(recipe(), long, "assay", EvaluationRun(output))


def test_a_value_that_fails_stops_no_other(tmp_path):
    parts = ["train" if i < 30 else ("train", "validation", "test")[i % 3] for i in range(60)]
    assay = [("A", "A", "A", "")[i % 4] if i < 30 else "B/b" for i in range(60)]
    rows = rows_of(split=parts, assay=assay)
    run = EvaluationRun(tmp_path / "out", n_resamples=20)
    found = evaluate_by_value(recipe(), table(tmp_path, rows), "assay", run)
    assert list(found.evaluations) == ["B/b"]
    assert "no test part" in found.failures["A"]
    assert found.shares.n_without == 7
    assert (tmp_path / "out" / "B_b" / "evaluation.md").exists()
    text = write_by_value(found, tmp_path, title="long")[1].read_text()
    assert "- A: not evaluated: " in text
    assert "- 7 rows have no assay, or cannot be read" in text
    run = EvaluationRun(tmp_path / "other")
    with pytest.raises(MoligError, match="no value of 'assay' could be evaluated; first reason, of A: "):
        evaluate_by_value(recipe(), table(tmp_path, rows), "assay", run, only=["A"])


def test_classes_of_several_tasks(tmp_path):
    rows = [row | label(row["smiles"]) for row in rows_of()]
    options = quick_recipe(split={"kind": "random"}, evaluation={"folds": 2})
    run = EvaluationRun(tmp_path / "out", n_resamples=20)
    found = evaluate_by_value(options, table(tmp_path, rows, TASKS), "assay", run)
    summary = found.whole()
    assert list(summary.figures["molig"].tasks) == [f"{v}: {task}" for v in "AB" for task in TASKS]
    assert found.marked() is None
    assert {c.figure for c in summary.comparisons} == set(RANKING.principal)
    assert "2-fold random cross-validation" in write_by_value(found, tmp_path, title="x")[1].read_text()


def test_ranks_are_of_tasks_that_all_methods_have(whole):
    found, _ = whole
    by_method = [(v, dict(e.figures)) for v, e in found.evaluations.items()]
    last = by_method[1][1]["molig"].tasks["mass"]
    broken = type(last)(last.by_fold, OF_VALUES.quality(np.ones(3), np.full(3, np.nan), None))
    by_method[1][1]["molig"] = type(by_method[1][1]["molig"])("molig", {"mass": broken}, {}, {}, {}, 0.0)
    summary = summarise(by_method, OF_VALUES)
    alone = summarise(by_method[:1], OF_VALUES)
    assert summary.ranks == alone.ranks
    assert summary.means["molig"] == alone.means["molig"]
    assert summarise(by_method[1:], OF_VALUES).ranks["molig"]["rmse"] is None


def test_directories_are_different(tmp_path):
    assay = ["a b", "a/b", "A_B", "..", "\N{GREEK SMALL LETTER MU}"] * 12
    shares = deal_table(recipe(), table(tmp_path, rows_of(assay=assay)), "assay", tmp_path / "out")
    names = [share.folder.name for share in shares.each]
    assert len({name.casefold() for name in names}) == 5
    assert all(share.folder.parent == tmp_path / "out" for share in shares.each)
    assert ".." not in names


@pytest.mark.parametrize(
    ("column", "only", "error", "message"),
    [
        ("asay", [], UnknownNameError, "unknown column 'asay'; did you mean 'assay'"),
        ("mass", [], UsageError, "cannot be a target"),
        ("assay", ["C"], UnknownNameError, "unknown value of column 'assay' 'C'"),
        ("empty", [], InputError, "no row has a value of 'empty'"),
        ("smiles", [], UsageError, "column 'smiles' has 60 different values, more than 50"),
    ],
)
def test_columns_that_do_not_deal(tmp_path, monkeypatch, *, column, only, error, message):
    monkeypatch.setattr(module, "_MOST_VALUES", 50)
    rows = rows_of(empty=[""] * 60)
    with pytest.raises(error, match=message):
        deal_table(recipe(), table(tmp_path, rows), column, tmp_path / "out", only)
    assert not (tmp_path / "out").exists()


def test_listed_parts_are_of_the_whole_table(tmp_path):
    listed = recipe(split={"kind": "random", "parts": "parts.csv"})
    with pytest.raises(UsageError, match=r"split\.parts lists rows of the whole table"):
        evaluate_by_value(listed, table(tmp_path), "assay", EvaluationRun(tmp_path / "out"))
