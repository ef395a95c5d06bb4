"""The result of an audit on the card of the model."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from molig.audit.document import audit_data
from molig.audit.findings import Severity
from molig.audit.registry import available_checks
from molig.audit.run import Audit
from molig.errors import UsageError
from molig.model import (
    AuditedFinding,
    AuditSummary,
    ScreeningModel,
    find_model,
    load_model,
    model_card,
    save_model,
)
from molig.screening import write_whole


def attach_audit(audit: Audit, directory: str | Path, options: Sequence[str] = ()) -> ScreeningModel:
    """Write a summary of an audit into ``model.json`` and ``CARD.md`` of the audited model.

    Parameters
    ----------
    audit : Audit
        Of this model, on all its tasks, with all checks.
    directory : str or Path
        The model's directory, or the name of a bundled model.
    options : sequence of str
        As for `audit_summary`.

    Returns
    -------
    ScreeningModel
        The model as it reads back.

    Raises
    ------
    UsageError
        If another model was audited, or some of its tasks or with some of the checks only.
    """
    folder = find_model(directory)
    model = load_model(folder)
    audited = audit.subject
    if audited.model.info.weights_sha256 != model.info.weights_sha256:
        raise UsageError(f"the audit is not one of the weights in {folder.name}")
    if audited.tasks != model.tasks:
        raise UsageError("a card states audits of all tasks; leave --task out")
    if {result.check.name for result in audit.results} != set(available_checks()):
        raise UsageError("a card states audits with all checks; leave --only and --skip out")
    info = model.info.model_copy(update={"audit": audit_summary(audit, options)})
    saved = save_model(ScreeningModel(info, model.network, "cpu", model.applicability), folder)
    write_whole(folder / "CARD.md", model_card(saved.info).encode())
    return saved


def audit_summary(audit: Audit, options: Sequence[str] = ()) -> AuditSummary:
    """What a model card says about an audit.

    Parameters
    ----------
    audit : Audit
        The result.
    options : sequence of str
        Options of `molig audit` that say which molecules, labels and pairs were taken, such as ``"-i"`` and
        ``"mine.csv"``; none where it was what training held out.

    Returns
    -------
    AuditSummary
    """
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
