"""ONNX files of tree ensembles and linear models, as skl2onnx and onnxmltools write them.

Their graph is followed from the input through steps that change columns one by one to the one model in it.
Files are only parsed: nothing is run, and data outside the file is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molig.errors import ModelFormatError, UsageError
from molig.foreign.estimators import (
    AdditiveModel,
    Nodes,
    Scale,
    asks_for_counts,
    ensemble_of,
    names_of_classes,
)
from molig.foreign.linear import LinearScores, Scaling
from molig.foreign.shares import AdditiveScores

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_MODELS = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "LinearClassifier", "LinearRegressor")
# Nodes of neural networks, and ONNX's numbers of the types of whole numbers.
_LAYERS = frozenset(
    {"Conv", "Gather", "Gemm", "GRU", "LSTM", "MatMul", "Relu", "ScatterElements", "ScatterND"}
)
_WHOLE_NUMBERS = frozenset({2, 3, 4, 5, 6, 7, 12, 13})
# What may follow a model: it only renames, or makes labels of, its probabilities.
_AFTER = ("ArgMax", "ArrayFeatureExtractor", "Cast", "Identity", "Normalizer", "Reshape", "ZipMap")
# Modes of a node: whether the rest goes right if it is above the threshold, or not below it; and whether it
# goes to the child of "true".
_MODES = {
    b"BRANCH_LEQ": (True, False),
    b"BRANCH_LT": (False, False),
    b"BRANCH_GTE": (False, True),
    b"BRANCH_GT": (True, True),
}
_LEAF = b"LEAF"
_LABELS = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")
_DOUBLE = 11  # ONNX's number of the type
_MOST_COLUMNS = 1 << 24
_MOST_VALUES = 1 << 29  # scores of all nodes


def read_onnx(path: Path, data: bytes, n_columns: int) -> AdditiveModel:
    """Read the model of an ONNX file.

    Parameters
    ----------
    path : Path
        Name of the file, for messages.
    data : bytes
        Its content.
    n_columns : int
        Columns of the fingerprint, for files that do not say how many they read.

    Returns
    -------
    AdditiveModel

    Raises
    ------
    UsageError
        If the package onnx is not installed, or the file holds a model of another kind.
    ModelFormatError
        If it is damaged.
    """
    try:
        import onnx  # noqa: PLC0415 (an optional package)
        from google.protobuf.message import DecodeError  # noqa: PLC0415
    except ImportError as err:
        raise UsageError(f"{path} is read by the package onnx: pip install 'molig[forests]'") from err
    try:
        graph = onnx.ModelProto.FromString(data).graph
    except (DecodeError, ValueError) as err:
        raise ModelFormatError(f"{path}: it is no ONNX file, or damaged ({err})") from err
    try:
        return _Reader(onnx, graph, n_columns).model()
    except (UsageError, ModelFormatError) as err:
        raise type(err)(f"{path}: {err}") from err
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as err:
        raise ModelFormatError(f"{path}: its numbers do not fit together, so it is damaged ({err})") from err


class _Reader:
    """Follows the graph of one file."""

    def __init__(self, onnx: Any, graph: Any, n_columns: int) -> None:
        self._onnx, self._graph = onnx, graph
        self._constants = {each.name: each for each in graph.initializer}
        inputs = [each for each in graph.input if each.name not in self._constants]
        self._refuse_network(inputs)
        if len(inputs) != 1:
            raise UsageError(f"the graph has {len(inputs)} inputs; a model on a fingerprint has one")
        tensor = inputs[0].type.tensor_type
        self._input, self._single = inputs[0].name, tensor.elem_type != _DOUBLE
        stated = [dim.dim_value for dim in tensor.shape.dim][1:2]
        self._n_columns = stated[0] if stated and stated[0] > 0 else n_columns
        if self._n_columns > _MOST_COLUMNS:
            raise ModelFormatError(f"it reads {self._n_columns:,} columns, more than any fingerprint has")

    def _refuse_network(self, inputs: list[Any]) -> None:
        """Refuse a neural network with the reason why it cannot be explained."""
        kinds = [node.op_type for node in self._graph.node]
        layers = sorted(_LAYERS.intersection(kinds))
        if not layers or set(kinds).intersection(_MODELS):
            return
        categories = [each.name for each in inputs if each.type.tensor_type.elem_type in _WHOLE_NUMBERS]
        numbers = (
            f"; its inputs {', '.join(categories)} are numbers of categories, between which there is nothing"
            if categories
            else ""
        )
        raise UsageError(
            f"it is a neural network ({', '.join(layers)}), and ONNX keeps no gradient, which explaining it "
            f"needs{numbers}. Load the network in torch and wrap it in molig.attribution.TorchModel, with a "
            "column for each category (see docs/adapters.md)"
        )

    def model(self) -> AdditiveModel:
        """The scores of the one model in the graph."""
        scaling, name, waiting = (
            Scaling.none(self._n_columns, single=True),
            self._input,
            list(self._graph.node),
        )
        while True:
            readers = [node for node in waiting if name in node.input]
            if len(readers) != 1:
                raise UsageError(
                    f"{len(readers)} nodes of the graph read {name!r}: it is more than one model on a "
                    "fingerprint"
                )
            (node,) = readers
            waiting.remove(node)
            if node.op_type in _MODELS:
                break
            scaling, name = self._scaled(scaling, node), node.output[0]
        self._check_after(node, waiting)
        held = {each.name: self._value(each) for each in node.attribute}
        if node.op_type.startswith("Tree"):
            scores, scale, tasks = self._trees(node.op_type, held, scaling)
        else:
            scores, scale, tasks = self._linear(node.op_type, held, scaling)
        return AdditiveModel(scores, scale, tasks, node.op_type, asks_for_counts(scores, ()))

    def _value(self, attribute: Any) -> Any:
        value = self._onnx.helper.get_attribute_value(attribute)
        return self._array(value) if isinstance(value, self._onnx.TensorProto) else value

    def _array(self, tensor: Any) -> npt.NDArray[Any]:
        if tensor.data_location == self._onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ModelFormatError("it keeps numbers in another file, which is not read")
        return np.asarray(self._onnx.numpy_helper.to_array(tensor))

    def _scaled(self, scaling: Scaling, node: Any) -> Scaling:
        """What a node before the model does to the columns."""
        held = {each.name: self._value(each) for each in node.attribute}
        others = [self._array(self._constants[each]) for each in node.input[1:] if each in self._constants]
        kind, numbers = node.op_type, others[0] if others else None
        if kind in {"Cast", "Identity"} and held.get("to", 1) in {1, _DOUBLE}:
            return scaling
        if kind == "Scaler":
            return scaling.then("subtract", held["offset"]).then("multiply", held["scale"])
        if kind == "Binarizer":
            return scaling.then("above", held.get("threshold", 0.0))
        if len(others) == len(node.input) - 1 and numbers is not None:
            if kind == "ArrayFeatureExtractor":
                return scaling.keep(numbers.astype(np.int64).ravel())
            if kind in {"Mul", "Add", "Sub", "Div"}:
                operation = {"Mul": "multiply", "Add": "add", "Sub": "subtract", "Div": "divide"}[kind]
                return scaling.then(operation, numbers.ravel())
            if kind == "Clip" and len(others) == 2:
                return scaling.then("at_least", others[0]).then("at_most", others[1])
        raise UsageError(
            f"its graph has {kind or 'a node'} before any model, which may mix columns, or it is no forest, "
            "boosted trees or linear model; of these molig reads what skl2onnx writes, behind scalers"
        )

    def _check_after(self, model: Any, others: list[Any]) -> None:
        """Refuse graphs that go on with the scores of the model, or in which they are not the end."""
        for node in others:
            if node.op_type not in _AFTER:
                raise UsageError(
                    f"its graph goes on with {node.op_type} behind {model.op_type}, so the model's sums are "
                    "not its score"
                )
            norm = [self._value(each) for each in node.attribute if each.name == "norm"]
            if node.op_type == "Normalizer" and norm != [b"L1"]:
                raise UsageError("its graph scales the scores of a molecule by their norm")

    def _classes(self, held: dict[str, Any], kind: str) -> tuple[str, ...]:
        labels = next((held[name] for name in _LABELS if held.get(name)), None)
        if labels is None:
            raise ModelFormatError(f"its {kind} names no classes")
        return tuple(
            each.decode(errors="replace") if isinstance(each, bytes) else str(each) for each in labels
        )

    def _trees(
        self, kind: str, held: dict[str, Any], scaling: Scaling
    ) -> tuple[AdditiveScores, Scale, tuple[str, ...]]:
        classifies, prefix = kind == "TreeEnsembleClassifier", "target"
        classes: tuple[str, ...] = ()
        if classifies:
            classes, prefix = self._classes(held, kind), "class"
        n_outputs = len(classes) if classifies else int(held.get("n_targets", 1))
        node = _keys(held["nodes_treeids"], held["nodes_nodeids"])
        order = np.argsort(node, kind="stable")
        node = node[order]
        ids = np.array(held[f"{prefix}_ids"], dtype=np.int64)
        # Of two classes, trees may have the weights of one only, which are those of the second.
        one_of_two = len(classes) == 2 and len(np.unique(ids)) == 1
        if one_of_two:
            ids, n_outputs = np.zeros_like(ids), 1
        if ((ids < 0) | (ids >= n_outputs)).any():
            raise ModelFormatError(f"its trees score output {ids.max()} of {n_outputs}")
        if n_outputs * len(node) > _MOST_VALUES:
            raise ModelFormatError(f"{n_outputs:,} outputs of {len(node):,} nodes are too many")
        weights = _either(held, f"{prefix}_weights")
        place = np.searchsorted(node, _keys(held[f"{prefix}_treeids"], held[f"{prefix}_nodeids"]))
        value = np.zeros((len(node), n_outputs))
        np.add.at(value, (place, ids), weights)
        base = _either(held, "base_values") if _has(held, "base_values") else np.zeros(n_outputs)
        trees = _nodes(held, order, node, value)
        if held.get("aggregate_function", b"SUM") == b"AVERAGE":
            trees = [tree._replace(value=tree.value / len(trees)) for tree in trees]
        elif held.get("aggregate_function", b"SUM") != b"SUM":
            raise UsageError("its trees are not added up but the largest or smallest is taken")
        if classifies and not one_of_two and len(classes) == 2:
            trees = [tree._replace(value=tree.value[:, 1:]) for tree in trees]
            base = base[-1:]
        scores = ensemble_of(trees, scaling, self._n_columns, base, single=self._single)
        return scores, *_scale(kind, held.get("post_transform", b"NONE"), classes, len(base))

    def _linear(
        self, kind: str, held: dict[str, Any], scaling: Scaling
    ) -> tuple[AdditiveScores, Scale, tuple[str, ...]]:
        classifies = kind == "LinearClassifier"
        classes = self._classes(held, kind) if classifies else ()
        coefficients = np.array(held["coefficients"], dtype=np.float64).reshape(-1, len(scaling.columns))
        base = np.zeros(len(coefficients))
        if held.get("intercepts"):
            base = np.array(held["intercepts"], dtype=np.float64)
        transform = held.get("post_transform", b"NONE")
        if classifies and transform == b"NONE":
            raise UsageError("its LinearClassifier gives no probabilities (post_transform NONE)")
        if classifies and len(classes) == 2 and len(coefficients) == 2:
            if not (np.array_equal(coefficients[0], -coefficients[1]) and base[0] == -base[1]):
                raise UsageError("its classes have coefficients of their own, so a probability is no sum")
            coefficients, base = coefficients[1:], base[1:]
        scores = LinearScores(scaling, coefficients, base, self._n_columns)
        return scores, *_scale(kind, transform, classes, len(base))


def _has(held: dict[str, Any], name: str) -> bool:
    return name in held or f"{name}_as_tensor" in held


def _either(held: dict[str, Any], name: str) -> FloatArray:
    """Numbers in single precision, or in double precision as a tensor."""
    return np.asarray(held.get(f"{name}_as_tensor", held.get(name)), dtype=np.float64)


def _keys(trees: Any, nodes: Any) -> Index:
    """One number for each tree and node."""
    parts = np.array(trees, dtype=np.int64), np.array(nodes, dtype=np.int64)
    if any(((part < 0) | (part >= 1 << 31)).any() for part in parts):
        raise ModelFormatError("its trees or nodes have impossible numbers")
    return (parts[0] << 31) | parts[1]


def _nodes(held: dict[str, Any], order: Index, node: Index, value: FloatArray) -> list[Nodes]:
    """Nodes tree by tree, in the order of their numbers."""
    modes = np.array(held["nodes_modes"], dtype=object)[order]
    leaf = modes == _LEAF
    for mode in set(modes[~leaf]):
        if mode not in _MODES:
            raise UsageError(f"its trees ask in the mode {mode!r}, which molig does not know")
    rules = np.array([_MODES.get(mode, (True, False)) for mode in modes], dtype=bool).reshape(-1, 2)
    tree, number = node >> 31, node & ((1 << 31) - 1)
    branches = []
    for name in ("nodes_falsenodeids", "nodes_truenodeids"):
        child = _keys(tree, np.array(held[name], dtype=np.int64)[order])
        branches.append(np.searchsorted(node, child))
        if not (node[np.minimum(branches[-1], len(node) - 1)] == child)[~leaf].all():
            raise ModelFormatError("a node of its trees leads to one that is not there")
    starts = np.flatnonzero(np.diff(tree, prepend=-1))
    first = np.repeat(starts, np.diff(np.append(starts, len(tree))))
    false, true = (np.where(leaf, -1, branch - first) for branch in branches)
    right = np.where(rules[:, 1], true, false)
    left = np.where(rules[:, 1], false, true)
    column = np.array(held["nodes_featureids"], dtype=np.int64)[order]
    threshold = _either(held, "nodes_values")[order]
    if not len(number) == len(column) == len(threshold) == len(modes):
        raise ModelFormatError("its trees have not as many numbers as nodes")
    parts = [np.split(each, starts[1:]) for each in (left, right, column, threshold, value, rules[:, 0])]
    return [Nodes(*each) for each in zip(*parts, strict=True)]


def _scale(
    kind: str, transform: bytes, classes: tuple[str, ...], n_outputs: int
) -> tuple[Scale, tuple[str, ...]]:
    """What the scores are, and the names of the outputs."""
    if not classes:
        if transform != b"NONE":
            raise UsageError(f"its {kind} transforms its values ({transform.decode(errors='replace')})")
        return Scale.VALUE, ("value",) if n_outputs == 1 else tuple(f"output {i}" for i in range(n_outputs))
    if transform == b"LOGISTIC" and n_outputs == 1 and len(classes) == 2:
        return Scale.LOGIT, names_of_classes(classes, kind)
    if transform == b"NONE":
        return Scale.PROBABILITY, names_of_classes(classes, kind)
    raise UsageError(
        f"its {kind} tells {len(classes)} classes apart by {transform.decode(errors='replace')}, so their "
        "probabilities depend on each other's sums and none has shares that add up"
    )
