"""Tables larger than memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.sparse import random as sparse_random
from support.small_model import TASKS, write_labelled

from molig.errors import InputError
from molig.features import Featurizer, preset
from molig.molecules import MoleculeParser
from molig.training import dataset, memory
from molig.training.dataset import AssayTable, read_or_load, read_training_data
from molig.training.members import _fit_ridge
from molig.training.recipe import KernelRecipe


@pytest.fixture
def free(tmp_path, monkeypatch):
    """Let the system say how much memory is free, in kB."""

    def say(text):
        (tmp_path / "meminfo").write_text(text)
        monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")

    return say


def test_what_is_free_is_read(free):
    assert memory._free_bytes() is None or memory._free_bytes() > 1_000_000
    free("MemTotal:  9 kB\nMemFree:  1 kB\nMemAvailable:    7 kB\n")
    assert memory._free_bytes() == 7 * 1024


@pytest.mark.parametrize("text", ["", "MemAvailable:\n", "MemAvailable: much kB\n"])
def test_a_system_that_does_not_say(free, text):
    free(text)
    assert memory._free_bytes() is None
    memory.MemoryWatch("t.csv").add(1, 10**15)


def test_a_table_is_refused_while_it_is_read(free):
    free("MemAvailable: 1000000 kB\n")
    watch = memory.MemoryWatch("t.csv")
    watch.add(1_000, 500_000_000)
    message = r"t\.csv: the first 1,512 molecules need 1\.2 GB more for training, and 1\.0 GB .* are free"
    with pytest.raises(InputError, match=message):
        watch.add(512, 100_000_000)


def test_the_matrices_of_a_kernel_machine_count(free):
    free("MemAvailable: 1000000 kB\n")
    memory.MemoryWatch("t.csv", compared=4_000).add(4_500, 100_000_000)
    message = (
        r"the first 6,000 molecules need 1\.7 GB more for training \(1\.5 GB of them for the kernel machine"
        r"\), and .* or with a smaller kernel\.max_molecules in the recipe"
    )
    with pytest.raises(InputError, match=message):
        memory.MemoryWatch("t.csv", compared=6_000).add(6_000, 100_000_000)


def test_as_many_matrices_are_counted_as_there_are():
    counts = sparse_random(600, 400, density=0.05, random_state=0, format="csr")
    labels = np.random.default_rng(0).random(600)
    tracemalloc.start()
    try:
        _fit_ridge(counts, labels, 10.0, KernelRecipe())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / (8 * 600**2) == pytest.approx(memory._MATRICES, rel=0.1)


def test_a_table_from_the_cache_is_refused_too(free, monkeypatch, tmp_path, nci_file):
    monkeypatch.setattr(dataset, "cache_directory", lambda: tmp_path)
    monkeypatch.setattr(dataset, "_LEAST_ROWS", 10)
    featurizer = Featurizer(preset("simple", max_pair_distance=2))
    assay = AssayTable(write_labelled(tmp_path / "t.csv", 20), TASKS, MoleculeParser(), featurizer)
    read_or_load(assay)
    free("MemAvailable: 0 kB\n")
    monkeypatch.setattr(memory, "_LEAST", 100)
    with pytest.raises(InputError, match="the first 20 molecules need"):
        read_or_load(assay)


def test_small_tables_never_are(free, monkeypatch, tmp_path, nci_file):
    free("MemAvailable: 0 kB\n")
    featurizer = Featurizer(preset("simple", max_pair_distance=2))
    assay = AssayTable(write_labelled(tmp_path / "t.csv", 20), TASKS, MoleculeParser(), featurizer)
    assert len(read_training_data(assay)) == 20
    monkeypatch.setattr(memory, "_LEAST", 100)
    with pytest.raises(InputError, match="the first 20 molecules need"):
        read_training_data(assay)
