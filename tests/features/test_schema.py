import json
from dataclasses import replace

import pytest
from rdkit import Chem

from molig.errors import ModelFormatError, UnknownNameError, UsageError
from molig.features import Block, BlockKind, FeatureSchema, Featurizer, atom_block, pair_block, preset

TYPES = [f"atom.type = {name}" for name in ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I", "other")]
FULL_ATOM = [
    *TYPES,
    "atom.chirality = R",
    "atom.chirality = S",
    "atom.formal_charge: charge",
    "atom.partial_charge: gasteiger",
    *(f"atom.ring_sizes: {size}" for size in (3, 4, 5, 6, 7, 8)),
    "atom.hybridization = sp",
    "atom.hybridization = sp2",
    "atom.hybridization = sp3",
    "atom.hydrogen_bonding: donor",
    "atom.hydrogen_bonding: acceptor",
    "atom.aromatic: aromatic",
]
BONDS = [f"pair.bond = {order}" for order in ("single", "double", "triple", "aromatic")]
SAME_RING = ["pair.same_ring: same ring"]


def one_hot(*names: object) -> list[str]:
    return [f"pair.distance = {name}" for name in names]


def cumulative() -> list[str]:
    return [f"pair.distance_within: <={d}" for d in range(1, 8)]


def names(schema: FeatureSchema, level: str) -> list[str]:
    return [str(column) for column in schema.columns(level)]


@pytest.mark.parametrize(
    ("name", "limit", "coding", "atom", "pair"),
    [
        ("full", 7, "one-hot", FULL_ATOM, BONDS + one_hot(1, 2, 3, 4, 5, 6, 7) + SAME_RING),
        ("full", 2, "cumulative", FULL_ATOM, BONDS + cumulative() + SAME_RING),
        ("full", 2, "one-hot", FULL_ATOM, BONDS + one_hot(1, 2) + SAME_RING),
        ("simple", 7, "cumulative", TYPES, BONDS + cumulative()),
        ("simple", 1, "one-hot", TYPES, BONDS + one_hot(1)),
        ("simple", 2, "one-hot", TYPES, BONDS + one_hot(1, 2)),
        ("simple", None, "one-hot", TYPES, BONDS + one_hot(1, 2, 3, 4, 5, 6, 7, ">7")),
        ("simple", 9, "one-hot", TYPES, BONDS + one_hot(1, 2, 3, 4, 5, 6, 7, ">7")),
    ],
)
def test_columns(name, limit, coding, atom, pair):
    schema = preset(name, max_pair_distance=limit, distance=coding)
    assert names(schema, "atom") == atom
    assert names(schema, "pair") == pair
    assert (schema.n_atom_columns, schema.n_pair_columns) == (len(atom), len(pair))


@pytest.mark.parametrize(("name", "sizes"), [("full", (27, 12)), ("simple", (11, 11))])
def test_widths_are_those_of_the_paper(name, sizes):
    schema = preset(name, distance="cumulative")
    assert (schema.n_atom_columns, schema.n_pair_columns) == sizes


def test_other_columns_are_marked():
    schema = preset("full", max_pair_distance=None)
    marked = [str(c) for level in ("atom", "pair") for c in schema.columns(level) if c.is_other]
    assert marked == ["atom.type = other", "pair.distance = >7"]


@pytest.mark.parametrize(
    ("name", "limit", "coding", "frozen"),
    [
        ("simple", 1, "one-hot", "aa4acd6dab9cac2dc232184291255548bd7062b1d3f553f5a0b5733c474777e3"),
        ("simple", 2, "one-hot", "585f7e11e851db22e7f46418b952ec19f154a552a9fe4a5202ee63445f982e42"),
        ("simple", None, "one-hot", "486aa932a4a5dc32e101d68ea09d1c755ea41e494a1ffd49f62b9d095c765b4c"),
        ("simple", 2, "cumulative", "afb5c0475cc943aa7f97b0bec8e10aa6292b795b28d19bbdec47a3b407f349a6"),
        ("full", 2, "one-hot", "b640ad1b25cb6bd54c48fdf8b9ed6928eec7ad3b13dba7498a97979be85e4ff5"),
        ("full", 2, "cumulative", "eeb0c9c68528fe2507767ef1d01430ed96d34cfe57f3509df5cb5124d1ba9846"),
    ],
)
def test_hash_is_frozen(name, limit, coding, frozen):
    """A change here means that models saved by earlier versions are refused."""
    assert preset(name, max_pair_distance=limit, distance=coding).hash == frozen


def test_hash_ignores_the_name_only():
    schema = preset("full", max_pair_distance=2)
    bond, distance, ring = schema.pair_blocks
    changed = [
        replace(schema, max_pair_distance=3),
        replace(schema, atom_blocks=schema.atom_blocks[::-1]),
        replace(schema, pair_blocks=(bond, distance)),
        replace(schema, pair_blocks=(bond, replace(distance, other="2"), ring)),
        replace(schema, pair_blocks=(bond, distance, replace(ring, kind=BlockKind.CATEGORICAL))),
        replace(schema, pair_blocks=(replace(bond, columns=bond.columns[::-1]), distance, ring)),
    ]
    assert replace(schema, name="mine").hash == schema.hash
    assert len({schema.hash, *(other.hash for other in changed)}) == 1 + len(changed)


@pytest.mark.parametrize("name", ["simple", "full"])
@pytest.mark.parametrize("limit", [2, None])
def test_json_round_trip(name, limit):
    schema = preset(name, max_pair_distance=limit)
    again = FeatureSchema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert again == schema
    assert again.hash == schema.hash


@pytest.mark.parametrize(
    "change",
    [
        {"atom_blocks": None},
        {"atom_blocks": ["type"]},
        {"pair_blocks": [{"name": "bond"}]},
        {"pair_blocks": [{"name": "bond", "kind": "fuzzy", "columns": [], "other": None}]},
        {"max_pair_distance": "two"},
    ],
)
def test_foreign_data_is_no_schema(change):
    with pytest.raises(ModelFormatError, match="not a feature schema"):
        FeatureSchema.from_dict(preset("simple").to_dict() | change)


@pytest.mark.parametrize("missing", ["name", "max_pair_distance", "atom_blocks", "pair_blocks"])
def test_missing_key_is_named(missing):
    data = preset("simple").to_dict()
    del data[missing]
    with pytest.raises(ModelFormatError, match=missing):
        FeatureSchema.from_dict(data)


def test_a_column_names_its_block():
    column = preset("full").columns("atom")[26]
    assert (column.level, column.block, column.name) == ("atom", "aromatic", "aromatic")
    assert column.kind is BlockKind.NUMERIC


@pytest.mark.parametrize("name", ["simple", "full"])
@pytest.mark.parametrize("level", ["atom", "pair"])
def test_places_cover_columns_entries_and_arrays_without_gaps(name, level):
    schema = preset(name)
    places = schema.places(level)
    assert tuple(place.block for place in places) == schema.blocks(level)
    assert _ends_to_end([place.columns for place in places]) == len(schema.columns(level))
    arrays = Featurizer(schema)(Chem.MolFromSmiles("CC=O")).level(level)
    assert _ends_to_end([place.entries for place in places]) == arrays.n_entries
    categorical = [place.stored for place in places if place.is_categorical]
    numeric = [place.stored for place in places if not place.is_categorical]
    assert _ends_to_end(categorical) == arrays.codes.shape[1]
    assert _ends_to_end(numeric) == arrays.values.shape[1]


def _ends_to_end(slices):
    """Where the last ends, if each begins where the one before ends."""
    end = 0
    for part in slices:
        assert part.start == end
        end = part.stop
    return end


@pytest.mark.parametrize(
    ("call", "suggestion"),
    [
        (lambda: preset("simpel"), "simple"),
        (lambda: preset("full", distance="onehot"), "one-hot"),
        (lambda: preset("full").columns("atoms"), "atom"),
        (lambda: Featurizer(preset("full"))(Chem.MolFromSmiles("C")).level("pairs"), "pair"),
        (lambda: atom_block("hybridisation"), "hybridization"),
        (lambda: pair_block("bonds"), "bond"),
    ],
    ids=["preset", "distance", "level", "graph level", "atom block", "pair block"],
)
def test_unknown_names_come_with_a_suggestion(call, suggestion):
    with pytest.raises(UnknownNameError, match=f"did you mean '{suggestion}'"):
        call()


@pytest.mark.parametrize("level", ["atom", "pair"])
def test_duplicate_blocks_are_refused(level):
    blocks = {"atom_blocks": (atom_block("type"),), "pair_blocks": (pair_block("bond"),)}
    blocks[f"{level}_blocks"] *= 2
    with pytest.raises(UsageError, match=f"names a block twice (among|in) its {level} blocks"):
        FeatureSchema("mine", **blocks)


def test_codes_of_a_block_fit_into_a_byte():
    for width in (128, 129):
        blocks = (Block("wide", BlockKind.CATEGORICAL, tuple(map(str, range(width)))),)
        if width == 128:
            assert FeatureSchema("mine", blocks, (pair_block("bond"),)).n_atom_columns == width
            continue
        with pytest.raises(UsageError, match=r"at most 128 columns.*atom.wide has 129"):
            FeatureSchema("mine", blocks, (pair_block("bond"),))


@pytest.mark.parametrize("limit", [0, -1])
def test_schema_must_see_pairs(limit):
    with pytest.raises(UsageError, match=f"at least 1 .got {limit}"):
        preset("simple", max_pair_distance=limit)


def test_blocks_of_a_newer_version_are_refused():
    schema = FeatureSchema("new", (Block("spin", BlockKind.NUMERIC, ("2S+1",)),), (pair_block("bond"),))
    with pytest.raises(ModelFormatError, match="'spin'"):
        Featurizer(schema)
