"""The fingerprints beside a model: what is written reads back, and damage is named."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save

from molig.errors import ModelFormatError
from molig.model import ScreeningModel, load_model, save_model

SMILES = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "CC[TeH]"]
FILE = "applicability.safetensors"


@pytest.fixture(scope="module")
def saved(domain_model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("domain") / "model"
    save_model(domain_model, directory)
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def edit(directory, change):
    path = directory / "model.json"
    data = json.loads(path.read_text())
    change(data["applicability"])
    path.write_text(json.dumps(data))


def test_round_trip(domain_model, saved):
    again = load_model(saved)
    expected = domain_model.applicability.info
    assert again.info.applicability.model_copy(update={"sha256": ""}) == expected
    assert again.applicability.info == again.info.applicability
    flags = [m.predict(SMILES, applicability=True).applicability for m in (again, domain_model)]
    assert flags[0] == flags[1]
    size = 128 * expected.n_reference + 8 * len(again.applicability.scaffolds)
    assert (saved / FILE).stat().st_size < size + 300


def test_writing_again_gives_the_same_bytes(saved, tmp_path):
    save_model(load_model(saved), tmp_path / "again")
    for name in (FILE, "model.json", "weights.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_a_model_without_a_domain_leaves_no_file_of_another(copy):
    model = load_model(copy)
    again = save_model(ScreeningModel(model.info, model.network), copy)
    assert again.applicability is again.info.applicability is None
    assert not (copy / FILE).exists()


def flip(directory):
    content = bytearray((directory / FILE).read_bytes())
    content[-1] ^= 1
    (directory / FILE).write_bytes(content)


def replace(content):
    def spoil(directory):
        (directory / FILE).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        edit(directory, lambda section: section.update(sha256=digest))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: (d / FILE).unlink(), "cannot be read .*; fetch the model again"),
        (lambda d: (d / FILE).write_bytes(b"\x80\x04\x95pickle"), "SHA-256 is not the one.*fetch the model"),
        (flip, "SHA-256 is not the one"),
        (replace(b"\x80\x04\x95pickle"), "holds no fingerprints"),
        (replace(save({"x": np.zeros(3)})), "holds no fingerprints"),
        (replace(save({"fingerprints": np.zeros((3, 128), np.uint8)})), "expected uint8 of shape"),
        (
            lambda d: edit(d, lambda s: s["categories"].pop("atom.type")),
            r"applicability\.categories must name",
        ),
        (lambda d: edit(d, lambda s: s.pop("threshold")), r"damaged: applicability\.threshold"),
        (lambda d: edit(d, lambda s: s["heavy_atoms"].pop("max")), r"damaged: applicability\.heavy_atoms"),
        (lambda d: edit(d, lambda s: s.update(n_bits=1021)), r"damaged: applicability\.n_bits"),
    ],
)
def test_damage_is_named(copy, spoil, message):
    spoil(copy)
    with pytest.raises(ModelFormatError, match=message):
        load_model(copy)
