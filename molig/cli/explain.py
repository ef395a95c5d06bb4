"""`molig explain`: pictures, pages and tables of attributions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, count_rows, use_threads
from molig.cli.options import (
    MOLECULES,
    BaselineOption,
    DeviceOption,
    FormatOption,
    IdColumnOption,
    MethodOption,
    ModelOption,
    QuietOption,
    SmilesColumnOption,
    TargetOption,
    TaskOrAllOption,
    ThreadsOption,
    TolOption,
    input_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from molig.attribution import Explainer, Explanation
    from molig.molecules import Record, Rejection
    from molig.report import Counts, TableRequest
    from molig.report.tables import Explain
    from molig.tables import Parts

_SHOWN = 20
_ALL = "all"


def explain(
    model: ModelOption,
    output: Annotated[Path, typer.Option("-o", "--output", help="out.svg, .png, .html, .parquet or .csv.")],
    smiles: Annotated[list[str] | None, typer.Option("--smiles", help="A molecule; may be repeated.")] = None,
    source: Annotated[str | None, input_option(MOLECULES)] = None,
    task: TaskOrAllOption = None,
    method: MethodOption = "integrated_gradients",
    baseline: BaselineOption = "zero",
    target: TargetOption = None,
    tol: TolOption = 0.01,
    noise: Annotated[
        float, typer.Option("--noise", min=0, max=1, help="Grey out scores below this share of the largest.")
    ] = 0.0,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout", help="Rows of a table: features (default), or molecules for whole libraries."
        ),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", help="Rejected rows of a table with reasons; default NAME.rejected.csv."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the table of an interrupted run, kept in NAME.parts."),
    ] = False,
    smiles_column: SmilesColumnOption = None,
    id_column: IdColumnOption = None,
    file_format: FormatOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Say why molecules get their scores, atom by atom."""
    from molig.attribution import Explainer, Method
    from molig.model import load_model
    from molig.molecules import read_records
    from molig.report.outputs import check_explanation_output
    from molig.report.tables import is_repeatable, run_identity
    from molig.tables import Parts

    _check_molecules(smiles, source, resume)
    check_explanation_output(output, source)
    request = _table_request(output, source, layout, rejects, resume)
    use_threads(threads)
    loaded = load_model(model, device)
    all_tasks = task == _ALL and _ALL not in loaded.tasks
    explainer = Explainer(
        loaded,
        task=None if all_tasks else task,
        target=target,
        method=method,
        baseline=baseline,
        tol=tol,
    )
    if source:
        records = read_records(
            source, smiles_column=smiles_column, id_column=id_column, file_format=file_format
        )
    else:
        records = _records(smiles or [])
    parts = None
    if request is not None and source and (resume or is_repeatable(source)):
        options = {"--task": task, "--target": explainer.target, "--tol": tol, "--layout": request.layout}
        options |= {"--method": explainer.method, "--baseline": baseline}
        columns = {"--smiles-column": smiles_column, "--id-column": id_column, "--format": file_format}
        identity = run_identity(loaded, source, {**options, **columns})
        parts = Parts(request.parts_directory, identity)
        parts.open(resume=resume)
    total = count_rows(Path(source)) if source else len(smiles or [])
    job = _Job(explainer, output, Reporter(quiet), total, all_tasks=all_tasks)
    counts = job.draw(records, noise) if request is None else job.tabulate(records, request, parts)
    if counts.unconverged and explainer.method is Method.INTEGRATED_GRADIENTS:
        job.reporter.warning(f"{counts.unconverged} did not converge to tol = {tol}; see their residuals")


def _check_molecules(smiles: list[str] | None, source: str | None, resume: bool) -> None:
    from molig.errors import UsageError

    if bool(smiles) == bool(source):
        raise UsageError("give molecules either by --smiles or by -i FILE")
    if resume and not source:
        raise UsageError("--resume continues a run over a file: give the molecules by -i FILE")
    if resume and source == "-":
        raise UsageError("standard input cannot be read again, so its run cannot be resumed; use a file")


class _Job:
    """Explaining and writing, with progress and warnings."""

    def __init__(
        self,
        explainer: Explainer,
        output: Path,
        reporter: Reporter,
        total: int | None,
        *,
        all_tasks: bool = False,
    ) -> None:
        self.reporter = reporter
        self._name, self._output, self._total = explainer.model.name, output, total
        self._explain: Explain = explainer.explain_all_tasks if all_tasks else explainer.explain_records
        self._per_row = len(explainer.model.tasks) if all_tasks else 1

    def draw(self, records: Iterator[Record], noise: float) -> Counts:
        """Make a picture or a page."""
        from molig.report import write_explanations
        from molig.report.tables import explain_rows

        with self.reporter.progress("explaining", self._total) as advance:
            watch = _Watch(self.reporter, advance, self._per_row)
            rows = explain_rows(records, self._explain, watch)
            title = f"Explanations by {self._name}"
            counts = write_explanations((found for _, found in rows), self._output, title=title, noise=noise)
        self.reporter.info(f"{counts.explained} explained, {counts.rejected} rejected: {self._output}")
        return counts

    def tabulate(self, records: Iterator[Record], request: TableRequest, parts: Parts | None) -> Counts:
        """Make a table, from where a former run has come to."""
        from molig.report import write_table

        n_done = parts.n_rows if parts else 0
        if n_done:
            self.reporter.info(f"{n_done:,} rows are done already")
        total = None if self._total is None else max(self._total - n_done, 0)
        with self._keeping(parts), self.reporter.progress("explaining", total) as advance:
            watch = _Watch(self.reporter, advance, self._per_row, most=_SHOWN)
            counts = write_table(records, self._explain, request, parts=parts, watch=watch)
        if watch.n_hidden:
            self.reporter.warning(f"{watch.n_hidden:,} more rejected rows; see {request.rejects_path}")
        self.reporter.info(f"{counts.explained} explained, {counts.rejected} rejected: {self._output}")
        self.reporter.info(f"rejected rows: {request.rejects_path}")
        return counts

    @contextlib.contextmanager
    def _keeping(self, parts: Parts | None) -> Iterator[None]:
        """If the run breaks off, say what is kept of it."""
        try:
            yield
        except BaseException:
            if parts and parts.n_rows and parts.directory.exists():
                done = f"{parts.n_rows:,} rows are done and kept in {parts.directory}"
                self.reporter.warning(f"{done}; the same command with --resume continues there")
            raise


class _Watch:
    """Advances the bar and names rejected rows, the first of them at least."""

    def __init__(
        self, reporter: Reporter, advance: Callable[[int], None], per_row: int, most: int | None = None
    ) -> None:
        self.n_hidden = 0
        self._per_row, self._n_explained = per_row, 0
        self._reporter, self._advance, self._left = reporter, advance, most

    def __call__(self, result: Explanation | Rejection) -> None:
        """Take one more result."""
        from molig.molecules import Rejection

        if not isinstance(result, Rejection):
            self._n_explained += 1
            if self._n_explained % self._per_row == 0:
                self._advance(1)
            return
        self._advance(1)
        if self._left == 0:
            self.n_hidden += 1
            return
        self._left = None if self._left is None else self._left - 1
        self._reporter.warning(f"row {result.row} ({result.id}) {result.smiles!r}: {result.reason}")


def _table_request(
    output: Path, source: str | None, layout: str | None, rejects: Path | None, resume: bool
) -> TableRequest | None:
    """What table is asked for, or None if it is a drawing."""
    from molig.errors import UsageError
    from molig.report import TableRequest
    from molig.report.tables import TABLES

    if output.suffix.lower() in TABLES:
        return TableRequest(output, layout or "features", rejects, source)
    asked = {"--layout": layout is not None, "--rejects": rejects is not None, "--resume": resume}
    wrong = [name for name, given in asked.items() if given]
    if wrong:
        raise UsageError(f"{wrong[0]} is for tables ({', '.join(TABLES)}), and {output} is none")
    return None


def _records(smiles: list[str]) -> Iterator[Record]:
    from molig.molecules import Record, smiles_records

    return (Record(r.row, r.smiles, r.smiles) for r in smiles_records(smiles))
