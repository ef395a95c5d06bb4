"""Models that are not trusted: damage of every kind ends in a documented error, soon and in little memory."""

import copy as copies
import json
import os
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support.small_model import edit_model

from molig.errors import ModelFormatError, MoligError, OutputError, UsageError
from molig.files import digest_of
from molig.model import ScreeningModel, bundled_models, load_info, load_model, save_model
from molig.network import NetworkConfig
from molig.screening import screen
from molig.training import read_recipe

FIXTURES = {"suppress_health_check": [HealthCheck.function_scoped_fixture]}


def set_at(directory, place, value):
    path = directory / "model.json"
    data = json.loads(path.read_text())
    *parents, last = place.split(".")
    section = data
    for parent in parents:
        section = section[parent]
    section[last] = value
    path.write_text(json.dumps(data))


def store(directory, state):
    """Weights with a digest that fits them."""
    save_file(state, directory / "weights.safetensors")
    edit_model(directory, weights_sha256=digest_of(directory / "weights.safetensors"))


class TestWeights:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    @pytest.mark.parametrize("place", ["head.0.weight", "last_atom_layer.bias"])
    def test_what_is_not_finite(self, copy, value, place):
        state = load_file(copy / "weights.safetensors")
        state[place].view(-1)[0] = value
        store(copy, state)
        with pytest.raises(ModelFormatError, match=f"{place} holds NaN or infinite numbers"):
            load_model(copy)

    @pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.int64, torch.bool, torch.float64])
    def test_another_type(self, copy, dtype):
        state = load_file(copy / "weights.safetensors")
        state["head.0.weight"] = state["head.0.weight"].to(dtype)
        store(copy, state)
        with pytest.raises(ModelFormatError, match=f"must be torch.float16 or torch.float32 .got {dtype}"):
            load_model(copy)

    def test_a_negative_variance(self, copy):
        state = load_file(copy / "weights.safetensors")
        name = next(name for name in state if name.endswith("running_var"))
        state[name][0] = -1.0
        store(copy, state)
        with pytest.raises(ModelFormatError, match="negative variances"):
            load_model(copy)

    def test_missing_and_surplus_tensors(self, copy):
        state = load_file(copy / "weights.safetensors")
        less = {name: t for name, t in state.items() if name != "head.0.weight"}
        store(copy, less)
        with pytest.raises(ModelFormatError, match=r"has no tensor 'head\.0\.weight'"):
            load_model(copy)
        store(copy, state | {"more": torch.zeros(3)})
        with pytest.raises(ModelFormatError, match="a surplus tensor 'more'"):
            load_model(copy)

    def test_larger_than_the_network_can_need(self, copy):
        with (copy / "weights.safetensors").open("ab") as file:
            file.truncate(1 << 40)  # sparse: it takes no room on the disk
        with pytest.raises(ModelFormatError, match=r"larger than the [0-9,]+ bytes that it can need"):
            load_model(copy)

    def test_weights_that_overflow_are_not_stored(self, small_model, tmp_path):
        network = copies.deepcopy(small_model.network)
        with torch.no_grad():
            network.head[0].weight[0, 0] = 1e6  # more than half precision holds
        half = small_model.info.model_copy(update={"weights_dtype": "float16"})
        with pytest.raises(OutputError, match=r"head\.0\.weight holds NaN or infinite numbers"):
            save_model(ScreeningModel(half, network), tmp_path / "half")
        assert not (tmp_path / "half").exists()


class TestDescription:
    @pytest.mark.parametrize("version", ["99", "3", -1, 0, True, 3.0, None, [3]])
    def test_versions_that_are_none(self, copy, version):
        edit_model(copy, format_version=version)
        with pytest.raises(ModelFormatError, match="format_version must be a whole number from 1 to"):
            load_model(copy)

    @pytest.mark.parametrize(
        ("place", "value", "message"),
        [
            ("network.depth", 10**9, "network.depth: .*65536"),
            ("network.n_modules", 10**9, "network.n_modules: .*64"),
            ("network.hidden", [10**9], "network.hidden.0: .*65536"),
            ("network.hidden", [1] * 10_000, "network.hidden: .*64"),
            ("network.depth", "9", "network.depth: .*integer"),
            ("tasks", ["a", "a"], "'a' is named twice"),
            ("tasks", ["row", "a"], "no task can be called row"),
            ("tasks", ["a", "Rank"], "no task can be called rank"),
            ("tasks", ["", "a"], "tasks.0: .*at least 1"),
            ("tasks", ["a" * 1000, "b"], "tasks.0: .*at most 200"),
            ("tasks", "ab", "tasks: .*array"),
            ("tasks", ["a", "\ud800"], "surrogates not allowed"),
            ("molecules.max_heavy_atoms", 10**12, "max_heavy_atoms: .*10000"),
            ("molecules.max_heavy_atoms", 200.0, "max_heavy_atoms: .*integer"),
            ("applicability.threshold", 1.5, "applicability.threshold: .*1"),
            ("applicability.radius", 10**9, "applicability.radius: .*10"),
            ("applicability.n_bits", 10**9, "applicability.n_bits: .*65536"),
            ("applicability.n_reference", 10**9, "applicability.n_reference: .*1000000"),
            ("training.n_rows", 10**4000, "more than 64 bits"),
            ("feature_schema.max_pair_distance", "2", "not a feature schema"),
            ("feature_schema.atom_blocks", [["type"]], "not a feature schema"),
        ],
    )
    def test_values_out_of_range(self, copy, place, value, message):
        set_at(copy, place, value)
        with pytest.raises(ModelFormatError, match=message):
            load_model(copy)

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
    def test_numbers_that_are_none(self, copy, number):
        set_at(copy, "applicability.threshold", "HERE")
        path = copy / "model.json"
        path.write_text(path.read_text().replace('"HERE"', number))
        with pytest.raises(ModelFormatError, match=r"model\.json is damaged and cannot be read"):
            load_model(copy)

    @pytest.mark.parametrize("depth", [33, 500, 100_000])
    @pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":', "}")])
    def test_deep_json(self, copy, depth, start, end):
        (copy / "model.json").write_text(start * depth + "1" + end * depth)
        with pytest.raises(ModelFormatError, match="nested too deeply"):
            load_model(copy)

    def test_a_large_network_is_refused_before_it_is_built(self, copy):
        """65,536 wide, its weights would take 180 GB."""
        network = json.loads((copy / "model.json").read_text())["network"]
        edit_model(copy, network=network | {"depth": 65_536, "atom_depth": 65_536, "n_modules": 3})
        with pytest.raises(ModelFormatError, match="does not fit the network"):
            load_model(copy)

    def test_every_bundled_model_is_taken(self):
        for name in bundled_models():
            assert load_info(name).name == name


class TestFiles:
    @pytest.fixture(params=["pipe", "device", "directory", "socket to nowhere"])
    def replace(self, request):
        def replaced(path):
            path.unlink()
            if request.param == "pipe":
                os.mkfifo(path)
            elif request.param == "device":
                path.symlink_to("/dev/zero")
            elif request.param == "directory":
                path.mkdir()
            else:
                path.symlink_to(path)

        return replaced

    @pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "applicability.safetensors"])
    def test_of_a_model(self, copy, replace, name):
        replace(copy / name)
        with pytest.raises(ModelFormatError, match="cannot be read"):
            load_model(copy)

    def test_a_recipe(self, copy, replace):
        replace(copy / "recipe.toml")
        with pytest.raises(UsageError, match="cannot read the recipe"):
            read_recipe(copy / "recipe.toml")

    @pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "[molecules]\nmax_heavy_atoms = " + "9" * 5000])
    def test_a_recipe_that_is_none(self, tmp_path, text):
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        with pytest.raises(UsageError, match="not valid TOML"):
            read_recipe(path)


# Whatever is changed: an error of molig's own, or a model that scores.

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-2, 2), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(data, at=()):
    """Where there is something to change."""
    yield at
    nested = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in list(nested)[:20]:
        yield from places(value, (*at, key))


def changed(data, place, value):
    if not place:
        return value
    data[place[0]] = changed(data[place[0]], place[1:], value)
    return data


def load_or_refuse(directory):
    try:
        model = load_model(directory)
    except MoligError:
        return
    scores = model.predict(["CCO"]).scores
    assert scores.shape == (1, len(model.tasks))


@settings(max_examples=150, **FIXTURES)
@given(st.data())
def test_any_change_of_the_description(copy, small_model_dir, data):
    original = json.loads((small_model_dir / "model.json").read_text())
    place = data.draw(st.sampled_from(list(places(original))))
    (copy / "model.json").write_text(json.dumps(changed(original, place, data.draw(ODD))))
    load_or_refuse(copy)


@settings(max_examples=100, **FIXTURES)
@given(cut=st.integers(0, 20_000), noise=st.binary(max_size=8), fits=st.booleans())
@example(cut=0, noise=struct.pack("<Q", 2**63), fits=True)
@example(cut=0, noise=struct.pack("<Q", 2**32), fits=True)
def test_any_change_of_the_weights(copy, small_model_dir, cut, noise, fits):
    content = bytearray((small_model_dir / "weights.safetensors").read_bytes())
    content[cut : cut + len(noise)] = noise
    (copy / "weights.safetensors").write_bytes(content)
    if fits:
        edit_model(copy, weights_sha256=digest_of(bytes(content)))
    load_or_refuse(copy)


@settings(max_examples=100, **FIXTURES)
@given(st.data())
def test_any_change_of_the_header(copy, small_model_dir, data):
    content = (small_model_dir / "weights.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    odd = ODD | st.sampled_from(["I8", "C64", "F8_E4M3", "BF16", "U64", "F4", "BOOL"])
    header = changed(header, data.draw(st.sampled_from(list(places(header)))), data.draw(odd))
    text = json.dumps(header).encode()
    content = struct.pack("<Q", len(text)) + text + content[8 + length :]
    (copy / "weights.safetensors").write_bytes(content)
    edit_model(copy, weights_sha256=digest_of(content))
    load_or_refuse(copy)


# A score that is no number.


class Broken(ScreeningModel):
    """A model of somebody else, which gives no number for molecules with a sulfur atom."""

    value = float("nan")

    def score_with(self, molecules, **asked):
        found = super().score_with(molecules, **asked)
        found.scores[[("S" in m.smiles) for m in molecules], 0] = self.value
        return found


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("options", [{"task": "nitrogen"}, {"task": "nitrogen", "top_k": 2}])
def test_what_is_no_number_is_rejected(small_model, value, options, tmp_path):
    model = Broken(small_model.info, small_model.network)
    model.value = value
    result = screen(["CS", "CCO", "nonsense", "CCN"], model, output=tmp_path / "hits.csv", **options)
    assert (result.n_rows, result.n_scored, result.n_rejected) == (4, 2, 2)
    assert sorted(result.hits["row"]) == [2, 4]
    assert sorted(result.hits["rank"]) == [1, 2]
    assert list(result.rejections["row"]) == [1, 3]
    assert result.rejections["reason"][0] == f"score is not a number: {value} for nitrogen"


def test_a_task_that_is_not_asked_for_may_fail(small_model):
    model = Broken(small_model.info, small_model.network)
    result = screen(["CS", "CCO"], model, task="carbonyl")
    assert result.n_scored == 2


def test_predictions_say_it_too(small_model):
    model = Broken(small_model.info, small_model.network)
    predictions = model.predict(["CS", "CCO", "nonsense"])
    assert np.isnan(predictions.scores).all(axis=1).tolist() == [True, False, True]
    assert [r.row for r in predictions.rejections] == [1, 3]
    assert predictions.rejections[0].reason.startswith("score is not a number")


def test_bounds_of_a_network():
    assert NetworkConfig(depth=65_536, hidden=(65_536,)).depth == 65_536
    with pytest.raises(ValueError, match="65536"):
        NetworkConfig(depth=65_537)
