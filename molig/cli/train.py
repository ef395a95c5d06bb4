"""`molig train`: from a table to a model directory."""

from __future__ import annotations

from pathlib import Path
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
    from molig.model import ScreeningModel


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
    from molig.training import Progress, Recipe, TrainingRequest, train_model
    from molig.training.output import check_output
    from molig.training.recipe import locate_table, read_recipe_and_table, with_cut, with_split

    reporter = Reporter(quiet)
    use_threads(threads)
    check_output(output, resume=resume, force=force)
    targets = (*(target or []), *(more_targets or []))
    if recipe:
        chosen, table = read_recipe_and_table(
            recipe, source=source, targets=targets, smiles_column=smiles_column, delimiter=delimiter
        )
    else:
        chosen = Recipe()
        table = locate_table(
            chosen, source=source, targets=targets, smiles_column=smiles_column, delimiter=delimiter
        )
    read = chosen
    chosen = with_cut(chosen, active_above, active_below)
    chosen = with_split(chosen, split, column=split_column, validation=validation, test=test)
    if table.note and chosen.split == read.split:
        reporter.warning(table.note)
    epochs = chosen.optimization.epochs
    quality = "R2" if chosen.objective is Objective.REGRESSION else "AUC"

    def report(entry: dict[str, float]) -> None:
        advance_epochs(1)
        reporter.info(
            f"epoch {entry['epoch']:.0f}/{epochs}  loss {entry['loss']:.4f}  "
            f"neutral {entry['neutral']:.4f}  "
            f"validation {quality} {entry[f'validation_{quality.lower()}']:.4f}"
        )

    with (
        reporter.progress("reading", count_rows(table.source)) as advance_rows,
        reporter.progress("training", epochs, unit="epochs") as advance_epochs,
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
        model = train_model(request, Progress(advance_rows, report, reporter.warning))
    _print_figures(model)
    provenance = model.info.training
    if provenance and provenance.n_test_in_train:
        reporter.warning(
            f"{provenance.n_test_in_train} of {provenance.n_test} test molecules have a copy in training"
        )
    reporter.info(f"model: {output}")


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
