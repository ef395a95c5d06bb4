"""`molig demo`: real molecules, ranked and explained, in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.options import DeviceOption, QuietOption, ThreadsOption, task_named
from molig.files import count_rows

MODEL = "tox21-w2n2-simple"
TASK = "SR-MMP"
TASK_MEANING = "loss of the mitochondrial membrane potential"
TOP = 10


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Page to write.")] = Path("demo/report.html"),
    task: Annotated[str, typer.Option("--task", help="Tox21 assay to rank by.")] = TASK,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Screen the NCI library that comes with RDKit, and explain the ten best molecules."""
    import molig
    from molig.attribution import Explainer
    from molig.errors import OutputError
    from molig.model import load_model
    from molig.molecules import Record, Rejection
    from molig.molecules.library import rdkit_library
    from molig.report import write_explanations
    from molig.report.explaining import rejected_rows
    from molig.report.outputs import check_explanation_output, sentence
    from molig.screening import ScreeningOptions, screen

    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot make {output.parent}: {err.strerror or err}") from err
    check_explanation_output(output)
    reporter = Reporter(quiet)
    use_threads(threads)
    model, library = load_model(MODEL, device), rdkit_library()
    task = task_named(model, task) or task
    with reporter.progress("screening", count_rows(library)) as advance:
        result = screen(library, model, options=ScreeningOptions(task=task, top_k=TOP, progress=advance))
    records = [
        Record(hit["row"], f"NCI {hit['id']}", hit["smiles"], kept=(hit["rank"],))
        for hit in result.hits.to_dict("records")
    ]
    why = list(Explainer(model, task=task).explain_rows(records))
    print_table(
        ["rank", "molecule", "SMILES", task, "why"],
        [
            [str(record.kept[0]), record.id, record.smiles, f"{one.score:.4f}", sentence(one)]
            for record, found in why
            if not isinstance(found, Rejection)
            for one in found
        ],
        title=f"Best {TOP} of {result.n_scored:,} NCI molecules by {task} ({model.name})",
    )
    meaning = f" ({TASK_MEANING})" if task == TASK else ""
    write_explanations(
        [*why, *rejected_rows(result)],
        output,
        title=f"NCI molecules by {task}",
        meaning=f"The {len(why)} highest-scoring molecules for Tox21 assay {task}{meaning}, and why.",
        facts=(
            ("model", model.name),
            ("library", "first_5K.smi, NCI, as distributed with RDKit"),
            ("screened", f"{result.n_scored:,}"),
            ("molig", molig.__version__),
        ),
        columns=("rank",),
        domain=model.domain(),
    )
    reporter.info(
        f"{result.n_rows:,} rows: {result.n_scored:,} scored, {result.n_rejected} rejected, "
        f"{result.n_rows / result.seconds:,.0f} molecules/s"
    )
    typer.echo(f"report: {output}")
