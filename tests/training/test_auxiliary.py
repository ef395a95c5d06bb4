"""Learning the tasks of other tables along."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from support.small_model import TASKS, label, nci_smiles, small_recipe

from molig.errors import UsageError
from molig.features import Featurizer, preset
from molig.model import load_info
from molig.network import WeaveNet
from molig.training import TrainingRequest, parse_recipe, train_model
from molig.training.auxiliary import Auxiliary, JointSampler, first_tasks, join_tables
from molig.training.recipe import AuxiliaryRecipe
from molig.training.run import Progress
from molig.training.sampling import EpochSampler

BACE = AuxiliaryRecipe(name="bace")


def featurized(smiles):
    return Featurizer(preset("simple", max_pair_distance=2)).featurize(
        [Chem.MolFromSmiles(s) for s in smiles]
    )


def table(n_mols, n_tasks, value, recipe=BACE):
    smiles = ["C" * (i + 1) for i in range(n_mols)]
    return Auxiliary(recipe, featurized(smiles), np.full((n_mols, n_tasks), value), tuple("abc"[:n_tasks]))


def test_tasks_of_one_table_are_not_measured_for_molecules_of_another():
    main = table(3, 2, 0.0)
    graphs, labels = join_tables(main.graphs, main.labels, [table(2, 1, 1.0), table(1, 3, 0.5)])
    assert len(graphs) == 6
    expected = np.full((6, 6), np.nan)
    expected[:3, :2], expected[3:5, 2:3], expected[5:, 3:] = 0, 1, 0.5
    np.testing.assert_array_equal(labels, expected)


def test_an_epoch_sees_some_of_every_table():
    main = EpochSampler(np.array([[1.0], [0.0], [0.0]]), 1)
    other = table(6, 1, 0.0, AuxiliaryRecipe(name="bace", inactives_per_epoch=2))
    sampler = JointSampler(main, [other])
    drawn = sampler.draw(np.random.default_rng(0))
    assert sampler.size == len(drawn) == len(set(drawn.tolist())) == 4
    assert 0 in drawn
    assert (drawn >= 3).sum() == 2
    np.testing.assert_allclose(sampler.seen, [1, 0.5, 0.5, *[1 / 3] * 6])


def test_without_other_tables_an_epoch_is_what_it_was():
    labels = np.eye(9)[:, :2]
    plain, joint = EpochSampler(labels, 3), JointSampler(EpochSampler(labels, 3), [])
    assert joint.draw(np.random.default_rng(1)).tolist() == plain.draw(np.random.default_rng(1)).tolist()


def test_the_first_outputs_of_a_network_stay_as_they_are():
    network = WeaveNet(parse_recipe({}).network, 11, 6, 5).eval()
    states = torch.randn(4, network.readout.out_features)
    kept = first_tasks(network, 2)
    torch.testing.assert_close(kept.head.eval()(states), network.head.eval()(states)[:, :2])
    assert first_tasks(network, 5) is network


@pytest.fixture
def request_with(tmp_path, monkeypatch, nci_file):
    """A training request with the public set "bace", of which a small made-up table is there."""
    monkeypatch.setenv("MOLIG_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    smiles = nci_smiles(120)
    frame = pd.DataFrame([{"smiles": s, **label(s)} for s in smiles])
    frame.to_csv(tmp_path / "main.csv", index=False)

    def make(others=None, **recipe):
        rows = smiles[40:] if others is None else others
        held = {"smiles": rows, "mol_id": [str(i) for i in range(len(rows))], "split": "train", "pIC50": 1.0}
        active = [label(s)["nitrogen"] for s in rows]
        pd.DataFrame(held | {"Class": active}).to_parquet(tmp_path / "data" / "bace.parquet")
        plain = small_recipe(epochs=2).model_dump(mode="json", exclude_none=True)
        plain["auxiliary"] = [{"name": "bace", "inactives_per_epoch": 20}]
        return TrainingRequest(tmp_path / "main.csv", tmp_path / "out", TASKS, parse_recipe(plain | recipe))

    return make


def test_a_model_has_its_own_tasks_only_and_says_what_it_learned_along(request_with, tmp_path):
    request = request_with()
    model = train_model(request)
    assert model.tasks == TASKS
    assert model.predict_proba(["CCN"]).shape == (1, 2)
    (told,) = load_info(tmp_path / "out").training.auxiliary
    split = pd.read_csv(tmp_path / "out" / "split.csv")
    held_out = set(split.row[split.part != "train"] - 1)
    main = nci_smiles(120)
    copies = sum(any(main[i] == s for i in held_out) for s in main[40:])
    assert told.n_left_out >= copies > 0
    assert told.n_molecules + told.n_left_out == 80
    assert told.n_tasks == 1
    digest = hashlib.sha256((tmp_path / "data" / "bace.parquet").read_bytes()).hexdigest()
    assert told.sha256 == digest
    assert "Co-trained" in (tmp_path / "out" / "CARD.md").read_text()


def test_what_is_learned_along_changes_the_network(request_with, tmp_path):
    with_it = train_model(request_with())
    without = train_model(
        TrainingRequest(tmp_path / "main.csv", tmp_path / "b", TASKS, small_recipe(epochs=2))
    )
    assert not np.allclose(with_it.predict_proba(["CCN"]), without.predict_proba(["CCN"]))


def test_a_run_with_other_tables_resumes_to_the_same_network(request_with, tmp_path):
    whole = train_model(request_with())
    request = replace(request_with(), output=tmp_path / "again")

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model(request, Progress(epoch=stop))
    resumed = train_model(replace(request, resume=True))
    np.testing.assert_array_equal(resumed.predict_proba(["CCN"]), whole.predict_proba(["CCN"]))


def test_a_table_with_nothing_left(request_with, tmp_path):
    request = request_with(others=nci_smiles(120))
    train_model(request)
    split = pd.read_csv(tmp_path / "out" / "split.csv")
    held_out = [nci_smiles(120)[i - 1] for i in split.row[split.part == "test"]]
    with pytest.raises(UsageError, match="'bace' has no molecule"):
        train_model(replace(request_with(others=held_out[:6]), force=True))


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ({"auxiliary": [{"name": "tox22"}]}, "tox21"),
        ({"auxiliary": [{"name": "muv"}, {"name": "muv"}]}, "named twice"),
        ({"auxiliary": [{"name": "muv"}], "data": {"name": "muv"}}, "is the table itself"),
        ({"auxiliary": [{"name": "muv"}], "objective": "regression"}, "for classes"),
        ({"auxiliary": [{"name": "muv", "inactives": 3}]}, r"auxiliary\.inactives.*inactives_per_epoch"),
    ],
)
def test_recipes_that_contradict_themselves(recipe, told):
    with pytest.raises(UsageError, match=told):
        parse_recipe(recipe)
