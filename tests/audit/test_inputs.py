"""Molecules and labels from files."""

from __future__ import annotations

import copy
import io
import os
from threading import Thread

import numpy as np
import pandas as pd
import pytest

from molig.audit import AuditSettings, LabelledFile, read_subject
from molig.audit.inputs import held_out_file
from molig.errors import InputError, MoligError, UnknownNameError, UsageError


@pytest.fixture
def write(tmp_path):
    def run(text, name="a.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return run


def test_labels_come_from_columns_called_like_tasks(small_model, write):
    path = write("smiles,nitrogen,other\nCCN,1,5\nnonsense,1,5\nCCO,0,5\nC,,\n")
    subject = read_subject(small_model, LabelledFile(path))
    np.testing.assert_array_equal(subject.labels, [[1, np.nan], [0, np.nan], [np.nan, np.nan]])
    assert [rejection.row for rejection in subject.rejections] == [2]


def test_columns_of_other_names(small_model, write):
    path = write("smiles,amine,CO\nCCN,1,True\nCC=O,0,\n")
    subject = read_subject(small_model, LabelledFile(path, {"nitrogen": "amine", "carbonyl": "CO"}))
    np.testing.assert_array_equal(subject.labels, [[1, 1], [0, np.nan]])


def test_scores_of_a_hit_table_are_no_labels(small_model, write):
    header = "row,id,smiles,scored_smiles,removed,nitrogen,rank,input.nitrogen\n"
    path = write(f"{header}1,1,CCN,CCN,,0.93,1,1\n2,2,CCO,CCO,,0.1,2,0\n")
    with pytest.warns(UserWarning, match="--label nitrogen=input.nitrogen"):
        subject = read_subject(small_model, LabelledFile(path))
    assert subject.labels is None
    assert len(subject.molecules) == 2
    subject = read_subject(small_model, LabelledFile(path, {"nitrogen": "input.nitrogen"}))
    np.testing.assert_array_equal(subject.labels, [[1, np.nan], [0, np.nan]])


def test_no_label_columns(small_model, write):
    assert read_subject(small_model, LabelledFile(write("CCN a\nCCO b\n", "a.smi"))).labels is None


def test_labels_are_read_as_training_reads_them(small_model, write):
    subject = read_subject(small_model, LabelledFile(write("smiles,nitrogen\nCCN,Active\nCCO,no\nC,\n")))
    np.testing.assert_array_equal(subject.labels[:, 0], [1, 0, np.nan])
    training = small_model.info.training.model_copy(update={"active_above": 6.0})
    model = copy.copy(small_model)
    model.info = small_model.info.model_copy(update={"training": training})
    subject = read_subject(model, LabelledFile(write("smiles,nitrogen\nCCN,7.5\nCCO,<5\nC,>5\n")))
    np.testing.assert_array_equal(subject.labels[:, 0], [1, 0, np.nan])
    with pytest.raises(InputError, match="holds 'yes'; expected a number or nothing"):
        read_subject(model, LabelledFile(write("smiles,nitrogen\nCCN,yes\n")))


@pytest.mark.parametrize("value", ["2", "perhaps", "0.5"])
def test_labels_that_are_none(small_model, write, value):
    path = write(f"smiles,nitrogen\nCCN,1\nCCO,{value}\n")
    with pytest.raises(InputError, match=f"row 2: column 'nitrogen' holds '?{value}'?; expected"):
        read_subject(small_model, LabelledFile(path))


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_a_pipe_is_read_as_a_file_is(small_model, tmp_path, monkeypatch, suffix):
    frame = pd.DataFrame({"smiles": ["CCN", "nonsense", "CC=O"], "nitrogen": [1, 0, 0], "other": [5, 5, 5]})
    path = tmp_path / f"a.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path, index=False)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    piped = read_subject(small_model, LabelledFile("-", file_format=suffix.removesuffix(".gz")))
    subject = read_subject(small_model, LabelledFile(path))
    np.testing.assert_array_equal(piped.labels, subject.labels)
    np.testing.assert_array_equal(piped.labels, [[1, np.nan], [0, np.nan]])
    assert [m.row for m in piped.molecules] == [m.row for m in subject.molecules]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_named_pipe_has_labels_too(small_model, tmp_path):
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    writer = Thread(target=path.write_text, args=("smiles,nitrogen\nCCN,1\n",))
    writer.start()
    subject = read_subject(small_model, LabelledFile(path))
    writer.join(10)
    np.testing.assert_array_equal(subject.labels, [[1, np.nan]])


@pytest.mark.parametrize(
    ("text", "labels", "told"),
    [
        ("", {}, "standard input: holds no molecules"),
        ("a,b\n1,2\n", {}, "standard input: no column looks like SMILES"),
        ("smiles\nCCN\n", {"nitrogen": "amine"}, "unknown column 'amine'"),
        ("smiles\nnonsense\n", {}, "standard input: none of the 1 molecules can be used"),
    ],
)
def test_messages_about_a_pipe(small_model, monkeypatch, text, labels, told):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    with pytest.raises(MoligError, match=told):
        read_subject(small_model, LabelledFile("-", labels, file_format="csv"))


def test_values_of_a_regression(small_regression, write):
    subject = read_subject(small_regression, LabelledFile(write("smiles,mass\nCCN,45.08\nC,nan\n")))
    np.testing.assert_array_equal(subject.labels, [[np.nan, 45.08], [np.nan, np.nan]])


def test_what_is_refused(small_model, write):
    path = write("smiles,nitrogen\nCCN,1\n")
    with pytest.raises(UnknownNameError, match="'amine'"):
        read_subject(small_model, LabelledFile(path, {"nitrogen": "amine"}))
    with pytest.raises(UnknownNameError, match="task"):
        read_subject(small_model, LabelledFile(path, {"amine": "nitrogen"}))
    with pytest.raises(InputError, match=r"bad\.csv: none of the 1 molecules can be used"):
        read_subject(small_model, LabelledFile(write("smiles\nnonsense\n", "bad.csv")))
    with pytest.raises(InputError, match="there is no molecule"):
        read_subject(small_model, LabelledFile(path, rows=frozenset()))


@pytest.mark.parametrize(("most", "actives"), [(40, 10), (12, 6), (60, 10), (4, 2)])
def test_a_sample_of_many_rows_is_half_active(small_model, tmp_path, most, actives):
    smiles = ["C" * n for n in range(1, 51)]
    frame = pd.DataFrame({"smiles": smiles, "nitrogen": [int(n >= 40) for n in range(50)]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    settings = AuditSettings(max_molecules=most)
    subject, again = (read_subject(small_model, LabelledFile(tmp_path / "a.csv"), settings) for _ in range(2))
    assert len(subject.molecules) == min(most, 50)
    assert int(np.nansum(subject.labels[:, 0])) == actives
    rows = [molecule.row for molecule in subject.molecules]
    assert rows == sorted(set(rows)) == [molecule.row for molecule in again.molecules]


def test_held_out_rows_of_a_model(small_model_dir, small_model):
    file, part = held_out_file(small_model_dir, small_model_dir.parent / "labelled.csv")
    split = pd.read_csv(small_model_dir / "split.csv")
    subject = read_subject(small_model, file)
    assert part == "test"
    assert [m.row for m in subject.molecules] == split.row[split.part == "test"].tolist()
    assert np.isfinite(subject.labels).all()


def test_models_that_do_not_record_what_they_held_out(small_model_dir, tmp_path):
    for name in ("model.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((small_model_dir / name).read_bytes())
    with pytest.raises(UsageError, match="give molecules with --input"):
        held_out_file(tmp_path)
    (tmp_path / "recipe.toml").write_text("")
    (tmp_path / "split.csv").write_text("row,part\n1,test\n")
    with pytest.raises(UsageError, match="does not record which table it was trained with"):
        held_out_file(tmp_path)
    (tmp_path / "recipe.toml").write_text('[data]\nfile = "gone.csv"\n')
    with pytest.raises(UsageError, match=r"names gone\.csv as the table .* but there is none: put it there"):
        held_out_file(tmp_path)
    (tmp_path / "split.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match="damaged"):
        held_out_file(tmp_path, tmp_path)
