"""Copies that disagree: what each policy does, and what is counted."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.errors import InputError
from molig.features import Featurizer, preset
from molig.model import Objective
from molig.molecules import MoleculeParser
from molig.training.dataset import read_training_data, settle_conflicts
from molig.training.recipe import ConflictPolicy

KEEP, MAJORITY, DROP = ConflictPolicy.KEEP, ConflictPolicy.MAJORITY, ConflictPolicy.DROP
NAN = np.nan

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
            return read_training_data(
                path, ["active"], MoleculeParser(), featurizer, conflicts=policy, **options
            )

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
        rows = [("x", "C1CC", 1), *self.ROWS, ("y", "CC", "maybe")]
        data = read(DROP, rows)
        assert [r.row for r in data.rejections] == [1, 2, 3, 7]

    def test_given_parts_stay_with_their_rows(self, read):
        parts = ["train", "test", "train", "validation", "test"]
        rows = [(*row, part) for row, part in zip(self.ROWS, parts, strict=True)]
        data = read(DROP, rows, more=["split"], split_column="split")
        assert data.given_parts == ("train", "validation", "test")

    def test_nothing_left_is_an_error_that_says_so(self, read):
        with pytest.raises(InputError, match="'active' has 0 actives and 0 inactives"):
            read(DROP, self.ROWS[:2])

    def test_values_have_no_conflicts(self, read):
        data = read(DROP, objective=Objective.REGRESSION)
        assert data.conflicts is None
        assert len(data) == 5
