"""Standardisation: a molecule as drawn -> the compound that is scored.

The policy "parent" is RDKit's clean-up (metals disconnected, functional groups in their usual form, charges
where they belong), then the largest fragment, then neutral where possible. That costs several times as much
as parsing, and on most of a screening library it changes nothing; molecules on which it can do nothing are
recognised first.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

INPUT_INDEX_PROPERTY = "_molig_input_index"


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
    """Clean-up, largest fragment, charges neutralised."""


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
    disconnector: rdMolStandardize.MetalDisconnector
    normalizer: rdMolStandardize.Normalizer
    reionizer: rdMolStandardize.Reionizer
    chooser: rdMolStandardize.LargestFragmentChooser
    uncharger: rdMolStandardize.Uncharger


@lru_cache(maxsize=1)
def _tools() -> _Tools:
    """Build RDKit's standardisers once per process: the module-level functions build them at every call."""
    return _Tools(
        disconnector=rdMolStandardize.MetalDisconnector(),
        normalizer=rdMolStandardize.Normalizer(),
        reionizer=rdMolStandardize.Reionizer(),
        chooser=rdMolStandardize.LargestFragmentChooser(),
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


def is_standard(mol: Chem.Mol) -> bool:
    """Tell whether the policy "parent" leaves a molecule untouched; False where that is not certain."""
    return not mol.HasSubstructMatch(_SUSPECT) or not mol.HasSubstructMatch(_CHANGEABLE)


def to_parent(mol: Chem.Mol) -> Chem.Mol:
    """Clean up, keep the largest fragment, neutralise: the whole procedure, without short cut."""
    tools = _tools()
    result = Chem.RWMol(mol)
    for atom in result.GetAtoms():
        atom.SetIntProp(INPUT_INDEX_PROPERTY, atom.GetIdx())
    # The parsers have merged hydrogens already, but RemoveHs sanitises once more, and only that counts the
    # electrons of ligands on metals right: without it some thiolates come out as radicals.
    result = Chem.RWMol(Chem.RemoveHs(result))
    tools.disconnector.DisconnectInPlace(result)
    tools.normalizer.normalizeInPlace(result)
    tools.reionizer.reionizeInPlace(result)
    Chem.AssignStereochemistry(result)
    tools.chooser.chooseInPlace(result)
    tools.uncharger.unchargeInPlace(result)
    return result.GetMol()


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


def input_atom_indices(mol: Chem.Mol) -> list[int]:
    """Tell from which atoms of the molecule as given the atoms of a standardised one come."""
    return [
        atom.GetIntProp(INPUT_INDEX_PROPERTY) if atom.HasProp(INPUT_INDEX_PROPERTY) else atom.GetIdx()
        for atom in mol.GetAtoms()
    ]
