"""`molig demo`: real molecules, ranked and explained, in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, count_rows, print_table, use_threads
from molig.cli.options import DeviceOption, QuietOption, ThreadsOption, task_named

if TYPE_CHECKING:
    from molig.attribution import Explanation
    from molig.model import ScreeningModel
    from molig.screening import ScreeningResult

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
    from molig.attribution import Explainer
    from molig.errors import OutputError
    from molig.files import write_whole
    from molig.model import load_model
    from molig.molecules import Record
    from molig.molecules.library import rdkit_library
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
        Record(hit["rank"], f"NCI {hit['id']}", hit["smiles"]) for hit in result.hits.to_dict("records")
    ]
    molecules, _ = model.parser.parse_many(records)
    why = Explainer(model, task=task).explain_molecules(molecules)
    print_table(
        ["rank", "molecule", "SMILES", task, "why"],
        [
            [str(m.row), m.id, m.smiles, f"{e.score:.4f}", sentence(e)]
            for m, e in zip(molecules, why, strict=True)
        ],
        title=f"Best {TOP} of {result.n_scored:,} NCI molecules by {task} ({model.name})",
    )
    write_whole(output, _page(model, task, result, why).encode())
    reporter.info(
        f"{result.n_rows:,} rows: {result.n_scored:,} scored, {result.n_rejected} rejected, "
        f"{result.n_rows / result.seconds:,.0f} molecules/s"
    )
    typer.echo(f"report: {output}")


def _page(model: ScreeningModel, task: str, result: ScreeningResult, why: list[Explanation]) -> str:
    import molig
    from molig.report import Report, explanation_card, render_report
    from molig.report.outputs import sentence

    meaning = f" ({TASK_MEANING})" if task == TASK else ""
    rejections = result.rejections.to_dict("records")
    rejected = [f"Rejected: row {r['row']}, {r['smiles']}: {r['reason']}" for r in rejections]
    return render_report(
        Report(
            title=f"NCI molecules by {task}",
            subtitle=f"The {len(why)} highest-scoring molecules for Tox21 assay {task}{meaning}, and why.",
            facts=(
                ("model", model.name),
                ("library", "first_5K.smi, NCI, as distributed with RDKit"),
                ("screened", f"{result.n_scored:,}"),
                ("rejected", str(result.n_rejected)),
                ("molig", molig.__version__),
            ),
            table_header=("rank", "molecule", task, "why"),
            table_rows=[(str(i), e.id, f"{e.score:.4f}", sentence(e)) for i, e in enumerate(why, start=1)],
            cards=[explanation_card(e) for e in why],
            footnotes=rejected,
        )
    )
