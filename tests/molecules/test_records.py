from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from molig.errors import UsageError
from molig.molecules import Molecule, MoleculeParser, Record, Rejection
from molig.molecules.records import batched


def test_rejection_shows_the_beginning_of_a_long_smiles() -> None:
    rejection = Rejection(1, "a", "C" * 100_000, "too large")
    assert rejection.smiles == "C" * 197 + "..."


def test_rejection_keeps_a_short_smiles() -> None:
    assert Rejection(1, "a", "C" * 200, "x").smiles == "C" * 200


def test_record_travels_between_processes() -> None:
    record = Record(2, "b", "CCO", {"label": "1"})
    assert pickle.loads(pickle.dumps(record)) == record


@given(st.lists(st.integers()), st.integers(1, 7))
def test_batches_put_together_are_the_stream(items: list[int], size: int) -> None:
    batches = list(batched(iter(items), size))
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batches)


def test_batches_of_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        batched([1], 0)


def test_what_rdkit_does_not_take_back_is_said_as_it_is_written():
    hydride = "F[B-](F)(F)F.[H][H-][B-]1([H-][H])[n+]2ccccc2-c2cccc[n+]21"
    molecule = MoleculeParser().parse_smiles(hydride)
    assert isinstance(molecule, Molecule)
    assert molecule.scored_smiles == Chem.MolToSmiles(molecule.mol)
