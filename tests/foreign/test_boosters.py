"""Models of XGBoost and LightGBM: files written by hand, and parity with the packages where installed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.special import expit, logit

import molig
from molig.errors import ModelFormatError, UsageError
from molig.foreign import FingerprintModel, MorganFingerprint, load_fingerprint_model
from molig.foreign.boosters import read_booster, read_booster_object
from molig.foreign.estimators import Scale

N = 8
COUNTS = np.array([[0, 0], [1, 0], [2, 0], [3, 0], [0, 1], [1, 1], [5, 2]])


def rows(counts=COUNTS):
    """Fingerprints with two columns of interest, 2 and 5."""
    table = np.zeros((len(counts), N))
    table[:, [2, 5]] = counts
    return csr_matrix(table)


def xgboost_tree(**changes):
    """Column 2 below 2, then column 5 below 1; leaves 0.5, -0.25, 1."""
    tree = {
        "left_children": [1, 3, -1, -1, -1],
        "right_children": [2, 4, -1, -1, -1],
        "split_indices": [2, 5, 0, 0, 0],
        "split_conditions": [2.0, 1.0, 0.5, -0.25, 1.0],
        "default_left": [0, 0, 0, 0, 0],
        "split_type": [0, 0, 0, 0, 0],
        "tree_param": {"size_leaf_vector": "1"},
    }
    return tree | changes


def xgboost_file(*trees, objective="binary:logistic", base="[2E-1]", attributes=None, **booster):
    trees = trees or (xgboost_tree(),)
    model = {
        "trees": list(trees),
        "tree_info": [0] * len(trees),
        "iteration_indptr": list(range(len(trees) + 1)),
        "gbtree_model_param": {"num_parallel_tree": "1"},
    }
    return {
        "learner": {
            "attributes": attributes or {},
            "gradient_booster": {"name": "gbtree", "model": model} | booster,
            "learner_model_param": {"base_score": base, "num_feature": str(N), "num_target": "1"},
            "objective": {"name": objective},
        }
    }


def read(tmp_path, content, name="model.json"):
    path = tmp_path / name
    return read_booster(path, json.dumps(content).encode() if isinstance(content, dict) else content)


def by_hand(first, second):
    """What the tree above adds."""
    return np.where(first >= 2, 0.5, np.where(second >= 1, 1.0, -0.25))


class TestXGBoost:
    def test_scores_are_sums_of_leaves_below_conditions(self, tmp_path):
        found = read(tmp_path, xgboost_file())
        assert (found.scale, found.tasks, found.asks_for_counts) == (Scale.LOGIT, ("active",), True)
        expected = expit(logit(0.2) + by_hand(*COUNTS.T))
        np.testing.assert_allclose(found.predict(rows())[:, 0], expected, rtol=1e-14)

    def test_values(self, tmp_path):
        found = read(
            tmp_path, xgboost_file(xgboost_tree(), xgboost_tree(), objective="reg:squarederror", base="1.5")
        )
        assert (found.scale, found.tasks) == (Scale.VALUE, ("value",))
        np.testing.assert_allclose(found.predict(rows())[:, 0], 1.5 + 2 * by_hand(*COUNTS.T))

    def test_early_stopping_and_dropped_trees(self, tmp_path):
        three = [xgboost_tree()] * 3
        best = xgboost_file(
            *three, objective="reg:squarederror", base="0", attributes={"best_iteration": "1"}
        )
        np.testing.assert_allclose(read(tmp_path, best).predict(rows())[:, 0], 2 * by_hand(*COUNTS.T))
        dart = xgboost_file(*three, objective="reg:squarederror", base="0")
        booster = dart["learner"]["gradient_booster"]
        dart["learner"]["gradient_booster"] = {
            "name": "dart",
            "gbtree": booster,
            "weight_drop": [1.0, 0.5, 0.25],
        }
        np.testing.assert_allclose(read(tmp_path, dart).predict(rows())[:, 0], 1.75 * by_hand(*COUNTS.T))

    def test_zeros_that_were_missing_go_to_their_own_side(self, tmp_path):
        """Column 5 sends them right, column 2 left: this was trained on a sparse matrix of counts."""
        tree = xgboost_tree(default_left=[1, 0, 0, 0, 0], split_conditions=[2.0, 2.0, 0.5, -0.25, 1.0])
        found = read(tmp_path, xgboost_file(tree, objective="reg:squarederror", base="0"))
        first, second = COUNTS.T
        expected = np.where(first >= 2, 0.5, np.where(second == 1, -0.25, 1.0))
        np.testing.assert_allclose(found.predict(rows())[:, 0], expected)

    def test_bits_of_a_sparse_matrix(self, tmp_path):
        """All that is stored is below the condition, and only what is not goes right."""
        tree = xgboost_tree(split_conditions=[2.00001, 2.00001, 0.5, -0.25, 1.0])
        found = read(tmp_path, xgboost_file(tree, objective="reg:squarederror", base="0"))
        assert found.asks_for_counts is False
        first, second = np.minimum(COUNTS, 1).T
        expected = np.where(first == 0, 0.5, np.where(second == 0, 1.0, -0.25))
        np.testing.assert_allclose(found.predict(rows(np.minimum(COUNTS, 1)))[:, 0], expected)
        assert len(found.scores.column) == 5

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (xgboost_file(objective="multi:softprob"), "several classes depend on each other's sums"),
            (xgboost_file(objective="count:poisson"), "exponential of a sum"),
            (xgboost_file(objective="rank:map"), "'rank:map' is not explained: molig does not know it"),
            (xgboost_file(name="gblinear", model={"weights": [1.0]}), "'gblinear' is not read"),
            (xgboost_file(xgboost_tree(split_type=[1, 0, 0, 0, 0])), "ask for categories"),
            (xgboost_file(xgboost_tree(tree_param={"size_leaf_vector": "2"})), "several values at a leaf"),
        ],
    )  # fmt: skip
    def test_other_models(self, content, words, tmp_path):
        with pytest.raises(UsageError, match=rf"model\.json: .*{words}"):
            read(tmp_path, content)

    @pytest.mark.parametrize(
        "content",
        [
            b"", b"[]", b"{", b'{"learner": 1}', b"\xff", b"[" * 100_000,
            xgboost_file(xgboost_tree(left_children=[1, 0, -1, -1, -1])),
            xgboost_file(xgboost_tree(left_children=[1, 9, -1, -1, -1])),
            xgboost_file(xgboost_tree(split_indices=[2, N, 0, 0, 0])),
            xgboost_file(xgboost_tree(split_conditions=[2.0, float("nan"), 0.5, -0.25, 1.0])),
            xgboost_file(xgboost_tree(default_left=[0])),
            xgboost_file(base="much"),
        ],
    )  # fmt: skip
    def test_damaged_files(self, content, tmp_path):
        with pytest.raises(ModelFormatError, match=r"model\.json"):
            read(tmp_path, content)


LIGHTGBM = """tree
version=v4
num_class=1
num_tree_per_iteration=1
max_feature_idx=7
objective={objective}
feature_names=a b c d e f g h
{more}
tree_sizes=1 1

Tree=0
num_leaves=3
num_cat={categories}
split_feature=2 5
split_gain=1 1
threshold=1.5 1.0000000180025095e-35
decision_type={decision} 2
left_child=1 -1
right_child=-2 -3
leaf_value=-0.25 0.5 1
is_linear={linear}
shrinkage=1


Tree=1
num_leaves=1
num_cat=0
leaf_value=0.125
is_linear=0
shrinkage=1


end of trees

feature_importances:
"""


def lightgbm_file(objective="binary sigmoid:1", more="", categories=0, decision=2, linear=0):
    given = {"objective": objective, "more": more, "categories": categories, "decision": decision}
    return LIGHTGBM.format(**given, linear=linear).encode()


class TestLightGBM:
    def test_scores_are_sums_of_leaves_up_to_thresholds(self, tmp_path):
        found = read(tmp_path, lightgbm_file(), "model.txt")
        assert (found.scale, found.tasks, found.asks_for_counts) == (Scale.LOGIT, ("active",), True)
        expected = by_hand(*COUNTS.T) + 0.125
        np.testing.assert_allclose(found.predict(rows())[:, 0], expit(expected), rtol=1e-14)
        values = read(tmp_path, lightgbm_file("regression_l1"), "model.txt")
        np.testing.assert_allclose(values.predict(rows())[:, 0], expected)

    def test_what_is_done_to_the_sum(self, tmp_path):
        expected = by_hand(*COUNTS.T) + 0.125
        steeper = read(tmp_path, lightgbm_file("binary sigmoid:2"), "model.txt")
        np.testing.assert_allclose(steeper.predict(rows())[:, 0], expit(2 * expected))
        forest = read(tmp_path, lightgbm_file("regression", more="average_output"), "model.txt")
        np.testing.assert_allclose(forest.predict(rows())[:, 0], expected / 2)

    def test_zeros_that_are_missing(self, tmp_path):
        found = read(tmp_path, lightgbm_file("regression", decision=4), "model.txt")  # they go right
        first, second = COUNTS.T
        expected = np.where(first == 0, 0.5, by_hand(first, second)) + 0.125
        np.testing.assert_allclose(found.predict(rows())[:, 0], expected)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"objective": "multiclass num_class:3"}, "several classes"),
            ({"objective": "poisson"}, "exponential of a sum"),
            ({"objective": "regression sqrt"}, "square of a sum"),
            ({"objective": "lambdarank"}, "molig does not know it"),
            ({"categories": 1}, "categories"),
            ({"decision": 3}, "categories"),
            ({"linear": 1}, "leaves are linear models"),
        ],
    )
    def test_other_models(self, options, words, tmp_path):
        with pytest.raises(UsageError, match=rf"model\.txt: .*{words}"):
            read(tmp_path, lightgbm_file(**options), "model.txt")

    @pytest.mark.parametrize(
        "content",
        [
            b"", b"CCO ethanol\n", b"tree\n", b"\xff\xfe",
            lightgbm_file().replace(b"threshold=1.5 ", b"threshold="),
            lightgbm_file().replace(b"left_child=1 -1", b"left_child=0 -1"),
            lightgbm_file().replace(b"split_feature=2 5", b"split_feature=2 99"),
            lightgbm_file().replace(b"max_feature_idx=7", b"max_feature_idx=99999999999"),
        ],
    )  # fmt: skip
    def test_damaged_files(self, content, tmp_path):
        with pytest.raises(ModelFormatError, match=r"model\.txt"):
            read(tmp_path, content, "model.txt")


def test_a_file_is_explained_like_any_forest(tmp_path):
    path = tmp_path / "model.txt"
    path.write_bytes(lightgbm_file("regression"))
    model = load_fingerprint_model(path, "morgan:bits=8,counts")
    why = molig.explain(model, "CC(=O)Oc1ccccc1C(=O)O", target="value")
    assert why.method == "shapley"
    assert abs(why.atom_scores.sum() - (why.score - why.baseline_score)) < 1e-12
    with pytest.raises(UsageError, match="another fingerprint: it reads 8 columns"):
        load_fingerprint_model(path, "morgan:counts")


# Beside the packages.


@pytest.fixture(scope="module")
def trained():
    """Counts of made-up molecules, and labels."""
    random = np.random.default_rng(0)
    counts = random.poisson(0.7, (300, 64)).astype(np.float32)
    values = counts @ random.normal(size=64) + random.normal(size=300)
    return counts, values


def assert_same(own, found, data, made):
    expected = own.predict_proba(data)[:, 1] if found.scale is Scale.LOGIT else own.predict(data)
    table = csr_matrix(made.astype(np.float64))
    top = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found.predict(table)[:, 0], expected, rtol=0, atol=1e-6 * top)


@pytest.mark.parametrize("made_of", ["counts", "bits", "sparse counts", "sparse bits"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("XGBClassifier", {"max_depth": 4}),
        ("XGBRegressor", {"tree_method": "exact", "max_depth": 3}),
        ("XGBClassifier", {"booster": "dart", "rate_drop": 0.3}),
        ("XGBRFClassifier", {"max_depth": 4}),
    ],
)
def test_xgboost(kind, options, made_of, trained, tmp_path):
    xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed (see CONTRIBUTING.md)")
    counts, values = trained
    binary = "bits" in made_of
    made = (counts > 0).astype(np.float32) if binary else counts
    data = csr_matrix(made) if "sparse" in made_of else made
    labels = values > np.median(values) if "Classifier" in kind else values
    own = getattr(xgboost, kind)(n_estimators=12, n_jobs=1, **options).fit(data, labels)
    for suffix in (".json", ".ubj"):
        own.save_model(tmp_path / f"it{suffix}")
        read = read_booster(tmp_path / f"it{suffix}", (tmp_path / f"it{suffix}").read_bytes())
        assert_same(own, read, data, made)
        assert read.asks_for_counts is not binary
    assert_same(own, read_booster_object(own), data, made)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LGBMClassifier", {}),
        ("LGBMRegressor", {"objective": "quantile"}),
        ("LGBMClassifier", {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}),
        ("LGBMClassifier", {"boosting_type": "dart"}),
        ("LGBMRegressor", {"zero_as_missing": True}),
    ],
)
def test_lightgbm(kind, options, trained, tmp_path):
    lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed (see CONTRIBUTING.md)")
    counts, values = trained
    labels = values > np.median(values) if "Classifier" in kind else values
    own = getattr(lightgbm, kind)(n_estimators=12, n_jobs=1, verbose=-1, **options).fit(
        csr_matrix(counts), labels
    )
    own.booster_.save_model(tmp_path / "it.txt")
    for read in (
        read_booster(tmp_path / "it.txt", (tmp_path / "it.txt").read_bytes()),
        read_booster_object(own),
    ):
        assert_same(own, read, csr_matrix(counts), counts)
        assert read.asks_for_counts


@pytest.mark.parametrize("package", ["xgboost", "lightgbm"])
def test_through_onnx(package, trained):
    module, tools = pytest.importorskip(package), pytest.importorskip("onnxmltools")
    from onnxmltools.convert.common.data_types import FloatTensorType

    from molig.foreign.onnx_models import read_onnx

    counts, values = trained
    prefix, convert = {"xgboost": "XGB", "lightgbm": "LGBM"}[package], getattr(tools, f"convert_{package}")
    quiet = {"verbose": -1} if package == "lightgbm" else {}
    for kind, labels in (("Classifier", (values > 0).astype(int)), ("Regressor", values)):
        own = getattr(module, f"{prefix}{kind}")(n_estimators=12, n_jobs=1, **quiet).fit(counts, labels)
        data = convert(own, initial_types=[("X", FloatTensorType([None, 64]))]).SerializeToString()
        assert_same(own, read_onnx("it.onnx", data, 64), counts, counts)


def test_objects_of_the_packages(trained):
    lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed (see CONTRIBUTING.md)")
    counts, values = trained
    own = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(
        counts, np.where(values > 0, "toxic", "fine")
    )
    model = FingerprintModel(own, MorganFingerprint(counts=True, n_bits=64))
    assert (model.tasks, model.name) == (("toxic",), "LGBMClassifier")
    assert read_booster_object(object()) is None
    with pytest.raises(UsageError, match="not fitted"):
        read_booster_object(lightgbm.LGBMClassifier())
