"""Functional groups, ring systems and chains of a molecule, by the names that chemists give them."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from rdkit import Chem, rdBase

RING, FUNCTIONAL, CHAIN = "ring system", "functional group", "chain"

# A larger ring is a chain that closes, unless it is aromatic.
_LARGEST_RING = 8


@dataclass(frozen=True)
class Group:
    """A part of a molecule that chemists have a word for.

    Parameters
    ----------
    name : str
        Such as "nitro", "indole" or "methyl"; "3 fused rings" and the like where there is no better word.
    atoms : tuple of int
        Indices of its atoms in the molecule, in ascending order.
    kind : str
        "ring system", "functional group" or "chain".
    generic : bool
        Whether the name tells no more than a number of rings or atoms, so that atoms should be named beside.
    """

    name: str
    atoms: tuple[int, ...]
    kind: str
    generic: bool = False


def named_groups(mol: Chem.Mol) -> tuple[Group, ...]:
    """Divide a molecule into ring systems, functional groups and chains: every atom belongs to exactly one.

    Rings that share a bond are one system, with the oxygen and sulfur that are double-bonded to it: a quinone
    is a ring and not two ketones. Of the other atoms functional groups claim theirs, the more special ones
    first (``molig/molecules/groups.toml``); what is left are chains.

    Parameters
    ----------
    mol : Mol
        A sanitised molecule; it is not changed.

    Returns
    -------
    tuple of Group
        In the order of their first atoms.

    Examples
    --------
    >>> groups = named_groups(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"))
    >>> [(group.name, group.atoms) for group in groups]
    [('acetate ester', (0, 1, 2, 3)), ('benzene', (4, 5, 6, 7, 8, 9)), ('carboxylic acid', (10, 11, 12))]
    """
    found = _ring_systems(mol)
    borne = _bearers(mol)
    left = set(range(mol.GetNumAtoms())) - borne.keys() - {atom for group in found for atom in group.atoms}
    for name, pattern in _table().patterns:
        if len(left) < pattern.GetNumAtoms():
            continue
        for match in mol.GetSubstructMatches(pattern, maxMatches=mol.GetNumAtoms()):
            if left.issuperset(match):
                left.difference_update(match)
                found.append(Group(name, tuple(sorted(match)), FUNCTIONAL))
    found += [_chain(mol, part) for part in connected_parts(mol, left)]
    return tuple(sorted((_with_hydrogens(group, borne) for group in found), key=lambda group: group.atoms))


def _bearers(mol: Chem.Mol) -> dict[int, int]:
    """Of every hydrogen that is an atom of its own, the atom that bears it."""
    hydrogens = (atom for atom in mol.GetAtoms() if atom.GetAtomicNum() == 1 and atom.GetDegree() == 1)
    bearers = ((atom.GetIdx(), atom.GetNeighbors()[0]) for atom in hydrogens)
    return {hydrogen: bearer.GetIdx() for hydrogen, bearer in bearers if bearer.GetAtomicNum() != 1}


def _with_hydrogens(group: Group, borne: dict[int, int]) -> Group:
    hydrogens = [hydrogen for hydrogen, bearer in borne.items() if bearer in group.atoms]
    return replace(group, atoms=tuple(sorted([*group.atoms, *hydrogens]))) if hydrogens else group


def connected_parts(mol: Chem.Mol, atoms: Iterable[int]) -> list[tuple[int, ...]]:
    """Sets of atoms that hang together by bonds among them, each in ascending order."""
    parts, left = [], set(atoms)
    while left:
        part, frontier = set[int](), [min(left)]
        while frontier:
            atom = frontier.pop()
            if atom in left:
                left.discard(atom)
                part.add(atom)
                frontier += [n.GetIdx() for n in mol.GetAtomWithIdx(atom).GetNeighbors()]
        parts.append(tuple(sorted(part)))
    return parts


def ring_systems(mol: Chem.Mol) -> list[list[int]]:
    """Atoms of each ring system: rings that share an atom are one."""
    systems: list[set[int]] = []
    # A parent cut out of a salt may know of no rings; those of a copy leave the molecule alone.
    for ring in Chem.GetSymmSSSR(Chem.Mol(mol)):
        joined = set(ring)
        for other in [system for system in systems if system & joined]:
            joined |= other
            systems.remove(other)
        systems.append(joined)
    return sorted(sorted(system) for system in systems)


def _ring_systems(mol: Chem.Mol) -> list[Group]:
    claimed: set[int] = set()
    systems = []
    for ring_atoms, n_rings in _fused(mol):
        atoms = (ring_atoms | _doubly_bonded(mol, ring_atoms)) - claimed
        claimed |= atoms
        name = _table().rings.get(_key(mol, sorted(atoms)))
        generic = f"{n_rings} fused rings" if n_rings > 1 else f"ring of {len(ring_atoms)} atoms"
        systems.append(Group(name or generic, tuple(sorted(atoms)), RING, generic=name is None))
    return systems


def _fused(mol: Chem.Mol) -> list[tuple[set[int], int]]:
    """Atoms of rings that share bonds, and the number of rings; rings with a common atom alone stay apart."""
    systems: list[tuple[set[int], int]] = []
    # A parent cut out of a salt may know of no rings; those of a copy leave the molecule alone.
    for ring in map(set, Chem.GetSymmSSSR(Chem.Mol(mol))):
        aromatic = all(mol.GetAtomWithIdx(atom).GetIsAromatic() for atom in ring)
        if len(ring) > _LARGEST_RING and not aromatic:
            continue
        joined = [system for system in systems if len(system[0] & ring) > 1]
        systems = [system for system in systems if system not in joined]
        atoms = ring.union(*(each for each, _ in joined))
        systems.append((atoms, 1 + sum(n for _, n in joined)))
    return systems


def _doubly_bonded(mol: Chem.Mol, ring: Collection[int]) -> set[int]:
    """Oxygen and sulfur at double bonds to a ring."""
    bonds = (bond for atom in ring for bond in mol.GetAtomWithIdx(atom).GetBonds())
    outside = (
        end
        for bond in bonds
        if bond.GetBondType() == Chem.BondType.DOUBLE
        for end in (bond.GetBeginAtom(), bond.GetEndAtom())
        if end.GetIdx() not in ring
    )
    return {end.GetIdx() for end in outside if end.GetSymbol() in {"O", "S"} and end.GetDegree() == 1}


def _key(mol: Chem.Mol, atoms: Sequence[int], dummies: Collection[int] = ()) -> str:
    """Canonical SMILES of a part with hydrogen for everything that hangs on it; "" if it has none."""
    part, place = Chem.RWMol(), {}
    for index in atoms:
        atom = mol.GetAtomWithIdx(index)
        if index in dummies or not atom.GetAtomicNum():
            place[index] = part.AddAtom(Chem.Atom(0))
            continue
        new = Chem.Atom(atom.GetAtomicNum())
        new.SetFormalCharge(atom.GetFormalCharge())
        new.SetIsAromatic(atom.GetIsAromatic())
        inside = sum(neighbour.GetIdx() in set(atoms) for neighbour in atom.GetNeighbors())
        if atom.GetIsAromatic() and atom.GetAtomicNum() in {7, 15} and atom.GetTotalDegree() > inside:
            new.SetNumExplicitHs(1)
        place[index] = part.AddAtom(new)
    for bond in mol.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if place.keys() >= set(ends):
            joined = Chem.BondType.SINGLE if set(ends) & set(dummies) else bond.GetBondType()
            part.AddBond(place[ends[0]], place[ends[1]], joined)
    try:
        with rdBase.BlockLogs():
            Chem.SanitizeMol(part)
    except (Chem.MolSanitizeException, ValueError):
        return ""
    key: str = Chem.MolToSmiles(part)
    return key


_LEFT_ELEMENTS = {"O": "oxygen", "N": "nitrogen", "S": "sulfur", "P": "phosphorus"}


def _chain(mol: Chem.Mol, atoms: tuple[int, ...]) -> Group:
    held = [mol.GetAtomWithIdx(atom) for atom in atoms]
    if any(atom.GetSymbol() != "C" for atom in held):
        if len(held) == 1:
            symbol = held[0].GetSymbol()
            return Group(_LEFT_ELEMENTS.get(symbol, symbol), atoms, CHAIN)
        return Group(f"group of {len(atoms)} atoms", atoms, CHAIN, generic=True)
    outside = [
        neighbour.GetIdx()
        for atom in held
        for neighbour in atom.GetNeighbors()
        if neighbour.GetIdx() not in atoms and neighbour.GetAtomicNum() != 1
    ]
    name = _table().chains.get(_key(mol, [*atoms, *outside], outside)) if len(outside) == 1 else None
    if name:
        return Group(name, atoms, CHAIN)
    if len(atoms) == 1:
        return Group({4: "methane", 2: "CH2", 1: "CH"}.get(held[0].GetTotalNumHs(), "carbon"), atoms, CHAIN)
    return Group(f"chain of {len(atoms)} carbons", atoms, CHAIN, generic=True)


@dataclass(frozen=True)
class _Table:
    rings: dict[str, str]
    chains: dict[str, str]
    patterns: tuple[tuple[str, Any], ...]


@lru_cache(maxsize=1)
def _table() -> _Table:
    given = tomllib.loads(files("molig.molecules").joinpath("groups.toml").read_text(encoding="utf-8"))
    return _Table(
        rings=_by_key(given["rings"]),
        chains=_by_key(given["chains"]),
        patterns=tuple(
            (name, Chem.MolFromSmarts(smarts))
            for name, several in _each(given["groups"])
            for smarts in several
        ),
    )


def _by_key(names: dict[str, str | list[str]]) -> dict[str, str]:
    mols = ((name, Chem.MolFromSmiles(one)) for name, several in _each(names) for one in several)
    return {_key(mol, range(mol.GetNumAtoms())): name for name, mol in mols}


def _each(names: dict[str, str | list[str]]) -> Iterable[tuple[str, list[str]]]:
    return ((name, [one] if isinstance(one, str) else one) for name, one in names.items())
