"""Model directories: weights, description and fingerprints, written whole and checked when read."""

from __future__ import annotations

import json
import warnings
from importlib import resources
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from molig.errors import ModelFormatError, OutputError, UnknownNameError, UsageError
from molig.features import FeatureSchema
from molig.files import digest_of, write_whole
from molig.model.domain import APPLICABILITY_FILE, applicability_content, read_applicability
from molig.model.info import FORMAT, FORMAT_VERSION, ModelInfo, Objective
from molig.model.screening_model import ScreeningModel
from molig.molecules.standardize import PARENT_VERSION
from molig.network import WeaveNet

INFO_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"

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
        If the directory cannot be written.
    """
    directory = Path(directory)
    weights = save(_stored_state(model))
    fingerprints, section = (
        applicability_content(model.applicability) if model.applicability else (None, None)
    )
    changes = {
        "weights_sha256": digest_of(weights),
        "format_version": FORMAT_VERSION,
        "applicability": section,
    }
    text = json.dumps(model.info.model_copy(update=changes).model_dump(mode="json"), indent=1) + "\n"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(directory / WEIGHTS_FILE, weights)
        if fingerprints is None:
            (directory / APPLICABILITY_FILE).unlink(missing_ok=True)
        else:
            write_whole(directory / APPLICABILITY_FILE, fingerprints)
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
    network = build_network(info)
    _load_weights(network, directory / WEIGHTS_FILE, info)
    model = ScreeningModel(info, network, device)
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


def _read_info(path: Path) -> ModelInfo:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise ModelFormatError(f"{path.parent} is not a model: it has no {INFO_FILE}") from err
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as err:
        raise ModelFormatError(f"{path} is damaged and cannot be read: {err}") from err
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ModelFormatError(f"{path} does not describe a molig model (its format is not {FORMAT!r})")
    version = data.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelFormatError(
            f"{path} has format version {version}, written by molig {data.get('molig_version', '?')}; "
            f"this molig reads up to version {FORMAT_VERSION}: upgrade molig to use it"
        )
    try:
        info = ModelInfo.model_validate(data)
    except ValidationError as err:
        first = err.errors()[0]
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


def _load_weights(network: WeaveNet, path: Path, info: ModelInfo) -> None:
    try:
        content = path.read_bytes()
    except OSError as err:
        raise ModelFormatError(f"the weights of model {info.name!r} cannot be read: {err}") from err
    if digest_of(content) != info.weights_sha256:
        raise ModelFormatError(
            f"{path} is damaged or belongs to another model: its SHA-256 is not the one in {INFO_FILE}; "
            "fetch the model again"
        )
    try:
        state = load(content)
        network.load_state_dict(
            {k: v.to(torch.float32) if v.is_floating_point() else v for k, v in state.items()}
        )
    except (SafetensorError, RuntimeError) as err:
        raise ModelFormatError(
            f"{path} does not fit the network in {INFO_FILE}: {str(err).splitlines()[0]}"
        ) from err
