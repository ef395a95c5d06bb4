"""`molig compare`: what makes the difference between the scores of two similar molecules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.options import (
    AddHOption,
    AtomFeaturesOption,
    BaselineOption,
    DelimiterOption,
    DeviceOption,
    FingerprintOption,
    FormatOption,
    IdColumnOption,
    IgnoreStereoOption,
    KeepHOption,
    MethodOption,
    ModelOption,
    QuietOption,
    ReorderAtomsOption,
    SmilesColumnOption,
    TargetOption,
    TaskOption,
    ThreadsOption,
    TolOption,
    TrustPickleOption,
    input_option,
    load_named,
    task_named,
)

if TYPE_CHECKING:
    from molig.molecules import Record
    from molig.series import Comparison


def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="SMILES; with -i the identifier of a row of the file.")
    ],
    second: Annotated[
        str, typer.Argument(metavar="B", help="SMILES or identifier of the molecule compared with it.")
    ],
    model: ModelOption,
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", help="out.svg, .png, .csv or .json; may be repeated."),
    ] = None,
    source: Annotated[str | None, input_option("File or data set that the two rows stand in.")] = None,
    task: TaskOption = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            help="What the molecules have in common: SMARTS, or an SD or mol file; default: searched for.",
        ),
    ] = None,
    method: MethodOption = "integrated_gradients",
    baseline: BaselineOption = None,
    target: TargetOption = None,
    tol: TolOption = 0.01,
    smiles_column: SmilesColumnOption = None,
    id_column: IdColumnOption = None,
    file_format: FormatOption = None,
    delimiter: DelimiterOption = None,
    atom_features: AtomFeaturesOption = None,
    keep_h: KeepHOption = None,
    add_h: AddHOption = None,
    ignore_stereo: IgnoreStereoOption = None,
    reorder_atoms: ReorderAtomsOption = None,
    fingerprint: FingerprintOption = None,
    trust_pickle: TrustPickleOption = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Say what makes the difference between the scores of two similar molecules."""
    from molig.foreign import FingerprintOptions
    from molig.molecules import Record
    from molig.series import compare as compare_molecules
    from molig.series.comparison import check_picture_or_numbers, write_comparison
    from molig.series.matching import read_template

    outputs = output or []
    for path in outputs:
        check_picture_or_numbers(path)
    if template is not None:
        read_template(template)
    records = [Record(1, "A", first), Record(2, "B", second)]
    if source is not None:
        reading = {"smiles_column": smiles_column, "id_column": id_column}
        reading |= {"file_format": file_format, "delimiter": delimiter}
        records = rows_of(source, [first, second], reading)
    reporter = Reporter(quiet)
    use_threads(threads)
    of_molecules = (atom_features, keep_h, add_h, ignore_stereo, reorder_atoms)
    loaded = load_named(model, device, *of_molecules, FingerprintOptions(fingerprint, trust_pickle))
    task = task_named(loaded, task, target)
    options: dict[str, Any] = {"method": method, "baseline": baseline, "target": target, "tol": tol}
    loaded = loaded if task is None else loaded.for_task(task)
    found = compare_molecules(loaded, records[0], records[1], task=task, template=template, **options)
    for one in (found.first, found.second):
        if one.scored_note:
            reporter.info(f"{one.id}: {one.scored_note}")
        if not one.converged:
            reporter.warning(f"{one.id}: the integral did not converge to tol = {tol}; see the residual")
    for path in outputs:
        write_comparison(found, path)
    _print(found)
    if outputs:
        reporter.info(f"written: {', '.join(map(str, outputs))}")


def rows_of(source: str, ids: list[str], reading: dict[str, Any]) -> list[Record]:
    """Rows of a file by their identifiers."""
    from molig.errors import InputError, UnknownNameError
    from molig.molecules import read_records

    found: dict[str, list[Record]] = {}
    known = []
    for record in read_records(source, **reading):
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
