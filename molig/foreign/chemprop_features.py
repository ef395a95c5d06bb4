"""The atom and bond features that Chemprop v2 reads, as schemas of molig.

Published in the paper and documentation of Chemprop (J. Chem. Inf. Model. 2024, 64, 9) and of RIGR (2025, 65,
10832). The columns stand in Chemprop's order, so that its weights fit; a pair is a bond.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import BondType, HybridizationType

from molig.errors import UsageError
from molig.features import Block, BlockKind, FeatureSchema, PackedGraphs
from molig.features.graphs import build_packed

Codes = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[Any]]

_Kind = HybridizationType
_FIRST_ROWS = (*range(1, 37), 53)
_DEGREES, _HYDROGENS = range(6), range(5)
_CHARGES = (-1, -2, 1, 2, 0)
_CHIRALITIES = ("none", "clockwise", "counter-clockwise", "unspecified")
_BONDS = {BondType.SINGLE: "single", BondType.DOUBLE: "double", BondType.TRIPLE: "triple"}
_BONDS |= {BondType.AROMATIC: "aromatic"}
_STEREO = ("none", "any", "Z", "E", "cis", "trans")
_OTHER = "other"
_EXTRA = "extra"


class _Preset(NamedTuple):
    """What distinguishes one set of features from another."""

    elements: tuple[int, ...]
    hybridizations: tuple[HybridizationType, ...]
    resonance_invariant: bool = False  # leaves out what differs between resonance structures


PRESETS: dict[str, _Preset] = {
    "v2": _Preset(
        _FIRST_ROWS, (_Kind.S, _Kind.SP, _Kind.SP2, _Kind.SP2D, _Kind.SP3, _Kind.SP3D, _Kind.SP3D2)
    ),
    "v1": _Preset(tuple(range(1, 101)), (_Kind.SP, _Kind.SP2, _Kind.SP3, _Kind.SP3D, _Kind.SP3D2)),
    "organic": _Preset((1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53), (_Kind.S, _Kind.SP, _Kind.SP2, _Kind.SP3)),
    "rigr": _Preset(_FIRST_ROWS, (), resonance_invariant=True),
}
"""Chemprop's names of its atom features; a model does not store which it was trained on."""


@cache
def chemprop_schema(preset: str, extra_atom: int = 0, extra_bond: int = 0) -> FeatureSchema:
    """Columns of one of Chemprop's sets of features, and of a user's own behind them."""
    chosen = PRESETS[preset]
    table = Chem.GetPeriodicTable()
    atom = [_one_hot("element", map(table.GetElementSymbol, chosen.elements)), _one_hot("degree", _DEGREES)]
    if chosen.resonance_invariant:
        atom += [_one_hot("hydrogens", _HYDROGENS)]
        bond = [_flag("no bond"), _flag("ring")]
    else:
        atom += [
            _one_hot("charge", [f"{charge:+d}" if charge else "0" for charge in _CHARGES]),
            _one_hot("chirality", _CHIRALITIES),
            _one_hot("hydrogens", _HYDROGENS),
            _one_hot("hybridization", [kind.name.lower() for kind in chosen.hybridizations]),
            _flag("aromatic"),
        ]
        bond = [
            _flag("no bond"),
            Block("type", BlockKind.CATEGORICAL, tuple(_BONDS.values())),
            _flag("conjugated"),
            _flag("ring"),
            _one_hot("stereo", _STEREO),
        ]
    atom.append(_numeric("mass"))
    atom += [_numeric(_EXTRA, extra_atom)] if extra_atom else []
    bond += [_numeric(_EXTRA, extra_bond)] if extra_bond else []
    return FeatureSchema(f"chemprop-{preset}", tuple(atom), tuple(bond), max_pair_distance=1)


def _one_hot(name: str, columns: Iterable[object]) -> Block:
    return Block(name, BlockKind.CATEGORICAL, (*map(str, columns), _OTHER), _OTHER)


def _flag(name: str) -> Block:
    return Block(name, BlockKind.CATEGORICAL, (name,))


def _numeric(name: str, width: int = 1) -> Block:
    columns = (name,) if width == 1 else tuple(f"{name} {i}" for i in range(width))
    return Block(name, BlockKind.NUMERIC, columns)


def chemprop_graphs(
    mols: Sequence[Chem.Mol],
    preset: str,
    extra_atom: Sequence[npt.ArrayLike] | None = None,
    extra_bond: Sequence[npt.ArrayLike] | None = None,
) -> PackedGraphs:
    """Featurize molecules as Chemprop does.

    Parameters
    ----------
    mols : sequence of Mol
        Sanitised molecules, each with at least one atom.
    preset : str
        ``"v2"``, ``"v1"``, ``"organic"`` or ``"rigr"``.
    extra_atom, extra_bond : sequence of array-like, optional
        Per molecule, features of one's own for each atom and each bond, in RDKit's order.

    Returns
    -------
    PackedGraphs
        The pairs are the bonds, in RDKit's order.
    """
    more_atom, more_bond = _stacked(extra_atom), _stacked(extra_bond)
    schema = chemprop_schema(
        preset,
        0 if more_atom is None else more_atom.shape[1],
        0 if more_bond is None else more_bond.shape[1],
    )
    bonds, pair_atoms, bond_counts = _read_bonds(mols)
    atom_counts = np.array([mol.GetNumAtoms() for mol in mols], dtype=np.int64)
    starts = np.repeat(np.cumsum(atom_counts) - atom_counts, bond_counts)
    ends = (pair_atoms + starts[:, None]).ravel()
    atoms = _read_atoms(mols, preset, np.bincount(ends, minlength=int(atom_counts.sum())))
    for columns, more, what in ((atoms, more_atom, "atom"), (bonds, more_bond, "bond")):
        n_rows = len(next(iter(columns.values())))
        if more is not None and len(more) != n_rows:
            raise UsageError(
                f"the extra {what} features have {len(more)} rows; the molecules have {n_rows} {what}s"
            )
        if more is not None:
            columns[_EXTRA] = more
    atom_codes, atom_values = _filled(schema.atom_blocks, atoms)
    pair_codes, pair_values = _filled(schema.pair_blocks, bonds)
    return build_packed(
        atom_codes=atom_codes,
        atom_values=atom_values,
        pair_codes=pair_codes,
        pair_values=pair_values,
        pair_atoms=np.sort(pair_atoms, axis=1),
        atom_counts=atom_counts,
        pair_counts=bond_counts,
    )


def _stacked(extra: Sequence[npt.ArrayLike] | None) -> npt.NDArray[np.float64] | None:
    if extra is None:
        return None
    rows = [np.asarray(part, dtype=np.float64) for part in extra]
    widths = {part.shape[1] if part.ndim == 2 else -1 for part in rows}
    if len(widths) != 1 or -1 in widths:
        raise UsageError("extra features need one table per molecule, all with the same number of columns")
    return np.concatenate(rows)


def _filled(
    blocks: Sequence[Block], columns: Columns
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    codes = [columns[b.name] for b in blocks if b.kind is BlockKind.CATEGORICAL]
    values = [np.zeros((len(codes[0]), 0))]
    values += [columns[b.name].reshape(-1, b.width) for b in blocks if b.kind is BlockKind.NUMERIC]
    return np.stack(codes, axis=1).astype(np.int8), np.concatenate(values, axis=1).astype(np.float32)


# One pass through RDKit's atoms and one through its bonds; the rest is look-up in tables.


def _read_atoms(mols: Sequence[Chem.Mol], preset: str, degrees: Codes) -> Columns:
    chosen = PRESETS[preset]
    read = _invariant_atoms if chosen.resonance_invariant else _all_of_atoms
    listed = np.array([row for mol in mols for row in read(mol)], dtype=np.float64)
    element, hydrogens, mass = listed[:, 0].astype(np.int64), listed[:, 1].astype(np.int64), listed[:, 2]
    found: Columns = {
        "element": _codes(element, chosen.elements),
        # Chemprop's degree counts implicit hydrogens, too.
        "degree": _codes(degrees + hydrogens, _DEGREES),
        "hydrogens": _codes(hydrogens, _HYDROGENS),
        "mass": 0.01 * mass,
    }
    if not chosen.resonance_invariant:
        charge, chirality, hybridization = listed[:, 3:6].astype(np.int64).T
        found["charge"] = _codes(charge, _CHARGES)
        found["chirality"] = _codes(chirality, range(len(_CHIRALITIES)))
        found["hybridization"] = _codes(hybridization, [int(kind) for kind in chosen.hybridizations])
        found["aromatic"] = listed[:, 6] - 1
    return found


def _all_of_atoms(mol: Chem.Mol) -> list[tuple[float, ...]]:
    return [
        (
            atom.GetAtomicNum(),
            atom.GetTotalNumHs(),
            atom.GetMass(),
            atom.GetFormalCharge(),
            atom.GetChiralTag(),
            atom.GetHybridization(),
            atom.GetIsAromatic(),
        )
        for atom in map(mol.GetAtomWithIdx, range(mol.GetNumAtoms()))
    ]


def _invariant_atoms(mol: Chem.Mol) -> list[tuple[float, ...]]:
    return [
        (atom.GetAtomicNum(), atom.GetTotalNumHs(), atom.GetMass())
        for atom in map(mol.GetAtomWithIdx, range(mol.GetNumAtoms()))
    ]


def _read_bonds(mols: Sequence[Chem.Mol]) -> tuple[Columns, Codes, Codes]:
    """Features of the bonds, their atoms, and how many each molecule has."""
    listed = np.array(list(chain.from_iterable(map(_all_of_bonds, mols))), dtype=np.int64).reshape(-1, 6)
    _, _, kind, conjugated, ring, stereo = listed.T
    kind = _codes(kind, [int(known) for known in _BONDS])
    found: Columns = {
        "no bond": np.full(len(listed), -1),
        # A bond of another type (dative, quadruple) has none of the columns.
        "type": np.where(kind == len(_BONDS), -1, kind),
        "conjugated": conjugated - 1,
        "ring": ring - 1,
        "stereo": _codes(stereo, range(len(_STEREO))),
    }
    counts = np.array([mol.GetNumBonds() for mol in mols], dtype=np.int64)
    return found, listed[:, :2], counts


def _all_of_bonds(mol: Chem.Mol) -> list[tuple[int, ...]]:
    return [
        (
            bond.GetBeginAtomIdx(),
            bond.GetEndAtomIdx(),
            bond.GetBondType(),
            bond.GetIsConjugated(),
            bond.IsInRing(),
            bond.GetStereo(),
        )
        for bond in map(mol.GetBondWithIdx, range(mol.GetNumBonds()))
    ]


def _codes(values: Codes, known: Sequence[int]) -> Codes:
    """Place of each value among the known ones; the number of known ones for any other."""
    lowest, highest = min(known), max(known)
    table = np.full(highest - lowest + 3, len(known), dtype=np.int64)
    table[np.array(known) - lowest + 1] = np.arange(len(known))
    return table[np.clip(values - lowest + 1, 0, len(table) - 1)]
