"""Which models are foreign, by what the user names with ``-m``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

from molig.foreign.admet_ai import ADMET_AI, load_admet_ai
from molig.foreign.chemprop import SUFFIXES, ChempropModel, InputOptions, load_chemprop
from molig.model.files import INFO_FILE


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
    if names == ADMET_AI or (not isinstance(names, str | Path) and list(names) == [ADMET_AI]):
        return load_admet_ai(options, device)
    return load_chemprop(names, options, device)
