from dataclasses import fields, replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molig.errors import UsageError
from molig.features import (
    EnvironmentBlock,
    Featurizer,
    PackedEnvironments,
    PackedGraphs,
    preset,
)
from molig.features.graphs import pack

# With and without pairs, single atoms first, last and side by side.
SMILES = ("C", "CCO", "[Na+]", "O", "c1ccncc1", "CC(=O)[O-].[Na+]", "C[C@H](N)C(=O)O", "[Cl-]")
PRESETS = ("simple", "full", "with environments")
BLOCKS = (EnvironmentBlock("environment"), EnvironmentBlock("element_environment", 1))


def featurizer(name: str) -> Featurizer:
    if name in ("simple", "full"):
        return Featurizer(preset(name, max_pair_distance=2))
    return Featurizer(replace(preset("simple", max_pair_distance=2), environment_blocks=BLOCKS))


@cache
def packed(name: str) -> PackedGraphs:
    return featurizer(name).featurize([Chem.MolFromSmiles(s) for s in SMILES])


def assert_same(left: object, right: object) -> None:
    for field in fields(left):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if isinstance(a, PackedEnvironments):
            assert_same(a, b)
            continue
        assert (a is None) == (b is None), field.name
        if a is None:
            continue
        assert a.dtype == b.dtype, field.name
        np.testing.assert_array_equal(a, b, err_msg=field.name)


both_presets = pytest.mark.parametrize("name", PRESETS)


@both_presets
def test_featurizing_many_equals_one_by_one(name):
    one_by_one = featurizer(name)
    for smiles, graph in zip(SMILES, packed(name), strict=True):
        assert_same(graph, one_by_one(Chem.MolFromSmiles(smiles)))


@both_presets
def test_packing_the_molecules_gives_the_pack_back(name):
    assert_same(pack(list(packed(name))), packed(name))


@both_presets
@given(chosen=st.lists(st.integers(-len(SMILES), len(SMILES) - 1), max_size=12))
@settings(deadline=None)
def test_select_takes_molecules_in_any_order_and_number(name, chosen):
    graphs = packed(name)
    part = graphs.select(chosen)
    assert len(part) == len(chosen)
    assert (part.n_atoms, part.n_pairs) == (len(part.degrees), len(part.incident) // 2)
    for graph, index in zip(part, chosen, strict=True):
        assert_same(graph, graphs[index])
    if chosen:
        assert_same(part, pack([graphs[index] for index in chosen]))


@both_presets
def test_a_run_is_what_selecting_its_molecules_gives(name):
    counted = Featurizer(featurizer(name).schema).featurize(
        [Chem.MolFromSmiles(s) for s in SMILES], occurrences=False
    )
    for graphs in (packed(name), counted):
        for start in range(len(SMILES)):
            for stop in range(start, len(SMILES) + 1):
                assert_same(graphs.run(start, stop), graphs.select(range(start, stop)))


@given(cuts=st.lists(st.integers(0, len(SMILES)), max_size=4).map(sorted))
@settings(deadline=None)
def test_concatenate_undoes_cutting(cuts):
    graphs = packed("full")
    edges = [0, *cuts, len(SMILES)]
    parts = [graphs.select(range(a, b)) for a, b in pairwise(edges)]
    assert_same(PackedGraphs.concatenate(parts), graphs)


def test_incident_lists_the_pairs_of_every_atom():
    graphs = packed("simple")
    degrees, incident = graphs.degrees.tolist(), graphs.incident.tolist()
    for graph in graphs:
        for atom in range(len(graph.atom_codes)):
            mine = [incident.pop(0) for _ in range(degrees.pop(0))]
            assert sorted(mine) == [p for p, ends in enumerate(graph.pair_atoms.tolist()) if atom in ends]
    assert degrees == incident == []


def test_index_works_as_in_a_list():
    graphs = packed("simple")
    assert_same(graphs[-1], graphs[len(SMILES) - 1])
    with pytest.raises(IndexError):
        graphs[len(SMILES)]


@both_presets
def test_no_molecules_are_an_empty_pack(name):
    empty = featurizer(name).featurize([])
    assert (len(empty), empty.n_atoms, empty.n_pairs) == (0, 0, 0)
    assert empty.pair_atoms.shape == (0, 2)
    full = featurizer(name).featurize([Chem.MolFromSmiles("CC")])
    assert_same(PackedGraphs.concatenate([empty, full]), full)


@pytest.mark.parametrize("join", [pack, PackedGraphs.concatenate])
def test_nothing_to_join_is_an_error(join):
    with pytest.raises(UsageError, match="empty list"):
        join([])
