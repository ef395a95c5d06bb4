"""Models that are missing, damaged, foreign or from the future."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import molig as package
from molig.model import Objective, bundled_models, load_info

COMMANDS = ["screen", "explain"]


@pytest.fixture
def used(molig, write, tmp_path):
    """Run a command with a model, on one molecule."""

    def run(command: str, model: Path | str):
        if command == "explain":
            return molig("explain", "-m", model, "--smiles", "CCO", "-o", tmp_path / "why.svg")
        return molig("screen", write("library.smi", "CCO\n"), "-m", model)

    return run


@pytest.fixture
def copied(small_model_dir, tmp_path) -> Path:
    """A copy of the small model, to be spoiled."""
    return Path(shutil.copytree(small_model_dir, tmp_path / "copy"))


def edited(**values: Any) -> Callable[[Path], None]:
    """Overwrite keys of model.json; None removes one."""

    def spoil(model: Path) -> None:
        path = model / "model.json"
        content = json.loads(path.read_text()) | values
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return spoil


def flipped(name: str, position: float) -> Callable[[Path], None]:
    """Flip one bit of a file, at a share of its length."""

    def spoil(model: Path) -> None:
        content = bytearray((model / name).read_bytes())
        content[int(position * (len(content) - 1))] ^= 0x80
        (model / name).write_bytes(content)

    return spoil


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda model: (model / name).write_bytes(content) and None


def removed(name: str) -> Callable[[Path], None]:
    return lambda model: (model / name).unlink()


DAMAGE = {
    "no model.json": (removed("model.json"), "is not a model: it has no model.json"),
    "model.json cut": (replaced("model.json", b'{"format": '), "model.json is damaged and cannot be read"),
    "model.json binary": (replaced("model.json", b"\x80\x81"), "model.json is damaged and cannot be read"),
    "model.json flipped": (flipped("model.json", 0.3), "model.json is damaged"),
    "foreign json": (replaced("model.json", b'{"a": 1}'), "does not describe a molig model"),
    "json list": (replaced("model.json", b"[1, 2]"), "does not describe a molig model"),
    "newer": (edited(format_version=99, molig_version="9.9"), "has format version 99, written by molig 9.9"),
    "unknown key": (edited(extra=1), "model.json is damaged: extra"),
    "no tasks": (edited(tasks=[]), "model.json is damaged: tasks"),
    "other schema": (edited(schema_hash="0" * 64), "the feature schema does not match its hash"),
    "no schema": (edited(feature_schema={}), "model.json"),
    "other network": (edited(network={"depth": 9}), "weights.safetensors"),
    "impossible network": (edited(network={"hidden": [-1]}), "model.json"),
    "no weights": (removed("weights.safetensors"), "the weights of model 'small' cannot be read"),
    "weights empty": (replaced("weights.safetensors", b""), "weights.safetensors is damaged"),
    **{
        f"weights flipped at {position:.0%}": (
            flipped("weights.safetensors", position),
            "weights.safetensors is damaged or belongs to another model",
        )
        for position in (0, 0.5, 1)
    },
}


class TestDamage:
    @pytest.mark.parametrize(("spoil", "message"), DAMAGE.values(), ids=DAMAGE)
    def test_a_damaged_model_is_refused_with_its_file_named(self, used, copied, spoil, message):
        spoil(copied)
        run = used("screen", copied)
        assert run.code == 1
        assert run.err.count("error: ") == 1
        assert message in run.err
        assert str(copied) in run.err or "'small'" in run.err
        assert run.out == ""

    def test_explain_refuses_it_as_well(self, used, copied, tmp_path):
        flipped("weights.safetensors", 0.5)(copied)
        run = used("explain", copied)
        assert run.code == 1
        assert "is damaged" in run.err
        assert not (tmp_path / "why.svg").exists()


class TestNames:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_an_unknown_name_ends_with_2(self, used, command, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        run = used(command, "tox22-no-such")
        assert run.code == 2
        assert "error: unknown model 'tox22-no-such'" in run.err
        assert "Valid: " in run.err

    def test_a_missing_directory_ends_with_2(self, used, tmp_path):
        run = used("screen", tmp_path / "no" / "model")
        assert run.code == 2
        assert f"no model directory at {tmp_path}" in run.err

    def test_a_file_of_the_model_is_not_the_model(self, used, small_model_dir):
        run = used("screen", small_model_dir / "model.json")
        assert run.code == 2
        assert "is a file; a model is the directory that holds model.json" in run.err


class TestListing:
    def test_models_are_listed_on_stdout(self, molig):
        run = molig("models")
        assert run.code == 0
        assert "molig models NAME says more" in run.err
        for name in bundled_models():
            info = load_info(name)
            (row,) = [line for line in run.out.splitlines() if f" {name} " in line]
            if info.objective is Objective.REGRESSION:
                assert f" R2 {info.median_figure(info.held_out, 'r2'):.3f} " in row
            else:
                assert f" {info.median_auc('test'):.3f} " in row
                assert f" {info.median_figure('test', 'ef_1'):.1f} " in row
            assert f" {'committee' if info.committee else 'network'} " in row
        assert molig("models", "-q").err == ""

    def test_models_of_a_table_stand_together_the_committee_first(self, molig):
        rows = [line.split() for line in molig("models").out.splitlines() if line.startswith("│ ")]
        data = [row[3] for row in rows]
        assert data == [name for at, name in enumerate(data) if name not in data[:at] or data[at - 1] == name]
        kinds = ["committee" in row for row in rows]
        for at in range(1, len(rows)):
            assert data[at] != data[at - 1] or kinds[at - 1] >= kinds[at]

    @pytest.mark.parametrize("width", [100, 80, 50, 40])
    def test_a_narrow_terminal_loses_nothing(self, narrow, width):
        lines = narrow("models", width=width)
        assert max(map(len, lines)) <= width
        cells = [[cell.strip() for cell in line.split("│")] for line in lines if line[0] == "│"]
        text = ["".join(cell) for cell in zip(*cells, strict=True)]
        assert "tox21-w2n2-simple" in text[1]
        assert "Tox21:nuclear" in text[2].replace(" ", "")
        assert f"{load_info('hiv').median_auc('test'):.3f}" in text[4]
        if width >= 80:
            assert any("│ tox21-w2n2-simple │ Tox21: nuclear" in line for line in lines)

    def test_a_model_without_a_test_part_shows_its_validation_part(
        self, molig, small_model_dir, tmp_path, monkeypatch
    ):
        copy = Path(shutil.copytree(small_model_dir, tmp_path / "small"))
        content = json.loads((copy / "model.json").read_text())
        del content["metrics"]["test"]
        (copy / "model.json").write_text(json.dumps(content))
        monkeypatch.setattr("molig.model.listing.bundled_models", lambda: {"small": copy})
        assert " (validation) " in molig("models").out

    def test_a_regression_shows_its_r2(self, molig, small_regression_dir, small_model_dir, monkeypatch):
        monkeypatch.setattr("molig.model.listing.bundled_models", lambda: {"values": small_regression_dir})
        run = molig("models")
        assert run.code == 0
        assert " R2 " in run.out
        assert "AUC" not in run.out
        both = {"values": small_regression_dir, "classes": small_model_dir}
        monkeypatch.setattr("molig.model.listing.bundled_models", lambda: both)
        out = molig("models").out
        assert "ROC-AUC or R2" in out or "R2 or ROC-AUC" in out
        r2 = load_info(small_regression_dir).median_figure("test", "r2")
        assert f" R2 {r2:.3f} " in out

    def test_the_kind_of_a_model_is_listed(self, molig, small_committee_dir, small_model_dir, monkeypatch):
        both = {"one": small_model_dir, "several": small_committee_dir}
        monkeypatch.setattr("molig.model.listing.bundled_models", lambda: both)
        several, one = (line for line in molig("models").out.splitlines() if "labels of labelled.csv" in line)
        assert " several " in several
        assert " committee " in several
        assert " network " in one

    @pytest.mark.parametrize("fixture", ["small_model_dir", "small_committee_dir"])
    def test_members_and_size_are_described(self, molig, request, fixture):
        directory = request.getfixturevalue(fixture)
        out = molig("models", directory).out
        assert ("weave alone" in out) == (fixture == "small_model_dir")
        assert ("weave, environments, forest" in out) == (fixture == "small_committee_dir")
        size = sum(f.stat().st_size for f in [*directory.glob("*.safetensors"), directory / "model.json"])
        assert f" {size / 1e6:.1f} MB " in out

    def test_a_bundled_model_says_what_it_predicts(self, molig):
        (row,) = [line for line in molig("models").out.splitlines() if " hiv " in line]
        assert "HIV: the AIDS antiviral screen of NCI's DTP" in row
        out = molig("models", "tox21").out
        assert "NR-AhR: aryl hydrocarbon receptor" in out
        assert "public domain (NIH/NCATS)" in out
        assert "doi:10.3389/fenvs.2015.00085" in out
        assert "molecules of tox21.parquet" in out
        assert f"{load_info('tox21').training.n_test:,} to test" in out
        assert "parts listed in tox21-parts.csv" in out
        assert "molig screen library.smi -m tox21 -o hits.csv" in out

    def test_one_model_is_described(self, molig, small_committee_dir):
        run = molig("models", small_committee_dir)
        assert (run.code, run.err) == (0, "")
        assert "a calibrated probability" in run.out
        info = load_info(small_committee_dir)
        for member in info.committee.members:
            assert f" {member.name} " in run.out
        for task, quality in info.metrics[info.held_out].items():
            (row,) = [line for line in run.out.splitlines() if line.startswith(f"│ {task} ")]
            assert f"{quality.roc_auc:.3f}" in row
            assert f" {quality.n_actives:,} of {quality.n_actives + quality.n_inactives:,} " in row

    def test_a_network_or_a_regression_is_described_as_well(
        self, molig, small_model_dir, small_regression_dir
    ):
        assert "no calibrated probability" in molig("models", small_model_dir).out
        run = molig("models", small_regression_dir)
        assert "a value in the unit of the labels" in run.out
        assert "RMSE" in run.out
        assert "ROC-AUC" not in run.out

    def test_a_description_fits_a_narrow_terminal(self, narrow):
        assert max(map(len, narrow("models", "tox21"))) <= 80

    def test_an_unknown_name_ends_with_2(self, molig):
        run = molig("models", "tox22-no-such")
        assert run.code == 2
        assert "unknown model 'tox22-no-such'" in run.err

    def test_version_is_on_stdout(self, molig):
        run = molig("--version")
        assert (run.code, run.out, run.err) == (0, f"molig {package.__version__}\n", "")

    @pytest.mark.parametrize(
        "arguments", [["--help"], *([c, "--help"] for c in ("screen", "explain", "train"))]
    )
    def test_help_is_on_stdout(self, molig, arguments):
        run = molig(*arguments)
        assert (run.code, run.err) == (0, "")
        assert "Usage: " in run.out

    @pytest.mark.parametrize("arguments", [[], ["scren", "x.smi"], ["--verbose"]])
    def test_a_wrong_command_ends_with_2(self, molig, arguments):
        run = molig(*arguments)
        assert run.code == 2
        assert "Usage: molig" in run.err + run.out
