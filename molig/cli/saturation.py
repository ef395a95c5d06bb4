"""`molig saturation`: how scores of actives level off on the way from the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.explain import read
from molig.cli.options import (
    MOLECULES,
    CsvSafeOption,
    DeviceOption,
    ModelOption,
    OneTaskOption,
    QuietOption,
    Reading,
    ReadsAtoms,
    TargetOption,
    ThreadsOption,
    input_argument,
    input_option,
    needed_input,
    task_named,
    with_groups,
)
from molig.files import count_rows

if TYPE_CHECKING:
    from molig.attribution import Explainer, MoleculeCurves
    from molig.model import ScoringModel
    from molig.molecules import Molecule, Rejection
    from molig.report.saturation import Actives

_SHOWN = 20
_OF_FOREST = (
    "This committee has a forest, whose score moves in steps as counts of substructures are scaled: it has "
    "no gradient, so rates, and gradient x input, lack its part of the score's change."
)


@with_groups
def saturation(
    *,
    model: ModelOption,
    outputs: Annotated[
        list[Path],
        typer.Option("-o", "--output", help="fig.svg, fig.png, or curves.csv; may be repeated."),
    ],
    molecules: Annotated[str | None, input_argument()] = None,
    source: Annotated[str | None, input_option(MOLECULES)] = None,
    task: OneTaskOption = None,
    actives: Annotated[int, typer.Option("--actives", min=1, help="Molecules to show.")] = 25,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            help="Column in which actives have a 1; default: the one named like the task, "
            "and without it the highest-scoring molecules are shown.",
        ),
    ] = None,
    target: TargetOption = None,
    points: Annotated[int, typer.Option("--points", min=3, help="Points of the path.")] = 51,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the choice among actives.")] = 0,
    columns: Reading,
    foreign: ReadsAtoms,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    csv_safe: CsvSafeOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show how the scores of actives saturate on the way from the baseline to the molecules."""
    from molig.attribution import Explainer
    from molig.report.saturation import check_saturation_outputs, choose_actives, write_saturation

    source = needed_input(molecules, source)
    check_saturation_outputs(outputs, source)
    reporter = Reporter(quiet)
    use_threads(threads)
    loaded = foreign.load(model, device)
    task = _task(loaded, task_named(loaded, task, target))
    loaded = loaded.for_task(task)
    explainer = Explainer(loaded, task=task, target=target)
    label = label or _label_column(loaded, source, task, columns.arguments)
    records = read(source, loaded, columns.arguments, reporter, [label] if label else [])
    with reporter.progress("choosing", count_rows(Path(source))) as advance:
        chosen = choose_actives(loaded, records, task, actives, label=label, seed=seed, progress=advance)
    _say_chosen(chosen, actives, reporter)
    subtitle = f"Showing {chosen.rule}"
    if _has_forest(loaded):
        subtitle += ". The forest moves in steps, which rates leave out"
        reporter.info(_OF_FOREST)
    curves = _follow(explainer, chosen.molecules, points, reporter)
    way = f"on the way from the {explainer.baselines.name} baseline"
    title = f"{task} ({loaded.name}): {_count(len(curves), label)} {way}"
    write_saturation(curves, outputs, title=title, subtitle=subtitle, csv_safe=csv_safe)
    _print_summary(loaded.name, curves)
    reporter.info("\n".join(f"written: {output}" for output in outputs))


def _task(model: ScoringModel, task: str | None) -> str:
    from molig.errors import UsageError

    if task is not None:
        model.task_index(task)
        return task
    if len(model.tasks) > 1:
        raise UsageError(f"{model.name} has {len(model.tasks)} tasks; name one: {', '.join(model.tasks)}")
    return model.tasks[0]


def _label_column(model: ScoringModel, source: str, task: str, options: dict[str, Any]) -> str | None:
    """The column of the task's name, where it says which molecules are active."""
    from molig.model import Objective
    from molig.report.saturation import has_labels

    classes = model.objective is Objective.CLASSIFICATION
    return task if classes and has_labels(source, task, **options) else None


def _say_chosen(chosen: Actives, actives: int, reporter: Reporter) -> None:
    _warn_of(chosen.rejections, reporter)
    if len(chosen.molecules) < actives:
        reporter.warning(f"only {len(chosen.molecules)} of the {actives} molecules asked for are there")
    reporter.info(f"showing {chosen.rule}")


def _has_forest(model: ScoringModel) -> bool:
    from molig.model import ScreeningModel

    return isinstance(model, ScreeningModel) and any(member.kind == "forest" for member in model.members)


def _follow(
    explainer: Explainer, molecules: list[Molecule], points: int, reporter: Reporter
) -> list[MoleculeCurves]:
    import numpy as np

    from molig.attribution import MoleculeCurves, molecule_curves
    from molig.errors import InputError
    from molig.molecules import Rejection

    curves, rejections = list[MoleculeCurves](), list[Rejection]()
    with reporter.progress("following", len(molecules)) as advance:
        for found in molecule_curves(explainer, molecules, at=np.linspace(0, 1, points)):
            if isinstance(found, Rejection):
                rejections.append(found)
            else:
                curves.append(found)
            advance(1)
    if not curves:
        first = rejections[0]
        raise InputError(f"none of the molecules has a curve; row {first.row}: {first.reason}")
    _warn_of(rejections, reporter)
    return curves


def _warn_of(rejections: list[Rejection], reporter: Reporter) -> None:
    for rejection in rejections[:_SHOWN]:
        reporter.warning(f"row {rejection.row} ({rejection.id}) {rejection.smiles!r}: {rejection.reason}")
    if len(rejections) > _SHOWN:
        reporter.warning(f"{len(rejections) - _SHOWN:,} more rejected rows")


def _print_summary(model: str, curves: Sequence[MoleculeCurves]) -> None:
    first = curves[0]
    row = [
        first.task,
        first.target,
        str(len(curves)),
        _middle([float(one.scores[-1]) for one in curves], "{:.3f}"),
        _middle([one.reached_at for one in curves], "{:.3f}"),
        _middle([one.gradient_share for one in curves], "{:.1%}"),
    ]
    print_table(
        ["task", "target", "molecules", "score", f"{first.share:.0%} at a", "gradient x input / change"],
        [row],
        title=f"{model}: median (quartiles)",
    )


def _middle(values: Sequence[float], shown: str) -> str:
    """Median of the known values, and the quartiles."""
    import numpy as np

    known = [value for value in values if math.isfinite(value)]
    if not known:
        return "n/a"
    low, middle, high = (shown.format(value) for value in np.quantile(known, [0.25, 0.5, 0.75]))
    return middle if len(known) == 1 else f"{middle} ({low} to {high})"


def _count(n: int, label: str | None) -> str:
    what = "molecule" if label is None else "active"
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
