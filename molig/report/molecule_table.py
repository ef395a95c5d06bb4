"""Explanations as a compact table, a row per molecule: for whole libraries.

Atoms are counted as a reader of the table counts them: the k-th of ``atom_scores`` belongs to atom k of
``Chem.MolFromSmiles(smiles)``, whatever standardisation did to the molecule. An atom's score holds its own
features and half of each of its pairs. An atom that was not scored, as in a counter-ion, has null there.
Where a model takes hydrogens for atoms, the score of an added hydrogen counts with the atom that bears it.

``atom_scores`` (without nulls) and ``residual`` add up to ``score - baseline_score``, but for the rounding of
32-bit numbers. Half of each of the ``bond_scores`` is part of its two atoms' scores already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rdkit import Chem, rdBase

from molig.attribution import Explanation
from molig.molecules import Record
from molig.molecules.standardize import INPUT_INDEX_PROPERTY, input_atom_indices

Index = npt.NDArray[np.int64]

_ATOM_ORDER = "one per atom of Chem.MolFromSmiles(smiles), in its order; null: not scored (counter-ion)"
_ERROR = "estimate of the largest error of a single attribution"
_BOND_ATOMS = "the two atoms of each bond, 0-based, counted as in atom_scores"
_BOND_SCORES = "one per bond, in the order of bond_atoms; half of each is also part of its atoms' scores"

MOLECULE_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("smiles", pa.string()),
        ("task", pa.string()),
        ("target", pa.string()),
        ("score", pa.float64()),
        ("baseline_score", pa.float64()),
        ("residual", pa.float64()),
        ("converged", pa.bool_()),
        ("n_evaluations", pa.int64()),
        pa.field("error", pa.float64(), metadata={"description": _ERROR}),
        ("method", pa.string()),
        ("baseline", pa.string()),
        pa.field("atom_scores", pa.list_(pa.float32()), metadata={"description": _ATOM_ORDER}),
        pa.field("bond_atoms", pa.list_(pa.list_(pa.int32())), metadata={"description": _BOND_ATOMS}),
        pa.field("bond_scores", pa.list_(pa.float32()), metadata={"description": _BOND_SCORES}),
    ]
)
"""Columns of the table."""


def molecule_batch(records: Sequence[Record], explanations: Sequence[Explanation]) -> pa.RecordBatch:
    """Put each explanation into one row."""
    atoms = [_numbering(r, e) for r, e in zip(records, explanations, strict=True)]
    given = np.concatenate([a.given for a in atoms])
    bonds = _bonds(explanations, given, np.concatenate([a.added for a in atoms]))
    n_given = np.array([a.n_given for a in atoms], dtype=np.int64)
    row = given + np.repeat(_starts(n_given), [len(a.given) for a in atoms])
    scores, known = np.zeros(n_given.sum()), np.zeros(n_given.sum(), dtype=bool)
    np.add.at(scores, row, np.concatenate([e.atom_scores for e in explanations]))
    known[row] = True
    ends = pa.array(bonds.ends.ravel(), pa.int32())
    arrays = {
        "row": pa.array([r.row for r in records], pa.int64()),
        **{name: _column(explanations, name) for name in MOLECULE_SCHEMA.names[1:-3]},
        "atom_scores": _lists(n_given, pa.array(scores.astype(np.float32), mask=~known)),
        "bond_atoms": _lists(bonds.counts, _lists(np.full(len(bonds.ends), 2), ends)),
        "bond_scores": _lists(bonds.counts, pa.array(bonds.scores.astype(np.float32))),
    }
    return pa.record_batch([arrays[name] for name in MOLECULE_SCHEMA.names], schema=MOLECULE_SCHEMA)


class _Numbering(NamedTuple):
    """Which atom of the SMILES each scored atom counts with."""

    given: Index
    added: npt.NDArray[np.bool_]
    n_given: int


class _Bonds(NamedTuple):
    """Bonds of all molecules, end to end."""

    scores: npt.NDArray[np.float64]
    ends: Index
    counts: Index


def _numbering(record: Record, explanation: Explanation) -> _Numbering:
    mol = explanation.mol
    n_atoms = mol.GetNumAtoms()
    # Standardisation marks every atom; hydrogens that become atoms are marked, and come last.
    standardised, extended = (mol.GetAtomWithIdx(i).HasProp(INPUT_INDEX_PROPERTY) for i in (0, n_atoms - 1))
    if standardised or extended:
        origin = np.array(input_atom_indices(mol), dtype=np.int64)
    else:
        origin = np.arange(n_atoms)
    added = origin < 0
    if extended:
        for index in np.flatnonzero(added).tolist():
            (bearer,) = mol.GetAtomWithIdx(index).GetNeighbors()
            origin[index] = origin[bearer.GetIdx()]
    if record.mol is not None:
        places = _places_in_smiles(record.mol)
        return _Numbering(places[origin], added, len(places))
    n_given = _n_atoms(record.smiles) if standardised else n_atoms - int(added.sum())
    return _Numbering(origin, added, n_given)


def _places_in_smiles(mol: Chem.Mol) -> Index:
    """Number that each atom of a molecule has in the SMILES that RDKit writes of it, shape (n_atoms,)."""
    Chem.MolToSmiles(mol)
    order = mol.GetPropsAsDict(includePrivate=True, includeComputed=True)["_smilesAtomOutputOrder"]
    return np.argsort(np.array(list(order), dtype=np.int64))


def _n_atoms(smiles: str) -> int:
    with rdBase.BlockLogs():
        return int(Chem.MolFromSmiles(smiles.strip()).GetNumAtoms())


def _bonds(explanations: Sequence[Explanation], given: Index, added: npt.NDArray[np.bool_]) -> _Bonds:
    """Bonds of the scored molecules, but for those of added hydrogens."""
    n_pairs = np.array([len(e.graph.pair_atoms) for e in explanations], dtype=np.int64)
    molecule = np.repeat(np.arange(len(explanations)), n_pairs)
    starts = _starts(np.array([len(e.graph.atom_codes) for e in explanations], dtype=np.int64))
    pairs = np.concatenate([e.graph.pair_atoms for e in explanations]) + starts[molecule][:, None]
    chosen = np.concatenate([e.bonded_pairs for e in explanations]) & ~added[pairs].any(axis=1)
    return _Bonds(
        scores=np.concatenate([e.pair_scores for e in explanations])[chosen],
        ends=given[pairs[chosen]],
        counts=np.bincount(molecule[chosen], minlength=len(explanations)).astype(np.int64),
    )


def _starts(counts: Index) -> Index:
    return np.asarray(np.cumsum(counts) - counts)


def _column(explanations: Sequence[Explanation], name: str) -> pa.Array:
    return pa.array([getattr(e, name) for e in explanations], MOLECULE_SCHEMA.field(name).type)


def _lists(counts: Index, values: pa.Array) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
