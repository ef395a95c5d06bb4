"""Networks of Chemprop: gradients, and files whose contents are none."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from foreign.chemprop_models import Kind, build, real_chemprop, save
from molig.errors import ModelFormatError
from molig.foreign import load_chemprop
from molig.foreign.chemprop_batch import message_batch
from molig.foreign.chemprop_features import chemprop_graphs, chemprop_schema

SMALL = Path(__file__).parent / "small.pt"
CLASSES = Kind("BinaryClassificationFFN", predictor={"n_tasks": 2})


def test_gradients_reach_the_features(tmp_path):
    """Explanations need them, at every aggregation and way of messages."""
    for kind in (Kind(aggregation="AttentiveAggregation"), Kind(messages="AtomMessagePassing")):
        network = load_chemprop(save(build(kind), tmp_path / "m.pt")).networks[0].double()
        mols = [Chem.MolFromSmiles("CC=O")]
        scales = np.array([0.7])
        passing, graphs = network.message_passing.passing, chemprop_graphs(mols, "v2")
        batch = message_batch(graphs, chemprop_schema("v2"), passing, scales, fold=False)
        atoms, bonds = batch.atom_inputs.requires_grad_(), batch.bond_inputs.requires_grad_()
        assert torch.autograd.gradcheck(
            lambda a, b: network(replace(batch, atom_inputs=a, bond_inputs=b)),  # noqa: B023
            (atoms, bonds),
        )


def test_version_1(tmp_path):
    from argparse import Namespace

    content = {
        "args": Namespace(dataset_type="regression"),
        "state_dict": {},
        "data_scaler": {"means": np.ones(1)},
    }
    torch.save(content, tmp_path / "v1.pt")
    with pytest.raises(ModelFormatError, match=r"v1\.pt: .*Chemprop v1.*`chemprop convert .*-i .*v1\.pt"):
        load_chemprop(tmp_path / "v1.pt")


def test_other_dictionaries(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "x.pt")
    with pytest.raises(ModelFormatError, match="no hyper_parameters"):
        load_chemprop(tmp_path / "x.pt")
    torch.save({"state_dict": {}, "hyper_parameters": {"predictor": 1}}, tmp_path / "x.pt")
    with pytest.raises(ModelFormatError, match="no weights"):
        load_chemprop(tmp_path / "x.pt")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(value, tmp_path):
    with zipfile.ZipFile(SMALL) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    longest = max((name for name in parts if "/data/" in name), key=lambda name: len(parts[name]))
    weights = np.frombuffer(parts[longest], "<f4").copy()
    weights[7] = value
    parts[longest] = weights.tobytes()
    with zipfile.ZipFile(tmp_path / "nan.pt", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(ModelFormatError, match=r"nan\.pt: the weight .*W_i.weight holds NaN or infinite"):
        load_chemprop(tmp_path / "nan.pt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("message_passing.W_h.weight"), r"message_passing.W_h.weight is missing"),
        (lambda s: s.update({"message_passing.W_h.weight": torch.ones(9, 9)}), r"has the shape \(9, 9\)"),
        (lambda s: s.update({"message_passing.W_o.weight": torch.ones(9)}), "not 2 axes"),
        (lambda s: s.update({"predictor.ffn.0.0.weight": torch.ones(20, 7)}), "head reads 7 numbers|shape"),
        (lambda s: s.update({"predictor.ffn.1.2.weight": torch.ones(2, 9)}), "shape"),
        (lambda s: s.pop("predictor.ffn.0.0.weight"), "predictor.ffn.0.0.weight is missing"),
        (lambda s: s.update({"more.weight": torch.ones(2)}), "no place for: more.weight"),
        (lambda s: s.update({"predictor.ffn.0.0.bias": torch.ones(20).int()}), "holds int32"),
        (lambda s: s.update({"bn.weight": torch.ones(24)}), "bn.bias is missing"),
        (lambda s: s.update({"predictor.ffn.0.0.bias": [1]}), "is no tensor"),
    ],
)
def test_weights_that_do_not_fit(change, words, tmp_path):
    model = build(CLASSES)
    state = dict(model.state_dict())
    change(state)
    torch.save({"hyper_parameters": model.hparams, "state_dict": state}, tmp_path / "m.pt")
    with pytest.raises(ModelFormatError, match=rf"m\.pt: .*({words})"):
        load_chemprop(tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("part", "name", "value", "words"),
    [
        ("message_passing", "depth", 10**9, "depth must be a whole number from 1 to 1000"),
        ("message_passing", "depth", "3", "depth must be"),
        ("message_passing", "activation", "softmax", "activation softmax is not known"),
        ("message_passing", "activation", torch.nn.RReLU(), "activation RReLU is not known"),
        ("agg", "norm", 0, "agg.norm must be a number"),
        ("agg", "cls", torch.nn.ReLU, "its agg is a ReLU, which molig cannot compute"),
        ("predictor", "cls", 7, "do not name the class"),
    ],
)
def test_settings_that_cannot_be(part, name, value, words, tmp_path):
    model = build(CLASSES)
    model.hparams[part][name] = value
    with pytest.raises(ModelFormatError, match=rf"m\.pt: .*{words}"):
        load_chemprop(save(model, tmp_path / "m.pt"))


def test_models_of_several_molecules(tmp_path):
    chemprop = real_chemprop()
    nn = chemprop.nn
    passing = nn.MulticomponentMessagePassing([nn.BondMessagePassing(), nn.BondMessagePassing()], 2)
    model = chemprop.models.MulticomponentMPNN(passing, nn.MeanAggregation(), nn.RegressionFFN(input_dim=600))
    with pytest.raises(ModelFormatError, match=r"several molecules at once \(multicomponent\)"):
        load_chemprop(save(model, tmp_path / "m.pt"))


def test_models_of_atoms(tmp_path):
    chemprop = real_chemprop()
    nn = chemprop.nn
    model = chemprop.models.MolAtomBondMPNN(
        nn.message_passing.mol_atom_bond.MABBondMessagePassing(),
        nn.MeanAggregation(),
        atom_predictor=nn.RegressionFFN(),
    )
    with pytest.raises(ModelFormatError, match="predicts properties of atoms or bonds"):
        load_chemprop(save(model, tmp_path / "m.pt"))
