"""What is read of an estimator predicts what the estimator does; what cannot be read is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
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
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_regression
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVR, LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from molig.errors import ModelFormatError, UsageError
from molig.foreign.estimators import Scale, read_estimator

RANDOM = np.random.default_rng(3)
COUNTS = RANDOM.poisson(0.5, (250, 30)).astype(float)
VALUES = COUNTS[:, 0] - COUNTS[:, 1] * COUNTS[:, 2] + RANDOM.normal(0, 0.3, 250)
CLASSES = (VALUES > 0.2).astype(int)
THREE = np.digitize(VALUES, [0, 0.5])
TWO_OUTPUTS = np.stack([CLASSES, COUNTS[:, 4] > 0], axis=1).astype(int)
NEW = np.random.default_rng(4).poisson(0.6, (300, 30)).astype(float)

CASES = [
    (RandomForestClassifier(20), CLASSES),
    (RandomForestClassifier(20), THREE),
    (RandomForestClassifier(20), TWO_OUTPUTS),
    (RandomForestClassifier(10, criterion="log_loss", class_weight="balanced", ccp_alpha=0.001), CLASSES),
    (ExtraTreesClassifier(20), CLASSES),
    (DecisionTreeClassifier(), CLASSES),
    (ExtraTreeClassifier(), CLASSES),
    (RandomForestRegressor(20), VALUES),
    (RandomForestRegressor(10), np.stack([VALUES, 2 * VALUES], axis=1)),
    (ExtraTreesRegressor(20), VALUES),
    (DecisionTreeRegressor(criterion="absolute_error"), VALUES),
    (GradientBoostingClassifier(n_estimators=30), CLASSES),
    (GradientBoostingClassifier(n_estimators=30, loss="exponential"), CLASSES),
    (GradientBoostingClassifier(n_estimators=30, init="zero", subsample=0.5), CLASSES),
    (GradientBoostingRegressor(n_estimators=30, loss="huber"), VALUES),
    (HistGradientBoostingClassifier(max_iter=30), CLASSES),
    (HistGradientBoostingRegressor(max_iter=30, loss="absolute_error"), VALUES),
    (LogisticRegression(), CLASSES),
    (SGDClassifier(loss="log_loss"), CLASSES),
    (Ridge(), VALUES),
    (LinearRegression(), np.stack([VALUES, -VALUES], axis=1)),
    (ElasticNet(0.01), VALUES),
    (SVR(kernel="linear"), VALUES),
    (LinearSVR(max_iter=10_000), VALUES),
    (PLSRegression(3), VALUES),
    (make_pipeline(StandardScaler(), RandomForestClassifier(20)), CLASSES),
    (make_pipeline(StandardScaler(with_mean=False), LogisticRegression()), CLASSES),
    (make_pipeline(MinMaxScaler(clip=True), HistGradientBoostingClassifier(max_iter=20)), CLASSES),
    (make_pipeline("passthrough", MaxAbsScaler(), PLSRegression(2)), VALUES),
    (make_pipeline(RobustScaler(quantile_range=(5, 95)), GradientBoostingRegressor()), VALUES),
    (make_pipeline(VarianceThreshold(0.45), SelectKBest(f_regression, k=9), Ridge()), VALUES),
    (make_pipeline(VarianceThreshold(0.45), ExtraTreesRegressor(10)), VALUES),
    (make_pipeline(Binarizer(), LogisticRegression()), CLASSES),
    (GridSearchCV(RandomForestClassifier(5), {"max_depth": [2, 4]}, cv=2), CLASSES),
]


@pytest.mark.parametrize(("estimator", "labels"), CASES, ids=lambda case: type(case).__name__)
@pytest.mark.filterwarnings("ignore")
def test_predictions_are_the_estimators_own(estimator, labels):
    estimator.fit(COUNTS, labels)
    read = read_estimator(estimator)
    if read.scale is Scale.VALUE:
        own = estimator.predict(NEW).reshape(len(NEW), -1)
    else:
        own = estimator.predict_proba(NEW)
        if isinstance(own, list):
            own = np.stack([each[:, 1] for each in own], axis=1)
        elif own.shape[1] == 2:
            own = own[:, 1:]
    np.testing.assert_allclose(read.predict(csr_matrix(NEW)), own, atol=1e-12, rtol=1e-12)
    assert len(read.tasks) == own.shape[1]


def fitted(estimator, labels=CLASSES, rows=COUNTS):
    return estimator.fit(rows, labels)


def test_tasks_are_named_by_classes():
    words = np.where(CLASSES, "toxic", "harmless")
    assert read_estimator(fitted(DecisionTreeClassifier())).tasks == ("active",)
    assert read_estimator(fitted(DecisionTreeClassifier(), words)).tasks == ("toxic",)
    several = read_estimator(fitted(DecisionTreeClassifier(), THREE))
    assert several.tasks == ("class 0", "class 1", "class 2")
    assert read_estimator(fitted(Ridge(), VALUES)).tasks == ("value",)


def test_counts_and_bits_are_told_apart_where_they_can_be():
    bits = (COUNTS > 0).astype(float)
    for estimator in (DecisionTreeClassifier(), make_pipeline(MinMaxScaler(), LogisticRegression())):
        assert read_estimator(fitted(estimator)).asks_for_counts is True
        assert read_estimator(fitted(estimator, rows=bits)).asks_for_counts is False
    assert read_estimator(fitted(make_pipeline(StandardScaler(), LogisticRegression()))).asks_for_counts
    assert read_estimator(fitted(LogisticRegression())).asks_for_counts is None


@pytest.mark.parametrize(
    ("estimator", "labels", "problem"),
    [
        (SVR(), VALUES, "kernel 'rbf'"),
        (CalibratedClassifierCV(LogisticRegression()), CLASSES, "CalibratedClassifierCV cannot be explained"),
        (OneVsRestClassifier(LogisticRegression()), THREE, "OneVsRestClassifier cannot be explained"),
        (make_pipeline(PCA(3), Ridge()), VALUES, "step PCA of the pipeline may mix columns"),
        (make_pipeline(Normalizer(), Ridge()), VALUES, "step Normalizer"),
        (GradientBoostingClassifier(n_estimators=3), THREE, "3 classes apart"),
        (HistGradientBoostingClassifier(max_iter=3), THREE, "3 classes apart"),
        (LogisticRegression(), THREE, "3 classes apart"),
        (SGDClassifier(), CLASSES, "loss 'hinge'"),
        (HistGradientBoostingRegressor(loss="poisson", max_iter=3), CLASSES, "exponential of a sum"),
        (HistGradientBoostingClassifier(categorical_features=[0], max_iter=3), CLASSES, "categorical"),
        (GradientBoostingRegressor(init=Ridge(), n_estimators=3), VALUES, "another model"),
        (RandomForestClassifier(3), np.zeros(250), "one class only"),
        (RandomForestClassifier(3), np.stack([CLASSES, THREE], axis=1), "output 1"),
    ],
)
def test_others_are_refused(estimator, labels, problem):
    with pytest.raises(UsageError, match=problem):
        read_estimator(estimator.fit(COUNTS, labels))


@pytest.mark.parametrize(
    "estimator", [RandomForestClassifier(), Ridge(), make_pipeline(StandardScaler(), Ridge())]
)
def test_what_is_not_fitted(estimator):
    with pytest.raises(UsageError, match="not fitted"):
        read_estimator(estimator)
    with pytest.raises(UsageError, match="a str cannot be explained"):
        read_estimator("forest")


def test_changed_models_are_refused():
    forest = fitted(RandomForestClassifier(5))
    forest.estimators_[0].tree_.value[:] = 40.0
    with pytest.raises(ModelFormatError, match="older than"):
        read_estimator(forest)
    linear = fitted(Ridge(), VALUES)
    linear.coef_ = np.full(30, np.nan)
    with pytest.raises(ModelFormatError, match="not finite"):
        read_estimator(linear)
    linear.coef_ = np.zeros(29)
    with pytest.raises(ModelFormatError, match="damaged"):
        read_estimator(linear)
    boosted = fitted(GradientBoostingRegressor(n_estimators=3), VALUES)
    boosted.predict = lambda rows: np.arange(len(rows))
    with pytest.raises(ModelFormatError, match="does not predict what"):
        read_estimator(boosted)
