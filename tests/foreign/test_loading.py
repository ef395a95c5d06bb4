"""What a user names with -m, told apart."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from molig.errors import UsageError
from molig.foreign import AdmetAI, is_foreign, load_foreign
from molig.model import bundled_models

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
    assert load_foreign(tmp_path).tasks == load_foreign([str(SMALL)]).tasks == ("first", "second")


def test_admet_ai():
    assert is_foreign("admet-ai")
    if importlib.util.find_spec("admet_ai") is None:
        with pytest.raises(UsageError, match="pip install admet-ai"):
            load_foreign("admet-ai")
    else:
        assert isinstance(load_foreign("admet-ai"), AdmetAI)
        assert isinstance(load_foreign(["admet-ai"]), AdmetAI)
