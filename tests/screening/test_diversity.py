"""The best rows of different molecules, against a reference that sorts everything and goes down the list."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molig.errors import UnknownNameError, UsageError
from molig.molecules import Molecule
from molig.screening import diversity
from molig.screening.diversity import Diversity
from molig.screening.hits import HitColumns, TopK

SMILES = [
    "CCO", "CCN", "Cc1ccccc1", "Oc1ccccc1", "Nc1ccccc1", "CCc1ccccc1", "Cc1ccncc1", "Oc1ccncc1",
    "C1CCCC1O", "c1ccc2ccccc2c1", "Cc1ccc2ccccc2c1", "O=C1CCCC1",
]  # fmt: skip
LIBRARY = st.lists(
    st.tuples(st.sampled_from(SMILES), st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9])), min_size=1, max_size=40
)


def found(library, k, chosen, part=1, first_settled=1):
    """Rows that `TopK` takes of a stream in parts, settling early."""
    columns = HitColumns(("a",), group=chosen.field)
    best = TopK(columns, k, chosen)
    for start in range(0, len(library), part):
        rows = list(enumerate(library[start : start + part], start=start + 1))
        molecules = [Molecule(row, str(row), s, Chem.MolFromSmiles(s), as_given=True) for row, (s, _) in rows]
        scores = np.array([[score] for _, (_, score) in rows], dtype=np.float32)
        best.add(columns.table(molecules, scores))
        if start % 3 == first_settled % 3:
            best._settle()
    return best.table()


def in_rank_order(library):
    return sorted(enumerate(library, start=1), key=lambda item: (-item[1][1], item[0]))


def by_scaffold(library, k, per_group):
    taken, sizes = [], {}
    for row, (smiles, _) in in_rank_order(library):
        scaffold = MurckoScaffold.MurckoScaffoldSmiles(smiles)
        if sizes.get(scaffold, 0) < per_group:
            sizes[scaffold] = sizes.get(scaffold, 0) + 1
            taken.append(row)
    return taken[:k]


def by_cluster(library, k, per_group, similarity):
    taken, leaders = [], []
    for row, (smiles, _) in in_rank_order(library):
        bits = AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(smiles), 2, 2048)
        alike = [DataStructs.TanimotoSimilarity(bits, leader[0]) for leader in leaders]
        if not alike or max(alike) < similarity:
            leaders.append([bits, 1])
            taken.append(row)
        else:
            leader = leaders[alike.index(max(alike))]
            if leader[1] < per_group:
                leader[1] += 1
                taken.append(row)
    return taken[:k]


@given(LIBRARY, st.integers(1, 8), st.integers(1, 3), st.integers(1, 9), st.integers(0, 2))
def test_scaffolds_are_picked_in_rank_order_in_bounded_memory(library, k, per_group, part, settled):
    taken = found(library, k, Diversity("scaffold", per_group), part, settled)
    assert taken["row"].to_pylist() == by_scaffold(library, k, per_group)
    smiles = [library[row - 1][0] for row in taken["row"].to_pylist()]
    assert taken["scaffold"].to_pylist() == [MurckoScaffold.MurckoScaffoldSmiles(s) for s in smiles]


@given(
    LIBRARY, st.integers(1, 8), st.integers(1, 3), st.sampled_from([0.2, 0.4, 0.6, 1.0]), st.integers(1, 9)
)
def test_clusters_are_picked_in_rank_order(library, k, per_group, similarity, part):
    taken = found(library, k, Diversity("cluster", per_group, similarity), part)
    assert taken["row"].to_pylist() == by_cluster(library, k, per_group, similarity)
    assert set(taken["cluster"].to_pylist()) <= set(range(1, len(library) + 1))


@given(LIBRARY, st.integers(2, 8))
def test_of_too_few_candidates_the_picks_are_the_first_of_all(library, k):
    few = pytest.MonkeyPatch()
    few.setattr(diversity, "_FEWEST_CANDIDATES", 1)
    few.setattr(diversity, "_CANDIDATES_PER_PICK", 1)
    with few.context():
        taken = found(library, k, Diversity("cluster", 1, 0.3))
    few.undo()
    rows = taken["row"].to_pylist()
    assert rows == by_cluster(library, k, 1, 0.3)[: len(rows)]


def test_a_list_that_is_short_for_lack_of_candidates_says_so(monkeypatch):
    monkeypatch.setattr(diversity, "_FEWEST_CANDIDATES", 2)
    monkeypatch.setattr(diversity, "_CANDIDATES_PER_PICK", 1)
    columns = HitColumns(("a",), group=Diversity("cluster").field)
    best = TopK(columns, 2, Diversity("cluster"))
    library = [("Cc1ccccc1", 0.9), ("Cc1ccccc1", 0.8), ("CCO", 0.1)]
    molecules = [Molecule(i, str(i), s, Chem.MolFromSmiles(s)) for i, (s, _) in enumerate(library, start=1)]
    best.add(columns.table(molecules, np.array([[score] for _, score in library], dtype=np.float32)))
    assert best.table()["row"].to_pylist() == [1]
    assert "only 1 of the 2 rows asked for" in best.shortage


@pytest.mark.parametrize(
    ("options", "error"),
    [(("rings",), UnknownNameError), (("scaffold", 0), UsageError), (("cluster", 1, 0.0), UsageError)],
)
def test_what_makes_no_sense_is_refused(options, error):
    with pytest.raises(error):
        Diversity(*options)


def test_smiles_that_cannot_be_read_back_are_groups_of_their_own():
    table = pa.table({"row": [1, 2, 3], "scored_smiles": ["[Xx]", "CCO", "[Yy]"]})
    for kind in ("scaffold", "cluster"):
        assert Diversity(kind).pick(table, 3)["row"].to_pylist() == [1, 2, 3]
