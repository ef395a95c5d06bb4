"""SD files with scores, read back by RDKit; scripts for PyMOL, run by it where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from rdkit import Chem
from support.explanations import made_up, mixed, parsed

from molig.features import preset
from molig.molecules import Hydrogens, Record
from molig.report.molecule_table import MOLECULE_SCHEMA
from molig.report.structures import INPUT_ATOM, SCORE, pymol_script, sd_text

SIMPLE = preset("simple")


def read(text: str) -> list[Chem.Mol]:
    supplier = Chem.SDMolSupplier()
    supplier.SetData(text, removeHs=False)
    return list(supplier)


@pytest.mark.parametrize("hydrogens", list(Hydrogens))
@pytest.mark.parametrize("in_3d", [False, True])
def test_rdkit_reads_every_score_at_its_atom_and_bond(hydrogens, in_3d):
    explanations = mixed(SIMPLE, hydrogens)[1]
    mols = read(sd_text(explanations, in_3d=in_3d))
    assert len(mols) == len(explanations)
    for mol, why in zip(mols, explanations, strict=True):
        assert Chem.MolToSmiles(mol) == Chem.MolToSmiles(
            Chem.MolFromMolBlock(Chem.MolToMolBlock(why.mol), removeHs=False)
        )
        np.testing.assert_array_equal([a.GetDoubleProp(SCORE) for a in mol.GetAtoms()], why.atom_scores)
        np.testing.assert_array_equal([b.GetDoubleProp(SCORE) for b in mol.GetBonds()], why.bond_scores)
        assert [a.GetIntProp(INPUT_ATOM) for a in mol.GetAtoms()] == why.input_atoms.tolist()
        assert (mol.GetProp("_Name"), mol.GetProp("smiles")) == (why.id, why.smiles)
        total = sum(a.GetDoubleProp(SCORE) for a in mol.GetAtoms()) + float(mol.GetProp("residual"))
        change = float(mol.GetProp("score")) - float(mol.GetProp("baseline_score"))
        assert total == pytest.approx(change, abs=1e-6)


def test_properties_are_the_columns_of_the_table():
    (mol,) = read(
        sd_text([made_up(SIMPLE, parsed(Record(1, "a", "[Na+].CC(=O)[O-]")), members={"forest": 0.5})])
    )
    own = {"atom_scores", "bond_atoms", "bond_scores"}
    named = {name for name in mol.GetPropNames() if "prop." not in name}
    assert named == set(MOLECULE_SCHEMA.names) - own | {"member_forest"}


def test_names_of_any_kind_make_no_records_of_their_own():
    molecule = parsed(Record(1, "x\n$$$$\n> <score>\n9\n\n\x1b[2J", "CCO"))
    (mol,) = read(sd_text([made_up(SIMPLE, molecule)]))
    assert mol.GetNumAtoms() == 3
    assert mol.GetProp("_Name").startswith("x $$$$ > <score> 9")
    script = pymol_script([made_up(SIMPLE, parsed(Record(1, "a\nquit\\\n;quit", "CCO")))], "why.sdf")
    assert not re.search(r"^\W*quit|\\|;", script, re.M)


def test_columns_of_the_input_come_along():
    molecule = parsed(Record(1, "a", "CCO"))
    columns = {"IC50": 12.5, "score": "mine", "a <b>": "x\n$$$$\ny", "": "unnamed", "none": None}
    (mol,) = read(sd_text([made_up(SIMPLE, molecule)], along=[columns]))
    found = {name: mol.GetProp(name) for name in ("IC50", "input.score", "a _b_", "_")}
    assert found == {"IC50": "12.5", "input.score": "mine", "a _b_": "x $$$$ y", "_": "unnamed"}
    assert float(mol.GetProp("score")) == pytest.approx(made_up(SIMPLE, molecule).score)
    assert not mol.HasProp("none")


def test_coordinates_of_the_user_are_kept_and_others_are_found():
    block = Chem.MolFromMolBlock(Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")))
    block.GetConformer().SetAtomPosition(0, (7.0, 8.0, 9.0))
    block.GetConformer().Set3D(True)
    given = made_up(SIMPLE, parsed(Record(1, "a", "CCO", mol=block)))
    found = made_up(SIMPLE, parsed(Record(2, "b", "CCCCO")))
    for in_3d in (False, True):
        one, other = read(sd_text([given, found], in_3d=in_3d))
        assert tuple(one.GetConformer().GetAtomPosition(0)) == (7.0, 8.0, 9.0)
        assert other.GetConformer().Is3D() == in_3d
    flat = np.array(other.GetConformer().GetPositions())
    assert len(np.unique(flat.round(2), axis=0)) == 5


def test_scores_that_are_all_zero():
    nothing = made_up(SIMPLE, parsed(Record(1, "a", "CCO")))
    nothing.atom_attributions[:] = 0
    nothing.pair_attributions[:] = 0
    assert "minimum=-1, maximum=1" in pymol_script([nothing], "why.sdf")


def test_pymol_colours_atoms_by_their_scores(tmp_path):
    pymol = shutil.which("pymol", path=os.defpath) or shutil.which("pymol")
    if pymol is None:
        pytest.skip("PyMOL is not installed")
    explanations = mixed(SIMPLE)[1]
    (tmp_path / "it's.sdf").write_text(sd_text(explanations, in_3d=True))
    told = "for o in cmd.get_object_list():\n    print('B', *(a.b for a in cmd.get_model(o).atom))"
    told = f"python\n{told}\npython end\n"
    (tmp_path / "why.pml").write_text(pymol_script(explanations, "it's.sdf") + told)
    run = [pymol, "-cq", str(tmp_path / "why.pml")]
    done = subprocess.run(run, capture_output=True, text=True, env={"PATH": os.defpath}, check=False, cwd="/")
    found = [list(map(float, line.split()[1:])) for line in done.stdout.splitlines() if line.startswith("B ")]
    assert len(found) == len(explanations), done.stdout
    for scores, why in zip(found, explanations, strict=True):
        np.testing.assert_allclose(scores, why.atom_scores, rtol=1e-5, atol=1e-5)
