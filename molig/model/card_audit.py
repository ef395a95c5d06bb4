"""What a model card says about the model's audit."""

from __future__ import annotations

from collections import defaultdict

from molig.model.card_text import table
from molig.model.sections import AuditSummary

_ORDER = ("failed", "error", "warning", "info", "ok", "skipped")


def audit_section(audit: AuditSummary | None) -> list[str]:
    """Findings of the last audit, and which checks were made.

    Parameters
    ----------
    audit : AuditSummary, optional
        Without one there is no section.

    Returns
    -------
    list of str
        Paragraphs of Markdown.
    """
    if audit is None:
        return []
    by_status: dict[str, list[str]] = defaultdict(list)
    for name, status in audit.checks.items():
        by_status[status].append(name)
    told = "; ".join(f"{status}: {', '.join(by_status[status])}" for status in _ORDER if by_status[status])
    text = (
        f"## Audit\n\n{audit.n_molecules:,} molecules ({audit.source}), {audit.n_explained:,} of them "
        f"explained, seed {audit.seed}. Checks by result: {told}."
    )
    if audit.command:
        text += f" Repeat it with `{audit.command}`."
    if not audit.findings:
        return [text]
    rows = [[found.severity, found.check, found.summary] for found in audit.findings]
    return [text, table(["severity", "check", "finding"], rows)]
