"""The example files are what they are said to be."""

from __future__ import annotations

import pandas as pd
from rdkit import Chem, rdBase
from support.small_model import NCI_FILE

from molig.audit.inputs import held_out_file
from molig.datasets.examples import example_files
from molig.datasets.places import find_dataset
from molig.model import load_model
from molig.training import read_recipe

MODEL = "tox21-w2n2-simple"


def labelled() -> pd.DataFrame:
    return pd.read_csv(example_files()["labelled.csv"], index_col="id")


def test_names_of_the_files():
    assert list(example_files()) == ["library.smi", "labelled.csv", "recipe.toml"]


def test_library_is_a_part_of_the_nci_compounds(nci_file):
    rows = [line.split() for line in example_files()["library.smi"].read_text().splitlines()]
    nci = {f"NSC{line.split()[1]}": line.split()[0] for line in NCI_FILE.read_text().splitlines()}
    assert len(rows) == len({name for _, name in rows}) == 400
    assert all(nci[name] == smiles for smiles, name in rows)
    with rdBase.BlockLogs():
        assert sum(Chem.MolFromSmiles(smiles) is None for smiles, _ in rows) == 2


def test_columns_of_the_labelled_table_are_tasks_of_the_model():
    table = labelled()
    assert table["SR-MMP"].value_counts().to_dict() == {0: 250, 1: 150}
    assert set(table.columns[1:]) <= set(load_model(MODEL).tasks)
    assert all({0, 1} <= set(table[task].dropna()) for task in table.columns[1:])


def test_labelled_table_is_a_part_of_what_training_held_out(data_dir):
    table = labelled()
    held_out, _ = held_out_file(MODEL)
    whole = pd.read_parquet(find_dataset("tox21"))
    rows = whole.iloc[[row - 1 for row in sorted(held_out.rows or ())]].set_index("mol_id").loc[table.index]
    pd.testing.assert_frame_equal(rows[table.columns], table, check_dtype=False, check_names=False)


def test_recipe_differs_from_the_default_in_the_size_of_the_network():
    assert read_recipe(example_files()["recipe.toml"]).network.hidden == (200, 50)
