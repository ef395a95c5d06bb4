"""Predictions equal Chemprop's own, for every kind of model that it can make."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, rdBase
from torch import nn

from foreign.chemprop_models import ODD, Kind, build, graphs_of, predicted, save
from molig.foreign import ExtraInputs, InputOptions, load_chemprop
from molig.foreign.chemprop_features import PRESETS, chemprop_graphs

MVE, EVIDENTIAL, QUANTILE = "MveFFN", "EvidentialFFN", "QuantileFFN"
MANY = {"n_tasks": 3}

KINDS = {
    "regression": Kind(),
    "regression, unscaled": Kind(unscale=True, predictor=MANY),
    "classification": Kind("BinaryClassificationFFN", predictor=MANY),
    "multiclass": Kind("MulticlassClassificationFFN", predictor={"n_classes": 4}),
    "multiclass, tasks": Kind("MulticlassClassificationFFN", predictor={"n_classes": 3, "n_tasks": 2}),
    "mean and variance": Kind(MVE, unscale=True, predictor=MANY),
    "evidential": Kind(EVIDENTIAL, unscale=True, predictor=MANY),
    "quantile": Kind(QUANTILE, unscale=True, predictor=MANY),
    "Dirichlet": Kind("BinaryDirichletFFN", predictor=MANY),
    "multiclass Dirichlet": Kind("MulticlassDirichletFFN", predictor={"n_classes": 3, "n_tasks": 2}),
    "spectral": Kind("SpectralFFN", predictor={"n_tasks": 6}),
    # exp(exp(.)) overflows soon, in Chemprop too.
    "spectral, exp": Kind(
        "SpectralFFN",
        aggregation="MeanAggregation",
        passing={"activation": "tanh"},
        predictor={"n_tasks": 6, "spectral_activation": "exp", "activation": "tanh"},
    ),
    "atoms": Kind(messages="AtomMessagePassing"),
    "atoms, undirected": Kind(messages="AtomMessagePassing", passing={"undirected": True, "bias": True}),
    "undirected": Kind(passing={"undirected": True}),
    "bias": Kind(passing={"bias": True}),
    "depth 1": Kind(passing={"depth": 1}),
    "depth 6": Kind(passing={"depth": 6}),
    "atoms, depth 1": Kind(messages="AtomMessagePassing", passing={"depth": 1}),
    "dropout": Kind(passing={"dropout": 0.4}, predictor={"dropout": 0.4}),
    "mean": Kind(aggregation="MeanAggregation"),
    "sum": Kind(aggregation="SumAggregation"),
    "attentive": Kind(aggregation="AttentiveAggregation"),
    "batch norm": Kind(batch_norm=True),
    "everything": Kind(
        "BinaryClassificationFFN", "AtomMessagePassing", "AttentiveAggregation", "organic", batch_norm=True
    ),
    **{
        name: Kind(passing={"activation": name}, predictor={"activation": name})
        for name in ("leakyrelu", "prelu", "tanh", "elu")
    },
    **{
        f"{type(made).__name__} as an object": Kind(
            passing={"activation": made}, predictor={"activation": type(made)()}
        )
        for made in (
            nn.SiLU(),
            nn.GELU(approximate="tanh"),
            nn.SELU(),
            nn.PReLU(),
            nn.LeakyReLU(0.3),
            nn.Softplus(2.0),
        )
    },
    "in place": Kind(passing={"activation": nn.ReLU(inplace=True)}),
    "atoms, in place": Kind(messages="AtomMessagePassing", passing={"activation": nn.ELU(inplace=True)}),
    "no hidden layer": Kind(predictor={"n_layers": 0}),
    "layers of different widths": Kind(predictor={"hidden_dim": [7, 11, 5]}),
    **{f"features {preset}": Kind(preset=preset, batch_norm=True) for preset in PRESETS},
    "features rigr, atoms": Kind(preset="rigr", messages="AtomMessagePassing"),
}

WITH_MORE = {
    "descriptors": Kind(descriptors=5, batch_norm=True),
    "descriptors of atoms": Kind(atom_descriptors=3, aggregation="AttentiveAggregation"),
    "features of atoms and bonds": Kind(atom_features=2, bond_features=4),
    "features of atoms, between atoms": Kind(atom_features=2, messages="AtomMessagePassing"),
    "all": Kind(descriptors=5, atom_descriptors=3, atom_features=2, bond_features=4, preset="organic"),
}


@pytest.fixture(scope="module")
def odd():
    with rdBase.BlockLogs():
        return [Chem.MolFromSmiles(smiles) for smiles in ODD]


@pytest.fixture(scope="module")
def odd_graphs(odd):
    """Both featurizations by the name of the features."""
    return {preset: (graphs_of(odd, preset), chemprop_graphs(odd, preset)) for preset in PRESETS}


@pytest.fixture(scope="module")
def tox21(data_dir):
    """The first thousand compounds of Tox21 that RDKit reads."""
    table = pd.read_parquet(data_dir / "tox21.parquet")
    with rdBase.BlockLogs():
        pairs = ((s, Chem.MolFromSmiles(s)) for s in table["smiles"])
        return [(s, mol) for s, mol in pairs if mol is not None and mol.GetNumHeavyAtoms() <= 200][:1000]


@pytest.fixture(scope="module")
def tox21_graphs(tox21):
    mols = [mol for _, mol in tox21]
    return {preset: (graphs_of(mols, preset), chemprop_graphs(mols, preset)) for preset in PRESETS}


def compare(model, ours, graphs, extra=None):
    theirs, mine = graphs
    expected = predicted(model, theirs, extra)
    found = ours.score_graphs(mine, extra)
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    assert expected.std(axis=0).min() > 1e-3  # not the same for all molecules
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_odd_molecules(name, odd_graphs, tmp_path):
    kind = KINDS[name]
    model = build(kind)
    ours = load_chemprop(save(model, tmp_path / "model.pt"))
    assert ours.preset == kind.preset
    compare(model, ours, odd_graphs[kind.preset])


@pytest.mark.parametrize("name", KINDS)
def test_a_thousand_molecules(name, tox21_graphs, tmp_path):
    kind = KINDS[name]
    model = build(kind, seed=1)
    compare(model, load_chemprop(save(model, tmp_path / "model.pt")), tox21_graphs[kind.preset])


def made_up(mols, kind):
    """Extra numbers for molecules."""
    rng = np.random.default_rng(0)

    def tables(width, count):
        return [rng.normal(size=(count(mol), width)) for mol in mols] if width else None

    return ExtraInputs(
        rng.normal(size=(len(mols), kind.descriptors)) if kind.descriptors else None,
        tables(kind.atom_descriptors, Chem.Mol.GetNumAtoms),
        tables(kind.atom_features, Chem.Mol.GetNumAtoms),
        tables(kind.bond_features, Chem.Mol.GetNumBonds),
    )


@pytest.mark.parametrize("name", WITH_MORE)
def test_extra_inputs(name, odd, tmp_path):
    kind = WITH_MORE[name]
    model = build(kind)
    extra = made_up(odd, kind)
    ours = load_chemprop(save(model, tmp_path / "m.pt"), InputOptions(atom_features=kind.preset))
    graphs = graphs_of(odd, kind.preset, kind, extra), ours.featurize(odd, extra)
    compare(model, ours, graphs, extra)
