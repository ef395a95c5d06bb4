from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

import molig
from molig.molecules import Reason, StandardizationPolicy, standardize
from molig.molecules.reasons import RefusedError
from molig.molecules.standardize import (
    add_hydrogens,
    input_atom_indices,
    is_standard,
    merge_hydrogens,
    to_parent,
    with_removed_parts,
)

SALT_FORMERS = Path(molig.__file__).parent / "molecules" / "salt_formers.csv"

STANDARD = {
    "nitrobenzene": "c1ccccc1[N+](=O)[O-]",
    "pyridine N-oxide": "[O-][n+]1ccccc1",
    "nitrate ester": "CO[N+](=O)[O-]",
    "nitrone": "C[N+]([O-])=CC",
    "amine oxide": "C[N+](C)(C)[O-]",
    "sulfone": "CS(C)(=O)=O",
    "phosphate": "COP(=O)(O)OC",
    "boronic acid": "OB(O)c1ccccc1",
    "silane": "C[Si](C)(C)C",
    "carbon-13": "[13CH3]O",
    "chiral": "C[C@H](N)C(=O)O",
    "double bond": "C/C=C/C",
    "tautomer": "Oc1ccccn1",
}

NOT_STANDARD = {
    "sulfoxide": "CS(C)=O",
    "carboxylate": "CC(=O)[O-]",
    "ammonium": "C[NH3+]",
    "protonated beside N-oxide": "C[NH+](C)[O-]",
    "zwitterion": "[NH3+]CC(=O)[O-]",
    "azide": "CN=[N+]=[N-]",
    "ylide": "C[N+](C)(C)[CH2-]",
    "sodium on oxygen": "CC(=O)O[Na]",
    "selenium": "C[Se]C",
    "dummy": "[*]C",
    "deuterium": "[2H]OC",
}

REFUSED = {
    "nitrate": ("[O-][N+](=O)[O-]", Reason.INORGANIC),
    "sodium chloride": ("[Na+].[Cl-]", Reason.INORGANIC),
    "potassium chloride": ("[K+].[Cl-]", Reason.INORGANIC),
    "potassium chloride with a bond": ("[K]Cl", Reason.INORGANIC),
    "sodium hydroxide": ("[Na+].[OH-]", Reason.INORGANIC),
    "calcium carbonate": ("[Ca+2].[O-]C([O-])=O", Reason.INORGANIC),
    "potassium cyanide": ("[K+].[C-]#N", Reason.INORGANIC),
    "ammonium": ("[NH4+]", Reason.INORGANIC),
    "two waters": ("O.O", Reason.INORGANIC),
    "cisplatin": ("N[Pt](N)(Cl)Cl", Reason.BOUND_METAL),
    "cisplatin with dative bonds": ("N->[Pt](Cl)(Cl)<-N", Reason.BOUND_METAL),
    "platinum first": ("[Pt](Cl)(Cl)(N)N", Reason.BOUND_METAL),
    "ammonia on platinum": ("[NH3]->[Pt]", Reason.BOUND_METAL),
    "ferrocene of ions": ("[CH-]1C=CC=C1.[CH-]1C=CC=C1.[Fe+2]", Reason.BOUND_METAL),
    "ferrocene of aromatic ions": ("[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1", Reason.BOUND_METAL),
    "zinc acetate with bonds": ("CC(=O)O[Zn]OC(C)=O", Reason.BOUND_METAL),
    "Grignard": ("C[Mg]Br", Reason.BOUND_METAL),
    "butyllithium": ("[Li]CCCC", Reason.BOUND_METAL),
    "butyllithium of ions": ("[Li+].[CH2-]CCC", Reason.BOUND_METAL),
    "tributyltin": ("CCCC[Sn](CCCC)(CCCC)Cl", Reason.BOUND_METAL),
    "methylmercury": ("C[Hg]Cl", Reason.BOUND_METAL),
    "dichromate": ("O=[Cr](=O)([O-])O[Cr](=O)(=O)[O-]", Reason.BOUND_METAL),
    "iron": ("[Fe]", Reason.METAL_ONLY),
    "proton": ("[H+]", Reason.NO_ATOMS),
    "ethyl radical": ("[CH2]C", Reason.RADICAL),
    "ethyl radical of an extension": ("CC |^1:0|", Reason.RADICAL),
    "TEMPO": ("CC1(C)CCCC(C)(C)N1[O]", Reason.RADICAL),
    "charge": ("[C+15]", Reason.CHARGE),
}

PARENTS = {
    # Counter-ions with more atoms, hydrogens included, than the drug (rdkit#4754).
    "tafamidis meglumine": (
        "CNC[C@@H]([C@H]([C@@H]([C@@H](CO)O)O)O)O.c1cc2c(cc1C(=O)O)oc(n2)c3cc(cc(c3)Cl)Cl",
        "O=C(O)c1ccc2nc(-c3cc(Cl)cc(Cl)c3)oc2c1",
        ("meglumine",),
    ),
    "diatrizoate meglumine": (
        "CC(=O)NC1=C(C(=C(C(=C1I)C(=O)O)I)NC(=O)C)I.CNC[C@@H]([C@H]([C@@H]([C@@H](CO)O)O)O)O",
        "CC(=O)Nc1c(I)c(NC(C)=O)c(I)c(C(=O)O)c1I",
        ("meglumine",),
    ),
    "oxtriphylline": (
        "C[N+](C)(C)CCO.Cn1c(=O)c2[n-]cnc2n(C)c1=O",
        "Cn1c(=O)c2[nH]cnc2n(C)c1=O",
        ("choline",),
    ),
    "pyrantel pamoate": (
        "CN1CCCN=C1C=Cc1cccs1.O=C(O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O",
        "CN1CCCN=C1C=Cc1cccs1",
        ("pamoate",),
    ),
    "solvate and hydrate": (
        "O.O.CC(C)O.Cl.CNCCc1ccccc1",
        "CNCCc1ccccc1",
        ("water (2 x)", "2-propanol", "chloride"),
    ),
    # All parts are salt formers: the base is the compound, and else the largest.
    "piperazine citrate": ("C1CNCCN1.OC(=O)CC(O)(CC(=O)O)C(=O)O", "C1CNCCN1", ("citrate",)),
    "sodium acetate": ("[Na+].CC(=O)[O-]", "CC(=O)O", ("sodium",)),
    "sodium acetate with a bond": ("[Na]OC(C)=O", "CC(=O)O", ("sodium",)),
    "zinc acetate of ions": ("CC(=O)[O-].CC(=O)[O-].[Zn+2]", "CC(=O)O", ("acetate", "zinc")),
    "choline chloride": ("C[N+](C)(C)CCO.[Cl-]", "C[N+](C)(C)CCO", ("chloride",)),
    "ammonium acetate": ("CC(=O)[O-].[NH4+]", "CC(=O)O", ("ammonia",)),
    "sodium acetylacetonate": ("CC(=O)[CH-]C(C)=O.[Na+]", "CC(=O)CC(C)=O", ("sodium",)),
    "a counter-ion that is drawn as a radical": (
        "CC1=[N+](C)C=CC=C1.Cl[I]Cl",
        "Cc1cccc[n+]1C",
        ("Cl[I]Cl",),
    ),
    # A neutral molecule by itself is the compound, whatever it is.
    "water": ("O", "O", ()),
    "carbon tetrachloride": ("ClC(Cl)(Cl)Cl", "ClC(Cl)(Cl)Cl", ()),
    "urea": ("NC(N)=O", "NC(N)=O", ()),
}


def reference(mol: Chem.Mol) -> Chem.Mol:
    """RDKit's own functions, as their documentation chains them."""
    result = Chem.RWMol(mol)
    rdMolStandardize.CleanupInPlace(result)
    rdMolStandardize.FragmentParentInPlace(result, rdMolStandardize.CleanupParameters(), skipStandardize=True)
    return rdMolStandardize.Uncharger().uncharge(result)


def fingerprint(mol: Chem.Mol) -> tuple[Any, ...]:
    """Everything a featurizer reads, atom by atom and bond by bond, in order."""
    atoms = [
        (
            a.GetAtomicNum(),
            a.GetFormalCharge(),
            a.GetTotalNumHs(),
            a.GetIsAromatic(),
            str(a.GetChiralTag()),
            str(a.GetHybridization()),
            a.GetNumRadicalElectrons(),
            a.GetIsotope(),
        )
        for a in mol.GetAtoms()
    ]
    bonds = [
        (
            b.GetBeginAtomIdx(),
            b.GetEndAtomIdx(),
            str(b.GetBondType()),
            str(b.GetStereo()),
            b.GetIsConjugated(),
        )
        for b in mol.GetBonds()
    ]
    return Chem.MolToSmiles(mol), atoms, bonds


def assert_equals_reference(smiles: list[str]) -> float:
    """Compare the short cut with RDKit where it is taken and the whole way where not; return its share.

    RDKit keeps the fragment with most atoms, hydrogens included, so of several fragments another one may be
    the parent; what happens to it is compared all the same.
    """
    short = total = 0
    with rdBase.BlockLogs():
        for text in smiles:
            mol = Chem.MolFromSmiles(text)
            if mol is None:
                continue
            total += 1
            try:
                result = standardize(mol, StandardizationPolicy.PARENT)
            except RefusedError:
                continue
            origin = input_atom_indices(result)
            assert len(set(origin)) == len(origin), text
            if not mol.HasSubstructMatch(HYDROGEN):
                whole = reference(fragment_of(mol, origin))
                assert fingerprint(result) == fingerprint(whole), text
            short += result is mol
            elements = [mol.GetAtomWithIdx(i).GetAtomicNum() for i in origin]
            assert elements == [a.GetAtomicNum() for a in result.GetAtoms()], text
    return short / total


HYDROGEN = Chem.MolFromSmarts("[#1]")


def fragment_of(mol: Chem.Mol, atoms: list[int]) -> Chem.Mol:
    """The molecule without its other fragments, and without the bonds of the chosen one to metals."""
    editable = Chem.RWMol(mol)
    for index in sorted(set(range(mol.GetNumAtoms())) - set(atoms), reverse=True):
        for neighbour in editable.GetAtomWithIdx(index).GetNeighbors():
            neighbour.SetFormalCharge(neighbour.GetFormalCharge() - 1)
        editable.RemoveAtom(index)
    Chem.SanitizeMol(editable)
    return editable.GetMol()


@pytest.mark.parametrize("name", STANDARD)
def test_short_cut_is_taken_and_right(name: str) -> None:
    mol = Chem.MolFromSmiles(STANDARD[name])
    assert is_standard(mol)
    assert fingerprint(reference(mol)) == fingerprint(mol)
    assert standardize(mol, StandardizationPolicy.PARENT) is mol


@pytest.mark.parametrize("name", NOT_STANDARD)
def test_short_cut_is_not_taken(name: str) -> None:
    mol = Chem.MolFromSmiles(NOT_STANDARD[name])
    assert not is_standard(mol)
    assert fingerprint(to_parent(mol)) == fingerprint(reference(mol))


def test_short_cut_needs_one_fragment() -> None:
    mol = Chem.MolFromSmiles("CCN.C")
    assert Chem.MolToSmiles(standardize(mol, StandardizationPolicy.PARENT)) == "C"


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_parent_is_refused_with_its_reason(name: str) -> None:
    smiles, reason = REFUSED[name]
    with pytest.raises(RefusedError, match=f"^{reason.value}"):
        standardize(Chem.MolFromSmiles(smiles), StandardizationPolicy.PARENT)


@pytest.mark.parametrize("name", PARENTS)
def test_the_parent_and_what_was_removed(name: str) -> None:
    smiles, expected, removed = PARENTS[name]
    mol = Chem.MolFromSmiles(smiles)
    parent, names = with_removed_parts(mol)
    assert Chem.MolToSmiles(parent, isomericSmiles=False) == expected
    assert names == removed


@pytest.mark.parametrize("name", PARENTS)
@given(seed=st.integers(0, 2**16))
@settings(max_examples=10, deadline=None)
def test_the_parent_does_not_depend_on_the_order_of_atoms(name: str, seed: int) -> None:
    mol = Chem.MolFromSmiles(PARENTS[name][0])
    order = np.random.default_rng(seed).permutation(mol.GetNumAtoms()).tolist()
    parent, names = with_removed_parts(Chem.RenumberAtoms(mol, order))
    assert Chem.MolToSmiles(parent, isomericSmiles=False) == PARENTS[name][1]
    assert sorted(names) == sorted(PARENTS[name][2])


def test_salt_formers_are_compounds_listed_once() -> None:
    rows = list(csv.DictReader(SALT_FORMERS.read_text(encoding="utf-8").splitlines()))
    assert len(rows) > 180
    for row in rows:
        mol = Chem.MolFromSmiles(row["smiles"])
        assert mol is not None, row
        assert len(Chem.GetMolFrags(mol)) == 1, row
        assert row["kind"] in {"inorganic", "solvent", "acid", "base"}, row
    keys = [Chem.MolToSmiles(Chem.MolFromSmiles(row["smiles"])) for row in rows]
    assert [key for key, n in Counter(keys).items() if n > 1] == []


@pytest.mark.parametrize(
    ("smiles", "expected", "origin"),
    [
        ("[2H]c1c([2H])c([2H])c(O)c([2H])c1[2H]", "Oc1ccccc1", [1, 2, 4, 6, 7, 8, 10]),
        ("[3H]C([3H])([3H])Oc1ccccc1", "COc1ccccc1", [1, 4, 5, 6, 7, 8, 9, 10]),
        ("[H]C([H])([H])O[2H]", "CO", [1, 4]),
        ("[2H]O[2H]", "O", [1]),
        ("[13CH3]O", "[13CH3]O", [0, 1]),
    ],
)
def test_labelled_hydrogens_are_hydrogens(smiles: str, expected: str, origin: list[int]) -> None:
    params = Chem.SmilesParserParams()
    params.removeHs = False  # type: ignore[assignment]
    merged = merge_hydrogens(Chem.MolFromSmiles(smiles, params))
    assert Chem.MolToSmiles(merged) == expected
    assert input_atom_indices(merged) == origin


def test_input_is_not_changed() -> None:
    mol = Chem.MolFromSmiles("[Na+].CC(=O)[O-]")
    before = fingerprint(mol)
    to_parent(mol)
    assert fingerprint(mol) == before
    assert input_atom_indices(mol) == list(range(5))


def test_result_is_stable() -> None:
    for smiles in (*STANDARD.values(), *NOT_STANDARD.values()):
        once = to_parent(Chem.MolFromSmiles(smiles))
        assert Chem.MolToSmiles(to_parent(once)) == Chem.MolToSmiles(once), smiles


def test_policy_none_returns_the_molecule_itself() -> None:
    mol = Chem.MolFromSmiles("[Na+].CC(=O)[O-]")
    assert standardize(mol, StandardizationPolicy.NONE) is mol


def test_equals_rdkit_on_the_nci_compounds(nci_smiles: list[str]) -> None:
    assert assert_equals_reference(nci_smiles[::4]) > 0.85


@pytest.mark.data
@pytest.mark.parametrize("name", ["tox21", "hts_3clpro_aid1706"])
def test_equals_rdkit_on_screening_sets(data_dir: Path, name: str) -> None:
    smiles = pq.read_table(data_dir / f"{name}.parquet", columns=["smiles"])["smiles"].to_pylist()
    assert assert_equals_reference(smiles[:: max(1, len(smiles) // 1500)]) > 0.85


@pytest.mark.parametrize("text", [*STANDARD.values(), *NOT_STANDARD.values(), "Cl.CN", "[Na+].CC(=O)[O-]"])
def test_hydrogens_come_behind_the_atoms_that_are_there(text: str) -> None:
    given = Chem.MolFromSmiles(text)
    standard = standardize(given, StandardizationPolicy.PARENT)
    origin = input_atom_indices(standard)
    whole = add_hydrogens(standard)
    plain = Chem.AddHs(standard)
    n, n_added = standard.GetNumAtoms(), plain.GetNumAtoms() - standard.GetNumAtoms()
    assert input_atom_indices(whole) == [*origin, *[-1] * n_added]
    assert [a.GetAtomicNum() for a in whole.GetAtoms()] == [a.GetAtomicNum() for a in plain.GetAtoms()]
    assert [a.GetAtomicNum() for a in whole.GetAtoms()][n:] == [1] * n_added
    assert not any(a.GetTotalNumHs() for a in whole.GetAtoms())
    assert standard.GetNumAtoms() == n  # untouched
    assert input_atom_indices(standard) == origin
