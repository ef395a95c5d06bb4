"""Plans: folds, what they note in the output directory, and public data sets."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.screening_tables import labelled_rows, quick_recipe, write_table
from support.small_model import TASKS

from molig.datasets import datasets
from molig.datasets.getting import content_digest
from molig.errors import InputError, OutputError, UsageError
from molig.evaluation import plan_evaluation
from molig.evaluation.held_out import judge_held_out
from molig.evaluation.plan import PLAN_FILE, check_output, is_training_table, public_name
from molig.model import load_info, load_model
from molig.training import LabelledTable, TrainingRequest, train_model
from molig.training.dataset import file_digest

# Plans of evaluations: parts, what is wrong with them, and directories that hold something else.


@pytest.fixture
def plan_of(tmp_path, nci_file):
    """Plan on rows of a table."""

    def run(rows=None, **sections):
        table = LabelledTable(write_table(tmp_path / "table.csv", rows or labelled_rows()), TASKS)
        return plan_evaluation(quick_recipe(**sections), table)

    return run


def with_parts(rows, *parts):
    return [row | {"split": parts[i % len(parts)]} for i, row in enumerate(rows)]


@pytest.mark.parametrize("kind", ["stratified", "random", "scaffold"])
def test_every_molecule_is_tested_in_one_fold(plan_of, kind):
    plan = plan_of(split={"kind": kind}, evaluation={"folds": 3})
    tested = np.concatenate([plan.indices(fold, "test") for fold in range(3)])
    assert sorted(tested) == list(range(60))
    for fold in range(3):
        together = [plan.indices(fold, part) for part in ("train", "validation", "test")]
        assert sorted(np.concatenate(together)) == list(range(60))
        assert all(len(part) for part in together)
    assert plan.copies_in_train() == plan.copies_outside_test() == 0
    assert plan.copies_note() == ""


def test_the_seed_of_the_evaluation_deals_the_folds(plan_of):
    first, again, other = (plan_of(evaluation={"seed": s}) for s in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first.parts, again.parts, strict=True))
    assert any((a != b).any() for a, b in zip(first.parts, other.parts, strict=True))
    shuffled = plan_of(split={"seed": 5})
    assert all((a == b).all() for a, b in zip(first.parts, shuffled.parts, strict=True))


def test_one_fold_is_the_split_itself(plan_of):
    plan = plan_of(evaluation={"folds": 1}, split={"test": 0.25})
    assert len(plan.parts) == 1
    assert len(plan.indices(0, "test")) == 15
    with pytest.raises(UsageError, match=r"no test part: set split\.test"):
        plan_of(evaluation={"folds": 1}, split={"test": 0.0})


class TestListed:
    @pytest.fixture
    def listed(self, plan_of, tmp_path, monkeypatch):
        """Plan with parts that a file lists beside the recipe; here the working directory."""
        monkeypatch.chdir(tmp_path)

        def run(text="row,part\n1,test\n5,test\n2,validation\n", **sections):
            (tmp_path / "parts.csv").write_text(text)
            return plan_of(split={"parts": "parts.csv"} | sections.pop("split", {}), **sections)

        return run

    def test_one_fold_is_what_the_file_lists(self, listed):
        plan = listed(evaluation={"folds": 1})
        (parts,) = plan.parts
        assert parts.tolist() == ["test", "validation", "train", "train", "test", *["train"] * 55]
        assert plan.scheme == "listed"
        other = listed("row,part\n1,test\n2,validation\n", evaluation={"folds": 1})
        assert other.fingerprint != plan.fingerprint

    def test_several_folds_are_dealt_as_without_the_file(self, listed, plan_of, tmp_path):
        plan, dealt = listed("nothing"), plan_of()
        assert all((a == b).all() for a, b in zip(plan.parts, dealt.parts, strict=True))
        assert plan.scheme == "stratified"

    def test_a_recipe_is_evaluated_with_the_file_beside_it(self, tmp_path, nci_file):
        (tmp_path / "recipes").mkdir()
        (tmp_path / "recipes" / "parts.csv").write_text("row,part\n1,test\n2,validation\n")
        table = LabelledTable(
            write_table(tmp_path / "table.csv", labelled_rows()), TASKS, folder=tmp_path / "recipes"
        )
        plan = plan_evaluation(quick_recipe(split={"parts": "parts.csv"}, evaluation={"folds": 1}), table)
        assert plan.parts[0].tolist()[:3] == ["test", "validation", "train"]


class TestGiven:
    def test_parts_are_those_of_the_table(self, plan_of):
        rows = with_parts(labelled_rows(), "train", "train", "validation", "test")
        plan = plan_of(rows, split={"kind": "given"}, evaluation={"folds": 1})
        assert plan.parts[0].tolist() == [row["split"] for row in rows]
        assert plan.copies_in_train() == 0

    def test_copies_in_training_are_counted(self, plan_of):
        rows = with_parts(labelled_rows(), "train", "train", "validation", "test")
        rows += [rows[0] | {"split": "test"}, rows[1] | {"split": "test"}, rows[3]]
        plan = plan_of(rows, split={"kind": "given"}, evaluation={"folds": 1})
        assert plan.copies_in_train() == plan.copies_outside_test() == 2
        assert plan.copies_note() == (
            "2 test molecules have a copy in the training part, as the table parts them"
        )

    def test_copies_in_validation_are_counted_too(self, plan_of):
        rows = with_parts(labelled_rows(), "train", "train", "validation", "test")
        rows += [rows[0] | {"split": "test"}, rows[2] | {"split": "test"}, rows[6] | {"split": "test"}]
        plan = plan_of(rows, split={"kind": "given"}, evaluation={"folds": 1})
        assert (plan.copies_in_train(), plan.copies_outside_test()) == (1, 3)
        assert "; 3 in training or validation part, which baselines learn from" in plan.copies_note()

    def test_a_split_without_test_rows(self, plan_of):
        rows = with_parts(labelled_rows(), "train", "validation")
        with pytest.raises(UsageError, match="no test part"):
            plan_of(rows, split={"kind": "given"}, evaluation={"folds": 1})

    def test_several_folds_are_refused_before_the_table_is_read(self, tmp_path):
        recipe = quick_recipe(split={"kind": "given"}, evaluation={"folds": 5})
        with pytest.raises(UsageError, match=r"set evaluation\.folds to 1, or use --folds 1"):
            plan_evaluation(recipe, LabelledTable(tmp_path / "missing.csv", TASKS))


class TestGroupsAndTimes:
    def test_folds_of_groups(self, plan_of):
        rows = [row | {"series": f"s{i % 9}"} for i, row in enumerate(labelled_rows())]
        split = {"kind": "group", "column": "series"}
        plan = plan_of(rows, split=split, evaluation={"folds": 3})
        assert plan.scheme == "group"
        for parts in plan.parts:
            where = {}
            for row, part in zip(rows, parts, strict=True):
                assert where.setdefault(row["series"], part) == part
            assert set(parts) == {"train", "validation", "test"}
        assert (sum((parts == "test").astype(int) for parts in plan.parts) == 1).all()

    def test_one_fold_of_a_time_split(self, plan_of):
        rows = [row | {"year": 2000 + i // 6} for i, row in enumerate(labelled_rows())]
        split = {"kind": "time", "column": "year", "test": 0.2}
        plan = plan_of(rows, split=split, evaluation={"folds": 1})
        assert plan.parts[0].tolist() == ["train"] * 42 + ["validation"] * 6 + ["test"] * 12

    def test_several_folds_of_a_time_split_are_refused_before_the_table_is_read(self, tmp_path):
        recipe = quick_recipe(split={"kind": "time", "column": "year"}, evaluation={"folds": 5})
        with pytest.raises(UsageError, match=r"a time split has one test part .* or use --folds 1"):
            plan_evaluation(recipe, LabelledTable(tmp_path / "missing.csv", TASKS))


class TestProblems:
    def test_there_are_none(self, plan_of):
        assert plan_of().problems() == []

    def test_a_task_without_actives_in_a_fold_is_named(self, plan_of):
        rows = labelled_rows()
        for i, row in enumerate(rows):
            row["carbonyl"] = int(i == 7)
        plan = plan_of(rows)
        (fold,) = (f for f in range(2) if 7 in plan.indices(f, "test"))
        assert set(plan.problems()) >= {
            f"fold {fold + 1}: task carbonyl has no actives in the train part",
            f"fold {2 - fold}: task carbonyl has no actives in the test part",
        }
        assert not any("nitrogen" in problem for problem in plan.problems())

    def test_a_validation_part_without_actives_is_named(self, plan_of):
        rows = with_parts(labelled_rows(), "train", "train", "validation", "test")
        for row in rows:
            if row["split"] == "validation":
                row["carbonyl"] = 0
        plan = plan_of(rows, split={"kind": "given"}, evaluation={"folds": 1})
        assert plan.problems() == ["fold 1: task carbonyl has no actives in the validation part"]

    def test_a_task_without_inactives_or_without_labels(self, plan_of):
        rows = with_parts(labelled_rows(), "train", "train", "validation", "test")
        for row in rows:
            if row["split"] == "test":
                row |= {"nitrogen": 1, "carbonyl": ""}
        plan = plan_of(rows, split={"kind": "given"}, evaluation={"folds": 1})
        assert plan.problems() == [
            "fold 1: task nitrogen has no inactives in the test part",
            "fold 1: task carbonyl has no actives in the test part",
        ]


class TestTablesThatCannotBeUsed:
    def test_one_class(self, plan_of):
        rows = [row | {"carbonyl": 0} for row in labelled_rows()]
        with pytest.raises(InputError, match="'carbonyl' has 0 actives and 60 inactives"):
            plan_of(rows)

    def test_values_instead_of_classes(self, plan_of):
        rows = [row | {"carbonyl": i} for i, row in enumerate(labelled_rows())]
        with pytest.raises(InputError, match="'carbonyl' has numbers other than 0 and 1"):
            plan_of(rows)

    def test_too_few_molecules(self, plan_of):
        rows = [{"smiles": s, "nitrogen": i % 2, "carbonyl": i % 2} for i, s in enumerate(["C", "N", "C"])]
        with pytest.raises(InputError, match="2 different molecules are too few for 5 folds"):
            plan_of(rows, evaluation={"folds": 5})


class TestFingerprint:
    def test_baselines_do_not_matter(self, plan_of):
        one, other = plan_of(), plan_of(evaluation={"baselines": []})
        assert one.fingerprint == other.fingerprint

    def test_the_rest_does(self, plan_of):
        prints = [
            plan_of(),
            plan_of(evaluation={"seed": 1}),
            plan_of(evaluation={"folds": 3}),
            plan_of(optimization={"epochs": 3}),
            plan_of(labelled_rows(59)),
        ]
        assert len({plan.fingerprint for plan in prints}) == len(prints)

    def test_another_column_of_smiles_is_other_data(self, tmp_path, nci_file):
        rows = [row | {"other": row["smiles"]} for row in labelled_rows()]
        path = write_table(tmp_path / "t.csv", rows)
        usual, other = (
            plan_evaluation(quick_recipe(), LabelledTable(path, TASKS, column)) for column in (None, "other")
        )
        assert usual.fingerprint != other.fingerprint
        assert other.recipe.data.smiles_column == "other"


class TestOutput:
    @pytest.fixture
    def plan(self, plan_of):
        return plan_of()

    def test_a_new_directory_is_made(self, plan, tmp_path):
        output = tmp_path / "a" / "b"
        check_output(output, plan, resume=False)
        note = json.loads((output / PLAN_FILE).read_text())
        assert note == {"fingerprint": plan.fingerprint, "table": "table.csv", "sha256": plan.digest}
        check_output(output, plan, resume=True)

    def test_results_are_not_overwritten(self, plan, tmp_path):
        check_output(tmp_path / "out", plan, resume=True)
        with pytest.raises(UsageError, match="add --resume or choose another directory"):
            check_output(tmp_path / "out", plan, resume=False)

    def test_something_else_is_not_continued(self, plan, plan_of, tmp_path):
        check_output(tmp_path / "out", plan, resume=False)
        with pytest.raises(UsageError, match="an evaluation of other data or another recipe"):
            check_output(tmp_path / "out", plan_of(optimization={"epochs": 3}), resume=True)

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
    def test_a_damaged_note(self, plan, tmp_path, content):
        (tmp_path / PLAN_FILE).write_bytes(content)
        with pytest.raises(UsageError, match=r"plan\.json is damaged: "):
            check_output(tmp_path, plan, resume=True)

    def test_folds_of_who_knows_what(self, plan, tmp_path):
        (tmp_path / "out" / "fold-1").mkdir(parents=True)
        (tmp_path / "out" / "fold-1" / "molig.npz").touch()
        with pytest.raises(UsageError, match=r"holds folds without plan\.json"):
            check_output(tmp_path / "out", plan, resume=True)

    def test_a_file_is_no_directory(self, plan, tmp_path):
        (tmp_path / "out").touch()
        with pytest.raises(OutputError, match=r"cannot write to .*out: File exists"):
            check_output(tmp_path / "out", plan, resume=False)


# Public tables that were written again: other bytes, the same rows.


RECIPE = quick_recipe(data={"name": "tox21", "targets": TASKS}, split={"test": 0.3})


@pytest.fixture(scope="module")
def table(nci_file):
    frame = pd.DataFrame(labelled_rows()).astype(dict.fromkeys(TASKS, "Int8"))
    return pa.Table.from_pandas(frame, preserve_index=False)


@pytest.fixture
def known(table, monkeypatch):
    """The catalogue says that Tox21 is a small table."""
    small = dataclasses.replace(
        datasets()["tox21"], rows=table.num_rows, table_sha256=content_digest(table), targets=TASKS
    )
    monkeypatch.setattr("molig.evaluation.plan.datasets", lambda: {"tox21": small})


@pytest.fixture(scope="module")
def trained(tmp_path_factory, table):
    """A model of that table; do not write there."""
    directory = tmp_path_factory.mktemp("public")
    pq.write_table(table, directory / "tox21.parquet")
    source = directory / "tox21.parquet"
    train_model(TrainingRequest(source, directory / "model", TASKS, RECIPE, device="cpu"))
    return directory / "model"


def changed(table):
    values = table.column("carbonyl").to_pylist()
    values[0] = 1 - values[0]
    return table.set_column(table.column_names.index("carbonyl"), "carbonyl", pa.array(values, pa.int8()))


def test_the_same_rows_in_another_file_are_the_training_table(known, table, trained, tmp_path):
    again = tmp_path / "tox21.parquet"
    pq.write_table(table.replace_schema_metadata(None), again, compression="none", row_group_size=7)
    training = load_info(trained).training
    assert file_digest(again) != training.data_sha256
    found = judge_held_out(load_model(trained), trained, again)
    assert (found.same_table, found.largest_difference) == (True, 0)
    plan = plan_evaluation(RECIPE, LabelledTable(again, TASKS))
    assert plan.public == "tox21"
    assert is_training_table(training, plan.digest, plan.public)


def test_a_changed_label_is_another_table(known, table, trained, tmp_path):
    pq.write_table(changed(table), tmp_path / "tox21.parquet")
    assert not judge_held_out(load_model(trained), trained, tmp_path / "tox21.parquet").same_table


def test_a_model_of_another_table_was_not_trained_with_the_public_one(known, trained):
    training = load_info(trained).training
    assert not is_training_table(training, "", "")
    assert not is_training_table(None, "", "tox21")
    for other in ({"data_file": "mine.csv"}, {"n_rows": 61}):
        assert not is_training_table(training.model_copy(update=other), "", "tox21")


def test_what_holds_no_public_set(known, table, tmp_path):
    pq.write_table(table, tmp_path / "t.parquet")
    assert public_name(tmp_path / "t.parquet", "tox21") == "tox21"
    assert public_name(tmp_path / "t.parquet", "") == ""
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    assert public_name(tmp_path / "t.parquet", "tox21") == ""
    frame = pd.DataFrame(labelled_rows())  # labels of another type
    frame.to_parquet(tmp_path / "t.parquet")
    assert public_name(tmp_path / "t.parquet", "tox21") == ""
