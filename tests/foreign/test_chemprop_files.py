"""Files of Chemprop as a user names them: ensembles, options, and what is refused with which words."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem

from foreign.chemprop_models import Kind, build, graphs_of, predicted, real_chemprop, save
from molig.errors import InputError, ModelFormatError, UnknownNameError, UsageError
from molig.foreign import InputOptions, load_chemprop
from molig.foreign.chemprop_files import model_files

SMALL = Path(__file__).parent / "small.pt"
CLASSES = Kind("BinaryClassificationFFN", predictor={"n_tasks": 2})


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


def test_networks_of_a_run_come_in_the_order_of_their_numbers(trained):
    folder, _ = trained
    (folder / "model_2").rename(folder / "model_10")
    assert [path.parent.name for path in model_files([folder])] == ["model_0", "model_1", "model_10"]


def test_files_directly_inside_are_an_ensemble(tmp_path):
    for name in ("b.ckpt", "a.ckpt"):
        shutil.copy(SMALL, tmp_path / name)
    (tmp_path / "model_list.txt").write_text("")
    assert [path.name for path in model_files([tmp_path])] == ["a.ckpt", "b.ckpt"]
    shutil.copy(SMALL, tmp_path / "c.pt")
    with pytest.raises(
        InputError, match=r"of the same network: .* one by one \(found a.ckpt, b.ckpt, c.pt\)"
    ):
        model_files([tmp_path])


def test_a_run_that_has_not_ended(trained):
    folder, _ = trained
    (folder / "model_1" / "best.pt").unlink()
    with pytest.raises(
        InputError, match=r"run of 3 networks, but .*model_1.best\.pt is missing, so its training"
    ):
        model_files([folder])


def test_networks_in_other_places_are_listed_and_not_guessed(trained, tmp_path):
    folder, _ = trained
    shutil.copy(SMALL, folder / "other.pt")
    with pytest.raises(
        InputError, match=r"in two places: .* \(found other.pt, model_0.best.pt, .*last.ckpt\)"
    ):
        model_files([folder])
    (folder / "other.pt").unlink()
    above = tmp_path.parent / f"{tmp_path.name}-above"
    above.mkdir()
    for number in range(3):
        shutil.copytree(folder, above / f"replicate_{number}")
    words = r"no networks where they are looked for: .*found replicate_0.model_0.best\.pt, .* and 10 more\)"
    with pytest.raises(InputError, match=words):
        model_files([above])
    assert len(model_files([above / "replicate_0", above / "replicate_1"])) == 6


def test_directories_without_networks(tmp_path):
    with pytest.raises(InputError, match=r"no networks where they are looked for: .* one by one$"):
        model_files([tmp_path])


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
    (folder / "more").mkdir()
    (folder / "config.toml").write_text("target-columns = [active, toxic]\n")
    torch.save(
        {"hyper_parameters": models[0].hparams, "state_dict": models[0].state_dict()},
        folder / "more" / "x.ckpt",
    )
    assert load_chemprop(folder / "more" / "x.ckpt").tasks == ("active", "toxic")
    assert load_chemprop(folder / "more" / "x.ckpt").name == "x"
    assert load_chemprop(folder / "more").name == "more"
    assert load_chemprop(folder / "model_1" / "best.pt").name == "model_1"
    assert load_chemprop(folder).name == folder.name
    (folder / "config.toml").write_text("target-columns = [one, two, three]\n")
    assert load_chemprop(folder / "more" / "x.ckpt").tasks == ("pred_0", "pred_1")


def test_paths(tmp_path):
    (tmp_path / "model.txt").write_text("")
    with pytest.raises(UsageError, match=r"Chemprop's end in \.pt or \.ckpt"):
        load_chemprop(tmp_path / "model.txt")
    with pytest.raises(UsageError, match="no model file or directory"):
        load_chemprop(tmp_path / "absent.pt")
    with pytest.raises(UsageError, match="no model file is named"):
        load_chemprop([])
    with pytest.raises(UnknownNameError, match="set of atom features 'v3'"):
        load_chemprop(SMALL, InputOptions(atom_features="v3"))


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


def test_tasks_that_do_not_fit(tmp_path):
    model = build(CLASSES)
    for tasks in (["one"], ["a", "a"], [1, 2]):
        with pytest.raises(ModelFormatError, match=r"m\.pt: its? (names|output_columns)"):
            load_chemprop(save(model, tmp_path / "m.pt", tasks))


def test_a_network_that_is_named_twice_is_refused():
    small = Path(__file__).parent / "small.pt"
    with pytest.raises(UsageError, match=r"small\.pt is named twice"):
        load_chemprop([small, small])
