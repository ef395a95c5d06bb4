from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from molig.molecules import StandardizationPolicy, standardize
from molig.molecules.standardize import add_hydrogens, input_atom_indices, is_standard, to_parent

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
    "radical": "C[CH]C",
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
    "nitrate": "[O-][N+](=O)[O-]",
    "azide": "CN=[N+]=[N-]",
    "ylide": "C[N+](C)(C)[CH2-]",
    "Grignard": "C[Mg]Br",
    "selenium": "C[Se]C",
    "dummy": "[*]C",
    "hydride": "[H]B([H])[H-]",
    "deuterium": "[2H]OC",
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
    """Compare the short cut with RDKit where it is taken and the whole way where not; return its share."""
    short = total = 0
    with rdBase.BlockLogs():
        for text in smiles:
            mol = Chem.MolFromSmiles(text)
            if mol is None:
                continue
            total += 1
            result = standardize(mol, StandardizationPolicy.PARENT)
            assert fingerprint(result) == fingerprint(reference(mol)), text
            short += result is mol
            origin = input_atom_indices(result)
            assert len(set(origin)) == len(origin), text
            elements = [mol.GetAtomWithIdx(i).GetAtomicNum() for i in origin]
            assert elements == [a.GetAtomicNum() for a in result.GetAtoms()], text
    return short / total


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
    mol = Chem.MolFromSmiles("CCO.C")
    assert Chem.MolToSmiles(standardize(mol, StandardizationPolicy.PARENT)) == "CCO"


def test_metal_complexes_lose_their_metal_as_in_rdkit() -> None:
    smiles = "C1C[N+]23CCC[N+]4(C1)CC[S-]1[Fe+2]24([SH+]CC3)[S-]2CC[N+]34CCC[N+]5(CCC3)CC[SH+][Fe+2]1254"
    mol = Chem.MolFromSmiles(smiles)
    assert fingerprint(to_parent(mol)) == fingerprint(reference(mol))


def test_input_is_not_changed() -> None:
    mol = Chem.MolFromSmiles("[Na+].CC(=O)[O-]")
    before = fingerprint(mol)
    to_parent(mol)
    assert fingerprint(mol) == before
    assert input_atom_indices(mol) == list(range(5))


def test_result_is_stable() -> None:
    # RDKit writes a neutralised hydride with one hydrogen atom left, which a second pass merges.
    examples = {**STANDARD, **NOT_STANDARD}
    del examples["hydride"]
    for smiles in examples.values():
        once = to_parent(Chem.MolFromSmiles(smiles))
        assert Chem.MolToSmiles(to_parent(once)) == Chem.MolToSmiles(once), smiles


def test_policy_none_returns_the_molecule_itself() -> None:
    mol = Chem.MolFromSmiles("[Na+].CC(=O)[O-]")
    assert standardize(mol, StandardizationPolicy.NONE) is mol


def test_equals_rdkit_on_the_nci_compounds(nci_smiles: list[str]) -> None:
    assert assert_equals_reference(nci_smiles[::2]) > 0.85


@pytest.mark.data
@pytest.mark.parametrize("name", ["tox21", "hts_3clpro_aid1706"])
def test_equals_rdkit_on_screening_sets(data_dir: Path, name: str) -> None:
    smiles = pq.read_table(data_dir / f"{name}.parquet", columns=["smiles"])["smiles"].to_pylist()
    assert assert_equals_reference(smiles[:: max(1, len(smiles) // 3000)]) > 0.85


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
