"""Featurized molecules: one (`MolGraph`), or many packed end to end (`PackedGraphs`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from molig.errors import UnknownNameError, UsageError
from molig.features.environments import PackedEnvironments, ragged, span
from molig.features.schema import FeatureSchema

Codes = npt.NDArray[np.int8]
Values = npt.NDArray[np.float32]
Index = npt.NDArray[np.int64]
Averages = npt.NDArray[np.float64]

_ATOM_FIELDS = ("atom_codes", "atom_values", "degrees")
_PAIR_FIELDS = ("pair_codes", "pair_values", "pair_atoms")


class Level(NamedTuple):
    """The atoms, or the pairs, of one or several molecules; `FeatureSchema.places` says what stands where."""

    name: str
    codes: Codes
    values: Values
    counts: Index

    @property
    def n_entries(self) -> int:
        """Number of attributions of a row."""
        return int(self.codes.shape[1] + self.values.shape[1])


@dataclass(frozen=True, eq=False)
class PackedGraphs:
    """Categorical codes and numeric values of ``n_mols`` molecules, end to end.

    Parameters
    ----------
    atom_codes : array of int8, shape (n_atoms, n categorical atom blocks)
        Column of each block that is 1; -1 for none.
    atom_values : array of float32, shape (n_atoms, n numeric atom columns)
        Values of the numeric blocks.
    pair_codes, pair_values : array
        The same for unordered pairs.
    pair_atoms : array of int64, shape (n_pairs, 2)
        Atoms i < j of each pair, numbered within their molecule.
    degrees : array of int64, shape (n_atoms,)
        Number of pairs that each atom takes part in.
    incident : array of int64, shape (2 n_pairs,)
        For each atom in turn, its pairs, numbered within their molecule.
    atom_counts, pair_counts : array of int64, shape (n_mols,)
        Atoms and pairs per molecule.
    environments : PackedEnvironments, optional
        Substructures, where the schema counts them.
    """

    atom_codes: Codes
    atom_values: Values
    pair_codes: Codes
    pair_values: Values
    pair_atoms: Index
    degrees: Index
    incident: Index
    atom_counts: Index
    pair_counts: Index
    environments: PackedEnvironments | None = None

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self.atom_counts)

    def __getitem__(self, index: int) -> MolGraph:
        """Return one molecule."""
        one = self.select(np.array([range(len(self))[index]]))
        codes = one.atom_codes, one.atom_values, one.pair_codes, one.pair_values, one.pair_atoms
        return MolGraph(*codes, one.environments)

    def __iter__(self) -> Iterator[MolGraph]:
        """Go through the molecules."""
        return (self[i] for i in range(len(self)))

    @property
    def n_atoms(self) -> int:
        """Total number of atoms."""
        return len(self.atom_codes)

    @property
    def n_pairs(self) -> int:
        """Total number of unordered pairs."""
        return len(self.pair_codes)

    def level(self, name: str) -> Level:
        """Codes and values of ``"atom"`` or ``"pair"``."""
        if name == "atom":
            return Level(name, self.atom_codes, self.atom_values, self.atom_counts)
        if name == "pair":
            return Level(name, self.pair_codes, self.pair_values, self.pair_counts)
        raise UnknownNameError("feature level", name, ["atom", "pair"])

    def select(self, molecules: npt.ArrayLike) -> Self:
        """Return the molecules of the given indices, in that order; indices may repeat."""
        molecules = np.asarray(molecules, dtype=np.int64)
        atoms = ragged(self.atom_counts, molecules)
        pairs = ragged(self.pair_counts, molecules)
        parts: dict[str, Any] = {name: getattr(self, name)[atoms] for name in _ATOM_FIELDS}
        parts |= {name: getattr(self, name)[pairs] for name in _PAIR_FIELDS}
        return type(self)(
            **parts,
            incident=self.incident[ragged(2 * self.pair_counts, molecules)],
            atom_counts=self.atom_counts[molecules],
            pair_counts=self.pair_counts[molecules],
            environments=self.environments.select(molecules) if self.environments is not None else None,
        )

    def run(self, start: int, stop: int) -> Self:
        """Return the molecules from ``start`` to before ``stop``, as views: nothing is copied."""
        mols = slice(start, stop)
        atoms, pairs = span(self.atom_counts, mols), span(self.pair_counts, mols)
        parts: dict[str, Any] = {name: getattr(self, name)[atoms] for name in _ATOM_FIELDS}
        parts |= {name: getattr(self, name)[pairs] for name in _PAIR_FIELDS}
        return type(self)(
            **parts,
            incident=self.incident[2 * pairs.start : 2 * pairs.stop],
            atom_counts=self.atom_counts[mols],
            pair_counts=self.pair_counts[mols],
            environments=self.environments.run(start, stop) if self.environments is not None else None,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Put several packs end to end."""
        if not parts:
            raise UsageError("cannot concatenate an empty list of graphs")
        arrays = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _ARRAYS}
        held = [p.environments for p in parts if p.environments is not None]
        if 0 < len(held) < len(parts):
            raise UsageError("graphs with and without environments cannot be put together")
        return cls(**arrays, environments=PackedEnvironments.concatenate(held) if held else None)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays by name, for a file; `from_arrays` reads them back."""
        held = {name: getattr(self, name) for name in _ARRAYS}
        if self.environments is not None:
            held |= {_PREFIX + f.name: getattr(self.environments, f.name) for f in fields(PackedEnvironments)}
        return held

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Graphs from the arrays of `arrays`; KeyError if one is missing."""
        found = None
        if any(name.startswith(_PREFIX) for name in arrays):
            parts = {f.name: arrays[_PREFIX + f.name] for f in fields(PackedEnvironments)}
            found = PackedEnvironments(**parts)
        return cls(**{name: arrays[name] for name in _ARRAYS}, environments=found)


_ARRAYS = tuple(f.name for f in fields(PackedGraphs) if f.name != "environments")
_PREFIX = "environments_"


@dataclass(frozen=True, eq=False)
class MolGraph:
    """One featurized molecule; see `PackedGraphs` for the fields.

    Parameters
    ----------
    atom_codes : array of int8, shape (n_atoms, n categorical atom blocks)
    atom_values : array of float32, shape (n_atoms, n numeric atom columns)
    pair_codes : array of int8, shape (n_pairs, n categorical pair blocks)
    pair_values : array of float32, shape (n_pairs, n numeric pair columns)
    pair_atoms : array of int64, shape (n_pairs, 2)
    environments : PackedEnvironments, optional
        Of this molecule.
    """

    atom_codes: Codes
    atom_values: Values
    pair_codes: Codes
    pair_values: Values
    pair_atoms: Index
    environments: PackedEnvironments | None = None

    def level(self, name: str) -> Level:
        """Codes and values of ``"atom"`` or ``"pair"``."""
        if name == "atom":
            return Level(name, self.atom_codes, self.atom_values, np.array([len(self.atom_codes)]))
        if name == "pair":
            return Level(name, self.pair_codes, self.pair_values, np.array([len(self.pair_codes)]))
        raise UnknownNameError("feature level", name, ["atom", "pair"])


def pack(graphs: Iterable[MolGraph]) -> PackedGraphs:
    """Pack molecules end to end."""
    listed = list(graphs)
    if not listed:
        raise UsageError("cannot pack an empty list of molecules")
    held = [g.environments for g in listed if g.environments is not None]
    return build_packed(
        atom_codes=np.concatenate([g.atom_codes for g in listed]),
        atom_values=np.concatenate([g.atom_values for g in listed]),
        pair_codes=np.concatenate([g.pair_codes for g in listed]),
        pair_values=np.concatenate([g.pair_values for g in listed]),
        pair_atoms=np.concatenate([g.pair_atoms for g in listed]),
        atom_counts=np.array([len(g.atom_codes) for g in listed]),
        pair_counts=np.array([len(g.pair_codes) for g in listed]),
        environments=PackedEnvironments.concatenate(held) if held else None,
    )


def build_packed(
    *,
    atom_codes: Codes,
    atom_values: Values,
    pair_codes: Codes,
    pair_values: Values,
    pair_atoms: Index,
    atom_counts: Index,
    pair_counts: Index,
    environments: PackedEnvironments | None = None,
) -> PackedGraphs:
    """Complete packed arrays with the pairs of every atom; see `PackedGraphs` for the parameters."""
    n_pairs = len(pair_atoms)
    atom_start = np.repeat(np.cumsum(atom_counts) - atom_counts, pair_counts)
    ends = (pair_atoms + atom_start[:, None]).T.ravel()
    local_pair = np.arange(n_pairs) - np.repeat(np.cumsum(pair_counts) - pair_counts, pair_counts)
    by_atom = np.argsort(ends, kind="stable")
    return PackedGraphs(
        atom_codes=np.ascontiguousarray(atom_codes, dtype=np.int8),
        atom_values=np.ascontiguousarray(atom_values, dtype=np.float32),
        pair_codes=np.ascontiguousarray(pair_codes, dtype=np.int8),
        pair_values=np.ascontiguousarray(pair_values, dtype=np.float32),
        pair_atoms=pair_atoms,
        degrees=np.bincount(ends, minlength=len(atom_codes)).astype(np.int64),
        incident=np.concatenate([local_pair, local_pair])[by_atom],
        atom_counts=atom_counts.astype(np.int64),
        pair_counts=pair_counts.astype(np.int64),
        environments=environments,
    )


def mean_rows(graphs: PackedGraphs, schema: FeatureSchema) -> tuple[Averages, Averages]:
    """Mean feature rows of the atoms and of the pairs of some molecules."""
    rows = []
    for level in (graphs.level("atom"), graphs.level("pair")):
        sums = [np.zeros(0)]
        for place in schema.places(level.name):
            if place.is_categorical:
                codes = level.codes[:, place.stored.start]
                counts = np.bincount(codes[codes >= 0], minlength=place.block.width)
                sums.append(counts.astype(np.float64))
            else:
                sums.append(level.values[:, place.stored].sum(axis=0, dtype=np.float64))
        rows.append(np.concatenate(sums) / max(len(level.codes), 1))
    return rows[0], rows[1]
