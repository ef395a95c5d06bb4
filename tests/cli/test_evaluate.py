"""`molig evaluate`: recipes and models judged, and requests that cannot be met."""

from __future__ import annotations

import gzip
import json
import shutil

import pytest
from support.libraries import names_in
from support.screening_tables import labelled_rows, quick_recipe, write_table
from support.small_model import TASKS, VALUES, nci_smiles, value

from molig.training import TrainingRequest, train_model, write_recipe

FILES = {
    "evaluation.json",
    "evaluation.md",
    "plan.json",
    "fold-1",
    "fold-2",
    *(f"{name}.{kind}" for name in ("roc", "enrichment", "reliability") for kind in ("svg", "png")),
}


NAMES_OF_RUNS = ("plan.json", "fold-1", "fold-2")


@pytest.fixture
def recipe(tmp_path, nci_file):
    """Write a recipe that names a table beside it; sections may be changed, and rows."""

    def write(rows=None, *, name="quick.toml", **sections):
        write_table(tmp_path / "table.csv", rows or labelled_rows())
        data = {"file": "table.csv", "targets": list(TASKS)} | sections.pop("data", {})
        evaluation = {"baselines": []} | sections.pop("evaluation", {})
        write_recipe(quick_recipe(data=data, evaluation=evaluation, **sections), tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def evaluated(molig, tmp_path):
    def run(recipe, *options):
        return molig("evaluate", "--recipe", recipe, "-o", tmp_path / "out", "--device", "cpu", *options)

    return run


@pytest.fixture
def results(tmp_path):
    return lambda: json.loads((tmp_path / "out" / "evaluation.json").read_text())


def with_parts(rows):
    parts = ("train", "train", "validation", "test")
    return [row | {"split": parts[i % 4]} for i, row in enumerate(rows)]


class TestListedParts:
    LISTED = "row,part\n" + "".join(f"{row},test\n{row + 1},validation\n" for row in range(1, 61, 4))

    def test_one_fold_and_another_split(self, evaluated, recipe, results, tmp_path):
        path = recipe(split={"parts": "parts.csv"}, evaluation={"folds": 1})
        (tmp_path / "parts.csv").write_text(self.LISTED)
        assert evaluated(path).code == 0
        assert "listed split of `table.csv`" in (tmp_path / "out" / "evaluation.md").read_text()
        shutil.rmtree(tmp_path / "out")
        assert evaluated(path, "--split", "random").code == 0
        assert "random split of `table.csv`" in (tmp_path / "out" / "evaluation.md").read_text()

    def test_another_table_is_dealt_anew(self, evaluated, recipe, tmp_path):
        path = recipe(split={"parts": "parts.csv"}, evaluation={"folds": 1})
        (tmp_path / "parts.csv").write_text(self.LISTED)
        (tmp_path / "table.csv").rename(tmp_path / "mine.csv")
        run = evaluated(path, "-i", tmp_path / "mine.csv", "-q")
        assert run.code == 0
        assert "parts.csv lists rows of table.csv, not of mine.csv, which is dealt to parts anew" in run.err
        assert "stratified split of `mine.csv`" in (tmp_path / "out" / "evaluation.md").read_text()


def test_a_committee_that_is_trained_again(evaluated, recipe, results):
    members = {"members": ["weave", "kernel"], "refit": True}
    run = evaluated(recipe(committee=members, optimization={"keep": "last"}, evaluation={"folds": 1}))
    assert run.code == 0, run.err
    assert run.err.count("fold 1: epoch") == 2  # those that the validation part watches
    assert "molig" in results()["methods"]


class TestRecipes:
    def test_a_recipe_from_table_to_figures(self, evaluated, recipe, results, tmp_path):
        path = recipe(evaluation={"baselines": ["nearest-active"]})
        run = evaluated(path)
        assert run.code == 0
        assert names_in(tmp_path / "out") == FILES
        for words in ("quick: median over tasks", "molig", "Nearest active", "ROC-AUC", "EF 1 %", "n/a"):
            assert words in run.out
        for words in ("fold 2: epoch 2/2  loss", "fold 1: nearest-active done", "(sign test)", "results: "):
            assert words in run.err
        assert results()["title"] == "quick"
        command = f"molig evaluate --recipe {path.name} -o out --device cpu"
        assert (results()["command"], results()["seed"]) == (command, 0)
        assert f"Made by `{command}`, seed 0; molig " in (tmp_path / "out" / "evaluation.md").read_text()

        run = evaluated(path)
        assert run.code == 2
        assert "add --resume or choose another directory" in run.err
        before = results()
        run = evaluated(path, "--resume", "--quiet")
        assert (run.code, run.err) == (0, "")
        assert "ROC-AUC" in run.out
        assert results() == before
        run = evaluated(path, "--resume", "--seed", 3)
        assert run.code == 2
        assert "of other data or another recipe" in run.err

    def test_options_for_this_time(self, evaluated, recipe, results):
        run = evaluated(
            recipe(), "--split", "scaffold", "--folds", 3, "--seed", 4, "--baselines", "nearest_active", "-q"
        )
        problem = "warning: fold 3: task carbonyl has no actives in the validation part\n"
        assert (run.code, run.err) == (0, problem)
        used = results()["recipe"]
        assert (used["split"]["kind"], used["split"]["seed"]) == ("scaffold", 4)
        evaluation = {"folds": 3, "seed": 4, "baselines": ["nearest_active"], "subset_column": ""}
        assert used["evaluation"] == evaluation
        assert list(results()["methods"]) == ["molig", "nearest-active"]

    def test_a_given_split_and_warnings(self, evaluated, recipe, results):
        rows = with_parts(labelled_rows())
        rows += [
            rows[0] | {"split": "test", "nitrogen": 1 - rows[0]["nitrogen"]},
            rows[1] | {"smiles": "C1CC"},
        ]
        for row in rows:
            if row["split"] == "test":
                row["carbonyl"] = ""
        run = evaluated(recipe(rows), "--split", "given", "--quiet")
        assert run.code == 0
        assert "fold 1: task carbonyl has no actives in the test part" in run.err
        assert "1 rows cannot be used (first: row 62: not parsable" in run.err
        assert "1 molecules have copies with different labels (2 labels); policy keep" in run.err
        assert "1 test molecules have a copy in the training part" in run.err
        assert all(line.startswith("warning: ") for line in run.err.splitlines())
        assert results()["recipe"]["evaluation"]["folds"] == 1
        assert results()["molecules"]["copies_in_train"] == 1

    def test_another_table_and_targets(self, evaluated, recipe, results, tmp_path):
        rows = [{"structure": row["smiles"], "class": row["nitrogen"]} for row in labelled_rows()]
        table = write_table(tmp_path / "mine.csv", rows)
        options = ["-i", table, "--label", "class", "--smiles-column", "structure"]
        assert evaluated(recipe(), *options, "-q").code == 0
        assert results()["table"]["file"] == "mine.csv"
        assert list(results()["methods"]["molig"]["tasks"]) == ["class"]

    def test_a_split_by_a_column(self, evaluated, recipe, results, tmp_path):
        rows = [row | {"series": f"s{i % 9}", "year": 2000 + i} for i, row in enumerate(labelled_rows())]
        by = ["--split", "group", "--split-column", "series", "--folds", 2, "-q"]
        assert evaluated(recipe(rows), *by).code == 0
        assert len(list((tmp_path / "out").glob("fold-*"))) == 2
        shutil.rmtree(tmp_path / "out")
        assert evaluated(recipe(rows), "--split", "time", "--split-column", "year", "-q").code == 0
        assert len(list((tmp_path / "out").glob("fold-*"))) == 1
        run = evaluated(recipe(rows), "--split", "group")
        assert run.code == 2
        assert "name it as split.column (--split-column)" in run.err

    def test_where_results_go_by_default(self, molig, recipe, tmp_path, monkeypatch):
        path = recipe()
        monkeypatch.chdir(tmp_path)
        assert molig("benchmark", "screening", "--recipe", path, "-q", "--device", "cpu").code == 0
        assert names_in(tmp_path / "evaluation-quick") == FILES

    def test_help_of_both_names(self, molig):
        for words in (["evaluate"], ["benchmark", "screening"]):
            run = molig(*words, "--help")
            assert run.code == 0
            assert "--recipe" in run.out
            assert "--baselines" in run.out


class TestRequests:
    @pytest.mark.parametrize("names", [[], ["--recipe", "a", "--model", "b"]])
    def test_a_recipe_or_a_model(self, molig, names):
        run = molig("evaluate", *names)
        assert run.code == 2
        assert "name either --recipe or --model" in run.err

    def test_an_unknown_recipe(self, molig):
        run = molig("evaluate", "--recipe", "tox21-w2n2-simpel")
        assert run.code == 2
        assert "unknown recipe 'tox21-w2n2-simpel'; did you mean 'tox21-w2n2-simple'?" in run.err

    def test_an_unknown_baseline_is_told_before_the_table_is_read(self, evaluated, recipe, tmp_path):
        path = recipe()
        (tmp_path / "table.csv").write_bytes(b"")
        run = evaluated(path, "--baselines", "random-forrest")
        assert run.code == 2
        assert "unknown baseline 'random-forrest'; did you mean 'random-forest'?" in run.err
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                ["--split", "scafold"],
                "unknown value of --split 'scafold'; did you mean 'scaffold'? Valid: random, stratified, ",
            ),
            (["--folds", 101], "--folds: Input should be less than or equal to 100"),
            (["--folds", 0], "--folds"),
            (["--label", "nitrogn"], "unknown column 'nitrogn'; did you mean 'nitrogen'?"),
            (["--smiles-column", "smile"], "unknown column 'smile'; did you mean 'smiles'?"),
            (["-i", "missing.csv"], "missing.csv: no such file"),
            (["--split", "given"], "unknown column 'split'"),
            (["--split", "given", "--folds", 5], "set evaluation.folds to 1, or use --folds 1"),
            (["--device", "abacus"], "abacus"),
        ],
    )
    def test_wrong_options(self, evaluated, recipe, tmp_path, *, options, message):
        run = evaluated(recipe(), *options)
        assert run.code == 2
        assert message in run.err
        assert "Traceback" not in run.err
        assert not (tmp_path / "out").exists()

    def test_baselines_of_classes_in_a_regression(self, evaluated, recipe):
        run = evaluated(recipe(objective="regression"), "--baselines", "nearest-active")
        assert run.code == 2
        assert "unknown baseline of a regression 'nearest-active'" in run.err
        assert "nearest-neighbours" in run.err

    def test_unknown_keys_of_a_recipe(self, evaluated, tmp_path):
        path = tmp_path / "r.toml"
        path.write_text("[evaluation]\nfold = 2\n")
        run = evaluated(path)
        assert run.code == 2
        assert "unknown key 'evaluation.fold'; did you mean 'evaluation.folds'?" in run.err

    def test_an_output_that_is_a_file(self, evaluated, recipe, tmp_path):
        (tmp_path / "out").touch()
        run = evaluated(recipe())
        assert run.code == 1
        assert "cannot write to" in run.err


BAD_TABLES = {
    "empty": (b"", 1, ""),
    "header only": (b"smiles,nitrogen,carbonyl\n", 1, "holds no molecules"),
    "no usable row": (b"smiles,nitrogen,carbonyl\nC1CC,1,0\nxx,0,1\n", 1, "row 1: not parsable"),
    "one class": (b"smiles,nitrogen,carbonyl\nC,0,1\nN,0,0\nO,0,1\n", 1, "'nitrogen' has 0 actives"),
    "all missing": (b"smiles,nitrogen,carbonyl\nC,,\nN,nan,\n", 1, "no label in any target column"),
    "values": (b"smiles,nitrogen,carbonyl\nC,0.5,1\nN,7.5,0\nO,3,1\n", 1, "numbers other than 0 and 1"),
    "words": (b"smiles,nitrogen,carbonyl\nC,high,1\nN,low,0\n", 1, "'nitrogen' is no column of classes"),
    "no label column": (b"smiles,carbonyl\nC,1\nN,0\n", 2, "unknown column 'nitrogen'"),
    "no smiles column": (b"name,nitrogen,carbonyl\nC,1,0\nN,0,1\n", 2, "SMILES"),
    "one molecule": (b"smiles,nitrogen,carbonyl\n" + b"CO,1,0\nOC,0,1\n" * 4, 1, "1 different molecules"),
    "two molecules": (b"smiles,nitrogen,carbonyl\nC,1,0\nN,0,1\n", 1, "too few for"),
    "three molecules": (b"smiles,nitrogen,carbonyl\nC,1,0\nN,0,1\nO,1,1\n", 1, "too few"),
    "binary": (bytes(range(256)), 1, ""),
    "cut gzip": (gzip.compress(b"smiles,nitrogen,carbonyl\nC,1,0\n" * 99)[:60], 1, ""),
}


@pytest.mark.parametrize(("content", "code", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_tables_that_cannot_be_used(evaluated, recipe, tmp_path, *, content, code, message):
    path, name = recipe(), "bad.csv.gz" if content.startswith(b"\x1f\x8b") else "bad.csv"
    (tmp_path / name).write_bytes(content)
    run = evaluated(path, "-i", tmp_path / name, "--quiet")
    assert run.code == code, run.err
    assert message in run.err
    errors = [line for line in run.err.splitlines() if not line.startswith("warning: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")


@pytest.mark.parametrize("kind", ["stratified", "random", "scaffold"])
@pytest.mark.parametrize("n", [4, 5, 7])
def test_very_small_tables_are_judged_or_refused(evaluated, recipe, kind, n):
    rows = [
        {"smiles": "C" * i + "N" * (i % 2), "nitrogen": i % 2, "carbonyl": int(i == 1)}
        for i in range(1, n + 1)
    ]
    run = evaluated(recipe(rows), "--split", kind, "--quiet")
    assert run.code in (0, 1)
    lines = run.err.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == run.code
    assert all(line.startswith(("error: ", "warning: ")) for line in lines)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, nci_file):
    """A model whose recipe names its table; do not write there."""
    directory = tmp_path_factory.mktemp("model")
    table = write_table(directory / "table.csv", labelled_rows())
    recipe = quick_recipe(data={"file": str(table), "targets": list(TASKS)}, split={"test": 0.3})
    train_model(TrainingRequest(table, directory / "small", TASKS, recipe, device="cpu"))
    return directory / "small"


class TestModels:
    def test_the_card_is_reproduced(self, molig, trained):
        for options in ([], ["-i", trained.parent / "table.csv"]):
            run = molig("evaluate", "-m", trained, *options)
            assert run.code == 0
            assert "small: test part" in run.out
            assert all(word in run.out for word in (*TASKS, "ROC-AUC stated", "BEDROC"))
            assert "largest difference from the card: 0.0000" in run.err

    def test_hits_are_no_training_table(self, molig, trained, tmp_path):
        table, hits = trained.parent / "table.csv", tmp_path / "hits.csv"
        asked = ("--task", "all", "-o", hits, "-q", "-j", "1")
        assert molig("screen", table, "-m", trained, *asked).code == 0
        run = molig("evaluate", "-m", trained, "-i", hits)
        assert (run.code, "is a hit table of molig" in run.err) == (2, True)

    def test_the_reproduction_is_written(self, molig, trained, tmp_path):
        run = molig("evaluate", "-m", trained, "-o", tmp_path / "out", "--quiet")
        assert (run.code, run.err) == (0, "")
        assert names_in(tmp_path / "out") == {"reproduction.json", "reproduction.md"}
        found = json.loads((tmp_path / "out" / "reproduction.json").read_text())
        assert (found["reproduced"], found["part"], found["tolerance"]) == (True, "test", 0.005)
        assert found["command"] == f"molig evaluate -m {trained.name} -o out"
        assert {"molig", "torch", "rdkit", "scikit-learn"} <= set(found["versions"])
        assert found["table"] == {"file": "table.csv", "is_training_table": True}
        stated = json.loads((trained / "model.json").read_text())["metrics"]["test"]
        on_card = {(one["task"], one["figure"]): one["on_card"] for one in found["figures"]}
        for task in TASKS:
            for figure in ("roc_auc", "pr_auc", "bedroc", "ef_0_5", "ef_1", "ef_5", "brier", "n_actives"):
                assert on_card[task, figure] == pytest.approx(stated[task][figure], rel=1e-5)
        assert ("median over tasks", "ef_1") in on_card
        report = (tmp_path / "out" / "reproduction.md").read_text()
        assert f"All {len(on_card)} figures are reproduced." in report
        assert "| carbonyl | EF 1 % | " in report
        assert found["command"] in report

    @pytest.mark.parametrize(
        ("figure", "change", "code"),
        [
            ("roc_auc", 0.02, 1),
            ("brier", -0.006, 1),
            ("ef_1", 0.02, 1),
            ("ef_1", 0.004, 0),
            ("pr_auc", 0.004, 0),
        ],
    )
    def test_a_card_that_says_otherwise(self, molig, trained, tmp_path, *, figure, change, code):
        path = tmp_path / "model"
        shutil.copytree(trained, path)
        info = json.loads((path / "model.json").read_text())
        carbonyl = info["metrics"]["test"]["carbonyl"]
        carbonyl[figure] += change * max(1, carbonyl[figure])
        (path / "model.json").write_text(json.dumps(info))
        run = molig("evaluate", "-m", path, "-i", trained.parent / "table.csv", "-o", tmp_path / "out", "-q")
        assert run.code == code
        found = json.loads((tmp_path / "out" / "reproduction.json").read_text())
        failed = {one["figure"] for one in found["figures"] if not one["reproduced"]}
        assert found["reproduced"] == (not failed) == (code == 0)
        assert failed == ({figure} if code else set())
        assert run.err.startswith("error: ") == bool(code)
        if code:
            assert "differ by more than 0.005" in run.err
            assert "of carbonyl: " in run.err
            assert "reproduction.md" in run.err
            assert "| differs |" in (tmp_path / "out" / "reproduction.md").read_text()

    @pytest.mark.parametrize(
        "options",
        [["--jobs", 1], ["--folds", 2], ["--split", "random"], ["--resume"], ["--seed", 0], ["--label", "a"],
         ["--baselines", "all"], ["--card", "m"]],
    )  # fmt: skip
    def test_options_of_recipes_are_refused(self, molig, trained, options):
        run = molig("evaluate", "-m", trained, *options)
        assert run.code == 2
        assert f"{options[0]}: of no effect with --model" in run.err

    def test_another_table_is_a_warning(self, molig, trained, tmp_path):
        table = tmp_path / "other.csv"
        table.write_text((trained.parent / "table.csv").read_text() + "C,0,0\n")
        run = molig("evaluate", "-m", trained, "-i", table, "--quiet")
        assert run.code == 0
        assert run.err.startswith("warning: ")
        assert "is not the file that the model was trained with" in run.err

    def test_a_model_whose_table_is_not_known(self, molig, small_model_dir):
        run = molig("evaluate", "-m", small_model_dir)
        assert run.code == 2
        assert "give one with --input" in run.err

    def test_a_regression(self, molig, tmp_path, nci_file):
        table = write_table(tmp_path / "values.csv", [{"smiles": s, **value(s)} for s in nci_smiles(40)])
        recipe = quick_recipe(objective="regression", split={"test": 0.3})
        train_model(TrainingRequest(table, tmp_path / "model", VALUES, recipe, device="cpu"))
        run = molig("evaluate", "-m", tmp_path / "model", "-i", table)
        assert run.code == 0
        header = next(line for line in run.out.splitlines() if "R2 stated" in line)
        assert all(word in header for word in ("molecules", "RMSE", "Spearman"))
        assert "largest difference from the card: 0.0000" in run.err
        info = json.loads((tmp_path / "model" / "model.json").read_text())
        info["metrics"]["test"]["mass"]["rmse"] *= 1.01
        (tmp_path / "model" / "model.json").write_text(json.dumps(info))
        run = molig("evaluate", "-m", tmp_path / "model", "-i", table)
        assert run.code == 1
        assert "most RMSE of mass: " in run.err

    def test_an_unknown_model(self, molig):
        run = molig("evaluate", "-m", "tox21-w2n2-simpel")
        assert run.code == 2
        assert "unknown model 'tox21-w2n2-simpel'; did you mean 'tox21-w2n2-simple'?" in run.err


def test_a_card_that_could_not_state_the_results_is_refused_before_training(
    evaluated, recipe, small_model_dir, tmp_path
):
    run = evaluated(recipe(), "--card", small_model_dir)
    assert run.code == 2
    assert "was trained on another table than the evaluation" in run.err
    assert "done," not in run.err
    assert not list(tmp_path.glob("out/*.json"))


class TestRegression:
    def test_from_table_to_figures(self, evaluated, recipe, results, tmp_path):
        rows = [
            row | {"marked": i % 2, "length": len(row["smiles"])} for i, row in enumerate(labelled_rows())
        ]
        evaluation = {"baselines": ["nearest-neighbours"], "subset_column": "marked"}
        data = {"targets": ["length"]}
        run = evaluated(recipe(rows, objective="regression", evaluation=evaluation, data=data))
        assert run.code == 0
        assert names_in(tmp_path / "out") == {"evaluation.json", "evaluation.md", *NAMES_OF_RUNS}
        for words in ("quick: median over tasks", "quick, where marked is true", "RMSE", "Spearman"):
            assert words in run.out
        for words in ("loss", "validation R2", "RMSE against nearest-neighbours: "):
            assert words in run.err
        assert set(results()["methods"]["molig"]["medians"]) == {"rmse", "r2", "spearman"}
        assert results()["subset"]["methods"]["nearest-neighbours"]["tasks"]["length"]["n_measured"] == 30


class TestEachValue:
    @pytest.fixture
    def long(self, recipe):
        """A recipe whose table has a column of assays, the third of which has too few rows."""
        rows = labelled_rows(62)
        for i, row in enumerate(rows):
            row["assay"] = "AB"[i % 2] if i < 60 else "C"
        return recipe(rows, evaluation={"folds": 2, "baselines": ["nearest-active"]})

    def test_from_table_to_one_table_over_all(self, evaluated, long, tmp_path):
        run = evaluated(long, "--each-value-of", "assay", "--value", "A", "--value", "B")
        assert run.code == 0
        assert names_in(tmp_path / "out") == {"A", "B", "evaluations.json", "evaluations.md"}
        assert names_in(tmp_path / "out" / "A") == FILES | {"table.csv"}
        for words in ("median over 2 values of assay", "Nearest active", "mean rank by ROC-AUC"):
            assert words in run.out
        assert "A: 30 molecules, done" in run.err
        found = json.loads((tmp_path / "out" / "evaluations.json").read_text())
        assert "--each-value-of assay --value A --value B" in found["command"]
        assert list(found["values"]) == ["A", "B"]
        run = evaluated(long, "--each-value-of", "assay", "--resume")
        assert run.code == 1
        assert "warning: C: not evaluated: " in run.err
        assert "1 of 3 values of assay were not evaluated; see above" in run.err
        found = json.loads((tmp_path / "out" / "evaluations.json").read_text())
        assert list(found["failures"]) == ["C"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--value", "A"], "--value is of no use without --each-value-of"),
            (["--each-value-of", "assay", "--card", "m"], "--card is of no use with --each-value-of"),
            (["--each-value-of", "assya"], "unknown column 'assya'; did you mean 'assay'?"),
        ],
    )
    def test_wrong_options(self, evaluated, long, tmp_path, *, options, message):
        run = evaluated(long, *options)
        assert run.code == 2
        assert message in run.err
        assert not list(tmp_path.glob("out/*.json"))


class TestTraining:
    def test_the_recipe_names_the_table(self, molig, recipe, tmp_path):
        path = recipe(optimization={"epochs": 1})
        run = molig("train", "-o", tmp_path / "model", "--recipe", path, "--device", "cpu", "-q")
        assert run.code == 0
        assert (tmp_path / "model" / "model.json").exists()

    def test_neither_recipe_nor_option_names_a_table(self, molig, tmp_path):
        run = molig("train", "-o", tmp_path / "model", "--label", "a")
        assert run.code == 2
        assert "no table: give one with --input" in run.err
        assert not (tmp_path / "model").exists()
