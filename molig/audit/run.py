"""Making the checks, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from molig.audit.findings import Evidence, Finding, NotApplicable, Outcome, Severity
from molig.audit.registry import Check, choose_checks
from molig.audit.report import Audit, CheckResult
from molig.audit.subject import AuditSubject
from molig.errors import MoligError
from molig.model import ScoringModel

OnCheck = Callable[[Check], object]


def audit(
    subject: AuditSubject,
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    source: str = "",
    on_check: OnCheck | None = None,
) -> Audit:
    """Make checks of a model.

    Parameters
    ----------
    subject : AuditSubject
        Model, molecules, labels, settings.
    only, skip : sequence of str
        Names of checks to make, or not to make.
    source : str
        Name of the file the molecules came from, for the report.
    on_check : callable, optional
        Called with each check before it is made.

    Returns
    -------
    Audit
        A check that breaks off becomes a finding of severity "error"; the others are made all the same.

    Raises
    ------
    UnknownNameError
        For the name of an unknown check.

    Examples
    --------
    >>> import molig
    >>> from molig.audit import subject_of
    >>> model = molig.load_model("tox21-w2n2-simple")
    >>> result = audit(subject_of(model, ["CCO", "c1ccccc1O", "CC(=O)N"]), only=["baseline"])
    >>> result.findings
    []
    """
    results = []
    for check in choose_checks(only, skip):
        if on_check:
            on_check(check)
        results.append(_make(check, subject))
    return Audit(subject, results, source)


def audited_parts(
    model: ScoringModel, tasks: Sequence[str] = ()
) -> list[tuple[ScoringModel, tuple[str, ...]]]:
    """The parts of a model that are audited one after the other, each with its share of the tasks.

    Parameters
    ----------
    model : ScoringModel
        A model, perhaps with tasks that are probabilities and tasks that are values.
    tasks : sequence of str
        Tasks to audit; none means all, and then the shares are empty.

    Raises
    ------
    UnknownNameError
        For an unknown task.

    Examples
    --------
    >>> import molig
    >>> [(_, tasks)] = audited_parts(molig.load_model("tox21-w2n2-simple"), ["SR-ARE"])
    >>> tasks
    ('SR-ARE',)
    """
    for name in tasks:
        model.task_index(name)
    parts = [(part, tuple(name for name in tasks if name in part.tasks)) for part in model.parts()]
    return [(part, named) for part, named in parts if named or not tasks]


def _make(check: Check, subject: AuditSubject) -> CheckResult:
    started = time.perf_counter()
    details: dict[str, Any] = {}
    try:
        outcome = check.run(subject)
    except NotApplicable as reason:
        outcome, details = Outcome(), {"skipped": str(reason)}
    except Exception as err:
        # Whatever one check runs into, the others are made.
        outcome, details = Outcome([_failure(check, err)]), {"failed": True}
    return CheckResult(check, outcome, seconds=time.perf_counter() - started, **details)


def _failure(check: Check, err: Exception) -> Finding:
    reason = str(err) if isinstance(err, MoligError) else f"{type(err).__name__}: {err}"
    return Finding(
        check.name,
        Severity.ERROR,
        f"Check failed: {reason}",
        Evidence({"error": type(err).__name__}),
        f"Nothing is known about this aspect of the model. Run it alone with --only {check.name}, and report "
        "the error if the input is in order.",
    )
