"""Baselines: they rank real and made-up molecules, use labelled ones only, and repeat with the seed."""

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from support.small_model import TASKS, label, nci_smiles

from molig.errors import UnknownNameError, UsageError
from molig.evaluation.baselines import (
    BASELINES,
    LogisticModel,
    NearestActive,
    RandomForest,
    resolve_baselines,
)
from molig.evaluation.fingerprints import as_logs, morgan_counts

# A small forest, for time.
METHODS = [RandomForest(n_trees=15), LogisticModel(), NearestActive()]


@pytest.fixture(scope="module")
def nci():
    """Counts and true labels of real molecules."""
    smiles = nci_smiles(400)
    labels = np.array([[label(text)[task] for task in TASKS] for text in smiles], dtype=float)
    return morgan_counts(smiles), labels


@pytest.mark.parametrize(
    ("method", "least"), [(METHODS[0], 0.9), (METHODS[1], 0.8)], ids=["forest", "logistic"]
)
def test_learns_a_rule(method, least, nci):
    counts, labels = nci
    scores = method.fit_predict(counts[:300], labels[:300], counts[300:], seed=0)
    assert scores.shape == (100, 2)
    assert (scores >= 0).all()
    assert (scores <= 1).all()
    for task in range(2):
        assert roc_auc_score(labels[300:, task], scores[:, task]) > least


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_unlabelled_molecules_are_not_seen(method, nci):
    counts, labels = nci
    known = np.arange(300) % 2 > 0
    partial = np.where(known[:, None], labels[:300], np.nan)
    with_gaps = method.fit_predict(counts[:300], partial, counts[300:], seed=1)
    without = method.fit_predict(counts[:300][known], labels[:300][known], counts[300:], seed=1)
    assert (with_gaps == without).all()


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("known", [0.0, 1.0, np.nan])
def test_a_task_with_one_class_has_no_scores(method, known, nci):
    counts, labels = nci
    labels = labels[:100].copy()
    labels[:, 0] = known
    scores = method.fit_predict(counts[:100], labels, counts[300:320], seed=0)
    assert np.isnan(scores[:, 0]).all()
    assert np.isfinite(scores[:, 1]).all()


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_wanted_scores_are_those_of_all(method, nci):
    counts, labels = nci
    wanted = np.random.default_rng(0).random((100, 2)) < 0.5
    wanted[:, 1] &= False
    every = method.fit_predict(counts[:300], labels[:300], counts[300:], seed=0)
    some = method.fit_predict(counts[:300], labels[:300], counts[300:], seed=0, wanted=wanted)
    assert (np.isfinite(some) == wanted).all()
    assert (some[wanted] == every[wanted]).all()


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_same_seed_same_scores(method, nci):
    counts, labels = nci
    first, second, other = (
        method.fit_predict(counts[:300], labels[:300], counts[300:], seed=seed) for seed in (3, 3, 4)
    )
    assert (first == second).all()
    assert (first != other).any() == (method.name == "random-forest")


def test_nearest_active_is_the_naive_loop():
    smiles = nci_smiles(90)
    labels = np.array([[label(text)["carbonyl"]] for text in smiles[:60]], dtype=float)
    labels[::5] = np.nan
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    vectors = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    naive = [
        max(DataStructs.TanimotoSimilarity(vectors[i], vectors[j]) for j in range(60) if labels[j, 0] == 1)
        for i in range(60, 90)
    ]
    counts = morgan_counts(smiles)
    scores = NearestActive().fit_predict(counts[:60], labels, counts[60:], seed=0)
    assert scores[:, 0].tolist() == naive


def test_logistic_regression_keeps_the_order_of_the_balanced_one_and_the_share_of_actives():
    rng = np.random.default_rng(0)
    counts = csr_matrix(rng.poisson(0.5, size=(4000, 8)).astype(np.float32))
    true = 1 / (1 + np.exp(4 - 2 * np.log1p(counts.toarray()[:, 0])))
    active = rng.random(4000) < true
    plain = LogisticRegression(C=0.03, class_weight="balanced", max_iter=1000)
    balanced = plain.fit(as_logs(counts), active).predict_proba(as_logs(counts))[:, 1]
    scores = LogisticModel().fit_predict(counts, active[:, None].astype(float), counts, seed=0)[:, 0]
    odds = scores / (1 - scores) * (1 - balanced) / balanced
    assert odds == pytest.approx(np.full(4000, active.mean() / (1 - active.mean())))
    assert scores.mean() == pytest.approx(active.mean(), abs=0.01)
    assert balanced.mean() > 3 * active.mean()


def test_groups_of_trees_see_all_actives_and_rank_as_well():
    rng = np.random.default_rng(1)
    counts = csr_matrix(rng.poisson(0.3, size=(3000, 40)).astype(np.float32))
    active = rng.random(3000) < np.where(counts.toarray()[:, 0] > 1, 0.5, 0.005)
    labels = active[:, None].astype(float)
    train, test = slice(0, 2000), slice(2000, 3000)
    one, groups = (
        RandomForest(n_trees=20, min_samples_leaf=5, max_inactives=limit, n_groups=7).fit_predict(
            counts[train], labels[train], counts[test], seed=0
        )[:, 0]
        for limit in (2000, 400)
    )
    assert (one != groups).any()
    aucs = [roc_auc_score(active[test], scores) for scores in (one, groups)]
    assert min(aucs) > 0.7
    assert aucs[0] == pytest.approx(aucs[1], abs=0.06)


def test_fewer_inactives_lower_the_odds_by_their_share():
    counts = csr_matrix(np.ones((1010, 1), dtype=np.float32))
    labels = np.repeat([1.0, 0.0], [10, 1000])[:, None]
    forest = RandomForest(n_trees=3, max_inactives=10, n_groups=3)
    # Nothing to split by: balanced trees say 1/2, which is 1/100 in odds of all inactives.
    score = forest.fit_predict(counts, labels, counts[:1], seed=0)[0, 0]
    assert score == pytest.approx(1 / 101)


@pytest.mark.parametrize("field", ["n_trees", "max_inactives", "n_groups", "n_jobs"])
def test_impossible_forests(field):
    with pytest.raises(UsageError, match=f"{field} = 0"):
        RandomForest(**{field: 0})


def test_more_groups_than_trees():
    counts = csr_matrix(np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 1]])
    labels = np.array([[0.0], [0], [0], [1], [1]])
    scores = RandomForest(n_trees=2, max_inactives=1, n_groups=5).fit_predict(counts, labels, counts, seed=0)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_what_does_not_fit_is_refused(method, nci):
    counts, labels = nci
    with pytest.raises(UsageError, match=r"expected labels of shape \(10, n_tasks\)"):
        method.fit_predict(counts[:10], labels[:9], counts[10:], seed=0)
    with pytest.raises(UsageError, match="columns"):
        method.fit_predict(counts[:10], labels[:10], counts[10:, :5], seed=0)
    with pytest.raises(UsageError, match="label 2 is not 0, 1 or NaN"):
        method.fit_predict(counts[:10], labels[:10] * 2, counts[10:], seed=0)
    with pytest.raises(UsageError, match="wanted scores"):
        method.fit_predict(counts[:10], labels[:10], counts[10:], seed=0, wanted=np.ones((3, 2), dtype=bool))


def test_resolving_names():
    assert [b.name for b in resolve_baselines()] == list(BASELINES)
    assert resolve_baselines([" Nearest_Active", "nearest-active"]) == (NearestActive(),)
    assert resolve_baselines([]) == ()
    with pytest.raises(UnknownNameError, match="did you mean 'random-forest'"):
        resolve_baselines(["random-forrest"])


def test_titles_are_different():
    assert len({b.title for b in resolve_baselines()}) == len(BASELINES)


@pytest.mark.data
@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_ranks_real_assays(method, tox21):
    counts, labels = tox21
    part = np.random.default_rng(0).permutation(len(labels)) % 4
    scores = method.fit_predict(counts[part > 0], labels[part > 0], counts[part == 0], seed=0)
    aucs = []
    for of_task, found in zip(labels[part == 0].T, scores.T, strict=True):
        known = ~np.isnan(of_task)
        aucs.append(roc_auc_score(of_task[known], found[known]))
    assert np.median(aucs) > 0.65


@pytest.fixture(scope="module")
def tox21(data_dir):
    """Counts and labels of some molecules and tasks of Tox21."""
    table = pd.read_parquet(data_dir / "tox21.parquet").iloc[::4]
    mols = table["smiles"].map(Chem.MolFromSmiles)
    table = table[mols.notna()]
    labels = table[["NR-AhR", "SR-MMP", "SR-p53"]].to_numpy(dtype=float, na_value=np.nan)
    return morgan_counts(mols.dropna()), labels
