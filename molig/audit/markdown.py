"""An audit as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from molig.audit.document import sampling, verdict
from molig.audit.findings import Evidence, Finding, plain
from molig.audit.run import Audit

_MARKS = {"error": "🔴", "warning": "🟠", "info": "🔵", "ok": "🟢", "skipped": "⚪", "failed": "🔴"}
_LONGEST = 12


def audit_markdown(audit: Audit) -> str:
    """Markdown of an audit.

    Parameters
    ----------
    audit : Audit
        The result.

    Returns
    -------
    str
    """
    lines = [
        f"# Audit of {audit.subject.model.name}",
        "",
        f"**{verdict(audit)}** {' '.join(sampling(audit))}",
        "",
    ]
    lines += ["| check | result | asks |", "|---|---|---|"]
    for result in audit.results:
        status = result.status + (f": {result.skipped}" if result.skipped else "")
        lines.append(
            f"| {result.check.title} | {_MARKS[result.status]} {_cell(status)} | {result.check.question} |"
        )
    for finding in audit.findings:
        lines += ["", *_finding(finding)]
    lines += ["", "## Measured"]
    for result in audit.results:
        if result.outcome.measured or result.outcome.remark:
            lines += ["", f"### {result.check.title}", ""]
            lines += [result.outcome.remark, ""] if result.outcome.remark else []
            lines += measured_lines(result.outcome.measured)
    return "\n".join(lines).rstrip() + "\n"


def measured_lines(measured: Mapping[str, Any]) -> list[str]:
    """A table where all values are mappings, else a list; values that are tables follow, each by itself.

    Parameters
    ----------
    measured : mapping
        Names to numbers, texts, lists or mappings.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    nested = tables_of(measured)
    if nested:
        rest = {name: value for name, value in measured.items() if name not in nested}
        lines = [f"- {name}: {_cell(shown(value))}" for name, value in rest.items()]
        for name, value in nested.items():
            lines += ["", f"**{_cell(name.replace('_', ' '))}**", "", *measured_lines(value)]
        return lines if rest else lines[1:]
    values = list(measured.values())
    if values and all(isinstance(value, Mapping) for value in values):
        keys = list(dict.fromkeys(key for value in values for key in value))
        head = ["| | " + " | ".join(keys) + " |", "|---|" + "---:|" * len(keys)]
        rows = [
            "| " + " | ".join([_cell(name), *(_cell(shown(v.get(k))) for k in keys)]) + " |"
            for name, v in measured.items()
        ]
        return head + rows
    return [f"- {name}: {_cell(shown(value))}" for name, value in measured.items()]


def tables_of(measured: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Values that are tables themselves: mappings of mappings that all have the same keys.

    Parameters
    ----------
    measured : mapping
        Names to numbers, texts, lists or mappings.

    Returns
    -------
    dict

    Examples
    --------
    >>> tables_of({"n": 3, "by task": {"a": {"share": 0.5}, "b": {"share": 0.6}}, "row": {"share": 0.5}})
    {'by task': {'a': {'share': 0.5}, 'b': {'share': 0.6}}}
    """
    return {name: value for name, value in measured.items() if _is_table(value)}


def _is_table(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    rows = list(value.values())
    return all(isinstance(row, Mapping) and row.keys() == rows[0].keys() for row in rows)


def shown(value: Any) -> str:
    """Short text of a number, text, list or mapping.

    Parameters
    ----------
    value : object
        What to show.

    Returns
    -------
    str

    Examples
    --------
    >>> shown(0.123456), shown([1, 2.0]), shown({"a": None}), shown(12345)
    ('0.123', '1, 2', 'a n/a', '12,345')
    """
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
    lines = [
        f"## {_MARKS[finding.severity.value]} {finding.severity.value}: {finding.check}",
        "",
        finding.summary,
    ]
    lines += ["", *_evidence(finding.evidence)]
    return [*lines, "", f"*What to do:* {finding.advice}"] if finding.advice else lines


def _evidence(evidence: Evidence) -> list[str]:
    lines = measured_lines(evidence.numbers)
    if evidence.features:
        lines += ["", "Features: " + _listed(f"`{name}`" for name in evidence.features)]
    if evidence.molecules:
        lines += ["", "| molecule | SMILES | what to see |", "|---|---|---|"]
        lines += [f"| {_cell(m.id)} | `{_cell(m.smiles)}` | {_cell(m.note)} |" for m in evidence.molecules]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
