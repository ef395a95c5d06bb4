"""Model cards: what ``model.json`` says, for people. The words are in `card.md.j2`, the facts here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from molig.deferred import deferred
from molig.features import FeatureSchema
from molig.model.info import (
    ApplicabilityInfo,
    AuditSummary,
    CrossValidation,
    ModelInfo,
    Objective,
    RegressionMetrics,
    ReliabilityBin,
    TasksWon,
)
from molig.molecules import Hydrogens
from molig.stats import RankingQuality
from molig.stats.ranking import FIGURES, OF_MERIT
from molig.text import legible_markdown

if TYPE_CHECKING:
    from jinja2 import Environment

jinja2 = deferred("jinja2")

Metrics = Mapping[str, RankingQuality | RegressionMetrics]


class Column(NamedTuple):
    """A figure in the tables: field, heading, format, whether its interval and its median are shown."""

    name: str
    heading: str
    form: str = ".3f"
    interval: bool = False
    median: bool = True

    @property
    def in_words(self) -> str:
        """Heading of the tasks won and lost in this figure."""
        return f"won : lost in {self.heading}"


_RANKING = tuple(
    Column(name, figure.title.removesuffix(" score"), f".{figure.decimals}f", figure.principal)
    for name, figure in FIGURES.items()
    if name in OF_MERIT
)
# Errors of tasks with different units have no median.
_REGRESSION = (
    Column("r2", "R2"),
    Column("rmse", "RMSE", ".4g", median=False),
    Column("spearman", "Spearman"),
)
_ALL = (*_RANKING, *_REGRESSION)
# Figures that models of all versions have.
_ALWAYS = {"roc_auc", "pr_auc", "r2", "rmse", "spearman"}
# Share of molecules with equal scores from which ties are worth a word.
_MANY_TIES = 0.005
# With fewer actives figures are called uncertain.
_ENOUGH_ACTIVES = 20
# By these a method is better to screen with, or predicts better.
_DECISIVE = ("pr_auc", "bedroc", "ef_1", "rmse")
_ELEMENTS_SHOWN = 30
_STATUSES = ("failed", "error", "warning", "info", "ok", "skipped")


def model_card(info: ModelInfo) -> str:
    """Markdown card of a model.

    Parameters
    ----------
    info : ModelInfo
        The model's description.

    Returns
    -------
    str
        Markdown; every figure in it comes from ``info``.
    """
    schema = FeatureSchema.from_dict(info.feature_schema)
    facts = {
        "info": info,
        "schema": schema,
        "regression": info.objective is Objective.REGRESSION,
        "training": info.training,
        "keep": info.training.keep if info.training else None,
        "weight": info.training.positive_weight if info.training else 1.0,
        "unseen": _unseen(info, schema),
        **_quality(info),
        **_committee(info),
        **_evaluation(info.cross_validation),
        **_domain(info.applicability),
        **_audit(info.audit),
    }
    return legible_markdown(_environment().get_template("card.md.j2").render(facts))


@cache
def _environment() -> Environment:
    environment: Environment = jinja2.Environment(
        loader=jinja2.PackageLoader("molig.model", "templates"),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": lambda text: text.replace("|", "\\|"),
        "commas": lambda number: f"{number:,}",
        "fixed": _fixed,
        "one_line": lambda text: re.sub(r"\s*\n\s*", " ", text).strip(),
    }
    return environment


def _fixed(value: float | None, form: str = ".3f") -> str:
    return "n/a" if value is None else format(value, form)


def _quality(info: ModelInfo) -> dict[str, Any]:
    """The held-out part in full, and the median of the validation part if that is another one."""
    regression, part = info.objective is Objective.REGRESSION, info.held_out
    metrics: Metrics = info.metrics.get(part or "", {})
    rankings = {task: m for task, m in metrics.items() if isinstance(m, RankingQuality)}
    columns = [
        column
        for column in (_REGRESSION if regression else _RANKING)
        if column.name in _ALWAYS or any(getattr(m, column.name, None) is not None for m in metrics.values())
    ]
    counts = ["molecules"] if regression else ["actives", "inactives"]
    rows = [_quality_row(task, m, columns) for task, m in metrics.items()]
    if part and len(rows) > 1:
        medians = {column.name: info.median_figure(part, column.name) for column in columns}
        rows.append([*_median_row(medians, columns), *[""] * len(counts)])
    ties = max((m.tie_fraction or 0 for m in rankings.values()), default=0)
    return {
        "part": part,
        "columns": columns,
        "counts": counts,
        "quality_rows": rows,
        "median": info.median_figure(part or "", columns[0].name),
        "watched": info.median_figure("validation", columns[0].name),
        "brier": info.median_figure(part or "", "brier"),
        "intervals": any(m.intervals for m in rankings.values()),
        "explained": any(column.name == "bedroc" for column in columns),
        "many_ties": ties if ties > _MANY_TIES else None,
        "few_actives": [task for task, m in rankings.items() if m.n_actives < _ENOUGH_ACTIVES],
        "enough_actives": _ENOUGH_ACTIVES,
    }


def _quality_row(
    task: str, metrics: RankingQuality | RegressionMetrics, columns: Sequence[Column]
) -> list[str]:
    cells = [_fixed(getattr(metrics, column.name, None), column.form) for column in columns]
    if isinstance(metrics, RegressionMetrics):
        return [task, *cells, str(metrics.n)]
    for i, column in enumerate(columns):
        if column.interval and (ends := metrics.intervals.get(column.name)):
            cells[i] += f" [{ends[0]:{column.form}}, {ends[1]:{column.form}}]"
    return [task, *cells, str(metrics.n_actives), str(metrics.n_inactives)]


def _median_row(medians: Mapping[str, float | None], columns: Sequence[Column]) -> list[str]:
    return ["**median**", *(_fixed(medians.get(c.name), c.form) if c.median else "" for c in columns)]


_READS = {
    "weave": "atoms and pairs of atoms of the graph",
    "environments": "counts of {n:,} substructures, by a network of {size:,} hidden units",
    "forest": "counts of {n:,} substructures, by {size:,} trees of a random forest",
    "kernel": "counts of {n:,} substructures, by similarity to {size:,} molecules",
}


def _committee(info: ModelInfo) -> dict[str, Any]:
    """Members with what they read, and the calibrated scores beside shares of actives."""
    committee, part = info.committee, info.held_out
    facts: dict[str, Any] = {"committee": committee, "calibrated": info.calibrated, "reliability": None}
    if committee is None:
        return facts
    known = [c for c in _ALL if any(c.name in m.figures for m in committee.members)]
    rows = []
    for member in committee.members:
        reads = _READS[member.kind].format(n=member.n_columns, size=member.size)
        low, high = min(member.weights), max(member.weights)
        weight = f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
        figures = [_fixed(member.figures.get(column.name), column.form) for column in known]
        rows.append([member.name, reads, weight, *figures])
    reliability = info.reliability.get(part or "")
    return facts | {
        "equal_weights": len({round(w, 6) for m in committee.members for w in m.weights}) == 1,
        "member_columns": known,
        "member_rows": rows,
        "offsets": (min(committee.offset), max(committee.offset)),
        "slopes": (min(committee.slope), max(committee.slope)),
        "reliability": reliability,
        "scored_low": _an_example(reliability.bins) if reliability else None,
    }


def _an_example(bins: Sequence[ReliabilityBin]) -> ReliabilityBin | None:
    """A bin of middling scores, of those with labels enough to say something."""
    enough = [each for each in bins if each.n >= _ENOUGH_LABELS] or bins
    return min(enough, key=lambda each: abs(each.mean_score - 0.3), default=None)


_ENOUGH_LABELS = 20


def _evaluation(evaluation: CrossValidation | None) -> dict[str, Any]:
    """The recipe over folds, and tasks won and lost against simple methods."""
    if evaluation is None:
        return {"evaluation": None, "better_methods": []}
    known = {name for task in evaluation.tasks.values() for name, value in task.items() if value is not None}
    columns = [column for column in _ALL if column.name in known]
    rows = [
        [task, *(_fixed(means.get(column.name), column.form) for column in columns)]
        for task, means in evaluation.tasks.items()
    ]
    if len(rows) > 1:
        rows.append(_median_row(evaluation.medians, columns))
    tests = [test for method in evaluation.baselines.values() for test in method.tests.values()]
    compared = {name for method in evaluation.baselines.values() for name in method.tests}
    better = []
    for name, method in evaluation.baselines.items():
        lost = {figure: test for figure, test in method.tests.items() if test.mostly_lost}
        if any(figure in lost for figure in _DECISIVE):
            figures = [_lost_in(column, lost[column.name]) for column in _ALL if column.name in lost]
            better.append(f"{name} in {', '.join(figures)}")
    return {
        "evaluation": evaluation,
        "evaluation_columns": columns,
        "evaluation_rows": rows,
        "compared": [column for column in _ALL if column.name in compared],
        "several_tasks": any(test.n_tasks > 1 for test in tests),
        "better_methods": better,
    }


def _lost_in(column: Column, test: TasksWon) -> str:
    return f"{column.heading} ({test.losses} of {test.n_tasks} tasks)" if test.n_tasks > 1 else column.heading


def _domain(domain: ApplicabilityInfo | None) -> dict[str, Any]:
    if domain is None:
        return {"domain": None}
    elements = list(domain.elements.items())
    return {
        "domain": domain,
        "elements": elements[:_ELEMENTS_SHOWN],
        "more_elements": len(elements[_ELEMENTS_SHOWN:]),
    }


def _audit(audit: AuditSummary | None) -> dict[str, Any]:
    if audit is None:
        return {"audit": None}
    checks = {status: [c for c, found in audit.checks.items() if found == status] for status in _STATUSES}
    return {"audit": audit, "by_status": {status: names for status, names in checks.items() if names}}


def _unseen(info: ModelInfo, schema: FeatureSchema) -> list[str]:
    """Properties of molecules that no input column holds."""
    atom, pair = ({block.name for block in schema.blocks(level)} for level in ("atom", "pair"))
    return [
        *(["formal charge"] if "formal_charge" not in atom else []),
        *(["chirality (enantiomers score the same)"] if "chirality" not in atom else []),
        *(["the number of hydrogens"] if info.molecules.hydrogens is not Hydrogens.EXPLICIT else []),
        *(["rings (beyond aromatic bonds)"] if "ring_sizes" not in atom and "same_ring" not in pair else []),
        "double-bond geometry",
        "isotopes",
        "conformation",
    ]
