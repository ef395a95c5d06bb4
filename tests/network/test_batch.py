"""Collation: folding of repeated rows, scales, and the ways a batch can be put together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molig.errors import UsageError
from molig.features.graphs import build_packed
from molig.network import batch as module
from molig.network import collate

from .nets import MIXED, assert_close, featurizer, graphs_of, make_net, scores

schemas = pytest.mark.parametrize("name", ["simple", "full"])
readouts = pytest.mark.parametrize("readout", ["gaussian", "sum", "rms"])
# Few distinct values make folding across molecules likely, free ones make it impossible.
scale = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))
scale_per_molecule = st.lists(scale, min_size=len(MIXED), max_size=len(MIXED)).map(np.array)


# --- folding ----------------------------------------------------------------------------------


@schemas
@given(scales=scale_per_molecule)
@settings(deadline=None, max_examples=25)
def test_folding_changes_neither_values_nor_gradients(name, scales):
    schema, graphs = featurizer(name).schema, graphs_of(MIXED, name)
    net = make_net(schema, n_modules=3, activation="silu").double()
    found = []
    for fold in (True, False):
        net.zero_grad()
        values = scores(net, graphs, schema, scales, fold=fold)
        values.square().sum().backward()
        found.append([values, *(parameter.grad for parameter in net.parameters())])
    for folded, plain in zip(*found, strict=True):
        assert_close(folded, plain, 1e-11)


@given(scales=scale_per_molecule)
@settings(deadline=None, max_examples=25)
def test_gradient_of_a_folded_row_is_the_sum_over_its_copies(scales):
    schema, graphs = featurizer().schema, graphs_of(MIXED)
    net = make_net(schema, activation="silu").double()
    kinds, gradients = [], []
    for fold in (True, False):
        batch = collate(graphs, schema, scales, fold=fold)
        batch.atom_inputs.requires_grad_()
        batch.pair_inputs.requires_grad_()
        kinds.append((batch.atom_kind, batch.pair_kind))
        gradients.append(torch.autograd.grad(net(batch).sum(), (batch.atom_inputs, batch.pair_inputs)))
    for kind, folded, plain in zip(kinds[0], *gradients, strict=True):
        assert_close(folded, torch.zeros_like(folded).index_add(0, kind, plain), 1e-11)


def test_folding_keeps_one_row_per_kind():
    schema = featurizer().schema
    batch = collate(graphs_of(["CCO", "CCO", "OCC", "CCCC"]), schema)
    assert len(batch.atom_inputs) == 2  # carbon and oxygen
    assert len(batch.pair_inputs) == 2  # bonded and two bonds apart
    assert len(batch.triples.pair) == 4  # C-C, C-O, C..O and C..C
    halves = collate(graphs_of(["CCO", "CCO"]), schema, [1.0, 0.5])
    assert len(halves.atom_inputs) == 4


@schemas
def test_rows_of_their_own_without_folding(name):
    graphs = graphs_of(MIXED, name)
    batch = collate(graphs, featurizer(name).schema, fold=False)
    assert (len(batch.atom_inputs), len(batch.pair_inputs)) == (graphs.n_atoms, graphs.n_pairs)
    assert batch.atom_kind.tolist() == list(range(graphs.n_atoms))


@given(data=st.data(), dtype=st.sampled_from([np.int8, np.int64]), n_columns=st.integers(0, 30))
@settings(deadline=None, max_examples=50)
def test_distinct_rows_are_those_of_a_sort_for_any_number_of_blocks(data, dtype, n_columns):
    most = data.draw(st.sampled_from([1, 5, 127, 1 << 40 if dtype == np.int64 else 127]))
    n_rows = data.draw(st.integers(0, 40))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    # Copies, and rows that differ in the first or the last column alone.
    few = random.integers(-1, most, (3, n_columns), dtype=dtype, endpoint=True)
    codes = few[random.integers(0, 3, n_rows)]
    for place in {0, n_columns - 1} if n_columns else ():
        codes[random.random(n_rows) < 0.3, place] = -1
    step = random.integers(0, 3, n_rows)
    rows, kind = module._distinct(codes, step, fold=True)
    whole = np.column_stack([step, codes])
    _, first, of_row = np.unique(whole, axis=0, return_index=True, return_inverse=True)
    assert (rows.tolist(), kind.tolist()) == (first.tolist(), of_row.ravel().tolist())


# --- scales -----------------------------------------------------------------------------------


@schemas
@pytest.mark.parametrize("fold", [True, False])
def test_scale_0_is_the_zero_baseline(name, fold):
    schema, graphs = featurizer(name).schema, graphs_of(MIXED, name)
    net, batch = make_net(schema), collate(graphs, schema, fold=fold)
    zeros = replace(
        batch,
        atom_inputs=torch.zeros_like(batch.atom_inputs),
        pair_inputs=torch.zeros_like(batch.pair_inputs),
    )
    assert_close(scores(net, graphs, schema, np.zeros(len(graphs)), fold=fold), net(zeros))


def test_baseline_knows_the_graph_only():
    """With all features off, molecules that share a skeleton of pairs cannot be told apart."""
    schema, graphs = featurizer().schema, graphs_of(["CCO", "C=C=O", "N#CBr", "CC", "C1CC1"])
    same, as_well, and_this, shorter, cycle = scores(make_net(schema), graphs, schema, np.zeros(5))
    assert_close(as_well, same)
    assert_close(and_this, same)
    assert (shorter - same).abs().max() > 1e-3
    assert_close(cycle, same)  # under N2 also propane's chain shows three pairs, as a triangle does


@pytest.mark.parametrize("scales", [1.0, [1.0], np.ones((3, 1)), np.ones(4)])
def test_one_scale_per_molecule(scales):
    with pytest.raises(UsageError, match=r"one scale per molecule, shape \(3,\)"):
        collate(graphs_of(["C", "CC", "CCC"]), featurizer().schema, scales)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_take_the_type_of_the_scales(dtype):
    batch = collate(graphs_of(MIXED), featurizer().schema, np.ones(len(MIXED), dtype))
    assert batch.atom_inputs.numpy().dtype == batch.pair_inputs.numpy().dtype == dtype


# --- what must not matter ---------------------------------------------------------------------


@readouts
@schemas
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_company_does_not_matter(name, readout, data):
    """A molecule scores the same alone, repeated, and in any batch in any order."""
    schema, graphs = featurizer(name).schema, graphs_of(MIXED, name)
    net = make_net(schema, readout=readout)
    alone = torch.cat([scores(net, graphs.select([i]), schema) for i in range(len(graphs))])
    chosen = data.draw(st.lists(st.integers(0, len(MIXED) - 1), min_size=1, max_size=12))
    assert_close(scores(net, graphs.select(chosen), schema), alone[chosen])


@schemas
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_atom_order_does_not_matter(name, data):
    schema, graphs = featurizer(name).schema, graphs_of(MIXED, name)
    net = make_net(schema, n_modules=3)
    shuffled = []
    for graph in graphs:
        old = data.draw(st.permutations(range(len(graph.atom_codes))))
        new = np.argsort(old)
        shuffled.append(
            (graph.atom_codes[old], graph.atom_values[old], np.sort(new[graph.pair_atoms], axis=1))
        )
    codes, values, ends = (np.concatenate(part) for part in zip(*shuffled, strict=True))
    renumbered = _rebuild(graphs, atom_codes=codes, atom_values=values, pair_atoms=ends)
    assert_close(scores(net, renumbered, schema), scores(net, graphs, schema))


@schemas
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_pair_order_does_not_matter(name, data):
    schema, graphs = featurizer(name).schema, graphs_of(MIXED, name)
    net = make_net(schema, n_modules=3)
    starts = np.cumsum(graphs.pair_counts) - graphs.pair_counts
    order = np.concatenate(
        [
            data.draw(st.permutations(range(start, start + n)))
            for start, n in zip(starts.tolist(), graphs.pair_counts.tolist(), strict=True)
        ]
    ).astype(int)
    fields = {field: getattr(graphs, field)[order] for field in ("pair_codes", "pair_values", "pair_atoms")}
    assert_close(scores(net, _rebuild(graphs, **fields), schema), scores(net, graphs, schema))


def _rebuild(graphs, **changed):
    names = (
        "atom_codes",
        "atom_values",
        "pair_codes",
        "pair_values",
        "pair_atoms",
        "atom_counts",
        "pair_counts",
    )
    return build_packed(**({name: getattr(graphs, name) for name in names} | changed))


@readouts
@schemas
@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("smiles", [["C"], ["[Na+]", "O", "C"]])
def test_batches_without_any_pair(name, readout, fold, smiles):
    schema = featurizer(name).schema
    net = make_net(schema, readout=readout)
    found = scores(net, graphs_of(smiles, name), schema, fold=fold)
    with_pairs = scores(net, graphs_of([*smiles, "CCO"], name), schema, fold=fold)
    assert_close(found, with_pairs[:-1])
    found.sum().backward()


def test_moving_to_another_type_converts_the_rows_only():
    batch = collate(graphs_of(MIXED), featurizer().schema).to("cpu", torch.float64)
    assert batch.atom_inputs.dtype == batch.pair_inputs.dtype == torch.float64
    assert batch.pair_atoms.dtype == batch.triples.first.dtype == torch.int64
