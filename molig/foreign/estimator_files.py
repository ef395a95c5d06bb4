"""Files of models on fingerprints: skops, audited before it is made, ONNX, boosters', and trusted pickles.

A skops file is a zip: a description of objects and their arrays. It names classes, and reading it makes
objects of them, so every name is held against a list first: scikit-learn's own trees, linear models, scalers
and what they keep, numpy's arrays, and plain values.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from molig.errors import InputError, ModelFormatError, UsageError, called
from molig.files import read_regular
from molig.foreign.boosters import read_booster
from molig.foreign.estimators import READ_CLASSES, AdditiveModel, read_estimator
from molig.foreign.fingerprint_model import FingerprintModel
from molig.foreign.fingerprints import BOOSTERS, ESTIMATOR_SUFFIXES, ONNX, PICKLES, SKOPS, MorganFingerprint
from molig.foreign.onnx_models import read_onnx

LARGEST_FILE = 4_000_000_000
"""Largest file that is read, and largest sum of its unpacked parts, in bytes."""

_LARGEST_DESCRIPTION = 400_000_000
_LONGEST_SHOWN = 80
# Before it, functions had their names in other places.
_PROTOCOL = 2

_PLAIN = {
    ("DictNode", "builtins.dict"),
    ("DictNode", "collections.OrderedDict"),
    ("ListNode", "builtins.list"),
    ("SetNode", "builtins.set"),
    ("SliceNode", "builtins.slice"),
    ("TupleNode", "builtins.tuple"),
    ("JsonNode", "builtins.str"),
    *(("TypeNode", f"builtins.{name}") for name in ("bool", "float", "int", "str")),
    *(("TypeNode", f"numpy.{name}") for name in ("bool", "float32", "float64", "int32", "int64", "str_")),
    *(
        ("NdArrayNode", f"numpy.{name}")
        for name in ("bool", "float32", "float64", "int32", "int64", "ndarray", "str_", "uint32", "uint64")
    ),
    ("NdArrayNode", "numpy.bool_"),
    ("DTypeNode", "numpy.dtype"),
    ("RandomStateNode", "numpy.random.mtrand.RandomState"),
    ("RandomGeneratorNode", "numpy.random._generator.Generator"),
    ("SparseMatrixNode", "scipy.sparse._csr.csr_matrix"),
}
_OF_LOSSES = {
    *(
        ("LossNode", f"sklearn._loss._loss.Cy{name}")
        for name in (
            *("AbsoluteError", "ExponentialLoss", "HalfBinomialLoss", "HalfSquaredError", "HuberLoss"),
            "PinballLoss",
        )
    ),
    *(
        ("ObjectNode", f"sklearn._loss.loss.{name}")
        for name in (
            *("AbsoluteError", "ExponentialLoss", "HalfBinomialLoss", "HalfSquaredError", "HuberLoss"),
            "PinballLoss",
        )
    ),
    *(
        ("ObjectNode", f"sklearn._loss.link.{name}")
        for name in ("HalfLogitLink", "IdentityLink", "Interval", "LogitLink")
    ),
}
_OF_MODELS = {
    *(("ObjectNode", f"{kind.__module__}.{kind.__qualname__}") for kind in READ_CLASSES),
    ("ObjectNode", "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper"),
    ("ObjectNode", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"),
    ("ObjectNode", "sklearn.preprocessing._label.LabelBinarizer"),
    ("ObjectNode", "sklearn.preprocessing._label.LabelEncoder"),
    ("TreeNode", "sklearn.tree._tree.Tree"),
    *(
        ("FunctionNode", f"sklearn.feature_selection._univariate_selection.{name}")
        for name in ("chi2", "f_classif", "f_regression")
    ),
}
_KNOWN = _PLAIN | _OF_LOSSES | _OF_MODELS
_WHAT_IT_IS = ("__class__", "__module__", "__loader__")


def load_fingerprint_model(
    path: str | Path,
    fingerprint: str | MorganFingerprint | None,
    *,
    trust_pickle: bool = False,
    **options: Any,
) -> FingerprintModel:
    """Read a random forest, boosted trees or a linear model on Morgan fingerprints from a file.

    Parameters
    ----------
    path : str or Path
        A ``.skops`` or ``.onnx`` file, or one of XGBoost (``.json``, ``.ubj``) or LightGBM (``.txt``), of
        which nothing is run; or a pickle (``.pkl``, ``.pickle``, ``.joblib``).
    fingerprint : str or MorganFingerprint
        The fingerprint that it was trained on, such as ``"morgan:radius=2,bits=2048,counts"``: the file does
        not say.
    trust_pickle : bool
        Load a pickle. Loading one runs whatever program its maker put into it, so do this only with a file
        that you made or whose maker you trust.
    **options
        Further parameters of `FingerprintModel`: ``tasks``, ``background`` and so on.

    Returns
    -------
    FingerprintModel

    Raises
    ------
    InputError
        If there is no such file.
    UsageError
        If it is a pickle that is not trusted, no fingerprint is named or another one than it was trained on,
        the model is of another kind, or the package that reads the file is not installed.
    ModelFormatError
        If the file is damaged, or names anything that no such model needs.

    Examples
    --------
    >>> load_fingerprint_model("forest.pkl", "morgan:counts")
    Traceback (most recent call last):
    ...
    molig.errors.UsageError: forest.pkl is a pickle, and loading a pickle runs whatever program its maker \
put into it; save the model as skops (skops.io.dump) or ONNX (skl2onnx), or, if you made the file yourself, \
say trust_pickle
    """
    path = Path(path)
    if path.suffix in PICKLES and not trust_pickle:
        raise UsageError(
            f"{path} is a pickle, and loading a pickle runs whatever program its maker put into it; save the "
            "model as skops (skops.io.dump) or ONNX (skl2onnx), or, if you made the file yourself, say "
            f"{called('trust_pickle')}"
        )
    if fingerprint is None:
        raise UsageError(
            f"{path} does not say which fingerprint it was trained on; name it by {called('fingerprint')}, "
            "such as morgan:radius=2,bits=2048,counts"
        )
    chosen = MorganFingerprint.named(fingerprint) if isinstance(fingerprint, str) else fingerprint
    read = _read(path, chosen.n_columns)
    return FingerprintModel(read, chosen, **{"name": path.stem, **options})


def _read(path: Path, n_columns: int) -> AdditiveModel:
    try:
        data = read_regular(path, LARGEST_FILE)
    except OSError as err:
        raise InputError(f"{path} cannot be read: {err.strerror or err}") from err
    except ValueError as err:
        raise ModelFormatError(f"{path} is no model: {err}") from err
    if path.suffix == ONNX:
        return read_onnx(path, data, n_columns)
    if path.suffix in BOOSTERS:
        return read_booster(path, data)
    if path.suffix == SKOPS:
        return _estimator(path, _read_skops(path, data))
    if path.suffix in PICKLES:
        return _estimator(path, _unpickled(path))
    raise UsageError(
        f"{path} is no file of a model on fingerprints: those end in {', '.join(ESTIMATOR_SUFFIXES)}"
    )


def _estimator(path: Path, loaded: Any) -> AdditiveModel:
    """What an estimator from a file holds, which may be anything."""
    for step in (loaded, *(step for _, step in getattr(loaded, "steps", ()))):
        if hasattr(step, "n_jobs"):
            step.n_jobs = None  # no file says how many processors to take
    try:
        return read_estimator(loaded)
    except (UsageError, ModelFormatError) as err:
        raise type(err)(f"{path}: {err}") from err
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as err:
        raise ModelFormatError(
            f"{path}: its {type(loaded).__name__} is damaged, or of a version of scikit-learn that the one "
            f"installed cannot use ({_shown(err)})"
        ) from err


def _unpickled(path: Path) -> Any:
    import joblib  # noqa: PLC0415 (for trusted files only)

    try:
        return joblib.load(path)
    except Exception as err:  # a pickle can raise anything
        raise ModelFormatError(f"{path} cannot be loaded: {type(err).__name__}: {_shown(err)}") from err


# skops.


def _read_skops(path: Path, data: bytes) -> Any:
    """The estimator of a skops file, made after every name in it was found on the list."""
    try:
        import skops.io  # noqa: PLC0415 (an optional package)
    except ImportError as err:
        raise UsageError(f"{path} is read by the package skops: pip install 'molig[forests]'") from err
    names = audit_skops(path, data)
    try:
        return skops.io.loads(data, trusted=sorted(names))
    except Exception as err:  # of a damaged file, whatever the classes in it make of their state
        raise ModelFormatError(
            f"{path} cannot be loaded: it is damaged, or of another version of skops or scikit-learn "
            f"({type(err).__name__}: {_shown(err)})"
        ) from err


def audit_skops(path: Path, data: bytes) -> set[str]:
    """Names of what a skops file makes, all of which are known; nothing is made yet."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        size = sum(info.file_size for info in archive.infolist())
        info = archive.getinfo("schema.json")
        if size > LARGEST_FILE or info.file_size > _LARGEST_DESCRIPTION:
            raise ModelFormatError(f"{path}: its parts are too large unpacked ({size:,} bytes)")
        description = json.loads(archive.read(info))
    except KeyError as err:
        raise ModelFormatError(f"{path}: it is no skops file (it has no schema.json)") from err
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as err:
        problem = "its description is nested too deeply" if isinstance(err, RecursionError) else _shown(err)
        raise ModelFormatError(f"{path}: it is no skops file, or damaged ({problem})") from err
    protocol = description.get("protocol") if isinstance(description, dict) else None
    if not isinstance(protocol, int) or protocol < _PROTOCOL:
        raise ModelFormatError(
            f"{path} was written by a skops older than 0.9, or is damaged; load it there and dump it again"
        )
    names, waiting = set[str](), [description]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if any(key in part for key in _WHAT_IT_IS):
                names |= _known_name(path, part)
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return names


def _known_name(path: Path, part: dict[str, Any]) -> set[str]:
    """The name of what a part of the description makes; none of what refers to another part."""
    kind, module, loader = (str(part.get(key)) for key in _WHAT_IT_IS)
    if loader == "CachedNode":
        return set()
    if (loader, f"{module}.{kind}") in _KNOWN:
        return {f"{module}.{kind}"}
    raise ModelFormatError(
        f"{path} names {_shown(f'{module}.{kind}')} ({_shown(loader)}), which no forest or linear model "
        "needs: it is not loaded, and nothing in it was run"
    )


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
