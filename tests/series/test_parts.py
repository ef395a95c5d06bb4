"""Parts of molecules: every atom belongs to one part or to the rest, and sums add up over a set."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from scipy import stats
from support.explanations import made_up, parsed
from support.small_model import nci_smiles

from molig.errors import InputError, UnknownNameError, UsageError
from molig.features import preset
from molig.molecules import Hydrogens, Record
from molig.series import Divided, PartSums, RGroups, ScoredAtoms, divider
from molig.stats.intervals import mean_estimate

SCHEMA = preset("simple", max_pair_distance=2)
SERIES = ("Oc1ccccc1C(=O)NC", "COc1ccccc1C(=O)NCC", "Oc1ccc(Cl)cc1C(=O)N1CCCC1", "CCO")


def scored(smiles: str, seed: int = 0, hydrogens: Hydrogens = Hydrogens.IMPLICIT) -> ScoredAtoms:
    return ScoredAtoms.of(made_up(SCHEMA, parsed(Record(seed + 1, f"m{seed}", smiles), hydrogens), seed))


@pytest.mark.parametrize("by", ["groups", "murcko", "brics"])
def test_every_atom_belongs_to_one_part(by):
    divide = divider([by])
    for smiles in [*nci_smiles(40), *SERIES, "C", "C1CC2CCC1CC2"]:
        mol = Chem.MolFromSmiles(smiles)
        mol = mol if mol is not None and "." not in smiles else Chem.MolFromSmiles("CCO")
        atoms = [atom for part in divide(mol) for atom in part.atoms]
        assert sorted(atoms) == list(range(mol.GetNumAtoms())), smiles


def named(by: list[str], smiles: str) -> list[tuple[str, str, tuple[int, ...]]]:
    return [tuple(part) for part in divider(by)(Chem.MolFromSmiles(smiles))]


def test_what_parts_are_called():
    aspirin = "CC(=O)Oc1ccccc1C(=O)O"
    assert [name for _, name, _ in named(["groups"], aspirin)] == [
        "acetate ester",
        "benzene",
        "carboxylic acid",
    ]
    assert named(["murcko"], aspirin) == [
        ("scaffold", "c1ccccc1", (4, 5, 6, 7, 8, 9)),
        ("side chain", "*OC(C)=O", (0, 1, 2, 3)),
        ("side chain", "*C(=O)O", (10, 11, 12)),
    ]
    assert ("piece", "*C(C)=O", (0, 1, 2)) in named(["brics"], aspirin)
    assert named(["murcko"], "CCO") == [("no ring", "CCO", (0, 1, 2))]


def test_of_patterns_the_first_has_an_atom():
    assert named(["C(=O)[OH] acid", "C=O", "[OH]"], "OCC(=O)CC(=O)O") == [
        ("pattern", "acid", (5, 6, 7)),
        ("pattern", "C=O", (2, 3)),
        ("pattern", "[OH]", (0,)),
    ]


@pytest.mark.parametrize(
    ("by", "error", "message"),
    [
        (["c1cc"], UnknownNameError, "unknown SMARTS or way to divide molecules 'c1cc'"),
        (["murko"], UnknownNameError, "did you mean 'murcko'"),
        (["brics", "C=O"], UsageError, "together with others"),
        ([], UsageError, "what to divide"),
    ],
)
def test_ways_that_there_are_not(by, error, message):
    with pytest.raises(error, match=message):
        divider(by)


@pytest.mark.parametrize("hydrogens", Hydrogens)
@pytest.mark.parametrize("by", [["groups"], ["murcko"], ["brics"], ["C(=O)N amide", "[#8]"]])
def test_parts_and_the_rest_add_up(by, hydrogens):
    sums, divide, total = PartSums(), divider(by), 0.0
    for seed, smiles in enumerate(SERIES):
        one = scored(smiles, seed, hydrogens)
        divided = Divided.of(one, divide(one.mol))
        assert sum(score for *_, score in divided.rows()) == pytest.approx(one.score)
        sums.add(divided)
        total += one.score
    frame = sums.to_frame()
    assert frame["kind"].iloc[-1] == "score"
    assert frame["sum"].iloc[-1] == pytest.approx(total)
    assert frame["sum"][:-1].sum() == pytest.approx(total)


def test_a_part_over_a_set():
    sums, divide = PartSums(), divider(["[OH] hydroxyl"])
    expected = []
    for seed, smiles in enumerate(["OCC(O)CO", "CCO", "CCC", "OCC"]):
        one = scored(smiles, seed)
        sums.add(Divided.of(one, divide(one.mol)))
        oxygens = [a.GetIdx() for a in one.mol.GetAtoms() if a.GetAtomicNum() == 8]
        if oxygens:
            expected.append(one.scores[oxygens].sum())
    row = sums.to_frame().iloc[0]
    assert (row["part"], row["molecules"], row["occurrences"]) == ("hydroxyl", 3, 5)
    assert row["mean"] == pytest.approx(np.mean(expected))
    low, high = stats.t.interval(0.95, 2, np.mean(expected), stats.sem(expected))
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert row["example"] == ["m0", "m1", "m3"][int(np.abs(expected).argmax())]


def test_one_value_has_no_interval():
    one = mean_estimate([0.5])
    assert one.value == 0.5
    assert np.isnan([one.low, one.high]).all()


def test_r_groups_take_a_series_apart():
    mols = [Chem.MolFromSmiles(smiles) for smiles in SERIES]
    found = RGroups.of(mols, "c1ccccc1C(=O)N")
    assert found.parts[-1] == []
    for mol, parts in zip(mols[:-1], found.parts, strict=False):
        atoms = [atom for part in parts for atom in part.atoms]
        assert sorted(atoms) == list(range(mol.GetNumAtoms()))
        assert parts[0].kind == "core"
    names = [{part.name for part in parts} for parts in found.parts]
    assert {"*O", "*C", "H"} <= names[0]
    assert {"*OC", "*CC", "H"} <= names[1]
    assert {"*O", "*Cl", "*CCCC*"} <= names[2]


def test_a_bridge_between_two_positions_counts_once():
    mols = [Chem.MolFromSmiles(smiles) for smiles in ("O=C1NCc2ccccc12", "Clc1ccccc1C(=O)NC")]
    bridged = RGroups.of(mols, "c1ccccc1C(=O)N").parts[0]
    assert [part.atoms for part in bridged if "+" in part.kind] == [(3,)]
    assert sorted(atom for part in bridged for atom in part.atoms) == list(range(10))


def test_a_core_is_found():
    found = RGroups.of([Chem.MolFromSmiles(smiles) for smiles in SERIES])  # CCO is the odd one
    assert found.core.GetNumAtoms() >= 6
    assert [bool(parts) for parts in found.parts] == [True, True, True, False]


def test_series_that_cannot_be_taken_apart(tmp_path):
    mols = [Chem.MolFromSmiles(smiles) for smiles in SERIES]
    with pytest.raises(InputError, match="none of the 4 molecules has the core c1ccncc1"):
        RGroups.of(mols, "c1ccncc1")
    with pytest.raises(UsageError, match="no SMARTS"):
        RGroups.of(mols, "c1cc")
    with pytest.raises(InputError, match="no scaffold in common"):
        RGroups.of([Chem.MolFromSmiles(smiles) for smiles in ("CCO", "c1ccncc1")])
