"""Regression: standardised labels, masked squared error, and a last layer in the unit of the labels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.small_model import small_recipe

from molig.errors import InputError
from molig.features import preset
from molig.network import collate
from molig.training import parse_recipe
from molig.training.loop import CHECKPOINT_FILE, Part, Trainer, TrainingRun
from molig.training.objectives import RegressionCriterion, standardisation
from training.test_loop import SMILES, digest, part

UNITS = [(1.0, 0.0), (1e-3, 0.0), (250.0, 7e4), (1e6, -1e9)]


def values(scale: float = 1.0, shift: float = 0.0) -> Part:
    """Molecules with the number of their atoms and of their nitrogens, in some unit."""
    labels = np.array([[float(len(s)), float(s.count("N"))] for s in SMILES])
    labels[2, 1] = np.nan
    return Part(part().graphs, labels * scale + shift)


def trainer(measured: Part, neutral: float = 0.0, **optimization) -> Trainer:
    changes = {"objective": "regression", "neutral": {"copies": 8, "weight": 1.0, "value": neutral}}
    options = {"batch_size": 4, "epochs": 4, "patience": 50} | optimization
    return Trainer(
        TrainingRun(
            parse_recipe(small_recipe(**options).model_dump() | changes),
            preset("simple", max_pair_distance=2),
            ("atoms", "N"),
            train=measured,
            validation=measured,
            device=torch.device("cpu"),
            fingerprint="same",
        )
    )


def outputs(network, graphs, scale: float = 1.0) -> np.ndarray:
    scales = np.full(len(graphs), scale, dtype=np.float32)
    with torch.no_grad():
        return network(collate(graphs, preset("simple", max_pair_distance=2), scales)).double().numpy()


def squared_error(values, labels):
    one = np.ones(labels.shape[1])
    return RegressionCriterion(0 * one, one, 0 * one, torch.device("cpu")).loss(values, labels)


def test_squared_error_by_hand():
    found = squared_error(torch.tensor([[1.0, 2.0], [3.0, 9.0]]), torch.tensor([[0.0, 4.0], [3.0, math.nan]]))
    assert found.item() == pytest.approx((1 + 4 + 0) / 3)


def test_unmeasured_values_do_not_teach():
    guess = torch.zeros(2, 1, requires_grad=True)
    squared_error(guess, torch.tensor([[1.0], [math.nan]])).backward()
    assert guess.grad.tolist() == [[-2.0], [0.0]]
    nothing = squared_error(torch.ones(2, 1), torch.full((2, 1), math.nan))
    assert nothing.item() == 0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=20, unique=True), st.integers(0, 3))
def test_standardised_labels_have_mean_0_and_sd_1(known, n_missing):
    if np.std(known) < 1e-2:
        return
    labels = np.array([*known, *[np.nan] * n_missing])[:, None]
    mean, sd = standardisation(labels, ["a"])
    encoded = (np.array(known) - mean) / sd
    assert encoded.mean() == pytest.approx(0, abs=1e-6)
    assert encoded.std() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ([2.0, 2.0, np.nan], "'a' has only the value 2 among the 2 labels of the training part"),
        ([np.nan, np.nan], "'a' has no value"),
        ([1e9, 1e9 + 1], "cannot tell apart; subtract a constant"),
        ([0.0, 1e35], "give them another unit"),
        ([0.0, 1e-40], "give them another unit"),
    ],
)
def test_labels_that_cannot_be_standardised(known, message):
    with pytest.raises(InputError, match=message):
        standardisation(np.array(known)[:, None], ["a"])


@pytest.mark.parametrize(("scale", "shift"), UNITS)
def test_the_finished_network_speaks_the_unit_of_the_labels(scale, shift):
    measured = values(scale, shift)
    run = trainer(measured)
    run.fit()
    mean, sd = np.nanmean(measured.labels, axis=0), np.nanstd(measured.labels, axis=0)
    standard = run.scores(measured.graphs)
    found = outputs(run.finished_network(), measured.graphs)
    np.testing.assert_allclose((found - mean) / sd, standard, atol=2e-3)
    assert digest(run.network) == digest(run.fit())  # the trainer's own network stays as it was


def test_the_unit_of_the_labels_does_not_change_what_is_learnt():
    one, other = trainer(values()), trainer(values(scale=4.0))
    one.fit()
    other.fit()
    assert digest(one.network) == digest(other.network)
    assert one.state.history == other.state.history


@pytest.mark.parametrize("neutral", [0.0, 3.0])
def test_learns_a_few_values_and_draws_the_baseline_to_the_neutral_one(neutral):
    measured = values()
    run = trainer(measured, neutral, epochs=100, batch_size=12, patience=100, learning_rate=3e-2)
    run.fit()
    assert run.state.best_score > 0.9
    assert run.state.best_score == max(entry["validation_r2"] for entry in run.state.history)
    sd = np.nanstd(measured.labels, axis=0)
    away = (outputs(run.finished_network(), measured.graphs, scale=0.0) - neutral) / sd
    assert np.sqrt((away**2).mean()) < 0.5


def test_resumed_run_equals_an_uninterrupted_one(tmp_path):
    class StopError(Exception):
        pass

    def interrupt(entry):
        if entry["epoch"] == 2:
            raise StopError

    whole, broken, resumed = (trainer(values()) for _ in range(3))
    with pytest.raises(StopError):
        broken.fit(tmp_path / CHECKPOINT_FILE, interrupt)
    resumed.resume(tmp_path / CHECKPOINT_FILE)
    assert digest(resumed.fit()) == digest(whole.fit())
    assert resumed.state.history == whole.state.history
