"""Explanations as a compact table, a row per molecule: for whole libraries.

Atoms are counted as in the input, from 0: the k-th of ``atom_scores`` belongs to the k-th atom of the SMILES
or mol block as written, whatever standardisation did to the molecule. An atom's score holds its own features
and half of each of its pairs. An atom that was not scored, as in a counter-ion, has null there, and so has an
explicit hydrogen of the input. Where a model takes hydrogens for atoms, their scores count with the atom that
bears them.

``atom_scores`` (without nulls) and ``residual`` add up to ``score - baseline_score``, but for the rounding of
32-bit numbers. Half of each of the ``bond_scores`` is part of its two atoms' scores already.

Of a committee, ``member_NAME`` is what the member of that name contributes; the members add up to ``score -
baseline_score``, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from molig.attribution import Explanation
from molig.attribution.explanation import bonds_of_pairs

Index = npt.NDArray[np.int64]

_ATOM_ORDER = "one per atom of the input as written; null: not scored (counter-ion, explicit hydrogen)"
_SCORED = "the molecule that was scored: smiles itself where nothing was changed"
_REMOVED = "parts taken away before, by name or SMILES, joined by '; '"
_ERROR = "bound of the largest error of a single attribution"
_BOND_ATOMS = "the two atoms of each bond, 0-based, counted as in atom_scores"
_MEMBER = "what this member of the committee contributes to score - baseline_score"
_BOND_SCORES = "one per bond, in the order of bond_atoms; half of each is also part of its atoms' scores"

MOLECULE_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("smiles", pa.string()),
        pa.field("scored_smiles", pa.string(), metadata={"description": _SCORED}),
        pa.field("removed", pa.string(), metadata={"description": _REMOVED}),
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


def molecule_schema(members: Sequence[str]) -> pa.Schema:
    """Columns of the table, and one of each member of a committee: what it contributes."""
    schema = MOLECULE_SCHEMA
    for name in members:
        schema = schema.append(pa.field(f"member_{name}", pa.float64(), metadata={"description": _MEMBER}))
    return schema


def molecule_batch(explanations: Sequence[Explanation], members: Sequence[str] = ()) -> pa.RecordBatch:
    """Put each explanation into one row; what a method does not tell of members is null."""
    by_atom = [e.input_atom_scores for e in explanations]
    scores = np.concatenate(by_atom)
    bonds = _bonds(explanations)
    ends = pa.array(bonds.ends.ravel(), pa.int32())
    arrays = {
        **{name: _column(explanations, name) for name in MOLECULE_SCHEMA.names[:-3]},
        "atom_scores": _lists(
            np.array([len(one) for one in by_atom]),
            pa.array(scores.astype(np.float32), mask=np.isnan(scores)),
        ),
        "bond_atoms": _lists(bonds.counts, _lists(np.full(len(bonds.ends), 2), ends)),
        "bond_scores": _lists(bonds.counts, pa.array(bonds.scores.astype(np.float32))),
        **{
            f"member_{name}": pa.array([e.members.get(name) for e in explanations], pa.float64())
            for name in members
        },
    }
    schema = molecule_schema(members)
    return pa.record_batch([arrays[name] for name in schema.names], schema=schema)


class _Bonds(NamedTuple):
    """Bonds of all molecules, end to end."""

    scores: npt.NDArray[np.float64]
    ends: Index
    counts: Index


def _bonds(explanations: Sequence[Explanation]) -> _Bonds:
    """Bonds of the scored molecules, but for those of added hydrogens."""
    chosen = [e.bonded_pairs & ~e.is_added[e.graph.pair_atoms].any(axis=1) for e in explanations]
    each = list(zip(explanations, chosen, strict=True))
    return _Bonds(
        scores=np.concatenate([_scores_of(e, bonds) for e, bonds in each]),
        ends=np.concatenate([e.input_atoms[e.graph.pair_atoms[bonds]] for e, bonds in each]),
        counts=np.array([bonds.sum() for bonds in chosen]),
    )


def _scores_of(explanation: Explanation, bonds: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    if not len(explanation.environment_attributions):
        return explanation.pair_scores[bonds]
    number = bonds_of_pairs(explanation.mol, explanation.graph.pair_atoms[bonds])
    return explanation.bond_scores[number]


def _column(explanations: Sequence[Explanation], name: str) -> pa.Array:
    values = [e.removed_text if name == "removed" else getattr(e, name) for e in explanations]
    return pa.array(values, MOLECULE_SCHEMA.field(name).type)


def _lists(counts: Index, values: pa.Array) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
