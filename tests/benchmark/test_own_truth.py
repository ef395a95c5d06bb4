"""Truths of one's own: both formats, alternatives, bonds, hydrogens, and rows that do not fit."""

import json

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from molig.benchmark import read_own_truth
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import Objective
from molig.molecules import Hydrogens

# Ethanol: only its oxygen, or its oxygen and the carbon that bears it; ethane: nothing.
TABLE = {
    "smiles": ["CCO", "CC"],
    "label": [1, 0],
    "atom_truth": [[[0, 0, 1], [0, 1, 1]], [0, 0]],
    "bond_truth": [[0, 1], [0]],
    "split": ["train", "test"],
}


@pytest.fixture
def written(tmp_path):
    def write(kind="parquet", without=(), **changes):
        columns = {name: values for name, values in {**TABLE, **changes}.items() if name not in without}
        path = tmp_path / f"mine.{kind}"
        listed = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
        for column in {"atom_truth", "bond_truth"} & set(columns):
            as_text = kind == "csv"
            # Parquet wants one type: everything a list of lists.
            listed[column] = [
                (json.dumps(v) if as_text else (v if isinstance(v[0], list) else [v]))
                if isinstance(v, list) and v
                else v
                for v in columns[column]
            ]
        if kind == "csv":
            listed.to_csv(path, index=False)
        else:
            listed.astype({"label": float} if "label" in columns else {}).to_parquet(path, index=False)
        return path

    return write


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_layout(written, kind):
    truth = read_own_truth(written(kind))
    assert truth.smiles == ("CCO", "CC")
    assert truth.ids == ("1", "2")
    assert truth.targets.tolist() == [1.0, 0.0]
    assert truth.parts.tolist() == ["train", "test"]
    assert [one.tolist() for one in truth.truths] == [[[0, 0, 1], [0, 1, 1]], [[0, 0]]]
    assert [one.tolist() for one in truth.bond_truths] == [[[0, 1]], [[0]]]
    assert truth.description.name == "mine"
    assert truth.description.objective is Objective.CLASSIFICATION
    assert truth.description.metrics == ("attribution_auroc", "jaccard", "bond_auroc", "flat", "flat_bonds")
    assert truth.take([1]).bond_truths[0].tolist() == [[0]]
    assert truth.molecule(0).GetNumAtoms() == 3


def test_what_may_be_left_out(written):
    truth = read_own_truth(written(without=("bond_truth", "split", "label")))
    assert set(truth.parts) == {"test"}
    assert np.isnan(truth.targets).all()
    assert truth.bond_truths == ()
    assert "bond_auroc" not in truth.description.metrics


def test_columns_of_other_names(written):
    path = written(
        without=("smiles", "label"), structure=TABLE["smiles"], active=TABLE["label"], id=["a", "b"]
    )
    truth = read_own_truth(path, smiles_column="structure", label_column="active")
    assert truth.description.target == "active"
    assert truth.ids == ("a", "b")
    with pytest.raises(InputError, match=r"no column 'smiles' .*--smiles-column"):
        read_own_truth(path)
    with pytest.raises(UnknownNameError, match="did you mean 'structure'"):
        read_own_truth(path, smiles_column="strcture")


def test_hydrogens_count_where_every_row_has_them(written):
    truths = [[0.0] * Chem.AddHs(Chem.MolFromSmiles(smiles)).GetNumAtoms() for smiles in TABLE["smiles"]]
    truth = read_own_truth(written(without=("bond_truth",), atom_truth=truths))
    assert truth.description.hydrogens is Hydrogens.EXPLICIT
    with pytest.raises(InputError, match=r"row 2 .*atom_truth has 8 numbers, the molecule 2 atoms"):
        read_own_truth(written(without=("bond_truth",), atom_truth=[[0, 0, 1], truths[1]]))


def test_values_are_contributions(written):
    truth = read_own_truth(
        written(without=("bond_truth",), label=[0.5, -1.2], atom_truth=[[0.1, 0.1, 0.3], [-0.6, -0.6]])
    )
    assert truth.description.objective is Objective.REGRESSION
    assert truth.description.metrics == ("kendall_tau", "flat")
    with pytest.raises(InputError, match="row 1: several explanations"):
        read_own_truth(written(without=("bond_truth",), atom_truth=[[[0.1, 0, 0.3], [0, 0, 1]], [0, 0]]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"atom_truth": [[0, 0, 1, 0], [0, 0]]},
            r"row 1 .'CCO'.: atom_truth has 4 numbers, the molecule 3 atoms",
        ),
        ({"atom_truth": [[0, 0], [0]]}, r"row 1 .*; 1 more row does not fit"),
        ({"bond_truth": [[0, 1], [0, 0]]}, r"row 2 .'CC'.: bond_truth has 2 numbers, the molecule 1 bonds"),
        ({"smiles": ["CCO", "C(C"]}, r"row 2 .'C\(C'.: RDKit cannot read the SMILES"),
        ({"smiles": ["CCO", ""]}, "row 2 .''.: RDKit cannot read"),
        ({"atom_truth": [[0, 0, 1], "0 0"]}, "row 2 .*atom_truth is '0 0', not one number per atom"),
        ({"atom_truth": [[0, 0, 1], "[0, null]"]}, "row 2 .*not one number per atom"),
        ({"atom_truth": [[0, 0, 1], "[[0, 0], [0]]"]}, "row 2 .*not one number per atom"),
        ({"label": [1, "high"]}, "row 2: label is 'high', not a number"),
        ({"split": ["train", "valid"]}, "row 2: split is 'valid'; only train and test"),
    ],
)
def test_rows_that_do_not_fit_are_named(written, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        read_own_truth(written("csv", **changes))
    assert "mine.csv" in str(caught.value)


def test_files_that_do_not_fit(tmp_path, written):
    with pytest.raises(InputError, match="no column 'atom_truth'"):
        read_own_truth(written(without=("atom_truth",)))
    with pytest.raises(InputError, match="holds no molecule"):
        read_own_truth(written("csv", smiles=[], label=[], atom_truth=[], bond_truth=[], split=[]))
    (tmp_path / "mine.xlsx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"read from \.parquet, \.csv"):
        read_own_truth(tmp_path / "mine.xlsx")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"broken\.parquet: cannot be read"):
        read_own_truth(tmp_path / "broken.parquet")
