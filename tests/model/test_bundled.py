"""The bundled model keeps what its card says, on molecules it was not trained on."""

import math

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from molig.model import find_model, load_model
from molig.training.metrics import all_task_metrics, median_auc

NAME = "tox21-w2n2-simple"


@pytest.fixture(scope="module")
def model():
    return load_model(NAME)


@pytest.fixture(scope="module")
def held_out(data_dir):
    table = pd.read_parquet(data_dir / "tox21.parquet")
    split = pd.read_csv(find_model(NAME) / "split.csv")
    return table, split


@pytest.mark.data
def test_figures_of_the_card_are_those_of_the_held_out_fifth(model, held_out):
    table, split = held_out
    test = table.iloc[split.loc[split["part"] == "test", "row"] - 1]
    labels = test[list(model.tasks)].to_numpy(dtype=float)
    found = all_task_metrics(labels, model.predict_proba(test["smiles"]), model.tasks)
    for task, metrics in model.info.metrics["test"].items():
        assert found[task].roc_auc == pytest.approx(metrics.roc_auc, abs=0.002)
    assert median_auc(found) >= 0.85


@pytest.mark.data
def test_no_molecule_is_on_both_sides(held_out, model):
    table, split = held_out
    parsed = [model.parser.parse_smiles(s) for s in table["smiles"].iloc[split["row"] - 1]]
    part_of = split.assign(smiles=[Chem.MolToSmiles(p.mol) for p in parsed]).groupby("smiles")["part"]
    assert part_of.nunique().max() == 1
    assert (split["part"] == "test").mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.data
def test_zero_baseline_is_neutral(model, held_out):
    table, split = held_out
    smiles = table["smiles"].iloc[split.loc[split["part"] == "test", "row"] - 1]
    mols = [model.parser.parse_smiles(s).mol for s in smiles]
    logits = model.logits(model.featurize(mols), np.zeros(len(mols), dtype=np.float32))
    share = (1 / (1 + np.exp(-logits)) <= 0.02).mean(axis=0)
    assert share.min() >= 0.99


def test_scores_stay_what_they_were(model, num_regression):
    """Frozen scores of well-known compounds: they change only when the weights do."""
    names = {
        "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
        "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
        "2,4-dinitrophenol": "Oc1ccc(cc1[N+]([O-])=O)[N+]([O-])=O",
        "bisphenol A": "CC(C)(c1ccc(O)cc1)c1ccc(O)cc1",
        "CID 780975": "O=C(NN=C1c2ccccc2-c2ccccc21)c1ccccn1",
    }
    scores = dict(zip(names, model.predict_proba(list(names.values())), strict=True))
    num_regression.check(scores, default_tolerance={"atol": 1e-4, "rtol": 0})


def test_known_ligands_rank_above_what_is_not(model):
    """Estrogens against sugars, at the estrogen receptor."""
    task = model.task_index("NR-ER")
    estradiol, diethylstilbestrol = "CC12CCC3c4ccc(O)cc4CCC3C1CCC2O", "CCC(=C(CC)c1ccc(O)cc1)c1ccc(O)cc1"
    others = ["OCC1OC(O)C(O)C(O)C1O", "CCO", "NCC(=O)O"]
    scores = model.predict_proba([estradiol, diethylstilbestrol, *others])[:, task]
    assert scores[:2].min() > 0.5 > scores[2:].max()
    assert not math.isnan(scores.sum())
