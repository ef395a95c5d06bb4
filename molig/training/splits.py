"""Dealing molecules to training, validation and test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from molig.errors import InputError, UsageError
from molig.model import Objective
from molig.training.recipe import SplitKind, SplitRecipe

_TENTHS = np.linspace(0, 1, 11)[1:-1]

Parts = npt.NDArray[np.str_]
FloatArray = npt.NDArray[np.float64]


def split(
    smiles: Sequence[str],
    labels: FloatArray,
    recipe: SplitRecipe,
    *,
    objective: Objective = Objective.CLASSIFICATION,
    given: Sequence[str] | None = None,
) -> Parts:
    """Assign every molecule to a part; molecules with the same SMILES go to the same part, unless given ones.

    Strata are actives of the rare tasks; with values instead of classes, the tenths of each task's values.

    Parameters
    ----------
    smiles : sequence of str
        Canonical SMILES.
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, or values; NaN not measured.
    recipe : SplitRecipe
        Kind, shares and seed.
    objective : Objective
        Whether labels are classes or values.
    given : sequence of str, optional
        Parts that the table gives, for a split of kind ``given``.

    Returns
    -------
    array of str, shape (n_mols,)
        ``"train"``, ``"validation"`` or ``"test"``.

    Raises
    ------
    InputError
        If there are too few molecules for the shares, or a given split leaves none to train on.

    Examples
    --------
    >>> labels = np.array([[0.0], [1.0]] * 10)
    >>> parts = split([f"{'C' * i}O" for i in range(20)], labels, SplitRecipe(kind="random", test=0.2))
    >>> int((parts == "test").sum())
    4
    """
    if recipe.kind is SplitKind.GIVEN:
        return _as_given(smiles, given or (), recipe)
    unique, first, copy_of = np.unique(np.array(smiles, dtype=object), return_index=True, return_inverse=True)
    if recipe.kind is SplitKind.SCAFFOLD:
        parts = _by_scaffold(unique.tolist(), recipe)
    else:
        strata = strata_of(labels, objective)[first] if recipe.kind is SplitKind.STRATIFIED else None
        parts = _at_random(len(unique), strata, recipe)
    result: Parts = parts[copy_of]
    if not (result == "train").any() or not (result == "validation").any():
        raise InputError(f"{len(unique)} different molecules are too few for a {recipe.kind.value} split")
    return result


def draw_validation(
    smiles: Sequence[str],
    labels: FloatArray,
    recipe: SplitRecipe,
    *,
    size: float,
    objective: Objective = Objective.CLASSIFICATION,
) -> Parts:
    """Draw a validation part from molecules that are not for testing, in the way of the recipe's split.

    Parameters
    ----------
    smiles, labels, recipe, objective
        As for `split`.
    size : float
        How many molecules to draw, roughly: copies of a molecule, and for ``scaffold`` molecules with the
        same scaffold, stay together.

    Returns
    -------
    array of str, shape (n_mols,)
        ``"train"`` or ``"validation"``.

    Raises
    ------
    InputError
        If there are too few molecules or scaffolds, or the share is all of them.
    """
    unique, first, copy_of = np.unique(np.array(smiles, dtype=object), return_index=True, return_inverse=True)
    share = max(size / len(smiles), 1 / len(unique))
    if len(unique) < 2 or share >= 1:
        raise InputError(
            f"{len(unique)} different molecules outside the test part are too few for a validation part of "
            f"{round(size)}; add molecules or lower split.validation"
        )
    one = recipe.model_copy(update={"test": 0.0, "validation": share})
    if recipe.kind is SplitKind.SCAFFOLD:
        # The scaffolds that do not fit into training are the rare ones, and all of them validate.
        parts = np.where(_by_scaffold(unique.tolist(), one) == "train", "train", "validation")
    else:
        strata = strata_of(labels, objective)[first] if recipe.kind is SplitKind.STRATIFIED else None
        parts = _at_random(len(unique), strata, one)
    result: Parts = parts[copy_of]
    if not (result == "validation").any():
        raise InputError("there is one scaffold only outside the test part: none is left for validation")
    return result


def strata_of(labels: FloatArray, objective: Objective = Objective.CLASSIFICATION) -> npt.NDArray[np.int64]:
    """Stratum of each molecule: the rarest task it is active in, or the tenth of its rarest task's values.

    Parameters
    ----------
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, or values; NaN not measured.
    objective : Objective
        Whether labels are classes or values.

    Returns
    -------
    array of int, shape (n_mols,)
        -1 for a molecule that is active, or measured, nowhere.
    """
    regression = objective is Objective.REGRESSION
    return (_tenth_of_rarest_task if regression else _rarest_active_task)(labels)


def count_copies_in_train(smiles: Sequence[str], parts: Parts) -> int:
    """Number of test molecules that have a copy, by SMILES, in the training part.

    Parameters
    ----------
    smiles : sequence of str
        Canonical SMILES.
    parts : array of str, shape (n_mols,)
        Part of each.

    Returns
    -------
    int

    Examples
    --------
    >>> count_copies_in_train(["C", "CC", "C", "C"], np.array(["train", "train", "test", "test"]))
    2
    """
    return _count_test_copies(smiles, parts, {"train"})


def count_copies_outside_test(smiles: Sequence[str], parts: Parts) -> int:
    """Number of test molecules that have a copy, by SMILES, in the training or the validation part.

    Parameters
    ----------
    smiles : sequence of str
        Canonical SMILES.
    parts : array of str, shape (n_mols,)
        Part of each.

    Returns
    -------
    int

    Examples
    --------
    >>> count_copies_outside_test(["C", "N", "C", "N"], np.array(["train", "validation", "test", "test"]))
    2
    """
    return _count_test_copies(smiles, parts, {"train", "validation"})


def _count_test_copies(smiles: Sequence[str], parts: Parts, others: set[str]) -> int:
    elsewhere = {text for text, part in zip(smiles, parts, strict=True) if part in others}
    return sum(text in elsewhere for text, part in zip(smiles, parts, strict=True) if part == "test")


def _as_given(smiles: Sequence[str], given: Sequence[str], recipe: SplitRecipe) -> Parts:
    """The given parts; if there is no validation part, some training molecules, copies together, make one."""
    parts: Parts = np.array(given, dtype="<U10")
    train = np.flatnonzero(parts == "train")
    if not len(train):
        raise InputError(f"column {recipe.column!r} names no row for training among those that can be used")
    if not (parts == "validation").any():
        texts = np.array(smiles, dtype=object)[train]
        unique, copy_of = np.unique(texts, return_inverse=True)
        size = max(1, round(recipe.validation * len(unique)))
        if size == len(unique):
            raise InputError(
                f"{len(unique)} different training molecules are too few to draw validation from"
            )
        drawn = np.random.default_rng(recipe.seed).permutation(len(unique))[:size]
        parts[train[np.isin(copy_of, drawn)]] = "validation"
    return parts


def murcko_scaffold(smiles: str) -> str:
    """Canonical SMILES of the Murcko scaffold; empty for a molecule without rings.

    A few canonical SMILES, of metal complexes, cannot be read back: such a molecule is its own scaffold.
    """
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return smiles
    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=mol))  # type: ignore[no-untyped-call]


def _at_random(n: int, strata: npt.NDArray[np.int64] | None, recipe: SplitRecipe) -> Parts:
    parts = np.full(n, "train", dtype="<U10")
    rest = np.arange(n)
    for name, share in (("test", recipe.test), ("validation", recipe.validation)):
        size = round(share * n)
        if size >= len(rest):
            raise InputError(f"{n} different molecules are too few for the shares of the split")
        if size:
            labels = None if strata is None else _frequent(strata[rest], size, len(rest))
            rest, taken = train_test_split(rest, test_size=size, random_state=recipe.seed, stratify=labels)
            parts[taken] = name
    return parts


def _rarest_active_task(labels: FloatArray) -> npt.NDArray[np.int64]:
    """Stratum of a molecule: the rarest task it is active in, or -1."""
    active = labels == 1
    counts = active.sum(axis=0)
    rarity = np.where(active, counts, np.iinfo(np.int64).max)
    return np.where(active.any(axis=1), rarity.argmin(axis=1), -1)


def _tenth_of_rarest_task(labels: FloatArray) -> npt.NDArray[np.int64]:
    """Stratum of a molecule: the rarest task it was measured in, and the tenth of the values there."""
    known = ~np.isnan(labels)
    rarity = np.where(known, known.sum(axis=0), np.iinfo(np.int64).max)
    strata = np.full(len(labels), -1)
    for task in range(labels.shape[1]):
        members = known[:, task] & (rarity.argmin(axis=1) == task)
        edges = np.unique(np.quantile(labels[known[:, task], task], _TENTHS))
        strata[members] = task * 10 + np.searchsorted(edges, labels[members, task])
    return strata


def _frequent(strata: npt.NDArray[np.int64], size: int, total: int) -> npt.NDArray[np.int64] | None:
    """Strata large enough to be dealt to both sides; the others join the inactives."""
    values, counts = np.unique(strata, return_counts=True)
    small = values[counts < 2]
    strata = np.where(np.isin(strata, small), -1, strata)
    values, counts = np.unique(strata, return_counts=True)
    return None if counts.min() < 2 or len(values) > min(size, total - size) else strata


def _by_scaffold(smiles: Sequence[str], recipe: SplitRecipe) -> Parts:
    """Fill training with the largest scaffolds, then validation, then test (MoleculeNet's way)."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(smiles):
        groups[murcko_scaffold(text)].append(i)
    n = len(smiles)
    parts = np.full(n, "test", dtype="<U10")
    room = {"train": n * (1 - recipe.validation - recipe.test), "validation": n * recipe.validation}
    by_size = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    for rank, (_, members) in enumerate(by_size):
        # The commonest scaffold is for training even where it alone is more than the share.
        name = next((p for p, left in room.items() if rank == 0 or len(members) <= left), "test")
        parts[members] = name
        if name in room:
            room[name] -= len(members)
    return parts


# Folds of a cross-validation.

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
        found = _folds_by_scaffold([str(text) for text in unique], n_folds)
    else:
        strata = np.zeros(len(unique), dtype=np.int64)
        if recipe.kind is SplitKind.STRATIFIED:
            strata = strata_of(labels, objective)[first]
        found = _folds_at_random(_common(strata, n_folds), n_folds, recipe.seed)
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


def _folds_at_random(strata: Index, n_folds: int, seed: int) -> Index:
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


def _folds_by_scaffold(smiles: Sequence[str], n_folds: int) -> Index:
    groups = scaffold_groups(smiles)
    if len(groups) < n_folds:
        raise InputError(f"{len(groups)} different scaffolds are too few for {n_folds} folds")
    dealt, sizes = np.empty(len(smiles), dtype=np.int64), np.zeros(n_folds, dtype=np.int64)
    for members in groups:
        fold = int(sizes.argmin())
        dealt[members] = fold
        sizes[fold] += len(members)
    return dealt
