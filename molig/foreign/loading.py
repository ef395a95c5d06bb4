"""Models by what the user names with ``-m``: those of molig, and foreign ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path

import torch

from molig.errors import UnknownNameError, UsageError, called
from molig.foreign.admet_ai import ADMET_AI, load_admet_ai
from molig.foreign.chemprop import SUFFIXES, ChempropModel, InputOptions, load_chemprop
from molig.model.files import INFO_FILE, load_model
from molig.model.screening_model import ScreeningModel


def is_foreign(names: str | Path | Sequence[str | Path]) -> bool:
    """Whether models that a user names are of another package, so that `load_foreign` reads them.

    Parameters
    ----------
    names : str, Path or sequence of them
        What was given as the model: names, files, directories.

    Examples
    --------
    >>> is_foreign("admet-ai"), is_foreign("best.pt"), is_foreign("tox21-w2n2-simple")
    (True, True, False)
    """
    listed = [names] if isinstance(names, str | Path) else list(names)
    return bool(listed) and all(str(name) == ADMET_AI or _holds_networks(Path(name)) for name in listed)


def _holds_networks(path: Path) -> bool:
    if not path.is_dir():
        return path.suffix in SUFFIXES
    inside = (file for suffix in SUFFIXES for file in path.rglob(f"*{suffix}"))
    return not (path / INFO_FILE).exists() and bool(list(islice(inside, 1)))


def load_foreign(
    names: str | Path | Sequence[str | Path],
    options: InputOptions | None = None,
    device: str | torch.device = "cpu",
) -> ChempropModel:
    """Read a model of another package by what the user names.

    Parameters
    ----------
    names : str, Path or sequence of them
        ``"admet-ai"``, or files and directories of Chemprop as for `load_chemprop`.
    options : InputOptions, optional
        How molecules become graphs.
    device : str or torch.device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Returns
    -------
    ChempropModel

    Raises
    ------
    InputError, ModelFormatError, UsageError
        As `load_chemprop` and `load_admet_ai`.
    """
    listed = [names] if isinstance(names, str | Path) else list(names)
    if ADMET_AI not in map(str, listed):
        return load_chemprop(listed, options, device)
    if len(listed) > 1:
        raise UsageError(f"{ADMET_AI} stands alone: it is no member of an ensemble")
    return load_admet_ai(options, device)


def load_any_model(
    names: str | Path | Sequence[str | Path],
    device: str | torch.device = "cpu",
    options: InputOptions | None = None,
) -> ScreeningModel | ChempropModel:
    """Read a model of molig or of another package; `molig.load_model` is this.

    Parameters
    ----------
    names : str, Path or sequence of them
        A model directory or the name of a bundled model; ``"admet-ai"``; or files of Chemprop (``.pt``,
        ``.ckpt``) and directories of them. Several are an ensemble, whose predictions are averaged.
    device : str or torch.device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    options : InputOptions, optional
        How molecules become graphs, for models of Chemprop.

    Returns
    -------
    ScreeningModel or ChempropModel

    Raises
    ------
    UnknownNameError
        If there is no such model.
    UsageError
        If several models are named that are no ensemble, or options are given for a model of molig.
    InputError, ModelFormatError
        If files cannot be read.

    Examples
    --------
    >>> load_any_model("tox21-w2n2-simple").tasks[0]
    'NR-AR'
    """
    listed = [names] if isinstance(names, str | Path) else list(names)
    own = [name for name in listed if not is_foreign(name)]
    if not own:
        return load_foreign(listed, options, device)
    if len(listed) > 1:
        raise UsageError(
            "several models are an ensemble only if all are files of Chemprop (*.pt, *.ckpt), and "
            f"{own[0]} is none (got {', '.join(map(str, listed))})"
        )
    if Path(own[0]).is_file():
        raise UsageError(
            f"{own[0]} is a file; a model is the directory that holds {INFO_FILE}, or files of Chemprop, "
            "which end in .pt or .ckpt"
        )
    try:
        model = load_model(own[0], device)
    except UnknownNameError as unknown:
        raise UnknownNameError(
            unknown.kind, unknown.name, [*unknown.valid, ADMET_AI], "or files of Chemprop (*.pt, *.ckpt)"
        ) from None
    if given := [f.name for f in fields(InputOptions) if getattr(options, f.name, f.default) != f.default]:
        raise UsageError(
            f"{' and '.join(map(called, given))} is for models of Chemprop; {model.name} is a model of "
            "molig, which reads molecules as in its training"
        )
    return model
