"""Finding the features and models that should not be believed: one module per check, findings with evidence.

Examples
--------
>>> import molig
>>> model = molig.load_model("tox21-w2n2-simple")
>>> found = audit(subject_of(model, ["CCO", "c1ccccc1O", "CC(=O)N"]), only=["baseline"])
>>> [result.status for result in found.results]
['ok']
"""

from molig.audit.attach import attach_audit, audit_summary
from molig.audit.document import audit_data, audit_json, verdict
from molig.audit.files import check_audit_output, write_audit
from molig.audit.findings import Evidence, Example, Figure, Finding, NotApplicable, Outcome, Severity
from molig.audit.held_out import held_out_file
from molig.audit.html import audit_html
from molig.audit.inputs import LabelledFile, read_subject, subject_of
from molig.audit.markdown import audit_markdown
from molig.audit.pairs import read_pairs
from molig.audit.registry import Check, available_checks, choose_checks, register, unregister
from molig.audit.run import Audit, CheckResult, audit
from molig.audit.settings import ActivityPair, AuditSettings
from molig.audit.subject import AuditSubject

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
    "attach_audit",
    "audit",
    "audit_data",
    "audit_html",
    "audit_json",
    "audit_markdown",
    "audit_summary",
    "available_checks",
    "check_audit_output",
    "choose_checks",
    "held_out_file",
    "read_pairs",
    "read_subject",
    "register",
    "subject_of",
    "unregister",
    "verdict",
    "write_audit",
]
