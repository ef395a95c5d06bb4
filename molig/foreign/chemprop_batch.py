"""Molecules as Chemprop's networks read them, with everything that repeats computed once.

After t steps the state of a directed bond depends on what lies within t bonds behind it, and molecules share
most of that: among 1,000 drug-like compounds 2 % of the directed bonds differ after one step, 12 % after two.
So bonds are numbered by what their state depends on, and the network works on one of each number. That is
algebra, not approximation: numbers are equal only where the features and the multisets of what arrives are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.features import FeatureSchema, PackedGraphs
from molig.network import collate

Index = npt.NDArray[np.int64]


class Passing(NamedTuple):
    """How messages go: what a batch depends on besides the molecules."""

    depth: int
    along_bonds: bool
    undirected: bool


class Step(NamedTuple):
    """What arrives at the distinct rows of one step: rows of the step before, each with its owner."""

    rows: Tensor
    """Rows whose states arrive."""
    owners: Tensor
    """At which row of this step each arrives."""
    start: Tensor
    """For each row of this step, the row of the first states that it goes back to."""
    more: Tensor
    """Undirected bonds: rows of the opposite bonds. Between atoms: rows of bond features."""
    before: Tensor
    """For each row of this step, its own row of the step before."""

    @property
    def n_rows(self) -> int:
        """Number of distinct rows."""
        return len(self.start)

    def summed(self, values: Tensor) -> Tensor:
        """Sum of what arrives, from one value per arrival."""
        return values.new_zeros(self.n_rows, values.shape[1]).index_add(0, self.owners, values)


@dataclass(frozen=True, eq=False)
class MessageBatch:
    """The input of a network: distinct rows of features, and which states arrive where.

    Parameters
    ----------
    atom_inputs, bond_inputs : Tensor
        Distinct feature rows, already scaled on a path of counterfactuals.
    first_atom, first_bond : Tensor of int64
        Atom row and bond row that each first state is made of; of states of atoms only the former.
    steps : tuple of Step
        One per step of messages.
    last : Step
        What arrives at atoms in the end; ``start`` are rows of atom features.
    of_atoms : Tensor of int64, shape (n_atoms,)
        Which row of ``last`` each atom is.
    of_states : tuple of Tensor of int64, shape (n_states,)
        Which row each state is, before the first step and after every one; states are those of directed bonds
        (bond k of n is the directed bonds k, which leaves its first atom, and n + k), or of atoms.
    atom_rows, bond_rows : Tensor of int64
        An atom, and a bond, that each row of features is taken from.
    atom_counts : Tensor of int64, shape (n_mols,)
        Atoms per molecule.
    """

    atom_inputs: Tensor
    bond_inputs: Tensor
    first_atom: Tensor
    first_bond: Tensor
    steps: tuple[Step, ...]
    last: Step
    of_atoms: Tensor
    of_states: tuple[Tensor, ...]
    atom_rows: Tensor
    bond_rows: Tensor
    atom_counts: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype) -> MessageBatch:
        """Move to a device, and the feature rows to a floating-point type."""
        names = ("first_atom", "first_bond", "of_atoms", "atom_rows", "bond_rows", "atom_counts")
        moved = {name: getattr(self, name).to(device) for name in names}
        return replace(
            self,
            atom_inputs=self.atom_inputs.to(device, dtype),
            bond_inputs=self.bond_inputs.to(device, dtype),
            steps=tuple(Step(*(t.to(device) for t in step)) for step in self.steps),
            last=Step(*(t.to(device) for t in self.last)),
            of_states=tuple(numbers.to(device) for numbers in self.of_states),
            **moved,
        )

    def with_inputs(self, atoms: Tensor, bonds: Tensor) -> MessageBatch:
        """The same molecules with other features."""
        return replace(self, atom_inputs=atoms, bond_inputs=bonds)


def message_batch(
    graphs: PackedGraphs,
    schema: FeatureSchema,
    passing: Passing,
    scales: npt.ArrayLike | None = None,
    *,
    fold: bool = True,
) -> MessageBatch:
    """Turn packed graphs into what a network reads.

    Parameters
    ----------
    graphs : PackedGraphs
        Molecules; their pairs are bonds.
    schema : FeatureSchema
        Their columns.
    passing : Passing
        How the network passes messages.
    scales : array-like, shape (n_mols,), optional
        Factor on all features of each molecule, as for `molig.network.collate`.
    fold : bool
        Compute repeated rows once. False gives every atom and bond a row of its own, in order, so that
        gradients with respect to the rows are those of single atoms and bonds.
    """
    scale = np.ones(len(graphs), dtype=np.float32) if scales is None else np.asarray(scales)
    plain = collate(graphs, schema, scale, fold=False)
    atom, bond = np.arange(graphs.n_atoms), np.arange(graphs.n_pairs)
    atom_rows, bond_rows = atom, bond
    if fold:
        atom_rows, atom = _alike(graphs.atom_codes, graphs.atom_values, np.repeat(scale, graphs.atom_counts))
        bond_rows, bond = _alike(graphs.pair_codes, graphs.pair_values, np.repeat(scale, graphs.pair_counts))
    ends = plain.pair_atoms.numpy()
    target = np.concatenate([ends[1], ends[0]])
    directed = _Directed(
        atom, np.tile(bond, 2), np.concatenate([ends[0], ends[1]]), _arriving(target, graphs.degrees)
    )
    numbered = (_along_bonds if passing.along_bonds else _between_atoms)(directed, passing)
    return MessageBatch(
        plain.atom_inputs[torch.from_numpy(atom_rows)],
        plain.pair_inputs[torch.from_numpy(bond_rows)],
        torch.from_numpy(numbered.first_atom),
        torch.from_numpy(numbered.first_bond),
        tuple(numbered.steps),
        numbered.last,
        torch.from_numpy(numbered.of_atoms),
        tuple(torch.from_numpy(numbers) for numbers in numbered.of_states),
        torch.from_numpy(atom_rows),
        torch.from_numpy(bond_rows),
        plain.atom_counts,
    )


class _Directed(NamedTuple):
    """Directed bonds; bond k of n is the directed bonds k and n + k."""

    atom: Index  # kind of each atom
    bond: Index  # kind of each directed bond
    source: Index  # atom that each starts from
    arriving: Index  # directed bonds that end at each atom, a row per atom, filled up with -1


class _Numbered(NamedTuple):
    """The parts of a `MessageBatch` that say what repeats."""

    first_atom: Index
    first_bond: Index
    steps: list[Step]
    last: Step
    of_atoms: Index
    of_states: list[Index]


def _along_bonds(graph: _Directed, passing: Passing) -> _Numbered:
    """States of directed bonds."""
    atom, bond, source, arriving = graph
    opposite = np.roll(np.arange(len(bond)), len(bond) // 2)
    # What arrives at a directed bond, but for its own opposite.
    behind = np.where(arriving[source] == opposite[:, None], -1, arriving[source])
    chosen, first = _numbered(_joined(atom[source], bond))
    first_atom, first_bond = atom[source[chosen]], bond[chosen]
    now, steps, numbers = first, [], [first]
    for _ in range(1, passing.depth):
        before = now
        seen = _numbered(_joined(before, before[opposite]))[1] if passing.undirected else before
        chosen, now = _numbered(first, _gathered(seen, behind))
        numbers.append(now)
        steps.append(_step(behind[chosen], before, first[chosen], before[opposite], before[chosen]))
    chosen, of_atoms = _numbered(atom, _gathered(now, arriving))
    last = _step(arriving[chosen], now, atom[chosen], now, atom[chosen])
    return _Numbered(first_atom, first_bond, steps, last, of_atoms, numbers)


def _between_atoms(graph: _Directed, passing: Passing) -> _Numbered:
    """States of atoms."""
    atom, bond, source, arriving = graph
    now, steps, numbers = atom, [], [atom]
    for _ in range(1, passing.depth):
        before = now
        seen = _numbered(_joined(before[source], bond))[1]
        chosen, now = _numbered(before if passing.undirected else atom, _gathered(seen, arriving))
        numbers.append(now)
        steps.append(_step(arriving[chosen], before[source], atom[chosen], bond, before[chosen]))
    chosen, of_atoms = _numbered(atom, _gathered(now[source], arriving))
    last = _step(arriving[chosen], now[source], atom[chosen], bond, now[chosen])
    every = np.arange(int(atom.max(initial=-1)) + 1)
    return _Numbered(every, every[:0], steps, last, of_atoms, numbers)


def _joined(one: Index, other: Index) -> Index:
    """One number for each pair of numbers."""
    return one * (int(other.max(initial=0)) + 1) + other


def _arriving(target: Index, degrees: Index) -> Index:
    """Table of the directed bonds that end at each atom."""
    table = np.full((len(degrees), int(degrees.max(initial=0))), -1, dtype=np.int64)
    order = np.argsort(target, kind="stable")
    place = np.arange(len(target)) - np.repeat(np.cumsum(degrees) - degrees, degrees)
    table[target[order], place] = order
    return table


def _gathered(numbers: Index, lists: Index) -> Index:
    """Numbers of what a row of lists names, the largest first; -1 where it names nothing."""
    found = np.where(lists >= 0, numbers[lists], -1) if len(numbers) else lists
    return -np.sort(-found, axis=1)


def _numbered(own: Index, others: Index | None = None) -> tuple[Index, Index]:
    """Number rows alike that are equal; returns a row of each number, and the number of each row."""
    key = own
    for column in others.T if others is not None else ():
        here = np.flatnonzero(column >= 0)
        if not len(here):
            break
        _, number = np.unique(_joined(key[here], column[here]), return_inverse=True)
        key = key.copy()
        key[here] = int(key.max()) + 1 + number
    _, chosen, number = np.unique(key, return_index=True, return_inverse=True)
    return chosen, number


def _alike(
    codes: npt.NDArray[np.int8], values: npt.NDArray[np.float32], scale: npt.NDArray[np.floating]
) -> tuple[Index, Index]:
    """Number atoms or bonds alike that have the same features, at the same point of their path."""
    key = np.zeros(len(codes), dtype=np.int64)
    for column in (*codes.T, *values.T, scale):
        _, number = np.unique(column, return_inverse=True)
        _, key = np.unique(_joined(key, number), return_inverse=True)
    return _numbered(key)


def _step(arriving: Index, rows: Index, start: Index, more: Index, before: Index) -> Step:
    """Rows of what arrives, with their owners."""
    owner, place = np.nonzero(arriving >= 0)
    which = arriving[owner, place]
    return Step(*(torch.from_numpy(found) for found in (rows[which], owner, start, more[which], before)))
