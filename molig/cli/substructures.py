"""`molig substructures`: what parts of molecules contribute, molecule by molecule and over a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.options import (
    MOLECULES,
    Attributing,
    CsvSafeOption,
    DeviceOption,
    ModelOption,
    QuietOption,
    Reading,
    ReadsAtomsAndBits,
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

    from molig.attribution import Explainer, Explanation
    from molig.model import ScoringModel
    from molig.molecules import Rejection
    from molig.series import Divided

_SHOWN = 20
_BATCH = 256


@with_groups
def substructures(
    *,
    model: ModelOption,
    named: Annotated[str | None, input_argument()] = None,
    source: Annotated[str | None, input_option(MOLECULES)] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="groups (functional groups, rings, chains; default), murcko, brics, rgroups, or a SMARTS, "
            "perhaps with a blank and a name behind it, which may be repeated.",
        ),
    ] = None,
    core: Annotated[
        str | None,
        typer.Option(
            "--core",
            help="With --by rgroups: SMARTS, or an SD or mol file; default: what all have in common.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Parts over the set: .csv, .parquet, .xlsx, or a page, .html."),
    ] = None,
    molecules: Annotated[
        Path | None,
        typer.Option("--molecules", help="Table of the parts of every molecule: .csv or .parquet."),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Task of the model, or all; needed if it has several.")
    ] = None,
    attributing: Attributing,
    columns: Reading,
    foreign: ReadsAtomsAndBits,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    csv_safe: CsvSafeOption = False,
    quiet: QuietOption = False,
) -> None:
    """Sum up what parts of molecules contribute to their scores."""
    from molig.attribution import Explainer
    from molig.errors import InputError
    from molig.molecules import Rejection, read_records
    from molig.screening.plan import asks_all_tasks
    from molig.series import PartSums

    source = needed_input(named, source)
    _check_outputs(output, molecules, source)
    ways = by or ["groups"]
    _check_ways(ways, core)
    reporter = Reporter(quiet)
    use_threads(threads)
    loaded = foreign.load(model, device)
    named_task = task_named(loaded, task, attributing.target)
    every = asks_all_tasks(named_task, loaded)
    one_task = None if every else _task(loaded, named_task)
    loaded = loaded if one_task is None else loaded.for_task(one_task)
    explainer = Explainer(loaded, task=one_task, **attributing.arguments)
    records = read_records(source, **columns.arguments)
    rejections: list[Rejection] = []

    def explained() -> Iterator[list[Explanation]]:
        with reporter.progress("explaining", count_rows(Path(source))) as advance:
            for _, result in explainer.explain_rows(records, all_tasks=every):
                advance(1)
                if isinstance(result, Rejection):
                    rejections.append(result)
                else:
                    yield result

    sums = {name: PartSums() for name in ([one_task] if one_task else loaded.tasks)}
    kinds = list[str]()
    with _Each(molecules, csv_safe, of_tasks=every) as each:
        for by_task in _divided(explained(), ways, core, kinds, reporter):
            for name, divided in zip(sums, by_task, strict=True):
                sums[name].add(divided)
                each.add(divided, name)
        if not any(one.n for one in sums.values()):
            why = "every row was rejected" if rejections else "it holds no molecule"
            first = "".join(f"; row {one.row}: {one.reason}" for one in rejections[:1])
            raise InputError(f"{source}: {why}{first}")
        each.reject(rejections)
    _say_rejected(rejections, reporter)
    tables = {name: one.to_frame(kinds) for name, one in sums.items()}
    if output is not None:
        title = f"What {loaded.name} gives the parts of {Path(source).name}"
        _write(tables, output, title, rejections, csv_safe)
    for name, table in tables.items():
        _print(table, explainer, f"{loaded.name}: {name}, {sums[name].n} molecules")
    if written := [str(path) for path in (output, molecules) if path is not None]:
        reporter.info(f"written: {', '.join(written)}")


def _check_ways(ways: list[str], core: str | None) -> None:
    """Refuse what cannot be read before molecules are."""
    from molig.errors import UsageError
    from molig.series import divider
    from molig.series.matching import read_template
    from molig.series.parts import RGROUPS

    if ways != [RGROUPS]:
        if core is not None:
            raise UsageError("--core is what --by rgroups takes molecules apart by; leave it out")
        divider(ways)
    elif core is not None:
        read_template(core)


def _task(model: ScoringModel, task: str | None) -> str:
    from molig.errors import UsageError

    if task is not None:
        model.task_index(task)
        return task
    if len(model.tasks) > 1:
        names = ", ".join(model.tasks)
        raise UsageError(f"{model.name} has {len(model.tasks)} tasks; name one: {names}; or all")
    return model.tasks[0]


def _divided(
    explained: Iterator[list[Explanation]],
    ways: list[str],
    core: str | None,
    kinds: list[str],
    reporter: Reporter,
) -> Iterator[list[Divided]]:
    """Molecules with their parts, for each task; R-groups need all molecules at once."""
    from molig.series import Divided, RGroups, ScoredAtoms, divider
    from molig.series.parts import RGROUPS
    from molig.series.rgroups import CORE

    scored = ([ScoredAtoms.of(one) for one in by_task] for by_task in explained)
    if ways != [RGROUPS]:
        divide = divider(ways)
        for by_task in scored:
            parts = divide(by_task[0].mol)
            yield [Divided.of(one, parts) for one in by_task]
        return
    held = list(scored)
    if not held:
        return
    found = RGroups.of([by_task[0].mol for by_task in held], core)
    kinds += [CORE, *found.positions]
    lacking = [by_task[0] for by_task, parts in zip(held, found.parts, strict=True) if not parts]
    for one in lacking[:_SHOWN]:
        reporter.warning(f"row {one.row} ({one.id}) {one.smiles!r} does not have the core: all of it is rest")
    if len(lacking) > _SHOWN:
        reporter.warning(f"{len(lacking) - _SHOWN:,} more molecules without the core")
    for by_task, parts in zip(held, found.parts, strict=True):
        yield [Divided.of(one, parts) for one in by_task]


def _say_rejected(rejections: list[Rejection], reporter: Reporter) -> None:
    for one in rejections[:_SHOWN]:
        reporter.warning(f"row {one.row} ({one.id}) {one.smiles!r}: {one.reason}")
    if len(rejections) > _SHOWN:
        reporter.warning(f"{len(rejections) - _SHOWN:,} more rejected rows")


def _print(table: pd.DataFrame, explainer: Explainer, title: str) -> None:
    parts = table[table["part"] != ""]
    ends = table[table["part"] == ""]
    rows = []
    for row in [*parts.head(_SHOWN).to_dict("records"), *ends.to_dict("records")]:
        has_limits = row["low"] == row["low"]
        limits = f"{row['low']:+.3g} to {row['high']:+.3g}" if has_limits else ""
        whole = f"{row['molecule_score']:.3g}" if row["part"] else ""
        example = row["example"] if row["part"] else ""
        numbers = [f"{row['mean']:+.3g}", limits, f"{row['sum']:+.4g}", whole]
        rows.append([row["kind"], row["part"], str(row["molecules"]), *numbers, example])
    header = ["kind", "part", "molecules", "mean", "95 % interval", "sum", explainer.target.value, "example"]
    shown = f"; {_SHOWN} of {len(parts)} parts" if len(parts) > _SHOWN else ""
    print_table(header, rows, title=title + shown)


def _check_outputs(output: Path | None, molecules: Path | None, source: str) -> None:
    """Refuse, before a run, what could not be written at its end."""
    from molig.report.sheet import SHEETS
    from molig.tables.writers import check_distinct, check_output, check_writable

    for path in (output, molecules):
        if path is not None and path is output and path.suffix.lower() in SHEETS:
            check_writable(path)
        elif path is not None:
            check_output(path)
    check_distinct(source, *(path for path in (output, molecules) if path is not None))


def _write(
    tables: Mapping[str, pd.DataFrame], path: Path, title: str, rejections: list[Rejection], csv_safe: bool
) -> None:
    import pyarrow as pa

    from molig.report.sheet import SHEETS, sheet_of_parts
    from molig.series.comparison import frame_of_tasks
    from molig.tables.writers import OutputTable

    if path.suffix.lower() in SHEETS:
        told = [f"row {one.row} ({one.id}) {one.smiles}: {one.reason}" for one in rejections]
        sheet_of_parts(tables, title, told).write(path)
        return
    whole = pa.Table.from_pandas(frame_of_tasks(tables), preserve_index=False)
    with OutputTable(path, whole.schema, csv_safe=csv_safe) as file:
        file.write(whole)


class _Each:
    """The table of every molecule's parts, written as they come; nothing where none is asked for."""

    def __init__(self, path: Path | None, csv_safe: bool, *, of_tasks: bool) -> None:
        import pyarrow as pa

        from molig.tables.writers import OutputTable

        texts = {name: pa.string() for name in ("id", "smiles", "kind", "part", "atoms")}
        numbers = {name: pa.float64() for name in ("score", "molecule_score")}
        task = {"task": pa.string()} if of_tasks else {}
        self._schema = pa.schema({"row": pa.int64(), **task, **texts, **numbers})
        self._file = None if path is None else OutputTable(path, self._schema, csv_safe=csv_safe)
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> _Each:
        if self._file is not None:
            self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._file is not None:
            if error[0] is None:
                self._flush()
            self._file.__exit__(*error)

    def add(self, divided: Divided, task: str) -> None:
        """All parts of a molecule; they add up to its score in a task."""
        one = divided.molecule
        for kind, part, atoms, score in divided.rows():
            where = " ".join(map(str, atoms))
            numbers = {"score": score, "molecule_score": one.score}
            self._add(one, task=task, kind=kind, part=part, atoms=where, **numbers)

    def reject(self, rejections: list[Rejection]) -> None:
        """Rows without parts, with the reason in place of a part."""
        for one in rejections:
            self._add(one, kind="rejected", part=one.reason, atoms="")

    def _add(self, one: Any, **values: Any) -> None:
        if self._file is None:
            return
        self._rows.append({"row": one.row, "id": one.id, "smiles": one.smiles, **values})
        if len(self._rows) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._file is not None and self._rows:
            self._file.write(pa.Table.from_pylist(self._rows, self._schema))
        self._rows = []
