"""What the tests of training judge is trained here and now, not read from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.small_model import train_small_regression

from molig.model import ScreeningModel, load_model


@pytest.fixture(scope="session")
def trained_regression_dir(tmp_path_factory: pytest.TempPathFactory, nci_file: Path) -> Path:
    """Directory of a tiny regression: tasks "nitrogens" and "mass". Do not write to it."""
    directory = tmp_path_factory.mktemp("trained-regression")
    train_small_regression(directory)
    return directory / "values"


@pytest.fixture(scope="session")
def trained_regression(trained_regression_dir: Path) -> ScreeningModel:
    """The regression, loaded on the CPU."""
    return load_model(trained_regression_dir)
