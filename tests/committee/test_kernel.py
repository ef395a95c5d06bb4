"""The kernel machine against its formula, its closed form against sums over the path."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.special import expit

from committee.members import N_TASKS, SMILES, graphs_of, random_counts, vocabulary_of
from molig.committee import KernelMachine
from molig.errors import ModelFormatError

MIDPOINTS = 4000
N_CENTRES = 25


def machine(seed: int, size: float = 1.0, width: float = 20.0) -> KernelMachine:
    vocabulary, rng = vocabulary_of(), np.random.default_rng(seed)
    centres = csr_matrix(random_counts(rng, N_CENTRES, len(vocabulary)).astype(np.int64))
    centres = csr_matrix(np.vstack([centres.toarray(), np.zeros(len(vocabulary), dtype=np.int64)]))
    coefficients = size * rng.normal(size=(N_CENTRES + 1, N_TASKS))
    return KernelMachine(vocabulary, centres, coefficients, rng.normal(size=N_TASKS), width)


def by_formula(kernel, counts):
    """Outputs by pairs of molecules and centres."""
    x, centres = np.log1p(counts), np.log1p(kernel.counts.toarray().astype(float))
    distances = ((x[:, None, :] - centres[None]) ** 2).sum(axis=-1)
    return np.exp(-distances / kernel.width) @ kernel.coefficients + kernel.offset


def every_path(graphs):
    return np.repeat(np.arange(len(graphs)), N_TASKS), np.tile(np.arange(N_TASKS), len(graphs))


@pytest.mark.parametrize("seed", range(3))
def test_outputs_are_those_of_the_formula(seed):
    kernel, graphs = machine(seed), graphs_of()
    counts = kernel.vocabulary.matrix(graphs).toarray().astype(float)
    np.testing.assert_allclose(kernel.outputs(graphs), by_formula(kernel, counts), atol=1e-9)
    nothing = kernel.along_path(graphs, np.zeros(len(graphs)))
    np.testing.assert_allclose(nothing, by_formula(kernel, 0 * counts), atol=1e-9)


@pytest.mark.parametrize("probability", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_shares_are_the_integrals_of_the_gradient(seed, probability):
    kernel, graphs = machine(seed), graphs_of()
    scales = (np.arange(MIDPOINTS) + 0.5) / MIDPOINTS
    molecules, tasks = every_path(graphs)
    found = kernel.shares(graphs, molecules, tasks, probability=probability)
    for molecule, task, share in zip(molecules, tasks, found.shares, strict=True):
        copies = graphs.select(np.full(MIDPOINTS, molecule))
        rates = np.array(kernel.rates(copies, scales, np.full(MIDPOINTS, task)))
        if probability:
            score = expit(kernel.along_path(copies, scales)[:, task])
            rates *= (score * (1 - score))[:, None]
        expected = rates.mean(axis=0)
        np.testing.assert_allclose(share, expected, atol=3e-3 * max(np.abs(expected).max(initial=0), 1e-9))


@given(
    seed=st.integers(0, 10_000),
    size=st.floats(1e-4, 30),
    width=st.floats(0.5, 500),
    probability=st.booleans(),
)
@settings(max_examples=40)
def test_shares_add_up_to_the_change_of_the_score(seed, size, width, probability):
    kernel, graphs = machine(seed, size, width), graphs_of()
    molecules, tasks = every_path(graphs)
    found = kernel.shares(graphs, molecules, tasks, probability=probability)
    score = expit if probability else np.asarray
    ends = score(kernel.outputs(graphs))[molecules, tasks]
    starts = score(kernel.along_path(graphs, np.zeros(len(graphs))))[molecules, tasks]
    scale = 1 + np.abs([starts, ends]).max()
    np.testing.assert_allclose(found.ends, ends, atol=1e-9 * scale)
    np.testing.assert_allclose(found.starts, starts, atol=1e-9 * scale)
    sums = [share.sum() for share in found.shares]
    np.testing.assert_allclose(sums, ends - starts, atol=1e-7 * scale * (1 + size))


def test_shares_do_not_depend_on_which_paths_are_asked_for_together():
    kernel, graphs = machine(0), graphs_of()
    molecules, tasks = every_path(graphs)
    together = kernel.shares(graphs, molecules, tasks, probability=True)
    order = np.random.default_rng(0).permutation(len(molecules))
    again = kernel.shares(graphs, molecules[order], tasks[order], probability=True)
    for place, path in enumerate(order):
        np.testing.assert_allclose(again.shares[place], together.shares[path], atol=1e-12)
        assert again.ends[place] == pytest.approx(together.ends[path], abs=1e-12)


def test_a_molecule_without_known_substructures_has_no_shares():
    kernel, graphs = machine(0), graphs_of(["[Xe]"])
    found = kernel.shares(graphs, *every_path(graphs), probability=True)
    np.testing.assert_allclose(found.starts, found.ends, atol=1e-12)
    assert all(not share.any() for share in found.shares)


def test_the_path_and_its_rates_fit_together():
    kernel, graphs = machine(1), graphs_of()
    scales, step, tasks = np.linspace(0.13, 0.9, len(graphs)), 1e-6, np.arange(len(graphs)) % N_TASKS
    rates = [row.sum() for row in kernel.rates(graphs, scales, tasks)]
    sides = [kernel.along_path(graphs, scales + s)[np.arange(len(graphs)), tasks] for s in (-step, step)]
    np.testing.assert_allclose(rates, (sides[1] - sides[0]) / (2 * step), atol=1e-5)
    np.testing.assert_allclose(
        kernel.along_path(graphs, np.ones(len(graphs))), kernel.outputs(graphs), atol=1e-9
    )


def test_factors_scale_occurrences():
    kernel, graphs = machine(2), graphs_of()
    n_rows = graphs.environments.n_rows
    nothing = kernel.along_path(graphs, np.zeros(len(graphs)))
    np.testing.assert_allclose(kernel.outputs(graphs, np.ones(n_rows)), kernel.outputs(graphs), atol=1e-12)
    np.testing.assert_allclose(kernel.outputs(graphs, np.zeros(n_rows)), nothing, atol=1e-12)


def test_no_count_wraps_round():
    vocabulary = vocabulary_of()
    centres = csr_matrix(np.full((1, len(vocabulary)), 100_000))
    kernel = KernelMachine(vocabulary, centres, np.ones((1, N_TASKS)), np.zeros(N_TASKS), 1e4)
    assert (kernel.counts.toarray() == 2**15 - 1).all()


def test_tables_make_the_machine_again():
    kernel, graphs = machine(3), graphs_of()
    read = KernelMachine.from_arrays(kernel.arrays(), kernel.vocabulary, N_TASKS)
    np.testing.assert_array_equal(read.outputs(graphs), kernel.outputs(graphs))
    assert read.size == kernel.size == N_CENTRES + 1


@pytest.mark.parametrize(
    ("name", "damaged"),
    [
        ("starts", lambda t: t.flip(0)),
        ("starts", lambda t: t[:-1]),
        ("starts", lambda t: t + 1),
        ("starts", lambda t: torch.cat([t[:1], t[1:2] + 10**12, t[2:]])),
        ("starts", lambda t: torch.cat([t[:1], t[1:2] - 2**62, t[2:]])),
        ("columns", lambda t: t + 10_000),
        ("columns", lambda t: t - 10_000),
        ("columns", lambda t: t.flip(0)),
        ("columns", lambda t: t.double()),
        ("counts", lambda t: 0 * t),
        ("counts", lambda t: t[:-1]),
        ("coefficients", lambda t: t[:-1]),
        ("coefficients", lambda t: t[:, :1]),
        ("coefficients", lambda t: t.sum()),
        ("offset", lambda t: t[:-1]),
        ("width", lambda t: -t),
        ("width", lambda t: torch.cat([t, t])),
    ],
)
def test_damaged_tables_are_refused(name, damaged):
    kernel = machine(0)
    tables = {**kernel.arrays(), name: damaged(kernel.arrays()[name])}
    with pytest.raises(ModelFormatError, match="kernel machine"):
        KernelMachine.from_arrays(tables, kernel.vocabulary, N_TASKS)


def test_the_molecules_of_these_tests_are_known():
    assert machine(0).vocabulary.matrix(graphs_of()).nnz > len(SMILES)
