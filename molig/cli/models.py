"""`molig models`: what can be named after -m."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, print_table
from molig.cli.options import QuietOption

if TYPE_CHECKING:
    from molig.foreign import ChempropModel, Ensemble
    from molig.model import ModelInfo
    from molig.model.info import RegressionMetrics
    from molig.stats import RankingQuality


def models(
    model: Annotated[
        list[str] | None,
        typer.Argument(
            help="Say more about one model: a bundled one, a directory, admet-ai, or files of Chemprop."
        ),
    ] = None,
    named: Annotated[list[str] | None, typer.Option("-m", "--model", help="The same.")] = None,
    quiet: QuietOption = False,
) -> None:
    """List the bundled models, or describe one: what it predicts, how well, and how to use it."""
    if asked := [*(model or []), *(named or [])]:
        _describe(asked)
        return
    from molig.foreign.admet_ai import is_installed
    from molig.model.listing import first_figure, listed_models

    infos = listed_models()
    quality = " or ".join(dict.fromkeys(first_figure(info)[1] for info in infos.values()))
    rows = [
        [name, _predicts(info), _kind(info), *_figures(info, named=" or " in quality)]
        for name, info in infos.items()
    ]
    if is_installed():
        rows.append(["admet-ai", "ADMET: 41 tasks, by the installed package", "Chemprop", "n/a", ""])
    print_table(["model", "predicts", "kind", quality, "EF 1 %"], rows, whole=["model"])
    reporter = Reporter(quiet)
    reporter.info(
        "figures: median over the tasks, on molecules held out from training. EF 1 %: how many times more "
        "actives are in the first 1 % of the list than by chance"
    )
    reporter.info(
        "molig models NAME says more about one; molig train --list-recipes lists what can be trained"
    )


def _describe(names: list[str]) -> None:
    """Print what a model predicts, from what data, how well, what its scores mean, and how to use it."""
    from molig.errors import UsageError
    from molig.foreign import ChempropModel, is_foreign, load_any_model
    from molig.foreign.fingerprints import ESTIMATOR_SUFFIXES
    from molig.model import bundled_models, load_info
    from molig.model.files import find_model

    name = names[0]
    if on_bits := [each for each in names if Path(each).suffix in ESTIMATOR_SUFFIXES]:
        raise UsageError(
            f"{on_bits[0]} is a model on fingerprints, which says no more about itself than it scores; molig "
            "screen and molig explain take it"
        )
    if len(names) > 1 or is_foreign(name) or not (Path(name).is_dir() or name in bundled_models()):
        loaded = load_any_model(names)  # which knows what is wrong with a name
        if isinstance(loaded, ChempropModel):
            _describe_chemprop(loaded, names)
            return
    directory = find_model(name)
    info = load_info(directory)
    facts = [
        ["predicts", _predicts(info)],
        ["score", _score(info)],
        ["quality", _quality(info)],
        *_data(info),
        ["members", _members(info)],
        ["size", _size(directory)],
        ["directory", str(directory)],
        ["to rank", f"molig screen library.smi -m {name}{_task_to_rank(info)} -o hits.csv"],
        ["to explain", f"molig explain -m {name} --smiles CCO -o why.html"],
    ]
    print_table(["", info.name], facts, whole=[""])
    _print_members(info)
    _print_tasks(info)


def _task_to_rank(info: ModelInfo) -> str:
    """The option that says by which task to rank, where scores of several are not calibrated."""
    return "" if len(info.tasks) == 1 or info.calibrated else f" --task {shlex.quote(info.tasks[0])}"


def _describe_chemprop(model: ChempropModel, names: list[str]) -> None:
    """Print what networks of Chemprop predict, read and look like; the files do not say how well."""
    from molig.foreign import AdmetAI

    every = " --task all" * (len(model.tasks) > 1)
    named = " ".join(f"-m {shlex.quote(name)}" for name in names)
    facts = [
        ["predicts", f"{len(model.tasks)} task{'s' * (len(model.tasks) > 1)}"],
        ["score", model.meaning_of(model.tasks)],
        ["quality", "not recorded in files of Chemprop"],
        *([f"networks {i}" if i > 1 else "networks", _networks(e)] for i, e in enumerate(model.ensembles, 1)),
        ["reads", _inputs(model)],
        ["molecules", model.parser.in_words],
        ["to rank", f"molig screen library.smi {named}{every} -o hits.csv"],
        [
            "to explain",
            f"molig explain {named} --smiles CCO --task {shlex.quote(model.tasks[0])} -o why.html",
        ],
    ]
    print_table(["", model.name], facts, whole=[""])
    units = model.units if isinstance(model, AdmetAI) else {}
    rows = [
        [task, "probability", ""]
        if objective == "classification"
        else [task, "value", units.get(task, "n/a")]
        for task, objective in zip(model.tasks, model.objectives, strict=True)
    ]
    print_table(["task", "predicts", "unit"], rows)


_POOLED = {
    "mean": "mean",
    "sum": "sum",
    "norm": "sum, divided by a constant,",
    "attentive": "weighted mean",
}


def _networks(ensemble: Ensemble) -> str:
    first = ensemble.networks[0]
    passing, pooled = first.message_passing.passing, _POOLED[first.aggregation.kind]
    along = "directed bonds" if passing.along_bonds else "atoms"
    return (
        f"{len(ensemble.networks)} of Chemprop v2 ({ensemble.head.value}): messages along {along}, depth "
        f"{passing.depth}, states of {first.sizes.hidden}, {pooled} of all atoms"
    )


def _inputs(model: ChempropModel) -> str:
    sizes = model.sizes
    text = f"{sizes.atom} features of each atom and {sizes.bond} of each bond ({model.preset})"
    extra = [
        f"{n} descriptors of each {what}"
        for n, what in ((sizes.descriptors, "molecule"), (sizes.atom_descriptors, "atom"))
        if n
    ]
    return f"{text}, and {' and '.join(extra)}, which the command line cannot give" if extra else text


def _print_members(info: ModelInfo) -> None:
    if info.committee is None:
        return
    columns = list(dict.fromkeys(name for member in info.committee.members for name in member.figures))
    rows = [
        [
            member.name,
            f"{sum(member.weights) / len(member.weights):.2f}",
            f"{member.n_columns:,}" if member.n_columns else "",
            *(_number(column, member.figures.get(column)) for column in columns),
        ]
        for member in info.committee.members
    ]
    print_table(["member", "weight", "substructures", *map(_heading, columns)], rows, whole=["member"])


_OF_TASKS = ("roc_auc", "pr_auc", "bedroc", "ef_1", "r2", "rmse", "spearman")


def _print_tasks(info: ModelInfo) -> None:
    """Print the figures of each task on the part that the model is judged by."""
    from molig.model.listing import first_figure, task_meanings

    metrics = info.metrics.get(info.held_out or "", {})
    if not metrics:
        return
    figures = [name for name in _OF_TASKS if any(hasattr(of, name) for of in metrics.values())]
    meanings = task_meanings(info)
    rows = [
        [
            f"{task}: {meanings[task]}" if task in meanings else task,
            *(_number(name, getattr(of, name)) for name in figures),
            _molecules(of),
        ]
        for task, of in metrics.items()
    ]
    counted = "molecules" if first_figure(info)[0] == "r2" else "actives"
    header = [f"task ({info.held_out} part)", *map(_heading, figures), counted]
    print_table(header, rows)


def _molecules(of: RankingQuality | RegressionMetrics) -> str:
    from molig.stats import RankingQuality

    if isinstance(of, RankingQuality):
        return f"{of.n_actives:,} of {of.n_actives + of.n_inactives:,}"
    return f"{of.n:,}"


def _heading(figure: str) -> str:
    from molig.stats.ranking import FIGURES

    known = {"rmse": "RMSE", "r2": "R2"}
    return FIGURES[figure].title if figure in FIGURES else known.get(figure, figure.capitalize())


def _number(figure: str, value: float | None) -> str:
    from molig.stats.ranking import FIGURES

    if value is None:
        return "n/a"
    return f"{value:.{FIGURES[figure].decimals if figure in FIGURES else 3}f}"


def _predicts(info: ModelInfo) -> str:
    from molig.model.listing import predicts

    return predicts(info) or "n/a"


def _score(info: ModelInfo) -> str:
    """What a score means, and which end of the list is the interesting one."""
    from molig.model import Objective

    if info.objective is Objective.REGRESSION:
        return "a value in the unit of the labels"
    if info.calibrated:
        return (
            "a calibrated probability: of molecules with a score of 0.8, about 80 % should be active, where "
            "actives are as common as in the data below"
        )
    return "from 0 to 1, higher for likelier actives; for ranking, no calibrated probability"


def _kind(info: ModelInfo) -> str:
    return "committee" if info.committee else "network"


def _members(info: ModelInfo) -> str:
    return ", ".join(m.name for m in info.committee.members) if info.committee else "weave alone"


def _data(info: ModelInfo) -> list[list[str]]:
    """Table, numbers of molecules, terms and sources of the training data."""
    known = info.training
    if known is None:
        return []
    rules = known.split
    dealt = f"{rules['kind']} split" if "kind" in rules else f"parts listed in {rules.get('parts', 'a file')}"
    parts = (("to train on", known.n_train), ("to choose by", known.n_validation), ("to test", known.n_test))
    counts = ", ".join(f"{n:,} {what}" for what, n in parts if n)
    citations = known.data_source.split("; ")[1:]
    facts = [["data", f"molecules of {known.data_file}: {counts} ({dealt}); {known.date}"]]
    if known.data_licence:
        facts.append(["licence", known.data_licence])
    return facts + [["" if i else "please cite", each] for i, each in enumerate(citations)]


def _size(directory: Path) -> str:
    """Of the files that a model is read from."""
    from molig.model.domain import APPLICABILITY_FILE
    from molig.model.files import INFO_FILE, MEMBERS_FILE, WEIGHTS_FILE

    files = (directory / name for name in (INFO_FILE, WEIGHTS_FILE, MEMBERS_FILE, APPLICABILITY_FILE))
    return f"{sum(file.stat().st_size for file in files if file.exists()) / 1e6:.1f} MB"


def _figures(info: ModelInfo, *, named: bool) -> tuple[str, str]:
    """Median of the first figure, by name where a list has several, and enrichment; held-out molecules."""
    from molig.model.listing import first_figure

    part, (figure, title) = info.held_out, first_figure(info)
    median = info.median_figure(part, figure) if part else None
    if part is None or median is None:
        return "n/a", "n/a"
    early = info.median_figure(part, "ef_1")
    # Such a figure may be flattered: the part may have chosen the epoch.
    where = " (validation)" if part == "validation" else ""
    return (f"{title} " if named else "") + f"{median:.3f}{where}", "" if early is None else f"{early:.1f}"


def _quality(info: ModelInfo) -> str:
    first, early = _figures(info, named=True)
    of = f"median over {len(info.tasks)} tasks" if len(info.tasks) > 1 else "one task"
    return f"{first}, EF 1 % {early}; {of}" if early not in ("", "n/a") else f"{first}; {of}"
