"""Which atoms of a molecule are alike: by their surroundings, and in the eyes of a Weave network."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.features import MolGraph

Index = npt.NDArray[np.int64]
Colors = list[int]

LEVELS = ("element", "own bonds", "radius 1", "radius 2", "radius 3")
"""What two atoms can differ in, each level refining the one before it."""

# Numeric features that differ by less than the fifth decimal, such as the partial charges of equivalent
# atoms, are one value.
_DECIMALS = 5

_BOND_SIGNS = {"SINGLE": "", "DOUBLE": "=", "TRIPLE": "#", "AROMATIC": ":"}


def environments(mol: Chem.Mol) -> Index:
    """Colour atoms by their surroundings, level by level (Weisfeiler and Leman 1968).

    Radius r joins an atom's element with the multiset of (bond order, colour of the neighbour at radius
    r - 1); "own bonds" with the multiset of its bond orders alone.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        A molecule.

    Returns
    -------
    array of int64, shape (5, n_atoms)
        One row per entry of `LEVELS`; atoms of equal number are alike.

    Examples
    --------
    >>> levels = environments(Chem.MolFromSmiles("CCCO"))
    >>> levels[1].tolist(), levels[2].tolist()
    ([0, 1, 1, 2], [0, 1, 2, 3])
    """
    bonds: list[list[tuple[str, int]]] = [[] for _ in range(mol.GetNumAtoms())]
    for bond in mol.GetBonds():
        first, second, order = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), str(bond.GetBondType())
        bonds[first].append((order, second))
        bonds[second].append((order, first))
    element = _numbered(atom.GetAtomicNum() for atom in mol.GetAtoms())
    own = _numbered(zip(element, (_bag(order for order, _ in own) for own in bonds), strict=True))
    found, colors = [element, own], element
    for _ in LEVELS[2:]:
        around = (_bag((order, colors[other]) for order, other in own) for own in bonds)
        colors = _numbered(zip(element, around, strict=True))
        found.append(colors)
    return np.array(found, dtype=np.int64).reshape(len(LEVELS), -1)


def surroundings(mol: Chem.Mol) -> list[str]:
    """Say of every atom what it is and what it is bonded to: its environment of radius 1 as text.

    Parameters
    ----------
    mol : rdkit.Chem.Mol
        A molecule.

    Returns
    -------
    list of str
        One text per atom, whatever the order of its neighbours; bonds other than single ones have a sign
        (``=``, ``#``, ``:`` aromatic, else the name in brackets).

    Examples
    --------
    >>> surroundings(Chem.MolFromSmiles("NC=O"))
    ['N bonded to C', 'C bonded to N,=O', 'O bonded to =C']
    >>> surroundings(Chem.MolFromSmiles("C"))
    ['C bonded to nothing']
    """
    found = []
    for atom in mol.GetAtoms():
        around = sorted(
            (bond.GetOtherAtom(atom).GetSymbol(), _sign(str(bond.GetBondType()))) for bond in atom.GetBonds()
        )
        found.append(
            f"{atom.GetSymbol()} bonded to {','.join(sign + name for name, sign in around) or 'nothing'}"
        )
    return found


def _sign(order: str) -> str:
    return _BOND_SIGNS.get(order, f"({order.lower()})")


def attribution_colors(graph: MolGraph, n_modules: int) -> Index:
    """Colour atoms by all that the attribution of their own features can depend on, whatever the weights.

    The states of a Weave network are followed as an exact refinement of colours: after a module, an atom
    knows its state and the multiset of its pairs' states before; a pair its own and those of its two atoms,
    in no order. The readout treats all atoms alike, so the gradient with respect to an atom's last state
    depends on that state and on the molecule as a whole. Then back: the gradient with respect to a state
    depends on the state itself and on the states, and gradients, of all that it flows into.

    Parameters
    ----------
    graph : MolGraph
        A featurized molecule.
    n_modules : int
        Number of Weave modules.

    Returns
    -------
    array of int64, shape (n_atoms,)
        Atoms of one molecule with equal numbers get identical attributions from every network of this
        depth on these features. Others get different ones, but for weights that happen to make them equal.
    """
    atoms, pairs = _forward(graph, n_modules)
    ends: list[tuple[int, int]] = [(int(i), int(j)) for i, j in graph.pair_atoms]
    back_atoms: Colors = atoms[-1]
    back_pairs: Colors | None = None  # the last module makes no pair states
    for atom, pair in zip(reversed(atoms[:-1]), reversed(pairs), strict=True):
        into: list[list[tuple[int, int]]] = [[] for _ in atom]
        flows = [0] * len(ends) if back_pairs is None else back_pairs
        if back_pairs is not None:
            for (i, j), flow in zip(ends, flows, strict=True):
                into[i].append((atom[j], flow))
                into[j].append((atom[i], flow))
        through = [tuple(sorted((back_atoms[i], back_atoms[j]))) for i, j in ends]
        back_pairs = _numbered(zip(pair, through, flows, strict=True))
        back_atoms = _numbered(zip(atom, back_atoms, map(_bag, into), strict=True))
    return np.array(back_atoms, dtype=np.int64)


def _forward(graph: MolGraph, n_modules: int) -> tuple[list[Colors], list[Colors]]:
    """Colours of atoms before and after every module, and of pairs before every module."""
    atoms = [_numbered(_rows(graph.atom_codes, graph.atom_values))]
    pairs = [_numbered(_rows(graph.pair_codes, graph.pair_values))]
    ends: list[tuple[int, int]] = [(int(i), int(j)) for i, j in graph.pair_atoms]
    for _ in range(n_modules):
        atom, pair = atoms[-1], pairs[-1]
        incident: list[list[int]] = [[] for _ in atom]
        for (i, j), color in zip(ends, pair, strict=True):
            incident[i].append(color)
            incident[j].append(color)
        joined = [tuple(sorted((atom[i], atom[j]))) for i, j in ends]
        atoms.append(_numbered(zip(atom, map(_bag, incident), strict=True)))
        pairs.append(_numbered(zip(joined, pair, strict=True)))
    return atoms, pairs[:-1]


def pairs_by_level(levels: Index) -> tuple[Index, Index]:
    """Find all pairs of atoms of a molecule, and the level at which each first differs.

    Parameters
    ----------
    levels : array of int, shape (n_levels, n_atoms)
        Colours from coarse to fine.

    Returns
    -------
    pairs : array of int64, shape (2, n_pairs)
        First and second atom.
    level : array of int64, shape (n_pairs,)
        The first row in which their colours differ; n_levels where none does.

    Examples
    --------
    >>> pairs, level = pairs_by_level(np.array([[0, 0, 1], [0, 1, 2]]))
    >>> pairs.T.tolist(), level.tolist()
    ([[0, 1], [0, 2], [1, 2]], [1, 0, 0])
    """
    pairs = np.array(np.triu_indices(levels.shape[1], 1), dtype=np.int64)
    alike = levels[:, pairs[0]] == levels[:, pairs[1]]
    return pairs, np.asarray(np.cumprod(alike, axis=0).sum(axis=0), dtype=np.int64)


def _rows(codes: npt.NDArray[np.int8], values: npt.NDArray[np.float32]) -> list[tuple[float, ...]]:
    rounded = np.round(values.astype(np.float64), _DECIMALS) + 0.0  # no negative zero
    return [(*code, *value) for code, value in zip(codes.tolist(), rounded.tolist(), strict=True)]


def _bag(items: Iterable[Hashable]) -> tuple[Hashable, ...]:
    """Multiset."""
    return tuple(sorted(items))  # type: ignore[type-var]


def _numbered(keys: Iterable[Hashable]) -> Colors:
    """Give equal keys equal numbers, in the order in which they first come."""
    known: dict[Hashable, int] = {}
    return [known.setdefault(key, len(known)) for key in keys]
