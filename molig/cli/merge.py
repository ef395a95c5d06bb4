"""`molig merge`: put the shards of a library together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molig.cli.console import Reporter
from molig.cli.options import CsvSafeOption, ForceOption, MaxRejectsOption, QuietOption


def merge(
    shards: Annotated[
        list[Path],
        typer.Argument(help="Directories that `molig screen --shard I/N` has left, all N of them."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="hits.parquet or hits.csv.")],
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Only the best K, best first.")] = None,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", help="Rejected rows with reasons; default NAME.rejected.csv.")
    ] = None,
    max_rejects: MaxRejectsOption = "50%",
    csv_safe: CsvSafeOption = False,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Put the shards of a library together: the tables that one run would have written."""
    from molig.molecules.causes import RejectBound
    from molig.screening import merge as run

    reporter = Reporter(quiet)
    result = run(
        shards,
        output,
        rejects=rejects,
        top_k=top_k,
        max_rejects=RejectBound.parse(max_rejects),
        csv_safe=csv_safe,
        force=force,
    )
    reporter.info(result.meaning)
    reporter.info(
        f"{result.n_rows:,} rows of {len(shards)} shards: {result.n_scored:,} scored, "
        f"{result.n_rejected:,} rejected, {result.n_hits:,} hits"
    )
    reporter.info(f"hits: {output}\nrejected rows: {result.rejects}")
