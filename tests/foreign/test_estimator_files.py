"""Files of models on fingerprints: what they predict, and that nothing in them is run."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_regression
from sklearn.linear_model import (
    Lasso,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeCV,
    SGDClassifier,
)
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVR, LinearSVR
from sklearn.tree import DecisionTreeClassifier

import molig
from molig.errors import InputError, ModelFormatError, MoligError, UsageError, speaking_of_options
from molig.foreign import FingerprintOptions, is_foreign, load_any_model, load_fingerprint_model
from molig.foreign.estimator_files import audit_skops
from molig.foreign.onnx_models import read_onnx

skops = pytest.importorskip("skops.io", reason="skops is not installed (pip install 'molig[forests]')")
onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'molig[forests]')")
skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")

TEXT = "morgan:bits=24,counts"
RANDOM = np.random.default_rng(5)
COUNTS = RANDOM.poisson(0.6, (200, 24)).astype(np.float32)
VALUES = (COUNTS[:, 0] - COUNTS[:, 1] * COUNTS[:, 2] + RANDOM.normal(0, 0.2, 200)).astype(float)
CLASSES = (VALUES > 0.2).astype(int)
NEW = np.random.default_rng(6).poisson(0.7, (100, 24)).astype(np.float32)

CASES = {
    "forest": (RandomForestClassifier(8, random_state=0), CLASSES),
    "words": (ExtraTreesClassifier(5, random_state=0), np.where(CLASSES, "toxic", "harmless")),
    "three classes": (RandomForestClassifier(5, random_state=0), np.digitize(VALUES, [0, 1])),
    "values": (RandomForestRegressor(8, random_state=0), VALUES),
    "outputs": (RandomForestRegressor(4, random_state=0), np.stack([VALUES, -2 * VALUES], axis=1)),
    "tree": (DecisionTreeClassifier(max_depth=5), CLASSES),
    "boosted": (GradientBoostingClassifier(n_estimators=12), CLASSES),
    "boosted values": (GradientBoostingRegressor(n_estimators=12), VALUES),
    "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), CLASSES),
    "ridge": (make_pipeline(MinMaxScaler(clip=True), VarianceThreshold(), Ridge()), VALUES),
    "support": (make_pipeline(MaxAbsScaler(), RobustScaler(), Binarizer(), LinearSVR()), VALUES),
}
SKOPS_ONLY = {
    "scaled forest": (make_pipeline(StandardScaler(), RandomForestRegressor(4, random_state=0)), VALUES),
    "histogram": (HistGradientBoostingClassifier(max_iter=8), CLASSES),
    "histogram values": (HistGradientBoostingRegressor(max_iter=8, loss="quantile", quantile=0.6), VALUES),
    "exponential": (GradientBoostingClassifier(n_estimators=5, loss="exponential"), CLASSES),
    "huber": (GradientBoostingRegressor(n_estimators=5, loss="huber"), VALUES),
    "descent": (SGDClassifier(loss="log_loss"), CLASSES),
    "latent": (PLSRegression(2), VALUES),
    "selected": (make_pipeline(SelectKBest(f_regression, k=9), Lasso(0.01)), VALUES),
    "kernel": (SVR(kernel="linear"), VALUES),
    "searched": (RidgeCV(), VALUES),
    "searched logistic": (LogisticRegressionCV(cv=2), CLASSES),
}


def own(estimator, rows):
    if not hasattr(estimator, "predict_proba"):
        return estimator.predict(rows).reshape(len(rows), -1)
    found = estimator.predict_proba(rows)
    return found[:, 1:] if found.shape[1] == 2 else found


def fitted(name):
    estimator, labels = (CASES | SKOPS_ONLY)[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(COUNTS, labels)


def loaded(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of counts and bits
        return load_fingerprint_model(path, TEXT, **options)


def scores(model):
    return model.additive.predict(csr_matrix(NEW.astype(float)))


@pytest.fixture
def forest(tmp_path):
    path = tmp_path / "forest.skops"
    skops.dump(fitted("forest"), path)
    return path


@pytest.mark.parametrize("name", CASES | SKOPS_ONLY)
def test_skops(name, tmp_path):
    estimator, path = fitted(name), tmp_path / "it.skops"
    skops.dump(estimator, path)
    np.testing.assert_allclose(
        scores(loaded(path)), own(estimator, NEW.astype(float)), atol=1e-12, rtol=1e-12
    )


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_onnx(name, zipmap, tmp_path):
    estimator, path = fitted(name), tmp_path / "it.onnx"
    options = {"zipmap": zipmap} if hasattr(estimator, "predict_proba") else {}
    written = skl2onnx.to_onnx(estimator, COUNTS[:1], options={id(estimator): options} if options else None)
    path.write_bytes(written.SerializeToString())
    model = loaded(path)
    # Coefficients and leaves are in single precision.
    np.testing.assert_allclose(scores(model), own(estimator, NEW.astype(float)), atol=1e-5)
    assert model.name == "it"


def test_scaling_in_single_precision(tmp_path):
    """A count of 2 may hit the threshold between 1 and 3: then rounding decides, and ONNX rounds so."""
    estimator, path = fitted("scaled forest"), tmp_path / "it.onnx"
    written = skl2onnx.to_onnx(estimator, COUNTS[:1])
    path.write_bytes(written.SerializeToString())
    held = {each.name: np.array(each.floats, dtype=np.float32) for each in written.graph.node[0].attribute}
    expected = estimator[-1].predict((NEW - held["offset"]) * held["scale"])
    np.testing.assert_allclose(scores(loaded(path))[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("LT", [10, 20, 20]), ("LEQ", [10, 10, 20]), ("GT", [20, 20, 10]), ("GTE", [20, 10, 10])],
)
def test_modes_of_onnx(mode, expected, tmp_path):
    """Scores of the counts 1, 2, 3 at a threshold of 2; 10 if the node's question is true."""
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, post_transform="NONE",
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0],
        nodes_modes=[f"BRANCH_{mode}", "LEAF", "LEAF"], nodes_values=[2.0, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[10.0, 20.0],
    )  # fmt: skip
    path = tmp_path / "it.onnx"
    path.write_bytes(onnx_model(node).SerializeToString())
    rows = np.zeros((3, 24))
    rows[:, 0] = [1, 2, 3]
    assert loaded(path).additive.predict(csr_matrix(rows))[:, 0].tolist() == expected


def onnx_model(*nodes, columns=24, initializers=()):
    inputs = [onnx.helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, [None, columns])]
    outputs = [onnx.helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, None)]
    return onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", inputs, outputs, list(initializers)))


def linear_node(**changes):
    given = {"coefficients": [1.0] * 24, "intercepts": [0.5]} | changes
    return onnx.helper.make_node("LinearRegressor", ["X"], ["Y"], domain="ai.onnx.ml", **given)


@pytest.mark.parametrize(
    ("model", "error", "problem"),
    [
        (
            onnx_model(onnx.helper.make_node("Gemm", ["X"], ["Y"])),
            UsageError,
            r"neural network \(Gemm\)",
        ),
        (
            onnx_model(onnx.helper.make_node("LSTM", ["X"], ["Y"])),
            UsageError,
            r"neural network \(LSTM\)",
        ),
        (onnx_model(linear_node(), linear_node()), UsageError, "2 nodes of the graph read"),
        (onnx_model(), UsageError, "0 nodes of the graph read"),
        (
            onnx_model(linear_node(), onnx.helper.make_node("Softmax", ["Y"], ["Z"])),
            UsageError,
            "goes on with Softmax",
        ),
        (onnx_model(linear_node(coefficients=[1.0] * 23)), ModelFormatError, "do not fit together"),
        (onnx_model(linear_node(coefficients=[float("nan")] * 24)), ModelFormatError, "not finite"),
        (onnx_model(linear_node(post_transform="PROBIT")), UsageError, "PROBIT"),
        (onnx_model(linear_node(coefficients=[1.0] * 9), columns=9), UsageError, "another fingerprint"),
        (onnx_model(linear_node(), columns=1 << 40), ModelFormatError, "more than any fingerprint"),
    ],
)
def test_other_onnx_files(model, error, problem, tmp_path):
    path = tmp_path / "it.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(error, match=problem):
        loaded(path)


def test_onnx_keeps_to_its_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"\x00" * 96)
    tensor = onnx.TensorProto(name="w", dims=[24], data_type=1, data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret")
    scaled = onnx.helper.make_node("Mul", ["X", "w"], ["S"])
    model = onnx.helper.make_node(
        "LinearRegressor", ["S"], ["Y"], domain="ai.onnx.ml", coefficients=[1.0] * 24
    )
    path = tmp_path / "it.onnx"
    path.write_bytes(onnx_model(scaled, model, initializers=[tensor]).SerializeToString())
    with pytest.raises(ModelFormatError, match="another file"):
        loaded(path)


@pytest.mark.parametrize("kind", ["skops", "onnx"])
def test_damaged_files(kind, tmp_path):
    """Whatever is changed, the answer is a model or an error that names the file."""
    whole = tmp_path / f"it.{kind}"
    if kind == "skops":
        skops.dump(fitted("forest"), whole)
    else:
        written = skl2onnx.to_onnx(fitted("forest"), COUNTS[:1])
        whole.write_bytes(written.SerializeToString())
    data, path = whole.read_bytes(), tmp_path / f"damaged.{kind}"
    random = np.random.default_rng(0)
    for i in range(60):
        changed = bytearray(data[: len(data) * (i + 1) // 31] if i < 30 else data)
        if i >= 30:
            for place in random.integers(0, len(changed), 8):
                changed[place] = random.integers(0, 256)
        path.write_bytes(bytes(changed))
        with contextlib.suppress(MoligError):
            loaded(path)


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".joblib"])
def test_pickles_are_not_loaded_unless_trusted(suffix, tmp_path):
    proof, path = tmp_path / "proof", tmp_path / f"evil{suffix}"
    path.write_bytes(pickle.dumps(Evil(str(proof))))
    for options in ({}, {"trust_pickle": False}):
        with pytest.raises(UsageError, match="runs whatever program its maker put into it"):
            load_fingerprint_model(path, TEXT, **options)
    with speaking_of_options(), pytest.raises(UsageError, match="say --trust-pickle"):
        load_any_model(path)
    assert not proof.exists()
    with pytest.raises(UsageError, match="a NoneType cannot be explained"):
        load_fingerprint_model(path, TEXT, trust_pickle=True)
    assert proof.exists()
    estimator = fitted("forest")
    joblib.dump(estimator, path)
    np.testing.assert_allclose(scores(loaded(path, trust_pickle=True)), own(estimator, NEW), atol=1e-12)
    path.write_bytes(b"\x80\x04nothing")
    with pytest.raises(ModelFormatError, match="cannot be loaded"):
        load_fingerprint_model(path, TEXT, trust_pickle=True)


def rewritten(path, change):
    """The skops file with another description."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(parts["schema.json"])
    parts["schema.json"] = json.dumps(change(description)).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    path.write_bytes(made.getvalue())


@pytest.mark.parametrize(
    "part",
    [
        {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"},
        {"__class__": "system", "__module__": "posix", "__loader__": "TypeNode"},
        {"__class__": "partial", "__module__": "functools", "__loader__": "PartialNode"},
        {"__class__": "methodcaller", "__module__": "operator", "__loader__": "OperatorFuncNode"},
        {
            "__class__": "RandomForestClassifier",
            "__module__": "sklearn.ensemble._forest",
            "__loader__": "MethodNode",
        },
        {"__class__": "RandomForestClassifier", "__module__": "os", "__loader__": "ObjectNode"},
        {"__class__": "dict", "__module__": "builtins"},
        {"__loader__": ["ObjectNode"]},
        {"__module__": "os"},
        {"__class__": {}, "__module__": [], "__loader__": 7},
    ],
)
def test_names_outside_the_list_are_refused_before_anything_is_made(part, forest):
    def change(description):
        description["content"]["content"]["extra"] = [part | {"content": {}, "__id__": 1}]
        return description

    rewritten(forest, change)
    with pytest.raises(ModelFormatError, match=r"forest\.skops names .*nothing in it was run"):
        load_fingerprint_model(forest, TEXT)


@pytest.mark.parametrize(
    "estimator", [MLPRegressor(hidden_layer_sizes=(2,), max_iter=5), make_pipeline(PCA(2), Ridge())]
)
@pytest.mark.filterwarnings("ignore")
def test_other_models_in_skops_files(estimator, tmp_path):
    skops.dump(estimator.fit(COUNTS, VALUES), tmp_path / "it.skops")
    with pytest.raises(ModelFormatError, match=r"names sklearn\.(neural_network|decomposition)"):
        load_fingerprint_model(tmp_path / "it.skops", TEXT)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d | {"protocol": 0}, "older"),
        (lambda d: [d], "damaged"),
        (lambda d: {"protocol": 2}, "cannot be loaded"),
        (lambda d: d | {"content": 3}, "cannot be loaded"),
        (lambda d: d | {"__loader__": "CachedNode"}, "cannot be loaded"),
    ],
)
def test_damaged_descriptions(change, problem, forest):
    rewritten(forest, change)
    with pytest.raises(ModelFormatError, match=problem):
        load_fingerprint_model(forest, TEXT)


def test_deep_and_large_descriptions(tmp_path, monkeypatch):
    path = tmp_path / "it.skops"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "[" * 200_000)
    with pytest.raises(ModelFormatError, match="damaged"):
        load_fingerprint_model(path, TEXT)
    skops.dump(fitted("forest"), path)
    monkeypatch.setattr("molig.foreign.estimator_files.LARGEST_FILE", 50_000)
    with pytest.raises(ModelFormatError, match="too large"):
        audit_skops(path, path.read_bytes())
    for data, problem in ((b"", "damaged"), (b"PK\x03\x04", "damaged")):
        path.write_bytes(data)
        with pytest.raises(ModelFormatError, match=problem):
            load_fingerprint_model(path, TEXT)


def test_trees_of_a_file_are_checked_before_they_are_followed(tmp_path):
    """scikit-learn would read beyond the end of its arrays."""
    for column, value in (("left_child", 10**6), ("feature", 10**6), ("left_child", 0)):
        estimator = fitted("boosted")
        tree = estimator.estimators_[0, 0].tree_
        state = tree.__getstate__()
        state["nodes"][column][0] = value
        tree.__setstate__(state)
        skops.dump(estimator, tmp_path / "it.skops")
        with pytest.raises(ModelFormatError, match="damaged"):
            loaded(tmp_path / "it.skops")


def test_by_name(forest, tmp_path):
    for suffix in (".skops", ".onnx", ".pkl", ".pickle", ".joblib"):
        assert is_foreign(f"not/there{suffix}")
    with pytest.raises(InputError, match="cannot be read"):
        load_any_model(tmp_path / "none.skops", fingerprint=FingerprintOptions(TEXT))
    model = load_any_model(forest, fingerprint=FingerprintOptions(TEXT))
    assert model.name == "forest"
    why = molig.explain(model, "CCOC(=O)c1ccncc1")
    assert abs(why.residual) < 1e-12
    with speaking_of_options(), pytest.raises(UsageError, match="name it by --fingerprint, such as morgan"):
        load_any_model(forest)
    with pytest.raises(UsageError, match="trained on another fingerprint"):
        load_any_model(forest, fingerprint=FingerprintOptions("morgan:counts"))
    with pytest.raises(UsageError, match="stands alone"):
        load_any_model([forest, forest], fingerprint=FingerprintOptions(TEXT))
    with speaking_of_options(), pytest.raises(UsageError, match="--fingerprint is for"):
        load_any_model("tox21-w2n2-simple", fingerprint=FingerprintOptions(TEXT))
    with speaking_of_options(), pytest.raises(UsageError, match="--trust-pickle is for"):
        load_any_model("tox21-w2n2-simple", fingerprint=FingerprintOptions(None, trust_pickle=True))
    with pytest.raises(UsageError, match="no file of a model on fingerprints"):
        load_fingerprint_model(Path(__file__), TEXT)


def test_an_onnx_network_of_categories_is_refused_with_the_reason(tmp_path):
    """Numbers of elements are looked up in a table: there is nothing between two of them, and no gradient."""
    onnx = pytest.importorskip("onnx")
    make, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        make.make_node("Gather", ["table", "elements"], ["states"]),
        make.make_node("MatMul", ["states", "weights"], ["score"]),
    ]
    graph = make.make_graph(
        nodes,
        "network",
        [make.make_tensor_value_info("elements", kinds.INT64, ["n"])],
        [make.make_tensor_value_info("score", kinds.FLOAT, ["n", 1])],
        [
            make.make_tensor("table", kinds.FLOAT, [10, 4], [0.0] * 40),
            make.make_tensor("weights", kinds.FLOAT, [4, 1], [0.0] * 4),
        ],
    )
    data = make.make_model(graph).SerializeToString()
    with pytest.raises(UsageError) as refused:
        read_onnx(tmp_path / "net.onnx", data, 1024)
    text = str(refused.value)
    assert "net.onnx: it is a neural network (Gather, MatMul), and ONNX keeps no gradient" in text
    assert "its inputs elements are numbers of categories" in text
    assert "molig.attribution.TorchModel" in text
