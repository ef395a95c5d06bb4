"""`molig edits`: the smallest single edits of a molecule that move its score most."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molig.cli.compare import rows_of
from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.options import (
    Attributing,
    DeviceOption,
    ModelOption,
    QuietOption,
    Reading,
    ReadsAtomsAndBits,
    TaskOrAllOption,
    ThreadsOption,
    input_option,
    task_named,
    with_groups,
)

if TYPE_CHECKING:
    from molig.series import Edits


@with_groups
def edits(
    *,
    molecule: Annotated[
        str, typer.Argument(metavar="SMILES", help="SMILES; with -i the identifier of a row of the file.")
    ],
    model: ModelOption,
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", help="out.svg, .png, .html, .csv or .json; may be repeated."),
    ] = None,
    source: Annotated[str | None, input_option("File or data set that the row stands in.")] = None,
    task: TaskOrAllOption = None,
    most: Annotated[int, typer.Option("--top", min=1, help="How many edits to list and explain.")] = 12,
    sites: Annotated[
        int, typer.Option("--sites", min=1, help="Places of the molecule listed for one kind of edit.")
    ] = 2,
    direction: Annotated[
        str, typer.Option("--direction", help="both (the largest), up or down: which way the score moves.")
    ] = "both",
    outside: Annotated[
        bool,
        typer.Option("--all", help="Also edits outside the applicability domain, marked so."),
    ] = False,
    attributing: Attributing,
    columns: Reading,
    foreign: ReadsAtomsAndBits,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """List the smallest single edits of a molecule that move its score most."""
    from molig.molecules import Record
    from molig.report.sheet import SHEETS, sheet_of_edits
    from molig.screening.plan import asks_all_tasks
    from molig.series import find_edits, find_edits_of_all_tasks
    from molig.series.comparison import check_picture_or_numbers
    from molig.series.edits import write_edits

    outputs = output or []
    for path in outputs:
        check_picture_or_numbers(path, SHEETS)
    record = Record(1, "", molecule)
    if source is not None:
        (record,) = rows_of(source, [molecule], columns)
    reporter = Reporter(quiet)
    use_threads(threads)
    loaded = foreign.load(model, device)
    task = task_named(loaded, task, attributing.target)
    asked: dict[str, Any] = {"most": most, "sites": sites, "direction": direction, "outside": outside}
    asked |= attributing.arguments
    if asks_all_tasks(task, loaded):
        by_task = find_edits_of_all_tasks(loaded, record, **asked)
    else:
        chosen = loaded if task is None else loaded.for_task(task)
        by_task = [find_edits(chosen, record, task=task, **asked)]
    for path in outputs:
        if path.suffix.lower() in SHEETS:
            sheet_of_edits(by_task).write(path)
        else:
            write_edits(by_task, path)
    _say(by_task[0], outside, reporter)
    for found in by_task:
        if found.nothing:
            reporter.warning(f"{found.start.task}: {found.nothing}")
        else:
            _print(found)
    if outputs:
        reporter.info(f"written: {', '.join(map(str, outputs))}")


def _say(found: Edits, outside: bool, reporter: Reporter) -> None:
    if found.start.scored_note:
        reporter.info(found.start.scored_note)
    counts = f"{found.n_edits} edits"
    if found.has_domain:
        counts += f", {found.n_outside} outside the applicability domain" + (
            "" if outside or not found.n_outside else " and left out (--all lists them)"
        )
    else:
        reporter.warning(
            "this model has no applicability domain: nothing tells which edits it may be asked of"
        )
    if found.n_rejected:
        counts += f", {found.n_rejected} products that the model does not read"
    reporter.info(counts)
    if (flag := found.start_flag) is not None and flag.status != "in domain":
        reporter.warning(f"the molecule itself is {flag.status.value}: {flag.detail}")


def _print(found: Edits) -> None:
    start = found.start
    marked = any(not edit.in_domain for edit in found.listed)
    header = ["edit", "atoms", "SMILES", start.target, "difference", "change", "surroundings", "rest"]
    rows = []
    for edit in found.listed:
        one = edit.comparison
        parts = [] if one is None else [one.change, one.surroundings, one.rest]
        numbers = [f"{edit.score:.3g}", *(f"{value:+.3g}" for value in (edit.difference, *parts))]
        row = [edit.name, ", ".join(map(str, edit.atoms)), edit.molecule.smiles, *numbers]
        rows.append([*row, edit.flag.status.value if edit.flag else ""] if marked else row)
    title = f"{start.id or start.smiles}: {start.task}, {start.target_in_words} {start.score:.3g}"
    print_table([*header, "applicability"] if marked else header, rows, title=title)
