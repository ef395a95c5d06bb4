"""Packed graphs as tensors, with repeated inputs folded together.

With categorical features most atoms and pairs of a batch are copies of a few distinct rows: 11 elements,
a handful of pair kinds, a few hundred combinations (element, element, pair kind). The first Weave module
works on the distinct rows and its results are gathered. That is algebra, not approximation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.errors import UsageError
from molig.features.graphs import Level, PackedGraphs
from molig.features.schema import FeatureSchema

Index = npt.NDArray[np.int64]

# Up to so many different numbers are looked up rather than sorted, however few keys there are.
_FEW = 1 << 16
_LARGEST_KEY = 1 << 62


class Triples(NamedTuple):
    """Distinct combinations (kind of atom i, kind of atom j, kind of pair) and each pair's combination."""

    first: Tensor
    second: Tensor
    pair: Tensor
    of_pair: Tensor


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """The input of the network: relaxed feature rows and the graph that they live on.

    Parameters
    ----------
    atom_inputs : Tensor, shape (n distinct atom rows, n atom columns)
        Feature rows, already scaled on a path of counterfactuals.
    pair_inputs : Tensor, shape (n distinct pair rows, n pair columns)
        The same for pairs.
    atom_kind, pair_kind : Tensor of int64, shape (n_atoms,) and (n_pairs,)
        Which row each atom or pair has.
    triples : Triples
        Distinct combinations of atom, atom and pair rows.
    pair_atoms : Tensor of int64, shape (2, n_pairs)
        The two atoms of each pair, numbered through the batch.
    incident : Tensor of int64, shape (2 n_pairs,)
        The pairs of each atom in turn, numbered through the batch.
    incident_start : Tensor of int64, shape (n_atoms,)
        Where the pairs of each atom begin in ``incident``.
    atom_counts : Tensor of int64, shape (n_mols,)
        Atoms per molecule.
    """

    atom_inputs: Tensor
    pair_inputs: Tensor
    atom_kind: Tensor
    pair_kind: Tensor
    triples: Triples
    pair_atoms: Tensor
    incident: Tensor
    incident_start: Tensor
    atom_counts: Tensor

    @property
    def n_mols(self) -> int:
        """Number of molecules."""
        return len(self.atom_counts)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all molecules."""
        return len(self.atom_kind)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> GraphBatch:
        """Move to a device, and the feature rows to a floating-point type."""
        batch = GraphBatch.of({name: moved(tensor, device) for name, tensor in self.tensors().items()})
        return replace(
            batch, atom_inputs=batch.atom_inputs.to(dtype), pair_inputs=batch.pair_inputs.to(dtype)
        )

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name; `of` makes the batch of them again."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        triples = own.pop("triples")
        return own | {f"triples_{name}": tensor for name, tensor in triples._asdict().items()}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> GraphBatch:
        """The batch whose `tensors` these are; KeyError if one is missing."""
        own = {field.name: tensors[field.name] for field in fields(cls) if field.name != "triples"}
        return cls(**own, triples=Triples(*(tensors[f"triples_{name}"] for name in Triples._fields)))


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on a device; to a GPU it is on its way, in the order of the work there."""
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def collate(
    graphs: PackedGraphs,
    schema: FeatureSchema,
    scales: npt.ArrayLike | None = None,
    *,
    fold: bool = True,
) -> GraphBatch:
    """Turn packed graphs into tensors.

    Parameters
    ----------
    graphs : PackedGraphs
        Molecules featurized by ``schema``.
    schema : FeatureSchema
        Where each code stands among the columns.
    scales : array-like of float, shape (n_mols,), optional
        Factor on all features of each molecule: its point on the path from the zero baseline
        (0) to the molecule itself (1). Default 1.
    fold : bool
        Compute repeated rows once. False gives every atom and pair a row of its own, so that
        gradients with respect to the rows are those of single atoms and pairs.

    Returns
    -------
    GraphBatch
        On the CPU, in float32 unless ``scales`` is an array of float64.
    """
    scale = np.ones(len(graphs), dtype=np.float32) if scales is None else scales
    scale = np.asarray(scale, dtype=getattr(scale, "dtype", np.float32))
    if scale.shape != (len(graphs),):
        raise UsageError(f"expected one scale per molecule, shape ({len(graphs)},) (got {scale.shape})")
    dtype = np.float64 if scale.dtype == np.float64 else np.float32
    step, step_of = (np.unique(scale, return_inverse=True)) if fold else (scale, np.arange(len(graphs)))
    atom_step = np.repeat(step_of, graphs.atom_counts)
    pair_step = np.repeat(step_of, graphs.pair_counts)
    # A numeric block (say, a partial charge) makes nearly every row distinct: folding is not worth it then.
    atom_fold = fold and not graphs.atom_values.shape[1]
    pair_fold = fold and not graphs.pair_values.shape[1]
    atom_rows, atom_kind = _distinct(graphs.atom_codes, atom_step, atom_fold)
    pair_rows, pair_kind = _distinct(graphs.pair_codes, pair_step, pair_fold)

    atom_start = np.repeat(np.cumsum(graphs.atom_counts) - graphs.atom_counts, graphs.pair_counts)
    pair_atoms = (graphs.pair_atoms + atom_start[:, None]).T
    pair_start = np.repeat(np.cumsum(graphs.pair_counts) - graphs.pair_counts, 2 * graphs.pair_counts)
    atom_inputs = _dense(schema, graphs.level("atom"), atom_rows, dtype)
    pair_inputs = _dense(schema, graphs.level("pair"), pair_rows, dtype)
    return GraphBatch(
        atom_inputs=torch.from_numpy(atom_inputs * step[atom_step[atom_rows], None].astype(dtype)),
        pair_inputs=torch.from_numpy(pair_inputs * step[pair_step[pair_rows], None].astype(dtype)),
        atom_kind=torch.from_numpy(atom_kind),
        pair_kind=torch.from_numpy(pair_kind),
        triples=_triples(atom_kind, pair_kind, pair_atoms, atom_fold and pair_fold),
        pair_atoms=torch.from_numpy(np.ascontiguousarray(pair_atoms)),
        incident=torch.from_numpy(graphs.incident + pair_start),
        incident_start=torch.from_numpy(np.cumsum(graphs.degrees) - graphs.degrees),
        atom_counts=torch.from_numpy(graphs.atom_counts),
    )


def _distinct(codes: npt.NDArray[np.integer], step: Index, fold: bool) -> tuple[Index, Index]:
    """Rows that represent each distinct (codes, step), and the representative of every row."""
    if not fold:
        identity = np.arange(len(codes))
        return identity, identity
    keys, kind = _unique(_row_keys(codes, step))
    representative = np.empty(len(keys), dtype=np.int64)
    representative[kind[::-1]] = np.arange(len(kind))[::-1]
    return representative, kind


def _row_keys(codes: npt.NDArray[np.integer], step: Index) -> Index:
    """A number for each row, equal for equal rows and in the order of (step, codes)."""
    key, n_keys = step.astype(np.int64), _span(step)
    for column, most in zip(codes.T, codes.max(axis=0, initial=-1).tolist(), strict=True):
        n_values = most + 2  # no column is -1
        if n_keys * n_values > _LARGEST_KEY:
            found, key = _unique(key)
            n_keys = len(found)
        key = key * n_values + (column.astype(np.int64) + 1)
        n_keys *= n_values
    return key


def _unique(keys: Index) -> tuple[Index, Index]:
    """Different numbers from 0 on, ascending, and the place of each key among them."""
    span = _span(keys)
    if span > 4 * len(keys) + _FEW:
        return np.unique(keys, return_inverse=True)
    there = np.zeros(span, dtype=bool)
    there[keys] = True
    places = np.cumsum(there) - 1
    return np.flatnonzero(there), places[keys]


def _triples(atom_kind: Index, pair_kind: Index, pair_atoms: Index, fold: bool) -> Triples:
    ends = atom_kind[pair_atoms]
    if not fold:
        every_pair = np.arange(len(pair_kind))
        return Triples(*(torch.from_numpy(k) for k in (ends[0], ends[1], pair_kind, every_pair)))
    low, high = ends.min(axis=0), ends.max(axis=0)
    n_atom, n_pair = _span(atom_kind), _span(pair_kind)
    keys, of_pair = _unique((low * n_atom + high) * n_pair + pair_kind)
    atoms, pair = np.divmod(keys, n_pair)
    first, second = np.divmod(atoms, n_atom)
    return Triples(*(torch.from_numpy(a) for a in (first, second, pair, of_pair)))


def _span(kind: Index) -> int:
    return int(kind.max(initial=0)) + 1


def _dense(
    schema: FeatureSchema, level: Level, chosen: Index, dtype: type[np.floating]
) -> npt.NDArray[np.floating]:
    """Feature rows of the chosen atoms or pairs, one-hot where a block is categorical."""
    codes, values = level.codes[chosen], level.values[chosen]
    rows = np.zeros((len(chosen), len(schema.columns(level.name))), dtype=dtype)
    for place in schema.places(level.name):
        if place.is_categorical:
            code = codes[:, place.stored.start].astype(np.int64)
            present = np.flatnonzero(code >= 0)
            rows[present, place.columns.start + code[present]] = 1
        else:
            rows[:, place.columns] = values[:, place.stored]
    return rows
