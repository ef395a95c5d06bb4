"""Truths made by rules, of molecules whose parts can be told by eye; and the sets from the library."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem

from molig.benchmark import read_rule_set, rule_sets
from molig.benchmark.recipe import default_benchmark_recipe
from molig.benchmark.rules import Rule, known_rule, labelled, rule_groups
from molig.errors import InputError, UnknownNameError, UsageError


def marks(name, smiles):
    return known_rule(name).marks(Chem.MolFromSmiles(smiles))


def atoms_of(found):
    return {tuple(np.flatnonzero(row).tolist()) for row in found.atoms}


@pytest.mark.parametrize(
    ("name", "smiles", "atoms", "n_bonds"),
    [
        ("has_B", "CB(O)O", (1,), 0),
        ("has_P", "CP(C)(C)=O", (1,), 0),
        ("has_X", "FCCCl", (0, 3), 0),
        ("has_indole", "Cc1c[nH]c2ccccc12", tuple(range(1, 10)), 10),
        ("rings4", "C1CC1C1CC1C1CC1C1CC1C", tuple(range(12)), 12),
        ("ring7", "C1CCCCCC1CC1CC1", tuple(range(7)), 7),
    ],
)
def test_presences_mark_all_places_together(name, smiles, atoms, n_bonds):
    found = marks(name, smiles)
    assert found.holds
    assert atoms_of(found) == {atoms}
    assert found.bonds.sum() == n_bonds


@pytest.mark.parametrize("name", rule_groups()["null"])
def test_where_a_presence_fails_nothing_matters(name):
    found = marks(name, "CCOC(C)=O")
    assert not found.holds
    assert not found.atoms.any()
    assert found.atoms.shape == (1, 6)


def test_pains_marks_the_atoms_of_the_alert():
    found = marks("has_PAINS", "O=C1C=CC(=O)C=C1CCC")  # a quinone
    assert found.holds
    (marked,) = atoms_of(found)
    assert set(range(8)) >= set(marked) >= {0, 1, 4, 5}
    assert not set(marked) & {8, 9, 10}


def test_every_choice_of_places_is_an_explanation():
    """Fluorine, carbonyl and pyrazole: with two fluorines there are three right explanations."""
    found = marks("triple5", "FC(F)C(=O)c1cn[nH]c1")
    carbonyl, ring = (3, 4), tuple(range(5, 10))
    assert atoms_of(found) == {(0, *carbonyl, *ring), (2, *carbonyl, *ring), (0, 2, *carbonyl, *ring)}
    # The bonds are those of the ring and C=O; a lone fluorine has none.
    assert {row.sum() for row in found.bonds} == {6}
    assert found.n_parts == 3


def test_decoys_hold_all_parts_but_one():
    found = marks("triple5", "FC(F)c1cn[nH]c1")
    assert (found.holds, found.n_parts) == (False, 2)
    assert not found.atoms.any()


def test_distance_is_counted_between_the_nearest_atoms():
    eight = "NCCCc1ccc(F)cc1"  # N C C C c c c c F: eight bonds
    found = marks("distant", eight)
    assert found.holds
    assert atoms_of(found) == {(0, 8)}
    other = marks("distant", "NCCc1ccc(F)cc1")
    assert (other.holds, other.n_parts) == (False, 2)


def test_too_many_right_explanations_are_passed_over():
    eleven = f"COC(=O)c1ccc({'C(F)(F)' * 5}F)nc1"  # 2,047 choices of fluorines
    assert known_rule("triple9").marks(Chem.MolFromSmiles(eleven)) is None


@pytest.fixture
def tiny():
    """A rule with few molecules of each kind, and a library that has them."""
    rule = Rule(
        "tiny",
        "a fluorine, an oxygen and a nitrogen",
        ("F", "O", "N"),
        "choosing",
        n_true=5,
        n_decoys=6,
        n_others=4,
    )
    library = [
        f"{head}{'C' * n}" for n in range(3, 12) for head in ("FC(O)(N)", "FC(O)", "C", "N(O)", "C(.N")
    ]
    return rule, library


def test_molecules_are_drawn_until_there_are_enough_of_each_kind(tiny):
    rule, library = tiny
    frame = labelled(rule, library)
    again = labelled(rule, library)
    assert frame.equals(again)
    assert frame["label"].sum() == 5
    assert len(frame) == 15
    decoys = frame["smiles"].str.contains("[FN]") & frame["smiles"].str.contains("O") & (frame["label"] == 0)
    assert decoys.sum() == 6
    assert (frame["split"] == "test").sum() == 3
    assert frame["smiles"].is_unique


def test_a_library_without_the_parts_is_refused(tiny):
    with pytest.raises(InputError, match="needs molecules with and without a fluorine"):
        labelled(tiny[0], ["CCC", "CCCC"])


def test_sets_are_kept_in_the_cache(tmp_path, monkeypatch):
    smiles = [f"{'F' * (n % 2)}{'C' * (2 + n // 2)}" for n in range(20)]
    library = tmp_path / "library_moses_1m.parquet"
    pq.write_table(pa.table({"smiles": smiles}), library)
    monkeypatch.setenv("MOLIG_CACHE_DIR", str(tmp_path / "cache"))
    first = read_rule_set("has_X", tmp_path)
    (kept,) = (tmp_path / "cache" / "rules").iterdir()
    at = kept.stat().st_mtime_ns
    second = read_rule_set("has_X", tmp_path)
    assert kept.stat().st_mtime_ns == at
    assert first.smiles == second.smiles
    assert all(np.array_equal(a, b) for a, b in zip(first.truths, second.truths, strict=True))
    assert first.description == rule_sets()["has_X"]
    assert [bool(truth.any()) for truth in first.truths] == [bool(label) for label in first.targets]
    # Another library is another set, and a damaged file is made again.
    kept.write_bytes(b"PAR1")
    assert read_rule_set("has_X", tmp_path).smiles == first.smiles
    pq.write_table(pa.table({"smiles": smiles[:10]}), library)
    assert len(read_rule_set("has_X", tmp_path)) == 10


def test_what_is_not_there_is_named(tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="unknown rule 'triple'"):
        read_rule_set("triple", tmp_path)
    with pytest.raises(InputError, match=r"library_moses_1m\.parquet: no such file"):
        read_rule_set("triple1", tmp_path)
    monkeypatch.delenv("MOLIG_DATA_DIR", raising=False)
    with pytest.raises(UsageError, match="MOLIG_DATA_DIR"):
        read_rule_set("triple1")


def test_groups_hold_every_rule_once_and_have_a_recipe():
    groups = rule_groups()
    names = [name for some in groups.values() for name in some]
    assert sorted(names) == sorted(rule_sets())
    assert len([name for name in names if name.startswith("triple")]) == 9
    for what in rule_sets().values():
        default_benchmark_recipe(what).check_fits(what)


@pytest.mark.parametrize("name", ["has_X", "triple3"])
def test_sets_of_the_library(name, data_dir):
    """Labels are those of the patterns, and every atom that some explanation marks is in a match."""
    truth = read_rule_set(name, data_dir)
    rule = known_rule(name)
    patterns = [Chem.MolFromSmarts(part) for part in rule.parts]
    for row in range(0, len(truth), 25):
        mol = truth.molecule(row)
        matches = [mol.GetSubstructMatches(pattern) for pattern in patterns]
        marked = {atom for found in matches for match in found for atom in match} if all(matches) else set()
        assert set(np.flatnonzero(truth.truths[row].max(axis=0)).tolist()) == marked
        assert truth.targets[row] == bool(marked)
