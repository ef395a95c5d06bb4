"""`molig train`: bad tables, bad recipes, repeatable weights."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
from support.libraries import names_in, sha256
from support.small_model import TASKS, VALUES, label, nci_smiles, small_recipe, value

from molig.cli.train import beside_the_forest
from molig.model import load_model
from molig.stats import ranking_quality
from molig.training import parse_recipe, read_recipe, write_recipe

BOTH = ["--label", TASKS[0], "--label", TASKS[1]]


@pytest.fixture(scope="module")
def labelled(nci_file) -> pd.DataFrame:
    """Sixty compounds with their classes, as text."""
    rows = [{"smiles": smiles, **label(smiles)} for smiles in nci_smiles(60)]
    return pd.DataFrame(rows).astype(str)


@pytest.fixture(scope="module")
def measured(nci_file) -> pd.DataFrame:
    """Sixty compounds with values and given parts."""
    frame = pd.DataFrame([{"smiles": smiles, **value(smiles)} for smiles in nci_smiles(60)])
    return frame.assign(split=["train", "train", "train", "test"] * 15)


@pytest.fixture
def recipe(tmp_path):
    """A recipe of one epoch."""
    path = tmp_path / "one-epoch.toml"
    write_recipe(small_recipe(epochs=1), path)
    return path


@pytest.fixture
def trained(molig, recipe, tmp_path):
    """Train on a table for one epoch, into ``tmp_path / "model"``."""

    def run(frame: pd.DataFrame, *options):
        source = tmp_path / "table.csv"
        frame.to_csv(source, index=False)
        fixed = ["-i", source, "-o", tmp_path / "model", "--recipe", recipe, "--device", "cpu"]
        return molig("train", *fixed, *options)

    return run


@pytest.fixture
def rejected(tmp_path):
    """Rows that the training left out, with their reasons."""

    def read() -> dict[int, str]:
        frame = pd.read_csv(tmp_path / "model" / "rejected.csv", keep_default_na=False)
        return frame.set_index("row")["reason"].to_dict()

    return read


class TestLabels:
    @pytest.mark.parametrize("missing", ["", "NaN", "nan", "NA", "null", "None"])
    def test_a_missing_label_is_not_measured(self, trained, labelled, rejected, tmp_path, missing):
        frame = labelled.copy()
        frame.loc[:9, "nitrogen"] = missing
        run = trained(frame, *BOTH)
        assert run.code == 0
        assert rejected() == {}
        info = load_model(tmp_path / "model").info
        assert (info.training.n_rows, info.training.n_rejected) == (60, 0)

    @pytest.mark.parametrize("value", ["inf", "-inf", "2", "0.5", "-1", "maybe", ">1"])
    def test_a_label_that_is_no_class_costs_its_row(self, trained, labelled, rejected, value):
        frame = labelled.copy()
        frame.loc[4, "carbonyl"] = value
        run = trained(frame, *BOTH)
        assert run.code == 0
        assert rejected() == {
            5: f"label carbonyl = {value!r} is neither active (1) nor inactive (0) nor empty"
        }

    def test_a_row_without_any_label_is_left_out(self, trained, labelled, rejected):
        frame = labelled.copy()
        frame.loc[7, list(TASKS)] = ""
        assert trained(frame, *BOTH).code == 0
        assert rejected() == {8: "no label in any target column"}

    def test_a_bad_molecule_is_left_out(self, trained, labelled, rejected, tmp_path):
        frame = labelled.copy()
        frame.loc[[0, 59], "smiles"] = ["C1CC", "[*]C"]
        assert trained(frame, *BOTH).code == 0
        assert {row: reason.split(":")[0] for row, reason in rejected().items()} == {
            1: "not parsable",
            60: "dummy atom",
        }
        parts = pd.read_csv(tmp_path / "model" / "split.csv")
        assert parts["row"].tolist() == list(range(2, 60))

    def test_what_is_wrong_with_the_table_is_told(self, trained, labelled, tmp_path):
        frame = pd.concat([labelled, labelled.iloc[:1].assign(nitrogen=str(1 - float(labelled.nitrogen[0])))])
        frame.iloc[[4, 9], frame.columns.get_loc("smiles")] = ["C1CC", "[*]C"]
        run = trained(frame, *BOTH, "--quiet")
        assert run.code == 0
        told = run.err.splitlines()
        assert told[0].startswith("warning: 2 rows cannot be used (first: row 5: not parsable")
        assert told[0].endswith(f"all of them go to {tmp_path / 'model' / 'rejected.csv'}")
        assert told[1].startswith("warning: 1 molecules have copies with different labels")

    def test_a_part_without_a_class_is_told(self, trained, labelled, tmp_path):
        frame = labelled.assign(split=["train"] * 40 + ["validation"] * 10 + ["test"] * 10)
        frame.loc[50:, "nitrogen"] = "0"
        write_recipe(
            parse_recipe(
                small_recipe(epochs=1).model_dump(mode="json")
                | {"split": {"kind": "given", "column": "split"}}
            ),
            tmp_path / "one-epoch.toml",
        )
        run = trained(frame, *BOTH, "--quiet")
        assert run.code == 0
        assert run.err.splitlines()[1:] == ["warning: the test part has no actives of nitrogen"]

    @pytest.mark.parametrize(("value", "counts"), [("1", "actives and 0 inactives"), ("0", "has 0 actives")])
    def test_a_task_of_one_class_is_refused(self, trained, labelled, tmp_path, *, value, counts):
        run = trained(labelled.assign(nitrogen=value), *BOTH)
        assert run.code == 1
        assert "target 'nitrogen'" in run.err
        assert counts in run.err
        assert "needs both classes" in run.err
        assert not (tmp_path / "model" / "model.json").exists()

    def test_no_usable_row_is_refused_with_the_first_reason(self, trained, labelled):
        run = trained(labelled.assign(smiles="C1CC"), *BOTH)
        assert run.code == 1
        assert "no row can be used for training; first reason: row 1: not parsable" in run.err

    @pytest.mark.parametrize("n", [1, 2])
    def test_too_few_molecules_are_refused(self, trained, labelled, n):
        few = labelled.groupby("nitrogen").head(n)
        run = trained(few, "--label", "nitrogen")
        assert run.code == 1
        assert "too few" in run.err


class TestLabelsAsPeopleWriteThem:
    WORDS = (("active", "inactive"), ("Yes", "No"), ("TRUE", "FALSE"), ("+", "-"), ("Pos", "neg"))

    @pytest.mark.parametrize("words", WORDS, ids="/".join)
    def test_words_are_the_same_as_1_and_0(self, trained, labelled, rejected, words, tmp_path):
        frame = labelled.assign(nitrogen=labelled.nitrogen.map({"1": words[0], "0": words[1]}))
        assert trained(frame, "--label", "nitrogen").code == 0
        assert rejected() == {}
        found = load_model(tmp_path / "model").info.metrics["test"]["nitrogen"]
        parts = pd.read_csv(tmp_path / "model" / "split.csv")["part"]
        assert found.n_actives == (labelled.nitrogen[parts == "test"] == "1").sum()

    @pytest.mark.parametrize("kind", ["bool", "dictionary", "int8", "float32", "nullable"])
    def test_typed_columns_of_parquet(self, molig, labelled, recipe, tmp_path, kind):
        truth = labelled.nitrogen == "1"
        column = {
            "bool": truth,
            "dictionary": truth.map({True: "Active", False: "Inactive"}).astype("category"),
            "int8": truth.astype("int8"),
            "float32": truth.astype("float32"),
            "nullable": truth.astype("boolean").where(truth.index > 3),
        }[kind]
        table, output = tmp_path / "table.parquet", tmp_path / "model"
        labelled.assign(nitrogen=column).to_parquet(table)
        run = molig("train", "-i", table, "-o", output, "--recipe", recipe, "--label", "nitrogen")
        assert run.code == 0
        assert load_model(output).info.training.n_rejected == (4 if kind == "nullable" else 0)

    def test_a_column_of_text_is_refused_with_row_and_value(self, trained, labelled, tmp_path):
        run = trained(labelled.assign(nitrogen="moderate"), "--label", "nitrogen")
        assert run.code == 1
        message = "column 'nitrogen' is no column of classes: 60 of 60 labels (first: row 1: 'moderate')"
        assert message in run.err
        assert "understood are 1 and 0, true and false" in run.err
        assert not (tmp_path / "model").exists()

    def test_values_need_a_cut(self, trained, measured):
        run = trained(measured, "--label", "mass")
        assert run.code == 1
        assert "column 'mass' has numbers other than 0 and 1: 60 of 60 labels (first: row 1: " in run.err
        assert "state the cut with --active-above X (or --active-below X)" in run.err

    @pytest.mark.parametrize("side", ["above", "below"])
    def test_a_cut_makes_classes_of_values(self, molig, trained, measured, tmp_path, *, side):
        cut = float(measured.mass.iloc[7])
        run = trained(measured, "--label", "mass", f"--active-{side}", cut)
        assert run.code == 0
        active = measured.mass >= cut if side == "above" else measured.mass <= cut
        info = load_model(tmp_path / "model").info
        parts = pd.read_csv(tmp_path / "model" / "split.csv")["part"]
        assert info.metrics["test"]["mass"].n_actives == active[parts == "test"].sum()
        assert getattr(info.training, f"active_{side}") == cut
        data = read_recipe(tmp_path / "model" / "recipe.toml").data
        assert (data.active_above, data.active_below) == ((cut, None) if side == "above" else (None, cut))
        card = (tmp_path / "model" / "CARD.md").read_text()
        assert f"Labels made of values: active at {cut:g} or {side}" in card
        run = molig("evaluate", "-m", tmp_path / "model", "-i", tmp_path / "table.csv")
        assert run.code == 0
        assert "largest difference from the card: 0.0000" in run.err

    def test_ranges_are_classes_where_the_cut_decides(self, trained, measured, rejected):
        frame = measured.astype({"mass": object})
        frame.loc[[3, 4, 5], "mass"] = [">1000", ">1", "<1"]
        run = trained(frame, "--label", "mass", "--active-above", 150)
        assert run.code == 0
        reason = "label mass = '>1' can lie on either side of the cut (active: 150 or above)"
        assert rejected() == {5: reason}
        assert "1 labels of mass can lie on either side of the cut (active: 150 or above; " in run.err
        assert "first: row 5: '>1') and count as not measured; 2 other ranges lie on one side" in run.err

    def test_a_cut_with_all_on_one_side(self, trained, measured):
        run = trained(measured, "--label", "mass", "--active-above", -1)
        assert run.code == 1
        assert "has 60 actives and 0 inactives" in run.err
        assert "a task needs both classes: move the cut (active: -1 or above)" in run.err

    def test_two_cuts_exclude_each_other(self, trained, measured):
        run = trained(measured, "--label", "mass", "--active-above", 1, "--active-below", 2)
        assert run.code == 2
        assert "--active-above and --active-below exclude each other" in run.err

    def test_the_cut_of_the_command_line_goes_before_that_of_the_recipe(
        self, trained, measured, recipe, tmp_path
    ):
        plain = small_recipe(epochs=1).model_dump(mode="json", exclude_none=True)
        write_recipe(parse_recipe(plain | {"data": {"active_below": 100}}), recipe)
        assert trained(measured, "--label", "mass", "--active-above", 150).code == 0
        training = load_model(tmp_path / "model").info.training
        assert (training.active_above, training.active_below) == (150, None)


class TestStart:
    @pytest.mark.parametrize("name", ["none", "None"])
    def test_from_random_weights(self, trained, labelled, tmp_path, name):
        run = trained(labelled, *BOTH, "--start-from", name)
        assert run.code == 0, run.err
        assert load_model(tmp_path / "model").info.training.started_from == ""

    def test_from_another_network(self, trained, labelled):
        run = trained(labelled, *BOTH, "--start-from", "descriptors")
        assert run.code == 2
        assert "the model to start from, 'descriptors', reads other features" in run.err

    def test_from_no_model(self, trained, labelled):
        run = trained(labelled, *BOTH, "--start-from", "desciptors")
        assert run.code == 2
        assert "descriptors" in run.err


class TestSplits:
    @pytest.fixture
    def parts(self, tmp_path):
        """Part of every row in the output."""

        def read() -> pd.Series:
            return pd.read_csv(tmp_path / "model" / "split.csv").set_index("row")["part"]

        return read

    def test_groups_stay_together(self, trained, labelled, parts, tmp_path):
        frame = labelled.assign(series=[f"s{i % 12}" for i in range(60)])
        by = ["--split", "group", "--split-column", "series", "--validation", 0.2, "--test", 0.25]
        assert trained(frame, *BOTH, *by).code == 0
        assert parts().groupby(frame.series.to_numpy()).nunique().eq(1).all()
        assert parts().value_counts().to_dict() == {"train": 35, "test": 15, "validation": 10}
        split = load_model(tmp_path / "model").info.training.split
        assert split == {"kind": "group", "column": "series", "validation": 0.2, "test": 0.25, "seed": 0}
        assert "kind group, column series" in " ".join((tmp_path / "model" / "CARD.md").read_text().split())

    def test_the_latest_are_tested(self, trained, labelled, parts, rejected, tmp_path):
        dates = pd.date_range("2020-01-01", periods=60).strftime("%Y-%m-%d").to_numpy()[::-1].copy()
        dates[30] = ""
        run = trained(labelled.assign(measured=dates), *BOTH, "--split", "time", "--split-column", "measured")
        assert run.code == 0
        assert rejected() == {31: "no time in column 'measured', by which the split goes"}
        assert parts()[:6].tolist() == ["test"] * 6
        assert parts()[6:12].tolist() == ["validation"] * 6
        assert set(parts()[12:]) == {"train"}
        split = load_model(tmp_path / "model").info.training.split
        assert split == {"kind": "time", "column": "measured", "validation": 0.1, "test": 0.1}

    def test_without_a_test_part(self, trained, labelled, parts):
        assert trained(labelled, *BOTH, "--split", "random", "--test", 0).code == 0
        assert parts().value_counts().to_dict() == {"train": 54, "validation": 6}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--split", "groups"], "unknown value of --split 'groups'; did you mean 'group'?"),
            (["--split", "group"], "needs a column of the table: name it as split.column (--split-column)"),
            (["--split-column", "id"], "--split-column is of no use to a stratified split"),
            (["--split", "given", "--test", "0.2"], "--test is of no use to a given split"),
            (["--test", "0.9", "--validation", "0.2"], "must leave molecules for training"),
            (["--validation", "0"], "--validation: Input should be greater than 0 (got 0.0)"),
            (["--split", "group", "--split-column", "seris"], "unknown column 'seris'"),
            (["--split", "time", "--split-column", "nitrogen"], "cannot be a target and decide about"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_wrong_requests(self, trained, labelled, tmp_path, options, message):
        run = trained(labelled, *BOTH, *options)
        assert run.code == 2
        assert message in run.err
        assert not (tmp_path / "model").exists()

    @pytest.mark.parametrize(
        ("kind", "values", "message"),
        [
            (
                "group",
                ["a", "b"],
                "the column 'by' has 2 groups of molecules, too few to be dealt to 3",
            ),
            ("time", ["2019", "2020"], "the column 'by' has 2 different times, too few for 3 parts"),
            ("time", ["2019", "May"], "row 2: column 'by' says 'May'; a time split needs ISO dates"),
        ],
    )
    def test_columns_that_do_not_do(self, trained, labelled, tmp_path, *, kind, values, message):
        run = trained(labelled.assign(by=values * 30), *BOTH, "--split", kind, "--split-column", "by")
        assert run.code == 1
        assert message in run.err
        assert not (tmp_path / "model").exists()


class TestTooLittleAndTooMuch:
    def test_few_actives_are_told_in_words(self, trained, labelled):
        actives = labelled.carbonyl == "1"
        few = pd.concat([labelled[actives].head(12), labelled[~actives]])
        run = trained(few, "--label", "carbonyl", "--quiet")
        assert run.code == 0
        assert run.err.startswith("warning: fewer than 20 actives of carbonyl (12: ")
        assert "a figure of so few depends on which ones are tested" in run.err

    def test_three_actives(self, trained, labelled):
        actives = labelled.carbonyl == "1"
        few = pd.concat([labelled[actives].head(3), labelled[~actives]])
        run = trained(few, "--label", "carbonyl", "--quiet")
        assert run.code == 0
        assert "fewer than 20 actives of carbonyl (3: " in run.err

    def test_none_left_for_training(self, trained, labelled, tmp_path):
        frame = labelled.assign(nitrogen="0", split=["train"] * 40 + ["validation"] * 10 + ["test"] * 10)
        frame.loc[55:57, "nitrogen"] = "1"
        run = trained(frame, *BOTH, "--split", "given")
        assert run.code == 1
        assert "no actives of 'nitrogen' are left for training: 3: 0 train, 0 validation, 3 test" in run.err
        assert not (tmp_path / "model").exists()

    def test_labels_that_contradict_are_counted_with_what_to_set(self, trained, labelled):
        other = labelled.head(4).assign(nitrogen=(1 - labelled.nitrogen.head(4).astype(int)).astype(str))
        run = trained(pd.concat([labelled, other]), *BOTH, "--quiet")
        assert run.code == 0
        assert "4 molecules have copies with different labels (8 labels); policy keep" in run.err
        assert 'write conflicts = "majority" or "drop" in [data] of a recipe' in run.err

    @pytest.mark.parametrize("suffix", [".csv", ".parquet"])
    def test_no_rows(self, molig, labelled, tmp_path, suffix):
        table = tmp_path / f"table{suffix}"
        none = labelled.head(0)
        none.to_csv(table, index=False) if suffix == ".csv" else none.to_parquet(table)
        run = molig("train", "-i", table, "-o", tmp_path / "model", *BOTH)
        assert run.code == 1
        assert "holds no molecules" in run.err
        assert not (tmp_path / "model").exists()

    def test_too_many_tasks_are_refused_at_once(self, molig, write, tmp_path):
        tasks = ", ".join(f'"t{i}"' for i in range(5000))
        recipe = write("wide.toml", f'[data]\nfile = "no.csv"\ntargets = [{tasks}]\n')
        run = molig("train", "-o", tmp_path / "model", "--recipe", recipe)
        assert run.code == 2
        assert "5,000 target columns are more than a model takes (2,000)" in run.err
        assert not (tmp_path / "model").exists()

    def test_only_needed_columns_are_read(self, molig, labelled, recipe, tmp_path, *, monkeypatch):
        import pyarrow.parquet as pq

        asked = []
        whole = pq.ParquetFile.iter_batches

        def watched(file, *args, columns, **options):
            asked.append(set(columns))
            return whole(file, *args, columns=columns, **options)

        monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
        table = tmp_path / "table.parquet"
        labelled.assign(notes="long", other=1).to_parquet(table)
        options = ["-o", tmp_path / "model", "--recipe", recipe, "--label", "nitrogen"]
        assert molig("train", "-i", table, *options).code == 0
        assert set().union(*asked) == {"smiles", "nitrogen"}


class TestRequests:
    def test_an_unknown_target_suggests_the_nearest(self, trained, labelled):
        run = trained(labelled, "--label", "nitrogn")
        assert run.code == 2
        assert "unknown column 'nitrogn'; did you mean 'nitrogen'?" in run.err

    def test_no_target_is_a_wrong_request(self, trained, labelled):
        run = trained(labelled)
        assert run.code == 2
        assert "no label column: name some with --label" in run.err
        assert "two classes are in 'nitrogen', 'carbonyl'" in run.err
        run = trained(labelled[["smiles"]])
        assert run.code == 2
        assert "two classes" not in run.err

    def test_a_target_named_twice(self, trained, labelled):
        run = trained(labelled, "--label", "nitrogen", "--label", "nitrogen")
        assert run.code == 2
        assert "a target column is named twice" in run.err

    @pytest.mark.parametrize("name", ["rank", "ID", "best_task"])
    def test_a_target_that_hit_tables_need(self, trained, labelled, name):
        run = trained(labelled.rename(columns={"nitrogen": name}), "--label", name)
        assert run.code == 2
        assert f"target columns cannot be called {name.casefold()}" in run.err

    def test_a_missing_table(self, molig, tmp_path):
        run = molig("train", "-i", tmp_path / "no.csv", "-o", tmp_path / "model", *BOTH)
        assert run.code == 2
        assert "no.csv: no such file" in run.err

    def test_an_output_that_is_a_file(self, molig, write):
        table = write("table.csv", "smiles,a\nC,1\n")
        run = molig("train", "-i", table, "-o", write("model", ""), "--label", "a")
        assert run.code == 1
        assert "error: cannot write to" in run.err

    def test_a_failed_run_does_not_touch_the_model_that_is_there(self, trained, labelled, tmp_path, recipe):
        assert trained(labelled, *BOTH).code == 0
        before = {name: sha256(tmp_path / "model" / name) for name in names_in(tmp_path / "model")}
        write_recipe(small_recipe(epochs=2), recipe)
        assert trained(labelled, "--label", "nitrogn", "--force").code == 2
        assert {name: sha256(tmp_path / "model" / name) for name in names_in(tmp_path / "model")} == before


class TestRecipes:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[network]\ndepht = 8\n", "unknown key 'network.depht'; did you mean 'network.depth'?"),
            ("[netwrok]\ndepth = 8\n", "unknown key 'netwrok'; did you mean 'network'?"),
            ("weight_dtype = 'float32'\n", "did you mean 'weights_dtype'?"),
            ("[network]\ndepth = 0\n", "network.depth: Input should be greater than or equal to 1 (got 0)"),
            ("[network]\ndepth = 'wide'\n", "network.depth: "),
            ("[network]\nreadout = 'mean'\n", "network.readout: "),
            ("[network]\nhidden = [0]\n", "network.hidden"),
            ("[optimization]\nepochs = 0\n", "optimization.epochs: "),
            ("[optimization]\nlearning_rate = nan\n", "optimization.learning_rate"),
            ("[split]\ntest = 1.0\n", "split.test: "),
            ("[split]\nvalidation = 0.6\ntest = 0.5\n", "validation and test together"),
            ("[features]\nmax_pair_distance = -1\n", "max_pair_distance"),
            ("[molecules]\nmax_heavy_atoms = 0\n", "molecules.max_heavy_atoms: "),
            ("network = 3\n", "network: "),
            ("depth: 8\n", "is not valid TOML"),
            ("[network\n", "is not valid TOML"),
        ],
        ids=lambda text: " ".join(text.split())[:40] if "\n" in text else "",
    )
    def test_a_bad_recipe_ends_with_2_and_names_the_place(
        self, trained, labelled, recipe, tmp_path, *, text, message
    ):
        recipe.write_text(text)
        run = trained(labelled, *BOTH)
        assert run.code == 2
        assert message in run.err
        assert not (tmp_path / "model" / "model.json").exists()

    @pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"], ids=["missing", "binary"])
    def test_a_recipe_that_cannot_be_read(self, trained, labelled, recipe, content):
        recipe.unlink() if content is None else recipe.write_bytes(content)
        run = trained(labelled, *BOTH)
        assert run.code == 2
        assert f"error: cannot read the recipe {recipe}" in run.err


class TestListedParts:
    @pytest.fixture
    def listing(self, recipe, tmp_path):
        """Let the recipe list parts of rows."""

        def write(text, name="parts.csv", **sections):
            data = small_recipe(epochs=1).model_dump(mode="json", exclude_none=True)
            write_recipe(parse_recipe(data | {"split": {"parts": name}} | sections), recipe)
            if text is not None:
                (tmp_path / name).write_text(text)

        return write

    @pytest.fixture
    def parts(self, tmp_path):
        """Part of every row in the output."""

        def read() -> dict[int, str]:
            return pd.read_csv(tmp_path / "model" / "split.csv").set_index("row")["part"].to_dict()

        return read

    LISTED = dict.fromkeys(range(1, 61, 4), "test") | dict.fromkeys(range(2, 61, 6), "validation")
    TEXT = "row,part\n" + "".join(f"{row},{part}\n" for row, part in LISTED.items())

    def test_the_parts_are_those_of_the_file(self, trained, labelled, listing, parts, tmp_path):
        listing(self.TEXT)
        assert trained(labelled, *BOTH).code == 0
        before = parts()
        assert before == {row: self.LISTED.get(row, "train") for row in range(1, 61)}
        training = load_model(tmp_path / "model").info.training
        assert training.split == {"parts": "parts.csv", "parts_sha256": sha256(tmp_path / "parts.csv")}
        assert (training.n_test, training.n_validation) == (15, 10)
        card = " ".join((tmp_path / "model" / "CARD.md").read_text().split())
        assert "parts parts.csv, parts_sha256" in card
        frame = labelled.copy()
        frame.loc[[0, 7, 30, 59], "smiles"] = "C1CC"
        assert trained(frame, *BOTH, "--force").code == 0
        assert parts() == {row: part for row, part in before.items() if row not in {1, 8, 31, 60}}

    def test_copies_in_several_parts_are_for_training(self, trained, labelled, listing, parts):
        listing(self.TEXT + "61,test\n62,validation\n63,test\n")
        frame = pd.concat([labelled, labelled.iloc[[2, 4, 7]]])
        run = trained(frame, *BOTH)
        assert run.code == 0
        assert "have a copy in training" not in run.err
        assert [parts()[row] for row in (3, 61, 5, 62, 8, 63)] == ["train"] * 2 + ["validation"] * 4

    @pytest.mark.parametrize(
        ("text", "code", "message"),
        [
            (TEXT + "61,test\n", 1, "parts.csv, line 27: there is no row 61, the table has 60 rows; list"),
            ("row,part\n1,tests\n", 1, "parts.csv, line 2: unknown part 'tests'; write test or validation"),
            ("row,part\n1,validation\n", 1, "parts.csv: lists no row for the test part; add lines such as"),
            (None, 2, "parts.csv, nor a file of that name that comes with molig: put it beside the recipe"),
        ],
    )
    def test_what_cannot_be_followed(self, trained, labelled, listing, tmp_path, *, text, code, message):
        listing(text)
        run = trained(labelled, *BOTH)
        assert run.code == code
        assert message in run.err
        assert not (tmp_path / "model" / "model.json").exists()

    def test_another_table_than_the_one_of_the_recipe(self, trained, labelled, listing, parts, tmp_path):
        listing(self.TEXT, data={"file": "other.csv"})
        run = trained(labelled, *BOTH, "--quiet")
        assert run.code == 0
        assert run.err.startswith(
            "warning: split.parts: parts.csv lists rows of other.csv, not of table.csv, which is dealt to "
            "parts anew (stratified)"
        )
        assert parts() != {row: self.LISTED.get(row, "train") for row in range(1, 61)}
        assert read_recipe(tmp_path / "model" / "recipe.toml").split.parts == ""
        assert "parts" not in load_model(tmp_path / "model").info.training.split

    def test_other_parts_are_another_run(self, trained, labelled, listing, tmp_path):
        from molig.training import TrainingRequest
        from molig.training.run import _fingerprint
        from molig.training.splits import read_listed_parts

        listing(self.TEXT)
        recipe = read_recipe(tmp_path / "one-epoch.toml")
        request = TrainingRequest(tmp_path / "t.csv", tmp_path / "model", TASKS, recipe)
        first = _fingerprint(request, "0", read_listed_parts(recipe.split, tmp_path))
        listing(self.TEXT + "60,test\n")
        assert _fingerprint(request, "0", read_listed_parts(recipe.split, tmp_path)) != first


class TestResult:
    def test_what_a_run_leaves(self, trained, labelled, recipe, tmp_path):
        run = trained(labelled, *BOTH)
        assert run.code == 0
        assert "epoch 1/1  loss" in run.err
        assert f"model: {tmp_path / 'model'}" in run.err
        assert f"molig screen library.smi -m {tmp_path / 'model'}" in run.err
        told = run.err.splitlines()
        assert told[0] == (
            "table.csv: predicting nitrogen, carbonyl (active or not) with a Weave network; recipe one-epoch"
        )
        assert told[1] == (
            "stratified split of the molecules, 10 % to choose by (validation), 10 % to test, the others to "
            "train on"
        )
        known = load_model(tmp_path / "model").info.training
        n = (known.n_train, known.n_validation, known.n_test)
        assert "molecules: {} to train on, {} to choose by, {} to test".format(*n) in run.err
        assert run.err.index("reading") < run.err.index("epoch 1/1") < run.err.index("training ")
        assert all(word in run.out for word in ("task", "ROC-AUC", *TASKS))
        assert names_in(tmp_path / "model") == {
            "CARD.md",
            "applicability.safetensors",
            "history.json",
            "model.json",
            "recipe.toml",
            "rejected.csv",
            "split.csv",
            "weights.safetensors",
        }
        assert read_recipe(tmp_path / "model" / "recipe.toml") == read_recipe(recipe)
        assert len(json.loads((tmp_path / "model" / "history.json").read_text())) == 1

    def test_quiet_prints_the_table_only(self, trained, labelled):
        run = trained(labelled.assign(nitrogen=["1", "0"] * 30), "--label", "nitrogen", "--quiet")
        assert (run.code, run.err) == (0, "")
        assert "ROC-AUC" in run.out

    def test_the_same_seed_gives_the_same_weights_however_targets_are_written(
        self, trained, labelled, tmp_path
    ):
        weights = tmp_path / "model" / "weights.safetensors"
        assert trained(labelled, *BOTH).code == 0
        apart = sha256(weights)
        assert trained(labelled, "--label", *TASKS, "--force").code == 0
        assert sha256(weights) == apart
        assert load_model(weights.parent).tasks == TASKS

    def test_another_seed_gives_other_weights(self, trained, labelled, recipe, tmp_path):
        weights = tmp_path / "model" / "weights.safetensors"
        assert trained(labelled, *BOTH).code == 0
        first = sha256(weights)
        write_recipe(small_recipe(epochs=1, seed=2), recipe)
        assert trained(labelled, *BOTH, "--force").code == 0
        assert sha256(weights) != first

    def test_resume_refuses_a_damaged_checkpoint(self, trained, labelled, tmp_path):
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "checkpoint.safetensors").write_bytes(b"no checkpoint")
        run = trained(labelled, *BOTH, "--resume")
        assert run.code == 1
        assert "checkpoint.safetensors is damaged" in run.err
        assert "delete it to start again" in run.err


class TestIntention:
    """The first lines say what is going to be done."""

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (
                ["--split", "scaffold", "--test", "0"],
                "scaffold split of the molecules, 10 % to choose by",
            ),
            (
                ["--split", "group", "--split-column", "lot"],
                "group split of the molecules by column 'lot', 10",
            ),
            (["--split", "given", "--split-column", "part"], "parts as column 'part' says\n"),
            (["--validation", "0.125"], "12.5 % to choose by (validation), 10 % to test, the others"),
        ],
    )
    def test_split(self, trained, labelled, options, said):
        lots = [str(i % 20) for i in range(60)]
        parts = ["train", "train", "train", "train", "validation", "test"] * 10
        run = trained(labelled.assign(lot=lots, part=parts), "--label", "nitrogen", *options)
        assert run.code == 0, run.err
        assert said in run.err

    @pytest.mark.parametrize(
        ("keep", "said"),
        [
            ("last", "the last of 1 epochs is kept"),
            ("best", "the best of at most 1 epochs"),
        ],
    )
    def test_which_epoch_is_kept(self, trained, labelled, tmp_path, *, keep, said):
        write_recipe(small_recipe(epochs=1, keep=keep), tmp_path / "one-epoch.toml")
        assert said in trained(labelled, "--label", "nitrogen").err

    def test_members(self, trained, labelled, tmp_path):
        plain = small_recipe(epochs=1, keep="last").model_dump(mode="json", exclude_none=True)
        plain["committee"] = {"members": ["weave", "environments", "forest"], "refit": True}
        write_recipe(parse_recipe(plain), tmp_path / "one-epoch.toml")
        run = trained(labelled, "--label", "nitrogen")
        assert run.code == 0, run.err
        assert "a Weave network, a network on substructures and a random forest; recipe one-epoch" in run.err
        # The second time nothing but the test part could judge an epoch.
        assert run.err.count("epoch 1/1") == 1
        assert "on the test part the model is " in run.err


class TestBesideTheForest:
    @staticmethod
    def info(
        own: float,
        alone: float,
        *,
        n: int = 100,
        figure: str = "roc_auc",
        regression: bool = False,
        intervals=None,
    ):
        figures = {"roc_auc": None, "pr_auc": None, "ef_1": 3.0, "rmse": None, "r2": None} | {figure: own}
        ends = {"intervals": intervals or {}}
        forest = SimpleNamespace(kind="forest", figures={figure: alone, "ef_1": 2.5})
        return SimpleNamespace(
            committee=SimpleNamespace(members=(forest,)),
            held_out="test",
            objective="regression" if regression else "classification",
            median_figure=lambda _, name: figures[name],
            metrics={"test": {"t": ranking_quality([0, 1], [0.1, 0.9]).model_copy(update=ends)}},
            training=SimpleNamespace(n_test=n, n_validation=0),
            tasks=("t",),
        )

    @pytest.mark.parametrize(
        ("own", "alone", "word"),
        [(0.93, 0.90, "better than"), (0.88, 0.90, "worse than"), (0.902, 0.9, "level with")],
    )
    def test_ranking(self, own, alone, word):
        said = beside_the_forest(self.info(own, alone))
        assert said == (
            f"on the test part the model is {word} a random forest on substructures: "
            f"ROC-AUC {own:.3f} against {alone:.3f}"
        )

    @pytest.mark.parametrize(
        ("own", "alone", "word"),
        [(0.60, 0.70, "better than"), (0.80, 0.70, "worse than"), (0.701, 0.7, "level with")],
    )
    def test_of_values_the_smaller_error_is_better(self, own, alone, word):
        said = beside_the_forest(self.info(own, alone, figure="rmse", regression=True))
        assert f"the model is {word} a random forest" in said
        assert said.endswith(f"RMSE {own:.3f} against {alone:.3f}")

    def test_the_top_of_the_list_counts_where_it_is_no_handful(self):
        assert beside_the_forest(self.info(0.9, 0.8, n=1_000)).endswith("0.800, EF 1 % 3.0 against 2.5")
        assert "EF" not in beside_the_forest(self.info(0.9, 0.8, n=999))

    def test_a_difference_within_the_interval_is_no_clear_one(self):
        said = beside_the_forest(self.info(0.93, 0.90, intervals={"roc_auc": (0.89, 0.96)}))
        assert "the model is better than a random forest on substructures, though not clearly: " in said
        assert "0.930 (95 % interval 0.890 to 0.960) against 0.900" in said
        assert "clearly" not in beside_the_forest(self.info(0.93, 0.90, intervals={"roc_auc": (0.91, 0.96)}))

    def test_without_a_forest_nothing_is_said(self):
        info = self.info(0.9, 0.8)
        info.committee = None
        assert beside_the_forest(info) == ""


class TestOutput:
    """A finished model is not lost, and a failure leaves nothing half-made."""

    @staticmethod
    def digests(folder):
        return {name: sha256(folder / name) for name in names_in(folder)}

    def test_a_finished_model_is_not_replaced_unasked(self, trained, labelled, tmp_path, molig):
        assert trained(labelled, *BOTH).code == 0
        before = self.digests(tmp_path / "model")
        run = molig("train", "-i", tmp_path / "no.csv", "-o", tmp_path / "model", "--label", "a")
        assert run.code == 2
        assert f"{tmp_path / 'model'} holds a finished model" in run.err
        assert "choose another output, or replace it with --force" in run.err
        assert self.digests(tmp_path / "model") == before

    def test_with_force_it_is(self, trained, labelled, tmp_path, recipe):
        assert trained(labelled, *BOTH).code == 0
        (tmp_path / "model" / "notes.txt").write_text("mine")
        before = self.digests(tmp_path / "model")
        write_recipe(small_recipe(epochs=2), recipe)
        assert trained(labelled.head(50), *BOTH, "--force").code == 0
        after = self.digests(tmp_path / "model")
        assert after.keys() == before.keys()
        same = {name for name in after if after[name] == before[name]}
        assert same == {"notes.txt", "rejected.csv"}
        assert load_model(tmp_path / "model").info.training.n_rows == 50

    def test_a_broken_run_is_resumed_where_a_model_is_to_be_replaced(
        self, trained, labelled, tmp_path, monkeypatch, recipe
    ):
        from molig.errors import MoligError
        from molig.training.loop import Trainer

        assert trained(labelled, *BOTH).code == 0
        before = self.digests(tmp_path / "model")
        write_recipe(small_recipe(epochs=2), recipe)
        save = Trainer._save

        def stop(trainer, path):
            save(trainer, path)
            raise MoligError("broken off")

        with monkeypatch.context() as broken:
            broken.setattr(Trainer, "_save", stop)
            run = trained(labelled, *BOTH, "--force")
        assert (run.code, "broken off" in run.err) == (1, True)
        left = self.digests(tmp_path / "model")
        assert left.keys() - before.keys() == {"checkpoint.safetensors"}
        assert all(left[name] == before[name] for name in before)
        assert trained(labelled, *BOTH, "--resume").code == 0
        assert names_in(tmp_path / "model") == before.keys()
        assert load_model(tmp_path / "model").info.training.epochs_run == 2
        resumed = self.digests(tmp_path / "model")["weights.safetensors"]
        assert trained(labelled, *BOTH, "--force").code == 0
        assert self.digests(tmp_path / "model")["weights.safetensors"] == resumed

    def test_nothing_is_left_of_a_committee_that_a_single_network_replaces(
        self, trained, labelled, tmp_path, small_committee_dir
    ):
        shutil.copytree(small_committee_dir, tmp_path / "model")
        assert "members.safetensors" in names_in(tmp_path / "model")
        assert trained(labelled, *BOTH, "--force").code == 0
        assert "members.safetensors" not in names_in(tmp_path / "model")
        assert load_model(tmp_path / "model").info.committee is None

    def test_a_finished_run_cannot_be_resumed(self, trained, labelled):
        assert trained(labelled, *BOTH).code == 0
        run = trained(labelled, *BOTH, "--resume")
        assert run.code == 2
        assert "nothing to resume" in run.err

    @pytest.mark.parametrize("inside", ["", "a/b"])
    def test_a_failure_leaves_no_empty_directory(self, molig, write, tmp_path, inside):
        table = write("table.csv", "smiles,a\nC,1\nCC,1\n")
        output = tmp_path / "new" / inside / "model"
        run = molig("train", "-i", table, "-o", output, "--label", "a")
        assert run.code == 1
        assert not (tmp_path / "new").exists()

    def test_a_directory_that_was_there_stays(self, molig, write, tmp_path):
        (tmp_path / "mine").mkdir()
        table = write("table.csv", "smiles,a\nC,1\nCC,1\n")
        assert molig("train", "-i", table, "-o", tmp_path / "mine", "--label", "a").code == 1
        assert names_in(tmp_path / "mine") == set()


class TestRegression:
    @pytest.fixture
    def regression(self, recipe):
        """Make the recipe one of a regression."""

        def change(**sections):
            data = small_recipe(epochs=1).model_dump(mode="json") | {"objective": "regression"}
            write_recipe(parse_recipe(data | sections), recipe)

        change()
        return change

    def test_values_taken_for_classes_are_told_what_to_do(self, trained, measured, tmp_path):
        run = trained(measured, "--label", "mass")
        assert run.code == 1
        assert "to predict values add --objective regression" in run.err
        assert not (tmp_path / "model" / "model.json").exists()
        assert trained(measured, "--label", "mass", "--objective", "regression").code == 0
        assert load_model(tmp_path / "model").objective.value == "regression"

    def test_an_objective_that_is_none_or_contradicts_a_cut(self, trained, measured):
        run = trained(measured, "--label", "mass", "--objective", "regresion")
        assert run.code == 2
        assert "unknown value of --objective 'regresion'; did you mean 'regression'" in run.err
        run = trained(measured, "--label", "mass", "--objective", "regression", "--active-above", 100)
        assert run.code == 2
        assert "a regression has none" in run.err

    def test_train_screen_and_report_r2(self, molig, trained, measured, regression, *, write, tmp_path):
        run = trained(measured, "--label", VALUES[0], "--label", VALUES[1])
        assert run.code == 0
        assert "validation R2 " in run.err
        assert all(word in run.out for word in ("R2", "RMSE", "Spearman", *VALUES))
        library = write("library.smi", "CCO\nc1ccccc1\n")
        assert molig("screen", library, "-m", tmp_path / "model", "--task", "mass").out.startswith(
            "row,id,smiles,scored_smiles,removed,mass"
        )
        run = molig("screen", library, "-m", tmp_path / "model")
        assert run.code == 2
        assert "choose one by --task ('nitrogens', 'mass')" in run.err

    def test_copies_in_a_given_split_are_reported(self, trained, measured, regression):
        regression(split={"kind": "given"})
        frame = pd.concat([measured, measured.head(1).assign(split="test")])
        run = trained(frame, "--label", "mass")
        assert run.code == 0
        assert "1 of 16 test molecules have a copy in training" in run.err

    def test_a_part_that_is_none(self, trained, measured, regression):
        regression(split={"kind": "given"})
        run = trained(measured.assign(split="fold1"), "--label", "mass")
        assert run.code == 1
        assert "row 1: column 'split' says 'fold1'" in run.err

    @pytest.mark.data
    def test_a_benchmark_end_to_end(self, molig, trained, regression, data_dir, *, tmp_path):
        regression(split={"kind": "given"}, molecules={"hydrogens": "explicit"}, weights_dtype="float16")
        table = pd.read_parquet(data_dir / "ibenchmark_N.parquet", columns=["smiles", "activity", "split"])
        table = pd.concat([part.head(60) for _, part in table.groupby("split")])
        run = trained(table, "--label", "activity")
        assert run.code == 0
        info = load_model(tmp_path / "model").info
        assert (info.training.n_test, info.metrics["test"]["activity"].n) == (60, 60)
        run = molig("screen", tmp_path / "table.csv", "-m", tmp_path / "model", "--top-k", 5)
        assert run.code == 0
        assert len(run.out.splitlines()) == 6
