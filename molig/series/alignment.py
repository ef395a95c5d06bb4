"""Drawings of a series in one orientation: on a template, a SMARTS, or what the molecules have in common."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor

from molig.attribution import Explanation
from molig.errors import InputError
from molig.molecules.reasons import CHEMISTRY_ERRORS
from molig.series.matching import read_template, scaffold_of, with_rings

AUTO = "auto"
# Atoms nearer to each other than this share of a bond cannot be told apart; longer bonds look broken.
_TOO_NEAR, _TOO_FAR = 0.4, 1.5
_BOND = 1.5


def laid_out(mol: Chem.Mol) -> Chem.Mol:
    """A copy with flat coordinates: its own if it has any, else new ones."""
    copy = Chem.Mol(mol)
    copy.UpdatePropertyCache(strict=False)
    with rdBase.BlockLogs():
        copy = with_rings(copy)
        if not _is_flat(copy):
            rdDepictor.Compute2DCoords(copy, clearConfs=True, forceRDKit=True, useRingTemplates=True)
            rdDepictor.StraightenDepiction(copy)
    return copy


def laid_upon(mol: Chem.Mol, reference: Chem.Mol, places: Iterable[tuple[int, int]]) -> Chem.Mol:
    """A copy whose atoms lie where those of a reference do that they stand for.

    Parameters
    ----------
    mol : Mol
        The molecule.
    reference : Mol
        A molecule or template with flat coordinates.
    places : iterable of (int, int)
        Atoms of the reference, each with the atom of ``mol`` that stands for it.

    Returns
    -------
    Mol
        Where the reference's coordinates would press atoms upon each other, as in a smaller ring, the
        molecule keeps its shape and is only turned.
    """
    pairs = [(int(there), int(here)) for there, here in places]
    if not pairs:  # RDKit dies of none
        return laid_out(mol)
    with rdBase.BlockLogs():
        for rigid in (False, True) if _bonded_alike(mol, reference, pairs) else (True,):
            copy = laid_out(mol)
            options = rdDepictor.ConstrainedDepictionParams()
            options.forceRDKit, options.alignOnly = True, rigid  # type: ignore[assignment]  # stubs: methods
            try:
                rdDepictor.GenerateDepictionMatching2DStructure(copy, reference, pairs, -1, options)
            except CHEMISTRY_ERRORS:
                continue
            if not _is_crowded(copy):
                return copy
    return laid_out(mol)


def _bonded_alike(mol: Chem.Mol, reference: Chem.Mol, pairs: Sequence[tuple[int, int]]) -> bool:
    """Whether the atoms that stand for each other are bonded in the one as in the other."""
    place = dict(pairs)
    there = {frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())) for bond in reference.GetBonds()}
    here = {frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())) for bond in mol.GetBonds()}
    among = {frozenset(place[atom] for atom in ends) for ends in there if ends <= place.keys()}
    return among == {ends for ends in here if ends <= set(place.values())}


def _is_flat(mol: Chem.Mol) -> bool:
    if not mol.GetNumConformers() or mol.GetConformer().Is3D():
        return False
    return mol.GetNumAtoms() == 1 or not _is_crowded(mol)


def _is_crowded(mol: Chem.Mol) -> bool:
    """Whether two atoms lie upon each other, or bonded ones far apart."""
    places = mol.GetConformer().GetPositions()[:, :2]
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    bonds = np.array([gaps[i, j] for i, j in ends]) if ends else np.array([_BOND])
    usual = float(np.median(bonds))
    return bool(gaps.min(initial=np.inf) < _TOO_NEAR * usual or bonds.max() > _TOO_FAR * usual)


@dataclass(frozen=True, eq=False)
class Alignment:
    """A pattern with coordinates, upon which molecules are laid.

    Parameters
    ----------
    pattern : Mol
        What a molecule must contain to be aligned.
    reference : Mol
        A molecule with flat coordinates.
    places : tuple of int
        The atom of the reference for every atom of the pattern.

    Examples
    --------
    >>> mols = [Chem.MolFromSmiles(smiles) for smiles in ("Cc1ccccn1", "Oc1ccccn1")]
    >>> rows = [mol.GetConformer().GetPositions() for mol in Alignment.of("c1ccccn1", mols).upon(mols)]
    >>> bool(abs(rows[0][1:] - rows[1][1:]).max() < 0.01)
    True
    """

    pattern: Chem.Mol
    reference: Chem.Mol
    places: tuple[int, ...]

    @classmethod
    def of(cls, how: str, mols: Sequence[Chem.Mol]) -> Alignment:
        """Find what molecules are aligned to.

        Parameters
        ----------
        how : str
            ``"auto"`` for the maximum common substructure of the molecules or, where that is less than a
            ring, the largest Murcko scaffold that 70 % of them contain; a SMARTS; or an SD or mol file,
            whose coordinates are kept.
        mols : sequence of Mol
            The series. With ``"auto"`` or a SMARTS the first one with coordinates of its own, else the first
            one, shows the orientation.

        Returns
        -------
        Alignment

        Raises
        ------
        InputError
            If no molecule contains the pattern, or there is nothing in common.
        UsageError
            If it is neither SMARTS nor a file.
        """
        pattern = scaffold_of(mols) if how == AUTO else read_template(how)
        if _has_coordinates(pattern):
            return cls(pattern, laid_out(pattern), tuple(range(pattern.GetNumAtoms())))
        with rdBase.BlockLogs():
            found = [(mol, with_rings(mol).GetSubstructMatch(pattern)) for mol in mols]
        having = [(mol, place) for mol, place in found if place]
        if not having:
            raise InputError(f"none of the {len(mols)} molecules contains {how!r}, to be aligned to it")
        mol, place = next(((mol, place) for mol, place in having if _is_flat(mol)), having[0])
        return cls(pattern, laid_out(mol), tuple(place))

    def upon(self, mols: Sequence[Chem.Mol]) -> list[Chem.Mol]:
        """Lay molecules upon the reference.

        Parameters
        ----------
        mols : sequence of Mol
            Any; those without the pattern come back as they are.

        Returns
        -------
        list of Mol
            Copies with coordinates.
        """
        with rdBase.BlockLogs():
            found = [with_rings(mol).GetSubstructMatch(self.pattern) for mol in mols]
        return [
            laid_upon(mol, self.reference, zip(self.places, place, strict=True)) if place else mol
            for mol, place in zip(mols, found, strict=True)
        ]

    def fits(self, mol: Chem.Mol) -> bool:
        """Whether a molecule contains the pattern."""
        return bool(with_rings(mol).HasSubstructMatch(self.pattern))


def aligned(explanations: Sequence[Explanation], how: str) -> list[Explanation]:
    """Explanations whose molecules are laid upon each other; warns of those without the common part.

    Parameters
    ----------
    explanations : sequence of Explanation
        The series.
    how : str
        As of `Alignment.of`.

    Returns
    -------
    list of Explanation
        The same, with coordinates.

    Raises
    ------
    InputError, UsageError
        As `Alignment.of`.
    """
    # Of several tasks the same molecules, but not the same objects where other processes sent them.
    keys = [one.mol.ToBinary() for one in explanations]
    mols = {key: one.mol for key, one in zip(keys, explanations, strict=True)}
    alignment = Alignment.of(how, list(mols.values()))
    placed = dict(zip(mols, alignment.upon(list(mols.values())), strict=True))
    others = sum(not alignment.fits(mol) for mol in mols.values())
    if others:
        text = f"{others} of {len(mols)} molecules do not contain what the others are aligned to"
        warnings.warn(f"{text}: they are drawn as they are", stacklevel=2)
    return [replace(one, mol=placed[key]) for key, one in zip(keys, explanations, strict=True)]


def _has_coordinates(pattern: Chem.Mol) -> bool:
    return bool(pattern.GetNumConformers())
