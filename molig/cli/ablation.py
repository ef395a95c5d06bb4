"""`molig benchmark ablation`: how far the score drops when the atoms that matter are removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.explain import read
from molig.cli.options import (
    MOLECULES,
    DeviceOption,
    MethodsOption,
    ModelOption,
    QuietOption,
    Reading,
    ReadsAtoms,
    TargetOption,
    TaskOption,
    ThreadsOption,
    input_argument,
    input_option,
    needed_input,
    task_named,
    with_groups,
)
from molig.files import count_rows

if TYPE_CHECKING:
    import pandas as pd

    from molig.benchmark import AblationPlan
    from molig.model import ScoringModel
    from molig.molecules import Record

_CHARTS = (".csv", ".md", ".svg")


@with_groups
def ablation(
    *,
    model: ModelOption,
    molecules: Annotated[str | None, input_argument()] = None,
    source: Annotated[str | None, input_option(MOLECULES)] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="out.csv, .md or .svg; default: print only.")
    ] = None,
    task: TaskOption = None,
    target: TargetOption = None,
    methods: MethodsOption = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Best-scored molecules to take.")] = 200,
    atoms: Annotated[int, typer.Option("--atoms", min=1, help="Remove 1, 2, ... so many atoms.")] = 10,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            help="What removed atoms become: zero, neutral, mean, library[:FILE], compound:SMILES, uniform "
            "or carbon. Default: as in molig explain, zero or for Chemprop neutral.",
        ),
    ] = None,
    random_orders: Annotated[
        int, typer.Option("--random-orders", min=0, help="Random orders per molecule.")
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of random orders and bootstrap.")] = 0,
    columns: Reading,
    foreign: ReadsAtoms,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Remove the atoms that matter most by each method, and report how far the score drops.

    Methods: as in `molig benchmark attribution`; by default integrated_gradients, gradient_x_input and
    occlusion. Random orders of the atoms are always compared with.
    """
    from molig.benchmark import AblationPlan, Resampling
    from molig.benchmark.ablation import ABLATION_METHODS
    from molig.benchmark.explained import resolve_methods

    job = _Ablation(
        methods=resolve_methods(methods.split(",") if methods else ABLATION_METHODS),
        plan=AblationPlan(
            range(1, atoms + 1), random_repeats=random_orders, resampling=Resampling(seed=seed)
        ),
        top=top,
        reporter=Reporter(quiet),
    )
    source = needed_input(molecules, source)
    _check_chart(output, source)
    use_threads(threads)
    loaded = foreign.load(model, device)
    records = read(source, loaded, columns.arguments, job.reporter)
    job.run(
        loaded,
        records,
        (task_named(loaded, task, target), target, baseline),
        count_rows(Path(source)),
        output,
    )


@dataclass(frozen=True)
class _Ablation:
    """The ablation test of one model."""

    methods: tuple[str, ...]
    plan: AblationPlan
    top: int
    reporter: Reporter

    def run(
        self,
        model: ScoringModel,
        records: Iterator[Record],
        choices: tuple[str | None, str | None, str | None],
        total: int | None,
        output: Path | None,
    ) -> None:
        """Take the best molecules of a library, and remove their atoms; choices: task, target, baseline."""
        from molig.attribution import Target
        from molig.attribution.baselines import ZERO
        from molig.benchmark.ablation import model_drop_curves, one_task, own_baseline, top_molecules
        from molig.benchmark.recipe import AttributionOptions

        task = one_task(model, choices[0])
        of_task = model.for_task(task)
        target = Target.of(choices[1], of_task.objective)
        baseline = choices[2] or own_baseline(of_task)
        options = AttributionOptions(target=target.value, baseline=baseline)
        with self.reporter.progress("scoring", total) as advance:
            molecules = top_molecules(of_task, records, task, self.top, advance)
        with self.reporter.progress("removing", len(molecules)) as advance:
            frame = model_drop_curves(
                of_task,
                molecules,
                task,
                methods=self.methods,
                options=options,
                plan=self.plan,
                advance=advance,
            )
        title = f"{model.name}, {task}: drop of the {target.value}, {len(molecules)} molecules"
        if baseline != ZERO:
            title += f", {baseline} baseline"
        _print_drops(frame, title)
        if output:
            _write_drops(frame, output, title, target.value)
            self.reporter.info(f"drops: {output}")


def _check_chart(output: Path | None, source: str) -> None:
    from molig.errors import UsageError
    from molig.tables.writers import check_distinct, check_writable

    if output is None:
        return
    if output.suffix.lower() not in _CHARTS:
        raise UsageError(f"cannot tell the format of {output}; use a name ending in {', '.join(_CHARTS)}")
    check_writable(output)
    check_distinct(source, output)


def _print_drops(frame: pd.DataFrame, title: str) -> None:
    header, *rows = _cells(frame)
    print_table(header, rows, title=title)


def _write_drops(frame: pd.DataFrame, output: Path, title: str, score: str) -> None:
    from molig.benchmark.ablation import draw_drop_curves
    from molig.files import markdown_table, write_whole
    from molig.stats.plots import picture
    from molig.text import legible_markdown

    if output.suffix.lower() == ".svg":
        write_whole(output, picture(draw_drop_curves(frame, title, score), "svg"))
        return
    if output.suffix.lower() == ".csv":
        text = frame.to_csv(index=False, lineterminator="\n")
    else:
        header, *rows = _cells(frame)
        text = legible_markdown("\n".join([title, "", *markdown_table(header, rows, "r"), ""]))
    write_whole(output, text.encode())


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    """Drops with their intervals: a row per number of atoms, a column per ranking."""
    rankings = list(dict.fromkeys(frame["ranking"]))
    rows = [["atoms removed", "molecules", *(name.replace("_", " ") for name in rankings)]]
    for removed, group in frame.groupby("removed", sort=True):
        by_name = group.set_index("ranking")
        cells = [
            f"{drop:.3f} [{low:.3f}, {high:.3f}]"
            for drop, low, high in by_name.loc[rankings, ["drop", "low", "high"]].to_numpy()
        ]
        rows.append([str(removed), str(int(group["n_molecules"].max())), *cells])
    return rows
