"""A small run of `tests/benchmarks/fuzz.py`: nothing ends a run, and no row is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from rdkit import rdBase
from support import fuzzing


def assert_harmless(tallies: fuzzing.Tallies, tries: int) -> None:
    for name, tally in tallies.items():
        assert (tally.undocumented, tally.lost) == (0, 0), f"{name}: {tally.examples}"
    assert sum(tally.tries for tally in tallies.values()) == tries


def test_mutated_smiles_are_molecules_or_rejections() -> None:
    tallies = fuzzing.fuzz_smiles(1500, seed=1)
    assert_harmless(tallies, 1500)
    assert sum(tally.molecules + tally.rejections for tally in tallies.values()) == 1500
    assert all(tally.rejections for tally in tallies.values())  # every class does harm


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mutated_files_are_rows_or_an_error_of_molig(tmp_path: Path) -> None:
    with rdBase.BlockLogs():
        tallies = fuzzing.fuzz_files(72, seed=1, folder=tmp_path)
    assert_harmless(tallies, 72)
    assert sum(tally.molecules for tally in tallies.values()) > 100
