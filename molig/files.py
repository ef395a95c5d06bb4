"""Writing files whole."""

from __future__ import annotations

import json
import math
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import rdkit
import sklearn
import torch

from molig.errors import OutputError
from molig.version import __version__


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and the directory it is in, so that it is there as a whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    content : bytes
        What it shall hold.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as err:
        raise OutputError(f"cannot write {path}: {err.strerror or err}") from err
    finally:
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)


# What all files of results have in common: versions, who made them, numbers without NaN.


def versions() -> dict[str, str]:
    """Versions of what computes the figures.

    Returns
    -------
    dict of str to str
        Package, or Python, to its version.

    Examples
    --------
    >>> list(versions())
    ['molig', 'python', 'torch', 'rdkit', 'scikit-learn', 'numpy']
    """
    return {
        "molig": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rdkit": rdkit.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }


def made_by(command: str, seed: int | None = None) -> str:
    """One line of Markdown that says how results came about.

    Parameters
    ----------
    command : str
        The command; empty if there was none.
    seed : int, optional
        The seed, if anything was drawn.

    Returns
    -------
    str

    Examples
    --------
    >>> made_by("molig evaluate --recipe r.toml", 3).split(";")[0]
    'Made by `molig evaluate --recipe r.toml`, seed 3'
    """
    how = [f"by `{command}`"] if command else []
    how += [f"{'' if command else 'with '}seed {seed}"] if seed is not None else []
    with_what = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"Made {', '.join(how)}; {with_what}." if how else f"Made with {with_what}."


def json_text(content: dict[str, Any]) -> str:
    r"""JSON with null for what is not a number, six significant digits, and a final line feed.

    Parameters
    ----------
    content : dict
        Of numbers, texts, lists and dictionaries.

    Returns
    -------
    str

    Examples
    --------
    >>> json_text({"a": float("nan")})
    '{\n "a": null\n}\n'
    """
    return json.dumps(_plain(content), indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """The same with null for NaN, and enumerations as their text."""
    if isinstance(value, float):
        # Significant digits: a learning rate of the recipe or a p-value may be very small.
        return None if math.isnan(value) else float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
