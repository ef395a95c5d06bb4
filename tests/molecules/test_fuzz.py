"""A small run of `tests/benchmarks/fuzz.py`: nothing ends a run, and no row is lost."""

from __future__ import annotations

import random
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


def test_features_are_the_same_alone_and_together(small_committee) -> None:
    tallies = fuzzing.fuzz_features(120, 1, small_committee.schema)
    assert_harmless(tallies, 120)
    assert tallies["features"].molecules > 10


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("fuzz", [fuzzing.fuzz_stores, fuzzing.fuzz_models, fuzzing.fuzz_parts])
def test_damaged_files_of_molig_change_nothing_or_are_refused(fuzz, tmp_path, small_model_dir) -> None:
    tallies = fuzz(24, 1, tmp_path, small_model_dir)
    assert_harmless(tallies, 48 if fuzz is fuzzing.fuzz_parts else 24)
    assert sum(tally.refused for tally in tallies.values()) > 5


@pytest.mark.parametrize("name", ["small", "committee"])
def test_descriptions_are_mutated_at_every_depth(name: str) -> None:
    text = (Path(__file__).parents[1] / "support" / "models" / name / "model.json").read_text()
    found = {fuzzing.mutated_json(text, random.Random(seed)) for seed in range(200)}
    assert len(found) > 180
