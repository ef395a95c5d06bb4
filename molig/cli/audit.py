"""`molig audit`: findings about a model, with evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.options import (
    MOLECULES,
    DeviceOption,
    ModelOption,
    QuietOption,
    Reading,
    ReadsAtomsAndBits,
    ThreadsOption,
    input_argument,
    input_option,
    one_input,
    tasks_named,
    with_groups,
)
from molig.errors import UsageError
from molig.files import count_rows

if TYPE_CHECKING:
    from molig.audit import Audit, AuditSettings, AuditSubject, Check, LabelledFile
    from molig.model import ScoringModel


def _list(wanted: bool) -> None:
    if not wanted:
        return
    from molig.audit.registry import available_checks

    rows = [[check.name, check.title, check.question] for check in available_checks().values()]
    print_table(["check", "title", "asks"], rows)
    raise typer.Exit


@with_groups
def audit(
    *,
    model: ModelOption,
    molecules: Annotated[str | None, input_argument()] = None,
    source: Annotated[
        str | None,
        input_option(f"Perhaps with labels. {MOLECULES} Default: what training held out."),
    ] = None,
    output: Annotated[
        list[Path] | None, typer.Option("-o", "--output", help="Report: .html, .json or .md; repeatable.")
    ] = None,
    only: Annotated[str | None, typer.Option("--only", help="Checks to make, joined by commas.")] = None,
    skip: Annotated[str | None, typer.Option("--skip", help="Checks not to make.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", help="Exit with 1 at findings of this severity: warning or error."),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Task to audit, repeatable; default: all.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="TASK=COLUMN, where labels are not in a column called like the task."),
    ] = None,
    compare: Annotated[
        list[str] | None, typer.Option("--compare", help="Model for the same tasks, such as another seed.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option("--pairs", help="Activity cliffs: smiles_a, smiles_b, difference, task.")
    ] = None,
    max_molecules: Annotated[int, typer.Option("--max-molecules", help="Audit at most this many.")] = 5000,
    max_explained: Annotated[
        int | None, typer.Option("--max-explained", help="Explain at most this many; default: 500, or 100.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of samples and random weights.")] = 0,
    card: Annotated[bool, typer.Option("--card", help="State the result on the model's card.")] = False,
    list_checks: Annotated[
        bool,
        typer.Option("--list", help="List the checks and stop.", is_eager=True, callback=_list),
    ] = False,
    columns: Reading,
    foreign: ReadsAtomsAndBits,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Find features and behaviours of a model that should not be believed, with molecules and numbers.

    A model with tasks of both kinds, such as admet-ai, is audited twice: the probabilities, then the values.
    The reports are then called NAME-classification and NAME-regression.

    Exit code 1 at findings of the severity of --fail-on, or if a check breaks off.
    """
    use_threads(threads)
    reporter = Reporter(quiet)
    from molig.audit import AuditSettings, Severity
    from molig.audit.registry import choose_checks
    from molig.audit.report import attach_audit, check_audit_output, path_of_part
    from molig.audit.run import audited_parts
    from molig.foreign import load_any_model
    from molig.model import ScreeningModel

    source = one_input(molecules, source)
    threshold = _severity(fail_on)
    if card and (only or skip or task):
        raise UsageError("--card states a whole audit: leave --only, --skip and --task out")
    names = tuple(_names(only)), tuple(_names(skip))
    n_checks = len(choose_checks(*names))
    files = [check_audit_output(path) for path in output or []]
    loaded = foreign.load(model, device)
    if not isinstance(loaded, ScreeningModel):
        _refuse_own(loaded, source, card)
    audited = audited_parts(loaded, tasks_named(loaded, task or ()))
    _check_kinds(loaded, len(audited), source, label, pairs)
    settings = AuditSettings(
        max_molecules=max_molecules,
        max_explained=max_explained,
        seed=seed,
        partners=tuple(part for name in compare or () for part in load_any_model(name, device).parts()),
    )
    file, where = _file(model, source, label, columns)
    fails = False
    for part, tasks in audited:
        subject = _read(part, file.of_part(part), replace(settings, tasks=tasks), pairs, reporter)
        result = _run(subject, names, where, n_checks, reporter)
        _report(result, [path_of_part(path, part, len(audited)) for path in files], reporter)
        if card:
            attach_audit(result, model[0], _options(source, label, columns, pairs))
        fails |= result.fails(Severity(threshold) if threshold else None)
    if fails:
        raise typer.Exit(1)


def _refuse_own(model: ScoringModel, source: str | None, card: bool) -> None:
    """Refuse what only the directory of a model of molig makes possible."""
    if source is None:
        raise UsageError(
            "models of other packages do not record what their training held out: give molecules with --input"
        )
    if card:
        raise UsageError(f"--card writes into a model directory of molig, and {model.name} has none")


def _check_kinds(
    model: ScoringModel, n_parts: int, source: str | None, label: list[str] | None, pairs: Path | None
) -> None:
    """Refuse what is for tasks of one kind, where tasks of both are audited."""
    for option, given in (("--pairs", pairs), ("-i -", source == "-")):
        if given and n_parts > 1:
            raise UsageError(
                f"{model.name} has tasks that are probabilities and tasks that are values, which are audited "
                f"one after the other: with {option}, name tasks of one kind with --task"
            )
    for text in label or ():
        if task := text.rpartition("=")[0]:
            model.task_index(task)


def _severity(name: str | None) -> str | None:
    from molig.errors import UnknownNameError

    if name is not None and name not in ("warning", "error"):
        raise UnknownNameError("severity", name, ["warning", "error"])
    return name


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _file(
    model: list[str],
    source: str | None,
    label: list[str] | None,
    columns: Reading,
) -> tuple[LabelledFile, str]:
    """The molecules to audit with, and what to call them."""
    from molig.audit import LabelledFile
    from molig.audit.inputs import held_out_file

    labels = {}
    for text in label or ():
        task, separator, column = text.rpartition("=")
        if not separator or not task or not column:
            raise UsageError(f"--label expects TASK=COLUMN (got {text!r})")
        labels[task] = column
    if source is None:
        if labels or columns != Reading():
            raise UsageError("--label and columns belong to a file: name it with --input")
        file, part = held_out_file(model[0])
        return file, f"the {part} part of {Path(file.source).name}"
    name = "standard input" if source == "-" else Path(source).name
    return LabelledFile(source, labels, **columns.arguments), name


def _options(
    source: str | None,
    label: list[str] | None,
    columns: Reading,
    pairs: Path | None,
) -> list[str]:
    """The options that say which molecules were taken, for the card: files by name only."""
    named = [("-i", source if source in (None, "-") else Path(source).name)]
    named += [("--label", text) for text in label or ()]
    named += columns.in_words.items()
    named += [("--pairs", pairs.name if pairs else None)]
    return [word for option, value in named if value for word in (option, value)]


def _read(
    model: ScoringModel, file: LabelledFile, settings: AuditSettings, pairs: Path | None, reporter: Reporter
) -> AuditSubject:
    from molig.audit import read_subject

    if pairs is not None:
        from molig.audit.checks.activity_cliffs import read_pairs

        settings = replace(settings, pairs=tuple(read_pairs(pairs, model)))
    total = None if str(file.source) == "-" or file.rows is not None else count_rows(Path(file.source))
    with reporter.progress("reading", total or (len(file.rows) if file.rows else None)) as advance:
        subject = read_subject(model, file, settings, advance)
    if subject.rejections:
        first = subject.rejections[0]
        reporter.warning(
            f"{len(subject.rejections)} rows cannot be scored (first: row {first.row}: {first.reason})"
        )
    return subject


def _run(
    subject: AuditSubject,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    where: str,
    n_checks: int,
    reporter: Reporter,
) -> Audit:
    from itertools import count

    from molig.audit import audit as run

    number = count(1)

    def tell(check: Check) -> None:
        reporter.info(f"{next(number)}/{n_checks} {check.name}: {check.question}")

    # How many molecules will be explained, for all checks together, is known at the end only.
    with reporter.progress("explaining", None) as advance:
        subject = replace(subject, progress=advance)
        return run(subject, only=names[0], skip=names[1], source=where, on_check=tell)


def _report(result: Audit, paths: list[Path], reporter: Reporter) -> None:
    """Write the reports, and print what came of every check."""
    from molig.audit import write_audit
    from molig.audit.report import verdict

    for path in paths:
        reporter.info(f"report: {write_audit(result, path)}")
    rows = [
        [
            r.check.name,
            r.status,
            str(len(r.outcome.findings)),
            f"{r.seconds:.1f}",
            r.skipped or _first(r.outcome),
        ]
        for r in result.results
    ]
    title = f"Audit of {result.subject.model.name} with {result.source}"
    print_table(["check", "result", "findings", "seconds", "what"], rows, title=title)
    reporter.info(verdict(result))


def _first(outcome: object) -> str:
    from molig.audit import Outcome

    if not isinstance(outcome, Outcome) or not outcome.findings:
        return ""
    return max(outcome.findings, key=lambda finding: finding.severity.rank).summary
