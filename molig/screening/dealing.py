"""A stream of records dealt into chunks, each of which is done in this process or by a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, count, islice
from typing import NamedTuple, TypeVar

from molig.molecules import Record
from molig.screening.workers import START_METHOD, Task, Workers, n_cores

T = TypeVar("T")


class LookUp(NamedTuple):
    """How to read a chunk without those before it.

    Parameters
    ----------
    n_chunks : int
        How many there are.
    records : callable
        The records from the beginning of a chunk on, of which there may be more than it has.
    """

    n_chunks: int
    records: Callable[[int], Iterator[Record]]


class Dealer:
    """Deals records into chunks and has them worked on.

    Chunks are cut from the first record on, those included that are not to be done: which records share one
    is a matter of the library alone, not of the number of processes, of interruptions or of shards.

    Parameters
    ----------
    records : iterator of Record
        The stream.
    size : int
        Records of a chunk.
    wanted : callable
        Whether the chunk of a number, from 0, is to be done.
    jobs : int, optional
        Processes to work in; None for one a core.
    look_up : LookUp, optional
        Read the chunks that are to be done only, instead of the stream.

    Attributes
    ----------
    jobs : int
        Processes at work: 1 as well where there is but one chunk, which is not worth a second process.
    n_chunks : int
        Chunks of the whole stream, once its end was reached.

    Examples
    --------
    >>> class Count:
    ...     def prepare(self):
    ...         pass
    ...
    ...     def __call__(self, records, mark):
    ...         return str(len(records)).encode()
    >>> records = (Record(i, str(i), "C") for i in range(1, 6))
    >>> dealer = Dealer(records, 2, lambda number: number != 1, jobs=2)
    >>> sorted(dealer.done(lambda rows: len(list(rows)), Count(), int))
    [(0, 2), (2, 1)]
    >>> dealer.n_chunks
    3
    """

    def __init__(
        self,
        records: Iterator[Record],
        size: int,
        wanted: Callable[[int], bool],
        jobs: int | None = 1,
        look_up: LookUp | None = None,
    ) -> None:
        self._records, self._size, self._wanted, self._look_up = records, size, wanted, look_up
        self.jobs = n_cores() if jobs is None else jobs
        self.n_chunks = 0

    def done(
        self,
        here: Callable[[Iterator[Record]], T],
        task: Task,
        received: Callable[[bytes], T],
        seconds: float = 10.0,
        *,
        start_method: str = START_METHOD,
    ) -> Iterator[tuple[int, T]]:
        """Number of each chunk and what became of it, in whichever order they are done.

        Parameters
        ----------
        here : callable
            Does a chunk in this process; may go through the records until the next chunk is asked for.
        task : Task
            Does a chunk in a worker.
        received : callable
            Turns the answer of a worker into what ``here`` returns.
        seconds : float
            Processor time that a worker may take for one row.
        start_method : {"fork", "spawn"}
            How workers start.

        Raises
        ------
        MoligError
            See `molig.screening.workers.Workers.answers`.
        """
        if self.jobs == 1:
            yield from ((number, here(rows)) for number, rows in self._chunks())
            return
        whole = ((number, list(rows)) for number, rows in self._chunks())
        first = list(islice(whole, 2))
        if len(first) < 2:
            self.jobs = 1
            yield from ((number, here(iter(rows))) for number, rows in first)
            return
        with Workers(task, self.jobs, seconds, start_method=start_method) as workers:
            for number, answer in workers.answers(chain(first, whole)):
                yield number, received(answer)

    def _chunks(self) -> Iterator[tuple[int, Iterator[Record]]]:
        """Chunks that are to be done, each to be gone through before the next is asked for."""
        if self._look_up is not None:
            self.n_chunks = self._look_up.n_chunks
            for number in filter(self._wanted, range(self.n_chunks)):
                yield number, islice(self._look_up.records(number), self._size)
            return
        for number in count():
            head = next(self._records, None)
            if head is None:
                self.n_chunks = number
                return
            rows = chain([head], islice(self._records, self._size - 1))
            if self._wanted(number):
                yield number, rows
            for _ in rows:
                pass
