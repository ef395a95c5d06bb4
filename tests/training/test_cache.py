"""Featurized tables on disk: the same data, made again where anything differs or a file is damaged."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from support.small_model import TASKS, label, nci_smiles

from molig.features import Featurizer, PackedGraphs, preset
from molig.molecules import MoleculeParser
from molig.training import dataset as cache
from molig.training.dataset import read_or_load
from molig.training.recipe import ConflictPolicy


@pytest.fixture
def table(tmp_path, nci_file, monkeypatch):
    """Thirty molecules, a copy with other labels, and a row that cannot be read."""
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_LEAST_ROWS", 10)
    rows = [{"smiles": s, **label(s)} for s in nci_smiles(30)]
    rows += [{**rows[0], TASKS[0]: 1 - rows[0][TASKS[0]]}, {"smiles": "no molecule", **label("C")}]
    path = tmp_path / "table.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def read(table, name="simple", **options):
    return read_or_load(
        table, TASKS, MoleculeParser(), Featurizer(preset(name, max_pair_distance=2)), **options
    )


def files(tmp_path):
    return sorted((tmp_path / "cache" / "features").glob("*"))


def test_what_is_loaded_is_what_was_read(table, tmp_path, monkeypatch):
    first = read(table)
    monkeypatch.setattr(cache, "read_training_data", lambda *a, **k: pytest.fail("read again"))
    again = read(table)
    assert len(files(tmp_path)) == 1
    for field in fields(PackedGraphs):
        one, other = getattr(first.graphs, field.name), getattr(again.graphs, field.name)
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    np.testing.assert_array_equal(first.labels, again.labels)
    for name in ("smiles", "rejections", "tasks", "given_parts", "conflicts"):
        assert getattr(first, name) == getattr(again, name)
    assert again.rejections[0].row == 32
    assert again.conflicts.molecules == 1


def test_anything_that_differs_is_another_file(table, tmp_path):
    read(table)
    read(table, "full")
    read(table, conflicts=ConflictPolicy.DROP)
    table.write_text(table.read_text() + "CCO,0,0\n")
    assert len(read(table)) == 32
    assert len(files(tmp_path)) == 4


def test_an_option_that_is_said_is_no_other_than_its_default(table, tmp_path):
    read(table)
    read(table, conflicts=ConflictPolicy.KEEP, smiles_column=None)
    assert len(files(tmp_path)) == 1


def test_a_damaged_file_is_made_again(table, tmp_path):
    first = read(table)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    assert read(table).smiles == first.smiles
    assert path.stat().st_size > 1000


def test_a_cache_that_cannot_be_written_costs_nothing(table, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path / "file"))
    assert len(read(table)) == 31


def test_progress_counts_all_rows(table):
    for _ in range(2):
        counted = []
        read(table, progress=counted.append)
        assert sum(counted) == 32
