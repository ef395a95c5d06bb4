"""Groups by chemists' names: the table against itself, against RDKit's counts, and on untidy molecules."""

import tomllib
from importlib.resources import files

import pytest
from rdkit import Chem
from rdkit.Chem import Fragments
from support.small_model import nci_smiles

from molig.molecules.groups import FUNCTIONAL, RING, connected_parts, named_groups

TABLE = tomllib.loads(files("molig.molecules").joinpath("groups.toml").read_text())


def names(smiles: str) -> list[str]:
    return [group.name for group in named_groups(Chem.MolFromSmiles(smiles))]


def rings():
    for name, written in TABLE["rings"].items():
        for smiles in [written] if isinstance(written, str) else written:
            yield pytest.param(name, smiles, id=f"{name} {smiles}")


@pytest.mark.parametrize(("name", "smiles"), list(rings()))
def test_every_ring_of_the_table_is_found_by_its_name(name, smiles):
    assert names(smiles) == [name]


def test_every_pattern_is_a_pattern():
    for written in TABLE["groups"].values():
        for smarts in [written] if isinstance(written, str) else written:
            assert Chem.MolFromSmarts(smarts) is not None


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CC(=O)Oc1ccccc1C(=O)O", ["acetate ester", "benzene", "carboxylic acid"]),
        ("O=C1C(Cl)=C(Cl)C(=O)C(Cl)=C1Cl", ["quinone", *["chloro"] * 4]),
        ("CN1C=NC2=C1C(=O)N(C(=O)N2C)C", ["methyl", "xanthine", "methyl", "methyl"]),
        ("CC1(C)SC2C(N)C(=O)N2C1C(=O)O", ["methyl", "penam", "methyl", "primary amine", "carboxylic acid"]),
        ("CC(C)(C)c1ccccc1C(C)C", ["tert-butyl", "benzene", "isopropyl"]),
        ("FC(F)(F)c1cc[nH]c1", ["trifluoromethyl", "pyrrole"]),
        ("CC(=O)N1CCCC1", ["methyl", "amide C=O", "pyrrolidine"]),
        ("C1CCCCCCCCCCC1", ["chain of 12 carbons"]),
        ("O", ["oxygen"]),
        ("C", ["methane"]),
        ("[2H]C([2H])([2H])O", ["methyl", "hydroxyl"]),
        ("[O-][N+](=O)C=C", ["nitro", "alkene"]),
    ],
)
def test_molecules_fall_into_the_groups_that_chemists_see(smiles, expected):
    assert names(smiles) == expected


def test_every_atom_belongs_to_one_group():
    for smiles in nci_smiles(60):
        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            continue
        groups = named_groups(mol)
        assert sorted(atom for group in groups for atom in group.atoms) == list(range(mol.GetNumAtoms()))
        for group in groups:
            assert len(connected_parts(mol, group.atoms)) == 1


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("nitro", Fragments.fr_nitro),
        ("nitrile", Fragments.fr_nitrile),
        ("azide", Fragments.fr_azide),
        ("aldehyde", Fragments.fr_aldehyde),
        ("isothiocyanate", Fragments.fr_isothiocyan),
    ],
)
def test_groups_are_counted_as_by_rdkit(name, count):
    for smiles in [*nci_smiles(150), "N#Cc1ccccc1N=[N+]=[N-]", "O=CC(=O)CN=C=S"]:
        mol = Chem.MolFromSmiles(smiles)
        if mol is not None:
            found = [group for group in named_groups(mol) if group.name == name]
            assert len(found) == count(mol), smiles
            assert all(group.kind == FUNCTIONAL for group in found)


def test_order_of_atoms_does_not_matter():
    mol = Chem.MolFromSmiles("O=C(Nc1ccc2ncccc2c1)C1CCN(S(=O)(=O)C)CC1")
    order = list(reversed(range(mol.GetNumAtoms())))
    turned = named_groups(Chem.RenumberAtoms(mol, order))
    back = {(group.name, tuple(sorted(order[atom] for atom in group.atoms))) for group in turned}
    assert back == {(group.name, group.atoms) for group in named_groups(mol)}


def test_unknown_ring_systems_are_counted():
    (group,) = named_groups(Chem.MolFromSmiles("C1CC2CC1CC2C1CC1"))[:1]
    assert group.kind == RING
    (fused,) = named_groups(Chem.MolFromSmiles("C1CC2C1SC1NCC12"))
    assert (fused.name, fused.generic) == ("3 fused rings", True)
