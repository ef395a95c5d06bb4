"""The same screen on a cluster of Ray, whose nodes may be lost: operators of Ray Data read and score chunks.

===================  =========================  =========================================================
step                 where                      what comes out
===================  =========================  =========================================================
`Library.stretches`  first process              a row for each place where reading can begin
read                 tasks, a few at a time     a row for each chunk of the library, with its number
score                actors that hold a model   rows of the hit table and of the rejected ones, packed
keep and join        first process              parts of the run and the tables, as on one machine
===================  =========================  =========================================================

A chunk is the same rows, cut into the same batches, whoever reads it, and brings its number along. So it
does not matter in which order chunks come, nor how often: what a lost node held, Ray makes again from where
it came. Each actor has a worker process that may die of a row (`molig.screening.workers`), as on one machine.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import count, islice
from typing import Any, NamedTuple

import pyarrow as pa
import torch

from molig.deferred import deferred
from molig.errors import MoligError, UsageError, called
from molig.files import versions
from molig.molecules import Record
from molig.molecules.guard import time_limit
from molig.screening.chunks import ChunkScorer, ScoredRows
from molig.screening.libraries import Library, Start, Stretch
from molig.screening.shards import Shard
from molig.screening.workers import Workers, heard, messages_of, received, sendable

ray = deferred("ray")

INSTALL = "pip install 'molig[ray]'"

_END = -1  # instead of the number of a chunk: what is told when a stretch has been read
_SMALLEST_BLOCK = 1  # bytes from which on Ray Data passes rows on: no chunk waits for others
_ACTORS_OF_A_READER = 16
# Reading waits for those who score most of the time. Together they take one core: where actors have all of
# them there is still room to read, at first, and again what was read on a node that is lost.
_CORES_OF_A_READER = 0.01
_CORES_OF_AN_ACTOR = 1 - _CORES_OF_A_READER
_ACTORS_FOR_SINGLE_CHUNKS = 32  # Ray needs some hundredths of a second for each time that it gives out work
_RETRIES_ON_GPU = 3


class ClusterError(MoligError):
    """The cluster cannot be reached, or has broken off the run."""


@dataclass(frozen=True)
class Cluster:
    """A cluster of Ray to screen on.

    Parameters
    ----------
    address : str, optional
        Such as ``"auto"`` or ``"10.0.0.1:6379"``; default: that of ``RAY_ADDRESS``, or else a cluster that is
        started on this machine for the time of the run.
    gpus : float
        Share of a GPU, or number of GPUs, that an actor takes; with 0 it scores on a core.
    """

    address: str | None = None
    gpus: float = 0.0

    def check(self) -> None:
        """Refuse what cannot be; raises UsageError."""
        if find_spec("ray") is None:
            raise UsageError(
                f"{called('engine')} ray needs the package Ray, which is not installed: {INSTALL}"
            )
        if self.gpus < 0 or (self.gpus > 1 and not float(self.gpus).is_integer()):
            raise UsageError(f"{called('gpus')} is a share up to 1, or a whole number (got {self.gpus:g})")


class Wanted(NamedTuple):
    """Which chunks are to be done.

    Parameters
    ----------
    shard : Shard
        Of these,
    done : frozenset of int
        but not those that are finished already.
    """

    shard: Shard
    done: frozenset[int]

    def includes(self, number: int) -> bool:
        """Whether a chunk is one of them."""
        return self.shard.owns(number) and number not in self.done

    def of(self, stretch: Stretch) -> bool:
        """Whether a stretch has, or may have, one of them."""
        return stretch.end is None or any(map(self.includes, range(stretch.first, stretch.end)))


@dataclass
class ClusterRun:
    """A library that a cluster scores, chunk by chunk.

    Parameters
    ----------
    cluster : Cluster
        The cluster.
    scorer : ChunkScorer
        What scores, with its model on the CPU; actors with a GPU move it there.
    library : Library
        What is read, on whichever node.
    rows_per_chunk : int
        Rows of a chunk.
    wanted : Wanted
        The chunks to do.
    jobs : int, optional
        Most actors at work; default: as many as the cluster has cores, or shares of GPUs.
    seconds : float
        Processor time that one row may take.

    Attributes
    ----------
    n_chunks : int
        Chunks of the library, once all have come.
    n_actors : int
        Most actors at work.
    left_out : dict of str to int
        As in `molig.molecules.records.Records`.
    reading : float
        Seconds that all tasks took to read.
    """

    cluster: Cluster
    scorer: ChunkScorer
    library: Library
    rows_per_chunk: int
    wanted: Wanted
    jobs: int | None = None
    seconds: float = 10.0

    def __post_init__(self) -> None:
        self.n_chunks = self.n_actors = 0
        self.left_out: dict[str, int] = {}
        self.reading = 0.0

    def answers(self) -> Iterator[tuple[int, ScoredRows]]:
        """Number and rows of every chunk, as they come.

        Raises
        ------
        UsageError
            If the cluster has not what was asked for, or a node has other versions of what computes.
        ClusterError
            If it cannot be reached, or breaks off.
        MoligError
            What reading and scoring raise.
        """
        stretches = self.library.stretches(self.rows_per_chunk, apart=self.wanted.shard.apart)
        self.n_chunks = stretches[-1].end or 0 if stretches else 0
        todo = [stretch for stretch in stretches if self.wanted.of(stretch)]
        seen: set[int] = set()
        if todo:
            with _connected(self.cluster, self.jobs), _broken_off():
                self.n_actors = self._most_actors()
                for number, messages in _rows(self._planned(todo)):
                    answer = [content for message in messages if (content := heard(message)) is not None]
                    if number == _END:
                        self._note(json.loads(answer[0]))
                    elif number not in seen:
                        seen.add(number)
                        yield number, ScoredRows.unpacked(answer[0])
        if missing := [n for n in range(self.n_chunks) if self.wanted.includes(n) and n not in seen]:
            raise ClusterError(
                f"{len(missing):,} of {self.n_chunks:,} chunks have not come back from the cluster, first "
                f"number {missing[0]}; what has come is kept, and {called('resume')} does the rest"
            )

    def _note(self, told: Mapping[str, Any]) -> None:
        """What a task tells when it has read its stretch."""
        self.n_chunks = max(self.n_chunks, told["n_chunks"])
        self.reading += told["seconds"]
        for name, row in told["left_out"].items():
            self.left_out[name] = min(row, self.left_out.get(name, row))

    def _most_actors(self) -> int:
        there = ray.cluster_resources()
        gpus, cores = there.get("GPU", 0.0), there.get("CPU", 0.0)
        if self.cluster.gpus > gpus:
            raise UsageError(
                f"{called('gpus')} {self.cluster.gpus:g}: the cluster has {gpus:g} GPUs; without the option, "
                "cores score"
            )
        return self.jobs or max(1, int(gpus / self.cluster.gpus if self.cluster.gpus else cores))

    def _planned(self, stretches: Sequence[Stretch]) -> Any:
        """The data set of answers; nothing is done before they are asked for."""
        planned = ray.data.from_items(
            [{"stretch": json.dumps(stretch)} for stretch in stretches], override_num_blocks=len(stretches)
        )
        planned.context.target_max_block_size = _SMALLEST_BLOCK
        planned.context.enable_progress_bars = False
        planned.context.issue_detectors_config.detectors = []
        planned = planned.map_batches(
            _read,
            fn_kwargs={"reading": _Reading(self.library, self.rows_per_chunk, self.wanted, self.seconds)},
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=_CORES_OF_A_READER,
            compute=ray.data.TaskPoolStrategy(size=1 + self.n_actors // _ACTORS_OF_A_READER),
        )
        on_gpu = self.cluster.gpus > 0
        # As bytes: arrays that Ray shares between processes cannot be written to.
        self._packed = ray.put(ray.cloudpickle.dumps(self.scorer))
        return planned.map_batches(
            _Actor,
            fn_constructor_args=([self._packed], self.seconds, _software(), on_gpu),
            batch_size=1 + self.n_actors // _ACTORS_FOR_SINGLE_CHUNKS,
            batch_format="pyarrow",
            num_cpus=_CORES_OF_AN_ACTOR,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=self.n_actors),
            **({"num_gpus": self.cluster.gpus, "max_task_retries": _RETRIES_ON_GPU} if on_gpu else {}),
        )


def _rows(planned: Any) -> Iterator[tuple[int, list[bytes]]]:
    for table in planned.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from zip(table["number"].to_pylist(), table["messages"].to_pylist(), strict=True)


@contextlib.contextmanager
def _connected(cluster: Cluster, jobs: int | None) -> Iterator[None]:
    """With a connection to the cluster, which ends with the block if it was made here."""
    cluster.check()
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    own = {"num_cpus": jobs, "include_dashboard": False} if address in (None, "local") else {}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as err:  # Ray has no error of its own for a node that does not start in time
        raise ClusterError(
            f"no cluster of Ray answers at {address or 'this machine'} ({_first_line(err)}); start one with "
            f"`ray start --head`, or check {called('address')}"
        ) from err
    # Ray Data sets its own level when it is imported.
    logging.getLogger(ray.data.__name__).setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _broken_off() -> Iterator[None]:
    """Errors of Ray as one that says what to do."""
    try:
        yield
    except ray.exceptions.RayError as err:
        raise ClusterError(
            f"the cluster has broken off the run ({_first_line(err)}); what has come back is kept, and "
            f"{called('resume')} does the rest. All nodes need molig and the library under the same path, or "
            "at an address such as s3://"
        ) from err


def _first_line(err: BaseException) -> str:
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(err).__name__


def _software() -> dict[str, str]:
    """What scores depend on, on one node."""
    found = versions()
    return {name: found[name] for name in ("molig", "rdkit", "torch", "numpy")} | {
        _ARITHMETIC: torch.backends.cpu.get_cpu_capability()
    }


_ARITHMETIC = "arithmetic"


# On the nodes.


@dataclass(frozen=True)
class _Chunk:
    """What goes from a task that reads to an actor."""

    number: int
    records: list[Record] | None
    messages: list[bytes]


@dataclass(frozen=True)
class _Reading:
    """What tasks read."""

    library: Library
    rows_per_chunk: int
    wanted: Wanted
    seconds: float

    def chunks(self, stretch: Stretch) -> Iterator[_Chunk]:
        """Every chunk, with what reading it warns of, and at last what is to be told of all."""
        told: dict[str, Any] = {"n_chunks": 0, "left_out": {}, "seconds": 0.0}
        coming = self._coming(stretch, told)
        found: list[tuple[int, list[Record]]] = []

        def read() -> bytes:
            started = time.perf_counter()
            with time_limit(self.seconds):
                found.extend(islice(coming, 1))
            told["seconds"] += time.perf_counter() - started
            return json.dumps(told).encode()

        while True:
            *doubts, last = messages_of(read)
            if not found:
                yield _Chunk(_END, None, [*doubts, last])
                return
            yield _Chunk(*found.pop(), doubts)

    def _coming(self, stretch: Stretch, told: dict[str, Any]) -> Iterator[tuple[int, list[Record]]]:
        records = self.library.records(stretch.start)
        for number in count(stretch.first):
            if number == stretch.end:
                break
            rows = islice(records, self.rows_per_chunk)
            wanted = [sendable(record) for record in rows] if self.wanted.includes(number) else []
            if not wanted and not sum(1 for _ in rows):
                break
            told["n_chunks"] = number + 1
            if wanted:
                yield number, wanted
        told["left_out"] = dict(records.left_out)


def _read(batch: pa.Table, reading: _Reading) -> Iterator[pa.Table]:
    """Operator: from stretches to chunks."""
    for text in batch["stretch"].to_pylist():
        start, first, end = json.loads(text)
        for chunk in reading.chunks(Stretch(Start(*start), first, end)):
            yield pa.table({"chunk": [ray.cloudpickle.dumps(chunk)]}, schema=_READ)


_READ = pa.schema([("chunk", pa.large_binary())])


class _Actor:
    """Operator: from chunks to answers."""

    def __init__(self, packed: list[Any], seconds: float, software: Mapping[str, str], on_gpu: bool) -> None:
        self._seconds = seconds
        self._scorer: ChunkScorer | None = None
        self._workers: Workers | None = None

        def begin() -> bytes:
            _compare(software)
            scorer: ChunkScorer = ray.cloudpickle.loads(ray.get(packed[0]))
            if on_gpu:
                torch.set_num_threads(1)
                self._scorer = replace(scorer, model=scorer.model.to("cuda"))
            else:
                self._workers = Workers(scorer, 1, seconds).__enter__()
            return b""

        # Raised by the first process: Ray would start an actor that breaks off again and again.
        self._beginning = messages_of(begin)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Score chunks one after the other."""
        for content in batch["chunk"].to_pylist():
            chunk: _Chunk = ray.cloudpickle.loads(content)
            messages = chunk.messages
            if chunk.records is not None:
                *doubts, last = self._beginning
                messages = [*messages, *doubts]
                if last.startswith(b"A"):
                    self._beginning = [last]
                    messages += messages_of(partial(self._scored, chunk))
                else:
                    messages.append(last)
            yield pa.table({"number": [chunk.number], "messages": [messages]}, schema=_ANSWER)

    def _scored(self, chunk: _Chunk) -> bytes:
        records = chunk.records or []
        if self._workers is not None:
            ((_, answer),) = self._workers.answers([(chunk.number, [received(record) for record in records])])
            return answer
        if self._scorer is None:
            raise ClusterError("an actor has no model")
        with time_limit(self._seconds):
            scored = self._scorer.batches(received(record) for record in records)
            return ScoredRows.joined(list(scored)).packed()


_ANSWER = pa.schema([("number", pa.int64()), ("messages", pa.list_(pa.large_binary()))])


def _compare(software: Mapping[str, str]) -> None:
    """Refuse to score with other versions than the first process has, and tell of another processor."""
    own, node = _software(), socket.gethostname()
    if unlike := [name for name in own if own[name] != software[name] and name != _ARITHMETIC]:
        raise UsageError(
            f"node {node} of the cluster has other versions than this process ("
            + ", ".join(f"{name} {own[name]}, here {software[name]}" for name in unlike)
            + "); install the same on all nodes"
        )
    if own[_ARITHMETIC] != software[_ARITHMETIC]:
        warnings.warn(
            f"node {node} of the cluster computes with {own[_ARITHMETIC]}, and this machine would with "
            f"{software[_ARITHMETIC]}: scores may differ from those of one machine in the last digits",
            stacklevel=2,
        )
