"""Folds of a cross-validation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold, StratifiedKFold

from molig.errors import InputError, UsageError
from molig.model import Objective
from molig.training.sections import SplitKind, SplitRecipe
from molig.training.splits import Parts, draw_validation, murcko_scaffold, strata_of

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]


def deal_folds(
    smiles: Sequence[str],
    labels: FloatArray,
    recipe: SplitRecipe,
    n_folds: int,
    *,
    objective: Objective = Objective.CLASSIFICATION,
) -> Index:
    """Deal molecules to folds; molecules with the same SMILES go to the same fold.

    ``stratified`` deals the actives of the rare tasks evenly, ``scaffold`` keeps molecules with the same
    Murcko scaffold together, the commonest scaffolds first and each to the emptiest fold.

    Parameters
    ----------
    smiles : sequence of str
        Canonical SMILES.
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, or values; NaN not measured.
    recipe : SplitRecipe
        Kind and seed.
    n_folds : int
        Number of folds, at least 2.
    objective : Objective
        Whether labels are classes or values.

    Returns
    -------
    array of int, shape (n_mols,)
        Fold of each molecule, from 0.

    Raises
    ------
    UsageError
        If the recipe's split is a given one, which has no folds.
    InputError
        If there are fewer different molecules, or scaffolds, than folds.

    Examples
    --------
    >>> labels = np.array([[0.0], [1.0]] * 10)
    >>> folds = deal_folds([f"{'C' * i}O" for i in range(20)], labels, SplitRecipe(), 5)
    >>> [int(n) for n in np.bincount(folds)], [int(n) for n in np.bincount(folds[1::2])]
    ([4, 4, 4, 4, 4], [2, 2, 2, 2, 2])
    """
    if recipe.kind is SplitKind.GIVEN:
        raise UsageError("a given split has one test part and no folds; set evaluation.folds to 1")
    if n_folds < 2:
        raise UsageError(f"a cross-validation needs at least 2 folds (got {n_folds})")
    unique, first, copy_of = np.unique(np.array(smiles, dtype=object), return_index=True, return_inverse=True)
    if len(unique) < n_folds:
        raise InputError(f"{len(unique)} different molecules are too few for {n_folds} folds")
    if recipe.kind is SplitKind.SCAFFOLD:
        found = _by_scaffold([str(text) for text in unique], n_folds)
    else:
        strata = np.zeros(len(unique), dtype=np.int64)
        if recipe.kind is SplitKind.STRATIFIED:
            strata = strata_of(labels, objective)[first]
        found = _at_random(_common(strata, n_folds), n_folds, recipe.seed)
    result: Index = found[copy_of]
    return result


def fold_parts(
    smiles: Sequence[str],
    labels: FloatArray,
    folds: Index,
    fold: int,
    recipe: SplitRecipe,
    *,
    objective: Objective = Objective.CLASSIFICATION,
) -> Parts:
    """Parts of the split when one fold is for testing: the rest is training, less a share for validation.

    Parameters
    ----------
    smiles, labels, recipe, objective
        As for `deal_folds`; the recipe's ``validation`` is a share of all molecules.
    folds : array of int, shape (n_mols,)
        Fold of each molecule.
    fold : int
        The fold to test on.

    Returns
    -------
    array of str, shape (n_mols,)
        ``"train"``, ``"validation"`` or ``"test"``.
    """
    rest = np.flatnonzero(folds != fold)
    parts = np.full(len(folds), "test", dtype="<U10")
    parts[rest] = draw_validation(
        [smiles[int(i)] for i in rest],
        labels[rest],
        recipe,
        size=recipe.validation * len(folds),
        objective=objective,
    )
    return parts


def scaffold_groups(smiles: Sequence[str]) -> list[list[int]]:
    """Molecules that share a Murcko scaffold, the largest groups first."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(smiles):
        groups[murcko_scaffold(text)].append(i)
    return [members for _, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))]


def _at_random(strata: Index, n_folds: int, seed: int) -> Index:
    dealt = np.empty(len(strata), dtype=np.int64)
    one = len(np.unique(strata)) == 1
    dealer = (KFold if one else StratifiedKFold)(n_folds, shuffle=True, random_state=seed)
    for fold, (_, members) in enumerate(dealer.split(strata, strata)):
        dealt[members] = fold
    return dealt


def _common(strata: Index, n_folds: int) -> Index:
    """Strata too small to be in every fold join the largest one."""
    values, counts = np.unique(strata, return_counts=True)
    return np.where(np.isin(strata, values[counts < n_folds]), values[counts.argmax()], strata)


def _by_scaffold(smiles: Sequence[str], n_folds: int) -> Index:
    groups = scaffold_groups(smiles)
    if len(groups) < n_folds:
        raise InputError(f"{len(groups)} different scaffolds are too few for {n_folds} folds")
    dealt, sizes = np.empty(len(smiles), dtype=np.int64), np.zeros(n_folds, dtype=np.int64)
    for members in groups:
        fold = int(sizes.argmin())
        dealt[members] = fold
        sizes[fold] += len(members)
    return dealt
