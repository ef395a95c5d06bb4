"""`molig compare`: what makes the difference between the scores of similar molecules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.options import (
    Attributing,
    CsvSafeOption,
    DeviceOption,
    ModelOption,
    QuietOption,
    Reading,
    ReadsAtomsAndBits,
    TaskOrAllOption,
    ThreadsOption,
    input_option,
    resolved_input,
    task_named,
    with_groups,
)

if TYPE_CHECKING:
    from molig.molecules import Record
    from molig.series import Comparison, Comparisons


@with_groups
def compare(
    *,
    model: ModelOption,
    molecules: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="A B",
            show_default=False,
            help="SMILES; with -i identifiers of rows. More than two, or all of a file, are compared each "
            "with each.",
        ),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "-o", "--output", help="out.svg, .png (of two molecules), .html, .csv or .json; may be repeated."
        ),
    ] = None,
    source: Annotated[str | None, input_option("File or data set that the rows stand in.")] = None,
    task: TaskOrAllOption = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            help="What the molecules have in common: SMARTS, or an SD or mol file; default: searched for.",
        ),
    ] = None,
    attributing: Attributing,
    columns: Reading,
    foreign: ReadsAtomsAndBits,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    csv_safe: CsvSafeOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what makes the difference between the scores of similar molecules, two or several."""
    from molig.report.sheet import SHEETS, sheet_of_comparison, sheet_of_comparisons
    from molig.screening.plan import asks_all_tasks
    from molig.series import compare_all
    from molig.series.comparison import write_comparison, write_comparisons
    from molig.series.matching import read_template

    outputs = output or []
    if template is not None:
        read_template(template)
    records = _asked(molecules or [], source, columns)
    _check_outputs(outputs, len(records))
    reporter = Reporter(quiet)
    use_threads(threads)
    loaded = foreign.load(model, device)
    task = task_named(loaded, task, attributing.target)
    loaded = loaded if task is None or asks_all_tasks(task, loaded) else loaded.for_task(task)
    n_pairs = len(records) * (len(records) - 1) // 2
    with reporter.progress("comparing", n_pairs, "pairs") as advance:
        asked = {"task": task, "template": template, **attributing.arguments}
        found = compare_all(loaded, records, progress=advance, **asked)
    is_pair = len(records) == _PAIR
    by_task = found.only_pair() if is_pair else ()
    _say(found, attributing.tol, reporter)
    for path in outputs:
        if path.suffix.lower() in SHEETS:
            (sheet_of_comparison(by_task) if is_pair else sheet_of_comparisons(found)).write(path)
        elif is_pair:
            write_comparison(by_task, path)
        else:
            write_comparisons(found, path, csv_safe=csv_safe)
    for one in by_task:
        _print(one)
    if not is_pair:
        _print_matrices(found)
    if outputs:
        reporter.info(f"written: {', '.join(map(str, outputs))}")


# Molecules of a pair; characters of a name over a column.
_PAIR, _LONGEST_NAME = 2, 24


def _asked(words: list[str], source: str | None, columns: Reading) -> list[Record]:
    """The molecules: SMILES, rows of a file by their identifiers, or all rows of a file."""
    from itertools import islice

    from molig.errors import UnknownNameError, UsageError
    from molig.molecules import read_records
    from molig.series.comparison import MOST_COMPARED, lettered

    if len(words) == 1 and source is None:
        try:
            words, source = [], resolved_input(words[0])
        except UnknownNameError as error:
            raise UsageError(
                f"{words[0]} is no file and no data set; to compare molecules, name two or more"
            ) from error
    if source is None and len(words) < _PAIR:
        raise UsageError("name at least two molecules, or a file of them, with or without -i")
    if source is None:
        return lettered(words)
    if words and len(words) < _PAIR:
        raise UsageError(f"{words[0]} needs another row of {source} to be compared with; name two or more")
    if words:
        return rows_of(source, words, columns)
    records = list(islice(read_records(source, **columns.arguments), MOST_COMPARED + 1))
    if not _PAIR <= len(records) <= MOST_COMPARED:
        n = f"more than {MOST_COMPARED} rows" if len(records) > 1 else "1 row"
        raise UsageError(
            f"{source} has {n}, and from 2 to {MOST_COMPARED} are compared; name rows by their identifiers"
        )
    return records


def _check_outputs(outputs: list[Path], n_molecules: int) -> None:
    from molig.errors import UsageError
    from molig.report.sheet import SHEETS
    from molig.series.comparison import PICTURES, check_picture_or_numbers

    for path in outputs:
        check_picture_or_numbers(path, SHEETS)
        if n_molecules > _PAIR and path.suffix.lower() in PICTURES:
            raise UsageError(
                f"{path}: a picture is of two molecules (got {n_molecules}); write .html, .csv or .json for "
                "several"
            )


def _say(found: Comparisons, tol: float, reporter: Reporter) -> None:
    """What of the molecules, and of the pairs, has to be known besides."""
    for rejection in found.rejected:
        reporter.warning(f"row {rejection.row} ({rejection.id}) {rejection.smiles!r}: {rejection.reason}")
    for by_task in found.explained:
        if by_task[0].scored_note:
            reporter.info(f"{by_task[0].id}: {by_task[0].scored_note}")
        for one in by_task:
            if not one.converged:
                reporter.warning(
                    f"{one.id}, {one.task}: the integral did not converge to tol = {tol}; see the residual"
                )
    for pair in found.pairs:
        if pair.reason:
            names = (found.explained[place][0].id for place in (pair.first, pair.second))
            reporter.warning(f"{' and '.join(names)}: {pair.reason}")


def rows_of(source: str, ids: list[str], columns: Reading) -> list[Record]:
    """Rows of a file by their identifiers."""
    from molig.errors import InputError, UnknownNameError
    from molig.molecules import read_records

    found: dict[str, list[Record]] = {}
    known = []
    for record in read_records(source, **columns.arguments):
        known.append(record.id)
        if record.id in ids:
            found.setdefault(record.id, []).append(record)
    for name in ids:
        if name not in found:
            raise UnknownNameError(f"identifier in {source}:", name, known)
        if len(found[name]) > 1:
            rows = ", ".join(str(record.row) for record in found[name])
            raise InputError(f"{source}: {name!r} is the identifier of rows {rows}; compare their SMILES")
    return [found[name][0] for name in ids]


def _print(found: Comparison) -> None:
    rows = []
    for one in found.account():
        far = f"{one.bonds} bond{'s' if one.bonds > 1 else ''} away" if one.bonds else ""
        atoms = "" if one.atoms is None else str(one.atoms)
        values = one.first, one.second, one.second - one.first
        rows.append([one.part, far, atoms, *(f"{value:+.4g}" for value in values)])
    names = [one.id or one.smiles for one in (found.first, found.second)]
    title = f"{found.first.task}, {found.first.target_in_words}: {names[0]} to {names[1]}"
    print_table(["part", "where", "atoms", *names, "difference"], rows, title=title)


def _print_matrices(found: Comparisons) -> None:
    """For each task, molecule by molecule, by how much the column scores more than the row."""
    for place, task in enumerate(found.tasks):
        every = [by_task[place] for by_task in found.explained]
        names = [(one.id or str(one.row))[:_LONGEST_NAME] for one in every]
        differences, changes = found.matrix("difference", place), found.matrix("change", place)
        rows = []
        for row, one in enumerate(every):
            cells = [
                "" if row == column else f"{difference:+.3g} ({_known(changes[row, column])})"
                for column, difference in enumerate(differences[row])
            ]
            rows.append([names[row], one.smiles, f"{one.score:.3g}", *cells])
        title = f"{task}, {every[0].target_in_words}: column minus row (what the change contributed)"
        print_table(["molecule", "SMILES", every[0].target, *names], rows, title=title)


def _known(value: float) -> str:
    return f"{value:+.3g}" if value == value else "unknown"  # noqa: PLR0124 - NaN
