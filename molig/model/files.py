"""Model directories: weights, description and fingerprints, written whole and checked when read."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import rdkit
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from molig.committee import EnvironmentNet, Forest, KernelMachine, Vocabulary
from molig.errors import ModelFormatError, OutputError, UnknownNameError, UsageError
from molig.features import FeatureSchema
from molig.features.environments import numbering_digest
from molig.files import digest_of, read_regular, write_whole
from molig.model.domain import APPLICABILITY_FILE, applicability_content, read_applicability
from molig.model.info import (
    FORMAT,
    FORMAT_VERSION,
    FORMAT_WITHOUT_COMMITTEE,
    MemberInfo,
    ModelInfo,
    Objective,
)
from molig.model.relaxed import Member
from molig.model.screening_model import ScreeningModel
from molig.molecules.standardize import PARENT_VERSION
from molig.network import WeaveNet

INFO_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
MEMBERS_FILE = "members.safetensors"

# Bounds of what is read, in bytes and characters: the largest bundled description has 40 kB.
_LARGEST_INFO = 16_000_000
_LARGEST_HEADER = 1_000_000
_VOCABULARY = "vocabulary"
_LARGEST_MEMBERS = 2_000_000_000
_LARGEST_INTEGER = 2**63 - 1
_DEEPEST = 32
_LONGEST_SHOWN = 200
_SAFETENSORS_ERRORS = (SafetensorError, KeyError, ValueError, TypeError, RuntimeError)

_DTYPES = {"float16": torch.float16, "float32": torch.float32}


def build_network(info: ModelInfo) -> WeaveNet:
    """Make the network that a model states, with fresh weights."""
    schema = FeatureSchema.from_dict(info.feature_schema)
    return WeaveNet(info.network, schema.n_atom_columns, schema.n_pair_columns, len(info.tasks))


def save_model(model: ScreeningModel, directory: str | Path) -> ScreeningModel:
    """Write a model's weights and description.

    Parameters
    ----------
    model : ScreeningModel
        The model. Its weights are stored in ``info.weights_dtype``; the last layer of a regression, which
        holds the unit of the labels, always in single precision. The section ``applicability`` is that of
        the model's own domain, if it has one.
    directory : str or Path
        Directory to write to; created if need be. Each file is replaced as a whole.

    Returns
    -------
    ScreeningModel
        The model as it reads back from the files, with rounded weights if stored in half precision.

    Raises
    ------
    OutputError
        If the directory cannot be written, or a weight is not finite in the type it is stored in.
    """
    directory = Path(directory)
    state = _stored_state(model)
    stored_members = _stored_members(model) if model.members else {}
    if problem := _unusable(state) or _unusable(stored_members):
        raise OutputError(
            f"the weights of {model.name!r} cannot be stored in {model.info.weights_dtype}: {problem}; "
            "if training diverged, lower the learning rate"
        )
    weights = save(state)
    fingerprints, section = (
        applicability_content(model.applicability) if model.applicability else (None, None)
    )
    members = save(stored_members) if stored_members else None
    committee = model.info.committee
    if committee is not None and members is not None:
        committee = committee.model_copy(update={"sha256": digest_of(members)})
    changes = {
        "weights_sha256": digest_of(weights),
        "format_version": FORMAT_VERSION if committee else FORMAT_WITHOUT_COMMITTEE,
        "applicability": section,
        "committee": committee,
    }
    # An older molig, which reads networks alone, does not know the reliability of committees.
    left_out = {"reliability"} if committee is None else None
    described = model.info.model_copy(update=changes).model_dump(mode="json", exclude=left_out)
    text = json.dumps(described, indent=1) + "\n"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(directory / WEIGHTS_FILE, weights)
        for name, content in ((MEMBERS_FILE, members), (APPLICABILITY_FILE, fingerprints)):
            if content is None:
                (directory / name).unlink(missing_ok=True)
            else:
                write_whole(directory / name, content)
        write_whole(directory / INFO_FILE, text)
    except OSError as err:
        raise OutputError(f"cannot write the model to {directory}: {err.strerror or err}") from err
    return load_model(directory, device=model.device)


def load_model(path_or_name: str | Path, device: str | torch.device = "cpu") -> ScreeningModel:
    """Read a model from a directory, or a bundled one by name.

    Parameters
    ----------
    path_or_name : str or Path
        A model directory, or the name of a bundled model such as ``"tox21-w2n2-simple"``.
    device : str or torch.device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Returns
    -------
    ScreeningModel

    Raises
    ------
    UnknownNameError
        If there is neither such a directory nor such a bundled model.
    ModelFormatError
        If the files are damaged, foreign or of a newer version.

    Warns
    -----
    UserWarning
        If the model was trained on molecules standardised by an older version of the policy "parent".

    Examples
    --------
    >>> load_model("tox21-w2n2-simple").tasks[0]
    'NR-AR'
    """
    directory = find_model(path_or_name)
    info = _read_info(directory / INFO_FILE)
    network = _read_network(directory / WEIGHTS_FILE, info)
    members = _read_members(directory / MEMBERS_FILE, info) if info.committee else ()
    model = ScreeningModel(info, network, device, members=members)
    if info.molecules.outdated:
        warnings.warn(
            f"{info.name} was trained under version {info.molecules.standardization_version} of the policy "
            f"'parent', which kept other fragments of some salts; train it again with this molig",
            stacklevel=2,
        )
    if info.applicability is not None:
        path = directory / APPLICABILITY_FILE
        model.applicability = read_applicability(path, info.applicability, model.schema)
    return model


def load_info(path_or_name: str | Path) -> ModelInfo:
    """Read what a model says about itself, without its weights.

    Parameters
    ----------
    path_or_name : str or Path
        A model directory, or the name of a bundled model.

    Returns
    -------
    ModelInfo

    Raises
    ------
    UnknownNameError
        If there is neither such a directory nor such a bundled model.
    ModelFormatError
        If the description is damaged, foreign or of a newer version.

    Examples
    --------
    >>> len(load_info("tox21-w2n2-simple").tasks)
    12
    """
    return _read_info(find_model(path_or_name) / INFO_FILE)


def find_model(path_or_name: str | Path) -> Path:
    """Find the directory of a model.

    Parameters
    ----------
    path_or_name : str or Path
        A model directory, or the name of a bundled model.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If there is no such directory or bundled model.
    """
    path = Path(path_or_name)
    if path.is_dir():
        return path
    if path.exists():
        raise UsageError(f"{path} is a file; a model is the directory that holds {INFO_FILE}")
    bundled = bundled_models()
    if str(path_or_name) in bundled:
        return bundled[str(path_or_name)]
    if len(path.parts) > 1:
        raise UsageError(f"no model directory at {path}")
    raise UnknownNameError("model", str(path_or_name), bundled)


def bundled_models() -> dict[str, Path]:
    """Names and directories of the models that come with molig."""
    package = Path(str(resources.files("molig")))
    # An installed wheel carries them inside the package; a checkout has them beside it.
    for root in (package / "bundled", package.parent / "models"):
        if root.is_dir():
            return {p.parent.name: p.parent for p in sorted(root.glob(f"*/{INFO_FILE}"))}
    return {}


def _stored_state(model: ScreeningModel) -> dict[str, torch.Tensor]:
    dtype = _DTYPES[model.info.weights_dtype]
    # Half precision ends at 65,504 and has three digits: too little for labels of 70,000 or 300.00 +- 0.05.
    regression = model.info.objective is Objective.REGRESSION
    whole = f"head.{len(model.network.head) - 1}." if regression else None
    return {
        name: (t.to(dtype) if t.is_floating_point() and not (whole and name.startswith(whole)) else t)
        .contiguous()
        .cpu()
        for name, t in model.network.state_dict().items()
    }


def _stored_members(model: ScreeningModel) -> dict[str, torch.Tensor]:
    """Tensors of the members beside the Weave network; what is stored is what is scored with."""
    dtype = _DTYPES[model.info.weights_dtype]
    stored = {_VOCABULARY: torch.from_numpy(model.members[0].vocabulary.ids)}
    for name, member in zip(model.member_names[1:], model.members, strict=True):
        for key, tensor in member.arrays().items():
            # The last layer of a regression holds the unit of the labels, and a leaf one of them; thousands
            # of coefficients of either sign nearly cancel.
            whole = key in KernelMachine.FLOATS or (
                model.info.objective is Objective.REGRESSION and key in ("out", "out_bias", "value")
            )
            kept = tensor.to(dtype) if tensor.is_floating_point() and not whole else tensor
            stored[f"{name}/{key}"] = kept.detach().contiguous().cpu()
    return stored


# Reading what may come from anyone: nothing is built before its size is known to fit.


def _read_info(path: Path) -> ModelInfo:
    data = _read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ModelFormatError(f"{path} does not describe a molig model (its format is not {FORMAT!r})")
    version = data.get("format_version", 1)
    if type(version) is not int or version < 1:
        raise ModelFormatError(
            f"{path} is damaged: format_version must be a whole number from 1 to {FORMAT_VERSION} "
            f"(got {str(version)[:_LONGEST_SHOWN]!r})"
        )
    if version > FORMAT_VERSION:
        raise ModelFormatError(
            f"{path} has format version {version}, written by molig {data.get('molig_version', '?')}; "
            f"this molig reads up to version {FORMAT_VERSION}: upgrade molig to use it"
        )
    if isinstance(data.get("molecules"), dict):
        # Files that do not state the version of the policy were written under the first.
        data["molecules"].setdefault("standardization_version", 1)
    try:
        info = ModelInfo.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as err:
        first = err.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelFormatError(f"{path} is damaged: {where}: {first['msg']}") from err
    if info.molecules.standardization_version > PARENT_VERSION:
        raise ModelFormatError(
            f"{path} needs version {info.molecules.standardization_version} of the policy 'parent', "
            f"this molig has {PARENT_VERSION}: upgrade molig to use it"
        )
    try:
        schema = FeatureSchema.from_dict(info.feature_schema)
    except ModelFormatError as err:
        raise ModelFormatError(f"{path} is damaged: {err}") from err
    if schema.hash != info.schema_hash:
        raise ModelFormatError(f"{path} is damaged: the feature schema does not match its hash")
    return info


def _read_json(path: Path) -> Any:
    """Plain data of bounded depth and numbers that are numbers."""
    try:
        text = read_regular(path, _LARGEST_INFO).decode()
        data = json.loads(text, parse_constant=_refuse_constant)
        _check_plain(data)
    except FileNotFoundError as err:
        raise ModelFormatError(f"{path.parent} is not a model: it has no {INFO_FILE}") from err
    except OSError as err:
        raise ModelFormatError(f"{path} cannot be read: {err.strerror or err}") from err
    except RecursionError as err:
        raise ModelFormatError(f"{path} is damaged and cannot be read: it is nested too deeply") from err
    except ValueError as err:  # also of text, of JSON, and of numbers with thousands of digits
        raise ModelFormatError(f"{path} is damaged and cannot be read: {err}") from err
    return data


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")


def _check_plain(data: Any) -> None:
    """Refuse what no model.json holds, and what ends in an error far from here."""
    level = [data]
    for _ in range(_DEEPEST):
        for value in level:
            if isinstance(value, str):
                value.encode()  # half of a surrogate pair can never be written
            elif isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
                raise ValueError("it holds a whole number of more than 64 bits")
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("it holds a number too large for this computer")
        level = [one for value in level for one in _content(value)]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _content(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return chain(value, value.values())
    return value if isinstance(value, list) else ()


def _read_network(path: Path, info: ModelInfo) -> WeaveNet:
    """The network with its weights."""
    with torch.device("meta"):
        expected = build_network(info).state_dict()
    largest = sum(t.numel() * t.element_size() for t in expected.values()) + _LARGEST_HEADER
    try:
        content = read_regular(path, largest)
    except OSError as err:
        reason = err.strerror or err
        raise ModelFormatError(
            f"the weights of model {info.name!r} cannot be read: {path}: {reason}"
        ) from err
    if digest_of(content) != info.weights_sha256:
        raise ModelFormatError(
            f"{path} is damaged or belongs to another model: its SHA-256 is not the one in {INFO_FILE}; "
            "fetch the model again"
        )
    try:
        state = load(content)
    except _SAFETENSORS_ERRORS as err:
        raise ModelFormatError(f"{path} is damaged: {_first_line(err)}; fetch the model again") from err
    if problem := _misfit(state, expected) or _unusable(state):
        raise ModelFormatError(f"{path} does not fit the network in {INFO_FILE}: {problem}")
    network = build_network(info)
    network.load_state_dict({k: v.to(expected[k].dtype) for k, v in state.items()})
    return network


def _read_members(path: Path, info: ModelInfo) -> list[Member]:
    """The other members of a committee."""
    if info.committee is None:
        return []
    try:
        content = read_regular(path, _LARGEST_MEMBERS)
    except OSError as err:
        raise ModelFormatError(
            f"the members of model {info.name!r} cannot be read: {path}: {err.strerror or err}"
        ) from err
    if digest_of(content) != info.committee.sha256:
        raise ModelFormatError(
            f"{path} is damaged or belongs to another model: its SHA-256 is not the one in {INFO_FILE}; "
            "fetch the model again"
        )
    blocks = FeatureSchema.from_dict(info.feature_schema).environment_blocks
    if not blocks:
        raise ModelFormatError(f"{path.parent / INFO_FILE} is damaged: its committee reads no substructures")
    if numbering_digest(blocks) != info.committee.numbering:
        raise ModelFormatError(
            f"model {info.name!r} counts substructures by RDKit's numbers, and RDKit {rdkit.__version__} "
            "numbers them otherwise than the RDKit it was trained with: install that one "
            f"({_rdkit_of(info)}), or train the model again"
        )
    try:
        state = load(content)
    except _SAFETENSORS_ERRORS as err:
        raise ModelFormatError(f"{path} is damaged: {_first_line(err)}; fetch the model again") from err
    if _VOCABULARY not in state:
        raise ModelFormatError(f"{path} is damaged: it has no tensor {_VOCABULARY!r}")
    vocabulary = Vocabulary.of_file(state[_VOCABULARY])
    return [_member(path, state, vocabulary, each, len(info.tasks)) for each in info.committee.members[1:]]


_KINDS: dict[str, type[EnvironmentNet | Forest | KernelMachine]] = {
    kind.kind: kind for kind in (EnvironmentNet, Forest, KernelMachine)
}


def _member(
    path: Path, state: dict[str, torch.Tensor], vocabulary: Vocabulary, info: MemberInfo, n_tasks: int
) -> Member:
    prefix = f"{info.name}/"
    held = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    kinds = {t.dtype for t in held.values() if t.is_floating_point()} - set(_DTYPES.values())
    if kinds:
        raise ModelFormatError(f"{path} cannot be used: {info.name} holds numbers of type {kinds.pop()}")
    if problem := _unusable(held):
        raise ModelFormatError(f"{path} cannot be used: {info.name}: {problem}")
    try:
        member: Member = _KINDS[info.kind].from_arrays(held, vocabulary, n_tasks)
    except _SAFETENSORS_ERRORS as err:
        raise ModelFormatError(f"{path} is damaged: {info.name}: {_first_line(err)}") from err
    if (len(member.vocabulary), member.size) != (info.n_columns, info.size):
        raise ModelFormatError(f"{path} does not fit the member {info.name} in {INFO_FILE}")
    return member


def _rdkit_of(info: ModelInfo) -> str:
    return f"RDKit {info.training.versions.get('rdkit', '?')}" if info.training else "see its card"


def _misfit(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> str:
    """What is missing, too much, or of another shape or type."""
    for name in sorted(expected.keys() ^ state.keys()):
        return f"it has {'no' if name in expected else 'a surplus'} tensor {name[:_LONGEST_SHOWN]!r}"
    for name, tensor in state.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape:
            return f"{name} must be of shape {tuple(wanted.shape)} (got {tuple(tensor.shape)})"
        kinds = tuple(_DTYPES.values()) if wanted.is_floating_point() else (wanted.dtype,)
        if tensor.dtype not in kinds:
            return f"{name} must be {' or '.join(map(str, kinds))} (got {tensor.dtype})"
    return ""


def _unusable(state: dict[str, torch.Tensor]) -> str:
    """Weights that no score could come of."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return f"{name} holds NaN or infinite numbers"
        if name.endswith("running_var") and bool((tensor < 0).any()):
            return f"{name} holds negative variances"
    return ""


def _first_line(err: Exception) -> str:
    return next(iter(str(err).splitlines()), type(err).__name__)[:_LONGEST_SHOWN]
