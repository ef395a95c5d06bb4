"""`molig screen`: rank a library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molig.cli.console import Reporter, count_rows, use_threads
from molig.cli.options import (
    AddHOption,
    AtomFeaturesOption,
    CsvSafeOption,
    DelimiterOption,
    DeviceOption,
    FingerprintOption,
    FormatOption,
    IdColumnOption,
    IgnoreStereoOption,
    KeepHOption,
    ModelOption,
    QuietOption,
    ReorderAtomsOption,
    SmilesColumnOption,
    ThreadsOption,
    TrustPickleOption,
    load_named,
    resolved_input,
)

_SHOWN = 20


def screen(
    library: Annotated[
        str,
        typer.Argument(
            callback=resolved_input,
            help=".smi, .csv, .tsv, .sdf, .parquet or .xlsx, also packed; a data set by name; - for stdin.",
        ),
    ],
    model: ModelOption,
    output: Annotated[
        str, typer.Option("-o", "--output", help="hits.parquet, hits.csv, or - for stdout.")
    ] = "-",
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="Task of the model, or all: a column for each, without ranks; default: the highest-scoring.",
        ),
    ] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", min=1, help="Only the best K, best first.")] = None,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", help="Rejected rows with reasons; default NAME.rejected.csv.")
    ] = None,
    applicability: Annotated[
        bool,
        typer.Option(
            "--applicability", help="Say of each molecule whether it is like those of the model's training."
        ),
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Chance that to call it active (or not) is wrong; how far members of a committee disagree.",
        ),
    ] = False,
    percentiles: Annotated[
        bool,
        typer.Option("--percentiles", help="With admet-ai: where scores stand among approved drugs."),
    ] = False,
    atc: Annotated[
        str | None,
        typer.Option("--atc", help="Percentiles among drugs of this ATC class only, by its name."),
    ] = None,
    smiles_column: SmilesColumnOption = None,
    id_column: IdColumnOption = None,
    file_format: FormatOption = None,
    delimiter: DelimiterOption = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Molecules at a time.")] = 512,
    atom_features: AtomFeaturesOption = None,
    keep_h: KeepHOption = None,
    add_h: AddHOption = None,
    ignore_stereo: IgnoreStereoOption = None,
    reorder_atoms: ReorderAtomsOption = None,
    fingerprint: FingerprintOption = None,
    trust_pickle: TrustPickleOption = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    csv_safe: CsvSafeOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score every molecule of LIBRARY and rank them."""
    from molig.foreign import FingerprintOptions
    from molig.model import Objective
    from molig.screening import ScreeningOptions
    from molig.screening import screen as run

    reporter = Reporter(quiet)
    use_threads(threads)
    of_molecules = (atom_features, keep_h, add_h, ignore_stereo, reorder_atoms)
    loaded = load_named(model, device, *of_molecules, FingerprintOptions(fingerprint, trust_pickle))
    if task is None and len(loaded.tasks) > 1 and loaded.objective is Objective.CLASSIFICATION:
        reporter.info(f"no --task: ranking by the highest of {len(loaded.tasks)} task scores")
    with reporter.progress("screening", count_rows(Path(library))) as advance:
        options = ScreeningOptions(
            task=task,
            top_k=top_k,
            smiles_column=smiles_column,
            id_column=id_column,
            file_format=file_format,
            delimiter=delimiter,
            batch_size=batch_size,
            progress=advance,
            applicability=applicability,
            uncertainty=uncertainty,
            percentiles=percentiles,
            atc=atc,
            csv_safe=csv_safe,
        )
        result = run(library, loaded, output=output, rejects=rejects, options=options)
    reporter.info(result.meaning)
    reporter.info(
        f"{result.n_rows:,} rows: {result.n_scored:,} scored, {result.n_rejected:,} rejected, "
        f"{result.n_rows / result.seconds:,.0f} molecules/s"
    )
    if output != "-":
        reporter.info(f"hits: {output}\nrejected rows: {result.rejects}")
    elif result.n_rejected and result.rejects is None:
        for row in result.rejections.head(_SHOWN).itertuples():
            reporter.warning(f"row {row.row} ({row.id}) {row.smiles!r}: {row.reason}")
        if result.n_rejected > _SHOWN:
            reporter.warning(
                f"{result.n_rejected - _SHOWN:,} more rejected rows; --rejects FILE keeps them all"
            )
