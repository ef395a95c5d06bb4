"""Fitted scikit-learn models read as trees or linear scores of a fingerprint's columns."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, issparse
from scipy.special import expit
from sklearn.cross_decomposition import PLSRegression
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import SelectKBest, SelectorMixin, SelectPercentile, VarianceThreshold
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Binarizer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import SVR, LinearSVR
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from molig.errors import ModelFormatError, UsageError
from molig.foreign.linear import LinearScores, Scaling, Threshold
from molig.foreign.shares import AdditiveScores
from molig.foreign.trees import TreeEnsemble

FloatArray = npt.NDArray[np.float64]

_FOREST_CLASSIFIERS = (
    RandomForestClassifier,
    ExtraTreesClassifier,
    DecisionTreeClassifier,
    ExtraTreeClassifier,
)
_FOREST_REGRESSORS = RandomForestRegressor, ExtraTreesRegressor, DecisionTreeRegressor, ExtraTreeRegressor
_FORESTS = (*_FOREST_CLASSIFIERS, *_FOREST_REGRESSORS)
_TREES = DecisionTreeClassifier, ExtraTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor
_GRADIENT = GradientBoostingClassifier, GradientBoostingRegressor
_HISTOGRAM = HistGradientBoostingClassifier, HistGradientBoostingRegressor
_BOOSTED_CLASSIFIERS = GradientBoostingClassifier, HistGradientBoostingClassifier
_LINEAR_CLASSIFIERS = LogisticRegression, LogisticRegressionCV, SGDClassifier
_LINEAR_REGRESSORS = (
    *(ARDRegression, BayesianRidge, ElasticNet, ElasticNetCV, HuberRegressor, Lasso, LassoCV),
    *(LinearRegression, LinearSVR, PLSRegression, Ridge, RidgeCV, SGDRegressor, SVR),
)
_LINEAR = (*_LINEAR_CLASSIFIERS, *_LINEAR_REGRESSORS)
READ_CLASSES: tuple[type, ...] = (
    *(*_FORESTS, *_GRADIENT, *_HISTOGRAM, *_LINEAR, Pipeline),
    *(Binarizer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler),
    *(SelectKBest, SelectPercentile, VarianceThreshold, DummyClassifier, DummyRegressor),
)
"""Classes whose objects a file may hold."""

_READ = (
    "random forests, extra trees, single trees, gradient boosting (of histograms, too), logistic regression, "
    "linear, ridge, lasso and elastic net regression, linear support vector regression and PLS, alone or "
    "behind scalers and selectors of columns in a Pipeline"
)

# Regressions whose value is what trees add up to.
_IDENTITY = {"squared_error", "absolute_error", "quantile", "huber"}
# Names of two classes of which the second is the interesting one.
_YES_OR_NO = ({"0", "1"}, {"False", "True"}, {"-1", "1"}, {"0.0", "1.0"}, {"-1.0", "1.0"})
# Made-up fingerprints on which a model and what was read of it must agree.
_TRIED = 16
_AGREE = 1e-9


class Scale(StrEnum):
    """What the parts of a score add up to."""

    PROBABILITY = "probability"
    """Of trees whose probabilities are averaged."""

    LOGIT = "logit"
    """Of boosted trees and logistic regression; the score is the probability that belongs to it."""

    VALUE = "value"
    """Of a regression."""


@dataclass(frozen=True, eq=False)
class AdditiveModel:
    """A fitted model, read: scores of columns whose Shapley values are exact.

    Parameters
    ----------
    scores : AdditiveScores
        Trees or coefficients.
    scale : Scale
        What the scores are.
    tasks : tuple of str
        Names of the outputs.
    kind : str
        Class of the estimator, for messages.
    asks_for_counts : bool, optional
        Whether it tells one occurrence from two; None if it cannot be told.
    """

    scores: AdditiveScores
    scale: Scale
    tasks: tuple[str, ...]
    kind: str
    asks_for_counts: bool | None = None

    @property
    def n_columns(self) -> int:
        """Columns that the model was trained on."""
        return self.scores.n_columns

    def predict(self, counts: csr_matrix) -> FloatArray:
        """Probabilities or values, shape (n, n_tasks)."""
        found = self.scores.scores(counts)
        return np.asarray(expit(found)) if self.scale is Scale.LOGIT else found


def read_estimator(estimator: Any) -> AdditiveModel:
    """Read a fitted scikit-learn model.

    Parameters
    ----------
    estimator : object
        A forest, boosted trees, a linear model, or a Pipeline of scalers and one of these.

    Returns
    -------
    AdditiveModel

    Raises
    ------
    UsageError
        If the model is of another kind, is not fitted, or its score is no function of one sum.
    ModelFormatError
        If its numbers do not fit together, or what was read predicts something else than the model.
    """
    whole = estimator
    if isinstance(estimator, GridSearchCV | RandomizedSearchCV):
        estimator = getattr(estimator, "best_estimator_", estimator)
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    final = steps[-1]
    # Of a pipeline the first step's, but "passthrough" does not know.
    n_columns = next((s.n_features_in_ for s in (estimator, *steps) if hasattr(s, "n_features_in_")), None)
    if not isinstance(final, (*_FORESTS, *_GRADIENT, *_HISTOGRAM, *_LINEAR)):
        raise UsageError(f"a {type(final).__name__} cannot be explained exactly; molig reads {_READ}")
    if not isinstance(n_columns, int) or n_columns < 1:
        raise UsageError(f"this {type(final).__name__} is not fitted: call fit before")
    scaling = Scaling.none(n_columns)
    for step in steps[:-1]:
        scaling = _scaled(scaling, step)
    scores, scale = _READERS[_reader_of(final)](final, scaling, n_columns)
    tasks = _names(final, len(scores.base))
    found = AdditiveModel(scores, scale, tasks, type(final).__name__, asks_for_counts(scores, steps[:-1]))
    if not isinstance(final, _FORESTS):
        zeros = np.zeros((1, n_columns))
        constant = _own_scores(whole, scale, zeros)[0] - scores.scores(csr_matrix(zeros))[0]
        scores.base = scores.base + constant
    _check_same(whole, found)
    return found


def _reader_of(final: Any) -> str:
    if isinstance(final, _LINEAR):
        return "linear"
    return "forest" if isinstance(final, _FORESTS) else "boosted"


# Columns.


def _scaled(scaling: Scaling, step: Any) -> Scaling:
    """What a step of a pipeline does to the columns."""
    if step is None or step == "passthrough":
        return scaling
    if isinstance(step, SelectorMixin):
        return scaling.keep(step.get_support(indices=True))
    for kind, operations in _OPERATIONS.items():
        if isinstance(step, kind):
            for operation, values in operations(step):
                scaling = scaling.then(operation, values)
            return scaling
    raise UsageError(
        f"the step {type(step).__name__} of the pipeline may mix columns, so no share would belong to one; "
        "molig reads StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, Binarizer and selectors of "
        "columns before a model"
    )


def _of_standard(step: Any) -> Iterator[tuple[str, Any]]:
    if step.with_mean:
        yield "subtract", step.mean_
    if step.with_std:
        yield "divide", step.scale_


def _of_robust(step: Any) -> Iterator[tuple[str, Any]]:
    if step.with_centering:
        yield "subtract", step.center_
    if step.with_scaling:
        yield "divide", step.scale_


def _of_min_max(step: Any) -> Iterator[tuple[str, Any]]:
    yield from (("multiply", step.scale_), ("add", step.min_))
    if step.clip:
        yield from zip(("at_least", "at_most"), step.feature_range, strict=True)


def _of_max_abs(step: Any) -> Iterator[tuple[str, Any]]:
    yield "divide", step.scale_
    if getattr(step, "clip", False):
        yield from (("at_least", -1), ("at_most", 1))


_OPERATIONS: dict[type, Callable[[Any], Iterator[tuple[str, Any]]]] = {
    StandardScaler: _of_standard,
    RobustScaler: _of_robust,
    MinMaxScaler: _of_min_max,
    MaxAbsScaler: _of_max_abs,
    Binarizer: lambda step: iter([("above", step.threshold)]),
}


def asks_for_counts(scores: AdditiveScores, before: Sequence[Any]) -> bool | None:
    """Whether the model was trained on counts; None if it shows no sign of either."""
    for step in before:
        if isinstance(step, Binarizer):
            return None
        if isinstance(step, MinMaxScaler):
            return bool((step.data_max_ > 1).any())
        if isinstance(step, MaxAbsScaler):
            return bool((step.max_abs_ > 1).any())
        # A column of zeros and ones has a variance of a quarter at most.
        if isinstance(step, StandardScaler) and step.var_ is not None and (step.var_ > 0.2501).any():
            return True
    if isinstance(scores, TreeEnsemble):
        inner = scores.least[scores.column >= 0]
        return bool(((inner > 1) & (inner < 2**31 - 1)).any())
    return None


# Trees.


class Nodes(NamedTuple):
    """Nodes of one tree as scikit-learn has them: a child below 0 marks a leaf."""

    left: npt.NDArray[Any]
    right: npt.NDArray[Any]
    column: npt.NDArray[Any]
    threshold: FloatArray
    value: FloatArray
    """Scores, shape (n_nodes, n_outputs)."""
    above: npt.NDArray[np.bool_] | None = None
    """Whether what is above the threshold goes right, or else what is not below; None: above."""


def ensemble_of(
    trees: Sequence[Nodes], scaling: Scaling, n_columns: int, base: FloatArray, *, single: bool
) -> TreeEnsemble:
    """Trees of thresholds as trees that ask for counts."""
    if not trees:
        raise UsageError("the model has no trees: it is not fitted")

    def joined(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(tree, name) for tree in trees])

    leaf = joined("left") < 0
    place = np.where(leaf, 0, joined("column")).astype(np.int64)
    if ((place < 0) | (place >= len(scaling.columns))).any():
        raise ModelFormatError(
            f"the model is damaged: a node asks for column {place.max()} of {len(scaling.columns)}"
        )
    threshold = joined("threshold")[~leaf].astype(np.float64)
    if np.isnan(threshold).any():
        raise ModelFormatError("the model is damaged: a threshold is no number")
    above = np.concatenate([np.ones(len(t.left), dtype=bool) if t.above is None else t.above for t in trees])[
        ~leaf
    ]
    least = np.zeros(len(leaf), dtype=np.int32)
    least[~leaf] = scaling.least(place[~leaf], Threshold(threshold, above, single))
    return TreeEnsemble(
        np.cumsum([0, *(len(tree.left) for tree in trees)]),
        np.where(leaf, -1, scaling.columns[place]).astype(np.int32),
        least,
        left=np.where(leaf, 0, joined("left")).astype(np.int32),
        right=np.where(leaf, 0, joined("right")).astype(np.int32),
        value=np.where(leaf[:, None], joined("value"), 0.0),
        base=base,
        n_columns=n_columns,
    )


def _nodes(tree: Any, value: FloatArray) -> Nodes:
    held = tree.tree_
    return Nodes(held.children_left, held.children_right, held.feature, held.threshold, value)


def _forest(final: Any, scaling: Scaling, n_columns: int) -> tuple[TreeEnsemble, Scale]:
    trees = [final] if isinstance(final, _TREES) else list(final.estimators_)
    if not all(isinstance(tree, _TREES) for tree in trees):
        raise ModelFormatError("the forest is damaged: it holds something else than trees")
    classifies = isinstance(final, _FOREST_CLASSIFIERS)
    parts = []
    for tree in trees:
        value = tree.tree_.value  # (n_nodes, n_outputs, n_classes)
        if classifies:
            if not np.allclose(value.sum(axis=2), 1, atol=1e-6):
                raise ModelFormatError(
                    "the leaves of the forest hold no shares of classes: it was fitted by a scikit-learn "
                    "older than 1.3; fit it again"
                )
            value = _probabilities(value, final)
        else:
            value = value[:, :, 0]
        parts.append(_nodes(tree, value / len(trees)))
    n_outputs = parts[0].value.shape[1]
    ensemble = ensemble_of(parts, scaling, n_columns, np.zeros(n_outputs), single=True)
    return ensemble, Scale.PROBABILITY if classifies else Scale.VALUE


def _probabilities(value: FloatArray, final: Any) -> FloatArray:
    """Of one output with several classes that of each, else that of each output's second class."""
    if final.n_outputs_ == 1:
        return value[:, 0, 1:] if len(final.classes_) == 2 else value[:, 0]
    return value[:, :, 1]


def _boosted(final: Any, scaling: Scaling, n_columns: int) -> tuple[TreeEnsemble, Scale]:
    classifies = isinstance(final, _BOOSTED_CLASSIFIERS)
    if classifies and len(final.classes_) != 2:
        raise UsageError(
            f"this {type(final).__name__} tells {len(final.classes_)} classes apart, whose probabilities "
            "depend on each other's sums, so none has shares that add up; molig reads boosted trees of two "
            "classes (and forests of any number)"
        )
    loss = str(getattr(final, "loss", ""))
    if not classifies and loss not in _IDENTITY:
        raise UsageError(
            f"the {type(final).__name__} predicts the exponential of a sum (loss {loss!r}), whose parts do "
            f"not add up to its value; molig reads the losses {', '.join(sorted(_IDENTITY))}"
        )
    if isinstance(final, _GRADIENT):
        if not (final.init_ == "zero" or isinstance(final.init_, DummyClassifier | DummyRegressor)):
            raise UsageError("boosted trees that start from another model (init) cannot be explained exactly")
        # The exponential loss counts half logits.
        factor = final.learning_rate * (2 if loss == "exponential" else 1)
        parts = [_nodes(tree, factor * tree.tree_.value[:, :, 0]) for (tree,) in final.estimators_]
    else:
        parts = [_histogram_nodes(predictor.nodes) for (predictor,) in final._predictors]
    single = isinstance(final, _GRADIENT)
    ensemble = ensemble_of(parts, scaling, n_columns, np.zeros(1), single=single)
    return ensemble, Scale.LOGIT if classifies else Scale.VALUE


def _histogram_nodes(nodes: npt.NDArray[Any]) -> Nodes:
    leaf = nodes["is_leaf"].astype(bool)
    if (nodes["is_categorical"].astype(bool) & ~leaf).any():
        raise UsageError("boosted trees with categorical columns are not trained on fingerprints")
    left, right = (np.where(leaf, -1, nodes[name].astype(np.int64)) for name in ("left", "right"))
    return Nodes(left, right, nodes["feature_idx"], nodes["num_threshold"], nodes["value"][:, None])


# Linear models.


def _linear(final: Any, scaling: Scaling, n_columns: int) -> tuple[LinearScores, Scale]:
    name, classifies = type(final).__name__, isinstance(final, _LINEAR_CLASSIFIERS)
    if isinstance(final, SVR) and final.kernel != "linear":
        raise UsageError(f"support vector regression with the kernel {final.kernel!r} is not linear")
    if isinstance(final, SGDClassifier) and final.loss != "log_loss":
        raise UsageError(f"an SGDClassifier of the loss {final.loss!r} has no logit; molig reads log_loss")
    if classifies and len(final.classes_) != 2:
        raise UsageError(
            f"this {name} tells {len(final.classes_)} classes apart, whose probabilities depend on each "
            "other's sums, so none has shares that add up; molig reads those of two classes"
        )
    held = final.coef_
    coefficients = np.atleast_2d(held.toarray() if issparse(held) else np.asarray(held, dtype=np.float64))
    base = np.zeros(len(coefficients))
    scores = LinearScores(scaling, coefficients, base, n_columns)
    return scores, Scale.LOGIT if classifies else Scale.VALUE


_READERS: dict[str, Callable[[Any, Scaling, int], tuple[Any, Scale]]] = {
    "forest": _forest,
    "boosted": _boosted,
    "linear": _linear,
}


# Names and checks.


def _names(final: Any, n_outputs: int) -> tuple[str, ...]:
    """Names of the outputs, by the classes where there are any."""
    if not hasattr(final, "classes_"):
        return ("value",) if n_outputs == 1 else tuple(f"output {i}" for i in range(n_outputs))
    if getattr(final, "n_outputs_", 1) > 1:
        for number, classes in enumerate(final.classes_):
            if len(classes) != 2:
                raise UsageError(
                    f"output {number} of the {type(final).__name__} tells {len(classes)} classes apart; of "
                    "several outputs, each must tell two"
                )
        return tuple(f"output {i}" for i in range(n_outputs))
    return names_of_classes([str(each) for each in final.classes_], type(final).__name__)


def names_of_classes(classes: Sequence[str], kind: str) -> tuple[str, ...]:
    """Names of the probabilities of classes; of two, the second's alone."""
    if len(classes) < 2:
        raise UsageError(f"the {kind} was fitted to one class only, so it predicts nothing")
    if len(classes) == 2:
        return ("active",) if set(classes) in _YES_OR_NO else (classes[1],)
    return tuple(f"class {each}" for each in classes)


def _own_scores(estimator: Any, scale: Scale, rows: FloatArray) -> FloatArray:
    """Scores by the estimator's own code, shape (n, n_outputs)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names of columns, which were those of a table
        if scale is Scale.LOGIT:
            found = estimator.decision_function(rows)
            if getattr(_final(estimator), "loss", "") == "exponential":
                found = 2 * found
        elif scale is Scale.VALUE:
            found = estimator.predict(rows)
        else:
            found = _chosen(estimator, estimator.predict_proba(rows))
    return np.asarray(found, dtype=np.float64).reshape(len(rows), -1)


def _final(estimator: Any) -> Any:
    if isinstance(estimator, GridSearchCV | RandomizedSearchCV):
        estimator = estimator.best_estimator_
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def _chosen(estimator: Any, found: Any) -> FloatArray:
    if isinstance(found, list):
        return np.stack([each[:, 1] for each in found], axis=1)
    return np.asarray(found[:, 1:] if found.shape[1] == 2 else found)


def _check_same(estimator: Any, found: AdditiveModel) -> None:
    """Refuse a model that the code above reads wrongly."""
    random = np.random.default_rng(0)
    rows = random.poisson(0.3, (_TRIED, found.n_columns)).astype(np.float64)
    expected = _own_scores(estimator, found.scale, rows)
    here = found.scores.scores(csr_matrix(rows))
    if expected.shape != here.shape or not np.allclose(here, expected, rtol=_AGREE, atol=_AGREE):
        raise ModelFormatError(
            f"what molig reads of this {found.kind} does not predict what the {found.kind} does: it was "
            "changed by hand, or is of a version of scikit-learn that molig does not know"
        )
