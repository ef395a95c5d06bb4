"""The columns of a hit table and the choice of the best rows, on hand-made scores."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from molig.errors import UsageError
from molig.model import ApplicabilityFlag, DomainStatus
from molig.molecules import Molecule, MoleculeParser, smiles_records
from molig.screening.hits import HitColumns, KeptColumns, TopK

ONE, TWO = HitColumns(("a",)), HitColumns(("a", "b"))
GRID = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


def table(columns: HitColumns, scores: list[list[float]], first_row: int = 1) -> pa.Table:
    rows = range(first_row, first_row + len(scores))
    molecules = [Molecule(row, f"m{row}", "C", Chem.MolFromSmiles("C")) for row in rows]
    return columns.table(molecules, np.array(scores, dtype=np.float32).reshape(len(rows), -1))


def test_one_task_has_no_best_task():
    assert ONE.schema.names == ["row", "id", "smiles", "scored_smiles", "removed", "a", "rank"]
    assert TWO.schema.names == [
        "row",
        "id",
        "smiles",
        "scored_smiles",
        "removed",
        "a",
        "b",
        "best_task",
        "rank",
    ]


def test_scores_are_single_precision():
    assert [TWO.schema.field(task).type for task in ("a", "b")] == [pa.float32(), pa.float32()]


def test_best_task_is_that_of_the_highest_score_and_the_first_of_equals():
    hits = table(TWO, [[0.1, 0.2], [0.9, 0.2], [0.5, 0.5]])
    assert hits["best_task"].to_pylist() == ["b", "a", "a"]
    assert TWO.key(hits).tolist() == pytest.approx([0.2, 0.9, 0.5])


def test_scores_that_differ_by_the_order_of_addition_share_a_rank():
    best = TopK(ONE, 3)
    best.add(table(ONE, [[0.5], [0.50000012], [0.7]]))
    hits = best.table().to_pandas()
    assert hits["row"].tolist() == [3, 1, 2]
    assert hits["rank"].tolist() == [1, 2, 2]


@given(st.lists(st.tuples(GRID, GRID), min_size=1, max_size=30), st.integers(1, 40), st.integers(1, 7))
def test_the_best_are_the_head_of_the_sorted_table(scores, k, part):
    best = TopK(TWO, k)
    for start in range(0, len(scores), part):
        best.add(table(TWO, [list(pair) for pair in scores[start : start + part]], start + 1))
    everything = table(TWO, [list(pair) for pair in scores]).to_pandas()
    everything["key"] = everything[["a", "b"]].max(axis=1)
    everything["rank"] = everything["key"].rank(method="min", ascending=False).astype("int64")
    expected = everything.sort_values(["rank", "row"]).head(k).drop(columns="key").reset_index(drop=True)
    pd.testing.assert_frame_equal(best.table().to_pandas(), expected)


def test_a_cut_through_ties_keeps_the_earlier_rows_and_their_rank():
    best = TopK(ONE, 3)
    for first_row in (1, 3, 5):
        best.add(table(ONE, [[0.5], [0.5]], first_row))
    assert best.table()["row"].to_pylist() == [1, 2, 3]
    assert best.table()["rank"].to_pylist() == [1, 1, 1]


def test_nothing_added_is_an_empty_table():
    assert TopK(ONE, 3).table().num_rows == 0


def test_applicability_follows_the_rank_and_stays_with_its_row():
    columns = HitColumns(("a",), applicability=True)
    head = ["row", "id", "smiles", "scored_smiles", "removed"]
    assert columns.schema.names == [*head, "a", "rank", "applicability", "similarity"]
    molecules = [Molecule(row, "m", "C", Chem.MolFromSmiles("C")) for row in (1, 2, 3)]
    flags = [ApplicabilityFlag(status, i / 4, "") for i, status in enumerate(DomainStatus)]
    best = TopK(columns, 2)
    best.add(columns.table(molecules, np.array([[0.1], [0.3], [0.2]], dtype=np.float32), flags))
    assert best.table()["applicability"].to_pylist() == ["far from training", "unseen feature"]
    assert best.table()["similarity"].to_pylist() == [0.25, 0.5]
    assert best.table()["rank"].to_pylist() == [1, 2]


@pytest.mark.parametrize("name", ["applicability", "similarity"])
def test_a_task_cannot_bear_the_name_of_another_column(name):
    assert HitColumns((name,)).schema.names[5] == name
    with pytest.raises(UsageError, match=f"a task '{name}'"):
        HitColumns((name,), applicability=True)


def test_hits_say_what_was_scored():
    parser = MoleculeParser()
    smiles = ["[Na+].CC(=O)[O-]", "OCC", "[H]OC", "[2H]OC", "C[N+](=O)[O-]", "CN(=O)=O", "CN.Cl.Cl"]
    molecules, _ = parser.parse_many(smiles_records(smiles))
    hits = ONE.table(molecules, np.zeros((len(smiles), 1), dtype=np.float32))
    assert hits["smiles"].to_pylist() == smiles
    scored = ["CC(=O)O", "OCC", "[H]OC", "CO", "C[N+](=O)[O-]", "CN(=O)=O", "CN"]
    assert hits["scored_smiles"].to_pylist() == scored
    assert hits["removed"].to_pylist() == ["sodium", "", "", "", "", "", "chloride (2 x)"]


class TestThreshold:
    def test_scores_are_compared_as_they_are_ranked(self):
        hits = table(ONE, [[0.5], [0.4999999], [0.49], [0.7]])
        assert ONE.at_least(hits, 0.5)["row"].to_pylist() == [1, 2, 4]

    @given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.floats(0, 1))
    def test_what_reaches_it_is_what_plain_comparison_says(self, scores, threshold):
        hits = table(ONE, [[score] for score in scores])
        rounded = np.round(np.array(scores, dtype=np.float32).astype(np.float64), 6)
        expected = np.flatnonzero(rounded.astype(np.float32) >= np.float32(round(threshold, 6))) + 1
        assert ONE.at_least(hits, threshold)["row"].to_pylist() == expected.tolist()


class TestKeptColumns:
    READ = pa.schema(
        [("rank", pa.int64()), ("a", pa.float64()), ("input.a", pa.string()), ("x", pa.string())]
    )

    def test_names_of_molig_stay_its_own(self):
        columns = ONE.with_kept(self.READ, as_text=False)
        assert columns.schema.names[-4:] == ["input.rank", "input2.a", "input.a", "x"]
        assert columns.kept.rejection_schema.names == [
            "row",
            "id",
            "smiles",
            "reason",
            *columns.schema.names[-4:],
        ]

    @given(
        st.lists(
            st.sampled_from(["a", "row", "input.a", "input2.a", "input.row", "input3.row", "x"]), unique=True
        )
    )
    def test_no_name_is_given_twice_and_free_ones_stay(self, names):
        schema = ONE.with_kept(pa.schema([(name, pa.string()) for name in names]), as_text=True).schema
        assert len(set(schema.names)) == len(schema.names)
        assert {name for name in names if name not in ONE.schema.names} <= set(schema.names)

    def test_a_table_that_is_screened_again_and_again_keeps_every_column_under_its_name(self):
        before = ["rank", "x"]
        for run in range(2, 6):
            read = pa.schema([(name, pa.string()) for name in before])
            after = ONE.with_kept(read, as_text=True).schema.names
            kept = dict(zip(before, after[-len(before) :], strict=True))
            old = [name for name in before if name not in ONE.schema.names]
            assert [kept[name] for name in old] == old
            assert not any(name.startswith("input.input") for name in after)
            before = after
            assert sum("rank" in name for name in after) == run

    def test_values_are_filled_in_and_missing_ones_are_missing(self):
        columns = ONE.with_kept(self.READ, as_text=False)
        filled = columns.kept.filled(table(columns, [[0.1], [0.2]]), [(3, 0.5, "u", "v"), (4,)])
        assert filled.schema == columns.schema
        assert filled.select(["input.rank", "input.a", "x"]).to_pydict() == {
            "input.rank": [3, 4],
            "input.a": ["u", None],
            "x": ["v", None],
        }

    def test_numbers_as_text_keep_all_their_digits(self):
        types = {"v": pa.float64(), "w": pa.list_(pa.int64()), "x": pa.float32()}
        kept = KeptColumns(pa.schema(types), as_text=True)
        single = float(np.float32(0.1))
        rows = [(1234567.891, [1, 2], single), (float("nan"), None, None), (0.1, [], 2.0)]
        values, lists, singles = kept.columns(rows)
        assert values.to_pylist() == ["1234567.891", None, "0.1"]
        assert singles.to_pylist() == ["0.1", None, "2.0"]
        assert lists.to_pylist() == ["[1, 2]", None, "[]"]


@pytest.mark.parametrize(
    "columns",
    [
        HitColumns(("a", "b")),
        HitColumns(("a",), applicability=True, uncertainty=True, calibrated=True, meaning="chances"),
        HitColumns(("a", "b"), ranked=False, percentiles="among drugs"),
        HitColumns(("a", "b"), group=pa.field("cluster", pa.int64()), rank_by=("b",)),
        HitColumns(("a",)).with_kept(pa.schema([("rank", pa.date32()), ("x", pa.float64())]), as_text=True),
    ],
)
def test_columns_survive_json(columns):
    again = HitColumns.from_dict(json.loads(json.dumps(columns.to_dict())))
    assert again == columns
    assert again.schema.equals(columns.schema, check_metadata=True)
