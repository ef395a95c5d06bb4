"""What size and composition alone say about molecules, and how well: the yardstick of `size_shortcut`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcCrippenDescriptors, _CalcMolWt
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

FloatArray = npt.NDArray[np.float64]

FOLDS = 5
MOST_FITTED = 1500
"""Molecules that the yardstick is fitted on, for each task; of more, a sample."""
RESAMPLES = 200

_SETTINGS = {"max_iter": 30, "max_leaf_nodes": 8, "learning_rate": 0.15, "min_samples_leaf": 5}


@dataclass(frozen=True)
class SizeTable:
    """Descriptors of size and composition.

    Parameters
    ----------
    names : tuple of str
        ``"heavy atoms"``, ``"molecular weight"``, ``"logP"``, then ``"number of C"`` and so on.
    values : array of float, shape (n_mols, n_names)
        The descriptors.
    """

    names: tuple[str, ...]
    values: FloatArray


def size_table(mols: Sequence[Chem.Mol]) -> SizeTable:
    """Count heavy atoms and the atoms of each element but hydrogen; molecular weight and Crippen's logP.

    Parameters
    ----------
    mols : sequence of Mol
        Sanitised molecules.

    Returns
    -------
    SizeTable

    Examples
    --------
    >>> table = size_table([Chem.MolFromSmiles("CCO")])
    >>> dict(zip(table.names, table.values[0].round(1).tolist()))
    {'heavy atoms': 3.0, 'molecular weight': 46.1, 'logP': -0.0, 'number of C': 2.0, 'number of O': 1.0}
    """
    numbers = [[atom.GetAtomicNum() for atom in mol.GetAtoms() if atom.GetAtomicNum() > 1] for mol in mols]
    elements = sorted({number for one in numbers for number in one})
    symbols = [Chem.GetPeriodicTable().GetElementSymbol(number) for number in elements]
    rows = [
        [
            len(one),
            _CalcMolWt(mol),
            CalcCrippenDescriptors(mol)[0],
            *(one.count(number) for number in elements),
        ]
        for mol, one in zip(mols, numbers, strict=True)
    ]
    names = ("heavy atoms", "molecular weight", "logP", *(f"number of {symbol}" for symbol in symbols))
    return SizeTable(names, np.nan_to_num(np.array(rows, dtype=np.float64)))


def predict_values(table: FloatArray, values: FloatArray, seed: int) -> FloatArray:
    """Predict ranks of values from descriptors, each molecule by a model that was fitted without it.

    Parameters
    ----------
    table : array of float, shape (n, n_names)
        Descriptors.
    values : array of float, shape (n,)
        What to predict, with ``n`` at least `FOLDS`.
    seed : int
        Of folds and model.

    Returns
    -------
    array of float, shape (n,)
        Predicted ranks.
    """
    model = HistGradientBoostingRegressor(**_SETTINGS, random_state=seed)
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(model, table, rankdata(values), cv=folds), dtype=np.float64)


def predict_classes(table: FloatArray, labels: FloatArray, seed: int) -> FloatArray:
    """Predict classes from descriptors, each molecule by a model that was fitted without it.

    Parameters
    ----------
    table : array of float, shape (n, n_names)
        Descriptors.
    labels : array of float, shape (n,)
        1 active, 0 inactive; at least `FOLDS` of each.
    seed : int
        Of folds and model.

    Returns
    -------
    array of float, shape (n,)
        Probabilities to be active.
    """
    model = HistGradientBoostingClassifier(**_SETTINGS, random_state=seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    found = cross_val_predict(model, table, labels.astype(int), cv=folds, method="predict_proba")
    return np.asarray(found[:, 1], dtype=np.float64)


def resampled(
    figure: Callable[[npt.NDArray[np.int64]], FloatArray], strata: npt.ArrayLike, rng: np.random.Generator
) -> FloatArray:
    """Compute figures on resampled molecules, all figures on the same ones.

    Parameters
    ----------
    figure : callable
        Takes the places of the molecules drawn, returns the figures.
    strata : array-like, shape (n,)
        Molecules of each value are drawn separately, as many as there are.
    rng : Generator
        Random numbers.

    Returns
    -------
    array of float, shape (RESAMPLES, n_figures)
    """
    groups = [np.flatnonzero(np.asarray(strata) == value) for value in np.unique(np.asarray(strata))]
    return np.array(
        [
            figure(np.concatenate([rng.choice(group, len(group)) for group in groups]))
            for _ in range(RESAMPLES)
        ]
    )


def share_of_quality(yardstick: FloatArray, model: FloatArray) -> FloatArray:
    """Share of a model's quality that a yardstick reaches.

    Parameters
    ----------
    yardstick, model : array of float, shape (n,)
        Qualities above chance, such as ROC-AUC - 0.5.

    Returns
    -------
    array of float, shape (n,)
        Infinity where the yardstick, but not the model, is better than chance, and 0 where neither is.

    Examples
    --------
    >>> share_of_quality(np.array([0.2, 0.1, -0.1]), np.array([0.4, 0.0, 0.0])).tolist()
    [0.5, inf, 0.0]
    """
    above = np.maximum(yardstick, 0.0)
    worthless = np.where(above > 0, np.inf, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(model > 0, above / model, worthless)
