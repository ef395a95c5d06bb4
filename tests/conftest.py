"""Fixtures of all rooms: small trained models, real compounds, and the shared data sets."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from support.small_model import MODELS, N_VALUES, NCI_FILE, write_labelled, write_values

from molig.model import ScreeningModel, load_model

# Property tests: a slow machine is no failure, and continuous integration tries the same examples every time.
settings.register_profile("molig", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("molig")

torch.set_num_threads(1)  # the tests share their machine; tiny tensors gain nothing from more


_TRAINING_ROOMS, _TRAINING_MODULES = {"training"}, {"test_train.py"}
_TRAINED = {"small_model", "small_regression", "small_committee"}
_LONG = {"test_notebooks.py", "test_readme.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what trains networks, and what the audit judges of trained ones; begin with what takes longest."""
    items.sort(key=lambda item: item.path.name not in _LONG)
    for item in items:
        room = item.path.parent.name
        trains = room in _TRAINING_ROOMS or item.path.name in _TRAINING_MODULES
        judges = room == "audit" and _TRAINED & set(getattr(item, "fixturenames", ()))
        if trains or judges:
            item.add_marker(pytest.mark.trains)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's cache directory out of the tests."""
    os.environ["MOLIG_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def small_model_dir(tmp_path_factory: pytest.TempPathFactory, nci_file: Path) -> Path:
    """Directory of a tiny model, really trained: tasks "nitrogen" and "carbonyl". Do not write to it.

    Its weights are read from a file, so that they are the same on every processor; beside it lies its table.
    """
    directory = tmp_path_factory.mktemp("small-model")
    write_labelled(directory / "labelled.csv")
    return Path(shutil.copytree(MODELS / "small", directory / "small"))


@pytest.fixture(scope="session")
def small_model(small_model_dir: Path) -> ScreeningModel:
    """The small model, loaded on the CPU."""
    return load_model(small_model_dir)


@pytest.fixture(scope="session")
def small_regression_dir(tmp_path_factory: pytest.TempPathFactory, nci_file: Path) -> Path:
    """Directory of a tiny regression: tasks "nitrogens" and "mass". Do not write to it."""
    directory = tmp_path_factory.mktemp("small-regression")
    write_values(directory / "values.csv", N_VALUES)
    return Path(shutil.copytree(MODELS / "values", directory / "values"))


@pytest.fixture(scope="session")
def small_regression(small_regression_dir: Path) -> ScreeningModel:
    """The small regression, loaded on the CPU."""
    return load_model(small_regression_dir)


@pytest.fixture(scope="session")
def small_committee_dir(tmp_path_factory: pytest.TempPathFactory, nci_file: Path) -> Path:
    """Directory of a tiny committee of a Weave network, an environment network and a forest.

    It has the tasks and the table of the small model. Do not write to it.
    """
    directory = tmp_path_factory.mktemp("small-committee")
    write_labelled(directory / "labelled.csv")
    return Path(shutil.copytree(MODELS / "committee", directory / "committee"))


@pytest.fixture(scope="session")
def small_committee(small_committee_dir: Path) -> ScreeningModel:
    """The small committee, loaded on the CPU."""
    return load_model(small_committee_dir)


@pytest.fixture(scope="session")
def nci_file() -> Path:
    """About 5,000 real, untidy compounds that come with RDKit."""
    if not NCI_FILE.exists():
        pytest.skip(f"RDKit was installed without its data ({NCI_FILE.name})")
    return NCI_FILE


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Directory of the shared data sets."""
    folder = os.environ.get("MOLIG_DATA_DIR")
    if not folder:
        pytest.skip("MOLIG_DATA_DIR is not set")
    return Path(folder)
