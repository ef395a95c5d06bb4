"""The columns of a hit table and the choice of the best rows, on hand-made scores."""

from __future__ import annotations

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
from molig.screening.hits import HitColumns, TopK

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
