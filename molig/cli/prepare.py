"""`molig prepare`: featurize a library once, to screen it often."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molig.cli.console import Reporter
from molig.cli.options import (
    ForceOption,
    JobsOption,
    KeepOption,
    QuietOption,
    Reading,
    ResumeOption,
    ShardOption,
    TimeLimitOption,
    input_argument,
    input_option,
    kept_columns,
    needed_input,
    with_groups,
)
from molig.files import count_rows

_SHOWN = 5


@with_groups
def prepare(
    *,
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory of the feature store.")],
    library: Annotated[
        str | None,
        input_argument(
            ".smi, .csv, .tsv, .sdf, .parquet or .xlsx, also packed; a data set by name; - for stdin.",
            "LIBRARY",
        ),
    ] = None,
    source: Annotated[str | None, input_option("The same as LIBRARY.")] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            "--for",
            help="Model of molig that the store shall serve, repeatable; default: all bundled ones.",
        ),
    ] = None,
    applicability: Annotated[
        bool,
        typer.Option("--applicability", help="Also keep what `molig screen --applicability` compares."),
    ] = False,
    keep: KeepOption = None,
    jobs: JobsOption = None,
    time_limit: TimeLimitOption = 10.0,
    resume: ResumeOption = False,
    shard: ShardOption = None,
    force: ForceOption = False,
    reading: Reading,
    quiet: QuietOption = False,
) -> None:
    """Read, standardise and featurize LIBRARY once; `molig screen STORE` then needs no RDKit."""
    from molig.model import bundled_models
    from molig.molecules import read_records
    from molig.screening import PrepareOptions, Shard
    from molig.screening import prepare as run
    from molig.screening.preparing import models_to_serve
    from molig.screening.store_writing import check_target, parts_place

    reporter = Reporter(quiet)
    library = needed_input(library, source)
    named = models_to_serve(models or list(bundled_models()))
    share = None if shard is None else Shard.parse(shard)
    if share is None:
        check_target(output, force=force, resume=resume)
    records = read_records(library, keep=kept_columns(keep), **reading.arguments)
    with (
        reporter.telling_what_is_kept(parts_place(output, share)),
        reporter.progress("preparing", count_rows(Path(library))) as bar,
    ):

        def resumed(n: int) -> None:
            reporter.info(f"{n:,} rows are done already")
            bar.leave_out(n)

        options = PrepareOptions(
            applicability=applicability,
            jobs=jobs,
            time_limit=time_limit,
            force=force,
            shard=share,
            resume=resume,
            progress=bar,
            resumed=resumed,
        )
        info = run(records, output, named, library=library, options=options)
    size = "" if share else f", {info.bytes_per_molecule:,.0f} bytes per molecule"
    reporter.info(f"{info.n_rows:,} rows: {info.n_molecules:,} molecules, {info.n_rejected:,} rejected{size}")
    for reason, count in list(info.reasons.items())[:_SHOWN]:
        reporter.info(f"rejected: {count:,} x {reason}")
    if share is not None:
        reporter.info(f"shard {share}: {parts_place(output, share)}; `molig merge` makes the store of them")
        return
    reporter.info(
        f"feature store: {output}, for {', '.join(info.made_for)} and all models with these features"
    )
