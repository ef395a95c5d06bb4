"""Whole runs: regressions, given splits, explicit hydrogens, and the domain of the training part."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import r2_score
from support.small_model import (
    TASKS,
    VALUES,
    nci_smiles,
    small_recipe,
    train_small_regression,
    value,
    write_labelled,
    write_values,
)

from molig.errors import InputError, UsageError
from molig.features import Featurizer, preset
from molig.model import Objective, load_model
from molig.molecules import MoleculeParser
from molig.training import TrainingRequest, parse_recipe, train_model
from molig.training.dataset import AssayTable, read_training_data
from molig.training.run import training_domain


@pytest.fixture(scope="module")
def table(nci_file):
    rows = [{"smiles": smiles, **value(smiles)} for smiles in nci_smiles(60)]
    return pd.DataFrame(rows)


@pytest.fixture
def trained(tmp_path):
    """Train for one epoch on a table."""

    def run(frame, *targets, **changes):
        frame.to_parquet(tmp_path / "table.parquet")
        recipe = small_recipe(epochs=1).model_dump(mode="json") | {"objective": "regression"} | changes
        request = TrainingRequest(
            source=tmp_path / "table.parquet",
            output=tmp_path / "model",
            force=True,
            targets=targets or VALUES,
            recipe=parse_recipe(recipe),
            device="cpu",
        )
        return train_model(request)

    return run


def rejected(tmp_path) -> dict[int, str]:
    frame = pd.read_csv(tmp_path / "model" / "rejected.csv", keep_default_na=False)
    return frame.set_index("row")["reason"].to_dict()


def test_figures_are_those_of_the_stored_model(trained_regression, trained_regression_dir):
    table = pd.read_csv(trained_regression_dir.parent / "values.csv")
    split = pd.read_csv(trained_regression_dir / "split.csv")
    test = table.iloc[split.loc[split["part"] == "test", "row"] - 1]
    scores = trained_regression.predict(test["smiles"]).scores
    for column, task in enumerate(VALUES):
        found = trained_regression.info.metrics["test"][task]
        labels, guess = test[task].to_numpy(), scores[:, column]
        assert found.r2 == pytest.approx(r2_score(labels, guess), abs=1e-6)
        assert found.rmse == pytest.approx(np.sqrt(((labels - guess) ** 2).mean()), rel=1e-5)
        assert found.spearman == pytest.approx(spearmanr(labels, guess).statistic, abs=1e-6)
        assert found.n == len(test)


def test_it_has_learnt_the_mass(trained_regression):
    unseen = nci_smiles(500, start=200)
    scores = trained_regression.predict(unseen).scores[:, VALUES.index("mass")]
    assert r2_score([value(smiles)["mass"] for smiles in unseen], scores) > 0.5


def test_baseline_of_the_card_is_that_of_zero_features(trained_regression, trained_regression_dir):
    table = pd.read_csv(trained_regression_dir.parent / "values.csv")
    split = pd.read_csv(trained_regression_dir / "split.csv")
    part = {name: table.iloc[split.loc[split["part"] == name, "row"] - 1] for name in ("train", "test")}
    mols = [trained_regression.parser.parse_smiles(smiles).mol for smiles in part["test"]["smiles"]]
    at_zero = trained_regression.logits(
        trained_regression.featurize(mols), np.zeros(len(mols), dtype=np.float32)
    )
    for column, task in enumerate(VALUES):
        found = trained_regression.info.baseline[task]
        tolerance, mean = 0.1 * part["train"][task].std(ddof=0), part["train"][task].mean()
        away = np.abs(at_zero[:, column] - mean)
        assert found.neutral == pytest.approx(mean)
        assert found.tolerance == pytest.approx(tolerance)
        assert found.median == pytest.approx(np.median(at_zero[:, column]), rel=1e-5)
        assert found.farthest == pytest.approx(at_zero[away.argmax(), column], rel=1e-4)
        assert found.share_neutral == pytest.approx((away <= tolerance).mean())


def test_history_and_description_say_what_it_is(trained_regression_dir):
    history = json.loads((trained_regression_dir / "history.json").read_text())
    assert set(history[0]) == {"epoch", "loss", "neutral", "validation_r2"}
    info = load_model(trained_regression_dir).info
    assert info.objective is Objective.REGRESSION
    assert info.median_r2("test") == np.median([m.r2 for m in info.metrics["test"].values()])
    assert info.median_auc("test") is None


def test_half_precision_keeps_large_values(tmp_path):
    """70,000 is no half-precision number, and near 60,000 the next one is 32 away."""
    table = pd.read_csv(write_values(tmp_path / "values.csv", 60))
    table["mass"] = 70_000 + table["mass"] / 10
    models = []
    for dtype in ("float16", "float32"):
        table.to_csv(tmp_path / "shifted.csv", index=False)
        recipe = small_recipe(epochs=2).model_dump(mode="json")
        request = TrainingRequest(
            source=tmp_path / "shifted.csv",
            output=tmp_path / dtype,
            targets=("mass",),
            recipe=parse_recipe(recipe | {"objective": "regression", "weights_dtype": dtype}),
            device="cpu",
        )
        models.append(train_model(request))
    half, whole = (model.predict(table["smiles"]).scores for model in models)
    np.testing.assert_allclose(half, whole, atol=0.02 + 0.02 * table["mass"].std())
    assert (half > 60_000).all()


def test_an_infinite_label_costs_its_row(trained, table, tmp_path):
    frame = table.copy()
    frame.loc[3, "mass"] = np.inf
    frame.loc[4, "mass"] = np.nan
    model = trained(frame)
    assert rejected(tmp_path) == {4: "label mass = inf is neither a finite number nor empty"}
    assert model.info.training.n_rejected == 1


def test_a_constant_target_is_refused(trained, table):
    with pytest.raises(InputError, match="target 'mass' has only the value 3 among the usable rows"):
        trained(table.assign(mass=3.0))


def test_a_target_that_is_constant_in_training_is_refused_before_anything_is_written(
    trained, table, tmp_path
):
    frame = table.assign(split=["train"] * 40 + ["test"] * 20)
    frame["mass"] = [1.0] * 40 + list(range(20))
    with pytest.raises(InputError, match=r"only the value 1 among the .* labels of the training part"):
        trained(frame, split={"kind": "given"})
    assert not (tmp_path / "model" / "recipe.toml").exists()


class TestGivenSplit:
    def test_parts_are_those_of_the_column(self, trained, table, tmp_path):
        parts = ["Train", "TEST", "train", "validation"] * 15
        info = trained(table.assign(fold=parts), split={"kind": "given", "column": "fold"}).info
        written = pd.read_csv(tmp_path / "model" / "split.csv")
        assert written["part"].tolist() == [part.lower() for part in parts]
        assert info.training.split == {"kind": "given", "column": "fold", "validation": 0.1, "seed": 0}
        assert (info.training.n_train, info.training.n_validation, info.training.n_test) == (30, 15, 15)

    def test_validation_is_drawn_and_leaks_are_counted(self, trained, table, tmp_path):
        frame = pd.concat([table, table.head(5)]).assign(split=["train"] * 60 + ["test"] * 5)
        info = trained(frame, split={"kind": "given", "validation": 0.2}).info
        written = pd.read_csv(tmp_path / "model" / "split.csv")["part"]
        assert (written == "validation").sum() == pytest.approx(12, abs=2)
        assert info.training.n_test == 5
        assert info.training.n_test_in_train == (written[:5] == "train").sum() > 0
        card = (tmp_path / "model" / "CARD.md").read_text()
        assert f"{info.training.n_test_in_train} of the test part are also in training" in card

    def test_without_a_test_part_validation_is_reported(self, trained, table):
        info = trained(table.assign(split="train"), split={"kind": "given"}).info
        assert set(info.metrics) == {"validation"}

    @pytest.mark.parametrize("value", ["holdout", "", None])
    def test_a_row_that_is_in_no_part(self, trained, table, value):
        frame = table.assign(split="train")
        frame.loc[8, "split"] = value
        with pytest.raises(InputError, match=f"row 9: column 'split' says {value!r}"):
            trained(frame, split={"kind": "given"})

    def test_a_missing_column_or_one_that_is_a_target(self, trained, table):
        with pytest.raises(UsageError, match="unknown column 'split'"):
            trained(table, split={"kind": "given"})
        with pytest.raises(UsageError, match="cannot be a target and decide about the split"):
            trained(table, split={"kind": "given", "column": "mass"})


class TestHydrogens:
    def test_the_network_sees_hydrogens_and_the_split_does_not_change(self, trained, table, tmp_path):
        plain = trained(table)
        split = (tmp_path / "model" / "split.csv").read_text()
        model = trained(table, molecules={"hydrogens": "explicit"})
        assert (tmp_path / "model" / "split.csv").read_text() == split
        again = load_model(tmp_path / "model")
        assert again.info.molecules.hydrogens == "explicit"
        molecule = again.parser.parse_smiles("Cl.CN")
        assert molecule.mol.GetNumAtoms() == 7
        assert again.featurize([molecule.mol]).atom_codes[:, 0].tolist() == [1, 2, 0, 0, 0, 0, 0]
        assert (model.predict("CN").scores != plain.predict("CN").scores).all()

    def test_the_card_says_so(self, trained, table, tmp_path):
        trained(table, molecules={"hydrogens": "explicit"})
        assert "Hydrogens are atoms of the graph." in (tmp_path / "model" / "CARD.md").read_text()


@pytest.mark.data
def test_counts_of_nitrogens_are_learnt_from_a_benchmark(trained, data_dir):
    table = pd.read_parquet(data_dir / "ibenchmark_N.parquet", columns=["smiles", "activity", "split"])
    table = pd.concat([part.head(300) for _, part in table.groupby("split")])
    optimization = {"epochs": 12, "batch_size": 32, "learning_rate": 2e-2}
    model = trained(table, "activity", split={"kind": "given"}, optimization=optimization)
    assert model.info.metrics["test"]["activity"].r2 > 0.3
    assert model.info.metrics["test"]["activity"].n == 300


def test_same_recipe_same_weights(trained_regression_dir, trained_regression, tmp_path):
    again = train_small_regression(tmp_path)
    assert again.info.weights_sha256 == trained_regression.info.weights_sha256


def test_only_the_training_part_counts(tmp_path, nci_file):
    schema = preset("simple", max_pair_distance=2)
    table = write_labelled(tmp_path / "table.csv", 40)
    data = read_training_data(AssayTable(table, TASKS, MoleculeParser(), Featurizer(schema)))
    parts = np.array(["train", "validation", "test", "train"] * 10)[: len(data)]
    info = training_domain(data, parts, schema, seed=3).info
    assert info.n_molecules == len({data.smiles[i] for i in np.flatnonzero(parts == "train")})
    assert info.seed == 3
    codes = data.graphs.select(np.flatnonzero(parts == "train")).atom_codes
    assert len(info.categories["atom.type"]) == len(np.unique(codes))
