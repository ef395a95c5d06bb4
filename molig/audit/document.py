"""An audit as plain data: the JSON document, and what pages say about the whole."""

from __future__ import annotations

import json
from typing import Any

from molig.audit.findings import Severity, plain
from molig.audit.run import Audit
from molig.version import __version__

LAYOUT = 1


def audit_data(audit: Audit) -> dict[str, Any]:
    """Plain data of an audit.

    Parameters
    ----------
    audit : Audit
        The result.

    Returns
    -------
    dict
        ``findings``, worst first, each with check, severity, summary, evidence and advice; ``checks`` with
        status and measurements of each; ``model``, with the digests of its files, ``molecules``,
        ``settings`` and ``counts``.
    """
    subject = audit.subject
    info = subject.model.info
    return {
        "layout": LAYOUT,
        "molig_version": __version__,
        "model": {
            "name": info.name,
            "schema_hash": info.schema_hash,
            "weights_sha256": info.weights_sha256,
            "applicability_sha256": info.applicability.sha256 if info.applicability else None,
            "network": f"W{info.network.n_modules}N{_distance(audit)}",
            "tasks": list(subject.model.tasks),
        },
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


def audit_json(audit: Audit) -> str:
    """JSON text of `audit_data`; the same audit gives the same text.

    Parameters
    ----------
    audit : Audit
        The result.

    Returns
    -------
    str
    """
    return json.dumps(audit_data(audit), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def verdict(audit: Audit) -> str:
    """One sentence about the whole.

    Parameters
    ----------
    audit : Audit
        The result.

    Returns
    -------
    str
    """
    n_errors, n_warnings = audit.count(Severity.ERROR), audit.count(Severity.WARNING)
    done = [result for result in audit.results if not result.skipped]
    skipped = len(audit.results) - len(done)
    left_out = f"; {skipped} could not be made" if skipped else ""
    if not n_errors + n_warnings:
        return f"{_many(len(done), 'check')} made, nothing found that speaks against the model{left_out}."
    what = [_many(n, word) for n, word in ((n_errors, "error"), (n_warnings, "warning")) if n]
    return f"{' and '.join(what)} in {_many(len(done), 'check')}{left_out}."


def sampling(audit: Audit) -> list[str]:
    """Sentences about which molecules were audited and explained.

    Parameters
    ----------
    audit : Audit
        The result.

    Returns
    -------
    list of str
    """
    subject, settings = audit.subject, audit.subject.settings
    n, n_rejected, n_explained = len(subject.molecules), len(subject.rejections), _explained(audit)
    told = [f"{n:,} molecules audited" + (f" of {audit.source}" if audit.source else "") + "."]
    if n + n_rejected >= settings.max_molecules:
        told.append(
            f"At most {settings.max_molecules:,} rows are taken: a sample, half of it active if there are so "
            f"many (seed {settings.seed}), so rates of actives are those of the sample, not of the file."
        )
    if n_rejected:
        first = subject.rejections[0]
        told.append(
            f"{n_rejected:,} rows cannot be scored, the first of them row {first.row}: {first.reason}."
        )
    if 0 < n_explained < n:
        told.append(
            f"{n_explained:,} of them explained: half of them actives, if there are so many, the others at "
            f"random (seed {settings.seed})."
        )
    elif n_explained:
        told.append("All of them explained.")
    if not subject.is_labelled:
        told.append("There are no labels.")
    return told


def _explained(audit: Audit) -> int:
    """Molecules explained for several checks together; none if no check asked for them."""
    return len(audit.subject.sample) if "explanations" in vars(audit.subject) else 0


def _distance(audit: Audit) -> str:
    limit = audit.subject.model.schema.max_pair_distance
    return "max" if limit is None else str(limit)


def _many(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"
