"""The result of an audit, and its reports: JSON, Markdown, HTML, and a summary on the card of the model."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from molig.audit.findings import Evidence, Finding, Outcome, Severity, plain
from molig.audit.registry import Check, available_checks
from molig.audit.subject import AuditSubject
from molig.errors import UsageError
from molig.files import html_templates, markdown_table, write_whole
from molig.model import (
    AuditedFinding,
    AuditSummary,
    ScoringModel,
    ScreeningModel,
    find_model,
    load_model,
    model_card,
    save_model,
)
from molig.text import legible_markdown
from molig.version import __version__


@dataclass(frozen=True)
class CheckResult:
    """What became of one check.

    Parameters
    ----------
    check : Check
        The check.
    outcome : Outcome
        Its findings and measurements.
    skipped : str
        Why it could not be run; empty if it was.
    failed : bool
        Whether it broke off with an error; then its only finding says so.
    seconds : float
        Time it took.
    """

    check: Check
    outcome: Outcome
    skipped: str = ""
    failed: bool = False
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """``"failed"``, ``"skipped"``, the highest severity of its findings, or ``"ok"``."""
        if self.failed or self.skipped:
            return "failed" if self.failed else "skipped"
        worst = max(self.outcome.findings, key=lambda f: f.severity.rank, default=None)
        return worst.severity.value if worst else "ok"


@dataclass(frozen=True)
class Audit:
    """The result of an audit.

    Parameters
    ----------
    subject : AuditSubject
        What was audited.
    results : sequence of CheckResult
        One per check, in order.
    source : str
        Name of the file the molecules came from.
    """

    subject: AuditSubject
    results: Sequence[CheckResult]
    source: str = ""

    @property
    def findings(self) -> list[Finding]:
        """All findings, worst first."""
        every = [finding for result in self.results for finding in result.outcome.findings]
        return sorted(every, key=lambda finding: -finding.severity.rank)

    @property
    def failed(self) -> bool:
        """Whether a check broke off."""
        return any(result.failed for result in self.results)

    def count(self, severity: Severity) -> int:
        """Number of findings of a severity."""
        return sum(finding.severity is severity for finding in self.findings)

    def fails(self, threshold: Severity | None) -> bool:
        """Whether a check broke off, or there is a finding of at least this severity, if one is given."""
        severe = threshold is not None and any(f.severity.rank >= threshold.rank for f in self.findings)
        return self.failed or severe

    def _repr_html_(self) -> str:
        return audit_fragment(self)


# An audit as plain data, and in a few sentences.

LAYOUT = 1  # of the JSON document


def audit_data(audit: Audit) -> dict[str, Any]:
    """Plain data of an audit."""
    subject = audit.subject
    return {
        "layout": LAYOUT,
        "molig_version": __version__,
        "model": _model_data(subject.model),
        "molecules": {
            "source": audit.source,
            "audited": len(subject.molecules),
            "rejected": len(subject.rejections),
            "explained": _explained(audit),
            "labelled": subject.is_labelled,
        },
        "settings": {
            "tasks": list(subject.tasks),
            "max_molecules": subject.settings.max_molecules,
            "max_explained": subject.max_explained,
            "seed": subject.settings.seed,
            "partners": [partner.name for partner in subject.settings.partners],
            "pairs": len(subject.settings.pairs),
        },
        "counts": {severity.value: audit.count(severity) for severity in Severity},
        "findings": [finding.to_dict() for finding in audit.findings],
        "checks": [
            {
                "check": result.check.name,
                "status": result.status,
                "reason": result.skipped,
                "remark": result.outcome.remark,
                "measured": plain(result.outcome.measured),
            }
            for result in audit.results
        ],
    }


def _model_data(model: ScoringModel) -> dict[str, Any]:
    """Which model it was."""
    if not isinstance(model, ScreeningModel):
        return {
            "name": model.name,
            "schema_hash": model.schema.hash,
            "digest": model.digest(),
            "network": repr(model),
            "tasks": list(model.tasks),
            "members": {},
        }
    info, distance = model.info, model.schema.max_pair_distance
    return {
        "name": info.name,
        "schema_hash": info.schema_hash,
        "weights_sha256": info.weights_sha256,
        "applicability_sha256": info.applicability.sha256 if info.applicability else None,
        "network": f"W{info.network.n_modules}N{'max' if distance is None else distance}",
        "tasks": list(model.tasks),
        "members": _members(model),
    }


def _members(model: ScoringModel) -> dict[str, dict[str, float]]:
    """Name of each member of a committee to its weight in the score of each task."""
    committee = model.info.committee if isinstance(model, ScreeningModel) else None
    if committee is None:
        return {}
    return {m.name: dict(zip(model.tasks, m.weights, strict=True)) for m in committee.members}


def audit_json(audit: Audit) -> str:
    """JSON text of `audit_data`; the same audit gives the same text."""
    return json.dumps(audit_data(audit), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def verdict(audit: Audit) -> str:
    """One sentence about the whole."""
    n_errors, n_warnings = audit.count(Severity.ERROR), audit.count(Severity.WARNING)
    done = [result for result in audit.results if not result.skipped]
    skipped = len(audit.results) - len(done)
    left_out = f"; {skipped} could not be run" if skipped else ""
    if not n_errors + n_warnings:
        return f"{_many(len(done), 'check')} run; nothing speaks against the model{left_out}."
    what = [_many(n, word) for n, word in ((n_errors, "error"), (n_warnings, "warning")) if n]
    return f"{' and '.join(what)} in {_many(len(done), 'check')}{left_out}."


def sampling(audit: Audit) -> list[str]:
    """Sentences about which molecules were audited and explained."""
    subject, settings = audit.subject, audit.subject.settings
    n, n_rejected, n_explained = len(subject.molecules), len(subject.rejections), _explained(audit)
    sentences = _committee(subject.model)
    sentences += [f"{n:,} molecules audited" + (f" of {audit.source}" if audit.source else "") + "."]
    if n + n_rejected >= settings.max_molecules:
        sentences.append(
            f"At most {settings.max_molecules:,} rows are taken: a sample, half of it active if there are so "
            f"many (seed {settings.seed}), so rates of actives are those of the sample, not of the file."
        )
    if n_rejected:
        first = subject.rejections[0]
        sentences.append(
            f"{n_rejected:,} rows cannot be scored, the first of them row {first.row}: {first.reason}."
        )
    if 0 < n_explained < n:
        sentences.append(
            f"{n_explained:,} of them explained: half of them actives, if there are so many, the others at "
            f"random (seed {settings.seed})."
        )
    elif n_explained:
        sentences.append("All of them explained.")
    if not subject.is_labelled:
        sentences.append("There are no labels.")
    return sentences


def _committee(model: ScoringModel) -> list[str]:
    """A sentence about the members of a committee and their weights; none for a network alone."""
    shares = {name: sorted(by_task.values()) for name, by_task in _members(model).items()}
    if not shares:
        return []
    named = [
        f"{name} {ws[0]:.0%}" if ws[-1] - ws[0] < 0.005 else f"{name} {ws[0]:.0%} to {ws[-1]:.0%}"
        for name, ws in shares.items()
    ]
    return [f"The model is a committee; weights of its members: {', '.join(named)}."]


def _explained(audit: Audit) -> int:
    """Molecules explained for several checks together; none if no check asked for them."""
    return len(audit.subject.sample) if "explanations" in vars(audit.subject) else 0


def _many(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


# An audit as Markdown.

_MARKS = {"error": "🔴", "warning": "🟠", "info": "🔵", "ok": "🟢", "skipped": "⚪", "failed": "🔴"}
_LONGEST = 12


def audit_markdown(audit: Audit) -> str:
    """Markdown of an audit."""
    lines = [f"# Audit of {audit.subject.model.name}", ""]
    lines += [f"**{verdict(audit)}** {' '.join(sampling(audit))}", ""]
    rows = []
    for result in audit.results:
        status = result.status + (f": {result.skipped}" if result.skipped else "")
        rows.append([result.check.title, f"{_MARKS[result.status]} {status}", result.check.question])
    lines += markdown_table(["check", "result", "asks"], rows)
    for finding in audit.findings:
        lines += ["", *_finding(finding)]
    lines += ["", "## Measured"]
    for result in audit.results:
        if result.outcome.measured or result.outcome.remark:
            lines += ["", f"### {result.check.title}", ""]
            lines += [result.outcome.remark, ""] if result.outcome.remark else []
            lines += measured_lines(result.outcome.measured)
    return legible_markdown("\n".join(lines).rstrip() + "\n")


def measured_lines(measured: Mapping[str, Any]) -> list[str]:
    """A table where all values are mappings, else a list; values that are tables follow, each by itself."""
    nested = tables_of(measured)
    if is_table(measured) and not nested:
        keys = columns_of(measured)
        rows = [[name, *(shown(row.get(key)) for key in keys)] for name, row in measured.items()]
        return markdown_table(["", *keys], rows, "lr")
    rest = {name: value for name, value in measured.items() if name not in nested}
    lines = [f"- {name}: {_cell(shown(value))}" for name, value in rest.items()]
    for name, value in nested.items():
        heading = f"**{_cell(name.replace('_', ' '))}**"
        lines += [*([""] if lines else []), heading, "", *measured_lines(value)]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def is_table(measured: Mapping[str, Any]) -> bool:
    """Whether all values are mappings, so that names are rows and keys are columns."""
    return bool(measured) and all(isinstance(value, Mapping) for value in measured.values())


def columns_of(measured: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Keys of all rows of a table."""
    return list(dict.fromkeys(key for row in measured.values() for key in row))


def tables_of(measured: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Values that are tables themselves: mappings of mappings that all have the same keys."""
    return {
        name: value
        for name, value in measured.items()
        if isinstance(value, Mapping)
        and is_table(value)
        and all(len(row) == len(columns_of(value)) for row in value.values())
    }


def shown(value: Any) -> str:
    """Short text of a number, text, list or mapping."""
    value = plain(value)
    if value is None:
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return _listed(f"{name} {shown(item)}" for name, item in value.items())
    return _listed(shown(item) for item in value) if isinstance(value, list) else str(value)


def _listed(parts: Iterable[str]) -> str:
    every = list(parts)
    rest = f" and {len(every) - _LONGEST} more" if len(every) > _LONGEST else ""
    return ", ".join(every[:_LONGEST]) + rest


def _finding(finding: Finding) -> list[str]:
    severity = finding.severity.value
    lines = [f"## {_MARKS[severity]} {severity}: {finding.check}", "", finding.summary, ""]
    lines += _evidence(finding.evidence)
    return [*lines, "", f"*What to do:* {finding.advice}"] if finding.advice else lines


def _evidence(evidence: Evidence) -> list[str]:
    lines = measured_lines(evidence.numbers)
    if evidence.features:
        lines += ["", "Features: " + _listed(f"`{name}`" for name in evidence.features)]
    if evidence.molecules:
        rows = [
            [m.id, f"`{m.smiles}`", f"{m.note} ({m.scored})" if m.scored else m.note]
            for m in evidence.molecules
        ]
        lines += ["", *markdown_table(["molecule", "SMILES", "what to see"], rows)]
    return lines


# An audit as one self-contained HTML page.


def audit_html(audit: Audit) -> str:
    """Page of an audit: no script, nothing loaded from elsewhere."""
    return _environment().get_template("audit.html.j2").render(**_contents(audit))


def audit_fragment(audit: Audit) -> str:
    """The same as a fragment that brings its own style, fit for a notebook."""
    return _environment().get_template("audit_fragment.html.j2").render(**_contents(audit))


def _contents(audit: Audit) -> dict[str, Any]:
    return {
        "audit": audit,
        "model": audit.subject.model,
        "verdict": verdict(audit),
        "sampling": sampling(audit),
        "version": __version__,
    }


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = html_templates("molig.audit")
    environment.filters |= {"shown": shown, "columns": columns_of, "tables": tables_of}
    environment.tests["table"] = is_table
    return environment


# Writing audits to files, by suffix.

_WRITERS: dict[str, Callable[[Audit], str]] = {
    ".html": audit_html,
    ".json": audit_json,
    ".md": audit_markdown,
}


def check_audit_output(path: str | Path) -> Path:
    """Refuse a file name that no report can be written to, before the work is done."""
    file = Path(path)
    if file.suffix.lower() not in _WRITERS:
        raise UsageError(f"an audit is written as {', '.join(_WRITERS)} (got {file.name})")
    if file.is_dir():
        raise UsageError(f"{file} is a directory; name a file in it")
    return file


def write_audit(audit: Audit, path: str | Path) -> Path:
    """Write an audit as HTML, JSON or Markdown, by the suffix of the file.

    Parameters
    ----------
    audit : Audit
        The result.
    path : str or Path
        File to write, ending in .html, .json or .md.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UsageError
        For another suffix.
    OutputError
        If the file cannot be written.
    """
    file = check_audit_output(path)
    write_whole(file, _WRITERS[file.suffix.lower()](audit).encode())
    return file


# The result of an audit on the card of the model.


def path_of_part(path: Path, part: ScoringModel, n_parts: int) -> Path:
    """Where the report of a part of a model goes: of several, each has the kind of its tasks in its name."""
    return path.with_stem(f"{path.stem}-{part.objective.value}") if n_parts > 1 else path


def attach_audit(audit: Audit, directory: str | Path, options: Sequence[str] = ()) -> ScreeningModel:
    """Write a summary into a model's card; refused unless all checks judged all of its tasks."""
    folder = find_model(directory)
    model = load_model(folder)
    audited = audit.subject
    if audited.info is None or audited.info.weights_sha256 != model.info.weights_sha256:
        raise UsageError(f"the audit is not one of the weights in {folder.name}")
    if audited.tasks != model.tasks:
        raise UsageError("a card states audits of all tasks; leave --task out")
    if {result.check.name for result in audit.results} != set(available_checks()):
        raise UsageError("a card states audits with all checks; leave --only and --skip out")
    info = model.info.model_copy(update={"audit": audit_summary(audit, options)})
    saved = save_model(model.with_info(info), folder)
    write_whole(folder / "CARD.md", model_card(saved.info).encode())
    return saved


def audit_summary(audit: Audit, options: Sequence[str] = ()) -> AuditSummary:
    """What a model card says about an audit."""
    data = audit_data(audit)
    settings = audit.subject.settings
    words = ["molig", "audit", "-m", audit.subject.model.name, *options, "-o", "report.html"]
    for partner in settings.partners:
        words += ["--compare", partner.name]
    for name in ("max_molecules", "max_explained", "seed"):
        value = getattr(settings, name)
        if value != type(settings).__dataclass_fields__[name].default:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return AuditSummary(
        source=audit.source,
        n_molecules=data["molecules"]["audited"],
        n_explained=data["molecules"]["explained"],
        seed=settings.seed,
        checks={result.check.name: result.status for result in audit.results},
        findings=tuple(
            AuditedFinding(check=f.check, severity=f.severity.value, summary=f.summary)
            for f in audit.findings
            if f.severity is not Severity.INFO
        ),
        command=shlex.join(words),
    )
