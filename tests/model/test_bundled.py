"""The bundled model keeps what its card says, on molecules it was not trained on."""

import math

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from molig.evaluation.card import _check_recipe
from molig.model import Objective, bundled_models, find_model, load_info, load_model, model_card
from molig.training import bundled_recipes, read_recipe
from molig.training.metrics import all_task_metrics

NAME = "tox21-w2n2-simple"
SMALL_TEST_PARTS = [name for name in bundled_models() if name.startswith(("tox21", "hiv"))]
"""Those that are scored again in seconds; `molig evaluate -m NAME` does the same for every model."""
LARGEST = 8_000_000
FIGURES_NAMED = {
    "roc_auc": "ROC-AUC {:.3f}",
    "pr_auc": "PR-AUC {:.3f}",
    "bedroc": "BEDROC {:.3f}",
    "ef_1": "EF 1 % {:.1f}",
}
LEAST_AUC = {
    "tox21": 0.86,
    "tox21-w2n2-simple": 0.85,
    "tox21-w1n2-simple": 0.78,
    "hiv": 0.76,
    "muv": 0.80,
    "sars-3clpro": 0.77,
}


@pytest.fixture(scope="module")
def model():
    return load_model(NAME)


@pytest.fixture(scope="module")
def held_out(data_dir):
    """Rows, labels and molecules of the test part of a model."""

    def read(name):
        table = pd.read_parquet(data_dir / load_info(name).training.data_file)
        split = pd.read_csv(find_model(name) / "split.csv")
        return table.iloc[split.loc[split["part"] == "test", "row"] - 1], split

    return read


@pytest.mark.parametrize("name", LEAST_AUC)
def test_every_bundled_model_is_there_and_says_what_it_is(name):
    folder, found = bundled_models()[name], load_model(name)
    assert (folder / "weights.safetensors").stat().st_size <= LARGEST
    assert found.info.name == name
    assert found.info.median_auc("test") >= LEAST_AUC[name]
    assert found.info.applicability is not None
    assert found.info.training.data_licence
    assert (folder / "CARD.md").read_text() == model_card(found.info)


@pytest.mark.parametrize("name", [name for name in LEAST_AUC if load_info(name).committee])
def test_a_committee_states_its_figures_beside_those_of_the_network_before(name):
    info = load_info(name)
    before, now = info.changes
    assert f"the same {info.training.n_test:,} test molecules" in before
    for figure, named in FIGURES_NAMED.items():
        assert named.format(info.median_figure("test", figure)) in now
        assert named.partition("{")[0] in before


@pytest.mark.parametrize("name", LEAST_AUC)
def test_the_zero_baseline_is_neutral_on_every_task(name):
    baseline = load_model(name).info.baseline
    assert min(task.share_neutral for task in baseline.values()) >= 0.999


@pytest.mark.parametrize("name", LEAST_AUC)
def test_the_recipe_of_a_model_is_the_bundled_one_of_its_name(name):
    own, bundled = read_recipe(bundled_models()[name] / "recipe.toml"), read_recipe(bundled_recipes()[name])
    # How a recipe is judged says nothing about the weights, nor does the value of a regression here.
    assert own.objective is Objective.CLASSIFICATION
    neutral = bundled.neutral.model_copy(update={"value": own.neutral.value})
    assert own == bundled.model_copy(update={"evaluation": own.evaluation, "neutral": neutral})


@pytest.mark.parametrize("name", LEAST_AUC)
def test_an_evaluation_of_the_recipe_fits_the_card(name):
    _check_recipe(read_recipe(bundled_recipes()[name]), bundled_models()[name], name)


@pytest.mark.data
@pytest.mark.parametrize("name", SMALL_TEST_PARTS)
def test_figures_of_the_card_are_those_of_the_held_out_part(name, held_out):
    found_model = load_model(name)
    test, _ = held_out(name)
    labels = test[list(found_model.tasks)].to_numpy(dtype=float)
    found = all_task_metrics(labels, found_model.predict_proba(test["smiles"]), found_model.tasks)
    for task, metrics in found_model.info.metrics["test"].items():
        assert found[task].roc_auc == pytest.approx(metrics.roc_auc, abs=0.005)


@pytest.mark.data
def test_no_molecule_is_on_both_sides(held_out, model, data_dir):
    _, split = held_out(NAME)
    table = pd.read_parquet(data_dir / "tox21.parquet")
    parsed = [model.parser.parse_smiles(s) for s in table["smiles"].iloc[split["row"] - 1]]
    part_of = split.assign(smiles=[Chem.MolToSmiles(p.mol) for p in parsed]).groupby("smiles")["part"]
    assert part_of.nunique().max() == 1
    assert (split["part"] == "test").mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.data
def test_zero_baseline_is_neutral_where_it_is_measured_again(model, held_out):
    test, _ = held_out(NAME)
    mols = [model.parser.parse_smiles(s).mol for s in test["smiles"]]
    logits = model.logits(model.featurize(mols), np.zeros(len(mols), dtype=np.float32))
    share = (1 / (1 + np.exp(-logits)) <= 0.02).mean(axis=0)
    assert share.min() >= 0.999


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


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("[2H]c1c([2H])c([2H])c(O)c([2H])c1[2H]", "Oc1ccccc1"),
        (
            "CNC[C@@H]([C@H]([C@@H]([C@@H](CO)O)O)O)O.c1cc2c(cc1C(=O)O)oc(n2)c3cc(cc(c3)Cl)Cl",
            "c1cc2c(cc1C(=O)O)oc(n2)c3cc(cc(c3)Cl)Cl",
        ),
        ("[Na]OC(C)=O", "CC(=O)O"),
    ],
)
def test_the_score_is_that_of_the_compound_that_was_meant(model, given, meant):
    np.testing.assert_allclose(*model.predict_proba([given, meant]), atol=1e-6)


@pytest.mark.parametrize("smiles", ["N[Pt](N)(Cl)Cl", "[Na+].[Cl-]", "[K+].[Cl-]", "[CH2]C", "[#999999]"])
def test_what_is_no_organic_compound_has_no_score(model, smiles):
    assert np.isnan(model.predict_proba([smiles])).all()
