"""Substructures that a committee reads: what each is called, contributes, and which ones to tell of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.features.environments import EnvironmentBlock, PackedEnvironments, block_of, pair_text

FloatArray = npt.NDArray[np.float64]

# One atom, or up to three, say less to a chemist than a group: to be told of, they must carry more.
_FEW = 3
_WORTH_OF_AN_ATOM = 0.25
_WORTH_OF_A_FEW = 0.5
# Nor is "C and N, 4 bonds apart" a group that one could change.
_PAIR = "element_pair"
_WORTH_OF_A_PAIR = 0.1
# A larger substructure around another is told of instead if it carries this share of the other's score.
_NEARLY = 0.75
# Substructures with more common atoms than that, of all their atoms, are the same finding.
_OVERLAP = 0.5


@dataclass(frozen=True)
class Substructure:
    """What a substructure contributes to a score.

    Parameters
    ----------
    name : str
        SMILES of the substructure as it stands in the molecule; a single atom with its hydrogens, such as
        "[NH2]", or as "N atom" where the model does not look at more than its element. A pair of elements is
        named in words: "N and O, 4 bonds apart".
    score : float
        Contribution of all its occurrences together.
    atoms : tuple of tuple of int
        Atoms of each occurrence, the centre first.
    block : str
        Block of features that it belongs to; "" for all circular environments together.
    """

    name: str
    score: float
    atoms: tuple[tuple[int, ...], ...]
    block: str = ""

    @property
    def count(self) -> int:
        """Number of occurrences."""
        return len(self.atoms)

    @property
    def sentence(self) -> str:
        """Such as ``"contains c1ccc(O)cc1 twice: +0.12"``."""
        times = {1: "", 2: " twice"}.get(self.count, f" {self.count} times")
        return f"contains {self.name}{times}: {self.score:+.2g}"


def names_of_occurrences(
    mol: Chem.Mol, held: PackedEnvironments, blocks: Sequence[EnvironmentBlock]
) -> list[tuple[str, str]]:
    """Block and name of every row of a molecule's environments."""
    fragments = _Fragments(mol)
    starts = np.cumsum(held.sizes) - held.sizes
    centres, radii = held.atoms[starts].tolist(), held.radii.tolist()
    known: dict[tuple[int, int], str] = {}
    found = []
    for key, centre, radius in zip(held.ids.tolist(), centres, radii, strict=True):
        block = block_of(key, blocks).name
        if block == "element_pair":
            name = pair_text(key)
        elif not radius:
            name = fragments.element(centre) if block == "element_environment" else fragments.atom(centre)
        else:
            if (centre, radius) not in known:
                known[centre, radius] = fragments.smiles(centre, radius)
            name = known[centre, radius]
        found.append((block, name))
    return found


def name_of_environment(mol: Chem.Mol, centre: int, radius: int) -> str:
    """Name of a circular environment, as in `names_of_occurrences`."""
    fragments = _Fragments(mol)
    return fragments.smiles(centre, radius) if radius else fragments.atom(centre)


# SMILES of fragments by what they are made of; most occur in molecule after molecule.
_WRITTEN: dict[bytes, str] = {}
_MOST_WRITTEN = 100_000


class _Fragments:
    """Writes the circular environments of a molecule's atoms as SMILES.

    RDKit's `MolFragmentToSmiles` writes one fragment in different ways, since the rest of the molecule takes
    part in the order of its atoms: each is written here as a molecule of its own.
    """

    def __init__(self, mol: Chem.Mol) -> None:
        self._mol = mol
        atoms = [mol.GetAtomWithIdx(index) for index in range(mol.GetNumAtoms())]
        self._brackets = [_bracketed(atom) for atom in atoms]
        self._codes = np.array(
            [
                (
                    atom.GetAtomicNum(),
                    atom.GetIsAromatic(),
                    atom.GetFormalCharge(),
                    own and atom.GetTotalNumHs(),
                )
                for atom, own in zip(atoms, self._brackets, strict=True)
            ],
            dtype=np.int16,
        )
        bonds = [mol.GetBondWithIdx(index) for index in range(mol.GetNumBonds())]
        rows = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), int(b.GetBondType())) for b in bonds]
        self._bonds = np.array(rows, dtype=np.int16).reshape(-1, 3)
        self._number = np.zeros(len(atoms), dtype=np.int16)

    def element(self, atom: int) -> str:
        """Name of an atom of which only the element is known."""
        return f"{self._mol.GetAtomWithIdx(atom).GetSymbol()} atom"

    def atom(self, index: int) -> str:
        """Name of an atom with its hydrogens and charge."""
        atom = self._mol.GetAtomWithIdx(index)
        charge, n_hydrogens = atom.GetFormalCharge(), atom.GetTotalNumHs()
        hydrogens = ("H" if n_hydrogens else "") + (str(n_hydrogens) if n_hydrogens > 1 else "")
        return f"[{self._symbol(index)}{hydrogens}{f'{charge:+d}'.removesuffix('1') if charge else ''}]"

    def smiles(self, centre: int, radius: int) -> str:
        """SMILES of the atoms and bonds around an atom."""
        bonds = Chem.FindAtomEnvironmentOfRadiusN(self._mol, radius, centre, useHs=True, enforceSize=False)
        inside = self._bonds[list(bonds)]
        atoms = np.unique(inside[:, :2])
        self._number[atoms] = np.arange(len(atoms))
        inside[:, :2] = self._number[inside[:, :2]]
        key = self._codes[atoms].tobytes() + inside.tobytes()
        if key not in _WRITTEN:
            if len(_WRITTEN) >= _MOST_WRITTEN:
                _WRITTEN.clear()
            _WRITTEN[key] = self._write(list(bonds))
        return _WRITTEN[key]

    def _write(self, bonds: list[int]) -> str:
        place: dict[int, int] = {}
        part = Chem.PathToSubmol(self._mol, bonds, atomMap=place)
        # Symbols of its own, since RDKit orders an aromatic atom and another alike where no ring is left.
        here = sorted(place, key=place.__getitem__)
        symbols = [self.atom(atom) if self._brackets[atom] else self._symbol(atom) for atom in here]
        text: str = Chem.MolFragmentToSmiles(
            part, range(len(here)), atomSymbols=symbols, isomericSmiles=False
        )
        return text

    def _symbol(self, index: int) -> str:
        atom = self._mol.GetAtomWithIdx(index)
        symbol: str = atom.GetSymbol()
        return symbol.lower() if atom.GetIsAromatic() else symbol


_ORGANIC = frozenset({"B", "C", "N", "O", "P", "S", "F", "Cl", "Br", "I"})


def _bracketed(atom: Chem.Atom) -> bool:
    """Whether a SMILES states the atom's hydrogens: of a charged one, of the N of a pyrrole, of metals."""
    of_pyrrole = atom.GetIsAromatic() and atom.GetTotalNumHs() and atom.GetAtomicNum() != 6
    return bool(atom.GetFormalCharge() or of_pyrrole or atom.GetSymbol() not in _ORGANIC)


def substructures_of(
    mol: Chem.Mol,
    held: PackedEnvironments,
    blocks: Sequence[EnvironmentBlock],
    shares: FloatArray,
    *,
    by_block: bool,
) -> list[Substructure]:
    """What each substructure contributes, the largest first, block by block or of all blocks together."""
    rows, names = np.flatnonzero(shares), names_of_occurrences(mol, held, blocks)
    starts = np.cumsum(held.sizes) - held.sizes
    scores: dict[tuple[str, str], float] = {}
    places: dict[tuple[str, str], dict[frozenset[int], tuple[int, ...]]] = {}
    for row, (block, name) in ((row, names[row]) for row in rows.tolist()):
        key = (block if by_block or block == _PAIR else "", name)
        atoms = tuple(held.atoms[starts[row] : starts[row] + held.sizes[row]].tolist())
        scores[key] = scores.get(key, 0.0) + float(shares[row])
        places.setdefault(key, {}).setdefault(frozenset(atoms), atoms)
    found = [
        Substructure(name, score, tuple(places[block, name].values()), block)
        for (block, name), score in scores.items()
    ]
    return sorted(found, key=lambda one: (-abs(one.score), -len(one.atoms[0]), one.name))


def main_substructures(found: Sequence[Substructure], n: int) -> list[Substructure]:
    """The `n` most telling ones: groups rather than atoms, and no finding twice.

    Of substructures within each other, which share a score among them, the largest is named that carries
    nearly as much as the others.
    """
    told: list[tuple[Substructure, frozenset[int]]] = []
    everything = [(one, frozenset(atom for place in one.atoms for atom in place)) for one in found]
    for one, inside in sorted(everything, key=lambda each: -abs(each[0].score) * _worth(each[0])):
        if len(told) == n:
            break
        around = [
            (other, wider)
            for other, wider in everything
            if other.block != _PAIR
            and len(other.atoms[0]) > len(one.atoms[0])
            and inside <= wider
            and one.score * other.score > 0
            and abs(other.score) >= _NEARLY * abs(one.score) * _worth(one)
        ]
        best = max(
            around, key=lambda each: (len(each[0].atoms[0]), abs(each[0].score)), default=(one, inside)
        )
        if not any(
            best[0].score * other.score > 0 and _overlap(best[1], seen) > _OVERLAP for other, seen in told
        ):
            told.append(best)
    return sorted((one for one, _ in told), key=lambda one: -abs(one.score))


def _worth(one: Substructure) -> float:
    if one.block == _PAIR:
        return _WORTH_OF_A_PAIR
    size = len(one.atoms[0])
    return _WORTH_OF_AN_ATOM if size == 1 else _WORTH_OF_A_FEW if size <= _FEW else 1.0


def _overlap(some: frozenset[int], others: frozenset[int]) -> float:
    return len(some & others) / len(some | others)
