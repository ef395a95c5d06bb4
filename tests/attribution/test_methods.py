"""Methods against a network in NumPy loops that shares nothing with molig but the weights."""

import numpy as np
import pytest
from network.literal import Dense, dense_features, literal_scores
from network.nets import graphs_of
from support.random_models import TASKS, random_model

import molig
from molig.attribution import Method, engine
from molig.attribution.methods import without_atom
from molig.errors import UnknownNameError
from molig.features.graphs import pack

SMILES = ["Cc1cc(O)ccn1", "C", "CC(=O)Cl", "CO", "N#CC#N"]
METHODS = list(Method)


@pytest.fixture(scope="module", params=["relu", "silu"])
def model(request):
    return random_model(double=True, activation=request.param)


def literal(model, molecule: Dense) -> float:
    """Second output."""
    parameters = {name: value.numpy() for name, value in model.network.state_dict().items()}
    return literal_scores(parameters, model.info.network, molecule)[1]


def score(output, target) -> float:
    return 1 / (1 + np.exp(-output)) if target == "probability" else output


def explained(model, method, target, **options):
    options = {"task": TASKS[1], "method": method, "target": target} | options
    return molig.explain(model, SMILES, **options)


def without(molecule: Dense, atom: int, *, delete: bool) -> Dense:
    if delete:
        kept = np.delete(np.arange(len(molecule.atoms)), atom)
        return Dense(molecule.atoms[kept], molecule.pairs[kept][:, kept], molecule.seen[kept][:, kept])
    atoms, pairs = molecule.atoms.copy(), molecule.pairs.copy()
    atoms[atom], pairs[atom], pairs[:, atom] = 0, 0, 0
    return Dense(atoms, pairs, molecule.seen)


@pytest.mark.parametrize("target", ["probability", "logit"])
@pytest.mark.parametrize("method", ["occlusion", "leave-one-atom-out"])
def test_fall_of_the_score_without_an_atom(model, method, target):
    for smiles, why in zip(SMILES, explained(model, method, target), strict=True):
        dense = dense_features(smiles, 2)
        whole = score(literal(model, dense), target)
        assert why.score == pytest.approx(whole)
        assert why.baseline_score == pytest.approx(score(literal(model, dense.scaled(0)), target))
        one = len(dense.atoms) == 1
        smaller = [
            dense.scaled(0) if one else without(dense, i, delete=method != "occlusion")
            for i in range(len(dense.atoms))
        ]
        falls = [whole - score(literal(model, rest), target) for rest in smaller]
        np.testing.assert_allclose(why.atom_scores, falls, atol=1e-10)
        np.testing.assert_allclose(why.atom_attributions[:, 0], falls, atol=1e-10)
        assert why.residual == pytest.approx(whole - why.baseline_score - np.sum(falls))
        assert why.n_evaluations == len(falls) + 2
        assert np.isnan(why.error)
        assert why.method == Method.of(method)
        assert why.features["score"].tolist() == why.atom_attributions[:, 0].tolist()
        assert not len(why.pairs)


@pytest.mark.parametrize("target", ["probability", "logit"])
def test_gradient_x_input_is_the_slope_at_the_molecule(model, target):
    """By differences: shrink one atom's row, or one pair's, by a millionth."""
    step = 1e-6
    for smiles, why in zip(SMILES, explained(model, "gradient_x_input", target), strict=True):
        dense = dense_features(smiles, 2)
        for i in range(len(dense.atoms)):
            atoms = [dense.atoms.copy(), dense.atoms.copy()]
            atoms[0][i] *= 1 - step
            atoms[1][i] *= 1 + step
            below, above = (score(literal(model, dense._replace(atoms=a)), target) for a in atoms)
            assert why.own_atom_scores[i] == pytest.approx((above - below) / (2 * step), abs=1e-7)
        for (i, j), found in list(zip(why.graph.pair_atoms, why.pair_scores, strict=True))[::5]:
            pairs = [dense.pairs.copy(), dense.pairs.copy()]
            for rows, factor in zip(pairs, (1 - step, 1 + step), strict=True):
                rows[i, j] *= factor
                rows[j, i] *= factor
            below, above = (score(literal(model, dense._replace(pairs=p)), target) for p in pairs)
            assert found == pytest.approx((above - below) / (2 * step), abs=1e-7)
        residual = why.score - why.baseline_score - why.atom_scores.sum()
        assert why.residual == pytest.approx(residual)
        assert why.converged == (abs(residual) <= 0.01 * max(abs(why.score - why.baseline_score), 0.01))
        assert why.n_evaluations == 2


def fine_sum(model, smiles, target, base=None, n=1000):
    """Integrated gradients by midpoints, flat: atoms, then pairs."""
    relaxed = model.relax(graphs_of([smiles]), base)
    points = (np.arange(n) + 0.5) / n
    found = relaxed.densities(np.zeros(n, dtype=int), points, np.ones(n, dtype=int))
    slope = found.values * 0 + 1
    if target == "probability":
        slope = score(found.values, target) * (1 - score(found.values, target))
    return [np.einsum("n,nrk->rk", slope / n, np.array(rows)) for rows in (found.atoms, found.pairs)]


@pytest.mark.parametrize("target", ["probability", "logit"])
def test_integrated_gradients_are_a_fine_sum(model, target):
    for smiles, why in zip(SMILES, explained(model, "ig", target, tol=5e-4), strict=True):
        expected = fine_sum(model, smiles, target)
        largest = max(np.abs(np.concatenate([part.ravel() for part in expected])).max(), 0.01)
        # Gradients of a random relu network jump; by how much, the total of the fine sum tells.
        missed = abs(sum(part.sum() for part in expected) - (why.score - why.baseline_score))
        rough = missed + 2e-3 * largest
        np.testing.assert_allclose(why.atom_attributions, expected[0], atol=rough)
        np.testing.assert_allclose(why.pair_attributions, expected[1], atol=rough)
        assert why.converged
        assert abs(why.residual) <= 1e-4 * max(abs(why.score - why.baseline_score), 0.01)
        assert why.error <= 1.1 * engine.Tolerance(5e-4).error(largest)


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_deeper_networks_by_quadrature(activation):
    model = random_model(double=True, n_modules=3, activation=activation)
    for smiles, why in zip(SMILES[1:], explained(model, "ig", "logit")[1:], strict=True):
        expected = fine_sum(model, smiles, "logit")
        largest = max(np.abs(np.concatenate([part.ravel() for part in expected])).max(), 0.01)
        # The fine sum has errors of its own, of a jump's share of a 1,000th.
        bound = why.error + 2e-3 * largest
        np.testing.assert_allclose(why.atom_attributions, expected[0], atol=bound)
        np.testing.assert_allclose(why.pair_attributions, expected[1], atol=bound)
        change = abs(why.score - why.baseline_score)
        allowed = engine.Tolerance(0.01)
        top = max(np.abs(why.atom_attributions).max(), np.abs(why.pair_attributions).max(initial=0))
        within = abs(why.residual) <= allowed.residual(change) and why.error <= allowed.error(top)
        assert why.converged == within
        assert why.converged or why.n_evaluations >= 2000


@pytest.mark.parametrize("method", METHODS)
def test_several_baselines_are_averaged(model, method):
    names = ["zero", "uniform", "carbon"]
    single = [explained(model, method, "logit", baseline=name) for name in names]
    for averaged, *each in zip(
        explained(model, method, "logit", baseline=",".join(names)), *single, strict=True
    ):
        integrated = averaged.method == "integrated_gradients"  # each again, if the mean asks for more
        for name in ("atom_attributions", "pair_attributions"):
            expected = np.mean([getattr(why, name) for why in each], axis=0)
            off = 2 * np.mean([why.error for why in each]) if integrated else 1e-12
            np.testing.assert_allclose(getattr(averaged, name), expected, atol=off)
        assert averaged.baseline_score == pytest.approx(np.mean([why.baseline_score for why in each]))
        assert averaged.score == pytest.approx(each[0].score)
        assert averaged.n_evaluations >= sum(why.n_evaluations for why in each)
        top = max(np.abs(averaged.atom_attributions).max(), np.abs(averaged.pair_attributions).max(initial=0))
        change = averaged.score - averaged.baseline_score
        assert averaged.converged == engine.Tolerance().met(change, averaged.residual, top, averaged.error)
        assert averaged.converged or not integrated
        assert averaged.baseline == "zero, uniform, carbon"
        assert [why.baseline for why in each] == names


@pytest.mark.parametrize("method", METHODS)
def test_a_moved_baseline_adds_up(model, method):
    for why in explained(model, method, "probability", baseline="uniform"):
        total = why.atom_attributions.sum() + why.pair_attributions.sum()
        assert total + why.residual == pytest.approx(why.score - why.baseline_score, abs=1e-12)
        assert why.atom_scores.sum() == pytest.approx(total)


def test_names():
    assert Method.of("IG") is Method.INTEGRATED_GRADIENTS
    assert Method.of(" gradient-x-input ") is Method.GRADIENT_X_INPUT
    assert Method.of(Method.OCCLUSION) is Method.OCCLUSION
    assert [m.whole_atoms for m in METHODS] == [False, False, True, True]
    with pytest.raises(UnknownNameError, match="unknown method 'oclusion'; did you mean 'occlusion'"):
        Method.of("oclusion")


def test_without_atom_renumbers_the_pairs():
    (graph,) = graphs_of(["CC(=O)N"], "full")
    smaller = without_atom(graph, 1)
    assert smaller.atom_codes.tolist() == graph.atom_codes[[0, 2, 3]].tolist()
    assert smaller.pair_atoms.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert len(pack([smaller])) == 1
    assert without_atom(graph, 3).pair_atoms.max() == 2


def test_tolerance_scales_with_change_and_largest_attribution():
    tolerance = engine.Tolerance(0.01, 0.1)
    assert tolerance.residual(-3) == pytest.approx(0.03)
    assert tolerance.residual(0) == pytest.approx(0.001)
    assert tolerance.error(-3) == pytest.approx(tolerance.error(3))
    assert tolerance.error(0) == pytest.approx(tolerance.error(0.1))
    assert tolerance.error(3) == pytest.approx(0.03)
    assert tolerance.error(0) == pytest.approx(0.001)
