"""What a user names with -m, told apart."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

import molig
from molig.errors import InputError, ModelFormatError, UnknownNameError, UsageError
from molig.foreign import AdmetAI, InputOptions, is_foreign, load_any_model, load_foreign
from molig.model import ScreeningModel, bundled_models

SMALL = Path(__file__).parent / "small.pt"


def test_own_models_are_not_foreign(tmp_path):
    for name, directory in bundled_models().items():
        assert not is_foreign(name)
        assert not is_foreign(directory)
    assert not is_foreign(tmp_path)
    assert not is_foreign([])
    assert not is_foreign("no-such-model")


def test_files_and_directories(tmp_path):
    (tmp_path / "model_0").mkdir()
    shutil.copy(SMALL, tmp_path / "model_0" / "best.pt")
    for names in (SMALL, str(SMALL), tmp_path, [SMALL, tmp_path], "not/there.ckpt"):
        assert is_foreign(names)
    assert not is_foreign([SMALL, "tox21-w2n2-simple"])
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    deep.mkdir(parents=True)
    shutil.copy(SMALL, deep)
    assert not is_foreign(tmp_path / "a")
    assert load_foreign(tmp_path).tasks == load_foreign([str(SMALL)]).tasks == ("first", "second")


def test_admet_ai():
    assert is_foreign("admet-ai")
    if importlib.util.find_spec("admet_ai") is None:
        with pytest.raises(UsageError, match="pip install admet-ai"):
            load_foreign("admet-ai")
    else:
        assert isinstance(load_foreign("admet-ai"), AdmetAI)
        assert isinstance(load_foreign(["admet-ai"]), AdmetAI)


class TestAnyModel:
    def test_both_kinds_are_read_by_the_same_function(self, tmp_path):
        assert molig.load_model is load_any_model
        assert isinstance(load_any_model("tox21-w2n2-simple"), ScreeningModel)
        other = shutil.copy(SMALL, tmp_path / "other.pt")
        assert load_any_model(str(SMALL)).tasks == load_any_model([SMALL, other]).tasks == ("first", "second")

    @pytest.mark.parametrize("second", [SMALL, "tox21", "admet-ai"])
    def test_models_of_molig_are_no_ensemble(self, second):
        with pytest.raises(UsageError, match=r"only if all are files of Chemprop.*tox21-w2n2-simple is none"):
            load_any_model(["tox21-w2n2-simple", second])

    def test_admet_ai_is_no_member_of_an_ensemble(self):
        with pytest.raises(UsageError, match="stands alone"):
            load_any_model([SMALL, "admet-ai"])

    def test_unknown_names_learn_of_all_that_could_be_named(self):
        with pytest.raises(
            UnknownNameError, match=r"did you mean 'tox21'.*hiv.*admet-ai; or files of Chemprop"
        ):
            load_any_model("tox22")
        with pytest.raises(UnknownNameError, match="did you mean 'admet-ai'"):
            load_any_model("admetai")

    def test_directories_that_hold_no_model(self, tmp_path):
        words = r"is not a model: it has no model\.json, .*and no files of Chemprop \(model_N/best\.pt"
        with pytest.raises(ModelFormatError, match=words):
            load_any_model(tmp_path)
        (tmp_path / "weights").mkdir()
        shutil.copy(SMALL, tmp_path / "weights")
        with pytest.raises(InputError, match=r"where they are looked for: .*\(found weights.small\.pt\)"):
            load_any_model(tmp_path)

    def test_options_of_chemprop_are_for_chemprop(self):
        options = InputOptions(keep_h=False, atom_features="v1")
        with pytest.raises(UsageError, match="atom_features and keep_h is for models of Chemprop"):
            load_any_model("tox21-w2n2-simple", options=options)
        assert load_any_model("tox21-w2n2-simple", options=InputOptions()).name == "tox21-w2n2-simple"
        assert load_any_model(SMALL, options=InputOptions(add_h=True)).parser.add_h
