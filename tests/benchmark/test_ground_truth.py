"""Reading ground truth: small files of each kind, damaged ones, and the published sets themselves."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from molig.benchmark import ground_truth_sets, read_ground_truth
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import Objective

LOGIC7 = {
    "mol_id": ["a", "b"],
    "smiles": ["FCC=O", "CC"],
    "label": [1, 0],
    "split": ["train", "test"],
    "atom_attribution": [[[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]], [[0.0, 0.0]]],
}
SMARTS = {
    "benzene": ["c1ccccc1"],
    "logic7": ["[FX1]", "[CX3]=O"],
    "logic10": ["[NX3;H2]", "[OD2](C)C", "[cX3]1[cX3H][cX3H][cX3H][cX3H][cX3H]1"],
    "N": ["[#7]"],
    "N_plus_O": ["[#7,#8]"],
    "amide": ["NC=O"],
}


def write(directory, name="attr_logic7.parquet", **changes):
    pq.write_table(pa.table({**LOGIC7, **changes}), directory / name)


def test_alternatives_are_rows(tmp_path):
    write(tmp_path)
    truth = read_ground_truth("logic7", tmp_path)
    assert truth.ids == ("a", "b")
    assert truth.targets.tolist() == [1.0, 0.0]
    assert [t.shape for t in truth.truths] == [(2, 4), (1, 2)]
    assert truth.truths[0].tolist() == LOGIC7["atom_attribution"][0]


def test_parts_and_tables(tmp_path):
    write(tmp_path)
    test = read_ground_truth("logic7", tmp_path).part("test")
    assert test.to_frame().to_dict("list") == {
        "id": ["b"],
        "smiles": ["CC"],
        "label": [0.0],
        "split": ["test"],
    }
    with pytest.raises(UnknownNameError, match="unknown part"):
        test.part("tset")


def test_the_directory_comes_from_the_environment(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setenv("MOLIG_DATA_DIR", str(tmp_path))
    assert len(read_ground_truth("logic7")) == 2
    monkeypatch.delenv("MOLIG_DATA_DIR")
    with pytest.raises(UsageError, match=r"MOLIG_DATA_DIR.*attr_logic7.parquet.*graph-attribution"):
        read_ground_truth("logic7")


def test_a_missing_file_says_where_it_comes_from(tmp_path):
    with pytest.raises(
        InputError, match=r"ibenchmark_N\.parquet: no such file.*github.com/ci-lab-cz/ibenchmark"
    ):
        read_ground_truth("N", tmp_path)


def test_damaged_files_are_refused(tmp_path):
    (tmp_path / "attr_logic7.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_ground_truth("logic7", tmp_path)
    pq.write_table(pa.table({"smiles": ["C"]}), tmp_path / "attr_logic7.parquet")
    with pytest.raises(InputError, match=r"no column 'mol_id' .columns: smiles"):
        read_ground_truth("logic7", tmp_path)


@pytest.mark.parametrize("value", [[[1.0, 0.0], [1.0]], [], None, [[1.0, None]]])
def test_truths_that_are_not_one_number_per_atom_are_refused(tmp_path, value):
    write(tmp_path, atom_attribution=[LOGIC7["atom_attribution"][0], value])
    with pytest.raises(InputError, match="'atom_attribution' of molecule b"):
        read_ground_truth("logic7", tmp_path)


def test_foreign_parts_are_refused(tmp_path):
    write(tmp_path, split=["train", "valid"])
    with pytest.raises(InputError, match="'split' holds 'valid'"):
        read_ground_truth("logic7", tmp_path)


@pytest.mark.parametrize("smiles", ["CCC", "C(", "CC.C"])
def test_molecules_must_have_the_atoms_of_their_truth(tmp_path, smiles):
    write(tmp_path, smiles=["FCC=O", smiles])
    with pytest.raises(InputError, match=r"molecule b .* has a truth for 2 atoms"):
        read_ground_truth("logic7", tmp_path).molecule(1)


@pytest.mark.parametrize("name", list(SMARTS))
def test_published_truth_is_what_the_rule_marks(data_dir, name):
    """Some explanation marks all atoms of all matches, and none marks other atoms."""
    test = read_ground_truth(name, data_dir).part("test")
    patterns = [Chem.MolFromSmarts(smarts) for smarts in SMARTS[name]]
    for row in range(0, len(test), 10):
        mol = test.molecule(row)
        matches = [mol.GetSubstructMatches(pattern) for pattern in patterns]
        marked = {atom for found in matches for match in found for atom in match} if all(matches) else set()
        truth = test.truths[row]
        assert set(np.flatnonzero(truth.max(axis=0))) == marked
        assert truth.sum(axis=1).max() == len(marked)
        if test.description.objective is Objective.CLASSIFICATION:
            assert test.targets[row] == bool(marked)


def test_crippen_covers_hydrogens_and_adds_up(data_dir):
    test = read_ground_truth("crippen", data_dir).part("test")
    for row in range(0, len(test), 20):
        contributions = [logp for logp, _ in rdMolDescriptors._CalcCrippenContribs(test.molecule(row))]
        assert test.truths[row][0] == pytest.approx(contributions, abs=1e-6)
        assert test.truths[row].sum() == pytest.approx(test.targets[row], abs=1e-4)


def test_every_set_has_a_test_part(data_dir):
    sizes = {name: len(read_ground_truth(name, data_dir).part("test")) for name in ground_truth_sets()}
    assert sizes == {
        "benzene": 2000, "logic7": 486, "logic10": 969, "crippen": 226,
        "N": 2999, "N_plus_O": 3000, "amide": 3001, "amide_class": 3000,
    }  # fmt: skip
