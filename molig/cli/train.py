"""`molig train`: from a table to a model directory."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, count_rows, print_table, use_threads
from molig.cli.options import (
    CsvSafeOption,
    DelimiterOption,
    DeviceOption,
    QuietOption,
    SmilesColumnOption,
    ThreadsOption,
    input_option,
)

if TYPE_CHECKING:
    from molig.model import ModelInfo, ScreeningModel


def train(
    output: Annotated[Path, typer.Option("-o", "--output", help="Model directory to write.")],
    source: Annotated[
        Path | None,
        input_option("Table with SMILES and labels: a file, or a data set by name; default: the recipe's."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", help="Label columns: 1, 0, active, inactive, yes, no ... or empty; or values."
        ),
    ] = None,
    more_targets: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="TOML file with all choices, or the name of a bundled one.")
    ] = None,
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
    """Train a model on a table of molecules and labels.

    Options overrule the recipe. Columns of values need a cut, or objective = "regression" in a recipe. With
    --split group rows that say the same in the column stay together; with --split time the latest rows test.
    """
    from molig.model import Objective
    from molig.training import Progress, TrainingRequest, train_model
    from molig.training.output import check_output
    from molig.training.recipe import DEFAULT_RECIPE, read_recipe_and_table, with_cut, with_split

    reporter = Reporter(quiet)
    use_threads(threads)
    check_output(output, resume=resume, force=force)
    targets = (*(target or []), *(more_targets or []))
    chosen, table = read_recipe_and_table(
        recipe or DEFAULT_RECIPE,
        source=source,
        targets=targets,
        smiles_column=smiles_column,
        delimiter=delimiter,
    )
    read = chosen
    chosen = with_cut(chosen, active_above, active_below)
    chosen = with_split(chosen, split, column=split_column, validation=validation, test=test)
    if table.note and chosen.split == read.split:
        reporter.warning(table.note)
    epochs = chosen.optimization.epochs
    refit = chosen.committee.refit and chosen.committee.others
    passes = 2 if refit and (chosen.split.test or chosen.split.by_column) else 1
    quality = "R2" if chosen.objective is Objective.REGRESSION else "AUC"

    def report(entry: dict[str, float]) -> None:
        advance_epochs(1)
        figure = entry.get(f"validation_{quality.lower()}")
        judged = "" if figure is None else f"  validation {quality} {figure:.4f}"
        reporter.info(
            f"epoch {entry['epoch']:.0f}/{epochs}  loss {entry['loss']:.4f}  "
            f"neutral {entry['neutral']:.4f}{judged}"
        )

    with (
        reporter.progress("reading", count_rows(table.source)) as advance_rows,
        reporter.progress("training", passes * epochs, unit="epochs") as advance_epochs,
    ):
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
        model = train_model(request, Progress(advance_rows, report, reporter.warning, reporter.info))
    _print_figures(model)
    if sentence := beside_the_forest(model.info):
        reporter.info(sentence)
    provenance = model.info.training
    if provenance and provenance.n_test_in_train:
        reporter.warning(
            f"{provenance.n_test_in_train} of {provenance.n_test} test molecules have a copy in training"
        )
    reporter.info(f"model: {output}")


def beside_the_forest(info: ModelInfo) -> str:
    """How good a committee is, in words, and how good the forest is that was trained beside it."""
    forest = next((m for m in info.committee.members if m.kind == "forest"), None) if info.committee else None
    part = info.held_out
    if forest is None or part is None:
        return ""
    regression = info.objective == "regression"
    names = {"rmse": "RMSE", "r2": "R2"} if regression else {"roc_auc": "ROC-AUC", "ef_1": "EF 1 %"}
    pairs = []
    for name, label in names.items():
        values = [getattr(task, name) for task in info.metrics[part].values()]
        known = [value for value in values if value is not None]
        alone = forest.figures.get(name)
        if known and alone is not None:
            pairs.append((label, float(median(known)), alone))
    if not pairs:
        return ""
    label, own, alone = pairs[0]
    better = own < alone if regression else own > alone
    level = _LEVEL * max(own, alone) if regression else _LEVEL
    word = "level with" if abs(own - alone) < level else "better than" if better else "worse than"
    figures = ", ".join(f"{label} {own:.3g} against {alone:.3g}" for label, own, alone in pairs)
    of = "validation" if part == "validation" else "test"
    return f"on the {of} part the model is {word} a random forest on substructures: {figures}"


# Of a figure, of an error as its share: smaller differences are within the noise of a held-out part.
_LEVEL = 0.005


def _print_figures(model: ScreeningModel) -> None:
    from molig.stats import RankingQuality

    part = "test" if "test" in model.info.metrics else "validation"
    columns = ["ROC-AUC", "PR-AUC"]
    rows = []
    for task, m in model.info.metrics[part].items():
        figures = (m.roc_auc, m.pr_auc) if isinstance(m, RankingQuality) else (m.r2, m.spearman, m.rmse)
        cells = ["n/a" if figure is None else f"{figure:.3f}" for figure in figures]
        rows.append([task, *cells, f"{model.info.baseline[task].median:.4f}"])
        if not isinstance(m, RankingQuality):
            columns = ["R2", "Spearman", "RMSE"]
    print_table(["task", *columns, "baseline"], rows, title=f"{model.name}: {part} part")
