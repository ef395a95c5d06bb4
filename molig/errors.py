"""Errors a user can cause and mend; every message says what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class MoligError(Exception):
    """Base of all errors that molig raises on purpose; the command line ends with ``exit_code``."""

    exit_code = 1


class UsageError(MoligError):
    """The request itself cannot be met: an unknown name, a wrong column, an impossible option."""

    exit_code = 2


class InputError(MoligError):
    """A file that was asked for cannot be read, or holds nothing to work on."""


class OutputError(MoligError):
    """A result cannot be written (disk full, no permission)."""


class ModelFormatError(MoligError):
    """A model directory is damaged, foreign, or written by a newer molig."""


_PARAMETERS, _OPTIONS, _FIELDS = "parameters", "options", "fields"
_speaking_of = ContextVar("speaking_of", default=_PARAMETERS)
_OTHER_NAMES = {
    _OPTIONS: {"file_format": "format", "outside": "all"},
    _FIELDS: {"file_format": "format"},
}


@contextmanager
def speaking_of_options() -> Iterator[None]:
    """Let errors speak of options instead of parameters, within the block."""
    with _words(_OPTIONS):
        yield


@contextmanager
def speaking_of_fields() -> Iterator[None]:
    """Let errors speak of the fields of a request to `molig serve`, within the block."""
    with _words(_FIELDS):
        yield


@contextmanager
def _words(kind: str) -> Iterator[None]:
    token = _speaking_of.set(kind)
    try:
        yield
    finally:
        _speaking_of.reset(token)


def called(parameter: str) -> str:
    """What the caller knows a parameter as: an option of the command line, a field, or the parameter itself.

    Examples
    --------
    >>> called("smiles_column")
    'smiles_column'
    >>> with speaking_of_options():
    ...     called("smiles_column")
    '--smiles-column'
    >>> with speaking_of_fields():
    ...     called("file_format")
    'format'
    """
    kind = _speaking_of.get()
    name = _OTHER_NAMES.get(kind, {}).get(parameter, parameter)
    return f"--{name.replace('_', '-')}" if kind == _OPTIONS else name


class UnknownNameError(UsageError):
    """A name that is not among the valid ones; suggests the nearest.

    Parameters
    ----------
    kind : str
        What was named, as the user would call it ("task", "model", "column").
    name : str
        The name that was given.
    valid : iterable of str
        The names that would have been accepted.
    also : str
        What else would have been.

    Examples
    --------
    >>> print(UnknownNameError("task", "SR-AER", ["SR-ARE", "SR-HSE"]))
    unknown task 'SR-AER'; did you mean 'SR-ARE'? Valid: SR-ARE, SR-HSE
    """

    def __init__(self, kind: str, name: str, valid: Iterable[str], also: str = "") -> None:
        self.kind, self.name, self.valid = kind, name, list(valid)
        folded = {v.casefold(): v for v in self.valid}
        near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
        hint = f"; did you mean {folded[near[0]]!r}?" if near else "."
        shown = ", ".join(self.valid[:40]) + (", ..." if len(self.valid) > 40 else "")
        rest = f"; {also}" if also else ""
        super().__init__(f"unknown {kind} {name!r}{hint} Valid: {shown or '(none)'}{rest}")
