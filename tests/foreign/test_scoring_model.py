"""Chemprop's models offer what screening, reports and audits ask of any model."""

from __future__ import annotations

import copy
import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from molig.errors import UnknownNameError, UsageError, speaking_of_options
from molig.foreign import InputOptions, load_chemprop
from molig.model import Objective, ScoringModel, ScreeningModel, load_model
from molig.molecules import smiles_records

SMALL = Path(__file__).parent / "small.pt"
MEMBERS = [name for name in vars(ScoringModel) if not name.startswith("_")]


@pytest.fixture(scope="module")
def small():
    return load_chemprop(SMALL)


@pytest.fixture(scope="module")
def mixed():
    """Two ensembles of the same file, one of which says that it predicts values."""
    model = load_chemprop(SMALL)
    other = copy.deepcopy(model.ensembles[0])
    values = type(other)(other.networks, ("third", "fourth"))
    object.__setattr__(values.networks[0].predictor, "head", type(values.head)("regression"))
    return type(model)("mixed", [*model.ensembles, values], model.preset, model.parser)


def test_every_member_is_there(small):
    assert len(MEMBERS) > 15
    for model in (small, load_model("tox21-w2n2-simple")):
        for name in MEMBERS:
            assert hasattr(model, name), (type(model), name)
            expected, found = getattr(ScoringModel, name), getattr(type(model), name, None)
            if inspect.isfunction(expected) and inspect.isfunction(found):
                assert set(inspect.signature(expected).parameters) <= set(inspect.signature(found).parameters)


def test_parts_have_all_tasks_in_order(mixed):
    assert mixed.objective is Objective.REGRESSION
    parts = mixed.parts()
    assert [part.objective for part in parts] == [Objective.CLASSIFICATION, Objective.REGRESSION]
    assert tuple(task for part in parts for task in part.tasks) == mixed.tasks
    assert mixed.for_task("fourth").tasks == ("third", "fourth")
    assert mixed.for_task("fourth").networks[0] is mixed.networks[1]
    molecules, _ = mixed.parser.parse_many(list(records("CCO", "c1ccccc1O")))
    together = np.hstack([part.score_molecules(molecules) for part in parts])
    assert (together == mixed.score_molecules(molecules)).all()
    with pytest.raises(UnknownNameError, match="did you mean 'fourth'"):
        mixed.for_task("fourthh")


def records(*smiles):
    return smiles_records(smiles)


def test_a_model_alone_is_its_only_part(small):
    own = load_model("tox21-w2n2-simple")
    for model in (small, own):
        assert model.parts() == (model,)
        assert model.for_task(model.tasks[0]) is model
        with pytest.raises(UnknownNameError):
            model.for_task("none")


def test_meanings(small, mixed, tmp_path):
    every = mixed.tasks
    assert small.meaning_of(small.tasks) == (
        "Scores are probabilities; whether probabilities are calibrated is not known."
    )
    assert mixed.meaning_of(every).startswith(
        "Scores are probabilities in 2 tasks, and in 2 predicted values, in the unit of the labels;"
    )
    assert mixed.meaning_of(["third"]) == "Scores are predicted values, in the unit of the labels."
    other = shutil.copy(SMALL, tmp_path / "other.pt")
    assert "probabilities, each the mean of 2 networks;" in load_chemprop([SMALL, other]).meaning_of(
        ["first"]
    )


def test_floor_of_values_is_in_the_unit_of_the_labels(small, mixed):
    assert small.floor == mixed.floor == 0.01
    unscaled = load_chemprop(SMALL)
    predictor = unscaled.networks[0].predictor
    predictor.unscale = type("Scale", (torch.nn.Module,), {"scale": torch.tensor([[20.0, 5.0]])})()
    assert unscaled.floor == pytest.approx(0.05)


class TestDigest:
    def test_equal_for_equal_models_only(self, small, tmp_path):
        assert small.digest() == load_chemprop(SMALL).digest()
        others = [
            load_chemprop(SMALL, InputOptions(add_h=True)),
            load_chemprop([SMALL, shutil.copy(SMALL, tmp_path / "other.pt")]),
            small.double(),
            changed("layers.0.bias"),
        ]
        found = {small.digest(), *(model.digest() for model in others)}
        assert len(found) == len(others) + 1

    def test_settings_without_weights_count(self, small):
        deeper = load_chemprop(SMALL)
        deeper.networks[0].message_passing.depth += 1
        mean = load_chemprop(SMALL)
        mean.networks[0].aggregation.kind = "mean" if mean.networks[0].aggregation.kind != "mean" else "sum"
        assert len({small.digest(), deeper.digest(), mean.digest()}) == 3


def changed(name):
    model = load_chemprop(SMALL)
    model.networks[0].predictor.get_parameter(name).data[0] += 1
    return model


def test_what_it_lacks_is_said(small):
    molecules, _ = small.parser.parse_many(list(records("CCO")))
    assert small.score_with(molecules).scores.shape == (1, 2)
    with speaking_of_options():
        with pytest.raises(UsageError, match=r"small has no applicability domain.*without --applicability"):
            small.score_with(molecules, applicability=True)
        with pytest.raises(UsageError, match=r"small is one network.*--uncertainty is for ensembles"):
            small.score_with(molecules, uncertainty=True)
    assert small.member_names == ()
    assert small.calibrated is False
    assert not isinstance(small, ScreeningModel)
