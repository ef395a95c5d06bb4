"""`molig merge`: put the shards of a library together: of hits, explanations or a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molig.cli.console import Reporter
from molig.cli.options import CsvSafeOption, ForceOption, MaxRejectsOption, QuietOption, RejectsOption
from molig.errors import UsageError


def merge(
    output: Annotated[Path, typer.Option("-o", "--output", help="hits.parquet, .csv or .xlsx; a store.")],
    shards: Annotated[
        list[Path] | None,
        typer.Argument(
            show_default=False,
            help="Directories that `molig screen`, `explain` or `prepare` --shard I/N has left, all N.",
        ),
    ] = None,
    more_shards: Annotated[
        list[Path] | None, typer.Option("-i", "--input", help="The same; may be repeated.")
    ] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Only the best K, best first.")] = None,
    rejects: RejectsOption = None,
    max_rejects: MaxRejectsOption = "50%",
    csv_safe: CsvSafeOption = False,
    force: ForceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Put shards together, of a screen, explanations or a store, to what one run would have written."""
    from molig.molecules.causes import RejectBound
    from molig.report.explaining import EXPLANATIONS
    from molig.screening import merge as run
    from molig.screening.store_writing import described
    from molig.tables import Parts

    reporter = Reporter(quiet)
    shards = [*(shards or []), *(more_shards or [])]
    if not shards:
        raise UsageError(
            "name the directories of the shards, as `molig screen`, `explain` or `prepare` with --shard I/N "
            "has left them"
        )
    about = Parts.about_of(shards[0])
    if EXPLANATIONS in about:
        _merge_explanations(shards, output, rejects, top_k, csv_safe, force, reporter)
        return
    if described(about) is not None:
        of_hits = {"--top-k": top_k is not None, "--rejects": rejects is not None, "--csv-safe": csv_safe}
        _merge_stores(shards, output, of_hits, reporter, force=force)
        return
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


def _merge_explanations(
    shards: list[Path],
    output: Path,
    rejects: Path | None,
    top_k: int | None,
    csv_safe: bool,
    force: bool,
    reporter: Reporter,
) -> None:
    from molig.report import merge_explanations

    if top_k is not None:
        raise UsageError("--top-k is for hits, and these shards hold explanations")
    if output.exists() and not force:
        raise UsageError(f"{output} is there already: choose another output, or replace it with --force")
    counts = merge_explanations(shards, output, rejects=rejects, csv_safe=csv_safe).counts
    reporter.info(f"{len(shards)} shards: {counts.explained} explained, {counts.rejected} rejected: {output}")


def _merge_stores(
    shards: list[Path], output: Path, of_hits: dict[str, bool], reporter: Reporter, *, force: bool
) -> None:
    from molig.screening import merge_stores

    if wrong := [name for name, given in of_hits.items() if given]:
        raise UsageError(f"{wrong[0]} is for hits, and {shards[0]} is a shard of a feature store")
    info = merge_stores(shards, output, force=force)
    reporter.info(
        f"{info.n_rows:,} rows of {len(shards)} shards: {info.n_molecules:,} molecules, "
        f"{info.n_rejected:,} rejected\nfeature store: {output}"
    )
