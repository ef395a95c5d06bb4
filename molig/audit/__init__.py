"""Which features and models should not be believed: one module per check, findings with evidence.

Examples
--------
>>> import molig
>>> model = molig.load_model("tox21-w2n2-simple")
>>> result = audit(subject_of(model, ["CCO", "c1ccccc1O", "CC(=O)N"]), only=["baseline"])
>>> [one.status for one in result.results]
['ok']
"""

from molig.audit.findings import Evidence, Example, Figure, Finding, NotApplicable, Outcome, Severity
from molig.audit.inputs import LabelledFile, read_subject, subject_of
from molig.audit.registry import Check, register
from molig.audit.report import Audit, CheckResult, write_audit
from molig.audit.run import audit
from molig.audit.subject import ActivityPair, AuditSettings, AuditSubject

__all__ = [
    "ActivityPair",
    "Audit",
    "AuditSettings",
    "AuditSubject",
    "Check",
    "CheckResult",
    "Evidence",
    "Example",
    "Figure",
    "Finding",
    "LabelledFile",
    "NotApplicable",
    "Outcome",
    "Severity",
    "audit",
    "read_subject",
    "register",
    "subject_of",
    "write_audit",
]
