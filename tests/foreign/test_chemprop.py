"""Chemprop models as a user meets them: files, ensembles, options, and what is refused with which words."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem, rdBase

from foreign.chemprop_models import ODD, Kind, build, featurizer_of, graphs_of, predicted, real_chemprop, save
from molig.errors import InputError, ModelFormatError, UnknownNameError, UsageError
from molig.foreign import ChempropParser, ExtraInputs, InputOptions, load_chemprop
from molig.foreign.chemprop_batch import message_batch
from molig.foreign.chemprop_features import PRESETS, chemprop_graphs, chemprop_schema
from molig.model import Objective
from molig.molecules import Molecule, Rejection
from molig.network import collate

SMALL = Path(__file__).parent / "small.pt"
CLASSES = Kind("BinaryClassificationFFN", predictor={"n_tasks": 2})


# Features.


@pytest.mark.parametrize("preset", PRESETS)
def test_features_equal_chemprops(preset):
    with rdBase.BlockLogs():
        mols = [Chem.MolFromSmiles(smiles) for smiles in ODD]
    batch = collate(chemprop_graphs(mols, preset), chemprop_schema(preset))
    (theirs,) = graphs_of(mols, preset)
    np.testing.assert_array_equal(batch.atom_inputs[batch.atom_kind], theirs.V)
    bonds = batch.pair_inputs[batch.pair_kind]
    np.testing.assert_array_equal(bonds, theirs.E[::2])
    np.testing.assert_array_equal(bonds, theirs.E[1::2])
    ends = theirs.edge_index[:, ::2].sort(dim=0).values
    np.testing.assert_array_equal(batch.pair_atoms, ends)


@pytest.mark.parametrize("preset", PRESETS)
def test_widths(preset):
    schema = chemprop_schema(preset)
    assert (schema.n_atom_columns, schema.n_pair_columns) == featurizer_of(preset).shape


def test_columns_have_names():
    columns = chemprop_schema("v2").columns("atom")
    assert str(columns[5]) == "atom.element = C"
    assert str(columns[-1]) == "atom.mass: mass"
    assert [str(c) for c in chemprop_schema("v2").columns("pair")][:3] == [
        "pair.no bond = no bond",
        "pair.type = single",
        "pair.type = double",
    ]


# Molecules.

OPTIONS = {
    "as written": {},
    "keep_h": {"keep_h": True},
    "add_h": {"add_h": True},
    "both": {"keep_h": True, "add_h": True},
    "ignore_stereo": {"ignore_stereo": True},
    "reorder_atoms": {"reorder_atoms": True},
}
MAPPED = ["[CH3:3][CH2:1][OH:2]", "[F:2][Cl:1]", "CCO", "[H]O[H]", "[2H]OC", "[H]/C(F)=C(/[H])Cl"]


@pytest.mark.parametrize("name", OPTIONS)
def test_molecules_equal_chemprops(name):
    real_chemprop()
    from chemprop.utils import make_mol

    parser = ChempropParser("none", **OPTIONS[name])
    for smiles in ODD + MAPPED:
        found = parser.parse_smiles(smiles)
        if isinstance(found, Rejection):
            assert found.reason.startswith(("metal only", "no atoms", "no heavy atoms")), found.reason
            continue
        with rdBase.BlockLogs():
            expected = make_mol(smiles, **OPTIONS[name])
        featurizer = featurizer_of("v2")
        mine, its = featurizer(found.mol), featurizer(expected)
        np.testing.assert_array_equal(mine.V, its.V, err_msg=smiles)
        np.testing.assert_array_equal(mine.E, its.E, err_msg=smiles)
        np.testing.assert_array_equal(mine.edge_index, its.edge_index, err_msg=smiles)


@pytest.mark.parametrize("name", OPTIONS)
def test_atoms_keep_their_places_in_the_input(name):
    parser = ChempropParser("none", **OPTIONS[name])
    for smiles in MAPPED:
        molecule = parser.parse_smiles(smiles)
        assert isinstance(molecule, Molecule)
        params = Chem.SmilesParserParams()
        params.removeHs = False
        written = Chem.MolFromSmiles(smiles, params)
        origin = molecule.origin or range(molecule.mol.GetNumAtoms())
        for atom, place in zip(molecule.mol.GetAtoms(), origin, strict=True):
            if place >= 0:
                source = written.GetAtomWithIdx(int(place))
                assert (atom.GetAtomicNum(), atom.GetAtomMapNum()) == (
                    source.GetAtomicNum(),
                    source.GetAtomMapNum(),
                )
            else:
                assert atom.GetAtomicNum() == 1
        assert len([place for place in origin if place >= 0]) == len({p for p in origin if p >= 0})


def test_options_that_contradict_each_other():
    with pytest.raises(UsageError, match="keep_h keeps hydrogens"):
        load_chemprop(SMALL, InputOptions(keep_h=True, standardization="parent"))
    with pytest.raises(UsageError, match="add_h"):
        ChempropParser("none", hydrogens="explicit")
    with pytest.raises(UnknownNameError, match="standardisation policy 'all'"):
        load_chemprop(SMALL, InputOptions(standardization="all"))


def test_many_compounds_with_written_hydrogens(nci_file):
    """What RDKit makes of them is what Chemprop reads, with the places of their atoms."""
    parser = ChempropParser("none")
    with rdBase.BlockLogs():
        for line in nci_file.read_text().splitlines()[:300]:
            mol = Chem.MolFromSmiles(line.split()[0])
            if mol is None or not mol.GetNumAtoms():
                continue
            smiles = Chem.MolToSmiles(Chem.AddHs(mol))
            expected, found = Chem.MolFromSmiles(smiles), parser.parse_smiles(smiles)
            if isinstance(found, Molecule):
                assert Chem.MolToSmiles(found.mol) == Chem.MolToSmiles(expected)
                assert len(found.origin or range(found.mol.GetNumAtoms())) == expected.GetNumAtoms()


def test_hydrogens_as_atoms_change_the_score(tmp_path):
    model = build(CLASSES)
    path = save(model, tmp_path / "m.pt")
    mols = [Chem.AddHs(Chem.MolFromSmiles(s)) for s in ("CCO", "c1ccccc1")]
    found = load_chemprop(path, InputOptions(add_h=True)).predict(["CCO", "c1ccccc1"])
    np.testing.assert_allclose(found.scores, predicted(model, graphs_of(mols, "v2")), atol=1e-5)


def test_salts_are_scored_whole_unless_asked_otherwise():
    whole, parent = load_chemprop(SMALL), load_chemprop(SMALL, InputOptions(standardization="parent"))
    salt, acid = "CC(=O)[O-].[Na+]", "CC(=O)O"
    scores = whole.predict([salt, acid]).scores
    assert np.abs(scores[0] - scores[1]).max() > 1e-4
    np.testing.assert_array_equal(*parent.predict([salt, acid]).scores)


# Scores.


def test_predictions_account_for_every_row():
    model = load_chemprop(SMALL)
    found = model.predict(["CCO", "C1CC", "", "C" * 250, "c1ccccc1"], batch_size=2)
    assert np.isnan(found.scores).all(axis=1).tolist() == [False, True, True, True, False]
    assert [(r.row, r.reason.split(":")[0]) for r in found.rejections] == [
        (2, "not parsable"),
        (3, "empty SMILES"),
        (4, "too large"),
    ]
    assert found.proba is found.scores
    assert found.scored_smiles == ["CCO", None, None, None, "c1ccccc1"]
    np.testing.assert_array_equal(model.predict_proba("CCO"), found.scores[:1])
    assert load_chemprop(SMALL, InputOptions(max_heavy_atoms=300)).predict(["C" * 250]).rejections == []


def test_no_rows_and_no_bonds():
    model = load_chemprop(SMALL)
    assert model.predict([]).scores.shape == (0, 2)
    assert np.isfinite(model.predict(["C", "[Cl-]", "O.O"]).scores).all()


def test_batches_do_not_matter(monkeypatch):
    model = load_chemprop(SMALL)
    smiles = [s for s in ODD if isinstance(model.parser.parse_smiles(s), Molecule)]
    together = model.predict(smiles).scores
    alone = np.concatenate([model.predict(s).scores for s in smiles])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    monkeypatch.setattr("molig.foreign.chemprop.STATES_PER_BATCH", 160)  # 20 atoms
    np.testing.assert_allclose(model.predict(smiles).scores, together, atol=1e-6)
    backwards = model.predict(smiles[::-1]).scores[::-1]
    np.testing.assert_allclose(backwards, together, atol=1e-6)


def test_double_precision_agrees():
    model = load_chemprop(SMALL)
    double = model.double()
    assert double.dtype is torch.float64
    assert model.dtype is torch.float32
    np.testing.assert_allclose(double.predict(["CCO"]).scores, model.predict(["CCO"]).scores, atol=1e-6)


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


# Ensembles.


@pytest.fixture
def trained(tmp_path):
    """A directory as Chemprop's training leaves it."""
    models = [build(CLASSES, seed) for seed in range(3)]
    for number, model in enumerate(models):
        folder = tmp_path / f"model_{number}"
        (folder / "checkpoints").mkdir(parents=True)
        save(model, folder / "best.pt", ["active", "toxic"])
        (folder / "checkpoints" / "last.ckpt").write_bytes(b"not to be read")
    return tmp_path, models


def test_directory_is_an_ensemble(trained):
    folder, models = trained
    mols = [Chem.MolFromSmiles(s) for s in ("CCO", "c1ccccc1", "CC(=O)N")]
    graphs = graphs_of(mols, "v2")
    expected = np.mean([predicted(model, graphs) for model in models], axis=0)
    for paths in (
        folder,
        str(folder),
        sorted(folder.glob("model_?/best.pt")),
        [folder / "model_0", *folder.glob("model_[12]")],
    ):
        ensemble = load_chemprop(paths)
        assert ensemble.tasks == ("active", "toxic")
        assert len(ensemble.networks) == 3
        np.testing.assert_allclose(
            ensemble.predict(["CCO", "c1ccccc1", "CC(=O)N"]).scores, expected, atol=1e-5
        )


@pytest.mark.parametrize(
    ("other", "tasks", "words"),
    [
        (CLASSES, ["active", "else"], "predicts active, toxic; .* predicts active, else"),
        (Kind(predictor={"n_tasks": 2}), None, "kind classification; .* kind regression"),
        (Kind("BinaryClassificationFFN"), None, "2 tasks of the kind .* 1 tasks of the kind"),
        (replace(CLASSES, preset="organic"), None, "reads 72 .* reads 44"),
        (replace(CLASSES, descriptors=3), None, "0 descriptors .* 3 descriptors"),
    ],
)  # fmt: skip
def test_no_ensemble(other, tasks, words, tmp_path):
    paths = save(build(CLASSES), tmp_path / "a.pt", ["active", "toxic"]), tmp_path / "b.pt"
    save(build(other), paths[1], tasks)
    with pytest.raises(UsageError, match=f"a.pt .*{words}.*no ensemble"):
        load_chemprop(paths)


def test_training_options_are_found(trained):
    folder, _ = trained
    plain = load_chemprop(folder)
    assert not plain.parser.add_h
    (folder / "config.toml").write_text("add-h = true\nmulti-hot-atom-featurizer-mode = V2\ndepth = [3]\n")
    found = load_chemprop(folder / "model_1" / "best.pt")
    assert found.parser.add_h
    assert not load_chemprop(folder, InputOptions(add_h=False)).parser.add_h
    (folder / "config.toml").write_text('multi-hot-atom-featurizer-mode = "ORGANIC"\n')
    with pytest.raises(
        UsageError,
        match="reads 72 features per atom and 14 per bond; organic has 44 and 14: it was trained on v2",
    ):
        load_chemprop(folder)
    (folder / "config.toml").write_text('multi-hot-atom-featurizer-mode = "V9"\n')
    with pytest.raises(UnknownNameError, match="v9"):
        load_chemprop(folder)
    (folder / "config.toml").write_bytes(b"\xff")
    with pytest.raises(ModelFormatError, match=r"config\.toml"):
        load_chemprop(folder)


def test_names_of_models_and_tasks(trained):
    folder, models = trained
    (folder / "config.toml").write_text("target-columns = [active, toxic]\n")
    torch.save(
        {"hyper_parameters": models[0].hparams, "state_dict": models[0].state_dict()}, folder / "x.ckpt"
    )
    assert load_chemprop(folder / "x.ckpt").tasks == ("active", "toxic")
    assert load_chemprop(folder / "x.ckpt").name == "x"
    assert load_chemprop(folder / "model_1" / "best.pt").name == "model_1"
    assert load_chemprop(folder).name == folder.name
    (folder / "config.toml").write_text("target-columns = [one, two, three]\n")
    assert load_chemprop(folder / "x.ckpt").tasks == ("pred_0", "pred_1")


# Refusals.


def test_paths(tmp_path):
    with pytest.raises(InputError, match="holds no model file"):
        load_chemprop(tmp_path)
    shutil.copy(SMALL, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"name the checkpoints to use: last\.ckpt"):
        load_chemprop(tmp_path)
    (tmp_path / "model.txt").write_text("")
    with pytest.raises(UsageError, match=r"Chemprop's end in \.pt or \.ckpt"):
        load_chemprop(tmp_path / "model.txt")
    with pytest.raises(UsageError, match="no model file or directory"):
        load_chemprop(tmp_path / "absent.pt")
    with pytest.raises(UsageError, match="no model file is named"):
        load_chemprop([])
    with pytest.raises(UnknownNameError, match="set of atom features 'v3'"):
        load_chemprop(SMALL, InputOptions(atom_features="v3"))


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


def test_models_of_reactions(tmp_path):
    chemprop = real_chemprop()
    d_v, d_e = chemprop.featurizers.CondensedGraphOfReactionFeaturizer().shape
    nn = chemprop.nn
    model = chemprop.models.MPNN(nn.BondMessagePassing(d_v, d_e), nn.MeanAggregation(), nn.RegressionFFN())
    with pytest.raises(ModelFormatError, match="trained on reactions"):
        load_chemprop(save(model, tmp_path / "m.pt"))


def test_other_features(tmp_path):
    chemprop = real_chemprop()
    nn = chemprop.nn
    model = chemprop.models.MPNN(nn.BondMessagePassing(50, 14), nn.MeanAggregation(), nn.RegressionFFN())
    path = save(model, tmp_path / "m.pt")
    with pytest.raises(ModelFormatError, match=r"50 features per atom and 14 per bond.*v2 72 \+ 14"):
        load_chemprop(path)
    assert load_chemprop(path, InputOptions(atom_features="organic")).sizes.atom == 50


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            Kind(descriptors=5),
            r"5 descriptors of each molecule .*--descriptors-path or --molecule-featurizers",
        ),
        (Kind(atom_descriptors=3), "3 descriptors of each atom .*--atom-descriptors-path"),
        (Kind(atom_features=2), "2 extra features of each atom .*--atom-features-path"),
        (Kind(bond_features=2), "2 extra features of each bond .*--bond-features-path"),
    ],
)
def test_what_is_not_given(kind, words, tmp_path):
    model = load_chemprop(save(build(kind), tmp_path / "m.pt"), InputOptions(atom_features="v2"))
    with pytest.raises(UsageError, match=rf"reads {words}.*not given.*Without them"):
        model.predict(["CCO"])


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (ExtraInputs(np.ones((2, 4))), "reads no descriptors of each molecule"),
        (
            ExtraInputs(atom_features=[np.ones((3, 1)), np.ones((6, 1))]),
            "reads no extra features of each atom",
        ),
    ],
)
def test_what_is_not_read(extra, words):
    with pytest.raises(UsageError, match=words):
        load_chemprop(SMALL).predict(["CCO", "c1ccccc1"], extra=extra)


def test_rows_of_extra_inputs_follow_their_smiles(tmp_path):
    kind = Kind(descriptors=2, atom_descriptors=1)
    model = load_chemprop(save(build(kind), tmp_path / "m.pt"))
    smiles = ["CCO", "bad", "c1ccccc1", "CC"]
    extra = ExtraInputs(
        np.arange(8.0).reshape(4, 2),
        [np.ones((3, 1)), np.zeros((0, 1)), 2 * np.ones((6, 1)), np.ones((2, 1))],
    )
    whole = model.predict(smiles, extra=extra, batch_size=2).scores
    for i in (0, 2, 3):
        np.testing.assert_allclose(
            model.predict(smiles[i], extra=extra.rows([i])).scores[0], whole[i], atol=1e-6
        )
    with pytest.raises(UsageError, match="a row for every atom"):
        model.predict(["CCC", "CC"], extra=extra.rows([0, 2]))


def test_tasks_that_do_not_fit(tmp_path):
    model = build(CLASSES)
    for tasks in (["one"], ["a", "a"], [1, 2]):
        with pytest.raises(ModelFormatError, match=r"m\.pt: its? (names|output_columns)"):
            load_chemprop(save(model, tmp_path / "m.pt", tasks))


def test_kinds_of_scores(tmp_path):
    several = Kind("MulticlassClassificationFFN", predictor={"n_classes": 3})
    model = load_chemprop(save(build(several), tmp_path / "m.pt", ["phase"]))
    assert model.tasks == ("phase: class 0", "phase: class 1", "phase: class 2")
    assert model.objective is Objective.CLASSIFICATION
    np.testing.assert_allclose(model.predict(["CCO"]).proba.sum(), 1)
    values = load_chemprop(save(build(Kind()), tmp_path / "v.pt"))
    assert values.objective is Objective.REGRESSION
    with pytest.raises(UsageError, match="predicts values"):
        values.predict_proba("CCO")
    with pytest.raises(UnknownNameError, match="task 'phase'"):
        model.task_index("phase")


def test_a_network_that_is_named_twice_is_refused():
    small = Path(__file__).parent / "small.pt"
    with pytest.raises(UsageError, match=r"small\.pt is named twice"):
        load_chemprop([small, small])
