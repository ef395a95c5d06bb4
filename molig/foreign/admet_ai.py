"""ADMET-AI: networks of the installed package, found without importing it, and its DrugBank percentiles."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from molig.deferred import deferred
from molig.errors import InputError, ModelFormatError, UnknownNameError, UsageError
from molig.files import read_regular
from molig.foreign.chemprop_files import InputOptions, model_files, preset_of, read_ensemble
from molig.foreign.chemprop_model import ChempropModel

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = deferred("pandas")

FloatArray = npt.NDArray[np.float64]

ADMET_AI = "admet-ai"
"""Name of the model on the command line, and of the package."""

_MODULE = "admet_ai"
_OLDEST = 2
_LARGEST_TABLE = 100_000_000


class AdmetAI(ChempropModel):
    """ADMET-AI's ten networks, for 31 probabilities and 10 values; see `ChempropModel` for the parameters.

    `load_admet_ai` makes one.
    """

    @cached_property
    def drugs(self) -> pd.DataFrame:
        """The package's predictions for approved drugs in DrugBank, a row per drug.

        Raises
        ------
        InputError
            If the package has no such table.
        ModelFormatError
            If the table lacks one of the tasks.
        """
        table = _table("drugbank_approved.csv")
        missing = [task for task in self.tasks if task not in table]
        if missing:
            raise ModelFormatError(f"the DrugBank table of {ADMET_AI} lacks the columns {', '.join(missing)}")
        return table

    @cached_property
    def units(self) -> dict[str, str]:
        """Unit of each task, "-" where it is a probability."""
        table = _table("admet.csv")
        return dict(zip(table["id"].astype(str), table["units"].astype(str), strict=True))

    def _units(self, tasks: Sequence[str]) -> str:
        units = [self.units.get(task, "a unit of its own") for task in tasks]
        if len(tasks) == 1:
            return units[0]
        named = (f"{task} in {unit}" for task, unit in zip(tasks, units, strict=True))
        return f"units of their own ({', '.join(named)})"

    def percentiles(self, scores: npt.ArrayLike, atc: str | None = None) -> FloatArray:
        """Where scores stand among those of approved drugs, from 0 to 100; equal ones share their mean rank.

        Parameters
        ----------
        scores : array-like, shape (n, n_tasks)
            Scores of the model.
        atc : str, optional
            Name of a class of the Anatomical Therapeutic Chemical system: compare with its drugs only.

        Returns
        -------
        array of float, shape (n, n_tasks)
            NaN where a score is.

        Raises
        ------
        UnknownNameError
            If no drug is of that class.
        """
        drugs = self.drugs if atc is None else self.drugs[_of_class(self.drugs, atc)]
        values = np.asarray(scores, dtype=np.float64)
        found = np.full(values.shape, np.nan)
        for column, task in enumerate(self.tasks):
            reference = np.sort(drugs[task].to_numpy(dtype=np.float64))
            below = np.searchsorted(reference, values[:, column], side="left")
            up_to = np.searchsorted(reference, values[:, column], side="right")
            # Ranks of equal drugs are averaged.
            found[:, column] = (below + up_to + (below < up_to)) * (50.0 / len(reference))
        found[np.isnan(values)] = np.nan
        return found


def load_admet_ai(options: InputOptions | None = None, device: str | torch.device = "cpu") -> AdmetAI:
    """Read the networks of the installed package ADMET-AI; the package itself is not imported.

    Parameters
    ----------
    options : InputOptions, optional
        How molecules become graphs; by default as ADMET-AI does.
    device : str or torch.device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Returns
    -------
    AdmetAI

    Raises
    ------
    UsageError
        If the package is not installed, or too old.
    ModelFormatError
        If its files are damaged.
    """
    options = options or InputOptions()
    root = _resources() / "models"
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not folders:
        raise InputError(f"{root} holds no networks: install the package {ADMET_AI} again")
    ensembles = [read_ensemble(model_files([folder])) for folder in folders]
    sizes = [network.sizes for ensemble in ensembles for network in ensemble.networks]
    if any(other != sizes[0] for other in sizes):
        raise ModelFormatError(f"the networks in {root} do not read the same features")
    preset = preset_of(sizes[0], options.atom_features, root)
    return AdmetAI(ADMET_AI, ensembles, preset, options.parser({}), device)


def is_installed() -> bool:
    """Whether the package is there, of whatever version."""
    return util.find_spec(_MODULE) is not None


def _resources() -> Path:
    """Directory of the data of the installed package."""
    spec = util.find_spec(_MODULE)  # finds a package that stands alone without running it
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise UsageError(
            f"the package {ADMET_AI} is not installed; `pip install {ADMET_AI}` brings the model"
        )
    try:
        version = metadata.version(ADMET_AI)
    except metadata.PackageNotFoundError:
        version = ""
    if version.split(".")[0].isdecimal() and int(version.split(".")[0]) < _OLDEST:
        raise UsageError(
            f"{ADMET_AI} {version} has networks of Chemprop v1, which molig does not read; "
            f"`pip install '{ADMET_AI}>={_OLDEST}'` brings those of Chemprop v2"
        )
    return Path(places[0]) / "resources"


def _table(name: str) -> pd.DataFrame:
    path = _resources() / "data" / name
    try:
        return pd.read_csv(io.BytesIO(read_regular(path, _LARGEST_TABLE)))
    except OSError as err:
        raise InputError(f"{path} cannot be read: {err.strerror or err}") from err
    except ValueError as err:
        raise ModelFormatError(f"{path} is damaged: {err}") from err


def _of_class(drugs: pd.DataFrame, atc: str) -> npt.NDArray[np.bool_]:
    """Which drugs bear a class of the ATC system, at any of its levels."""
    levels = [column for column in drugs if str(column).startswith("atc_name")]
    classes = [
        {name.lower() for text in row if isinstance(text, str) for name in text.split(";")}
        for row in drugs[levels].to_numpy()
    ]
    found = np.array([atc.lower() in names for names in classes], dtype=bool)
    if not found.any():
        broad = {name.lower() for text in drugs["atc_name_1"].dropna() for name in text.split(";")}
        raise UnknownNameError(
            "class of drugs", atc, [*sorted(broad), *sorted(set().union(*classes) - broad)]
        )
    return found
