"""Model cards: what ``model.json`` says, for people."""

from __future__ import annotations

from molig.features import FeatureSchema
from molig.model.info import (
    BaselineScore,
    BaselineValue,
    ModelInfo,
    Objective,
    Provenance,
    RegressionMetrics,
    TaskMetrics,
)
from molig.molecules import Hydrogens


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
    reach = (
        "at any distance"
        if schema.max_pair_distance is None
        else f"up to {schema.max_pair_distance} bonds apart"
    )
    network = info.network
    sections = [
        f"# {info.name}",
        f"Weave network of {network.n_modules} modules on atom pairs {reach} "
        f"(features `{schema.name}`: {schema.n_atom_columns} columns per atom, "
        f"{schema.n_pair_columns} per pair; "
        f"{network.readout.value} readout, {network.activation.value}). {_outputs(info)}",
        f"Molecules are standardised by the policy `{info.molecules.standardization.value}`; more than "
        f"{info.molecules.max_heavy_atoms} heavy atoms are refused.{_hydrogens(info)}",
        *_metrics(info),
        *_baseline(info),
        *_training(info.training),
        _limits(),
    ]
    return "\n\n".join(sections) + "\n"


def _outputs(info: ModelInfo) -> str:
    if info.objective is Objective.REGRESSION:
        return "For each task it gives a value in the unit of the labels."
    return (
        "For each task it gives the probability of being active under classes of equal weight: made for "
        "ranking, not calibrated to a hit rate."
    )


def _hydrogens(info: ModelInfo) -> str:
    if info.molecules.hydrogens is Hydrogens.EXPLICIT:
        return " Hydrogens are atoms of the graph."
    return ""


def _metrics(info: ModelInfo) -> list[str]:
    parts = []
    for part, tasks in info.metrics.items():
        if info.objective is Objective.REGRESSION:
            median, name, without = info.median_r2(part), "R2", "No task has different values."
            header = ["| task | R2 | RMSE | Spearman | molecules |", "|---|---|---|---|---|"]
        else:
            median, name, without = info.median_auc(part), "ROC-AUC", "No task has both classes."
            header = ["| task | ROC-AUC | PR-AUC | actives | inactives |", "|---|---|---|---|---|"]
        line = without if median is None else f"Median {name} {median:.3f}."
        rows = [_metric_row(task, m) for task, m in tasks.items()]
        parts.append("\n".join([f"## Quality on the {part} part", "", line, "", *header, *rows]))
    return parts


def _metric_row(task: str, metrics: TaskMetrics | RegressionMetrics) -> str:
    if isinstance(metrics, RegressionMetrics):
        cells = [_shown(metrics.r2), _shown(metrics.rmse, ".4g"), _shown(metrics.spearman), str(metrics.n)]
    else:
        areas = [_shown(metrics.roc_auc), _shown(metrics.pr_auc)]
        cells = [*areas, str(metrics.n_actives), str(metrics.n_inactives)]
    return f"| {' | '.join([task, *cells])} |"


def _shown(value: float | None, form: str = ".3f") -> str:
    return "n/a" if value is None else format(value, form)


def _baseline(info: ModelInfo) -> list[str]:
    if not info.baseline:
        return []
    if info.objective is Objective.REGRESSION:
        what, header = "Value", "| task | median | farthest | neutral value | molecules near it |"
    else:
        what, header = "Probability", "| task | median | largest | molecules at most 0.02 |"
    text = [
        "## Baseline",
        "",
        f"{what} when all atom and pair features are zero and the graph stays; attributions add up to "
        "the score minus this.",
        "",
        header,
        "|---" * (header.count("|") - 1) + "|",
        *(_baseline_row(task, b) for task, b in info.baseline.items()),
    ]
    if info.objective is Objective.REGRESSION:
        text += ["", "Near: within a tenth of the standard deviation of the training labels."]
    return ["\n".join(text)]


def _baseline_row(task: str, baseline: BaselineScore | BaselineValue) -> str:
    share = f"{100 * baseline.share_neutral:.1f} %"
    if isinstance(baseline, BaselineValue):
        values = [baseline.median, baseline.farthest, baseline.neutral]
        return f"| {' | '.join([task, *(f'{v:.4g}' for v in values), share])} |"
    return f"| {task} | {baseline.median:.4f} | {baseline.max:.4f} | {share} |"


def _training(training: Provenance | None) -> list[str]:
    if training is None:
        return []
    versions = ", ".join(f"{name} {version}" for name, version in training.versions.items())
    split = ", ".join(f"{key} {value}" for key, value in training.split.items())
    return [
        "## Training\n\n"
        f"- Data: `{training.data_file}`, {training.n_rows} rows, {training.n_rejected} rejected; "
        f"SHA-256 `{training.data_sha256}`\n"
        f"- Split: {split}; {training.n_train} / {training.n_validation} / {training.n_test} molecules "
        f"for training / validation / test, {_copies(training)}\n"
        f"- Seed {training.seed}; best of {training.epochs_run} epochs: {training.best_epoch}\n"
        f"- {versions}; {training.date}\n\n"
        f"```\n{training.command}\n```"
    ]


def _copies(training: Provenance) -> str:
    if training.split.get("kind") == "given":
        return (
            f"copies of a molecule as given: {training.n_test_in_train} of the test part are also in training"
        )
    return "copies of a molecule together"


def _limits() -> str:
    return (
        "## Limits\n\nScores of molecules unlike those it was trained on mean little. Attributions say what "
        "the network uses, which need not be what binds."
    )
