"""Features as columns: back to the same bits, for every schema whose blocks are there."""

from __future__ import annotations

from dataclasses import fields, replace
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from features.molecules import DIVERSE
from molig.errors import InputError, UsageError
from molig.features import EnvironmentBlock, Featurizer, PackedEnvironments, PackedGraphs, preset
from molig.features.columns import decoded, encoded, feature_fields, united_schema

BLOCKS = (
    EnvironmentBlock("environment"),
    EnvironmentBlock("element_environment"),
    EnvironmentBlock("element_pair", 5),
)
FULL = replace(preset("full", max_pair_distance=2), environment_blocks=BLOCKS)
SMALLER = {
    "all of it": FULL,
    "simple": preset("simple", max_pair_distance=2),
    "full without environments": preset("full", max_pair_distance=2),
    "one block of environments": replace(
        preset("simple", max_pair_distance=2), environment_blocks=BLOCKS[2:]
    ),
    "blocks of environments in another order": replace(FULL, environment_blocks=BLOCKS[::-1]),
}
MOLS = [Chem.MolFromSmiles(smiles) for smiles in DIVERSE.values()]


def features_of(mols, schema) -> PackedGraphs:
    return Featurizer(schema).featurize(mols, occurrences=False)


def columns_of(mols, schema=FULL) -> pa.Table:
    columns = encoded(features_of(mols, schema), schema)
    return pa.table(
        [columns[field.name] for field in feature_fields(schema)], schema=pa.schema(feature_fields(schema))
    )


def assert_same(left: object, right: object) -> None:
    for field in fields(left):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, PackedEnvironments):
            assert_same(a, b)
        elif a is None:
            assert b is None
        else:
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)


@pytest.mark.parametrize("schema", SMALLER.values(), ids=SMALLER)
def test_columns_hold_what_the_featurizer_made(schema):
    assert_same(decoded(columns_of(MOLS), schema), features_of(MOLS, schema))


@settings(max_examples=20)
@given(chosen=st.lists(st.sampled_from(range(len(MOLS))), min_size=1, max_size=12), data=st.data())
def test_a_slice_and_several_chunks_hold_it_too(chosen, data):
    mols = [MOLS[i] for i in chosen]
    start = data.draw(st.integers(0, len(mols) - 1))
    cut = data.draw(st.integers(0, len(mols)))
    pieces = [columns_of(part) for part in (mols[:cut], mols[cut:]) if part]
    table = pa.concat_tables(pieces).slice(start)
    assert_same(decoded(table, FULL), features_of(mols[start:], FULL))


def test_the_columns_survive_a_parquet_file():
    file = BytesIO()
    pq.write_table(columns_of(MOLS), file)
    assert_same(decoded(pq.read_table(file), FULL), features_of(MOLS, FULL))


def test_counts_and_steps_above_a_byte_have_a_second_column():
    chain = Chem.MolFromSmiles("C" * 300)
    schema = replace(preset("simple", max_pair_distance=None), environment_blocks=BLOCKS)
    mols = [MOLS[0], chain, MOLS[11]]
    table = columns_of(mols, schema)
    assert table.column("pair_step_high").null_count == 0
    assert table.column("element_pair_5_counts_high").null_count == 0
    assert_same(decoded(table, schema), features_of(mols, schema))
    small = columns_of([MOLS[11]], schema)
    assert small.column("pair_step_high").null_count == 1
    assert_same(
        decoded(pa.concat_tables([small, table, small]), schema),
        features_of([MOLS[11], *mols, MOLS[11]], schema),
    )


def test_no_molecule_has_columns_too():
    none = columns_of(MOLS).slice(0, 0)
    assert len(decoded(none, FULL)) == 0


class TestUnitedSchema:
    def test_a_united_schema_has_every_block_once(self):
        united = united_schema(list(SMALLER.values()))
        assert {b.name for b in united.atom_blocks} == {b.name for b in FULL.atom_blocks}
        assert set(united.environment_blocks) == set(BLOCKS)

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            (preset("simple", max_pair_distance=3), "different distances .2, 3 bonds"),
            (preset("simple", max_pair_distance=None), "different distances .2, any bonds"),
            (replace(FULL, environment_blocks=(EnvironmentBlock("environment", 1),)), "different radius"),
        ],
    )
    def test_what_cannot_share_columns_is_refused(self, other, message):
        with pytest.raises(UsageError, match=message):
            united_schema([FULL, other])


def broken(name: str, values: list[bytes | None]) -> pa.Table:
    table = columns_of(MOLS[-3:])
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, pa.array(values, pa.binary()))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("atom_type", lambda v: v[:-1]),
        ("atom_type", lambda v: b"\x7f" * len(v)),
        ("atom_type", lambda v: b"\xf0" * len(v)),
        ("pair_bond", lambda v: v + b"\0"),
        ("pair_step", lambda v: b"\0" * len(v)),
        ("pair_step", lambda v: b"\xff" * len(v)),
        ("pairs_of_atom", lambda v: v[::-1] + b"\1"),
        ("atom_ring_sizes", lambda v: v[:-1]),
        ("element_pair_5_counts", lambda v: v[:-1]),
    ],
)
def test_columns_that_do_not_fit_together_are_refused(name, change):
    values = columns_of(MOLS[-3:]).column(name).to_pylist()
    with pytest.raises(InputError):
        decoded(broken(name, [change(value) for value in values]), FULL)
