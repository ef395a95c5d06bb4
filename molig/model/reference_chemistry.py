"""What the applicability domain reads off a molecule: elements, size, Murcko scaffold."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem.rdMolDescriptors import CalcMolFormula
from rdkit.Chem.Scaffolds.MurckoScaffold import GetScaffoldForMol

Hashes = npt.NDArray[np.uint64]

_SYMBOL = re.compile("[A-Z][a-z]?")


def as_read(mol: Chem.Mol) -> Chem.Mol:
    """A molecule as if read from its SMILES: hydrogens implicit, with ring information."""
    return _with_rings(_without_hydrogens(mol))


def _without_hydrogens(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with implicit hydrogens."""
    if mol.GetNumAtoms() == mol.GetNumHeavyAtoms():
        return mol
    try:
        return Chem.RemoveHs(mol)
    except ValueError:
        # A hydrogen with several bonds, as in boranes, has a valence that RDKit refuses to check again.
        return mol


def _with_rings(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with ring information, on a copy if need be: features count rings more exactly."""
    try:
        mol.GetRingInfo().NumRings()
    except RuntimeError:
        mol = Chem.Mol(mol)
        Chem.FastFindRings(mol)
    return mol


def scaffold_hashes(smiles: Sequence[str]) -> Hashes:
    """Distinct hashes of the scaffolds of molecules, ascending."""
    return np.unique(
        np.array([scaffold_hash(mol) for mol in read_smiles(dict.fromkeys(smiles))], dtype=np.uint64)
    )


def scaffold_hash(mol: Chem.Mol) -> int:
    """The first 64 bits of the digest of the scaffold's SMILES without stereo marks."""
    try:
        scaffold = GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]
    except ValueError:
        # RDKit refuses to check the valences of the rest: the molecule is its own scaffold.
        scaffold = mol
    text = Chem.MolToSmiles(scaffold, isomericSmiles=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def composition(smiles: Sequence[str]) -> tuple[Counter[str], list[int]]:
    """Number of molecules with each element, and the heavy atoms of each molecule."""
    elements: Counter[str] = Counter()
    sizes = []
    for mol in read_smiles(smiles, sanitize=False):
        mol.UpdatePropertyCache(strict=False)
        elements.update(sorted(elements_of(mol)))
        sizes.append(mol.GetNumHeavyAtoms())
    return elements, sizes


def elements_of(mol: Chem.Mol) -> set[str]:
    """Symbols of its elements but hydrogen."""
    # A fifth of the time of asking every atom.
    return set(_SYMBOL.findall(CalcMolFormula(mol))) - {"H"}


def read_smiles(smiles: Iterable[str], *, sanitize: bool = True) -> Iterator[Chem.Mol]:
    """Molecules of SMILES; the rare one that RDKit wrote but cannot read is left out."""
    with rdBase.BlockLogs():
        for text in smiles:
            mol = Chem.MolFromSmiles(text, sanitize=sanitize)
            if mol is not None:
                yield mol
