"""What finds the errors of a committee: its members, its score, or the distance to its training molecules.

A molecule of the model's test part is called active if it scores above a cut: 0.5, or the share of actives
among all other molecules of the task. AUROC: of a wrong and a right call drawn at random, how often the wrong
one is the less certain; the median over tasks. Accuracy and Brier score against coverage: those of the most
certain share of all labels.

Measures were compared on even rows of the table, and the choice was made there; odd rows were looked at
once, afterwards. The model defaults to `tox21`, the table to the one that its recipe names::

    MOLIG_DATA_DIR=DIR python tests/benchmarks/uncertainty.py [MODEL [TABLE]]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.evaluation.held_out import SPLIT_FILE, table_of_model
from molig.files import markdown_table
from molig.model import Objective, find_model, load_model
from molig.molecules import read_records
from molig.stats import roc_auc

FloatArray = npt.NDArray[np.float64]
Unsure = dict[str, FloatArray]

COVERAGES = (1.0, 0.9, 0.8, 0.5)
CHANCE = "chance of a wrong call"


@dataclass(frozen=True)
class Scored:
    """Test molecules with their labels; arrays of shape (n, n_tasks) unless said otherwise."""

    tasks: tuple[str, ...]
    rows: npt.NDArray[np.int64]  # (n,)
    labels: FloatArray  # NaN where not measured
    scores: FloatArray
    spread: FloatArray
    distance: FloatArray  # 1 - similarity to the nearest training molecule, the same for all tasks
    share_active: FloatArray  # (n_tasks,), among all molecules but those of the test part

    def of(self, odd: bool) -> Scored:
        """Every other row of the table."""
        half = (self.rows % 2 == 1) == odd
        parts = (self.rows, self.labels, self.scores, self.spread, self.distance)
        return Scored(self.tasks, *(part[half] for part in parts), self.share_active)

    def wrong(self, cut: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether a molecule is on the other side of the cut than its label says."""
        return np.asarray((self.scores > cut) != (self.labels == 1))

    def unsure(self, cut: FloatArray) -> Unsure:
        """By name, how little each call is to be trusted."""
        near, spread, far = -np.abs(self.scores - cut), self.spread, self.distance
        chance = np.where(self.scores > cut, 1 - self.scores, self.scores)
        return {
            CHANCE: chance,
            "closeness of the score to the cut": near,
            "spread of the members": spread,
            "distance to the training molecules": far,
            "chance and spread, mean rank": _ranks(chance) + _ranks(spread),
            "chance and distance, mean rank": _ranks(chance) + _ranks(far),
            "chance times (1 + distance)": chance * (1 + far),
            "closeness over spread": near / (spread + 1e-3),
        }


def _ranks(values: FloatArray) -> FloatArray:
    return np.asarray(pd.DataFrame(values).rank(pct=True).to_numpy())


def scored(name: str, table: Path) -> Scored:
    """Score the rows that the model held out."""
    model = load_model(name)
    if model.objective is not Objective.CLASSIFICATION or not model.member_names:
        raise SystemExit(f"{name} is no committee that predicts classes")
    parts = pd.read_csv(find_model(name) / SPLIT_FILE).set_index("row")["part"]
    labels = pd.read_parquet(table, columns=list(model.tasks)).to_numpy(dtype=np.float64)
    is_test = np.isin(np.arange(1, len(labels) + 1), parts.index[parts == "test"])
    records = [record for record in read_records(table) if is_test[record.row - 1]]
    molecules, _ = model.parser.parse_many(records)
    found = model.score_with(molecules, applicability=True, uncertainty=True)
    if found.spread is None:
        raise SystemExit("the model has no members to compare")
    rows = np.array([molecule.row for molecule in molecules])
    distance = np.array([1 - flag.similarity for flag in found.flags])
    return Scored(
        model.tasks,
        rows,
        labels[rows - 1],
        found.scores,
        found.spread,
        np.repeat(distance[:, None], len(model.tasks), axis=1),
        np.nanmean(labels[~is_test], axis=0),
    )


def aurocs(wrong: npt.NDArray[np.bool_], unsure: FloatArray, labels: FloatArray) -> list[float]:
    """For each task how well the calls that are wrong are found; NaN where all are right or all wrong."""
    known = ~np.isnan(labels)
    values = []
    for task in range(labels.shape[1]):
        which = known[:, task]
        found = roc_auc(wrong[which, task].astype(float), unsure[which, task])
        values.append(float("nan") if found is None else found)
    return values


def against_coverage(unsure: FloatArray, values: FloatArray) -> list[float]:
    """Mean of the values of the most certain share of all labels."""
    ordered = values[np.argsort(unsure, kind="stable")]
    return [float(ordered[: max(1, round(share * len(ordered)))].mean()) for share in COVERAGES]


def measures(data: Scored, cut: FloatArray) -> Iterator[list[str]]:
    """One line for each measure."""
    wrong, known = data.wrong(cut), ~np.isnan(data.labels)
    brier = (data.scores - data.labels)[known] ** 2
    for name, unsure in data.unsure(cut).items():
        found = np.nanmedian(aurocs(wrong, unsure, data.labels))
        accuracy = against_coverage(unsure[known], 1.0 - wrong[known])
        squares = against_coverage(unsure[known], brier)
        joined = " / ".join(f"{value:.3f}" for value in accuracy)
        yield [name, f"{found:.3f}", joined, " / ".join(f"{value:.4f}" for value in squares)]


def stated_and_seen(data: Scored, cut: FloatArray) -> list[str]:
    """Mean chance of a wrong call, and the share of calls that were wrong, of the most certain labels."""
    known = ~np.isnan(data.labels)
    chance, wrong = data.unsure(cut)[CHANCE][known], data.wrong(cut)[known].astype(float)
    pairs = zip(against_coverage(chance, chance), against_coverage(chance, wrong), strict=True)
    return [f"{stated:.3f} / {seen:.3f}" for stated, seen in pairs]


def report(data: Scored) -> Iterator[str]:
    """Lines of Markdown on one half of the molecules."""
    shares = " / ".join(f"{share:.0%}" for share in COVERAGES)
    cuts = {"0.5": np.full(len(data.tasks), 0.5), "the share of actives": data.share_active}
    n_labels = int((~np.isnan(data.labels)).sum())
    yield f"{len(data.rows)} molecules, {n_labels} labels"
    for name, cut in cuts.items():
        yield f"\ncut at {name}\n"
        header = ["measure", "AUROC of errors", f"accuracy, {shares}", f"Brier score, {shares}"]
        yield from markdown_table(header, measures(data, cut), "lr")
    yield "\nmean chance of a wrong call / share of wrong calls\n"
    header = ["cut at", *(f"{share:.0%}" for share in COVERAGES)]
    yield from markdown_table(header, ([n, *stated_and_seen(data, c)] for n, c in cuts.items()), "lr")
    yield "\nAUROC of errors, task by task: chance of a wrong call, spread of the members\n"
    by_task = []
    for cut in cuts.values():
        unsure = data.unsure(cut)
        by_task += [
            aurocs(data.wrong(cut), unsure[which], data.labels) for which in (CHANCE, "spread of the members")
        ]
    header = ["task", *(f"{which}, cut at {name}" for name in cuts for which in ("chance", "spread"))]
    rows = ([task, *(f"{values[i]:.3f}" for values in by_task)] for i, task in enumerate(data.tasks))
    yield from markdown_table(header, rows, "lr")


def main(name: str = "tox21", table: str = "") -> None:
    """Print the tables of both halves."""
    data = scored(name, Path(table) if table else table_of_model(name))
    for title, odd in (("Even rows, where the choice was made", False), ("Odd rows", True)):
        print(f"\n## {title}\n")
        print("\n".join(report(data.of(odd))))


if __name__ == "__main__":
    main(*sys.argv[1:3])
