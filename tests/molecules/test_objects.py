"""Molecules and tables of a Python session as records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

import molig
from molig.attribution import Explanations
from molig.errors import InputError, UsageError
from molig.molecules import MoleculeParser, Record, Rejection, records_of

ETHANOL, AMINE = Chem.MolFromSmiles("CCO"), Chem.MolFromSmiles("CCN")


def told(records) -> list[tuple]:
    return [(r.row, r.id, r.smiles, r.kept) for r in records]


class TestMolecules:
    def test_names_and_numbers(self):
        named = Chem.Mol(AMINE)
        named.SetProp("_Name", " amine ")
        found = told(records_of([ETHANOL, named, "C", None]))
        assert found == [(1, "1", "CCO", ()), (2, "amine", "CCN", ()), (3, "3", "C", ()), (4, "4", "", ())]
        assert told(records_of(ETHANOL)) == [(1, "1", "CCO", ())]

    def test_atoms_are_counted_as_they_stand(self):
        """Explicit hydrogens have numbers; the molecule itself stays as it is."""
        mol = Chem.AddHs(Chem.MolFromSmiles("OC"))
        mol = Chem.RenumberAtoms(mol, list(reversed(range(mol.GetNumAtoms()))))
        (record,) = records_of([mol])
        molecule = MoleculeParser().parse(record)
        assert [mol.GetAtomWithIdx(i).GetSymbol() for i in molecule.origin] == ["C", "O"]
        assert (molecule.n_input_atoms, mol.GetNumAtoms()) == (6, 6)

    def test_a_molecule_that_was_scored_before_is_counted_anew(self, small_model):
        salt = molig.explain(small_model, "[Na+].CC(=O)[O-]", task="carbonyl")
        again = molig.explain(small_model, salt.mol, task="carbonyl")
        np.testing.assert_allclose(again.input_atom_scores, again.atom_scores)
        assert again.input_atoms.tolist() == [0, 1, 2, 3]

    def test_one_that_cannot_be_is_rejected_with_its_reason(self):
        wrong = Chem.MolFromSmiles("CN(C)(C)C", sanitize=False)
        (record,) = records_of([wrong])
        rejection = MoleculeParser().parse(record)
        assert isinstance(rejection, Rejection)
        assert rejection.reason.startswith("not parsable: Explicit valence")


class TestTables:
    def test_columns_are_found_and_come_along(self):
        frame = pd.DataFrame(
            {"Name": ["a", None], "SMILES": ["CCO", np.nan], "pIC50": [6.5, np.nan], "mixed": [1, "x"]},
            index=[7, 7],
        )
        records = records_of(frame, keep="all")
        assert told(records) == [(1, "a", "CCO", (6.5, "1")), (2, "2", "", (None, "x"))]
        assert records.kept.names == ["pIC50", "mixed"]

    def test_a_column_of_molecules_where_there_are_no_smiles(self):
        frame = pd.DataFrame({"ROMol": [ETHANOL, None], "ID": [11, 12]})
        assert told(records_of(frame, keep="all")) == [(1, "11", "CCO", ()), (2, "12", "", ())]
        both = frame.assign(smiles=["C", "CC"])
        assert [r.smiles for r in records_of(both, keep="all")] == ["C", "CC"]

    @pytest.mark.parametrize(
        ("frame", "error", "message"),
        [
            (pd.DataFrame({"a": ["CCO"]}), UsageError, "the table: no column looks like SMILES among 'a'"),
            (pd.DataFrame({"smiles": []}), InputError, "the table has no rows"),
        ],
    )
    def test_what_cannot_be_read(self, frame, error, message):
        with pytest.raises(error, match=message):
            records_of(frame)

    def test_a_screen_of_a_table_is_that_of_its_file(self, small_model, tmp_path):
        frame = pd.DataFrame({"smiles": ["CCO", "C1CC", "CCN"], "id": ["a", "b", "c"], "n": [1, 2, 3]})
        frame.to_parquet(tmp_path / "t.parquet")
        of_table, of_file = (
            molig.screen(library, small_model, task="nitrogen") for library in (frame, tmp_path / "t.parquet")
        )
        pd.testing.assert_frame_equal(of_table.hits, of_file.hits)
        pd.testing.assert_frame_equal(of_table.rejections, of_file.rejections)
        assert of_table.hits["n"].tolist() == [1, 3]


class TestNotebooks:
    def test_a_set_shows_itself(self, small_model):
        smiles = ["CCO", ETHANOL, "C1CC<b>", *["CCN"] * 12]
        explained = molig.explain(small_model, smiles, task="carbonyl")
        page = explained._repr_html_()
        assert page.startswith("<svg")
        assert "2 more are not drawn" in page
        assert "row 3 (3) C1CC&lt;b&gt;: " in page
        assert len(explained.to_frame()["row"].unique()) == 14
        assert isinstance(explained, list)

    def test_a_set_of_nothing(self):
        page = Explanations([Rejection(1, "a", "x", "not parsable")])._repr_html_()
        assert page == "<p>no explanations</p><p>row 1 (a) x: not parsable</p>"

    def test_a_path_is_a_file(self, small_model, tmp_path):
        (tmp_path / "l.smi").write_text("CCO ethanol\n")
        (why,) = molig.explain(small_model, tmp_path / "l.smi", task="carbonyl")
        assert why.id == "ethanol"

    def test_a_screen_shows_its_best_rows(self, small_model, tmp_path, capsys):
        some = ["CCO", "CCN", "x", "<b>"]
        page = molig.screen(some, small_model, task="nitrogen")._repr_html_()
        assert "4 rows: 2 scored, 2 rejected" in page
        assert page.index("CCN") < page.index("CCO")
        assert "rows: 2 scored" in molig.screen(some, small_model, task="nitrogen", output="-")._repr_html_()


def test_one_molecule_of_a_record_is_as_it_was(small_model):
    """A SMILES by itself has no id, as before."""
    assert molig.explain(small_model, "CCO", task="carbonyl").id == ""
    assert Record(1, "1", "CCO").id == "1"
