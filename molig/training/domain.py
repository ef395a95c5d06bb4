"""The applicability domain of a model: what its training part was like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molig.features import FeatureSchema
from molig.model import Applicability
from molig.training.dataset import TrainingData


def training_domain(
    data: TrainingData, parts: npt.NDArray[np.str_], schema: FeatureSchema, seed: int
) -> Applicability:
    """Describe the training part of a table.

    Parameters
    ----------
    data : TrainingData
        The table.
    parts : array of str, shape (n_mols,)
        Part of each molecule.
    schema : FeatureSchema
        The features that ``data.graphs`` were made with.
    seed : int
        Draws the reference molecules, if there are many.

    Returns
    -------
    Applicability
        To be given to the `ScreeningModel` that is saved.
    """
    chosen = np.flatnonzero(parts == "train")
    return Applicability.fit([data.smiles[i] for i in chosen], data.graphs.select(chosen), schema, seed=seed)
