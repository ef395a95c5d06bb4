"""`molig train`: from a table to a model directory."""

from __future__ import annotations

import contextlib
import itertools
import math
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.options import (
    CsvSafeOption,
    DelimiterOption,
    DeviceOption,
    LabelsOption,
    OldLabelsOption,
    QuietOption,
    SmilesColumnOption,
    ThreadsOption,
    input_option,
    label_columns,
    resolved_input,
)
from molig.files import count_rows

if TYPE_CHECKING:
    from molig.model import ModelInfo, ScreeningModel
    from molig.training import LabelledTable, Progress, Recipe


def _list_recipes(wanted: bool) -> None:
    """Print the recipes that come with molig, by data set, committees first."""
    if not wanted:
        return
    from molig.datasets import datasets
    from molig.datasets.places import locate_dataset
    from molig.training import bundled_recipes, read_recipe

    sets, recipes = list(datasets()), {name: read_recipe(name) for name in bundled_recipes()}

    def place(name: str) -> tuple[int, bool, str]:
        data = recipes[name].data.name
        return sets.index(data) if data else -1, not recipes[name].committee.others, name

    rows = []
    for name in sorted(recipes, key=place):
        data = recipes[name].data.name
        where = "any" if not data else data if locate_dataset(data) else f"{data} (to get)"
        rows.append([name, where, _about(bundled_recipes()[name])])
    print_table(["recipe", "data set", "what"], rows, whole=["recipe"])
    raise typer.Exit


def _about(recipe: Path) -> str:
    """The comment that a recipe begins with."""
    lines = recipe.read_text(encoding="utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return " ".join(line.removeprefix("#").strip() for line in comment)


def train(
    output: Annotated[Path, typer.Option("-o", "--output", help="Model directory to write.")],
    source: Annotated[
        Path | None,
        input_option("Table with SMILES and labels: a file, or a data set by name; default: the recipe's."),
    ] = None,
    label: LabelsOption = None,
    old_labels: OldLabelsOption = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]", show_default=False, help="The same as -i; further words are label columns."
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            help="classification or regression; default: the recipe's, or what a data set needs.",
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="TOML file with all choices, or the name of a bundled one.")
    ] = None,
    list_recipes: Annotated[
        bool,
        typer.Option(
            "--list-recipes", callback=_list_recipes, is_eager=True, help="List the bundled recipes."
        ),
    ] = False,
    active_above: Annotated[
        float | None,
        typer.Option("--active-above", help="Labels are values; this one and higher ones are active."),
    ] = None,
    active_below: Annotated[
        float | None,
        typer.Option("--active-below", help="Labels are values; this one and lower ones are active."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="stratified (default), random, scaffold, group, time or given."),
    ] = None,
    split_column: Annotated[
        str | None, typer.Option("--split-column", help="Column with the groups, times or given parts.")
    ] = None,
    validation: Annotated[
        float | None, typer.Option("--validation", help="Share of the molecules; default 0.1.")
    ] = None,
    test: Annotated[
        float | None, typer.Option("--test", help="Share of the molecules; default 0.1, and 0 for none.")
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--start-from", help="Model whose Weave network training starts from; none: random weights."
        ),
    ] = None,
    smiles_column: SmilesColumnOption = None,
    delimiter: DelimiterOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in the output.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a finished model in the output once the new one is done.")
    ] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    csv_safe: CsvSafeOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a model on a table of molecules and labels, and say how good it is on molecules held out.

    Without a recipe it is a committee: a Weave network and others on substructures, a random forest among
    them. Options overrule the recipe. Columns of values need a cut, or --objective regression. With --split
    group rows that say the same in the column stay together; with --split time the latest rows test.
    """
    from molig.training import TrainingRequest, train_model
    from molig.training.output import check_output
    from molig.training.recipe import DEFAULT_RECIPE, mixed_targets, read_recipe_and_table

    reporter = Reporter(quiet)
    use_threads(threads)
    source, more_labels = _table_and_labels(words or [], source)
    check_output(output, resume=resume, force=force)
    read, table = read_recipe_and_table(
        recipe or DEFAULT_RECIPE,
        source=source,
        targets=(*label_columns(label, old_labels, reporter), *more_labels),
        smiles_column=smiles_column,
        delimiter=delimiter,
    )
    chosen = read.with_cut(active_above, active_below).with_objective(objective, table).with_start(start_from)
    chosen = chosen.with_split(split, column=split_column, validation=validation, test=test)
    if table.note and chosen.split == read.split:
        reporter.warning(table.note)
    if mixture := mixed_targets(table):
        reporter.warning(mixture)
    reporter.info(_intention(chosen, table, Path(recipe or DEFAULT_RECIPE).stem))
    with _progress(reporter, chosen, count_rows(table.source)) as progress:
        request = TrainingRequest(
            source=table.source,
            output=output,
            targets=table.targets,
            recipe=chosen,
            smiles_column=table.smiles_column,
            delimiter=table.delimiter,
            device=device,
            resume=resume,
            force=force,
            csv_safe=csv_safe,
            folder=table.folder,
        )
        model = train_model(request, progress)
    _report(model, output, reporter)


# Before and while it is trained.


def _table_and_labels(words: list[str], source: Path | None) -> tuple[Path | None, list[str]]:
    """Of words without an option, the first is the table if -i names none and it looks like one."""
    if source is not None or not words:
        return source, words
    from molig.datasets import datasets

    first = Path(words[0])
    if first.exists() or words[0] in datasets() or first.suffix or first.parent != Path():
        return resolved_input(first), words[1:]
    return None, words


def _intention(recipe: Recipe, table: LabelledTable, name: str) -> str:
    """What is going to be done: labels and members, parts, and which epoch is kept."""
    from molig.training.recipe import SplitKind

    labels = ", ".join(table.targets[:_NAMED]) + (", ..." if len(table.targets) > _NAMED else "")
    kind = "values" if recipe.objective == "regression" else "active or not"
    *others, last = (_IN_WORDS.get(member, member) for member in recipe.committee.members)
    members = f"{', '.join(others)} and {last}" if others else last
    rules, fitting = recipe.split, recipe.optimization
    if rules.parts:
        parts = f"parts as {rules.parts} lists them"
    elif rules.kind is SplitKind.GIVEN:
        parts = f"parts as column {rules.column!r} says"
    else:
        by = f" by column {rules.column!r}" if rules.by_column else ""
        uses = ((rules.validation, "to choose by (validation)"), (rules.test, "to test"))
        shares = [f"{100 * share:g} % {use}" for share, use in uses if share]
        parts = ", ".join(
            [f"{rules.kind.value} split of the molecules{by}", *shares, "the others to train on"]
        )
    kept = (
        f"the best of at most {fitting.epochs} epochs on the validation part is kept"
        if fitting.keep == "best"
        else f"the last of {fitting.epochs} epochs is kept"
    )
    return (
        f"{table.source.name}: predicting {labels} ({kind}) with {members}; recipe {name}\n{parts}\n"
        f"{kept}; loss: error on the molecules to train on, lower is better"
    )


_IN_WORDS = {
    "weave": "a Weave network",
    "environments": "a network on substructures",
    "forest": "a random forest",
    "kernel": "a kernel machine",
}
_NAMED = 5


@contextlib.contextmanager
def _progress(reporter: Reporter, recipe: Recipe, n_rows: int | None) -> Iterator[Progress]:
    """A bar over the rows, then one over the epochs, with a line for each epoch that is judged."""
    from molig.training import Progress

    options, refit = recipe.optimization, recipe.committee.refit and recipe.committee.others
    passes = 2 if refit and (recipe.split.test or recipe.split.by_column) else 1
    quality = "R2" if recipe.objective == "regression" else "AUC"
    epochs_done: list[float] = []

    with contextlib.ExitStack() as bars:
        advance = {"rows": bars.enter_context(reporter.progress("reading", n_rows))}

        def begin_training() -> None:
            if "epochs" not in advance:
                bars.close()
                total = passes * options.epochs
                advance["epochs"] = bars.enter_context(reporter.progress("training", total, unit="epochs"))

        def stage(what: str) -> None:
            begin_training()
            reporter.info(what)

        def epoch(entry: dict[str, float]) -> None:
            begin_training()
            advance["epochs"](1)
            is_repeated = entry["epoch"] in epochs_done
            epochs_done.append(entry["epoch"])
            if is_repeated:  # nothing is held out to judge it by, but the test part
                return
            figure = entry.get(f"validation_{quality.lower()}")
            title = "R2" if quality == "R2" else "ROC-AUC"
            judged = "" if figure is None or math.isnan(figure) else f"  validation {title} {figure:.3f}"
            reporter.info(f"epoch {entry['epoch']:.0f}/{options.epochs}  loss {entry['loss']:.4f}{judged}")

        yield Progress(advance["rows"], epoch, reporter.warning, stage)


# When it is finished.


def _report(model: ScreeningModel, output: Path, reporter: Reporter) -> None:
    """Figures, what they mean, how the forest alone does, and what to do next."""
    info = model.info
    _print_figures(info)
    known = info.training
    if known:
        parts = {"train on": known.n_train, "choose by": known.n_validation, "test": known.n_test}
        reporter.info("molecules: " + ", ".join(f"{n:,} to {use}" for use, n in parts.items() if n))
    reporter.info(_MEANING["regression" if info.objective == "regression" else "classification"])
    if sentence := beside_the_forest(info):
        reporter.info(sentence)
    if known and known.n_test_in_train:
        reporter.warning(f"{known.n_test_in_train} of {known.n_test} test molecules have a copy in training")
    reporter.info(f"model: {output}")
    one = "" if len(info.tasks) == 1 or info.calibrated else f" --task {shlex.quote(info.tasks[0])}"
    reporter.info(
        f"molig screen library.smi -m {output}{one} ranks molecules; molig models {output} says more"
    )


_MEANING = {
    "classification": (
        "ROC-AUC: how often an active scores above an inactive (chance: 0.5). PR-AUC: chance is the share of "
        "actives. EF 1 %: times more actives in the first 1 % of the list than by chance"
    ),
    "regression": (
        "R2: share of the variance that is explained (0: no better than the mean). Spearman: agreement of "
        "ranks. RMSE: typical error, in the unit of the labels"
    ),
}


def _print_figures(info: ModelInfo) -> None:
    from molig.stats import RankingQuality

    part = info.held_out
    if part is None:
        return
    rows = []
    header = ["task", "ROC-AUC", "PR-AUC", "EF 1 %", "actives"]
    for task, m in info.metrics[part].items():
        if isinstance(m, RankingQuality):
            figures = [_written("roc_auc", m.roc_auc), _written("pr_auc", m.pr_auc), _written("ef_1", m.ef_1)]
            rows.append([task, *figures, f"{m.n_actives:,} of {m.n_actives + m.n_inactives:,}"])
        else:
            header = ["task", "R2", "Spearman", "RMSE", "molecules"]
            figures = [_written(name, getattr(m, name)) for name in ("r2", "spearman", "rmse")]
            rows.append([task, *figures, f"{m.n:,}"])
    print_table(header, rows, title=f"{info.name}: {part} part")


def _written(figure: str, value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1f}" if figure == "ef_1" else f"{value:.3f}"


def beside_the_forest(info: ModelInfo) -> str:
    """How good a committee is, in words, and how good the forest is that was trained beside it."""
    forest = next((m for m in info.committee.members if m.kind == "forest"), None) if info.committee else None
    part, known = info.held_out, info.training
    if forest is None or part is None:
        return ""
    regression = info.objective == "regression"
    names = {"rmse": "RMSE", "r2": "R2"} if regression else {"roc_auc": "ROC-AUC", "pr_auc": "PR-AUC"}
    if not regression and known and (known.n_test or known.n_validation) >= _ENOUGH:
        names["ef_1"] = "EF 1 %"
    pairs = {name: (info.median_figure(part, name), forest.figures.get(name)) for name in names}
    own, alone = next(iter(pairs.values()))
    if own is None or alone is None:
        return ""
    ends = None if regression or len(info.tasks) > 1 else _interval(info, part)
    figures = [
        f"{names[name]} {_written(name, ours)}"
        + (f" (95 % interval {ends[0]:.3f} to {ends[1]:.3f})" if ends and name == "roc_auc" else "")
        + f" against {_written(name, theirs)}"
        for name, (ours, theirs) in pairs.items()
        if ours is not None and theirs is not None
    ]
    level, doubt = _LEVEL * (max(own, alone) if regression else 1), ""
    if abs(own - alone) < level:
        word = "level with"
    else:
        word = "better than" if (own < alone) == regression else "worse than"
        if ends and ends[0] <= alone <= ends[1]:
            doubt = ", though not clearly"
    if len(info.tasks) > 1:
        figures[-1] += f"; medians over {len(info.tasks)} tasks"
    judged = f"on the {part} part the model is {word} a random forest on substructures{doubt}"
    return f"{judged}: {', '.join(figures)}"


def _interval(info: ModelInfo, part: str) -> tuple[float, float] | None:
    """Of the ROC-AUC of the only task: where another draw of as many molecules would put it."""
    from molig.stats import RankingQuality

    (of,) = info.metrics[part].values()
    return of.intervals.get("roc_auc") if isinstance(of, RankingQuality) else None


# Of a figure, of an error as its share: smaller differences are within the noise of a held-out part.
_LEVEL = 0.005

_ENOUGH = 1_000
"""Molecules of which the first 1 % are more than a handful."""
