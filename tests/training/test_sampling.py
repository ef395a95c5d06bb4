"""Which molecules an epoch sees, and what that does to the weights of classes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.small_model import small_recipe

from molig.training import parse_recipe
from molig.training.objectives import class_weights, make_criterion
from molig.training.sampling import EpochSampler, size_weights

LABELS = st.lists(
    st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=2, max_size=2), min_size=1, max_size=30
).map(np.array)


def epochs(sampler: EpochSampler, n: int = 3) -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [sampler.draw(rng).tolist() for _ in range(n)]


@given(LABELS)
def test_by_default_every_epoch_sees_every_molecule(labels):
    sampler = EpochSampler(labels)
    assert sampler.size == len(labels)
    assert (sampler.seen == 1).all()
    for drawn in epochs(sampler):
        assert sorted(drawn) == list(range(len(labels)))


@given(LABELS, st.integers(1, 20))
def test_every_epoch_sees_all_actives_and_so_many_others(labels, inactives):
    sampler = EpochSampler(labels, inactives)
    active = (labels == 1).any(axis=1)
    n_others = min(inactives, int((~active).sum()))
    assert sampler.size == active.sum() + n_others
    for drawn in epochs(sampler):
        assert len(drawn) == len(set(drawn)) == sampler.size
        assert set(np.flatnonzero(active)) <= set(drawn)
    assert sampler.seen.sum() == pytest.approx(sampler.size)
    assert (sampler.seen[active] == 1).all()


def test_others_are_drawn_anew_and_as_often_as_is_said():
    labels = np.zeros((50, 1))
    labels[:5] = 1
    sampler = EpochSampler(labels, inactives=15)
    drawn = epochs(sampler, 400)
    assert len({tuple(sorted(molecules)) for molecules in drawn}) > 390
    often = np.bincount(np.concatenate(drawn), minlength=50) / 400
    np.testing.assert_allclose(often, sampler.seen, atol=0.12)
    assert sampler.seen[5:].tolist() == [15 / 45] * 45


def test_values_are_all_seen():
    assert epochs(EpochSampler(np.array([[1.0], [2.5], [1.0]])), 1)[0] != []
    assert EpochSampler(np.array([[1.0], [2.5], [1.0]])).size == 3


def test_same_random_numbers_same_order():
    sampler = EpochSampler(np.eye(9)[:, :2], 3)
    assert epochs(sampler) == epochs(sampler)


def test_size_weights_go_with_the_root_of_the_frequency():
    weights = size_weights(np.array([5, 5, 5, 5, 9]))
    assert weights.sum() == pytest.approx(1)
    assert weights[:4].sum() / weights[4] == pytest.approx(4**0.5)


def test_classes_weigh_the_same_among_the_molecules_that_are_seen():
    labels = np.zeros((101, 2))
    labels[0] = 1
    labels[1, 1] = 1  # a molecule that is active in the second task only
    labels[2:12, 1] = np.nan
    seen = EpochSampler(labels, inactives=33).seen
    weights = class_weights(labels, seen).numpy()
    share = 33 / 99
    np.testing.assert_allclose(weights, [1 + 99 * share, 89 * share / 2], rtol=1e-6)
    np.testing.assert_allclose(class_weights(labels).numpy(), [100, 89 / 2], rtol=1e-6)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_the_weight_of_actives_is_a_power_of_the_ratio(exponent):
    plain = small_recipe(positive_weight=exponent).model_dump(mode="json", exclude_none=True)
    labels = np.array([[1.0]] + [[0.0]] * 16)
    criterion = make_criterion(parse_recipe(plain), labels, ["a"], torch.device("cpu"))
    assert criterion.positive_weight.tolist() == pytest.approx([16**exponent])
