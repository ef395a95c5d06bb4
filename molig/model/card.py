"""Model cards: what ``model.json`` says, for people."""

from __future__ import annotations

from molig.features import FeatureSchema
from molig.model.info import ModelInfo, Provenance, TaskMetrics


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
        f"{network.readout.value} readout, {network.activation.value}). For each task it gives the "
        "probability of being active under classes of equal weight: made for ranking, not calibrated to a "
        "hit rate.",
        f"Molecules are standardised by the policy `{info.molecules.standardization.value}`; more than "
        f"{info.molecules.max_heavy_atoms} heavy atoms are refused.",
        *_metrics(info),
        *_baseline(info),
        *_training(info.training),
        _limits(),
    ]
    return "\n\n".join(sections) + "\n"


def _metrics(info: ModelInfo) -> list[str]:
    parts = []
    for part, tasks in info.metrics.items():
        median = info.median_auc(part)
        line = "No task has both classes." if median is None else f"Median ROC-AUC {median:.3f}."
        rows = [_metric_row(task, m) for task, m in tasks.items()]
        header = ["| task | ROC-AUC | PR-AUC | actives | inactives |", "|---|---|---|---|---|"]
        parts.append("\n".join([f"## Quality on the {part} part", "", line, "", *header, *rows]))
    return parts


def _metric_row(task: str, metrics: TaskMetrics) -> str:
    areas = ["n/a" if a is None else f"{a:.3f}" for a in (metrics.roc_auc, metrics.pr_auc)]
    return f"| {task} | {areas[0]} | {areas[1]} | {metrics.n_actives} | {metrics.n_inactives} |"


def _baseline(info: ModelInfo) -> list[str]:
    if not info.baseline:
        return []
    rows = [
        f"| {task} | {b.median:.4f} | {b.max:.4f} | {100 * b.share_neutral:.1f} % |"
        for task, b in info.baseline.items()
    ]
    text = [
        "## Baseline",
        "",
        "Probability when all atom and pair features are zero and the graph stays; attributions add up to "
        "the score minus this.",
        "",
        "| task | median | largest | molecules at most 0.02 |",
        "|---|---|---|---|",
        *rows,
    ]
    return ["\n".join(text)]


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
        "for training / validation / test, copies of a molecule together\n"
        f"- Seed {training.seed}; best of {training.epochs_run} epochs: {training.best_epoch}\n"
        f"- {versions}; {training.date}\n\n"
        f"```\n{training.command}\n```"
    ]


def _limits() -> str:
    return (
        "## Limits\n\nScores of molecules unlike those it was trained on mean little. Attributions say what "
        "the network uses, which need not be what binds."
    )
