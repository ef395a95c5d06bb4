"""One evaluation for each value of a column, such as every target of a long table, and one table over all."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from molig.errors import InputError, MoligError, UnknownNameError, UsageError
from molig.evaluation.criteria import Criteria, FloatArray
from molig.evaluation.figures import Comparison, MethodFigures, compare
from molig.evaluation.methods import NETWORK
from molig.evaluation.plan import PLAN_FILE, plan_evaluation
from molig.evaluation.report import (
    cell,
    method_title,
    sign_table,
    sign_tests_json,
    tasks_table,
    write_evaluation,
)
from molig.evaluation.run import Evaluation, EvaluationRun, evaluate
from molig.files import json_text, made_by, markdown_table, versions, write_whole
from molig.molecules import read_records
from molig.molecules.sdf_reader import with_smiles
from molig.text import legible_markdown
from molig.training import LabelledTable, Recipe
from molig.version import __version__

TABLE_FILE = "table.csv"
RESULTS_FILE = "evaluations.json"
REPORT_FILE = "evaluations.md"

_MOST_VALUES = 1000


@dataclass(frozen=True)
class Share:
    """The rows of one value, as a table of their own."""

    value: str
    table: LabelledTable
    folder: Path  # of the evaluation


@dataclass(frozen=True)
class Shares:
    """A table dealt by the values of a column."""

    column: str
    source: str  # name of the table's file
    each: list[Share]
    n_without: int  # rows that have no value, or could not be read


@dataclass
class ByValue:
    """Evaluations by value, and why others failed."""

    shares: Shares
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def first(self) -> Evaluation:
        """The first evaluation; recipe and criteria are those of all."""
        return next(iter(self.evaluations.values()))

    @property
    def subset_column(self) -> str:
        """The column that marks rows, or empty."""
        return self.first.plan.recipe.evaluation.subset_column

    def whole(self) -> Summary:
        """Over all test molecules."""
        return summarise([(v, each.figures) for v, each in self.evaluations.items()], self.first.criteria)

    def marked(self) -> Summary | None:
        """Over those that a column marks, if one does."""
        by_method = [(v, e.subset.figures) for v, e in self.evaluations.items() if e.subset is not None]
        return summarise(by_method, self.first.criteria) if by_method else None


OnValue = Callable[[str, Evaluation | MoligError], None]


def evaluate_by_value(
    recipe: Recipe,
    table: LabelledTable,
    column: str,
    run: EvaluationRun,
    *,
    only: Sequence[str] = (),
    title: str = "",
    on_value: OnValue | None = None,
) -> ByValue:
    """Evaluate a recipe on the rows of every value of a column, or of some values only.

    Every value has a directory in the output, with its table and what an evaluation writes. A value that
    cannot be evaluated is noted, and the others go on; MoligError if none can. `on_value` hears what became
    of each.
    """
    _check_request(recipe, run)
    found = ByValue(deal_table(recipe, table, column, run.output, only))
    for share in found.shares.each:
        try:
            evaluation = evaluate(plan_evaluation(recipe, share.table), replace(run, output=share.folder))
            write_evaluation(evaluation, share.folder, title=f"{title}: {share.value}")
        except MoligError as err:
            found.failures[share.value] = str(err)
            outcome: Evaluation | MoligError = err
        else:
            found.evaluations[share.value] = outcome = evaluation
        if on_value:
            on_value(share.value, outcome)
    if not found.evaluations:
        value, reason = next(iter(found.failures.items()))
        raise MoligError(f"no value of {column!r} could be evaluated; first reason, of {value}: {reason}")
    return found


def _check_request(recipe: Recipe, run: EvaluationRun) -> None:
    if recipe.split.parts and recipe.evaluation.folds == 1:
        raise UsageError(
            "split.parts lists rows of the whole table, not of each value: leave it out of the recipe, or "
            "use --split"
        )
    if not run.resume and any(run.output.glob(f"*/{PLAN_FILE}")):
        raise UsageError(f"{run.output} holds evaluations; add --resume or choose another directory")


def deal_table(
    recipe: Recipe, table: LabelledTable, column: str, output: Path, only: Sequence[str] = ()
) -> Shares:
    """Write a table of its own for every value of a column, in the order in which they come."""
    split, subset = recipe.split.by_column, recipe.evaluation.subset_column
    needed = [*table.targets, *([split.name] if split else []), *([subset] if subset else [])]
    kept = list(dict.fromkeys(needed))
    if column in table.targets:
        raise UsageError(f"column {column!r} cannot be a target and name the evaluations (--each-value-of)")
    rows: dict[str, list[list[Any]]] = {}
    n_without = 0
    records = read_records(
        table.source, smiles_column=table.smiles_column, columns=[*kept, column], delimiter=table.delimiter
    )
    for record in map(with_smiles, records):
        raw = record.fields.get(column)
        value = "" if raw is None else str(raw).strip()
        if record.problem is not None or not value:
            n_without += 1
        else:
            cells = ["" if (it := record.fields.get(name)) is None else it for name in kept]
            rows.setdefault(value, []).append([record.row, record.smiles, *cells])
    chosen = _chosen(rows, column, only, table.source)
    header = [_free("id", kept), _free("smiles", kept), *kept]
    each = []
    for value, folder in _folders(chosen).items():
        source = output / folder / TABLE_FILE
        write_whole(source, _csv(header, rows[value]))
        own = LabelledTable(source, table.targets, header[1], "comma", table.folder)
        each.append(Share(value, own, output / folder))
    return Shares(column, table.source.name, each, n_without)


def _chosen(rows: Mapping[str, object], column: str, only: Sequence[str], source: Path) -> list[str]:
    if not rows:
        raise InputError(f"{source}: no row has a value of {column!r}")
    for value in only:
        if value not in rows:
            raise UnknownNameError(f"value of column {column!r}", value, rows)
    chosen = list(dict.fromkeys(only)) or list(rows)
    if len(chosen) > _MOST_VALUES:
        raise UsageError(
            f"column {column!r} has {len(chosen):,} different values, more than {_MOST_VALUES:,}: name a "
            "column of groups, or some of its values by --value"
        )
    return chosen


def _folders(values: Sequence[str]) -> dict[str, str]:
    """A directory name for every value; values that would have the same one are numbered."""
    plain = {value: re.sub(r"[^\w.+-]+", "_", value).strip("._") or "value" for value in values}
    often = Counter(name.casefold() for name in plain.values())
    return {
        value: name if often[name.casefold()] == 1 else f"{name}-{number}"
        for number, (value, name) in enumerate(plain.items(), 1)
    }


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


# One table over all.


@dataclass(frozen=True)
class Summary:
    """Figures of the methods over all evaluations; their tasks are values, or values and tasks."""

    figures: dict[str, MethodFigures]
    # Method to figure to the mean; of ranks over the tasks in which every method has the figure, 1 is best.
    means: dict[str, dict[str, float | None]]
    ranks: dict[str, dict[str, float | None]]
    comparisons: list[Comparison]


def summarise(by_method: Sequence[tuple[str, Mapping[str, MethodFigures]]], criteria: Criteria) -> Summary:
    """Put the figures of evaluations, by value and method, together."""
    names = list(by_method[0][1])
    figures = {name: _together(name, [(value, of[name]) for value, of in by_method]) for name in names}
    table = {
        figure: np.array(
            [[_number(getattr(t.mean, figure)) for t in figures[name].tasks.values()] for name in names]
        )
        for figure in criteria.figures
    }
    means, ranks = {}, {}
    for place, name in enumerate(names):
        known = {figure: values[place][~np.isnan(values[place])] for figure, values in table.items()}
        means[name] = {figure: float(v.mean()) if len(v) else None for figure, v in known.items()}
        medians = {figure: float(np.median(v)) if len(v) else None for figure, v in known.items()}
        figures[name] = replace(figures[name], medians=medians)
        ranks[name] = {
            figure: _mean_ranks(values, less_is_better=criteria.figures[figure].less_is_better)[place]
            for figure, values in table.items()
        }
    others = [of for name, of in figures.items() if name != NETWORK]
    comparisons = compare(figures[NETWORK], others, criteria) if NETWORK in figures else []
    return Summary(figures, means, ranks, comparisons)


def _together(name: str, of_values: Sequence[tuple[str, MethodFigures]]) -> MethodFigures:
    tasks = {
        value if len(of.tasks) == 1 else f"{value}: {task}": figures
        for value, of in of_values
        for task, figures in of.tasks.items()
    }
    return MethodFigures(name, tasks, {}, {}, {}, sum(of.seconds for _, of in of_values))


def _mean_ranks(values: FloatArray, *, less_is_better: bool) -> list[float | None]:
    """Mean rank of every row; equal ones share their ranks."""
    whole = values[:, ~np.isnan(values).any(axis=0)]
    if not whole.shape[1]:
        return [None] * len(values)
    ranks = rankdata(whole if less_is_better else -whole, axis=0).mean(axis=1)
    return [float(rank) for rank in ranks]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


# Results as files.


def write_by_value(found: ByValue, output: Path, *, title: str, command: str = "") -> list[Path]:
    """Write ``evaluations.json`` and ``evaluations.md``."""
    results, report = output / RESULTS_FILE, output / REPORT_FILE
    write_whole(results, _json(found, title, command))
    write_whole(report, _markdown(found, title, command))
    return [results, report]


def _json(found: ByValue, title: str, command: str) -> str:
    criteria, recipe, marked = found.first.criteria, found.first.plan.recipe, found.marked()
    folders = {share.value: share.folder.name for share in found.shares.each}
    subset = {"column": found.subset_column, **_summary_json(marked, criteria)} if marked else None
    content = {
        "format": "molig-evaluations",
        "title": title,
        "molig_version": __version__,
        "versions": versions(),
        "command": command,
        "seed": recipe.evaluation.seed,
        "table": found.shares.source,
        "column": found.shares.column,
        "rows_without_value": found.shares.n_without,
        "recipe": recipe.model_dump(mode="json", exclude_none=True),
        "values": {
            value: {
                "directory": folders[value],
                "sha256": each.plan.digest,
                "molecules": len(each.plan.data),
                "rejected": len(each.plan.data.rejections),
                "copies_in_train": each.plan.copies_in_train(),
                "problems": each.plan.problems(),
            }
            for value, each in found.evaluations.items()
        },
        "failures": found.failures,
        **_summary_json(found.whole(), criteria),
        "subset": subset,
    }
    return json_text(content)


def _summary_json(summary: Summary, criteria: Criteria) -> dict[str, Any]:
    return {
        "methods": {
            name: {
                "title": method_title(name),
                "means": summary.means[name],
                "medians": figures.medians,
                "mean_ranks": summary.ranks[name],
                "tasks": {
                    task: {
                        "means": of.mean.figures(),
                        "intervals": of.mean.intervals,
                        **criteria.counts(of.mean),
                    }
                    for task, of in figures.tasks.items()
                },
            }
            for name, figures in summary.figures.items()
        },
        "sign_tests": sign_tests_json(summary.comparisons),
    }


def _markdown(found: ByValue, title: str, command: str) -> str:
    plan, criteria, column = found.first.plan, found.first.criteria, found.shares.column
    whole, marked = found.whole(), found.marked()
    how = f"{len(plan.parts)}-fold {plan.scheme} cross-validation"
    how = how if len(plan.parts) > 1 else f"{plan.scheme[0].upper()}{plan.scheme[1:]} split"
    n = sum(len(each.plan.data) for each in found.evaluations.values())
    lines = [
        f"# {title}",
        "",
        f"{how} of the rows of each `{column}` ({len(found.evaluations)}) in `{found.shares.source}`: {n:,} "
        f"molecules. A mean rank of 1 means the best of {len(whole.figures)} methods everywhere. "
        f"{criteria.about}",
        "",
        *_summary_tables(whole, criteria),
    ]
    where = f"Where `{found.subset_column}` is true"
    if marked:
        lines += [f"## {where}", "", *_summary_tables(marked, criteria)]
    lines += [f"## By {column}", "", "In brackets: 95 % bootstrap intervals over molecules.", ""]
    lines += tasks_table(whole.figures, criteria, column)
    if marked:
        lines += [f"### {where}", "", *tasks_table(marked.figures, criteria, column)]
    notes = _notes(found)
    lines += ["## Notes", "", *(f"- {note}" for note in notes), ""] if notes else []
    lines.append(made_by(command, plan.recipe.evaluation.seed))
    return legible_markdown("\n".join(lines).rstrip() + "\n")


def _summary_tables(summary: Summary, criteria: Criteria) -> list[str]:
    header = ["method"]
    for figure in criteria.principal:
        title = criteria.figures[figure].title
        header += [f"{title}: mean", "median", "mean rank"]
    rows = []
    for name, figures in summary.figures.items():
        row = [method_title(name)]
        for figure in criteria.principal:
            values = (summary.means[name][figure], figures.medians[figure])
            rank = summary.ranks[name][figure]
            row += [*(cell(criteria, figure, value) for value in values)]
            row.append("n/a" if rank is None else f"{rank:.2f}")
        rows.append(row)
    n_tasks = len(next(iter(summary.figures.values())).tasks)
    return [
        *markdown_table(header, rows, "lr"),
        "",
        *sign_table(summary.comparisons, criteria, n_tasks),
    ]


def _notes(found: ByValue) -> list[str]:
    notes = [f"{value}: not evaluated: {reason}" for value, reason in found.failures.items()]
    if found.shares.n_without:
        notes.append(f"{found.shares.n_without} rows have no {found.shares.column}, or cannot be read")
    for value, each in found.evaluations.items():
        notes += [f"{value}: {problem}" for problem in each.plan.problems()]
        if each.plan.data.rejections:
            notes.append(f"{value}: {len(each.plan.data.rejections)} rows could not be used")
        if copies := each.plan.copies_note():
            notes.append(f"{value}: {copies}")
    return notes


def printed_rows(found: ByValue) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a short table for the terminal: medians, and ranks by the first figure."""
    criteria, marked = found.first.criteria, found.marked()
    parts = [("", found.whole())] + ([(f" ({found.subset_column})", marked)] if marked else [])
    rows = []
    for which, summary in parts:
        for name, figures in summary.figures.items():
            rank = summary.ranks[name][criteria.principal[0]]
            cells = [cell(criteria, figure, figures.medians[figure]) for figure in criteria.principal]
            rows.append([method_title(name) + which, *cells, "n/a" if rank is None else f"{rank:.2f}"])
    titles = [criteria.figures[figure].title for figure in criteria.principal]
    return ["method", *titles, f"mean rank by {titles[0]}"], rows
