"""Features as columns of a table, a row per molecule, and back: what a feature store holds.

===========================  ==========================================================================
column                       content
===========================  ==========================================================================
pairs_of_atom                a byte per atom: of how many pairs it is the first atom
pair_step                    a byte per pair: how far behind its first atom the second one stands
atom_BLOCK, pair_BLOCK       categorical block: a byte per atom or pair, its code, -1 for none; counts
                             and flags: a byte per column of the block; real values: a list of float32
NAME_RADIUS_ids              of a block of environments: RDKit's numbers, ascending
NAME_RADIUS_counts           how often the molecule has each of them, a byte each
===========================  ==========================================================================

All bytes of a molecule are one binary value. Numbers that may exceed a byte have a second column,
``NAME_high``, for their higher bytes; it is null where all of these are 0. Pairs are ordered by their first,
then by their second atom. Every block has columns of its own, so that a table with the blocks of several
schemas serves them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from molig.errors import InputError, OutputError, UsageError
from molig.features.environments import EnvironmentBlock, PackedEnvironments
from molig.features.graphs import PackedGraphs, build_packed
from molig.features.schema import Block, BlockKind, FeatureSchema

Numbers = npt.NDArray[Any]
Index = npt.NDArray[np.int64]

_HIGH = "_high"


def united_schema(schemas: Sequence[FeatureSchema]) -> FeatureSchema:
    """One schema with the blocks of several, whose columns serve them all.

    Raises
    ------
    UsageError
        If they look at pairs up to other distances, or mean other columns by one name.

    Examples
    --------
    >>> from molig.features import preset
    >>> both = united_schema([preset("simple", max_pair_distance=2), preset("full", max_pair_distance=2)])
    >>> len(both.atom_blocks), len(both.pair_blocks)
    (8, 3)
    """
    distances = {schema.max_pair_distance for schema in schemas}
    if len(distances) > 1:
        raise UsageError(
            f"these models look at pairs of atoms up to different distances ({_listed(distances)} bonds): "
            "prepare a store for each"
        )

    def united(blocks: Iterable[Block]) -> tuple[Block, ...]:
        found: dict[str, Block] = {}
        for block in blocks:
            if found.setdefault(block.name, block) != block:
                raise UsageError(
                    f"these models mean different columns by {block.name!r}: prepare a store for each"
                )
        return tuple(found.values())

    return FeatureSchema(
        "united",
        united(block for schema in schemas for block in schema.atom_blocks),
        united(block for schema in schemas for block in schema.pair_blocks),
        distances.pop(),
        _united_environments(schemas),
    )


def _united_environments(schemas: Sequence[FeatureSchema]) -> tuple[EnvironmentBlock, ...]:
    found = dict.fromkeys(block for schema in schemas for block in schema.environment_blocks)
    if len({block.name for block in found}) < len(found):
        raise UsageError("these models count environments of different radius: prepare a store for each")
    return tuple(found)


def _listed(items: Iterable[object]) -> str:
    return ", ".join(sorted("any" if item is None else str(item) for item in items))


# Numeric blocks whose values are no whole numbers.
_REAL = frozenset({"partial_charge"})


def _block_column(level: str, block: Block) -> str:
    return f"{level}_{block.name}"


def _environment_columns(block: EnvironmentBlock) -> tuple[str, str]:
    return f"{block.name}_{block.radius}_ids", f"{block.name}_{block.radius}_counts"


def feature_fields(schema: FeatureSchema) -> list[pa.Field]:
    """Columns that hold the features of a schema.

    Examples
    --------
    >>> from molig.features import preset
    >>> [field.name for field in feature_fields(preset("simple", max_pair_distance=2))][-3:]
    ['atom_type', 'pair_bond', 'pair_distance']
    """
    return [pa.field(name, _type_of(name)) for name in _names(schema)]


def _names(schema: FeatureSchema) -> list[str]:
    """Names of the columns that hold the features of a schema."""
    names = ["pairs_of_atom", "pairs_of_atom" + _HIGH, "pair_step", "pair_step" + _HIGH]
    names += [_block_column(level, b) for level in ("atom", "pair") for b in schema.blocks(level)]
    for block in schema.environment_blocks:
        ids, counts = _environment_columns(block)
        names += [ids, counts, counts + _HIGH]
    return names


def _type_of(column: str) -> pa.DataType:
    if column.endswith("_ids"):
        return pa.list_(pa.uint32())
    real = column.split("_", maxsplit=1)[1] in _REAL
    return pa.list_(pa.float32()) if real else pa.binary()


def encoded(graphs: PackedGraphs, schema: FeatureSchema) -> dict[str, pa.Array]:
    """Columns of molecules that were featurized with a schema, by name.

    Environments are kept as counts: where their atoms are is lost.

    Raises
    ------
    OutputError
        If a number does not fit its column, which takes a molecule of more than 65,000 atoms.

    Examples
    --------
    >>> from rdkit import Chem
    >>> from molig.features import Featurizer, preset
    >>> schema = preset("simple", max_pair_distance=2)
    >>> columns = encoded(Featurizer(schema).featurize([Chem.MolFromSmiles("CCO")]), schema)
    >>> list(columns["atom_type"][0].as_py()), list(columns["pairs_of_atom"][0].as_py())
    ([1, 1, 3], [2, 1, 0])
    """
    atoms, pairs = graphs.atom_counts, graphs.pair_counts
    first, second = graphs.pair_atoms.T
    start = np.repeat(np.cumsum(atoms) - atoms, pairs)
    columns = _wide_bytes("pairs_of_atom", np.bincount(first + start, minlength=graphs.n_atoms), atoms)
    columns |= _wide_bytes("pair_step", second - first, pairs)
    for level in (graphs.level("atom"), graphs.level("pair")):
        for place in schema.places(level.name):
            name = _block_column(level.name, place.block)
            if place.is_categorical:
                columns[name] = binary_values(level.codes[:, place.stored], level.counts)
            elif place.block.name in _REAL:
                values = np.ascontiguousarray(level.values[:, place.stored]).ravel()
                columns[name] = _lists(values, level.counts * place.block.width)
            else:
                columns[name] = _whole_bytes(name, level.values[:, place.stored], level.counts)
    if graphs.environments is not None:
        for number, block in enumerate(schema.environment_blocks):
            columns |= _encoded_environments(graphs.environments, number, block)
    return columns


def _encoded_environments(
    held: PackedEnvironments, number: int, block: EnvironmentBlock
) -> dict[str, pa.Array]:
    own = np.flatnonzero(held.ids >> 32 == number)
    per_molecule = np.bincount(held.mol_of_row[own], minlength=len(held))
    ids, counts = _environment_columns(block)
    numbers = (held.ids[own] & 0xFFFFFFFF).astype(np.uint32)
    return {ids: _lists(numbers, per_molecule)} | _wide_bytes(
        counts, held.counts[own].astype(np.int64), per_molecule
    )


def binary_values(flat: Numbers, counts: Index) -> pa.Array:
    """A binary value for each molecule, of its rows of fixed width."""
    flat = np.ascontiguousarray(flat)
    width = flat.nbytes // len(flat) if len(flat) else 1
    offsets = np.concatenate([[0], np.cumsum(counts * width)]).astype(np.int32)
    return pa.Array.from_buffers(pa.binary(), len(counts), [None, pa.py_buffer(offsets), pa.py_buffer(flat)])


def _lists(flat: Numbers, counts: Index) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))


def _whole_bytes(name: str, values: Numbers, counts: Index) -> pa.Array:
    narrow = values.astype(np.int8)
    if not np.array_equal(narrow, values):
        raise OutputError(
            f"{name} has values that are no whole numbers from -128 to 127: no store can hold them"
        )
    return binary_values(narrow, counts)


def _wide_bytes(name: str, values: Index, counts: Index) -> dict[str, pa.Array]:
    """The lower bytes of numbers from 0 to 65,535, and the higher ones where there are any."""
    if len(values) and values.max() > 0xFFFF:
        raise OutputError(f"{name} has values above 65,535: no store can hold them")
    high = (values >> 8).astype(np.uint8)
    return {
        name: binary_values((values & 0xFF).astype(np.uint8), counts),
        name + _HIGH: binary_values(high, counts) if high.any() else pa.nulls(len(counts), pa.binary()),
    }


def flat_values(column: pa.Array | pa.ChunkedArray, kind: npt.DTypeLike = np.uint8) -> tuple[Numbers, Index]:
    """All values of a column of binaries or lists end to end, and how many each molecule has."""
    column = _whole(column)
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)[
        column.offset : column.offset + len(column) + 1
    ]
    if pa.types.is_list(column.type):
        values = column.values.slice(offsets[0], offsets[-1] - offsets[0]).to_numpy()
        return values, np.diff(offsets).astype(np.int64)
    data = column.buffers()[2]
    size = np.dtype(kind).itemsize
    values = np.frombuffer(b"" if data is None else data, dtype=np.uint8)[offsets[0] : offsets[-1]]
    counts = np.diff(offsets).astype(np.int64)
    if size > 1 and (counts % size).any():
        raise InputError(f"the bytes are no numbers of {size} bytes")
    return values.view(kind), counts // size


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _wide(table: pa.Table, name: str) -> tuple[Index, Index]:
    low, counts = flat_values(table.column(name))
    values = low.astype(np.int64)
    high = _whole(table.column(name + _HIGH))
    if high.null_count < len(high):
        # Of a table with several writes, some molecules have none.
        bytes_of, present = flat_values(high.fill_null(b"") if high.null_count else high)
        owner = np.repeat(present > 0, counts)
        if owner.sum() != len(bytes_of):
            raise InputError(f"{name}{_HIGH} has another length than {name}")
        values[owner] |= bytes_of.astype(np.int64) << 8
    return values, counts


def decoded(table: pa.Table, schema: FeatureSchema) -> PackedGraphs:
    """Features of the rows of a table, by a schema whose columns it has.

    Parameters
    ----------
    table : pyarrow.Table
        With at least the columns of `feature_fields`.
    schema : FeatureSchema
        Which of its features.

    Returns
    -------
    PackedGraphs
        What the featurizer has made of the same molecules with this schema, bit by bit.

    Raises
    ------
    InputError
        If the columns do not fit together.
    """
    of_atom, atom_counts = _wide(table, "pairs_of_atom")
    step, pair_counts = _wide(table, "pair_step")
    local = np.arange(len(of_atom)) - np.repeat(np.cumsum(atom_counts) - atom_counts, atom_counts)
    owner = np.repeat(np.arange(len(atom_counts)), atom_counts)
    if not np.array_equal(np.bincount(owner, weights=of_atom, minlength=len(atom_counts)), pair_counts):
        raise InputError("pairs_of_atom and pair_step disagree on the number of pairs")
    first = np.repeat(local, of_atom)
    second = first + step
    if (second >= np.repeat(atom_counts, pair_counts)).any() or (step < 1).any():
        raise InputError("pair_step leads out of a molecule")
    atom_codes, atom_values = _level(table, schema, "atom", atom_counts)
    pair_codes, pair_values = _level(table, schema, "pair", pair_counts)
    return build_packed(
        atom_codes=atom_codes,
        atom_values=atom_values,
        pair_codes=pair_codes,
        pair_values=pair_values,
        pair_atoms=np.stack([first, second], axis=1),
        atom_counts=atom_counts,
        pair_counts=pair_counts,
        environments=_decoded_environments(table, schema) if schema.environment_blocks else None,
    )


def _level(
    table: pa.Table, schema: FeatureSchema, level: str, counts: Index
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    places, n_rows = schema.places(level), int(counts.sum())
    widths = {
        kind: sum(1 if p.is_categorical else p.block.width for p in places if p.block.kind is kind)
        for kind in BlockKind
    }
    codes = np.empty((n_rows, widths[BlockKind.CATEGORICAL]), dtype=np.int8)
    values = np.empty((n_rows, widths[BlockKind.NUMERIC]), dtype=np.float32)
    for place in places:
        name = _block_column(level, place.block)
        width = 1 if place.is_categorical else place.block.width
        flat, lengths = flat_values(table.column(name), np.int8)
        if not np.array_equal(lengths, counts * width):
            raise InputError(f"{name} has another length than {level}s")
        if place.is_categorical:
            if len(flat) and not (flat.min() >= -1 and flat.max() < place.block.width):
                raise InputError(f"{name} has codes of no column")
            codes[:, place.stored.start] = flat
        else:
            values[:, place.stored] = flat.reshape(n_rows, width)
    return codes, values


def _decoded_environments(table: pa.Table, schema: FeatureSchema) -> PackedEnvironments:
    """Environments of all blocks: of each molecule those of the first block, then those of the second."""
    found = []
    for block in schema.environment_blocks:
        of_ids, of_counts = _environment_columns(block)
        numbers, per_molecule = flat_values(table.column(of_ids))
        amounts, also = _wide(table, of_counts)
        if not np.array_equal(per_molecule, also):
            raise InputError(f"{of_ids} and {of_counts} have different lengths")
        found.append((numbers, amounts, per_molecule))
    row_counts = np.sum([per_molecule for _, _, per_molecule in found], axis=0)
    ids, counts = np.empty(row_counts.sum(), dtype=np.int64), np.empty(row_counts.sum(), dtype=np.float32)
    begin = np.cumsum(row_counts) - row_counts
    for number, (numbers, amounts, per_molecule) in enumerate(found):
        shift = np.repeat(begin - (np.cumsum(per_molecule) - per_molecule), per_molecule)
        places = shift + np.arange(len(numbers))
        ids[places], counts[places] = (number << 32) | numbers.astype(np.int64), amounts
        begin = begin + per_molecule
    none = np.zeros(0, dtype=np.int64)
    return PackedEnvironments(ids, counts, row_counts.astype(np.int64), none.astype(np.int8), none, none)
