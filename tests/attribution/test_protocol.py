"""Models of one's own: what they must offer, and a linear one that can be explained on paper."""

import numpy as np
import pytest
import torch
from support.linear_model import SCHEMA, LinearModel, one_hot
from support.random_models import random_model

import molig
from molig.attribution import Baseline, ExplainableModel, Explainer
from molig.attribution.protocol import check_explainable
from molig.errors import UsageError
from molig.molecules import Record

SMILES = ["CC(=O)Nc1ccc(O)cc1", "C", "CCO", "[Na+].CC(=O)[O-]"]


def parts(model, why, base=None):
    """Weights of the features that are there, minus those of the baseline: atoms, pairs, by entry."""
    task, found = model.tasks.index(why.task), []
    levels = (why.graph.atom_codes, SCHEMA.atom_blocks), (why.graph.pair_codes, SCHEMA.pair_blocks)
    for level, (codes, blocks) in enumerate(levels):
        rows = one_hot(codes, blocks) - (0 if base is None else base[level])
        weighted = np.split(
            rows * model.weights[level][:, task], np.cumsum([b.width for b in blocks])[:-1], axis=1
        )
        found.append(np.stack([w.sum(axis=1) for w in weighted], axis=1))
    return found


def test_both_fit_the_protocol():
    assert isinstance(LinearModel(), ExplainableModel)
    assert isinstance(random_model(), ExplainableModel)
    check_explainable(random_model())


@pytest.mark.parametrize("objective", ["classification", "regression"])
@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input"])
def test_a_linear_output_is_attributed_exactly(objective, method):
    model = LinearModel(objective=objective)
    target = "logit" if objective == "classification" else None
    for why in molig.explain(model, SMILES, task="second", target=target, method=method):
        for found, expected in zip(
            (why.atom_attributions, why.pair_attributions), parts(model, why), strict=True
        ):
            np.testing.assert_allclose(found, expected, atol=1e-12)
        assert why.converged
        assert why.baseline_score == 0
        assert why.residual == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("names", ["zero", "carbon", "uniform", "zero,carbon,uniform"])
def test_probabilities_are_shared_in_proportion_to_the_logits(names):
    """Along a straight path of a linear logit every feature has its share at every point."""
    model = LinearModel()
    for why in molig.explain(model, SMILES, task="first", tol=1e-5, baseline=names):
        expected = [0, 0]
        for name in names.split(","):
            base = Baseline.named(name, SCHEMA)
            rows = base.atom_row, base.pair_row
            logits = parts(model, why, rows)
            start = sum(len(p) * row @ w[:, 0] for p, row, w in zip(logits, rows, model.weights, strict=True))
            change = sum(part.sum() for part in logits)
            rise = 1 / (1 + np.exp(-start - change)) - 1 / (1 + np.exp(-start))
            slope = rise / change if change else 0.25
            shares = [part * slope / len(names.split(",")) for part in logits]
            expected = [e + s for e, s in zip(expected, shares, strict=True)]
        largest = max(np.abs(expected[0]).max(), 0.01)
        np.testing.assert_allclose(why.atom_attributions, expected[0], atol=1e-4 * largest)
        np.testing.assert_allclose(why.pair_attributions, expected[1], atol=1e-4 * largest)
        assert why.converged
        assert why.baseline == names.replace(",", ", ")


@pytest.mark.parametrize("method", ["occlusion", "leave_one_atom_out"])
def test_without_an_atom_its_own_weight_and_those_of_its_pairs_are_gone(method):
    model = LinearModel()
    for why in molig.explain(model, SMILES, task="second", target="logit", method=method):
        atoms, pairs = parts(model, why)
        expected = atoms.sum(axis=1)
        for (i, j), pair in zip(why.graph.pair_atoms, pairs.sum(axis=1), strict=True):
            expected[[i, j]] += pair
        np.testing.assert_allclose(why.atom_scores, expected, atol=1e-12)
        assert why.pair_attributions.shape == (len(pairs), 0)


def test_all_tasks_of_a_model_of_ones_own():
    model = LinearModel()
    (found,) = Explainer(model, target="logit").explain_all_tasks([Record(1, "x", SMILES[0])])
    assert [why.task for why in found] == ["first", "second"]
    for why in found:
        np.testing.assert_allclose(why.atom_attributions, parts(model, why)[0], atol=1e-12)


def test_precision_of_a_model_of_ones_own():
    assert Explainer(LinearModel(), tol=1e-5).model.name == "linear"
    with pytest.raises(UsageError, match="LinearModel has no double precision"):
        Explainer(LinearModel(), precision="double")


def test_a_network_is_no_model():
    with pytest.raises(UsageError, match=r"Linear cannot be explained: it lacks name, tasks, .*, relax of"):
        molig.explain(torch.nn.Linear(1, 1), "CCO")


@pytest.mark.parametrize("missing", ["relax", "parser", "featurize"])
def test_missing_parts_are_named(missing):
    class Lacking(LinearModel):
        def __getattribute__(self, name):
            if name == missing:
                raise AttributeError(name)
            return super().__getattribute__(name)

    with pytest.raises(UsageError, match=f"it lacks {missing} of molig"):
        Explainer(Lacking())
