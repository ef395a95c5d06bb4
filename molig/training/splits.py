"""Dealing molecules to training, validation and test, or to the folds of a cross-validation."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from molig.errors import InputError, UsageError
from molig.files import digest_of, read_regular
from molig.model import Objective
from molig.training.dataset import TrainingData
from molig.training.recipe import SplitKind, SplitRecipe, find_parts
from molig.training.split_column import PARTS

Parts = npt.NDArray[np.str_]
FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

WITHOUT_FOLDS = (SplitKind.GIVEN, SplitKind.TIME)
"""Kinds of splits that have one test part."""

_TENTHS = np.linspace(0, 1, 11)[1:-1]


def split(
    smiles: Sequence[str],
    labels: FloatArray,
    recipe: SplitRecipe,
    *,
    objective: Objective = Objective.CLASSIFICATION,
    values: Sequence[str] | None = None,
) -> Parts:
    """Part of every molecule; copies, by canonical SMILES, go together unless a given split parts them.

    `values` are what the column of a given, group or time split says (`TrainingData.split_values`). Strata
    are actives of the rare tasks; with values instead of classes, the tenths of each task's values. Raises
    InputError if there are too few molecules, groups or times for the shares, or none is left to train on.
    """
    if recipe.kind is SplitKind.GIVEN:
        return _as_given(smiles, values or (), recipe)
    unique, strata, copy_of = _distinct(smiles, labels, recipe.kind, objective)
    if recipe.kind is SplitKind.SCAFFOLD:
        parts = _by_scaffold(unique, recipe)
    elif recipe.kind is SplitKind.GROUP:
        parts = _by_group(tied_molecules(values or (), copy_of), recipe)
    elif recipe.kind is SplitKind.TIME:
        parts = _by_time(_earliest(values or (), copy_of), recipe)
    else:
        parts = _at_random(len(unique), strata, recipe)
    if not (parts == "train").any() or not (parts == "validation").any():
        raise InputError(f"{len(unique)} different molecules are too few for a {recipe.kind.value} split")
    return parts[copy_of]


def deal_folds(
    smiles: Sequence[str],
    labels: FloatArray,
    recipe: SplitRecipe,
    n_folds: int,
    *,
    objective: Objective = Objective.CLASSIFICATION,
    values: Sequence[str] | None = None,
) -> Index:
    """Fold of every molecule, from 0; copies, by canonical SMILES, go to the same fold.

    ``stratified`` deals the actives of the rare tasks evenly, ``scaffold`` keeps molecules with the same
    Murcko scaffold together, ``group`` those of the same group, the largest first and each to the emptiest
    fold. Raises UsageError for a given or a time split, InputError if there are fewer different molecules,
    scaffolds or groups than folds.
    """
    if recipe.kind in WITHOUT_FOLDS:
        raise UsageError(
            f"a {recipe.kind.value} split has one test part and no folds; set evaluation.folds to 1"
        )
    if n_folds < 2:
        raise UsageError(f"a cross-validation needs at least 2 folds (got {n_folds})")
    unique, strata, copy_of = _distinct(smiles, labels, recipe.kind, objective)
    if len(unique) < n_folds:
        raise InputError(f"{len(unique)} different molecules are too few for {n_folds} folds")
    if recipe.kind is SplitKind.SCAFFOLD:
        return _folds_of_groups(scaffold_groups(unique), n_folds, "scaffolds")[copy_of]
    if recipe.kind is SplitKind.GROUP:
        groups = _shuffled(tied_molecules(values or (), copy_of), recipe.seed)
        return _folds_of_groups(sorted(groups, key=len, reverse=True), n_folds, "groups")[copy_of]
    return _folds_at_random(len(unique), strata, n_folds, recipe.seed)[copy_of]


def fold_parts(
    smiles: Sequence[str],
    labels: FloatArray,
    folds: Index,
    fold: int,
    recipe: SplitRecipe,
    *,
    objective: Objective = Objective.CLASSIFICATION,
    values: Sequence[str] | None = None,
) -> Parts:
    """Parts when one fold is for testing: the rest is training, less ``recipe.validation`` of all molecules.

    Validation is drawn in the way of the recipe's split. Raises InputError if the rest is too small for it.
    """
    rest = np.flatnonzero(folds != fold)
    size = recipe.validation * len(folds)
    parts = np.full(len(folds), "test", dtype="<U10")
    unique, strata, copy_of = _distinct([smiles[int(i)] for i in rest], labels[rest], recipe.kind, objective)
    share = max(size / len(rest), 1 / len(unique))
    if len(unique) < 2 or share >= 1:
        raise InputError(
            f"{len(unique)} different molecules outside the test part are too few for a validation part of "
            f"{round(size)}; add molecules or lower split.validation"
        )
    one = recipe.model_copy(update={"test": 0.0, "validation": share})
    if recipe.kind is SplitKind.SCAFFOLD:
        # The scaffolds that do not fit into training are the rare ones, and all of them validate.
        drawn = np.where(_by_scaffold(unique, one) == "train", "train", "validation")
    elif recipe.kind is SplitKind.GROUP:
        drawn = _by_group(tied_molecules([(values or ())[int(i)] for i in rest], copy_of), one)
    else:
        drawn = _at_random(len(unique), strata, one)
    if not (drawn == "validation").any():
        raise InputError("there is one scaffold only outside the test part: none is left for validation")
    parts[rest] = drawn[copy_of]
    return parts


def count_copies_in_train(smiles: Sequence[str], parts: Parts) -> int:
    """Number of test molecules that have a copy, by SMILES, in the training part."""
    return _count_test_copies(smiles, parts, {"train"})


def count_copies_outside_test(smiles: Sequence[str], parts: Parts) -> int:
    """Number of test molecules that have a copy, by SMILES, in the training or the validation part."""
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


def _distinct(
    smiles: Sequence[str], labels: FloatArray, kind: SplitKind, objective: Objective
) -> tuple[list[str], Index | None, Index]:
    """Different molecules, their strata where the kind has any (the first copy's), and whose copy each is."""
    unique, first, copy_of = np.unique(np.array(smiles, dtype=object), return_index=True, return_inverse=True)
    strata = None
    if kind is SplitKind.STRATIFIED:
        regression = objective is Objective.REGRESSION
        strata = (_tenth_of_rarest_task(labels) if regression else _rarest_active_task(labels))[first]
    return unique.tolist(), strata, copy_of


def _rarest_active_task(labels: FloatArray) -> Index:
    """Stratum of a molecule: the rarest task it is active in, or -1."""
    active = labels == 1
    counts = active.sum(axis=0)
    rarity = np.where(active, counts, np.iinfo(np.int64).max)
    return np.where(active.any(axis=1), rarity.argmin(axis=1), -1)


def _tenth_of_rarest_task(labels: FloatArray) -> Index:
    """Stratum of a molecule: the rarest task it was measured in, and the tenth of the values there; or -1."""
    known = ~np.isnan(labels)
    rarity = np.where(known, known.sum(axis=0), np.iinfo(np.int64).max)
    strata = np.full(len(labels), -1)
    for task in range(labels.shape[1]):
        members = known[:, task] & (rarity.argmin(axis=1) == task)
        edges = np.unique(np.quantile(labels[known[:, task], task], _TENTHS))
        strata[members] = task * 10 + np.searchsorted(edges, labels[members, task])
    return strata


def _at_random(n: int, strata: Index | None, recipe: SplitRecipe) -> Parts:
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


def _frequent(strata: Index, size: int, total: int) -> Index | None:
    """Strata large enough to be dealt to both sides; the others join the inactives."""
    values, counts = np.unique(strata, return_counts=True)
    small = values[counts < 2]
    strata = np.where(np.isin(strata, small), -1, strata)
    values, counts = np.unique(strata, return_counts=True)
    # scikit-learn refuses strata of one molecule, and more strata than places on either side.
    return None if counts.min() < 2 or len(values) > min(size, total - size) else strata


def _folds_at_random(n: int, strata: Index | None, n_folds: int, seed: int) -> Index:
    dealt = np.empty(n, dtype=np.int64)
    kinds = np.zeros(n, dtype=np.int64) if strata is None else strata
    values, counts = np.unique(kinds, return_counts=True)
    # Strata too small to be in every fold join the largest one.
    kinds = np.where(np.isin(kinds, values[counts < n_folds]), values[counts.argmax()], kinds)
    one = len(np.unique(kinds)) == 1
    dealer = (KFold if one else StratifiedKFold)(n_folds, shuffle=True, random_state=seed)
    for fold, (_, members) in enumerate(dealer.split(kinds, kinds)):
        dealt[members] = fold
    return dealt


def murcko_scaffold(smiles: str) -> str:
    """Canonical SMILES of the Murcko scaffold; empty for a molecule without rings."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        # A few canonical SMILES, of metal complexes, cannot be read back: each is its own scaffold.
        return smiles
    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=mol))  # type: ignore[no-untyped-call]


def scaffold_groups(smiles: Sequence[str]) -> list[list[int]]:
    """Molecules that share a Murcko scaffold, the largest groups first."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, text in enumerate(smiles):
        groups[murcko_scaffold(text)].append(i)
    return [members for _, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))]


def _by_scaffold(smiles: Sequence[str], recipe: SplitRecipe) -> Parts:
    """Fill training with the largest scaffolds, then validation, then test (MoleculeNet's way)."""
    n = len(smiles)
    parts = np.full(n, "test", dtype="<U10")
    room = {"train": n * (1 - recipe.validation - recipe.test), "validation": n * recipe.validation}
    for rank, members in enumerate(scaffold_groups(smiles)):
        # The commonest scaffold is for training even where it alone is more than the share.
        name = next((p for p, left in room.items() if rank == 0 or len(members) <= left), "test")
        parts[members] = name
        if name in room:
            room[name] -= len(members)
    return parts


def _folds_of_groups(groups: Sequence[Sequence[int]], n_folds: int, what: str) -> Index:
    """Deal groups, the largest first, each to the emptiest fold."""
    if len(groups) < n_folds:
        raise InputError(f"{len(groups)} different {what} are too few for {n_folds} folds")
    dealt, sizes = np.empty(sum(map(len, groups)), dtype=np.int64), np.zeros(n_folds, dtype=np.int64)
    for members in groups:
        fold = int(sizes.argmin())
        dealt[members] = fold
        sizes[fold] += len(members)
    return dealt


def tied_molecules(values: Sequence[str], copy_of: Index) -> list[list[int]]:
    """Different molecules that must not be parted: of the same group, or of groups that share a molecule.

    `values` and `copy_of` are the group of every row, "" for none, and which molecule it is.
    """
    n = int(copy_of.max()) + 1
    rows = np.array([row for row, value in enumerate(values) if value], dtype=np.int64)
    names, group = np.unique(np.array(values, dtype=object)[rows].astype(str), return_inverse=True)
    ends = (copy_of[rows], n + group)
    size = n + len(names)
    links = coo_array((np.ones(len(rows), dtype=np.int8), ends), shape=(size, size))
    _, tied = connected_components(links, directed=False)
    groups: dict[int, list[int]] = defaultdict(list)
    for molecule, of in enumerate(tied[:n].tolist()):
        groups[of].append(molecule)
    return list(groups.values())


def _shuffled(groups: Sequence[list[int]], seed: int) -> list[list[int]]:
    return [groups[i] for i in np.random.default_rng(seed).permutation(len(groups))]


def _by_group(groups: Sequence[list[int]], recipe: SplitRecipe) -> Parts:
    """Draw groups for the test part and then for validation as long as they fit, at least one for each."""
    shares = [(name, share) for name, share in _shares(recipe) if share]
    n = sum(map(len, groups))
    if len(groups) <= len(shares):
        raise InputError(
            f"the column {recipe.column!r} has {len(groups)} groups of molecules, too few to be dealt to "
            f"{len(shares) + 1} parts; groups that share a molecule count as one: the largest has "
            f"{max(map(len, groups))} of {n} molecules"
        )
    parts = np.full(n, "train", dtype="<U10")
    left = _shuffled(groups, recipe.seed)
    for i, (name, share) in enumerate(shares):
        room, kept = share * n + 1e-9, list[list[int]]()
        spare = len(left) - (len(shares) - i)  # groups that the parts to come do not need
        for members in left:
            if len(members) <= room and spare:
                parts[members] = name
                room, spare = room - len(members), spare - 1
            else:
                kept.append(members)
        if len(kept) == len(left):  # all are larger than the share
            smallest = min(range(len(kept)), key=lambda k: len(kept[k]))
            parts[kept.pop(smallest)] = name
        left = kept
    return parts


def _shares(recipe: SplitRecipe) -> list[tuple[str, float]]:
    return [("test", recipe.test), ("validation", recipe.validation)]


def _earliest(values: Sequence[str], copy_of: Index) -> FloatArray:
    """Time of every different molecule: that of its first copy."""
    times = np.full(int(copy_of.max()) + 1, np.inf)
    np.minimum.at(times, copy_of, np.array(values, dtype=np.float64))
    return times


def _by_time(times: FloatArray, recipe: SplitRecipe) -> Parts:
    """The latest molecules test, those before them validate; molecules of the same time stay together."""
    shares = [(name, share) for name, share in _shares(recipe) if share]
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) <= len(shares):
        raise InputError(
            f"the column {recipe.column!r} has {len(moments)} different times, too few for "
            f"{len(shares) + 1} parts; give finer ones"
        )
    parts = np.full(len(times), "train", dtype="<U10")
    end = len(moments)
    for i, (name, share) in enumerate(shares):
        first = len(shares) - i  # moments before this one are for training and the parts to come
        sizes = counts[:end][::-1].cumsum()[::-1]  # of a part that begins with each moment
        start = first + int(np.abs(sizes[first:] - share * len(times)).argmin())
        parts[(times >= moments[start]) & (parts == "train")] = name
        end = start
    return parts


# Parts that a file lists, so that a row which becomes unusable moves no other one.

_LISTED_COLUMNS = ("row", "part")
_LARGEST_LIST = 100_000_000


class ListedRow(NamedTuple):
    """Part of a row, and the line of the file that says so."""

    part: str
    line: int


@dataclass(frozen=True)
class ListedParts:
    """Parts of rows of a table, from 1, as a file lists them; rows that it leaves out are for training."""

    file: Path
    digest: str  # SHA-256
    rows: dict[int, ListedRow]

    def deal(self, data: TrainingData) -> Parts:
        """Part of every molecule; listed in several, copies all go to the first of train, validation, test.

        So nothing of the test part is trained on. Raises InputError for rows that the table has not, or if a
        part is left without molecules.
        """
        n_rows = len(data) + len(data.rejections)
        for row, listed in self.rows.items():
            if row > n_rows:
                raise InputError(
                    f"{self.file}, line {listed.line}: there is no row {row}, the table has {n_rows} rows; "
                    "list rows of this table, or take split.parts out of the recipe to have its parts dealt"
                )
        train = ListedRow(PARTS[0], 0)
        own = np.array([PARTS.index(self.rows.get(int(row), train).part) for row in data.rows])
        unique, copy_of = np.unique(np.array(data.smiles, dtype=object), return_inverse=True)
        first = np.full(len(unique), len(PARTS))
        np.minimum.at(first, copy_of, own)
        parts: Parts = np.array(PARTS, dtype="<U10")[first[copy_of]]
        for name in PARTS:
            if not (parts == name).any():
                why = "its rows cannot be used, or are copies of molecules that come earlier among "
                raise InputError(
                    f"{self.file}: no molecule is left for the {name} part: {why}{', '.join(PARTS)}; list "
                    f"{'fewer' if name == PARTS[0] else 'other'} rows"
                )
        return parts


def read_listed_parts(recipe: SplitRecipe, folder: Path) -> ListedParts | None:
    """Read what ``split.parts`` names, seen from the recipe's directory; None if it names nothing.

    Raises UsageError if there is no such file, InputError with the line for what it must not say.
    """
    if not recipe.parts:
        return None
    path = find_parts(recipe, folder)
    try:
        content = read_regular(path, _LARGEST_LIST)
        text = content.decode("utf-8-sig")
    except OSError as err:
        raise UsageError(f"split.parts: cannot read {path}: {err.strerror or err}") from err
    except UnicodeDecodeError as err:
        raise InputError(f"{path} is no UTF-8 text: {err}; save it as CSV in UTF-8") from err
    return ListedParts(path, digest_of(content), _listed_rows(path, text))


def _listed_rows(path: Path, text: str) -> dict[int, ListedRow]:
    reader = csv.DictReader(text.splitlines())
    rows: dict[int, ListedRow] = {}
    try:
        missing = [name for name in _LISTED_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path}, line 1: no column {missing[0]!r}; it needs the columns row and part")
        for record in reader:
            where = f"{path}, line {reader.line_num}"
            number, part = ((record[name] or "").strip() for name in _LISTED_COLUMNS)
            if not (number.isascii() and number.isdigit() and len(number) < 19 and int(number)):
                raise InputError(f"{where}: row {number!r} is no row number; rows count from 1")
            if part not in PARTS:
                raise InputError(
                    f"{where}: unknown part {part!r}; write test or validation (rows that are not listed are "
                    "for training)"
                )
            if (row := int(number)) in rows:
                raise InputError(f"{where}: row {row} is listed before, in line {rows[row].line}; drop one")
            rows[row] = ListedRow(part, reader.line_num)
    except csv.Error as err:
        raise InputError(f"{path}, line {reader.line_num}: not readable as CSV: {err}") from err
    for name in ("test", "validation"):
        if not any(listed.part == name for listed in rows.values()):
            raise InputError(
                f"{path}: lists no row for the {name} part; add lines such as 17,{name}, or take split.parts "
                "out of the recipe to have the parts dealt"
            )
    return rows
