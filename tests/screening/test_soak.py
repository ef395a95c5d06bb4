"""The soak of `tests/benchmarks/screening_soak.py` in short: killed processes, and full disks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.libraries import BAD
from support.small_model import nci_smiles

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from benchmarks.screening_soak import Outcome, Soak

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux")


@pytest.fixture(scope="module")
def soak(tmp_path_factory, small_model_dir, nci_file) -> Soak:
    rows = [*nci_smiles(100, start=1000), *list(BAD)[:5]]
    folder = tmp_path_factory.mktemp("soak")
    return Soak(folder, rows, str(small_model_dir), task="carbonyl", chunk_rows=8)


def good(outcome: Outcome) -> bool:
    return outcome.good


def test_kills_at_random_moments(soak):
    assert good(soak.kills(3))


def test_preparations_killed_at_random_moments(soak):
    assert good(soak.killed_preparations(2))


def test_killed_workers(soak):
    assert good(soak.killed_workers(1))


def test_a_full_disk(soak):
    assert good(soak.full_disk(1))
