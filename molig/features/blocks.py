"""The blocks: one function each, from molecules to the block's codes or values.

An atom function takes the molecules and their `Topology` and returns, for all atoms end to end,
either integer codes of shape (n_atoms,) for a categorical block (-1: none of the columns) or values
of shape (n_atoms, width) for a numeric one. Pair functions do the same for pairs. The set of
features is that of Kearnes et al. 2016 (arXiv:1603.00856), tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import Lipinski, rdPartialCharges, rdqueries

from molig.errors import UnknownNameError
from molig.features.distances import NO_PATH, Distances, bond_order_matrices
from molig.features.schema import Block, BlockKind

# Atoms and pairs of many molecules as packed arrays: the part of featurization that every schema shares.

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Topology:
    """Elements, pairs, bond orders and graph distances of ``n_mols`` molecules, end to end."""

    mols: Sequence[Chem.Mol]
    atomic_numbers: IntArray  # (n_atoms,)
    pair_atoms: IntArray  # (n_pairs, 2), i < j, numbered within their molecule
    # (n_pairs,): 1, 2, 3, 1.5 for aromatic; 0 for no bond, and for one without an order (dative, hydrogen)
    bond_orders: npt.NDArray[np.float64]
    distances: IntArray  # (n_pairs,), bonds on the shortest path
    atom_counts: IntArray  # (n_mols,)
    pair_counts: IntArray  # (n_mols,)

    @cached_property
    def atoms(self) -> list[Chem.Atom]:
        """RDKit's atoms; to make them takes longer than to ask one of them."""
        of_mols = (map(mol.GetAtomWithIdx, range(mol.GetNumAtoms())) for mol in self.mols)
        return list(chain.from_iterable(of_mols))

    @cached_property
    def with_rings(self) -> Sequence[Chem.Mol]:
        """The molecules with ring information, which standardisation may have dropped."""
        with rdBase.BlockLogs():
            for mol in self.mols:
                try:
                    mol.GetRingInfo().NumRings()
                except RuntimeError:
                    Chem.GetSymmSSSR(mol)
        return self.mols

    @cached_property
    def rings(self) -> Rings:
        """The smallest rings."""
        starts = (np.cumsum(self.atom_counts) - self.atom_counts).tolist()
        sizes, atoms = [], []
        for start, mol in zip(starts, self.with_rings, strict=True):
            for ring in mol.GetRingInfo().AtomRings():
                sizes.append(len(ring))
                atoms += [start + atom for atom in ring]
        return Rings(np.array(sizes, dtype=np.int64), np.array(atoms, dtype=np.int64))


class Rings(NamedTuple):
    """Rings of molecules."""

    sizes: IntArray  # (n_rings,)
    atoms: IntArray  # (sum of sizes,), numbered through the molecules


def extract_topology(mols: Sequence[Chem.Mol], distances: Distances, max_distance: int | None) -> Topology:
    """Read the graphs of molecules into packed arrays; without a limit, every pair connected by a path."""
    order = distances.bond_orders
    if order is None:
        matrices = [matrix.ravel() for matrix in bond_order_matrices(mols)]
        order = np.concatenate(matrices) if matrices else np.zeros(0)
    mol_of, row, col, near = distances.near(NO_PATH / 2 if max_distance is None else max_distance + 0.5)
    counts = distances.atom_counts
    mirror = distances.starts[mol_of] + col * counts[mol_of] + row
    return Topology(
        mols,
        atomic_numbers=distances.elements,
        pair_atoms=np.stack([row, col], axis=1),
        # A dative bond stands in one triangle only; the smaller of both does not depend on atom order.
        bond_orders=np.minimum(order[near], order[mirror]),
        distances=distances.flat[near].astype(np.int64),
        atom_counts=counts,
        pair_counts=np.bincount(mol_of, minlength=len(mols)).astype(np.int64),
    )


Array = npt.NDArray[np.generic]
BlockFunction = Callable[[Sequence[Chem.Mol], Topology, Block], Array]

ATOM_FUNCTIONS: dict[str, BlockFunction] = {}
PAIR_FUNCTIONS: dict[str, BlockFunction] = {}

ELEMENTS = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
RING_SIZES = (3, 4, 5, 6, 7, 8)
CUMULATIVE_DISTANCES = (1, 2, 3, 4, 5, 6, 7)
_FARTHEST_NAMED = CUMULATIVE_DISTANCES[-1]

_HYBRIDIZATION = {
    Chem.HybridizationType.SP: 0,
    Chem.HybridizationType.SP2: 1,
    Chem.HybridizationType.SP3: 2,
}
_CIP_CODE = {"R": 0, "S": 1}
_BOND_CODE = {1.0: 0, 2.0: 1, 3.0: 2, 1.5: 3}


def _owner(table: dict[str, BlockFunction]) -> Callable[[BlockFunction], BlockFunction]:
    def register(function: BlockFunction) -> BlockFunction:
        table[function.__name__] = function
        return function

    return register


# --- atoms -----------------------------------------------------------------------------------


def _element_codes() -> npt.NDArray[np.int64]:
    table = Chem.GetPeriodicTable()
    codes = np.full(128, len(ELEMENTS), dtype=np.int64)
    for code, symbol in enumerate(ELEMENTS):
        codes[table.GetAtomicNumber(symbol)] = code
    return codes


_ELEMENT_CODE = _element_codes()


@_owner(ATOM_FUNCTIONS)
def type(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:  # noqa: A001
    """Element, with one slot for metals and all other elements."""
    codes: Array = np.asarray(_ELEMENT_CODE[topology.atomic_numbers])
    return codes


def _tagged() -> Chem.Mol:
    query = Chem.RWMol(Chem.MolFromSmarts("*"))
    query.ReplaceAtom(0, rdqueries.HasChiralTagQueryAtom())
    return query.GetMol()


_TAGGED = _tagged()


@_owner(ATOM_FUNCTIONS)
def chirality(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """CIP label R or S of a tetrahedral stereocentre; none elsewhere."""
    codes = np.full(len(topology.atomic_numbers), -1, dtype=np.int64)
    start = 0
    for mol in topology.with_rings:
        if not mol.HasSubstructMatch(_TAGGED):  # labels take long to find
            start += mol.GetNumAtoms()
            continue
        centers = Chem.FindMolChiralCenters(mol, useLegacyImplementation=False)  # type: ignore[no-untyped-call]
        for atom, label in centers:
            codes[start + atom] = _CIP_CODE.get(label, -1)
        start += mol.GetNumAtoms()
    return codes


@_owner(ATOM_FUNCTIONS)
def formal_charge(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """Formal charge in units of e."""
    return _per_atom(topology, Chem.Atom.GetFormalCharge)


@_owner(ATOM_FUNCTIONS)
def partial_charge(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """Gasteiger partial charge in units of e; 0 all over a fragment with an element without parameters."""
    for mol in mols:
        rdPartialCharges.ComputeGasteigerCharges(mol, throwOnParamFailure=False)
    values = [atom.GetDoubleProp("_GasteigerCharge") for atom in topology.atoms]
    return np.asarray(np.nan_to_num(np.array(values), nan=0.0, posinf=0.0, neginf=0.0).reshape(-1, 1))


@_owner(ATOM_FUNCTIONS)
def ring_sizes(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """Number of smallest rings of each size that the atom lies in."""
    counts = np.zeros((len(topology.atomic_numbers), len(RING_SIZES)))
    size = np.repeat(topology.rings.sizes, topology.rings.sizes)
    for column, wanted in enumerate(RING_SIZES):
        np.add.at(counts[:, column], topology.rings.atoms[size == wanted], 1)
    return counts


@_owner(ATOM_FUNCTIONS)
def hybridization(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """Hybridisation sp, sp2 or sp3; none for any other."""
    return np.array(
        [_HYBRIDIZATION.get(atom.GetHybridization(), -1) for atom in topology.atoms],
        dtype=np.int64,
    )


@_owner(ATOM_FUNCTIONS)
def hydrogen_bonding(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """Whether the atom is a hydrogen-bond donor, an acceptor, or both (RDKit's Lipinski definitions)."""
    flags = np.zeros((len(topology.atomic_numbers), 2))
    start = 0
    for mol in topology.with_rings:
        for column, query in enumerate((Lipinski.HDonorSmarts, Lipinski.HAcceptorSmarts)):
            hits = [match[0] for match in mol.GetSubstructMatches(query, maxMatches=mol.GetNumAtoms())]
            flags[start + np.array(hits, dtype=np.int64), column] = 1
        start += mol.GetNumAtoms()
    return flags


@_owner(ATOM_FUNCTIONS)
def aromatic(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """Whether the atom is aromatic."""
    return _per_atom(topology, Chem.Atom.GetIsAromatic)


def _per_atom(topology: Topology, read: Callable[[Chem.Atom], float]) -> Array:
    return np.array(list(map(read, topology.atoms)), dtype=np.float64).reshape(-1, 1)


# --- pairs -----------------------------------------------------------------------------------


@_owner(PAIR_FUNCTIONS)
def bond(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """Bond order of bonded atoms; none for pairs without a bond and for bonds of any other order."""
    codes = np.full(len(topology.bond_orders), -1, dtype=np.int64)
    for order, code in _BOND_CODE.items():
        codes[topology.bond_orders == order] = code
    return codes


@_owner(PAIR_FUNCTIONS)
def distance(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """Graph distance, one category each; larger distances share the last one."""
    return np.minimum(topology.distances, block.width) - 1


@_owner(PAIR_FUNCTIONS)
def distance_within(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """Cumulative distance bits of the paper: bit d is 1 where the distance is at most d."""
    return (topology.distances[:, None] <= np.array(CUMULATIVE_DISTANCES)).astype(np.float64)


@_owner(PAIR_FUNCTIONS)
def same_ring(mols: Sequence[Chem.Mol], topology: Topology, block: Block) -> Array:
    """Whether both atoms lie in one of the smallest rings."""
    sizes, atoms = topology.rings
    starts = np.cumsum(topology.atom_counts) - topology.atom_counts
    pairs = topology.pair_atoms + np.repeat(starts, topology.pair_counts)[:, None]
    # Of every ring all ordered pairs of its atoms.
    n_others = np.repeat(sizes, sizes)
    ring_start = np.repeat(np.cumsum(sizes) - sizes, sizes)
    within = np.arange(n_others.sum()) - np.repeat(np.cumsum(n_others) - n_others, n_others)
    one, other = np.repeat(atoms, n_others), atoms[np.repeat(ring_start, n_others) + within]
    n_atoms = len(topology.atomic_numbers)
    together = np.isin(pairs @ [n_atoms, 1], one * n_atoms + other)
    return together.astype(np.float64).reshape(-1, 1)


# --- the blocks themselves -------------------------------------------------------------------


def atom_block(name: str) -> Block:
    """Block of atom columns by name.

    Raises
    ------
    UnknownNameError
        If there is no such block.
    """
    return _lookup(_ATOM_BLOCKS, "atom block", name)


def pair_block(name: str, max_pair_distance: int | None = None) -> Block:
    """Block of pair columns by name.

    Parameters
    ----------
    name : str
        Name of the block.
    max_pair_distance : int, optional
        The block ``distance`` gets one column per distance up to it; without a limit, or past 7, it
        gets 1 to 7 and a last column for everything beyond.

    Raises
    ------
    UnknownNameError
        If there is no such block.
    """
    if name == "distance":
        return _distance_block(max_pair_distance)
    return _lookup(_PAIR_BLOCKS, "pair block", name)


def _distance_block(limit: int | None) -> Block:
    named = tuple(str(d) for d in range(1, min(limit or _FARTHEST_NAMED, _FARTHEST_NAMED) + 1))
    if limit is not None and limit <= _FARTHEST_NAMED:
        return Block("distance", BlockKind.CATEGORICAL, named)
    beyond = f">{_FARTHEST_NAMED}"
    return Block("distance", BlockKind.CATEGORICAL, (*named, beyond), other=beyond)


def _lookup(table: dict[str, Block], kind: str, name: str) -> Block:
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return table[name]


def _by_name(*blocks: Block) -> dict[str, Block]:
    return {block.name: block for block in blocks}


_ATOM_BLOCKS = _by_name(
    Block("type", BlockKind.CATEGORICAL, (*ELEMENTS, "other"), other="other"),
    Block("chirality", BlockKind.CATEGORICAL, ("R", "S")),
    Block("formal_charge", BlockKind.NUMERIC, ("charge",)),
    Block("partial_charge", BlockKind.NUMERIC, ("gasteiger",)),
    Block("ring_sizes", BlockKind.NUMERIC, tuple(str(size) for size in RING_SIZES)),
    Block("hybridization", BlockKind.CATEGORICAL, ("sp", "sp2", "sp3")),
    Block("hydrogen_bonding", BlockKind.NUMERIC, ("donor", "acceptor")),
    Block("aromatic", BlockKind.NUMERIC, ("aromatic",)),
)
_PAIR_BLOCKS = _by_name(
    Block("bond", BlockKind.CATEGORICAL, ("single", "double", "triple", "aromatic")),
    Block("distance_within", BlockKind.NUMERIC, tuple(f"<={d}" for d in CUMULATIVE_DISTANCES)),
    Block("same_ring", BlockKind.NUMERIC, ("same ring",)),
)
