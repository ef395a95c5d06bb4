"""Secant shares of whole networks against plain evaluation and automatic differentiation."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from network.nets import MIXED, graphs_of, make_net
from support.random_models import TASKS, random_model

from molig.errors import UsageError
from molig.network import Activation, Readout, collate
from molig.secant import Panels, SecantNetwork, Trail, trail, weave
from molig.secant.rows import Kinds
from molig.secant.tables import TableStem
from molig.secant.unfolded import UnfoldedStem
from molig.secant.weave import entry_matrix

BATCHES = {
    "mixed": MIXED,
    "no pairs": ("C", "[Na+]", "O", "C"),
    "one atom": ("C",),
    "one molecule": ("CC(=O)Nc1ccc(O)cc1",),
    "copies": ("CCO", "CCO", "CCO"),
}


@dataclass(frozen=True)
class Case:
    """A network, molecules and a baseline."""

    n_modules: int = 2
    readout: Readout = Readout.GAUSSIAN
    activation: Activation = Activation.RELU
    norms: tuple[bool, bool] = (True, False)
    hidden: tuple[int, ...] = (20, 5)
    schema: str = "simple"
    double: bool = True
    moved_baseline: bool = False
    size_exponent: float = 0.0
    batch: str = "mixed"
    seed: int = 0

    def model(self):
        return random_model(
            self.schema,
            seed=self.seed,
            double=self.double,
            n_modules=self.n_modules,
            readout=self.readout,
            activation=self.activation,
            batch_norm=self.norms[0],
            atom_batch_norm=self.norms[1],
            hidden=self.hidden,
            size_exponent=self.size_exponent,
        )

    def relaxed(self):
        model, graphs = self.model(), graphs_of(BATCHES[self.batch], self.schema)
        if not self.moved_baseline:
            return model.relax(graphs)
        random = np.random.default_rng(self.seed)
        widths = model.schema.n_atom_columns, model.schema.n_pair_columns
        return model.relax(graphs, tuple(random.uniform(-0.5, 0.5, width) for width in widths))

    @property
    def tolerance(self) -> float:
        return 1e-9 if self.double else 2e-3

    @property
    def random(self) -> np.random.Generator:
        return np.random.default_rng(self.seed + 1)


CASES = st.builds(
    Case,
    n_modules=st.sampled_from([1, 2]),
    readout=st.sampled_from(list(Readout)),
    activation=st.sampled_from(list(Activation)),
    norms=st.sampled_from([(True, False), (False, False), (True, True)]),
    hidden=st.sampled_from([(7,), (20, 5), ()]),
    schema=st.sampled_from(["simple", "full"]),
    double=st.booleans(),
    moved_baseline=st.booleans(),
    size_exponent=st.sampled_from([0.0, 0.5]),
    batch=st.sampled_from(list(BATCHES)),
    seed=st.integers(0, 20),
)
DOUBLE = CASES.filter(lambda case: case.double)


def outputs_at(relaxed, molecules, scales) -> np.ndarray:
    """Outputs by the network itself, without trail or folding."""
    factors = (
        np.repeat(scales, counts[molecules])
        for counts in (relaxed.graphs.atom_counts, relaxed.graphs.pair_counts)
    )
    return relaxed.outputs(molecules, *factors)


def some_points(case, relaxed, n=12):
    n_mols = len(relaxed.graphs)
    scales = np.concatenate([[0, 1], case.random.random(n - 2)])
    return np.concatenate([np.arange(n_mols), case.random.integers(0, n_mols, n)]), np.concatenate(
        [np.ones(n_mols), scales]
    )


def split(shares, graphs, molecules):
    """Shares request by request, each as (atoms, pairs)."""
    parts = []
    for rows, counts in zip(shares, (graphs.atom_counts, graphs.pair_counts), strict=True):
        parts.append(np.split(rows, np.cumsum(counts[molecules])[:-1]))
    return list(zip(*parts, strict=True))


def totals(shares, graphs, molecules) -> np.ndarray:
    return np.array([atoms.sum() + pairs.sum() for atoms, pairs in split(shares, graphs, molecules)])


def walk(relaxed, molecules, lefts, rights, tasks, **options):
    """Outputs at both ends of panels, and their shares."""
    walked = relaxed.trail(**options)
    n = len(molecules)
    found = walked.visit(np.tile(molecules, 2), np.concatenate([lefts, rights]))
    shares = walked.share(Panels(np.arange(n), np.arange(n) + n, tasks))
    return found[:n], found[n:], shares


@given(CASES)
@settings(max_examples=60)
def test_outputs_are_the_models(case):
    relaxed = case.relaxed()
    molecules, scales = some_points(case, relaxed)
    walked = relaxed.trail()
    found = np.concatenate([walked.visit(molecules[i], scales[i]) for i in (slice(0, 5), slice(5, None))])
    expected = outputs_at(relaxed, molecules, scales)
    largest = max(1, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=largest * (1e-10 if case.double else 1e-4))
    if not case.moved_baseline:
        logits = case.model().logits(relaxed.graphs.select(molecules), scales)
        np.testing.assert_allclose(found, logits, rtol=0, atol=largest * (1e-10 if case.double else 1e-4))


@given(CASES)
@settings(max_examples=60)
def test_shares_add_up_on_every_panel(case):
    relaxed = case.relaxed()
    n = 10
    molecules = case.random.integers(0, len(relaxed.graphs), n)
    ends = case.random.random((2, n))
    ends[:, 0] = 0, 1
    ends[1, 1] = ends[0, 1] + 1e-5
    ends[:, 2] = 1, 0  # backwards
    tasks = case.random.integers(0, len(TASKS), n)
    left, right, shares = walk(relaxed, molecules, *ends, tasks)
    change = (right - left)[np.arange(n), tasks]
    scale = max(1, np.abs(left).max(), np.abs(right).max())
    found = totals(shares, relaxed.graphs, molecules)
    np.testing.assert_allclose(found, change, rtol=0, atol=case.tolerance * scale)


@pytest.mark.parametrize("readout", list(Readout))
@pytest.mark.parametrize("double", [True, False])
def test_shares_of_readouts_divided_by_a_power_of_the_size_add_up(readout, double):
    case = Case(readout=readout, double=double, size_exponent=0.5)
    relaxed = case.relaxed()
    molecules = np.arange(len(relaxed.graphs))
    ends = np.zeros(len(molecules)), np.ones(len(molecules))
    left, right, shares = walk(relaxed, molecules, *ends, np.ones_like(molecules))
    change = (right - left)[:, 1]
    assert np.abs(change).max() > 0.1
    residual = totals(shares, relaxed.graphs, molecules) - change
    np.testing.assert_allclose(residual, 0, atol=1e-10 if double else 1e-4)


@given(DOUBLE)
@settings(max_examples=60)
def test_narrow_panels_have_the_density_of_every_entry(case):
    """Their shares, divided by the width, are (x - x') dF/dx."""
    relaxed = case.relaxed()
    n, width = 6, 1e-6
    molecules = case.random.integers(0, len(relaxed.graphs), n)
    middles = case.random.uniform(0.05, 0.95, n)
    tasks = case.random.integers(0, len(TASKS), n)
    *_, shares = walk(relaxed, molecules, middles - width / 2, middles + width / 2, tasks)
    expected = relaxed.densities(molecules, middles, tasks)
    found = split(shares, relaxed.graphs, molecules)
    for (atoms, pairs), wanted_atoms, wanted_pairs in zip(found, expected.atoms, expected.pairs, strict=True):
        largest = max(np.abs(wanted_atoms).max(), np.abs(wanted_pairs).max(initial=0), 1e-3)
        np.testing.assert_allclose(atoms / width, wanted_atoms, rtol=0, atol=1e-4 * largest)
        np.testing.assert_allclose(pairs / width, wanted_pairs, rtol=0, atol=1e-4 * largest)


@pytest.mark.parametrize("activation", list(Activation))
@pytest.mark.parametrize("moved", [False, True])
def test_many_panels_have_the_integral_of_every_entry(activation, moved):
    case = Case(activation=activation, moved_baseline=moved, batch="one molecule", schema="full")
    relaxed = case.relaxed()
    n = 300
    grid = np.arange(n + 1) / n
    walked = relaxed.trail()
    walked.visit(np.zeros(n + 1, dtype=int), grid)
    shares = walked.share(Panels(np.arange(n), np.arange(n) + 1, np.ones(n, dtype=int)))
    fine = (np.arange(3000) + 0.5) / 3000
    zeros = np.zeros(3000, dtype=int)
    expected = relaxed.densities(zeros, fine, zeros + 1)
    for rows, wanted in zip(shares, (expected.atoms, expected.pairs), strict=True):
        found = rows.reshape(n, -1, rows.shape[1]).sum(axis=0)
        largest = np.abs(wanted).max()
        tolerance = 1e-3 if activation is Activation.RELU else 1e-5  # the midpoint rule's, at kinks
        np.testing.assert_allclose(found, np.mean(wanted, axis=0), rtol=0, atol=tolerance * largest)


@given(CASES)
@settings(max_examples=20)
def test_panels_of_no_width_have_no_shares(case):
    relaxed = case.relaxed()
    molecules = np.arange(len(relaxed.graphs))
    scales = case.random.random(len(molecules))
    walked = relaxed.trail()
    walked.visit(molecules, scales)
    shares = walked.share(Panels(molecules, molecules, np.zeros_like(molecules)))
    assert not shares.atoms.any()
    assert not shares.pairs.any()


@pytest.mark.parametrize("double", [False, True])
@given(
    seed=st.integers(0, 50), schema=st.sampled_from(["simple", "full"]), budget=st.sampled_from([1, 9, 4096])
)
@settings(max_examples=12)
def test_company_order_and_calls_do_not_matter(double, seed, schema, budget):
    """Several tasks of a panel at once, points in several calls, small parts: the same shares."""
    case = Case(double=double, seed=seed, schema=schema)
    relaxed = case.relaxed()
    walked = relaxed.trail()
    walked._budget = budget
    molecules = np.repeat(np.arange(len(relaxed.graphs)), 3)
    scales = np.tile([0.25, 0.5, 1.0], len(relaxed.graphs))
    order = case.random.permutation(len(molecules))
    for part in np.array_split(order, 4):
        walked.visit(molecules[part], scales[part])
    place = np.argsort(order)
    owners = case.random.permutation(len(relaxed.graphs)).repeat(4)
    steps = np.tile([0, 0, 1, 1], len(relaxed.graphs))
    left, right = place[owners * 3 + steps], place[owners * 3 + steps + 1]
    tasks = np.tile([1, 0, 0, 1], len(relaxed.graphs))
    together = split(walked.share(Panels(left, right, tasks)), relaxed.graphs, owners)
    for i in case.random.integers(0, len(owners), 5).tolist():
        alone = relaxed.graphs.select([owners[i]])
        base = tuple(row.numpy() for row in relaxed._base)
        zero = np.zeros(1, dtype=int)
        ends = np.array([[scales[steps[i]]], [scales[steps[i] + 1]]])
        *_, shares = walk(case.model().relax(alone, base), zero, *ends, tasks[i : i + 1])
        for found, expected in zip(together[i], shares, strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 if double else 1e-3)


@given(DOUBLE, st.booleans())
@settings(max_examples=40)
def test_tables_and_single_rows_agree(case, double):
    """Where both can be had, tables of distinct rows and single rows give the same outputs and shares."""
    case = replace(case, schema="simple", double=double)
    relaxed = case.relaxed()
    network, schema, graphs = relaxed.network, relaxed.schema, relaxed.graphs
    secants = SecantNetwork(network, schema)
    n = 8
    molecules, tasks = case.random.integers(0, len(graphs), n), case.random.integers(0, len(TASKS), n)
    ends = case.random.random((2, n))
    found = []
    for stem in (TableStem, UnfoldedStem):
        walked = Trail(secants, graphs, tuple(relaxed._base))
        batch = collate(graphs, schema, np.ones(len(graphs)), fold=stem is TableStem)
        batch = batch.to("cpu", secants.like.dtype)
        given = Kinds.of(batch, graphs) if stem is TableStem else graphs
        walked._stem = stem(network, batch, given, tuple(relaxed._base), secants.owners)
        outputs = [walked.visit(molecules, scales) for scales in ends]
        shares = walked.share(Panels(np.arange(n), np.arange(n) + n, tasks))
        found.append([*outputs, *shares])
    for by_table, by_row in zip(*found, strict=True):
        largest = max(1, np.abs(by_table).max(initial=0))
        np.testing.assert_allclose(by_row, by_table, rtol=0, atol=case.tolerance * largest)


def test_a_point_may_be_visited_twice():
    relaxed = Case().relaxed()
    walked = relaxed.trail()
    molecules = np.array([3, 3, 3])
    first = walked.visit(molecules, np.array([0.5, 0.5, 1.0]))
    again = walked.visit(molecules[:1], np.array([0.5]))
    np.testing.assert_allclose(np.concatenate([first[1:2], again]), first[[0, 0]], atol=1e-12)


def test_symmetric_atoms_have_equal_shares():
    model = random_model(double=True)
    relaxed = model.relax(graphs_of(["Cc1ccccc1", "CC"]))
    zero = np.arange(2)
    *_, shares = walk(relaxed, zero, np.zeros(2), np.ones(2), zero)
    toluene, ethane = (atoms[:, 0] for atoms, _ in split(shares, relaxed.graphs, zero))
    np.testing.assert_allclose(toluene[[2, 3]], toluene[[6, 5]], atol=1e-12)
    assert ethane[0] == pytest.approx(ethane[1], abs=1e-12)


@pytest.mark.parametrize("hidden", [(7,), (20, 5), ()])
def test_coarse_products(monkeypatch, hidden):
    """In bfloat16 shares are within a few tenths of a percent of those in full."""
    monkeypatch.setattr(trail, "has_bfloat16_units", lambda device: True)
    relaxed = Case(double=False, hidden=hidden, batch="one molecule").relaxed()
    panel = np.zeros(1, dtype=int), np.zeros(1), np.ones(1), np.ones(1, dtype=int)
    *_, exact = walk(relaxed, *panel)
    *_, coarse = walk(relaxed, *panel, fast=True)
    assert relaxed.trail(fast=True).fast
    for found, expected in zip(coarse, exact, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.01 * np.abs(expected).max())


def test_double_precision_is_never_coarse(monkeypatch):
    monkeypatch.setattr(trail, "has_bfloat16_units", lambda device: True)
    assert not Case(double=True).relaxed().trail(fast=True).fast
    assert not Case(double=False).relaxed().trail().fast


def test_processors_without_such_units(monkeypatch):
    monkeypatch.setattr(weave.torch.cpu, "get_capabilities", dict, raising=False)
    assert not weave.has_bfloat16_units(torch.device("cpu"))
    monkeypatch.delattr(weave.torch.cpu, "get_capabilities")
    assert not weave.has_bfloat16_units(torch.device("cpu"))


def test_weights_that_are_not_numbers_give_no_numbers():
    for double in (False, True):
        model = random_model(double=double)
        model.network.last_atom_layer.weight.fill_(float("nan"))
        relaxed = model.relax(graphs_of(["CCO", "C"]))
        molecules = np.arange(2)
        left, right, shares = walk(relaxed, molecules, np.zeros(2), np.ones(2), molecules)
        assert np.isnan(left).all()
        assert np.isnan(right).all()
        assert np.isnan(totals(shares, relaxed.graphs, molecules)).all()


def test_deeper_networks_are_refused():
    model = random_model(n_modules=3)
    with pytest.raises(UsageError, match=r"at most 2 Weave modules \(got 3\)"):
        SecantNetwork(model.network, model.schema)
    assert model.relax(graphs_of(["CCO"])).trail() is None


def test_batch_norm_without_statistics_is_refused():
    model = random_model()
    model.network.head[1].running_mean = None
    with pytest.raises(UsageError, match="no running statistics"):
        SecantNetwork(model.network, model.schema)


def test_shares_before_any_visit():
    relaxed = Case().relaxed()
    with pytest.raises(IndexError):
        relaxed.trail().share(Panels(*np.zeros((3, 1), dtype=int)))


@pytest.mark.parametrize("name", ["simple", "full"])
def test_entries_own_columns(name):
    schema = random_model(name).schema
    for level in ("atom", "pair"):
        matrix = entry_matrix(schema, level)
        assert (matrix.sum(1) == 1).all()
        widths = [[b.width] if b.kind == "categorical" else [1] * b.width for b in schema.blocks(level)]
        assert matrix.sum(0).tolist() == [w for widths_of_block in widths for w in widths_of_block]
        assert (matrix.argmax(1).diff() >= 0).all()


def test_a_trail_of_ones_own_network():
    """Without a model around it."""
    schema = random_model().schema
    network = make_net(schema).requires_grad_(False)
    walked = Trail(
        SecantNetwork(network, schema),
        graphs_of(["CCO"]),
        (torch.zeros(schema.n_atom_columns), torch.zeros(schema.n_pair_columns)),
    )
    ends = walked.visit(np.zeros(2, dtype=int), np.array([0.0, 1.0]))
    shares = walked.share(Panels(*np.array([[0], [1], [0]])))
    total = shares.atoms.sum() + shares.pairs.sum()
    assert total == pytest.approx(ends[1, 0] - ends[0, 0], abs=1e-4)


def test_network_states():
    """`SimpleNamespace` stands for a device: graphics processors are asked whether they have the units."""
    asked = []
    cuda = SimpleNamespace(is_bf16_supported=lambda: asked.append(1) or True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weave.torch, "cuda", cuda)
        assert weave.has_bfloat16_units(SimpleNamespace(type="cuda"))
    assert asked
