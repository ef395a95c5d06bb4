"""Counterfactuals: outputs between baseline and molecule, and their rates of change."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from network.nets import MIXED, graphs_of
from support.random_models import random_model

from molig.model import relaxed as module
from molig.network import collate

SCHEMAS = ("simple", "full")


def entries(schema, level) -> int:
    return sum(1 if b.kind == "categorical" else b.width for b in schema.blocks(level))


@pytest.fixture(params=SCHEMAS)
def model(request):
    return random_model(request.param, double=True)


@pytest.fixture
def graphs(model):
    return graphs_of(MIXED, model.schema.name)


def repeated(graphs, molecules, scales):
    return [np.repeat(scales, counts[molecules]) for counts in (graphs.atom_counts, graphs.pair_counts)]


def test_untouched_they_are_the_molecules(model, graphs):
    molecules = np.array([3, 0, 0, 7])
    found = model.relax(graphs).outputs(molecules)
    np.testing.assert_allclose(found, model.logits(graphs)[molecules], atol=1e-12)


def test_one_factor_for_all_features_is_a_point_of_the_path(model, graphs):
    molecules, scales = np.arange(len(graphs)), np.linspace(0, 1, len(graphs))
    found = model.relax(graphs).outputs(molecules, *repeated(graphs, molecules, scales))
    np.testing.assert_allclose(found, model.logits(graphs, scales), atol=1e-12)


def test_at_factor_zero_nothing_but_the_baseline_is_left(model, graphs):
    """Molecules of one size and shape differ no more, whatever the baseline."""
    random = np.random.default_rng(0)
    base = random.random(model.schema.n_atom_columns), random.random(model.schema.n_pair_columns)
    pair = graphs_of(["CCO", "NCS"], model.schema.name)
    molecules = np.arange(2)
    found = model.relax(pair, base).outputs(molecules, *repeated(pair, molecules, np.zeros(2)))
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    whole = collate(pair.select([0]), model.schema, np.ones(1), fold=False)
    whole.atom_inputs[:], whole.pair_inputs[:] = (torch.from_numpy(row) for row in base)
    np.testing.assert_allclose(found[0], model.network(whole)[0], atol=1e-12)


def test_every_atom_and_pair_has_its_own_factor(model):
    """Against the network on rows that are scaled by hand."""
    graphs = graphs_of(["CC(=O)N", "CCO"], model.schema.name)
    random = np.random.default_rng(1)
    molecules = np.array([1, 0, 1])
    counts = graphs.atom_counts[molecules], graphs.pair_counts[molecules]
    factors = [random.random(count.sum()) for count in counts]
    found = model.relax(graphs).outputs(molecules, *factors)
    for i, molecule in enumerate(molecules):
        one = collate(graphs.select([molecule]), model.schema, np.ones(1), fold=False)
        for rows, factor, count in zip((one.atom_inputs, one.pair_inputs), factors, counts, strict=True):
            own = np.split(factor, np.cumsum(count)[:-1])[i]
            rows.mul_(torch.from_numpy(own)[:, None])
        np.testing.assert_allclose(found[i], model.network(one)[0], atol=1e-12)


@given(
    seed=st.integers(0, 50),
    schema=st.sampled_from(SCHEMAS),
    modules=st.integers(1, 3),
    moved=st.booleans(),
    activation=st.sampled_from(["relu", "silu"]),
)
@settings(max_examples=25)
def test_densities_are_finite_differences(seed, schema, modules, moved, activation):
    random = np.random.default_rng(seed)
    model = random_model(schema, double=True, seed=seed, n_modules=modules, activation=activation)
    base = random.random(model.schema.n_atom_columns), random.random(model.schema.n_pair_columns)
    graphs = graphs_of(MIXED, schema)
    relaxed = model.relax(graphs, base if moved else None)
    molecules, tasks = random.integers(0, len(graphs), 4), random.integers(0, 2, 4)
    scales, step = random.uniform(0.1, 0.9, 4), 1e-6
    found = relaxed.densities(molecules, scales, tasks)
    below, at, above = (
        relaxed.outputs(molecules, *repeated(graphs, molecules, a))[np.arange(4), tasks]
        for a in (scales - step, scales, scales + step)
    )
    np.testing.assert_allclose(found.values, at, atol=1e-12)
    rates = [atom.sum() + pair.sum() for atom, pair in zip(found.atoms, found.pairs, strict=True)]
    np.testing.assert_allclose(rates, (above - below) / (2 * step), rtol=1e-4, atol=1e-6)
    for i, molecule in enumerate(molecules):
        assert found.atoms[i].shape == (graphs.atom_counts[molecule], entries(model.schema, "atom"))
        assert found.pairs[i].shape == (graphs.pair_counts[molecule], entries(model.schema, "pair"))


def test_the_density_of_one_atom_is_that_atoms_difference():
    """Of atoms and pairs one at a time, by moving their own factors."""
    model = random_model("simple", double=True, activation="silu")
    graphs = graphs_of(["CC(=O)N"])
    relaxed, zero, step = model.relax(graphs), np.zeros(1, dtype=int), 1e-6
    found = relaxed.densities(zero, np.full(1, 0.5), zero)
    for level, rows in enumerate((found.atoms[0], found.pairs[0])):
        for i in range(len(rows)):
            ends = []
            for sign in (-1, 1):
                factors = [np.full(n, 0.5) for n in (graphs.n_atoms, graphs.n_pairs)]
                factors[level][i] += sign * step
                ends.append(relaxed.outputs(zero, *factors)[0, 0])
            assert rows[i].sum() == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("budget", [1, 7, 100])
def test_parts_leave_no_seam(monkeypatch, model, graphs, budget):
    random = np.random.default_rng(2)
    molecules = random.integers(0, len(graphs), 20)
    scales, tasks = random.random(20), random.integers(0, 2, 20)
    relaxed = model.relax(graphs)
    whole = relaxed.densities(molecules, scales, tasks)
    outputs = relaxed.outputs(molecules, *repeated(graphs, molecules, scales))
    monkeypatch.setattr(module, "_ATOMS_PER_BATCH", budget)
    found = relaxed.densities(molecules, scales, tasks)
    np.testing.assert_allclose(found.values, whole.values, atol=1e-12)
    for name in ("atoms", "pairs"):
        for one, other in zip(getattr(found, name), getattr(whole, name), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
    again = relaxed.outputs(molecules, *repeated(graphs, molecules, scales))
    np.testing.assert_allclose(again, outputs, atol=1e-12)


def test_no_gradient_is_left_behind(model, graphs):
    model.relax(graphs).densities(np.zeros(1, dtype=int), np.ones(1), np.zeros(1, dtype=int))
    assert all(p.grad is None and not p.requires_grad for p in model.network.parameters())
