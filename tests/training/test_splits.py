"""Splits: shares, strata, scaffolds, and no molecule on both sides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.small_model import nci_smiles

from molig.errors import InputError, UsageError
from molig.training.recipe import SplitRecipe, parse_recipe
from molig.training.splits import murcko_scaffold, split

KINDS = ["random", "stratified", "scaffold"]


def labels_for(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < [0.3, 0.1, 0.04]).astype(float)
    labels[rng.random((n, 3)) < 0.2] = np.nan
    return labels


@settings(max_examples=25)
@given(st.sampled_from(KINDS), st.integers(60, 150), st.integers(0, 5), st.data())
def test_copies_stay_together_and_every_molecule_has_a_part(kind, n, seed, data):
    known = nci_smiles(60)
    smiles = [known[i % len(known)] for i in data.draw(st.permutations(range(n)))]
    parts = split(smiles, labels_for(n), SplitRecipe(kind=kind, validation=0.2, test=0.2, seed=seed))
    assert set(parts) <= {"train", "validation", "test"}
    for text in set(smiles):
        assert len({p for s, p in zip(smiles, parts, strict=True) if s == text}) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_shares(kind):
    smiles = sorted(set(nci_smiles(600)))
    parts = split(smiles, labels_for(len(smiles)), SplitRecipe(kind=kind, validation=0.1, test=0.2))
    shares = {name: (parts == name).mean() for name in ("train", "validation", "test")}
    assert shares["test"] == pytest.approx(0.2, abs=0.03)
    assert shares["validation"] == pytest.approx(0.1, abs=0.03)


def test_same_seed_same_split_and_another_seed_another():
    smiles = [f"C{'C' * i}" for i in range(100)]
    first, again, other = (split(smiles, labels_for(100), SplitRecipe(seed=s)) for s in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_stratified_deals_the_rare_task_evenly():
    labels = np.zeros((1000, 2))
    labels[:20, 1] = 1
    labels[500:, 0] = 1
    smiles = [f"{'C' * (i % 30 + 1)}{'N' * (i // 30 + 1)}" for i in range(1000)]
    for seed in range(3):
        parts = split(smiles, labels, SplitRecipe(kind="stratified", validation=0.1, test=0.2, seed=seed))
        assert labels[parts == "test", 1].sum() == pytest.approx(4, abs=1)


def test_no_scaffold_on_two_sides():
    smiles = nci_smiles(300)
    parts = split(smiles, labels_for(300), SplitRecipe(kind="scaffold", validation=0.15, test=0.15))
    sides = {name: {murcko_scaffold(s) for s in np.array(smiles)[parts == name]} for name in set(parts)}
    names = sorted(sides)
    assert all(not sides[a] & sides[b] for a in names for b in names if a < b)


def test_too_few_molecules():
    with pytest.raises(InputError, match="too few"):
        split(["C", "CC"], np.array([[0.0], [1.0]]), SplitRecipe(kind="random", validation=0.1, test=0.1))


def test_shares_that_leave_nothing():
    with pytest.raises(UsageError, match=r"recipe: split: .*must leave molecules"):
        parse_recipe({"split": {"validation": 0.5, "test": 0.5}})
