"""Labelled tables: what is read, conflicting copies, and featurized tables on disk."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_model import TASKS, label, nci_smiles

from molig.errors import InputError
from molig.features import Featurizer, preset
from molig.model import Objective
from molig.molecules import MoleculeParser
from molig.training import dataset as cache
from molig.training.dataset import AssayTable, read_or_load, read_training_data, settle_conflicts
from molig.training.recipe import ConflictPolicy, SplitColumn, SplitKind

KEEP, MAJORITY, DROP = ConflictPolicy.KEEP, ConflictPolicy.MAJORITY, ConflictPolicy.DROP
NAN = np.nan

ADVICE = '; to settle them, write conflicts = "majority" or "drop" in [data] of a recipe'

# Three C disagree 2:1 in the first task and 1:1 in the second; N agrees; O disagrees 1:1 in the first.
SMILES = ["C", "N", "C", "C", "O", "N", "O"]
LABELS = np.array([[1, 0], [0, 1], [1, 1], [0, NAN], [1, 0], [NAN, 1], [0, 0]], dtype=float)


@pytest.mark.parametrize(
    ("policy", "first", "second", "changed"),
    [
        (KEEP, LABELS[:, 0], LABELS[:, 1], 0),
        (MAJORITY, [1, 0, 1, 1, NAN, NAN, NAN], [NAN, 1, NAN, NAN, 0, 1, 0], 5),
        (DROP, [NAN, 0, NAN, NAN, NAN, NAN, NAN], [NAN, 1, NAN, NAN, 0, 1, 0], 7),
    ],
)
def test_policies_by_hand(policy, first, second, changed):
    before = LABELS.copy()
    found, conflicts = settle_conflicts(SMILES, LABELS, policy)
    np.testing.assert_array_equal(found, np.stack([first, second], axis=1))
    np.testing.assert_array_equal(LABELS, before)
    assert conflicts.to_dict() == {"policy": policy.value, "molecules": 2, "labels": 7, "changed": changed}
    assert str(conflicts) == (
        "2 molecules have copies with different labels (7 labels); "
        f"policy {policy.value}: {changed} labels changed"
        f"{'' if changed else ADVICE}"
    )


@pytest.mark.parametrize("policy", list(ConflictPolicy))
def test_copies_that_agree_stay_as_they_are(policy):
    labels = np.array([[1.0, NAN], [1.0, 0.0], [0.0, 0.0], [NAN, NAN]])
    found, conflicts = settle_conflicts(["C", "C", "N", "C"], labels, policy)
    np.testing.assert_array_equal(found, labels)
    assert (conflicts.molecules, conflicts.labels, conflicts.changed) == (0, 0, 0)
    assert str(conflicts) == ""


@given(
    st.lists(
        st.tuples(st.sampled_from("CNO"), *[st.sampled_from([0.0, 1.0, NAN])] * 2), min_size=1, max_size=25
    ),
    st.sampled_from([MAJORITY, DROP]),
)
def test_afterwards_no_copies_disagree_and_nothing_is_made_up(rows, policy):
    smiles, labels = [row[0] for row in rows], np.array([row[1:] for row in rows])
    found, conflicts = settle_conflicts(smiles, labels, policy)
    assert np.isnan(found[np.isnan(labels)]).all()
    again, left = settle_conflicts(smiles, found, policy)
    np.testing.assert_array_equal(again, found)
    assert left.molecules == 0
    differs = ~((found == labels) | (np.isnan(found) & np.isnan(labels)))
    assert differs.sum() == conflicts.changed <= conflicts.labels


class TestTables:
    """Through `read_training_data`: copies are the same molecule after standardisation."""

    ROWS = (("a", "CCO", 1), ("b", "OCC", 0), ("c", "CCN", 1), ("d", "CCC", 0), ("e", "c1ccccc1", 0))

    @pytest.fixture
    def read(self, tmp_path):
        def run(policy=KEEP, rows=self.ROWS, **options):
            path = tmp_path / "table.csv"
            with path.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["id", "smiles", "active", *options.pop("more", [])])
                writer.writerows(rows)
            featurizer = Featurizer(preset("simple", max_pair_distance=2))
            assay = AssayTable(path, ["active"], MoleculeParser(), featurizer, conflicts=policy, **options)
            return read_training_data(assay)

        return run

    def test_kept(self, read):
        data = read()
        assert len(data) == 5
        assert data.conflicts.to_dict() == {"policy": "keep", "molecules": 1, "labels": 2, "changed": 0}

    @pytest.mark.parametrize("policy", [MAJORITY, DROP])
    def test_rows_without_a_label_left_are_rejected_with_their_identity(self, read, policy):
        data = read(policy)
        assert data.rows.tolist() == [3, 4, 5]
        assert data.labels[:, 0].tolist() == [1, 0, 0]
        assert len(data.graphs) == len(data.smiles) == 3
        assert [(r.row, r.id, r.smiles) for r in data.rejections] == [(1, "a", "CCO"), (2, "b", "OCC")]
        reason = f"copies of the molecule have other labels in every task (policy {policy.value})"
        assert {r.reason for r in data.rejections} == {reason}

    def test_rejections_come_in_the_order_of_rows(self, read):
        rows = [("x", "C1CC", 1), *self.ROWS, ("y", "CC", "")]
        data = read(DROP, rows)
        assert [r.row for r in data.rejections] == [1, 2, 3, 7]

    def test_given_parts_stay_with_their_rows(self, read):
        parts = ["train", "test", "train", "validation", "test"]
        rows = [(*row, part) for row, part in zip(self.ROWS, parts, strict=True)]
        data = read(DROP, rows, more=["split"], split_column=SplitColumn(SplitKind.GIVEN, "split"))
        assert data.split_values == ("train", "validation", "test")

    def test_nothing_left_is_an_error_that_says_so(self, read):
        with pytest.raises(InputError, match="'active' has 0 actives and 0 inactives"):
            read(DROP, self.ROWS[:2])

    def test_values_have_no_conflicts(self, read):
        data = read(DROP, objective=Objective.REGRESSION)
        assert data.conflicts is None
        assert len(data) == 5


@pytest.fixture
def table(tmp_path, nci_file, monkeypatch):
    """Thirty molecules, a copy with other labels, and a row that cannot be read."""
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_LEAST_ROWS", 10)
    rows = [{"smiles": s, **label(s)} for s in nci_smiles(30)]
    rows += [{**rows[0], TASKS[0]: 1 - rows[0][TASKS[0]]}, {"smiles": "no molecule", **label("C")}]
    path = tmp_path / "table.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def cached(table, name="simple", progress=None, **options):
    featurizer = Featurizer(preset(name, max_pair_distance=2))
    return read_or_load(AssayTable(table, TASKS, MoleculeParser(), featurizer, **options), progress)


def files(tmp_path):
    return sorted((tmp_path / "cache" / "features").glob("*"))


def test_what_is_loaded_is_what_was_read(table, tmp_path, monkeypatch):
    first = cached(table)
    monkeypatch.setattr(cache, "read_training_data", lambda *a, **k: pytest.fail("read again"))
    again = cached(table)
    assert len(files(tmp_path)) == 1
    assert first.graphs.arrays().keys() == again.graphs.arrays().keys()
    for name, one in first.graphs.arrays().items():
        other = again.graphs.arrays()[name]
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    np.testing.assert_array_equal(first.labels, again.labels)
    for name in ("smiles", "rejections", "tasks", "split_values", "conflicts", "notes"):
        assert getattr(first, name) == getattr(again, name)
    assert again.rejections[0].row == 32
    assert again.conflicts.molecules == 1


def test_anything_that_differs_is_another_file(table, tmp_path):
    cached(table)
    cached(table, "full")
    cached(table, conflicts=ConflictPolicy.DROP)
    table.write_text(table.read_text() + "CCO,0,0\n")
    assert len(cached(table)) == 32
    assert len(files(tmp_path)) == 4


def test_an_option_that_is_said_is_no_other_than_its_default(table, tmp_path):
    cached(table)
    cached(table, conflicts=ConflictPolicy.KEEP, smiles_column=None)
    assert len(files(tmp_path)) == 1


def test_a_damaged_file_is_made_again(table, tmp_path):
    first = cached(table)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    assert cached(table).smiles == first.smiles
    assert path.stat().st_size > 1000


def test_a_cache_that_cannot_be_written_costs_nothing(table, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path / "file"))
    assert len(cached(table)) == 31


def test_progress_counts_all_rows(table):
    for _ in range(2):
        counted = []
        cached(table, progress=counted.append)
        assert sum(counted) == 32
