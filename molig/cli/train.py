"""`molig train`: from a table to a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molig.cli.console import Reporter, count_rows, print_table, use_threads
from molig.cli.options import DeviceOption, QuietOption, SmilesColumnOption, ThreadsOption


def train(
    source: Annotated[Path, typer.Option("-i", "--input", help="Table with SMILES and label columns.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Model directory to write.")],
    target: Annotated[list[str], typer.Option("--target", help="Label columns: 1, 0 or empty.")],
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
    from molig.training import Progress, Recipe, TrainingRequest, read_recipe, train_model

    reporter = Reporter(quiet)
    use_threads(threads)
    chosen = read_recipe(recipe) if recipe else Recipe()
    epochs = chosen.optimization.epochs

    def report(entry: dict[str, float]) -> None:
        advance_epochs(1)
        reporter.info(
            f"epoch {entry['epoch']:.0f}/{epochs}  loss {entry['loss']:.4f}  "
            f"neutral {entry['neutral']:.4f}  validation AUC {entry['validation_auc']:.4f}"
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
    part = "test" if "test" in model.info.metrics else "validation"
    rows = [
        [
            task,
            "n/a" if m.roc_auc is None else f"{m.roc_auc:.3f}",
            "n/a" if m.pr_auc is None else f"{m.pr_auc:.3f}",
            f"{model.info.baseline[task].median:.4f}",
        ]
        for task, m in model.info.metrics[part].items()
    ]
    print_table(["task", "ROC-AUC", "PR-AUC", "baseline"], rows, title=f"{model.name}: {part} part")
    reporter.info(f"model: {output}")
