"""What is likely to be wrong with a file of which no row can be used."""

from __future__ import annotations

from collections.abc import Sequence

from molig.errors import InputError, called
from molig.molecules.delimiters import DELIMITERS, is_smiles
from molig.molecules.reasons import ASCII_BLANKS, Reason
from molig.molecules.records import Rejection

_MOST = 0.8
_LOOKED_AT = 20
_OF_TEXT = (Reason.UNPARSABLE, Reason.NOT_ASCII, Reason.TEXT_BEHIND, Reason.EMPTY, Reason.COLUMNS)


class NothingUsableError(InputError):
    """No row of a library could be used; the rejected rows and their reasons are kept all the same."""


def likely_cause(rejections: Sequence[Rejection]) -> str:
    """What the first rejected rows suggest, as the end of a sentence; ``""`` if they suggest nothing."""
    first = rejections[:_LOOKED_AT]
    if not _most([row.reason.startswith(tuple(kind.value for kind in _OF_TEXT)) for row in first]):
        return ""
    if _most([is_smiles(row.id) for row in first]):
        return f"; their identifiers look like SMILES: name the right column by {called('smiles_column')}"
    for name, mark in DELIMITERS.items():
        if mark not in ASCII_BLANKS and _most([mark in row.smiles for row in first]):
            return f"; they contain {mark!r}: if that separates columns, say {called('delimiter')} {name}"
    if _most([row.reason.startswith(Reason.EMPTY.value) for row in first]):
        return f"; is the column of the SMILES the right one ({called('smiles_column')})?"
    return f"; are column ({called('smiles_column')}) and separator ({called('delimiter')}) the right ones?"


def _most(these: Sequence[bool]) -> bool:
    return sum(these) >= _MOST * len(these) > 0
