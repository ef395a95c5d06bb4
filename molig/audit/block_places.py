"""Where the blocks of a schema stand: among columns, among attributions, and in the arrays of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from molig.features import BlockKind, FeatureSchema
from molig.features.schema import Block


@dataclass(frozen=True)
class BlockPlace:
    """A block of one level and its places.

    Parameters
    ----------
    block : Block
        The block.
    columns : slice
        Among the columns of the level, as the network reads them.
    entries : slice
        Among the attributions of a row: one per categorical block, one per column of a numeric one.
    stored : slice
        Among the codes of a graph for a categorical block, among its values for a numeric one.
    """

    block: Block
    columns: slice
    entries: slice
    stored: slice

    @property
    def is_categorical(self) -> bool:
        """Whether the block is stored as one code per row."""
        return self.block.kind is BlockKind.CATEGORICAL


def block_places(schema: FeatureSchema, level: str) -> Iterator[BlockPlace]:
    """Walk over the blocks of a level, in order.

    Parameters
    ----------
    schema : FeatureSchema
        What the columns are.
    level : {"atom", "pair"}
        Whose blocks.

    Yields
    ------
    BlockPlace

    Examples
    --------
    >>> from molig.features import preset
    >>> for place in list(block_places(preset("full"), "atom"))[:2]:
    ...     print(place.block.name, place.columns, place.entries)
    type slice(0, 11, None) slice(0, 1, None)
    chirality slice(11, 13, None) slice(1, 2, None)
    """
    column = entry = 0
    stored = dict.fromkeys(BlockKind, 0)
    for block in schema.blocks(level):
        # A categorical block is one number, whatever its width.
        taken = 1 if block.kind is BlockKind.CATEGORICAL else block.width
        start = stored[block.kind]
        yield BlockPlace(
            block,
            slice(column, column + block.width),
            slice(entry, entry + taken),
            slice(start, start + taken),
        )
        column, entry, stored[block.kind] = column + block.width, entry + taken, start + taken
