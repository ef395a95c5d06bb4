"""R-group decomposition: the core of a series, and what stands at each of its positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rdkit import Chem, rdBase

from molig.deferred import deferred
from molig.errors import InputError
from molig.series.matching import heavy_atoms_of, read_template, scaffold_of
from molig.series.parts import Part

decomposition = deferred("rdkit.Chem.rdRGroupDecomposition")

CORE = "core"
HYDROGEN = "H"
_MARK = "_molig_atom"


@dataclass(frozen=True, eq=False)
class RGroups:
    """A series taken apart.

    Parameters
    ----------
    core : Mol
        What the molecules have in common.
    positions : tuple of str
        Such as "R1", "R2".
    parts : list of list of Part
        Of each molecule its core and what stands at each position, hydrogen without atoms; nothing for
        molecules without the core.

    Examples
    --------
    >>> mols = [Chem.MolFromSmiles(smiles) for smiles in ("Cc1ccccn1", "Oc1ccccn1", "CCO")]
    >>> [[(part.kind, part.name) for part in parts] for parts in RGroups.of(mols, "c1ccccn1").parts]
    [[('core', '*c1ccccn1'), ('R1', '*C')], [('core', '*c1ccccn1'), ('R1', '*O')], []]
    """

    core: Chem.Mol
    positions: tuple[str, ...]
    parts: list[list[Part]]

    @classmethod
    def of(cls, mols: Sequence[Chem.Mol], core: str | None = None) -> RGroups:
        """Take a series apart.

        Parameters
        ----------
        mols : sequence of Mol
            The molecules.
        core : str, optional
            SMARTS, or an SD or mol file; by default what all of them have in common.

        Returns
        -------
        RGroups

        Raises
        ------
        InputError
            If no molecule has the core, or there is no core in common.
        UsageError
            If the core cannot be read.
        """
        pattern = scaffold_of(mols) if core is None else read_template(core)
        options = decomposition.RGroupDecompositionParameters()
        options.removeHydrogensPostMatch = True
        with rdBase.BlockLogs():
            found = decomposition.RGroupDecomposition([pattern], options)
            places = [found.Add(_marked(heavy_atoms_of(mol))) for mol in mols]
            if max(places, default=-1) < 0:
                shown = Chem.MolToSmarts(pattern)
                raise InputError(f"none of the {len(mols)} molecules has the core {shown}")
            if not found.Process():
                raise InputError("the series could not be taken apart; give a smaller core")
            rows = found.GetRGroupsAsRows()
        positions = tuple(name for name in rows[0] if name != "Core")
        parts = [_parts(rows[place]) if place >= 0 else [] for place in places]
        return cls(pattern, positions, parts)


def _marked(mol: Chem.Mol) -> Chem.Mol:
    marked = Chem.Mol(mol)
    for atom in marked.GetAtoms():
        atom.SetIntProp(_MARK, atom.GetIdx())
    return marked


def _parts(row: dict[str, Chem.Mol]) -> list[Part]:
    """Core and substituents; one that is bonded at two positions counts once."""
    found: dict[tuple[int, ...] | str, Part] = {}
    for name, mol in row.items():
        atoms = _atoms(mol)
        if name == "Core":
            found[name] = Part(CORE, _plain(mol, stereo=False), atoms)
        elif not atoms:
            found[name] = Part(name, HYDROGEN, ())
        elif atoms in found:
            other = found[atoms]
            found[atoms] = Part(f"{other.kind}+{name}", str(Chem.MolToSmiles(mol)), atoms)
        else:
            found[atoms] = Part(name, _plain(mol), atoms)
    return list(found.values())


def _atoms(mol: Chem.Mol) -> tuple[int, ...]:
    return tuple(sorted(atom.GetIntProp(_MARK) for atom in mol.GetAtoms() if atom.HasProp(_MARK)))


def _plain(mol: Chem.Mol, *, stereo: bool = True) -> str:
    """SMILES without the numbers of positions, so that a substituent has one name at all of them."""
    plain = Chem.Mol(mol)
    for atom in plain.GetAtoms():
        if not atom.GetAtomicNum():
            atom.SetAtomMapNum(0)
            atom.SetIsotope(0)
    return str(Chem.MolToSmiles(plain, isomericSmiles=stereo))
