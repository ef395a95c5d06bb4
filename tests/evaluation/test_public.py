"""Public tables that were written again: other bytes, the same rows."""

import dataclasses

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.screening_tables import labelled_rows, quick_recipe
from support.small_model import TASKS

from molig.datasets import content_digest, datasets
from molig.evaluation import judge_held_out, plan_evaluation
from molig.evaluation.plan import is_training_table, public_name
from molig.model import load_info, load_model
from molig.training import LabelledTable, TrainingRequest, train_model
from molig.training.dataset import file_digest

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
