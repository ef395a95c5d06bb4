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
    GradientBoosting,
    LogisticModel,
    NearestActive,
    NearestNeighbours,
    RandomForest,
    RidgeModel,
    ValueBoosting,
    ValueForest,
    baseline_title,
    resolve_baselines,
)
from molig.evaluation.fingerprints import Described, as_logs, descriptors, morgan_counts
from molig.model import Objective

# Few trees, for time.
METHODS = [
    RandomForest(n_trees=15),
    GradientBoosting(n_iterations=10),
    LogisticModel(),
    NearestActive(),
]
OF_VALUES = [
    ValueForest(n_trees=30, max_features=0.33),
    ValueBoosting(n_iterations=30),
    RidgeModel(),
    NearestNeighbours(),
]


def described(smiles):
    return Described(morgan_counts(smiles), descriptors(smiles))


@pytest.fixture(scope="module")
def nci():
    """Counts and true labels of real molecules."""
    smiles = nci_smiles(400)
    labels = np.array([[label(text)[task] for task in TASKS] for text in smiles], dtype=float)
    return described(smiles), labels


@pytest.mark.parametrize(
    ("method", "least"),
    [(METHODS[0], 0.9), (METHODS[1], 0.9), (METHODS[2], 0.8)],
    ids=["forest", "boosting", "logistic"],
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
    assert (first != other).any() == (method.name in {"random-forest", "gradient-boosting"})


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
    counts = Described(morgan_counts(smiles))
    scores = NearestActive().fit_predict(counts[:60], labels, counts[60:], seed=0)
    assert scores[:, 0].tolist() == naive


def test_logistic_regression_keeps_the_order_of_the_balanced_one_and_the_share_of_actives():
    rng = np.random.default_rng(0)
    counts = csr_matrix(rng.poisson(0.5, size=(4000, 8)).astype(np.float32))
    true = 1 / (1 + np.exp(4 - 2 * np.log1p(counts.toarray()[:, 0])))
    active = rng.random(4000) < true
    plain = LogisticRegression(C=0.03, class_weight="balanced", max_iter=1000)
    balanced = plain.fit(as_logs(counts), active).predict_proba(as_logs(counts))[:, 1]
    molecules = Described(counts)
    scores = LogisticModel().fit_predict(molecules, active[:, None].astype(float), molecules, seed=0)[:, 0]
    odds = scores / (1 - scores) * (1 - balanced) / balanced
    assert odds == pytest.approx(np.full(4000, active.mean() / (1 - active.mean())))
    assert scores.mean() == pytest.approx(active.mean(), abs=0.01)
    assert balanced.mean() > 3 * active.mean()


def test_groups_of_trees_see_all_actives_and_rank_as_well():
    rng = np.random.default_rng(1)
    counts = Described(csr_matrix(rng.poisson(0.3, size=(3000, 40)).astype(np.float32)))
    active = rng.random(3000) < np.where(counts.counts.toarray()[:, 0] > 1, 0.5, 0.005)
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
    counts = Described(csr_matrix(np.ones((1010, 1), dtype=np.float32)))
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
    counts = Described(csr_matrix(np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 1]]))
    labels = np.array([[0.0], [0], [0], [1], [1]])
    scores = RandomForest(n_trees=2, max_inactives=1, n_groups=5).fit_predict(counts, labels, counts, seed=0)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_what_does_not_fit_is_refused(method, nci):
    counts, labels = nci
    with pytest.raises(UsageError, match=r"expected labels of shape \(10, n_tasks\)"):
        method.fit_predict(counts[:10], labels[:9], counts[10:], seed=0)
    narrow = Described(counts.counts[10:, :5], counts.descriptors[10:])
    with pytest.raises(UsageError, match="columns"):
        method.fit_predict(counts[:10], labels[:10], narrow, seed=0)
    with pytest.raises(UsageError, match="label 2 is not 0, 1 or NaN"):
        method.fit_predict(counts[:10], labels[:10] * 2, counts[10:], seed=0)
    with pytest.raises(UsageError, match="wanted scores"):
        method.fit_predict(counts[:10], labels[:10], counts[10:], seed=0, wanted=np.ones((3, 2), dtype=bool))


def test_resolving_names():
    names = ["random-forest", "gradient-boosting", "logistic-regression", "nearest-active"]
    assert [b.name for b in resolve_baselines()] == names
    assert [b.name for b in resolve_baselines(["nearest-active", "all"])] == [names[3], *names[:3]]
    assert resolve_baselines([" Nearest_Active", "nearest-active"]) == (NearestActive(),)
    assert resolve_baselines([]) == ()
    with pytest.raises(UnknownNameError, match="did you mean 'random-forest'"):
        resolve_baselines(["random-forrest"])


def test_baselines_of_values_have_names_of_their_own_where_they_differ():
    names = ["random-forest", "gradient-boosting", "ridge-regression", "nearest-neighbours"]
    assert [b.name for b in resolve_baselines(objective=Objective.REGRESSION)] == names
    with pytest.raises(UnknownNameError, match=r"unknown baseline of a regression 'nearest-active'"):
        resolve_baselines(["nearest-active"], Objective.REGRESSION)


def test_every_name_has_one_title():
    for known in BASELINES.values():
        assert len({b.title for b in known.values()}) == len(known)
        assert all(baseline_title(name) == b.title for name, b in known.items())
    assert baseline_title("molig") is None


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
    table = pd.read_parquet(data_dir / "tox21.parquet").iloc[::8]
    mols = table["smiles"].map(Chem.MolFromSmiles)
    table = table[mols.notna()]
    labels = table[["NR-AhR", "SR-MMP", "SR-p53"]].to_numpy(dtype=float, na_value=np.nan)
    mols = mols.dropna()
    return Described(morgan_counts(mols), descriptors(mols)), labels


# --- gradient boosting --------------------------------------------------------------------------------


def test_boosting_sees_descriptors():
    """Counts are the same everywhere, so only a descriptor can tell."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 2)).astype(np.float32)
    values[::7, 1] = np.nan
    molecules = Described(csr_matrix(np.ones((400, 3), dtype=np.float32)), values)
    labels = (values[:, :1] > 0.3).astype(float)
    scores = GradientBoosting(n_iterations=20).fit_predict(molecules[:300], labels[:300], molecules[300:], 0)
    assert roc_auc_score(labels[300:, 0], scores[:, 0]) > 0.98
    with pytest.raises(UsageError, match="gradient-boosting learns from descriptors, too"):
        GradientBoosting().fit_predict(
            Described(molecules.counts[:300]), labels[:300], Described(molecules.counts[300:]), 0
        )


def test_boosting_sees_the_commoner_counts_only():
    rng = np.random.default_rng(0)
    counts = np.zeros((400, 2), dtype=np.float32)
    counts[rng.permutation(300)[:40], 0] = 1
    counts[300:] = 1
    labels = counts[:, :1].astype(float)
    molecules = Described(csr_matrix(counts), np.zeros((400, 1), dtype=np.float32))
    for share, seen in ((0.1, True), (0.2, False)):
        method = GradientBoosting(n_iterations=20, min_share=share)
        scores = method.fit_predict(molecules[:300], labels[:300], molecules, 0)[:300, 0]
        assert (scores.max() > scores.min()) == seen


def test_boosting_states_the_share_of_actives():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6000, 1)).astype(np.float32)
    labels = (rng.random((6000, 1)) < 1 / (1 + np.exp(3.5 - values))).astype(float)
    molecules = Described(csr_matrix((6000, 1), dtype=np.float32), values)
    every = GradientBoosting(n_iterations=20)
    drawn = GradientBoosting(n_iterations=20, max_inactives=1000, n_groups=3)
    one, groups = (m.fit_predict(molecules, labels, molecules, 0)[:, 0] for m in (every, drawn))
    assert one.mean() == pytest.approx(labels.mean(), rel=0.1)
    assert groups.mean() == pytest.approx(labels.mean(), rel=0.15)
    assert (one != groups).any()
    again = drawn.fit_predict(molecules, labels, molecules, 0)[:, 0]
    other = drawn.fit_predict(molecules, labels, molecules, 1)[:, 0]
    assert (groups == again).all()
    assert (groups != other).any()


@pytest.mark.parametrize("field", ["n_iterations", "max_inactives", "n_groups"])
def test_impossible_boosting(field):
    with pytest.raises(UsageError, match=f"{field} = 0"):
        GradientBoosting(**{field: 0})


# --- values -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sizes():
    """Real molecules and two values: their heavy atoms, and the same where known."""
    smiles = nci_smiles(400)
    values = np.array([[Chem.MolFromSmiles(text).GetNumHeavyAtoms()] * 2 for text in smiles], dtype=float)
    values[::3, 1] = np.nan
    return described(smiles), values


@pytest.mark.parametrize("method", OF_VALUES, ids=lambda m: m.name)
def test_learns_values(method, sizes):
    molecules, values = sizes
    found = method.fit_predict(molecules[:300], values[:300], molecules[300:], seed=0)
    assert found.shape == (100, 2)
    errors = found - values[300:, :1]
    least = {"nearest-neighbours": 0.1, "gradient-boosting": 0.9}.get(method.name, 0.5)
    assert (1 - (errors**2).mean(axis=0) / values[300:, 0].var() > least).all()


@pytest.mark.parametrize("method", OF_VALUES, ids=lambda m: m.name)
def test_a_task_with_one_value_has_no_scores(method, sizes):
    molecules, values = sizes
    values = values[:100].copy()
    values[:, 1] = 3.5
    found = method.fit_predict(molecules[:100], values, molecules[300:320], seed=0)
    assert np.isfinite(found[:, 0]).all()
    assert np.isnan(found[:, 1]).all()


def test_neighbours_are_the_naive_loop():
    smiles = nci_smiles(90)
    values = np.random.default_rng(0).normal(size=(60, 1))
    vectors = [
        rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint(Chem.MolFromSmiles(s))
        for s in smiles
    ]
    naive = []
    for vector in vectors[60:]:
        similar = np.array(DataStructs.BulkTanimotoSimilarity(vector, vectors[:60]))
        naive.append(values[similar >= np.sort(similar)[-3], 0].mean())
    molecules = Described(morgan_counts(smiles))
    found = NearestNeighbours(3).fit_predict(molecules[:60], values, molecules[60:], seed=0)
    assert found[:, 0] == pytest.approx(naive)
    many = NearestNeighbours(1000).fit_predict(molecules[:60], values, molecules[60:], seed=0)
    assert many[:, 0] == pytest.approx(np.full(30, values.mean()))


@pytest.mark.parametrize(
    ("method", "field"),
    [(ValueForest, "n_trees"), (ValueBoosting, "n_iterations"), (NearestNeighbours, "n_neighbours")],
)
def test_impossible_methods_of_values(method, field):
    with pytest.raises(UsageError, match=f"{field} = 0"):
        method(**{field: 0})
