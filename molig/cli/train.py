"""`molig train`: from a table to a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, count_rows, print_table, use_threads
from molig.cli.options import DeviceOption, QuietOption, SmilesColumnOption, ThreadsOption

if TYPE_CHECKING:
    from molig.model import ScreeningModel


def train(
    source: Annotated[Path, typer.Option("-i", "--input", help="Table with SMILES and label columns.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model directory to write.")],
    target: Annotated[
        list[str], typer.Option("--target", help="Label columns: 1, 0 or empty; any number for a regression.")
    ],
    more_targets: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    recipe: Annotated[Path | None, typer.Option("--recipe", help="TOML file with all other choices.")] = None,
    smiles_column: SmilesColumnOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint in the output.")
    ] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Train a model on a table of molecules and labels."""
    from molig.model import Objective
    from molig.training import Progress, Recipe, TrainingRequest, read_recipe, train_model

    reporter = Reporter(quiet)
    use_threads(threads)
    chosen = read_recipe(recipe) if recipe else Recipe()
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
        reporter.progress("reading", count_rows(source)) as advance_rows,
        reporter.progress("training", epochs, unit="epochs") as advance_epochs,
    ):
        request = TrainingRequest(
            source=source,
            output=output,
            targets=(*target, *(more_targets or [])),
            recipe=chosen,
            smiles_column=smiles_column,
            device=device,
            resume=resume,
        )
        model = train_model(request, Progress(rows=advance_rows, epoch=report))
    _print_figures(model)
    provenance = model.info.training
    if provenance and provenance.n_test_in_train:
        reporter.warning(
            f"{provenance.n_test_in_train} of {provenance.n_test} test molecules have a copy in training"
        )
    reporter.info(f"model: {output}")


def _print_figures(model: ScreeningModel) -> None:
    from molig.model import TaskMetrics

    part = "test" if "test" in model.info.metrics else "validation"
    columns = ["ROC-AUC", "PR-AUC"]
    rows = []
    for task, m in model.info.metrics[part].items():
        figures = (m.roc_auc, m.pr_auc) if isinstance(m, TaskMetrics) else (m.r2, m.spearman, m.rmse)
        cells = ["n/a" if figure is None else f"{figure:.3f}" for figure in figures]
        rows.append([task, *cells, f"{model.info.baseline[task].median:.4f}"])
        if not isinstance(m, TaskMetrics):
            columns = ["R2", "Spearman", "RMSE"]
    print_table(["task", *columns, "baseline"], rows, title=f"{model.name}: {part} part")
