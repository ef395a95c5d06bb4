"""What the results of a run depend on: to continue it is to continue with the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from molig.errors import InputError, UsageError
from molig.model import ScreeningModel
from molig.version import __version__


def run_identity(model: ScreeningModel, source: str | Path, options: Mapping[str, object]) -> dict[str, str]:
    """Describe a run so that another can tell whether it would give the same results.

    Parameters
    ----------
    model : ScreeningModel
        Model with its weights.
    source : str or Path
        File that is read; its content counts, not its name or date.
    options : mapping of str to object
        Whatever else the results depend on, by the names a user knows; None for what was not given.

    Returns
    -------
    dict of str to str
        For `molig.screening.Parts`.

    Raises
    ------
    UsageError
        If the source is no file, such as standard input: it cannot be read a second time.
    InputError
        If it cannot be read.

    Examples
    --------
    >>> import molig
    >>> run_identity(molig.load_model("tox21-w2n2-simple"), "-", {})
    Traceback (most recent call last):
        ...
    molig.errors.UsageError: standard input cannot be read again, so its run cannot be resumed; use a file
    """
    known = {name: "" if value is None else str(value) for name, value in options.items()}
    return {
        "molig": __version__,
        "the model": f"{model.name} {_model_digest(model)}",
        "the device": model.device.type,
        "the input": _file_digest(source),
        **known,
    }


def is_repeatable(source: str | Path) -> bool:
    """Tell whether a source can be read a second time: a file can, standard input and pipes cannot.

    Parameters
    ----------
    source : str or Path
        File name, or ``"-"``.

    Returns
    -------
    bool
    """
    return str(source) != "-" and Path(source).is_file()


def _model_digest(model: ScreeningModel) -> str:
    digest = hashlib.sha256(model.info.model_dump_json().encode())
    for name, tensor in model.network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _file_digest(source: str | Path) -> str:
    if not is_repeatable(source):
        what = "standard input" if str(source) == "-" else f"{source} is no file: it"
        raise UsageError(f"{what} cannot be read again, so its run cannot be resumed; use a file")
    try:
        with Path(source).open("rb") as file:
            return f"{hashlib.file_digest(file, 'sha256').hexdigest()}, {Path(source).stat().st_size} bytes"
    except OSError as err:
        raise InputError(f"{source}: cannot be opened ({err.strerror}); check its permissions") from err
