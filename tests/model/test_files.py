"""Model directories: what is written reads back, and damage is named."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.stats import spearmanr
from support.small_model import edit_model, nci_smiles

from molig.errors import ModelFormatError, UnknownNameError, UsageError
from molig.model import ScreeningModel, bundled_models, load_info, load_model, model_card, save_model
from molig.model.info import FORMAT_WITHOUT_COMMITTEE, ReliabilityBin, ReliabilityInfo

SMILES = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"]


def test_round_trip(small_model, tmp_path):
    again = save_model(small_model, tmp_path / "again")
    assert again.info.model_dump(exclude={"weights_sha256"}) == small_model.info.model_dump(
        exclude={"weights_sha256"}
    )
    np.testing.assert_array_equal(again.predict_proba(SMILES), small_model.predict_proba(SMILES))


def test_half_precision_keeps_scores_to_a_thousandth(small_model, tmp_path):
    info = small_model.info.model_copy(update={"weights_dtype": "float16"})
    half = save_model(ScreeningModel(info, small_model.network), tmp_path / "half")
    save_model(small_model, tmp_path / "whole")
    size = {name: (tmp_path / name / "weights.safetensors").stat().st_size for name in ("half", "whole")}
    assert size["half"] < 0.8 * size["whole"]
    np.testing.assert_allclose(half.predict_proba(SMILES), small_model.predict_proba(SMILES), atol=1e-3)
    library = nci_smiles(400)
    for rounded, exact in zip(
        half.predict_proba(library).T, small_model.predict_proba(library).T, strict=True
    ):
        assert spearmanr(rounded, exact).statistic >= 0.9999
    assert half.dtype is torch.float32


def test_directory_holds_what_the_readme_says(small_model_dir):
    names = {p.name for p in small_model_dir.iterdir()}
    assert {"weights.safetensors", "model.json", "recipe.toml", "CARD.md"} <= names
    assert "checkpoint.safetensors" not in names


def test_card_states_the_figures(small_model, small_model_dir):
    card = (small_model_dir / "CARD.md").read_text()
    assert card == model_card(small_model.info)
    for task, metrics in small_model.info.metrics["test"].items():
        low, high = metrics.intervals["roc_auc"]
        assert f"| {task} | {metrics.roc_auc:.3f} [{low:.3f}, {high:.3f}] | {metrics.pr_auc:.3f} [" in card
    assert small_model.info.training.data_sha256 in card
    assert "| nitrogen | " in card.split("## Baseline")[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "onnx"}, "does not describe a molig model"),
        ({"format_version": 99, "molig_version": "9.1"}, "written by molig 9.1.*upgrade molig"),
        ({"schema_hash": "0" * 64}, "does not match its hash"),
        ({"tasks": []}, "damaged: tasks"),
        ({"surprise": 1}, "damaged: surprise"),
        ({"network": {"depth": 9}}, "does not fit the network"),
    ],
)
def test_a_description_that_cannot_be_right(copy, changes, message):
    edit_model(copy, **changes)
    with pytest.raises(ModelFormatError, match=message):
        load_model(copy)


def test_a_block_from_a_newer_molig(copy):
    from molig.features import FeatureSchema

    data = json.loads((copy / "model.json").read_text())
    data["feature_schema"]["atom_blocks"][0]["name"] = "isotope"
    schema = FeatureSchema.from_dict(data["feature_schema"])
    edit_model(copy, feature_schema=schema.to_dict(), schema_hash=schema.hash)
    with pytest.raises(ModelFormatError, match="cannot compute the feature block 'isotope'"):
        load_model(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"molig-model"'])
def test_a_description_that_is_none(copy, text):
    (copy / "model.json").write_text(text)
    with pytest.raises(ModelFormatError, match=r"model\.json"):
        load_model(copy)


def test_one_flipped_byte_in_the_weights(copy):
    path = copy / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match="SHA-256 is not the one"):
        load_model(copy)


def test_weights_of_another_kind_are_refused_before_they_are_read(copy):
    (copy / "weights.safetensors").write_bytes(b"\x80\x04\x95pickle")
    with pytest.raises(ModelFormatError, match="damaged"):
        load_model(copy)


def test_missing_pieces(copy):
    (copy / "weights.safetensors").unlink()
    with pytest.raises(ModelFormatError, match="cannot be read"):
        load_model(copy)
    (copy / "model.json").unlink()
    with pytest.raises(ModelFormatError, match=r"it has no model\.json"):
        load_model(copy)


def test_a_description_can_be_read_without_the_weights(copy):
    (copy / "weights.safetensors").unlink()
    assert load_info(copy).tasks == ("nitrogen", "carbonyl")
    with pytest.raises(UnknownNameError, match="unknown model 'tox2'"):
        load_info("tox2")


def test_unknown_names(small_model_dir):
    with pytest.raises(UnknownNameError, match="unknown model 'tox2'"):
        load_model("tox2")
    with pytest.raises(UsageError, match="no model directory at some"):
        load_model("some/where")
    with pytest.raises(UsageError, match="is a file; a model is the directory"):
        load_model(small_model_dir / "model.json")


def test_every_bundled_model_loads_and_is_small():
    assert "tox21-w2n2-simple" in bundled_models()
    for name, directory in bundled_models().items():
        model = load_model(name)
        assert model.name == name
        assert (directory / "weights.safetensors").stat().st_size <= 8_000_000
        assert model_card(model.info) == (directory / "CARD.md").read_text()
        assert model.info.training.data_file
        assert (directory / "recipe.toml").exists()


def test_a_regression_reads_back(small_regression, small_regression_dir, tmp_path):
    again = save_model(small_regression, tmp_path / "again")
    assert again.info == small_regression.info
    np.testing.assert_array_equal(again.predict(SMILES).scores, small_regression.predict(SMILES).scores)
    card = (small_regression_dir / "CARD.md").read_text()
    assert card == model_card(small_regression.info)
    for task, metrics in small_regression.info.metrics["test"].items():
        assert (
            f"| {task} | {metrics.r2:.3f} | {metrics.rmse:.4g} | {metrics.spearman:.3f} | {metrics.n} |"
            in card
        )
    assert "AUC" not in card
    assert "robability" not in card


def test_the_last_layer_of_a_regression_is_never_in_half_precision(small_regression, tmp_path):
    info = small_regression.info.model_copy(update={"weights_dtype": "float16"})
    save_model(ScreeningModel(info, small_regression.network), tmp_path / "half")
    with safe_open(tmp_path / "half" / "weights.safetensors", framework="pt") as file:
        dtypes = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118 (not a dict)
    last = f"head.{len(small_regression.network.head) - 1}"
    whole = {name for name, dtype in dtypes.items() if dtype is torch.float32}
    assert whole == {f"{last}.weight", f"{last}.bias"}


def test_a_description_of_format_1_reads_as_a_classification(copy):
    path = copy / "model.json"
    data = json.loads(path.read_text()) | {"format_version": 1}
    del data["objective"], data["molecules"]["hydrogens"], data["training"]["n_test_in_train"]
    for name in ("applicability", "cross_validation", "known_limits"):
        del data[name]
    for part in data["metrics"].values():
        for metrics in part.values():
            del metrics["bedroc"], metrics["intervals"]
    path.write_text(json.dumps(data))
    model = load_model(copy)
    assert model.info.objective == "classification"
    assert model.info.molecules.hydrogens == "implicit"
    again = save_model(model, copy)  # what is written now says the version that it needs
    assert again.info.format_version == FORMAT_WITHOUT_COMMITTEE


def with_version(source: Path, target: Path, version: int | None) -> Path:
    """A copy of a model directory that states another version of the parent rule, or none."""
    shutil.copytree(source, target)
    info = json.loads((target / "model.json").read_text())
    info["molecules"].pop("standardization_version")
    if version is not None:
        info["molecules"]["standardization_version"] = version
    (target / "model.json").write_text(json.dumps(info))
    return target


def test_a_model_of_the_first_parent_rule_warns(small_model_dir, tmp_path):
    copy = with_version(small_model_dir, tmp_path / "old", None)
    with pytest.warns(UserWarning, match="version 1 of the policy 'parent'.*train it again"):
        assert load_model(copy).info.molecules.standardization_version == 1
    assert "The largest fragment counts" in model_card(load_info(copy))


def test_a_model_of_a_later_parent_rule_is_refused(small_model_dir, tmp_path):
    copy = with_version(small_model_dir, tmp_path / "new", 3)
    with pytest.raises(ModelFormatError, match="needs version 3 of the policy 'parent', this molig has 2"):
        load_model(copy)


def test_a_model_of_this_parent_rule_says_nothing(small_model_dir):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_model(small_model_dir).info.molecules.standardization_version == 2


class TestReliability:
    CURVE = ReliabilityInfo(
        bins=(ReliabilityBin(mean_score=0.1, share_active=0.2, n=3),),
        expected_error=0.1,
        by_task={"nitrogen": 0.1},
    )

    def test_a_committee_keeps_it(self, small_committee, tmp_path):
        info = small_committee.info.model_copy(update={"reliability": {"test": self.CURVE}})
        saved = save_model(small_committee.with_info(info), tmp_path / "model")
        assert saved.info.reliability == {"test": self.CURVE}

    def test_a_network_alone_is_written_without_the_key_that_an_older_molig_would_refuse(
        self, small_model, tmp_path
    ):
        save_model(small_model, tmp_path / "model")
        assert "reliability" not in json.loads((tmp_path / "model" / "model.json").read_text())
