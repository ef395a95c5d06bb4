"""What is likely to be wrong with a file of which no row can be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from molig.errors import InputError, UsageError, called
from molig.molecules.delimiters import DELIMITERS, is_smiles
from molig.molecules.reasons import ASCII_BLANKS, Reason
from molig.molecules.records import Rejection

_MOST = 0.8
_LOOKED_AT = 20
_OF_TEXT = (Reason.UNPARSABLE, Reason.NOT_ASCII, Reason.TEXT_BEHIND, Reason.EMPTY, Reason.COLUMNS)


_NEARLY_ALL = 0.95
_ROWS_UNTIL_SURE = 10_000


class NothingUsableError(InputError):
    """No row of a library, or too few, could be used; the table of rejected rows is kept all the same."""


@dataclass(frozen=True)
class RejectBound:
    """How many rows may be rejected until a library counts as unusable.

    Parameters
    ----------
    share : float
        Largest share of all rows, from 0 to 1.
    count : int, optional
        Largest number; instead of the share.

    Examples
    --------
    >>> RejectBound.parse("50%"), RejectBound.parse("100").count
    (RejectBound(share=0.5, count=None), 100)
    """

    share: float = 1.0
    count: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``50%`` or ``100``.

        Raises
        ------
        UsageError
            If it is neither.
        """
        number = text.strip().removesuffix("%").strip()
        try:
            bound = cls(float(number) / 100) if "%" in text else cls(count=int(number))
        except ValueError:
            bound = cls(count=-1)
        if not 0 <= bound.share <= 1 or (bound.count or 0) < 0:
            raise UsageError(
                f"{called('max_rejects')} must be a share such as 50% or a number of rows (got {text!r})"
            )
        return bound

    def check(self, n_rows: int, reasons: Counter[str], first: Sequence[Rejection], *, done: bool) -> None:
        """Refuse to go on, or at the end to deliver.

        A share is judged at the end, or after 10,000 rows if nearly all of them were rejected.

        Parameters
        ----------
        n_rows : int
            Rows up to here.
        reasons : Counter
            Rejections of them by kind of reason.
        first : sequence of Rejection
            The first of them.
        done : bool
            Whether these are all rows.

        Raises
        ------
        NothingUsableError
            If more rows were rejected; it names the main reasons.
        """
        n_rejected = reasons.total()
        if self.count is not None:
            if n_rejected <= self.count:
                return
        else:
            sure = done or n_rows >= _ROWS_UNTIL_SURE
            if not sure or n_rejected <= max(self.share, 0 if done else _NEARLY_ALL) * n_rows:
                return
        raise NothingUsableError(
            f"{n_rejected:,} of the {'' if done else 'first '}{n_rows:,} rows were rejected, more than the "
            f"{self} of {called('max_rejects')}: {main_reasons(reasons)}{likely_cause(first)}. If the others "
            f"are what you want, say {called('max_rejects')} 100%"
        )

    def __str__(self) -> str:
        """The bound as it is written."""
        return f"{self.count:,}" if self.count is not None else f"{100 * self.share:g} %"


def main_reasons(reasons: Counter[str]) -> str:
    """The most frequent reasons of rejections."""
    return "; ".join(f"{count:,} x {reason}" for reason, count in reasons.most_common(3))


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
