"""What a model knows and does not know because of its training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from molig.features import FeatureSchema
from molig.model import Applicability
from molig.training.dataset import TrainingData
from molig.training.recipe import Recipe


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


def limits_of_training(recipe: Recipe) -> tuple[str, ...]:
    """What a reader of a model card should know of this way of training.

    Parameters
    ----------
    recipe : Recipe
        All choices of the run.

    Returns
    -------
    tuple of str
        Sentences.
    """
    drawn = recipe.optimization.inactives_per_epoch
    if drawn is None:
        return ()
    return (
        f"Every epoch saw all actives but only {drawn:,} molecules without an active label, drawn anew: "
        "probabilities are higher than the share of actives in the table.",
    )
