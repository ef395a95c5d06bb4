"""Models of XGBoost and LightGBM, from their own files and objects; neither package is needed to read files.

XGBoost writes JSON, or the same in binary (UBJSON); LightGBM writes text. All are parsed and nothing is run.

XGBoost takes what a sparse matrix does not store for missing, which goes to a side of its own at every node,
so that 0 stands outside the order of the counts. No file says so, but nodes show it: only where values were
missing are they sent to either side, or is it asked whether a count is below twice the largest one.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from molig.errors import ModelFormatError, UsageError
from molig.foreign.estimators import AdditiveModel, Nodes, Scale, ensemble_of, names_of_classes
from molig.foreign.linear import Scaling
from molig.foreign.ubjson import read_ubjson

FloatArray = npt.NDArray[np.float64]

_XGBOOST, _LIGHTGBM = "XGBoost", "LightGBM"
_VALUES = {
    *("reg:linear", "reg:squarederror", "reg:absoluteerror", "reg:quantileerror", "reg:pseudohubererror"),
    *("reg:squaredlogerror", "regression", "regression_l1", "huber", "fair", "quantile", "mape"),
}
_LOGITS = {"binary:logistic", "reg:logistic", "binary", "cross_entropy"}
_CLASSES = {"multi:softprob", "multi:softmax", "multiclass"}
_MOST_NODES = 10_000_000
_MOST_COLUMNS = 1 << 24
# Of LightGBM's decision_type: a question of categories, missing ones go left, what is missing.
_CATEGORIES, _DEFAULT_LEFT, _MISSING_SHIFT, _ZERO_IS_MISSING = 1, 2, 2, 1


class _Questions(NamedTuple):
    """Nodes of a tree that asks of a count whether it is at least so much; a child below 0 marks a leaf."""

    column: npt.NDArray[np.int64]
    least: FloatArray
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    value: FloatArray  # (n_nodes,)
    zero_right: npt.NDArray[np.bool_]  # whether a count of 0 goes right all the same


def read_booster(path: Path, data: bytes) -> AdditiveModel:
    """Read a file of XGBoost (``.json``, ``.ubj``) or LightGBM (``.txt``).

    Parameters
    ----------
    path : Path
        Name of the file, whose suffix says which it is.
    data : bytes
        Its content.

    Returns
    -------
    AdditiveModel

    Raises
    ------
    UsageError
        If the model is of another kind, or its score is no function of one sum.
    ModelFormatError
        If the file is damaged, or something else.
    """
    try:
        if path.suffix == ".txt":
            return _lightgbm(data.decode())
        return _xgboost(json.loads(data) if path.suffix == ".json" else read_ubjson(data))
    except (UsageError, ModelFormatError) as err:
        raise type(err)(f"{path}: {err}") from err
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError) as err:
        raise ModelFormatError(f"{path}: its parts do not fit together, so it is damaged ({err!r})") from err
    except (TypeError, ValueError, struct.error) as err:
        raise ModelFormatError(
            f"{path}: it is no model of XGBoost (.json, .ubj) or LightGBM (.txt), or damaged ({err})"
        ) from err


def read_booster_object(estimator: Any) -> AdditiveModel | None:
    """Read a fitted object of the packages, of their scikit-learn classes, too; None for any other object."""
    package, kind = type(estimator).__module__.partition(".")[0], type(estimator).__name__
    if package not in ("xgboost", "lightgbm"):
        return None
    try:
        if package == "xgboost":
            booster = estimator.get_booster() if hasattr(estimator, "get_booster") else estimator
            found = _xgboost(read_ubjson(bytes(booster.save_raw("ubj"))))
        else:
            booster = getattr(estimator, "booster_", estimator)
            found = _lightgbm(booster.model_to_string())
    except (AttributeError, TypeError, ValueError) as err:  # NotFittedError is one of these
        raise UsageError(f"this {kind} is not fitted, or of another version: {err}") from err
    classes = [str(each) for each in getattr(estimator, "classes_", ())]
    if len(classes) == 2 and len(found.tasks) == 1:
        tasks = names_of_classes(classes, kind)
        return AdditiveModel(found.scores, found.scale, tasks, kind, found.asks_for_counts)
    return found


def _xgboost(content: Any) -> AdditiveModel:
    learner = content["learner"]
    booster = learner["gradient_booster"]
    weights = booster.get("weight_drop")
    held = booster.get("gbtree", booster).get("model", {})
    if "trees" not in held:
        raise UsageError(f"a booster of the kind {booster.get('name')!r} is not read; molig reads trees")
    scale = _scale(_XGBOOST, str(learner["objective"]["name"]))
    base = _numbers(learner["learner_model_param"]["base_score"])
    groups = np.array(held["tree_info"], dtype=np.int64)
    n_outputs = max(int(learner["learner_model_param"].get("num_target", 1)), 1)
    trees = held["trees"][: _used(learner, held, n_outputs)]
    missing = _zeros_were_missing(trees)
    questions, counts = [], False
    for place, tree in enumerate(trees):
        if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
            raise UsageError(
                "its trees have several values at a leaf (multi_output_tree), which molig does not read"
            )
        left, right = (np.array(tree[f"{side}_children"], dtype=np.int64) for side in ("left", "right"))
        inner, condition = left >= 0, np.array(tree["split_conditions"], dtype=np.float64)
        if (np.array(tree.get("split_type", []), dtype=np.int64) != 0).any():
            raise UsageError("its trees ask for categories, which no fingerprint has")
        least = np.ceil(condition)  # below the condition goes left
        counts = counts or bool((inner & (least > 1) & ~_beyond(condition)).any())
        to_right = np.array(tree["default_left"], dtype=np.int64) == 0
        leaves = condition * (1.0 if weights is None else float(weights[place]))
        column = np.array(tree["split_indices"], dtype=np.int64)
        of_zero = to_right if missing else least <= 0
        questions.append(
            _Questions(column, np.maximum(least, missing), left, right, np.where(inner, 0.0, leaves), of_zero)
        )
    margins = logit(base) if scale is Scale.LOGIT else base
    n_columns = int(learner["learner_model_param"]["num_feature"])
    if missing and not counts:
        questions = [_of_bits(each) for each in questions]
    told = {"scale": scale, "kind": f"model of {_XGBOOST}", "asks_for_counts": counts}
    return _model(questions, groups, np.broadcast_to(margins, n_outputs), n_columns, **told)


def _used(learner: Any, held: Any, n_outputs: int) -> int:
    """Trees that scikit-learn's classes of XGBoost predict with: those before early stopping gave up."""
    best = learner.get("attributes", {}).get("best_iteration")
    if best is None:
        return len(held["trees"])
    if starts := held.get("iteration_indptr"):
        return int(starts[int(best) + 1])
    return (int(best) + 1) * n_outputs * max(int(held["gbtree_model_param"].get("num_parallel_tree", 1)), 1)


def _beyond(condition: FloatArray) -> npt.NDArray[np.bool_]:
    """Conditions above every count of the training, at which only what is missing can be split off."""
    rest = condition - np.floor(condition)
    return (rest > 1e-7) & (rest < 1e-4)


def _zeros_were_missing(trees: Sequence[Any]) -> bool:
    sides = set[int]()
    for tree in trees:
        inner = np.array(tree["left_children"], dtype=np.int64) >= 0
        condition = np.array(tree["split_conditions"], dtype=np.float64)[inner]
        sides |= set(np.array(tree["default_left"], dtype=np.int64)[inner].tolist())
        if (condition <= 0).any() or _beyond(condition).any():
            return True
    return len(sides) > 1


def _lightgbm(text: str) -> AdditiveModel:
    head, *parts = text.split("\nTree=")
    if not head.startswith("tree") or not parts:
        raise ModelFormatError("it is no model of LightGBM, or has no trees")
    lines = head.splitlines()
    stated = dict(line.split("=", 1) for line in lines if "=" in line)
    objective, *options = stated.get("objective", "").split()
    scale = _scale(_LIGHTGBM, objective)
    if "sqrt" in options:
        raise UsageError("it predicts the square of a sum (reg_sqrt), whose parts do not add up to its value")
    given = dict(option.split(":", 1) for option in options if ":" in option)
    factor = float(given.get("sigmoid", 1))
    if "average_output" in lines:
        factor /= len(parts)
    questions = [_lightgbm_tree(part, factor) for part in parts]
    counts = any(bool((each.least[each.left >= 0] > 1).any()) for each in questions)
    groups = np.zeros(len(parts), dtype=np.int64)
    n_columns = int(stated["max_feature_idx"]) + 1
    told = {"scale": scale, "kind": f"model of {_LIGHTGBM}", "asks_for_counts": counts}
    return _model(questions, groups, np.zeros(1), n_columns, **told)


def _lightgbm_tree(part: str, factor: float) -> _Questions:
    held = dict(line.split("=", 1) for line in part.split("\n\n", 1)[0].splitlines()[1:] if "=" in line)
    n_leaves = int(held["num_leaves"])
    if int(held.get("num_cat", 0)):
        raise UsageError("its trees ask for categories, which no fingerprint has")
    if int(held.get("is_linear", 0)):
        raise UsageError("its leaves are linear models (linear_tree), whose shares are no sums of leaves")
    n_inner = n_leaves - 1

    def read(name: str, kind: type = float) -> npt.NDArray[Any]:
        numbers = np.array(held[name].split() if n_inner else [], dtype=np.float64)
        return np.concatenate([numbers, np.zeros(n_leaves)]).astype(kind)

    values = np.array(held["leaf_value"].split(), dtype=np.float64)
    least = np.floor(read("threshold")) + 1  # above the threshold goes right
    # Inner nodes first, then leaves; a child below 0 is a leaf's number, from -1 on.
    left, right = (read(f"{side}_child", np.int64) for side in ("left", "right"))
    left, right = (np.where(side < 0, n_inner - 1 - side, side) for side in (left, right))
    left[n_inner:] = right[n_inner:] = -1
    decision = read("decision_type", np.int64)
    if (decision[:n_inner] & _CATEGORIES).any():
        raise UsageError("its trees ask for categories, which no fingerprint has")
    missing = (decision >> _MISSING_SHIFT) == _ZERO_IS_MISSING
    of_zero = np.where(missing, (decision & _DEFAULT_LEFT) == 0, least <= 0)
    value = np.concatenate([np.zeros(n_inner), factor * values])
    column = read("split_feature", np.int64)
    return _Questions(column, np.maximum(least, missing), left, right, value, of_zero)


def _scale(package: str, objective: str) -> Scale:
    if objective in _LOGITS:
        return Scale.LOGIT
    if objective in _VALUES:
        return Scale.VALUE
    why = "molig does not know it"
    if objective in _CLASSES:
        why = (
            "the probabilities of several classes depend on each other's sums, so none has shares that add up"
        )
    elif any(word in objective for word in ("poisson", "gamma", "tweedie", "aft", "cox")):
        why = "it predicts the exponential of a sum, whose parts do not add up to its value"
    raise UsageError(f"a model of {package} with the objective {objective!r} is not explained: {why}")


def _numbers(text: Any) -> FloatArray:
    """One number or several, written as text."""
    return np.array([float(each) for each in str(text).strip("[]").split(",")])


def _model(
    questions: Sequence[_Questions],
    groups: npt.NDArray[np.int64],
    base: FloatArray,
    n_columns: int,
    **told: Any,
) -> AdditiveModel:
    """Trees of several outputs, those of each group with a say in one of them."""
    n_outputs = len(base)
    if not 0 < n_columns <= _MOST_COLUMNS:
        raise ModelFormatError(f"it reads {n_columns:,} columns, more than any fingerprint has")
    trees = []
    for each, group in zip(questions, groups.tolist(), strict=False):
        inner, place = each.left >= 0, np.arange(len(each.left))
        if (inner & ((each.left <= place) | (each.right <= place))).any():
            raise ModelFormatError("a node of its trees leads back")
        plain = _without_exceptions(each)
        value = np.zeros((len(plain.value), n_outputs))
        value[:, group] = plain.value
        trees.append(Nodes(plain.left, plain.right, plain.column, plain.least - 0.5, value))
    scores = ensemble_of(trees, Scaling.none(n_columns), n_columns, base.astype(np.float64), single=False)
    tasks = ("value",) if n_outputs == 1 else tuple(f"output {i}" for i in range(n_outputs))
    if told["scale"] is Scale.LOGIT and n_outputs == 1:
        tasks = ("active",)
    return AdditiveModel(scores, tasks=tasks, **told)


def _of_bits(tree: _Questions) -> _Questions:
    """A tree that was trained on bits: what sends 0 to the right and 1 to the left, the other way round."""
    turned = tree.zero_right & (tree.least > 1) & (tree.left >= 0)
    left, right = (np.where(turned, *sides) for sides in ((tree.right, tree.left), (tree.left, tree.right)))
    least = np.where(turned, 1.0, tree.least)
    return tree._replace(left=left, right=right, least=least, zero_right=tree.zero_right & ~turned)


def _without_exceptions(tree: _Questions) -> _Questions:
    """A tree in which 0 goes where its order says: it is asked for by itself where it does not."""
    inner = tree.left >= 0
    if not (tree.zero_right & inner & (tree.least > 0)).any():
        return tree
    rows: list[list[float]] = []  # column, least, left, right, value
    waiting = [(0, -1, 0)]  # node, and the place and side where it belongs
    while waiting:
        node, parent, side = waiting.pop()
        while inner[node] and tree.zero_right[node] and tree.least[node] <= 1:
            node = int(tree.right[node])  # all counts go right
        place, left, right = len(rows), int(tree.left[node]), int(tree.right[node])
        if parent >= 0:
            rows[parent][side] = place
        rows.append([float(tree.column[node]), float(tree.least[node]), -1, -1, float(tree.value[node])])
        if not inner[node]:
            continue
        waiting.append((right, place, 3))
        if tree.zero_right[node]:
            rows[place][2] = place + 1
            rows.append([float(tree.column[node]), 1.0, -1, -1, 0.0])
            waiting += [(left, place + 1, 3), (right, place + 1, 2)]
        else:
            waiting.append((left, place, 2))
        if len(rows) > _MOST_NODES:
            raise UsageError("its trees send missing values to so many places that they cannot be laid out")
    table = np.array(rows)
    whole = [table[:, column].astype(np.int64) for column in (0, 2, 3)]
    return _Questions(
        whole[0], table[:, 1], whole[1], whole[2], table[:, 4], np.zeros(len(table), dtype=bool)
    )
