"""Explanations as a stream: each row of a library with what became of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from molig.attribution import Explanation
from molig.errors import InputError, MoligError
from molig.molecules import Record, Rejection

Result = Explanation | Rejection
Explain = Callable[[Iterable[Record]], Iterator[Result] | Iterator[list[Explanation] | Rejection]]
"""From records to one result each, in their order, such as `molig.attribution.Explainer.explain_records`; or
to the explanations of all tasks each, such as `molig.attribution.Explainer.explain_all_tasks`."""
Watch = Callable[[Result], None]

NOT_FINITE = "not explainable: the score or its residual is not a finite number"


@dataclass
class Counts:
    """What became of the rows.

    Parameters
    ----------
    explained, rejected : int
        Rows with an explanation, and rows without.
    unconverged : int
        Explanations whose residual is above the tolerance.
    """

    explained: int = 0
    rejected: int = 0
    unconverged: int = 0

    def add(self, result: Result) -> None:
        """Count one more row."""
        if isinstance(result, Rejection):
            self.rejected += 1
        else:
            self.explained += 1
            self.unconverged += not result.converged

    def merge(self, other: Counts) -> None:
        """Count the rows of another range."""
        self.explained += other.explained
        self.rejected += other.rejected
        self.unconverged += other.unconverged


def explain_rows(
    records: Iterable[Record], explain: Explain, watch: Watch | None = None
) -> Iterator[tuple[Record, Result]]:
    """Explain records one after the other; the stream says of each of them what became of it.

    Parameters
    ----------
    records : iterable of Record
        Rows of a library.
    explain : callable
        From records to one `Explanation` or `Rejection` each, in their order.
    watch : callable, optional
        Called with each result.

    Yields
    ------
    record : Record
    result : Explanation or Rejection
        An explanation whose score is not finite is rejected, too: nothing in it could be relied on.

    Raises
    ------
    MoligError
        If ``explain`` leaves out a record.
    """
    waiting: deque[Record] = deque()

    def remembered() -> Iterator[Record]:
        for record in records:
            waiting.append(record)
            yield record

    for found in explain(remembered()):
        record = waiting.popleft()
        for one in found if isinstance(found, list) else [found]:
            result = one if _is_sound(one) else _unsound(record)
            if watch is not None:
                watch(result)
            yield record, result
    if waiting:
        raise MoligError(f"no result for row {waiting[0].row}: every record must come to one")


def require_some(counts: Counts, first: Rejection | None) -> None:
    """Refuse a run of which nothing came.

    Parameters
    ----------
    counts : Counts
        What became of the rows.
    first : Rejection or None
        The first rejected row, named as an example.

    Raises
    ------
    InputError
        If no molecule was explained.
    """
    if not counts.explained:
        reason = f"; row {first.row}: {first.reason}" if first else ""
        raise InputError(f"none of the molecules could be explained{reason}")


def _is_sound(result: Result) -> bool:
    if isinstance(result, Rejection):
        return True
    # A single attribution that is not finite makes the residual so.
    return all(map(math.isfinite, (result.score, result.baseline_score, result.residual)))


def _unsound(record: Record) -> Rejection:
    return Rejection(record.row, record.id, record.smiles, NOT_FINITE)
