"""Writing audits to files, by suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from molig.audit.document import audit_json
from molig.audit.html import audit_html
from molig.audit.markdown import audit_markdown
from molig.audit.run import Audit
from molig.errors import UsageError
from molig.screening import write_whole

_WRITERS: dict[str, Callable[[Audit], str]] = {
    ".html": audit_html,
    ".json": audit_json,
    ".md": audit_markdown,
}


def check_audit_output(path: str | Path) -> Path:
    """Refuse a file name that no report can be written to, before the work is done.

    Parameters
    ----------
    path : str or Path
        File to write.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If the name ends in none of .html, .json and .md, or is a directory.
    """
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
