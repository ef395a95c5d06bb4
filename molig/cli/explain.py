"""`molig explain`: pictures, pages and tables of attributions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, count_rows, use_threads
from molig.cli.options import (
    DeviceOption,
    FormatOption,
    IdColumnOption,
    ModelOption,
    QuietOption,
    SmilesColumnOption,
    TaskOption,
    ThreadsOption,
)

if TYPE_CHECKING:
    from molig.attribution import Explanation
    from molig.molecules import Record, Rejection


def explain(
    model: ModelOption,
    output: Annotated[Path, typer.Option("-o", "--output", help="out.svg, .png, .html, .parquet or .csv.")],
    smiles: Annotated[list[str] | None, typer.Option("--smiles", help="A molecule; may be repeated.")] = None,
    source: Annotated[
        str | None, typer.Option("-i", "--input", help="A file of molecules; - for stdin.")
    ] = None,
    task: TaskOption = None,
    target: Annotated[str, typer.Option("--target", help="probability or logit.")] = "probability",
    tol: Annotated[
        float, typer.Option("--tol", help="Allowed residual, as a share of the score's change.")
    ] = 0.01,
    noise: Annotated[
        float, typer.Option("--noise", min=0, max=1, help="Grey out scores below this share of the largest.")
    ] = 0.0,
    smiles_column: SmilesColumnOption = None,
    id_column: IdColumnOption = None,
    file_format: FormatOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Say why molecules get their scores, atom by atom."""
    from molig.attribution import Explainer
    from molig.errors import UsageError
    from molig.model import load_model
    from molig.molecules import read_records
    from molig.report import check_explanation_output, write_explanations

    if bool(smiles) == bool(source):
        raise UsageError("give molecules either by --smiles or by -i FILE")
    check_explanation_output(output, source)
    reporter = Reporter(quiet)
    use_threads(threads)
    explainer = Explainer(load_model(model, device), task=task, target=target, tol=tol)
    if source:
        total = count_rows(Path(source))
        records = read_records(
            source, smiles_column=smiles_column, id_column=id_column, file_format=file_format
        )
    else:
        total, records = len(smiles or []), _records(smiles or [])
    with reporter.progress("explaining", total) as advance:
        counts = write_explanations(
            _watched(explainer.explain_records(records), advance, reporter),
            output,
            title=f"Explanations by {explainer.model.name}",
            noise=noise,
        )
    reporter.info(f"{counts.explained} explained, {counts.rejected} rejected: {output}")
    if counts.unconverged:
        reporter.warning(f"{counts.unconverged} did not converge to tol = {tol}; see their residuals")


def _records(smiles: list[str]) -> Iterator[Record]:
    from molig.molecules import Record, smiles_records

    return (Record(r.row, r.smiles, r.smiles) for r in smiles_records(smiles))


def _watched(
    results: Iterator[Explanation | Rejection], advance: object, reporter: Reporter
) -> Iterator[Explanation | Rejection]:
    """Pass results on, advancing the bar and naming rejected rows."""
    from molig.molecules import Rejection

    for result in results:
        if isinstance(result, Rejection):
            reporter.warning(f"row {result.row} ({result.id}) {result.smiles!r}: {result.reason}")
        if callable(advance):
            advance(1)
        yield result
