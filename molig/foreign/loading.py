"""Models by what the user names with ``-m``: those of molig, and foreign ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from molig.errors import ModelFormatError, UnknownNameError, UsageError, called
from molig.foreign.admet_ai import ADMET_AI, load_admet_ai
from molig.foreign.chemprop_files import SUFFIXES, InputOptions, files_below, load_chemprop
from molig.foreign.chemprop_model import ChempropModel
from molig.foreign.fingerprints import ESTIMATOR_SUFFIXES, FingerprintOptions
from molig.model.files import INFO_FILE, WEIGHTS_FILE, load_model
from molig.model.screening_model import ScreeningModel
from molig.model.side_by_side import SideBySide

if TYPE_CHECKING:
    from molig.foreign.fingerprint_model import FingerprintModel


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
        # The description of a model of molig is not one of XGBoost.
        of_molig = path.name == INFO_FILE and (path.parent / WEIGHTS_FILE).exists()
        return path.suffix in (*SUFFIXES, *ESTIMATOR_SUFFIXES) and not of_molig
    return not (path / INFO_FILE).exists() and next(files_below(path), None) is not None


def load_foreign(
    names: str | Path | Sequence[str | Path],
    options: InputOptions | None = None,
    device: str | torch.device = "cpu",
    fingerprint: FingerprintOptions | None = None,
) -> ChempropModel | FingerprintModel:
    """Read a model of another package by what the user names.

    Parameters
    ----------
    names : str, Path or sequence of them
        ``"admet-ai"``, files and directories of Chemprop as for `load_chemprop`, or one file of a forest or a
        linear model as for `load_fingerprint_model`.
    options : InputOptions, optional
        How molecules become graphs.
    device : str or torch.device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    fingerprint : FingerprintOptions, optional
        What the file of a model on fingerprints does not say.

    Returns
    -------
    ChempropModel or FingerprintModel

    Raises
    ------
    InputError, ModelFormatError, UsageError
        As `load_chemprop`, `load_admet_ai` and `load_fingerprint_model`.
    """
    listed = [names] if isinstance(names, str | Path) else list(names)
    estimators = [name for name in listed if Path(name).suffix in ESTIMATOR_SUFFIXES]
    if estimators:
        if len(listed) > 1:
            raise UsageError(f"{estimators[0]} stands alone: it is no member of an ensemble")
        _refuse(options, "for models of Chemprop", f"{estimators[0]} reads a fingerprint")
        # Nothing else here needs scikit-learn, which takes a second.
        from molig.foreign.estimator_files import load_fingerprint_model  # noqa: PLC0415

        given = fingerprint or FingerprintOptions()
        return load_fingerprint_model(estimators[0], given.fingerprint, trust_pickle=given.trust_pickle)
    _refuse(
        fingerprint,
        "for models on fingerprints (.skops, .onnx, .json, .ubj, .txt)",
        f"{listed[0]} reads graphs",
    )
    if ADMET_AI not in map(str, listed):
        return load_chemprop(listed, options, device)
    if len(listed) > 1:
        raise UsageError(f"{ADMET_AI} stands alone: it is no member of an ensemble")
    return load_admet_ai(options, device)


def load_any_model(
    names: str | Path | Sequence[str | Path],
    device: str | torch.device = "cpu",
    options: InputOptions | None = None,
    fingerprint: FingerprintOptions | None = None,
) -> ScreeningModel | ChempropModel | FingerprintModel:
    """Read a model of molig or of another package; `molig.load_model` is this.

    Parameters
    ----------
    names : str, Path or sequence of them
        A model directory or the name of a bundled model; ``"admet-ai"``; or files of Chemprop (``.pt``,
        ``.ckpt``) and directories of them. Several are an ensemble, whose predictions are averaged. Or one
        file of a forest, boosted trees or a linear model on fingerprints (``.skops``, ``.onnx``, of XGBoost
        ``.json`` and ``.ubj``, of LightGBM ``.txt``).
    device : str or torch.device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    options : InputOptions, optional
        How molecules become graphs, for models of Chemprop.
    fingerprint : FingerprintOptions, optional
        What the file of a model on fingerprints does not say: its fingerprint.

    Returns
    -------
    ScreeningModel, ChempropModel or FingerprintModel

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
        return load_foreign(listed, options, device, fingerprint)
    if len(listed) > 1:
        raise UsageError(
            "several models are an ensemble only if all are files of Chemprop (*.pt, *.ckpt), and "
            f"{own[0]} is none (got {', '.join(map(str, listed))}); molig screen scores models of molig side "
            "by side"
        )
    if Path(own[0]).is_file():
        raise UsageError(
            f"{own[0]} is a file; a model is the directory that holds {INFO_FILE}, or files of Chemprop, "
            "which end in .pt or .ckpt, or of a forest, boosted trees or a linear model: .skops, .onnx, "
            ".json or .ubj (XGBoost), .txt (LightGBM)"
        )
    if Path(own[0]).is_dir() and not (Path(own[0]) / INFO_FILE).exists():
        raise ModelFormatError(
            f"{own[0]} is not a model: it has no {INFO_FILE}, as models of molig have, and no files of "
            "Chemprop (model_N/best.pt, or *.pt or *.ckpt directly inside)"
        )
    try:
        model = load_model(own[0], device)
    except UnknownNameError as unknown:
        raise UnknownNameError(
            unknown.kind, unknown.name, [*unknown.valid, ADMET_AI], "or files of Chemprop (*.pt, *.ckpt)"
        ) from None
    own_way = f"{model.name} is a model of molig, which reads molecules as in its training"
    _refuse(options, "for models of Chemprop", own_way)
    _refuse(fingerprint, "for models on fingerprints (.skops, .onnx, .json, .ubj, .txt)", own_way)
    return model


def load_models(
    names: str | Path | Sequence[str | Path],
    device: str | torch.device = "cpu",
    options: InputOptions | None = None,
    fingerprint: FingerprintOptions | None = None,
) -> ScreeningModel | ChempropModel | FingerprintModel | SideBySide:
    """Read what `load_any_model` reads, or several models of molig, to be scored side by side.

    Parameters
    ----------
    names, device, options, fingerprint
        As for `load_any_model`. Of several models of molig, the tasks are called ``MODEL:TASK``, after the
        bundled model or the directory.

    Returns
    -------
    ScreeningModel, ChempropModel, FingerprintModel or SideBySide

    Raises
    ------
    UnknownNameError, UsageError, InputError, ModelFormatError
        As `load_any_model`; also if models of molig are named together with others, or twice.

    Examples
    --------
    >>> load_models(["tox21-w2n2-simple", "tox21-w1n2-simple"]).tasks[12]
    'tox21-w1n2-simple:NR-AR'
    """
    listed = [names] if isinstance(names, str | Path) else list(names)
    if len(listed) < 2 or is_foreign(listed):
        return load_any_model(listed, device, options, fingerprint)
    if foreign := [name for name in listed if is_foreign(name)]:
        raise UsageError(
            f"{foreign[0]} is of another package and reads molecules in its own way: only models of molig "
            "are scored side by side, and only files of Chemprop make an ensemble"
        )
    models = [load_any_model(name, device, options, fingerprint) for name in listed]
    labels = [Path(name).name for name in listed]
    labels = [str(n) if labels.count(label) > 1 else label for n, label in zip(listed, labels, strict=True)]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise UsageError(f"the model {twice[0]} is named twice")
    return SideBySide(
        {label: m for label, m in zip(labels, models, strict=True) if isinstance(m, ScreeningModel)}
    )


def _refuse(options: InputOptions | FingerprintOptions | None, what_for: str, instead: str) -> None:
    """Refuse options that mean nothing to a model."""
    if options is None:
        return
    if given := [f.name for f in fields(options) if getattr(options, f.name) != f.default]:
        raise UsageError(f"{' and '.join(map(called, given))} is {what_for}; {instead}")
