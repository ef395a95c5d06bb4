"""An audit as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from molig.audit.document import sampling, verdict
from molig.audit.markdown import shown, tables_of
from molig.audit.run import Audit
from molig.depiction.text import legible
from molig.version import __version__


def audit_html(audit: Audit) -> str:
    """Page of an audit: no script, nothing loaded from elsewhere.

    Parameters
    ----------
    audit : Audit
        The result.

    Returns
    -------
    str
        An HTML document; everything but drawings and plots is escaped.
    """
    return _environment().get_template("audit.html.j2").render(**_contents(audit))


def audit_fragment(audit: Audit) -> str:
    """The same as a fragment that brings its own style, fit for a notebook.

    Parameters
    ----------
    audit : Audit
        The result.

    Returns
    -------
    str
        A ``<div>``.
    """
    return _environment().get_template("audit_fragment.html.j2").render(**_contents(audit))


def _contents(audit: Audit) -> dict[str, Any]:
    return {
        "audit": audit,
        "model": audit.subject.model.info,
        "verdict": verdict(audit),
        "sampling": sampling(audit),
        "version": __version__,
    }


def is_table(measured: Mapping[str, Any]) -> bool:
    """Whether all values are mappings, so that names are rows and keys are columns.

    Parameters
    ----------
    measured : mapping
        Names to numbers or mappings.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_table({"a": {"x": 1}}), is_table({"a": 1}), is_table({})
    (True, False, False)
    """
    return bool(measured) and all(isinstance(value, Mapping) for value in measured.values())


def _columns(measured: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in measured.values() for key in row))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("molig.audit"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "columns": _columns, "tables": tables_of}
    environment.tests["table"] = is_table
    return environment


def _finalize(value: object) -> object:
    """Make text from users' files legible on its way out; markup is left alone."""
    return legible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
