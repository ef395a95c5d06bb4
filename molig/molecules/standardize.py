"""Standardisation: a molecule as drawn -> the compound that is scored.

The policy "parent" is RDKit's clean-up (metal salts taken apart, functional groups in their usual form,
charges where they belong), then one fragment, the parent, neutral where possible. That costs several times as
much as parsing, and on most of a screening library it changes nothing; molecules on which it can do nothing
are recognised first.

The parent is the largest organic fragment that is no counter-ion or solvent of `salt_formers.csv`. What has
no such parent is refused: metals bound to other atoms, inorganic salts, radicals.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum, StrEnum
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

from rdkit import Chem
from rdkit.Chem import rdqueries
from rdkit.Chem.MolStandardize import rdMolStandardize

from molig.molecules.reasons import Reason, RefusedError

INPUT_INDEX_PROPERTY = "_molig_input_index"
_N_INPUT_PROPERTY = "_molig_n_input_atoms"

PARENT_VERSION = 2
"""Version of the policy "parent", which models record. 1 took the fragment with most atoms, hydrogens
included, and stripped metals of every kind; 2 knows salt formers and refuses what is no organic compound."""

MAX_CHARGE = 8
"""Largest formal charge of an atom that is believed; the greatest known oxidation state is 9."""


class StandardizationPolicy(StrEnum):
    """How far a molecule is changed before it is scored.

    Examples
    --------
    >>> StandardizationPolicy("parent")
    <StandardizationPolicy.PARENT: 'parent'>
    """

    NONE = "none"
    """Sanitised only: fragments, counter-ions and charges stay as written."""

    PARENT = "parent"
    """Clean-up, largest organic fragment that is no counter-ion or solvent, charges neutralised."""


class Hydrogens(StrEnum):
    """Whether a molecule's hydrogens are atoms of their own.

    Examples
    --------
    >>> Hydrogens("explicit")
    <Hydrogens.EXPLICIT: 'explicit'>
    """

    IMPLICIT = "implicit"
    """Hydrogens belong to their heavy atoms."""

    EXPLICIT = "explicit"
    """Every hydrogen is an atom, behind the atoms of the standardised molecule."""


class _Tools(NamedTuple):
    normalizer: rdMolStandardize.Normalizer
    reionizer: rdMolStandardize.Reionizer
    uncharger: rdMolStandardize.Uncharger


@lru_cache(maxsize=1)
def _tools() -> _Tools:
    """Build RDKit's standardisers once per process: the module-level functions build them at every call."""
    return _Tools(
        normalizer=rdMolStandardize.Normalizer(),
        reionizer=rdMolStandardize.Reionizer(),
        uncharger=rdMolStandardize.Uncharger(),
    )


# An atom that some rule of the clean-up might look at. One query atom without recursion: 7 us for a molecule.
_SUSPECT = Chem.MolFromSmarts("[!#6&!#7&!#8&!#9&!#16&!#17&!#35&!#53,!+0,#16X3,#7v5,#7v4+0]")

# A second look at the molecules that the first query holds back. Harmless after all are B, Si, tetrahedral P,
# and charges that sit side by side as in a nitro group or an N-oxide. No rule applies to such a pair: an
# anion is recombined, protonated or reionised only when a neutral atom is beside it, a cation only when no
# anion is. The one exception is the nitrate ion, N+ with two O-.
_CHANGEABLE = Chem.MolFromSmarts(
    "[!#5&!#6&!#7&!#8&!#9&!#14&!#15&!#16&!#17&!#35&!#53,#16X3,#15X3,#7v5,#7v4+0,"
    "!+0&!$([OX1-]-[#7+])&!$([#7H0+]-[OX1-]),$([#7+](-[O-])-[O-])]"
)

for _query in (_SUSPECT, _CHANGEABLE):  # SMARTS cannot ask for unpaired electrons
    _query.GetAtomWithIdx(0).ExpandQuery(
        rdqueries.NumRadicalElectronsGreaterQueryAtom(0), Chem.CompositeQueryType.COMPOSITE_OR
    )


def is_standard(mol: Chem.Mol) -> bool:
    """Tell whether the policy "parent" leaves a molecule untouched; False where that is not certain."""
    return not mol.HasSubstructMatch(_SUSPECT) or not mol.HasSubstructMatch(_CHANGEABLE)


def to_parent(mol: Chem.Mol) -> Chem.Mol:
    """Clean up, keep the parent, neutralise: the whole procedure, without short cut."""
    return with_removed_parts(mol)[0]


_NON_METALS = frozenset(
    {0, 1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 51, 52, 53, 54, 85, 86, 117, 118}
)


def _one_atom(atom: Any) -> Chem.Mol:
    query = Chem.RWMol(Chem.MolFromSmarts("*"))
    query.ReplaceAtom(0, atom)
    return query.GetMol()


def _beyond(charge: int) -> Any:
    query = rdqueries.FormalChargeGreaterQueryAtom(charge)
    query.ExpandQuery(rdqueries.FormalChargeLessQueryAtom(-charge), Chem.CompositeQueryType.COMPOSITE_OR)
    return query


# A query takes RDKit a few microseconds for a molecule, a loop over its atoms one for each.
_METAL = Chem.MolFromSmarts("[" + "&".join(f"!#{number}" for number in sorted(_NON_METALS)) + "]")
_CARBON = Chem.MolFromSmarts("[#6]")
_IMPOSSIBLY_CHARGED = _one_atom(_beyond(MAX_CHARGE))
_UNPAIRED = _one_atom(rdqueries.NumRadicalElectronsGreaterQueryAtom(0))


def atoms_of(mol: Chem.Mol) -> Iterator[Chem.Atom]:
    """The atoms; RDKit's own iterator takes twice as long."""
    return map(mol.GetAtomWithIdx, range(mol.GetNumAtoms()))


def _found(mol: Chem.Mol, query: Chem.Mol) -> list[int]:
    """Atoms that a query of one atom finds, in order."""
    return sorted(atom for (atom,) in mol.GetSubstructMatches(query, maxMatches=mol.GetNumAtoms()))


def with_removed_parts(mol: Chem.Mol) -> tuple[Chem.Mol, tuple[str, ...]]:
    """`to_parent`, and what it took away by name, or by SMILES where the name is not known."""
    _refuse_charges(mol)
    tools = _tools()
    result = Chem.RWMol(mol)
    mark_input_atoms(result)
    result = Chem.RWMol(Chem.RemoveHs(result))
    # Sanitising again may lose electrons that were given beside the SMILES.
    radicals = set(_input_indices(mol, _radicals(mol)))
    _take_salts_apart(result)
    tools.normalizer.normalizeInPlace(result)
    tools.reionizer.reionizeInPlace(result)
    Chem.AssignStereochemistry(result)
    result, removed = _parent_fragment(result)
    tools.uncharger.unchargeInPlace(result)
    _refuse_radicals(result, radicals)
    return result.GetMol(), removed


# Fragments.


class _Rank(IntEnum):
    """What a fragment of a salt or solvate is; the parent is of the highest rank that there is.

    A salt may consist of salt formers only. Then the base is the compound, as in piperazine citrate.
    """

    INORGANIC = 0
    SOLVENT = 1
    ACID = 2
    BASE = 3
    COMPOUND = 4


class _Part(NamedTuple):
    """A kind of fragment, in the order in which the parent is chosen."""

    rank: _Rank
    n_heavy: int
    weight: float
    smiles: str  # makes the choice independent of the order of atoms
    name: str


def _parent_fragment(mol: Chem.RWMol) -> tuple[Chem.RWMol, tuple[str, ...]]:
    if mol.GetNumAtoms() == 0:
        raise RefusedError(Reason.NO_ATOMS.text())
    if mol.HasSubstructMatch(_CARBON) and len(Chem.GetMolFrags(mol)) == 1:
        return mol, ()
    fragments = Chem.GetMolFrags(mol, asMols=True, sanitizeFrags=False)
    parts = [_part(Chem.MolToSmiles(fragment)) for fragment in fragments]
    best = max(range(len(parts)), key=parts.__getitem__)
    if parts[best].rank is _Rank.INORGANIC:
        _refuse_inorganic(mol, parts)
    others = Counter(part.name for k, part in enumerate(parts) if k != best)
    removed = tuple(name if n == 1 else f"{name} ({n} x)" for name, n in others.items())
    return Chem.RWMol(fragments[best]), removed


@lru_cache(maxsize=4096)
def _part(smiles: str) -> _Part:
    """Judge a fragment; cached, since a library has few counter-ions."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:  # a fragment that RDKit writes and does not sanitise again: a compound like any other
        mol = Chem.MolFromSmiles(smiles, sanitize=False)
        if mol is None:
            raise ValueError(f"the fragment {smiles} cannot be read back")
        mol.UpdatePropertyCache(strict=False)
    key = _neutral_key(mol)
    rank, name = _salt_formers().get(key, (_Rank.COMPOUND, key))
    if rank is _Rank.COMPOUND and not mol.HasSubstructMatch(_CARBON):
        rank, name = _Rank.INORGANIC, _element_name(mol) or key
    weight = sum(atom.GetMass() for atom in mol.GetAtoms())
    return _Part(rank, mol.GetNumHeavyAtoms(), weight, smiles, name)


def _neutral_key(mol: Chem.Mol) -> str:
    """SMILES of the neutral form without stereo and isotopes, by which salt formers are recognised."""
    plain = Chem.Mol(mol)
    for atom in plain.GetAtoms():
        atom.SetIsotope(0)
    Chem.RemoveStereochemistry(plain)
    return str(Chem.MolToSmiles(_tools().uncharger.uncharge(plain)))


@lru_cache(maxsize=1)
def _salt_formers() -> dict[str, tuple[_Rank, str]]:
    """Rank and name of every counter-ion and solvent in `salt_formers.csv`, by `_neutral_key`."""
    text = (resources.files("molig.molecules") / "salt_formers.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {
        _neutral_key(Chem.MolFromSmiles(row["smiles"])): (_Rank[row["kind"].upper()], row["name"])
        for row in rows
    }


def _element_name(mol: Chem.Mol) -> str:
    """Name of the element of a single atom without hydrogens, else nothing."""
    atom = mol.GetAtomWithIdx(0)
    if mol.GetNumAtoms() > 1 or atom.GetTotalNumHs():
        return ""
    return str(Chem.GetPeriodicTable().GetElementName(atom.GetAtomicNum())).lower()


# What has no parent.

_ALKALI = frozenset({3, 11, 19, 37, 55, 87})
_ALKALINE_EARTH = frozenset({12, 20, 38, 56, 88})
_SALT_BONDS = frozenset({8, 9, 16, 17, 34, 35, 53})

# Carbanions, but for those that are acids without their proton (enolates, nitronates, cyanide) and ylides.
_CARBANION = Chem.MolFromSmarts(
    "[#6-;!$([#6-]~[#6,#7,#15,#16]=,#[#7,#8,#16]);!$([#6-]~[+]);!$([#6-]#[#7,#8])]"
)


def is_metal(atom: Chem.Atom) -> bool:
    """Whether an atom is of a metal; B, Si, Ge, As, Sb and Te are not."""
    return atom.GetAtomicNum() not in _NON_METALS


def only_metals(mol: Chem.Mol) -> bool:
    """Whether all atoms are of metals."""
    return len(_found(mol, _METAL)) == mol.GetNumAtoms()


def _is_salt_bond(metal: Chem.Atom, bond: Chem.Bond) -> bool:
    """Whether a bond is only a way to draw a salt: sodium or calcium on oxygen, a halide, and so on."""
    if bond.GetBondType() != Chem.BondType.SINGLE:
        return False
    other = bond.GetOtherAtom(metal).GetAtomicNum()
    if metal.GetAtomicNum() in _ALKALI:
        return other in _SALT_BONDS or other == 7
    return metal.GetAtomicNum() in _ALKALINE_EARTH and other in _SALT_BONDS and metal.GetDegree() <= 2


def _take_salts_apart(mol: Chem.RWMol) -> None:
    """Make ions of salts that are drawn with bonds; any other ligand makes the compound what it is."""
    metals = [mol.GetAtomWithIdx(i) for i in _found(mol, _METAL)]
    for metal in metals:
        if not all(_is_salt_bond(metal, bond) for bond in metal.GetBonds()):
            ligands = ", ".join(dict.fromkeys(other.GetSymbol() for other in metal.GetNeighbors()))
            detail = f"{_located(metal)} holds {ligands}; only salts are taken apart"
            raise RefusedError(Reason.BOUND_METAL.text(detail))
        for other in metal.GetNeighbors():
            mol.RemoveBond(metal.GetIdx(), other.GetIdx())
            metal.SetFormalCharge(metal.GetFormalCharge() + 1)
            other.SetFormalCharge(other.GetFormalCharge() - 1)
    if metals and mol.HasSubstructMatch(_CARBANION):
        detail = f"{_located(metals[0])} with a carbanion; only salts are taken apart"
        raise RefusedError(Reason.BOUND_METAL.text(detail))


def _refuse_inorganic(mol: Chem.Mol, parts: Sequence[_Part]) -> None:
    if mol.GetNumHeavyAtoms() == 0:
        raise RefusedError(Reason.NO_ATOMS.text())
    if only_metals(mol):
        raise RefusedError(Reason.METAL_ONLY.text(Chem.MolToSmiles(mol)))
    # A single neutral molecule such as water or phosphoric acid is a compound all the same.
    if len(parts) > 1 or Chem.GetFormalCharge(mol):
        names = ", ".join(sorted({part.name for part in parts}))
        raise RefusedError(Reason.INORGANIC.text(f"no organic part in {names}"))


def _refuse_charges(mol: Chem.Mol) -> None:
    found = _found(mol, _IMPOSSIBLY_CHARGED)
    if found:
        atom = mol.GetAtomWithIdx(found[0])
        raise RefusedError(Reason.CHARGE.text(f"{_located(atom)} has {atom.GetFormalCharge():+d}"))


def _radicals(mol: Chem.Mol) -> list[int]:
    """Atoms with unpaired electrons, other than metals."""
    return [i for i in _found(mol, _UNPAIRED) if not is_metal(mol.GetAtomWithIdx(i))]


def _refuse_radicals(parent: Chem.Mol, given: set[int]) -> None:
    """Refuse a parent with unpaired electrons, now or as given; the other fragments may have some."""
    radicals = _radicals(parent)
    if given:
        radicals += [i for i, index in enumerate(input_atom_indices(parent)) if index in given]
    if radicals:
        atom = parent.GetAtomWithIdx(min(radicals))
        raise RefusedError(Reason.RADICAL.text(f"{_located(atom)} has an unpaired electron"))


def _located(atom: Chem.Atom) -> str:
    index = atom.GetIntProp(INPUT_INDEX_PROPERTY) if atom.HasProp(INPUT_INDEX_PROPERTY) else atom.GetIdx()
    return f"{atom.GetSymbol()} (atom {index})"


def standardize(mol: Chem.Mol, policy: StandardizationPolicy, one_fragment: bool = False) -> Chem.Mol:
    """Apply a policy, by the short cut where it is exact.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        Sanitised molecule; it is not changed.
    policy : StandardizationPolicy
        What to apply.
    one_fragment : bool, default False
        Whether the caller knows that the molecule is connected (no ``.`` in its SMILES); spares a count.

    Returns
    -------
    rdkit.Chem.Mol
        ``mol`` itself where nothing has to be done, else a new molecule.
    """
    if policy is StandardizationPolicy.NONE:
        return mol
    if (one_fragment or len(Chem.GetMolFrags(mol)) == 1) and is_standard(mol):
        return mol
    return to_parent(mol)


def add_hydrogens(mol: Chem.Mol) -> Chem.Mol:
    """Make every hydrogen an atom, behind the atoms that are there."""
    result = Chem.AddHs(mol)
    for index in range(mol.GetNumAtoms(), result.GetNumAtoms()):
        result.GetAtomWithIdx(index).SetIntProp(INPUT_INDEX_PROPERTY, -1)
    return result


def mark_input_atoms(mol: Chem.Mol) -> None:
    """Number the atoms, unless they carry the numbers that they had in the input."""
    for index, atom in enumerate(atoms_of(mol)):
        if not atom.HasProp(INPUT_INDEX_PROPERTY):
            atom.SetIntProp(INPUT_INDEX_PROPERTY, index)


# [2H] and [3H] are hydrogens to a network that sees no isotopes; RDKit keeps them as atoms by default.
_MERGED = Chem.RemoveHsParameters()
_MERGED.removeIsotopes = True  # type: ignore[assignment]  # the stubs have methods for properties


def merge_hydrogens(mol: Chem.Mol) -> Chem.Mol:
    """Merge hydrogen atoms, labelled ones too, with their heavy atoms, which keep their input indices."""
    mark_input_atoms(mol)
    merged = Chem.RemoveHs(mol, _MERGED)
    mark_input_size(merged, mol.GetNumAtoms())
    return merged


def mark_input_size(mol: Chem.Mol, n_atoms: int) -> None:
    """Note on a changed molecule how many atoms the input has."""
    mol.SetIntProp(_N_INPUT_PROPERTY, n_atoms)


def n_input_atoms(mol: Chem.Mol) -> int | None:
    """Atoms of the input of a changed molecule; None where nothing was changed."""
    return mol.GetIntProp(_N_INPUT_PROPERTY) if mol.HasProp(_N_INPUT_PROPERTY) else None


def input_atom_indices(mol: Chem.Mol) -> list[int]:
    """Tell from which atoms of the molecule as given the atoms of a standardised one come."""
    return _input_indices(mol, range(mol.GetNumAtoms()))


def _input_indices(mol: Chem.Mol, atoms: Iterable[int]) -> list[int]:
    return [
        atom.GetIntProp(INPUT_INDEX_PROPERTY) if atom.HasProp(INPUT_INDEX_PROPERTY) else atom.GetIdx()
        for atom in map(mol.GetAtomWithIdx, atoms)
    ]
