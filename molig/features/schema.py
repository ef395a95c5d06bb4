"""What the numbers of a molecule mean: named blocks of atom and pair columns."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from molig.errors import ModelFormatError, UnknownNameError, UsageError
from molig.features.environments import EnvironmentBlock

_MOST_CATEGORIES = 128


class BlockKind(StrEnum):
    """How a block fills its columns."""

    CATEGORICAL = "categorical"
    """At most one column of the block is 1 (one-hot); stored as one small integer, -1 for none."""
    NUMERIC = "numeric"
    """Every column holds a number of its own: a flag, a count or a real value."""


@dataclass(frozen=True)
class Block:
    """A named group of columns that one featurizer function fills.

    Parameters
    ----------
    name : str
        Name of the block, and of the function that computes it in `molig.features.blocks`.
    kind : BlockKind
        Categorical (one-hot) or numeric.
    columns : tuple of str
        Names of the columns, in order.
    other : str, optional
        The column that takes every value without a column of its own. A categorical block without
        one leaves all its columns zero for such a value.
    """

    name: str
    kind: BlockKind
    columns: tuple[str, ...]
    other: str | None = None

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.columns)


@dataclass(frozen=True)
class Column:
    """One input column of the network."""

    level: str
    block: str
    name: str
    kind: BlockKind
    is_other: bool

    def __str__(self) -> str:
        """Text such as ``atom.type = N`` or ``atom.ring_sizes: 6``."""
        if self.kind is BlockKind.CATEGORICAL:
            return f"{self.level}.{self.block} = {self.name}"
        return f"{self.level}.{self.block}: {self.name}"


@dataclass(frozen=True)
class BlockPlace:
    """Where one block of a level stands: among columns, among attributions, and in the arrays of a graph."""

    block: Block
    columns: slice
    """Among the columns of the level, as the network reads them."""
    entries: slice
    """Among the attributions of a row: one per categorical block, one per column of a numeric one."""
    stored: slice
    """Among the codes of a graph (categorical, one column) or among its values (numeric)."""

    @property
    def is_categorical(self) -> bool:
        """Whether the block is stored as one code per row."""
        return self.block.kind is BlockKind.CATEGORICAL


@dataclass(frozen=True)
class FeatureSchema:
    """The columns of atoms and pairs, in order, and which pairs a network sees.

    Parameters
    ----------
    name : str
        Name of the preset it came from, or any name for a schema of one's own.
    atom_blocks, pair_blocks : tuple of Block
        The blocks of an atom and of an unordered pair of atoms.
    max_pair_distance : int or None
        Largest number of bonds between the atoms of a pair (the y of WxNy); None for no limit.
    environment_blocks : tuple of EnvironmentBlock
        Substructures that are counted beside; read by the members of a committee.

    Examples
    --------
    >>> from molig.features import preset
    >>> schema = preset("simple", max_pair_distance=2)
    >>> schema.n_atom_columns, schema.n_pair_columns
    (11, 6)
    >>> print(schema.columns("atom")[2], "|", schema.columns("pair")[1])
    atom.type = N | pair.bond = double
    """

    name: str
    atom_blocks: tuple[Block, ...]
    pair_blocks: tuple[Block, ...]
    max_pair_distance: int | None = 2
    environment_blocks: tuple[EnvironmentBlock, ...] = ()

    def __post_init__(self) -> None:
        """Refuse schemas that name a block twice, have one that is too wide, or see no pair."""
        for level in ("atom", "pair"):
            names = [b.name for b in self.blocks(level)]
            if len(set(names)) < len(names):
                raise UsageError(
                    f"schema {self.name!r} names a block twice among its {level} blocks: {names}"
                )
            for block in self.blocks(level):
                if block.kind is BlockKind.CATEGORICAL and block.width > _MOST_CATEGORIES:
                    raise UsageError(
                        f"schema {self.name!r}: a categorical block has at most {_MOST_CATEGORIES} columns, "
                        f"as its codes are a byte each ({level}.{block.name} has {block.width}): put rare "
                        "values together, or make it numeric"
                    )
        kinds = [b.name for b in self.environment_blocks]
        if len(set(kinds)) < len(kinds):
            raise UsageError(
                f"schema {self.name!r} names a block twice among its environment blocks: {kinds}"
            )
        if self.max_pair_distance is not None and self.max_pair_distance < 1:
            raise UsageError(f"max_pair_distance must be at least 1 (got {self.max_pair_distance})")

    def blocks(self, level: str) -> tuple[Block, ...]:
        """Blocks of ``"atom"`` or ``"pair"``."""
        if level not in ("atom", "pair"):
            raise UnknownNameError("feature level", level, ["atom", "pair"])
        return self.atom_blocks if level == "atom" else self.pair_blocks

    @cached_property
    def n_atom_columns(self) -> int:
        """Number of columns of an atom."""
        return sum(b.width for b in self.atom_blocks)

    @cached_property
    def n_pair_columns(self) -> int:
        """Number of columns of a pair."""
        return sum(b.width for b in self.pair_blocks)

    def columns(self, level: str) -> list[Column]:
        """All columns of a level, in order."""
        return [
            Column(level, block.name, name, block.kind, name == block.other)
            for block in self.blocks(level)
            for name in block.columns
        ]

    def places(self, level: str) -> tuple[BlockPlace, ...]:
        """Blocks of a level with their places, in order.

        Examples
        --------
        >>> from molig.features import preset
        >>> for place in preset("full").places("atom")[:2]:
        ...     print(place.block.name, place.columns, place.entries)
        type slice(0, 11, None) slice(0, 1, None)
        chirality slice(11, 13, None) slice(1, 2, None)
        """
        column = entry = 0
        stored = dict.fromkeys(BlockKind, 0)
        places = []
        for block in self.blocks(level):
            # A categorical block is one number, whatever its width.
            taken = 1 if block.kind is BlockKind.CATEGORICAL else block.width
            start = stored[block.kind]
            places.append(
                BlockPlace(
                    block,
                    columns=slice(column, column + block.width),
                    entries=slice(entry, entry + taken),
                    stored=slice(start, start + taken),
                )
            )
            column, entry, stored[block.kind] = column + block.width, entry + taken, start + taken
        return tuple(places)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it back."""
        data: dict[str, Any] = {
            "name": self.name,
            "max_pair_distance": self.max_pair_distance,
            "atom_blocks": [_block_to_dict(b) for b in self.atom_blocks],
            "pair_blocks": [_block_to_dict(b) for b in self.pair_blocks],
        }
        if self.environment_blocks:  # older models have no such key, and keep their hash
            data["environment_blocks"] = [asdict(b) for b in self.environment_blocks]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FeatureSchema:
        """Schema from the plain data of `to_dict`.

        Raises
        ------
        ModelFormatError
            If the data is not that of a schema.
        """
        try:
            return cls(
                name=str(data["name"]),
                atom_blocks=tuple(_block_from_dict(b) for b in data["atom_blocks"]),
                pair_blocks=tuple(_block_from_dict(b) for b in data["pair_blocks"]),
                max_pair_distance=data["max_pair_distance"],
                environment_blocks=tuple(
                    EnvironmentBlock(b["name"], b["radius"]) for b in data.get("environment_blocks", ())
                ),
            )
        except (KeyError, TypeError, ValueError, UsageError) as err:
            raise ModelFormatError(f"not a feature schema: {type(err).__name__}: {err}") from err

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the schema's content, without its name; equal hashes mean equal columns."""
        content = {k: v for k, v in self.to_dict().items() if k != "name"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _block_to_dict(block: Block) -> dict[str, Any]:
    return {
        "name": block.name,
        "kind": block.kind.value,
        "columns": list(block.columns),
        "other": block.other,
    }


def _block_from_dict(data: dict[str, Any]) -> Block:
    return Block(data["name"], BlockKind(data["kind"]), tuple(data["columns"]), data["other"])
