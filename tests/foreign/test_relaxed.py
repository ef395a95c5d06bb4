"""Chemprop networks between a baseline and a molecule: gradients, secant shares, and ensembles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rdkit import Chem

from foreign.chemprop_models import Kind, build, save
from foreign.test_parity import KINDS
from molig.attribution import Explainer
from molig.errors import UsageError
from molig.foreign import ChempropModel, load_chemprop
from molig.foreign.secants import has_secants, logit_of_mean, slopes_of_mean
from molig.molecules import smiles_records
from molig.secant import Panels

SMILES = ("CCO", "c1ccccc1C(=O)N", "C", "CC(C)(C)[N+](=O)[O-]", "Clc1ccc2[nH]ccc2c1")
NO_SECANTS = {"multiclass", "multiclass, tasks", "Dirichlet", "multiclass Dirichlet", "spectral"}
NO_SECANTS |= {"spectral, exp", "attentive", "everything", "in place", "atoms, in place"}
SMOOTH = ["tanh", "SiLU as an object", "GELU as an object", "Softplus as an object"]
SOME = [
    *SMOOTH,
    "regression",
    "classification",
    "mean and variance",
    "quantile",
    "atoms, undirected",
    "undirected",
]
SOME += [
    "mean",
    "sum",
    "batch norm",
    "depth 1",
    "atoms, depth 1",
    "no hidden layer",
    "features rigr, atoms",
    "prelu",
]


def models(name, tmp_path) -> list[ChempropModel]:
    """One network of a kind, and an ensemble of two."""
    files = [save(build(KINDS[name], seed), tmp_path / f"{seed}.pt") for seed in (0, 1)]
    return [load_chemprop(files[:1]).double(), load_chemprop(files).double()]


def relaxed(model):
    """Molecules between a baseline that is not zero and themselves."""
    graphs = model.featurize([Chem.MolFromSmiles(smiles) for smiles in SMILES])
    random = np.random.default_rng(0)
    base = random.random(model.schema.n_atom_columns) / 10, random.random(model.schema.n_pair_columns) / 10
    return model.relax(graphs, base)


def along(inputs, molecule, scale):
    """Outputs of one molecule with all its features at one place of the path."""
    counts = inputs.graphs.atom_counts[molecule], inputs.graphs.pair_counts[molecule]
    return inputs.outputs(np.array([molecule]), *(np.full(count, scale) for count in counts))[0]


@pytest.mark.parametrize("name", KINDS)
def test_outputs_are_the_scores_and_densities_their_derivative(name, tmp_path):
    for model in models(name, tmp_path):
        inputs = relaxed(model)
        every, task = np.arange(len(SMILES)), len(model.tasks) - 1
        outputs = inputs.outputs(every)
        scores = 1 / (1 + np.exp(-outputs)) if model.objective == "classification" else outputs
        np.testing.assert_allclose(scores, model.score_graphs(inputs.graphs), rtol=1e-9, atol=1e-12)
        found = inputs.densities(every, np.full(len(every), 0.4), np.full(len(every), task))
        for i in every:
            step = 1e-5
            slope = (along(inputs, i, 0.4 + step) - along(inputs, i, 0.4 - step))[task] / (2 * step)
            assert found.atoms[i].sum() + found.pairs[i].sum() == pytest.approx(slope, rel=1e-4, abs=1e-7)
            assert found.values[i] == pytest.approx(along(inputs, i, 0.4)[task], rel=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_secants_are_there_where_all_else_is_linear(name, tmp_path):
    for model in models(name, tmp_path):
        assert (relaxed(model).trail() is None) == (name in NO_SECANTS)
        assert all(map(has_secants, model.networks)) == (name not in NO_SECANTS)


@pytest.mark.parametrize("name", SOME)
def test_shares_add_up_to_the_change_on_every_panel(name, tmp_path):
    for model in models(name, tmp_path):
        inputs = relaxed(model)
        trail, graphs = inputs.trail(), inputs.graphs
        molecules = np.concatenate([np.repeat(np.arange(len(SMILES)), 3), [1, 3, 1]])
        scales = np.concatenate([np.tile([0.0, 0.5, 1.0], len(SMILES)), [0.3, 0.7, 0.31]])
        # Once all molecules at the same places, whose rows are shared, then some at places of their own.
        outputs = np.concatenate(
            [trail.visit(molecules[:15], scales[:15]), trail.visit(molecules[15:], scales[15:])]
        )
        for point in (1, 4, 15, 16):
            np.testing.assert_allclose(
                outputs[point], along(inputs, molecules[point], scales[point]), rtol=1e-9
            )
        left, right = np.array([0, 1, 3, 4, 12, 15, 7]), np.array([1, 2, 5, 5, 14, 17, 8])
        tasks = np.array([0, -1, 0, -1, 0, -1, 0]) % len(model.tasks)
        shares = trail.share(Panels(left, right, tasks))
        ends = [
            np.cumsum(counts[molecules[left]])[:-1] for counts in (graphs.atom_counts, graphs.pair_counts)
        ]
        atoms, pairs = np.split(shares.atoms, ends[0]), np.split(shares.pairs, ends[1])
        for i, task in enumerate(tasks):
            change = outputs[right[i], task] - outputs[left[i], task]
            assert atoms[i].sum() + pairs[i].sum() == pytest.approx(change, rel=1e-9, abs=1e-12)
        if name in SMOOTH:  # on a narrow panel they are the density in its middle
            middle = inputs.densities(np.array([1]), np.array([0.305]), tasks[5:6])
            np.testing.assert_allclose(atoms[5] / 0.01, middle.atoms[0], rtol=2e-3, atol=1e-5)
            np.testing.assert_allclose(pairs[5] / 0.01, middle.pairs[0], rtol=2e-3, atol=1e-5)


def test_secants_and_gradients_give_the_same_attributions(tmp_path, monkeypatch):
    model = models("batch norm", tmp_path)[1]
    records = list(smiles_records(list(SMILES)))
    by_secants = list(Explainer(model, baseline="zero", tol=1e-4).explain_records(records))
    monkeypatch.setattr("molig.foreign.relaxed.RelaxedChemprop.trail", lambda *_, **__: None)
    by_gradients = list(
        Explainer(model, baseline="zero", tol=1e-4, max_evaluations=20_000).explain_records(records)
    )
    for one, other in zip(by_secants, by_gradients, strict=True):
        largest = np.abs(one.atom_attributions).max()
        np.testing.assert_allclose(one.atom_attributions, other.atom_attributions, atol=2e-3 * largest)
        np.testing.assert_allclose(one.pair_attributions, other.pair_attributions, atol=2e-3 * largest)


def test_neither_the_order_of_atoms_nor_the_batch_matters(tmp_path):
    model = models("classification", tmp_path)[1]
    explainer = Explainer(model, task=model.tasks[0], baseline="zero")
    mol = Chem.MolFromSmiles(SMILES[4])
    order = np.random.default_rng(0).permutation(mol.GetNumAtoms())
    other = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order.tolist()), canonical=False)
    alone, turned = (next(explainer.explain_records(smiles_records([s]))) for s in (SMILES[4], other))
    batch = list(explainer.explain_records(smiles_records([*SMILES, *SMILES])))
    np.testing.assert_allclose(batch[4].atom_scores, alone.atom_scores, rtol=1e-9, atol=1e-12)
    assert sorted(turned.atom_scores) == pytest.approx(sorted(alone.atom_scores), rel=1e-9, abs=1e-12)


def test_models_with_descriptors_are_not_explained(tmp_path):
    model = load_chemprop(save(build(Kind(descriptors=5)), tmp_path / "model.pt"))
    with pytest.raises(UsageError, match="reads descriptors beside the structure"):
        model.relax(model.featurize([Chem.MolFromSmiles("CCO")]))


def test_slopes_of_the_logit_of_a_mean_add_up():
    random = np.random.default_rng(0)
    start, end = (random.normal(scale=12, size=(5, 400)) for _ in range(2))
    end[:, :50] = start[:, :50] + 1e-9  # next to nothing
    end[:, 50:60] = start[:, 50:60]
    slopes = slopes_of_mean(start, end)
    change = logit_of_mean(end) - logit_of_mean(start)
    np.testing.assert_allclose((slopes * (end - start)).sum(axis=0), change, rtol=1e-6, atol=1e-9)
    assert (slopes >= 0).all()
    assert np.isfinite(slopes).all()
    one = torch.tensor(start[:1]).numpy()
    np.testing.assert_allclose(logit_of_mean(one), one[0], rtol=1e-9, atol=1e-12)
