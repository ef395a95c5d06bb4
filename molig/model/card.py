"""Model cards: what ``model.json`` says, for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from molig.features import FeatureSchema
from molig.model.info import (
    ApplicabilityInfo,
    AuditSummary,
    BaselineScore,
    BaselineValue,
    CrossValidation,
    ModelInfo,
    Objective,
    Provenance,
    RegressionMetrics,
    TasksWon,
)
from molig.molecules import Hydrogens, StandardizationPolicy
from molig.stats import RankingQuality

# Pieces of Markdown.


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar in a cell, as names of tasks may have, does not end the cell."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def bullets(title: str, items: Iterable[str]) -> str:
    """A section that is a list."""
    return "\n".join([f"## {title}", "", *(f"- {item}" for item in items)])


def shown(value: float | None, form: str = ".3f") -> str:
    """A figure, or "n/a"."""
    return "n/a" if value is None else format(value, form)


# The columns that tables of figures on a model card have.


class Figure(NamedTuple):
    """A column of the tables: field, heading, format, and whether its interval is shown."""

    name: str
    heading: str
    form: str = ".3f"
    interval: bool = False


SCREENING = (
    Figure("roc_auc", "ROC-AUC", interval=True),
    Figure("pr_auc", "PR-AUC", interval=True),
    Figure("bedroc", "BEDROC", interval=True),
    Figure("ef_0_5", "EF 0.5 %", ".1f"),
    Figure("ef_1", "EF 1 %", ".1f", interval=True),
    Figure("ef_5", "EF 5 %", ".1f"),
    Figure("brier", "Brier"),
)
"""Of rankings, in the order of the tables."""

REGRESSION = (Figure("r2", "R2"), Figure("rmse", "RMSE", ".4g"), Figure("spearman", "Spearman"))
"""Of values, in the order of the tables."""

OF_UNITS = frozenset({"rmse"})
"""Figures in the unit of a task, which have no median over tasks."""


# The tables of a model card: held-out quality and zero baseline.

Metrics = Mapping[str, RankingQuality | RegressionMetrics]


_MANY_TIES = 0.005
_ON_VALIDATION = {
    "best": "The epoch was chosen on this part, which flatters the figures.",
    "last": "The last epoch was kept; training only watched this part.",
    None: "The epoch may have been chosen on this part, which would flatter the figures.",
}
_ROLE_OF_VALIDATION = {"best": ", which chose the epoch", "last": ", which training only watched", None: ""}


def quality_sections(info: ModelInfo) -> list[str]:
    """The held-out part in full, and one line about the validation part if that is another one."""
    part = info.held_out
    if part is None:
        return []
    regression = info.objective is Objective.REGRESSION
    figures = [f for f in (REGRESSION if regression else SCREENING) if _is_known(info.metrics[part], f)]
    text = [
        f"## Quality on the {part} part",
        _about(info, part),
        _metrics_table(info, part, figures),
        *_notes(info, part, figures),
    ]
    return ["\n\n".join(text)]


def _about(info: ModelInfo, part: str) -> str:
    regression = info.objective is Objective.REGRESSION
    figure, name = ("r2", "R2") if regression else ("roc_auc", "ROC-AUC")
    median = info.median_figure(part, figure)
    lines = []
    if median is None:
        lines.append("No task has different values." if regression else "No task has both classes.")
    else:
        lines.append(f"Median {name} {median:.3f}.")
    keep = info.training.keep if info.training else None
    if part == "validation":
        lines.append(_ON_VALIDATION[keep])
    elif (watched := info.median_figure("validation", figure)) is not None:
        lines.append(f"On the validation part{_ROLE_OF_VALIDATION[keep]}: {watched:.3f}.")
    return " ".join(lines)


def _is_known(metrics: Metrics, figure: Figure) -> bool:
    """Whether a column has anything to show; the first two always have a place."""
    first = figure.name in ("roc_auc", "pr_auc", "r2", "rmse", "spearman")
    return first or any(getattr(task, figure.name, None) is not None for task in metrics.values())


def _metrics_table(info: ModelInfo, part: str, figures: list[Figure]) -> str:
    regression = info.objective is Objective.REGRESSION
    counts = ["molecules"] if regression else ["actives", "inactives"]
    rows = [_metrics_row(task, m, figures) for task, m in info.metrics[part].items()]
    if len(rows) > 1:
        medians = [
            "" if f.name in OF_UNITS else shown(info.median_figure(part, f.name), f.form) for f in figures
        ]
        rows.append(["**median**", *medians, *[""] * len(counts)])
    return table(["task", *(f.heading for f in figures), *counts], rows)


def _metrics_row(task: str, metrics: RankingQuality | RegressionMetrics, figures: list[Figure]) -> list[str]:
    cells = [shown(getattr(metrics, f.name, None), f.form) for f in figures]
    if isinstance(metrics, RegressionMetrics):
        return [task, *cells, str(metrics.n)]
    for i, figure in enumerate(figures):
        ends = metrics.intervals.get(figure.name)
        if ends and figure.interval:
            cells[i] += f" [{ends[0]:{figure.form}}, {ends[1]:{figure.form}}]"
    return [task, *cells, str(metrics.n_actives), str(metrics.n_inactives)]


def _notes(info: ModelInfo, part: str, figures: list[Figure]) -> list[str]:
    """What the columns mean, as far as they are there."""
    tasks = [m for m in info.metrics[part].values() if isinstance(m, RankingQuality)]
    notes = []
    if any(m.intervals for m in tasks):
        notes.append("In brackets: 95 % bootstrap intervals over the molecules of this part.")
    if any(f.name == "bedroc" for f in figures):
        notes.append(
            "BEDROC has alpha 20; EF x % is how many times more actives the best x % hold than chance "
            "would give; ties count in expectation."
        )
    ties = max((m.tie_fraction or 0 for m in tasks), default=0)
    if ties > _MANY_TIES:
        notes.append(f"Up to {100 * ties:.1f} % of the molecules share their score with another.")
    return [" ".join(notes)] if notes else []


def baseline_section(info: ModelInfo) -> list[str]:
    """Score of the zero baseline, which attributions start from."""
    if not info.baseline:
        return []
    if info.objective is Objective.REGRESSION:
        what, header = "Value", ["task", "median", "farthest", "neutral value", "molecules near it"]
    else:
        what, header = "Probability", ["task", "median", "largest", "molecules at most 0.02"]
    text = [
        "## Baseline",
        f"{what} when all atom and pair features are zero and the graph stays; attributions add up to "
        "the score minus this.",
        table(header, [_baseline_row(task, b) for task, b in info.baseline.items()]),
    ]
    if info.objective is Objective.REGRESSION:
        text.append("Near: within a tenth of the standard deviation of the training labels.")
    return ["\n\n".join(text)]


def _baseline_row(task: str, baseline: BaselineScore | BaselineValue) -> list[str]:
    share = f"{100 * baseline.share_neutral:.1f} %"
    if isinstance(baseline, BaselineValue):
        values = [baseline.median, baseline.farthest, baseline.neutral]
        return [task, *(f"{v:.4g}" for v in values), share]
    return [task, f"{baseline.median:.4f}", f"{baseline.max:.4f}", share]


# What a model cannot do, as far as its description tells.

_FEW_ACTIVES = 20
_NAMED_TASKS = 10
_OF_THE_TOP = ("pr_auc", "bedroc", "ef_1")


def known_limits(info: ModelInfo) -> list[str]:
    """Sentences about what a model cannot do.

    Parameters
    ----------
    info : ModelInfo
        The model's description; its own ``known_limits`` come first.

    Returns
    -------
    list of str
    """
    schema = FeatureSchema.from_dict(info.feature_schema)
    return [
        *info.known_limits,
        *_calibration(info),
        *_few_actives(info),
        *_better_methods(info),
        *_reach(info, schema),
        *_unseen(info, schema),
        _unlike_training(info),
        "Attributions say what the network uses, which need not be what binds.",
    ]


def _calibration(info: ModelInfo) -> list[str]:
    """Whether a score can be read as a hit rate."""
    if info.objective is Objective.REGRESSION:
        return []
    weight = info.training.positive_weight if info.training else 1.0
    if weight == 0:
        text = (
            "Scores are made for ranking and were not calibrated: a library with another hit rate than the "
            "training data needs other probabilities."
        )
    elif weight == 1:
        text = (
            "Scores are made for ranking. In training the actives of a task weighed as much as all inactives "
            "together, so a score is not a hit rate: 0.5 stands for about the average hit rate of the assay."
        )
    else:
        text = (
            "Scores are made for ranking. In training an active weighed more than an inactive, so a score is "
            "higher than the hit rate."
        )
    brier = info.median_figure(info.held_out, "brier") if info.held_out else None
    if brier is not None:
        text += f" Median Brier score on the {info.held_out} part {brier:.3f}."
    return [text]


def _few_actives(info: ModelInfo) -> list[str]:
    tasks = info.metrics.get(info.held_out or "", {})
    few = [n for n, m in tasks.items() if isinstance(m, RankingQuality) and m.n_actives < _FEW_ACTIVES]
    if not few:
        return []
    named = ", ".join(few[:_NAMED_TASKS]) + (", ..." if len(few) > _NAMED_TASKS else "")
    count = "1 task has" if len(few) == 1 else f"{len(few)} tasks have"
    return [f"{count} fewer than {_FEW_ACTIVES} held-out actives, so their figures are uncertain: {named}."]


def _better_methods(info: ModelInfo) -> list[str]:
    """Simple methods with higher figures than the network's at the top of the ranking."""
    found = info.cross_validation
    named = []
    for method, other in (found.baselines if found else {}).items():
        lost = {name: test for name, test in other.tests.items() if test.mostly_lost}
        if any(name in lost for name in _OF_THE_TOP):
            figures = [_lost_in(f.heading, lost[f.name]) for f in SCREENING if f.name in lost]
            named.append(f"{method} in {', '.join(figures)}")
    if not named:
        return []
    where = "" if found and len(found.tasks) == 1 else " in most tasks"
    return [
        f"In the evaluation above simpler methods have higher figures{where}: {'; '.join(named)}. "
        "PR-AUC, BEDROC and EF 1 % judge the top of the ranking, which is what a screen takes its compounds "
        "from."
    ]


def _lost_in(heading: str, test: TasksWon) -> str:
    return f"{heading} ({test.losses} of {test.n_tasks} tasks)" if test.n_tasks > 1 else heading


def _reach(info: ModelInfo, schema: FeatureSchema) -> list[str]:
    """How much of its surroundings an atom knows."""
    modules, distance = info.network.n_modules, schema.max_pair_distance
    if modules == 1:
        return [
            "Degenerate network: with one Weave module an atom knows its own features and those of its "
            "pairs, not what its neighbours are. Atoms of one type with the same bonds get the same "
            "attribution whatever they are bonded to. It is an exhibit, not a model to screen with."
        ]
    if distance is None:
        return []
    # What an atom is goes to its pairs in one module, and from them to their other atoms in the next.
    known = modules // 2 * distance
    return [
        f"An atom knows what the atoms up to {known} bonds away are; larger pieces count by what they "
        "contain, not by how they are joined."
    ]


def _unseen(info: ModelInfo, schema: FeatureSchema) -> list[str]:
    """Properties of molecules that no input column holds."""
    atom, pair = ({block.name for block in schema.blocks(level)} for level in ("atom", "pair"))
    blind = []
    if "formal_charge" not in atom:
        blind.append("formal charge")
    if "chirality" not in atom:
        blind.append("chirality (enantiomers score the same)")
    if info.molecules.hydrogens is not Hydrogens.EXPLICIT:
        blind.append("the number of hydrogens")
    if "ring_sizes" not in atom and "same_ring" not in pair:
        blind.append("rings (beyond aromatic bonds)")
    blind += ["double-bond geometry", "isotopes", "conformation"]
    return [f"It does not see {', '.join(blind[:-1])} or {blind[-1]}."]


def _unlike_training(info: ModelInfo) -> str:
    text = "Scores of molecules unlike those it was trained on mean little"
    if info.applicability is not None:
        return f"{text}: look at the applicability flag (`molig screen --applicability`)."
    return f"{text}; this model does not say which those are."


# What a model card says about the model's audit.

_ORDER = ("failed", "error", "warning", "info", "ok", "skipped")


def audit_section(audit: AuditSummary | None) -> list[str]:
    """Findings of the last audit, and which checks were made.

    Parameters
    ----------
    audit : AuditSummary, optional
        Without one there is no section.

    Returns
    -------
    list of str
        Paragraphs of Markdown.
    """
    if audit is None:
        return []
    by_status: dict[str, list[str]] = defaultdict(list)
    for name, status in audit.checks.items():
        by_status[status].append(name)
    told = "; ".join(f"{status}: {', '.join(by_status[status])}" for status in _ORDER if by_status[status])
    text = (
        f"## Audit\n\n{audit.n_molecules:,} molecules ({audit.source}), {audit.n_explained:,} of them "
        f"explained, seed {audit.seed}. Checks by result: {told}."
    )
    if audit.command:
        text += f" Repeat it with `{audit.command}`."
    if not audit.findings:
        return [text]
    rows = [[found.severity, found.check, found.summary] for found in audit.findings]
    return [text, table(["severity", "check", "finding"], rows)]


# What a model card says about the evaluation of the model's recipe, beside other methods.


def cross_validation_section(found: CrossValidation | None) -> list[str]:
    """Quality of the recipe over folds, and the comparison to simple methods.

    Parameters
    ----------
    found : CrossValidation, optional
        Without one there is no section.

    Returns
    -------
    list of str
        The section in Markdown, if there is one.
    """
    if found is None:
        return []
    title = "Cross-validation" if found.folds > 1 else "Evaluation of the recipe"
    source = f" Full results: `{found.source}`." if found.source else ""
    parts = [f"## {title}\n\n{_how(found)}{source}"]
    if not found.same_weights:  # else the table of the test part says it all
        parts.append(_tasks_table(found))
    return ["\n\n".join([*parts, *_comparison(found)])]


def _how(found: CrossValidation) -> str:
    """Which molecules were scored by which weights."""
    if found.folds > 1:
        return (
            f"Means over {found.folds} {found.scheme} folds (seed {found.seed}) of networks trained by the "
            "same recipe, not of these weights."
        )
    if found.same_weights:
        return f"Test part of the {found.scheme} split, scored by these weights: the figures are those above."
    return (
        f"Test part of the {found.scheme} split, scored by a network trained by the same recipe, not of "
        "these weights."
    )


def _tasks_table(found: CrossValidation) -> str:
    known = {name for task in found.tasks.values() for name, value in task.items() if value is not None}
    figures = [f for f in (*SCREENING, *REGRESSION) if f.name in known]
    rows = [[task, *(shown(m.get(f.name), f.form) for f in figures)] for task, m in found.tasks.items()]
    if len(rows) > 1:
        medians = ["" if f.name in OF_UNITS else shown(found.medians.get(f.name), f.form) for f in figures]
        rows.append(["**median**", *medians])
    return table(["task", *(f.heading for f in figures)], rows)


def _comparison(found: CrossValidation) -> list[str]:
    """The other methods: tasks won and lost against each, figure by figure."""
    if not found.baselines:
        return []
    known = {name for other in found.baselines.values() for name in other.tests}
    figures = [f for f in SCREENING if f.name in known]
    rows = [
        [name, f"{other.median_auc:.3f}", *(_won_and_lost(other.tests.get(f.name)) for f in figures)]
        for name, other in found.baselines.items()
    ]
    several = any(test.n_tasks > 1 for other in found.baselines.values() for test in other.tests.values())
    p = "; p is that of a two-sided sign test" if several else ""
    where = "folds" if found.folds > 1 else "molecules"
    return [
        f"Other methods on the same {where}, with tasks won : lost against each: those in which the network "
        f"has the higher figure, and the lower one{p}.",
        table(["method", "median ROC-AUC", *(f"won : lost in {f.heading}" for f in figures)], rows),
    ]


def _won_and_lost(test: TasksWon | None) -> str:
    if test is None:
        return "n/a"
    # One task can be won or lost, but says nothing about the next.
    p = f" (p {test.p_value:.2g})" if test.n_tasks > 1 else ""
    return f"{test.wins} : {test.losses}{p}"


_ELEMENTS_SHOWN = 30


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
    sections = [
        f"# {info.name}",
        _what_it_is(info),
        _intended_use(info),
        *_data(info.training),
        *quality_sections(info),
        *cross_validation_section(info.cross_validation),
        *baseline_section(info),
        *_applicability(info.applicability),
        *audit_section(info.audit),
        bullets("Known limits", known_limits(info)),
        *_reproduction(info),
    ]
    return "\n\n".join(sections) + "\n"


def _what_it_is(info: ModelInfo) -> str:
    schema, network = FeatureSchema.from_dict(info.feature_schema), info.network
    reach = (
        "at any distance"
        if schema.max_pair_distance is None
        else f"up to {schema.max_pair_distance} bonds apart"
    )
    modules = "1 module" if network.n_modules == 1 else f"{network.n_modules} modules"
    outputs = (
        "a value in the unit of the labels"
        if info.objective is Objective.REGRESSION
        else "a score between 0 and 1, high for likely actives"
    )
    policy = info.molecules
    standard = (
        "The largest fragment counts, neutralised where possible (policy `parent`)"
        if policy.standardization is StandardizationPolicy.PARENT
        else f"Molecules are standardised by the policy `{policy.standardization.value}`"
    )
    hydrogens = " Hydrogens are atoms of the graph." if policy.hydrogens is Hydrogens.EXPLICIT else ""
    tasks = "1 task" if len(info.tasks) == 1 else f"{len(info.tasks)} tasks"
    return (
        f"Weave network of {modules} on atom pairs {reach} (features `{schema.name}`: "
        f"{schema.n_atom_columns} columns per atom, {schema.n_pair_columns} per pair; "
        f"{network.readout.value} readout, {network.activation.value}). For each of {tasks} it gives "
        f"{outputs}. {standard}; more than {policy.max_heavy_atoms} heavy atoms are refused.{hydrogens}"
    )


def _intended_use(info: ModelInfo) -> str:
    if info.objective is Objective.REGRESSION:
        purpose = "Predicting the values below for compounds like those of the training data"
    else:
        purpose = "Ranking compound libraries for the assays below"
    return (
        f"## Intended use\n\n{purpose}, to choose what to test next, and explaining each score atom by atom. "
        "A score replaces no experiment, and no decision about safety or treatment may rest on it."
    )


def _data(training: Provenance | None) -> list[str]:
    if training is None:
        return []
    items = [
        f"File `{training.data_file}`, SHA-256 `{training.data_sha256}`",
        *([f"Source: {training.data_source}"] if training.data_source else []),
        *([f"Licence: {training.data_licence}"] if training.data_licence else []),
        f"{training.n_rows:,} rows, {training.n_rejected:,} of them unusable",
    ]
    if training.label_conflicts:
        items.append(f"Copies of a molecule with different labels: {_pairs(training.label_conflicts)}")
    items += [
        f"Learned along, though the model does not tell it: {each.name} (`{each.file}`, SHA-256 "
        f"`{each.sha256}`), {each.n_tasks} task{'' if each.n_tasks == 1 else 's'}, {each.n_molecules:,} "
        f"molecules; {each.n_left_out:,} left out that are held out here"
        for each in training.auxiliary
    ]
    return [bullets("Data", items), bullets("Split", _split(training))]


def _split(training: Provenance) -> list[str]:
    copies = "copies of a molecule together"
    if training.split.get("kind") == "given":
        copies = (
            f"copies of a molecule as given: {training.n_test_in_train} of the test part are also in training"
        )
    return [
        f"{_pairs(training.split)}; {copies}",
        f"{training.n_train:,} / {training.n_validation:,} / {training.n_test:,} molecules for training / "
        "validation / test",
    ]


def _pairs(values: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _applicability(domain: ApplicabilityInfo | None) -> list[str]:
    if domain is None:
        return []
    shown = list(domain.elements.items())[:_ELEMENTS_SHOWN]
    rest = len(domain.elements) - len(shown)
    listed = [f"{symbol} {count:,}" for symbol, count in shown] + ([f"{rest} more"] if rest else [])
    sizes = domain.heavy_atoms
    reference = (
        f"all {domain.n_reference:,} different training molecules"
        if domain.n_reference == domain.n_molecules
        else f"{domain.n_reference:,} of {domain.n_molecules:,} different training molecules, drawn at random"
    )
    quantiles = [f"{value:.2f}" for value in domain.similarity.values()]
    return [
        "## Applicability\n\n"
        f"Quantiles of the similarity (Tanimoto, Morgan radius {domain.radius}, {domain.n_bits} bits) of a "
        f"training molecule to the nearest other, over {reference}:\n\n"
        + table([f"{q} %" for q in domain.similarity], [quantiles])
        + f"\n\nA molecule whose nearest of these is less similar than {domain.threshold:.2f}, or that is "
        "smaller or larger than all training molecules, is flagged as far from training; one with an element "
        "or feature that no training molecule had, as an unseen feature.\n\n"
        f"- Heavy atoms: {sizes.min} to {sizes.max}; 98 % of the molecules have {sizes.q1:.0f} to "
        f"{sizes.q99:.0f}\n"
        f"- Elements (molecules): {', '.join(listed)}"
    ]


def _reproduction(info: ModelInfo) -> list[str]:
    training = info.training
    if training is None:
        return []
    versions = ", ".join(f"{name} {version}" for name, version in training.versions.items())
    return [
        f"## Reproduction\n\n```\n{training.command}\n```\n\n"
        f"Seed {training.seed}; {_epoch(training)}. {versions}; {training.date}."
    ]


def _epoch(training: Provenance) -> str:
    """Which epoch's weights these are."""
    if training.keep == "last":
        return f"{training.epochs_run} epochs, of which the last was kept"
    kept = f"epoch {training.best_epoch} of {training.epochs_run}"
    return f"{kept} was the best on the validation part" if training.keep else f"{kept} was kept"
