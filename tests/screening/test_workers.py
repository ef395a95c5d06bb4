"""Worker processes: every chunk comes back once, whatever ends the workers."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Sequence

import pytest

from molig.errors import UsageError
from molig.molecules import Record
from molig.screening import workers as module
from molig.screening.workers import Mark, Workers, WorkersError

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGPROF"), reason="needs POSIX signals")

DEADLINE = 600
"""Seconds after which what does not happen is given up."""


class Words:
    """Answers with what its records say; some of them are the end of a worker."""

    def __init__(self, in_batch: bool = False) -> None:
        self.in_batch = in_batch

    def prepare(self) -> None:
        pass

    def __call__(self, records: Sequence[Record], mark: Mark) -> bytes:
        for place, record in enumerate(records):
            mark(place, place + 1)
            if not self.in_batch:
                act(record)
        mark(0, len(records))
        for record in records:
            act(record)
        return " ".join("-" if record.problem else record.smiles for record in records).encode()


def act(record: Record) -> None:
    word, _, rest = record.smiles.partition(":")
    if record.problem:
        return
    if word == "crash":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif word == "hang":
        while True:
            pass
    elif word == "sleep":
        time.sleep(1000)
    elif word == "memory":
        bytearray(1 << 40)
    elif word == "exit":
        os._exit(3)
    elif word == "refuse":
        raise UsageError(rest)
    elif word == "fail":
        raise KeyError(rest)
    elif word == "warn":
        warnings.warn(rest, stacklevel=1)
    elif word == "killed" and (not rest or seen_before(rest) < _KILLS):
        os.kill(os.getpid(), signal.SIGKILL)


def seen_before(path: str) -> int:
    """How often this was asked, so that a row ends its process a few times only, like kills from outside."""
    with open(path, "a+") as file:
        file.seek(0)
        n = len(file.read())
        file.write("x")
    return n


_KILLS = 3


def chunks_of(words: Sequence[str], size: int) -> list[tuple[int, list[Record]]]:
    records = [Record(row, str(row), word) for row, word in enumerate(words, start=1)]
    return [(i // size, records[i : i + size]) for i in range(0, len(records), size)]


def answered(words: Sequence[str], size: int = 10, jobs: int = 2, seconds: float = 5.0, **options) -> str:
    """All answers in order; of a rejected row a dash and its reason behind the others."""
    chunks = chunks_of(words, size)
    with Workers(Words(options.pop("in_batch", False)), jobs, seconds, **options) as workers:
        found = dict(workers.answers(chunks))
    assert sorted(found) == list(range(len(chunks)))
    reasons = [record.problem for _, records in chunks for record in records if record.problem]
    return " ".join([*(found[number].decode() for number in sorted(found)), *reasons])


WORDS = [f"w{i}" for i in range(95)]


@pytest.mark.parametrize("jobs", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 10, 95])
def test_every_chunk_comes_back_once(jobs, size):
    assert answered(WORDS, size, jobs) == " ".join(WORDS)


def test_no_chunk_no_process():
    with Workers(Words(), 2) as workers:
        assert list(workers.answers([])) == []


@pytest.mark.parametrize("in_batch", [False, True])
@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("crash", "given up: RDKit crashed on it (SIGSEGV)"),
        ("hang", "given up: it takes more than 0.2 s of processor time"),
        ("memory", "given up: it takes more than 4,096 MB"),
        ("exit", "given up: RDKit crashed on it (exit code 3)"),
    ],
)
def test_a_row_that_ends_its_worker_is_rejected_and_no_other(word, reason, in_batch):
    words = [*WORDS[:33], word, *WORDS[34:]]
    expected = " ".join([*words[:33], "-", *words[34:], reason])
    assert answered(words, seconds=0.2, in_batch=in_batch) == expected


def test_several_bad_rows_in_one_chunk():
    words = list(WORDS)
    for place in (0, 3, 4, 94):
        words[place] = "crash"
    found = answered(words, 95, in_batch=True)
    assert found.count("SIGSEGV") == 4
    assert found.split()[:95] == ["-" if word == "crash" else word for word in words]


def test_a_row_that_waits_for_ever_is_found_by_the_clock(monkeypatch):
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.1)
    chunks = chunks_of(["a", "sleep", "b"], 1)
    with Workers(Words(), 2, 0.2) as workers:
        answers = workers.answers(chunks)
        found = dict([next(answers), next(answers)])
        # The clock runs while nobody else needs time on a busy machine.
        slow = chunks[1][1]
        monkeypatch.setattr(module, "wall_limit", lambda s: 2 * s if slow[0].problem is None else math.inf)
        found |= dict(answers)
    assert [found[number] for number in range(3)] == [b"a", b"-", b"b"]
    assert slow[0].problem == "given up: no answer in 0.4 s"


def test_a_row_that_is_killed_every_time_is_rejected():
    words = [*WORDS[:33], "killed", *WORDS[34:]]
    found = answered(words)
    assert found.endswith("given up: the process was ended (SIGKILL), which happens where memory is short")
    assert found.split()[: len(words)] == [*words[:33], "-", *words[34:]]


@pytest.mark.parametrize("in_batch", [False, True])
def test_a_worker_that_is_killed_costs_no_row(tmp_path, in_batch):
    words = [*WORDS[:33], f"killed:{tmp_path / 'seen'}", *WORDS[34:]]
    assert answered(words, in_batch=in_batch) == " ".join(words)


def test_workers_that_end_for_no_reason_are_an_error():
    class Hopeless(Words):
        def __call__(self, records, mark):
            mark(0, 0)
            os.kill(os.getpid(), signal.SIGKILL)

    chunks = chunks_of(WORDS, 10)
    message = r"ended 4 times at rows 1 to 10 \(the process was ended .*none of these rows .*jobs"
    with Workers(Hopeless(), 1) as workers, pytest.raises(WorkersError, match=message):
        list(workers.answers(chunks))


def test_errors_come_back_as_what_they_were():
    with pytest.raises(UsageError, match="no such thing"):
        answered(["a", "refuse:no such thing"])
    with pytest.raises(RuntimeError, match=r"a worker broke off:\n(.*\n)*KeyError: 'odd'"):
        answered(["a", "fail:odd"])


def test_warnings_come_along():
    with pytest.warns(UserWarning, match="look out"):
        assert answered(["a", "warn:look out"]) == "a warn:look out"


def test_workers_end_with_the_block():
    with Workers(Words(), 2) as workers:
        list(workers.answers(chunks_of(WORDS, 10)))
        processes = [worker._process for worker in workers._workers]
        pids = [process.pid for process in processes]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_workers_end_when_the_first_process_is_killed(tmp_path):
    """They hear it, since no other process holds their pipes open."""
    pid = os.fork()
    if pid == 0:
        with Workers(Words(), 3) as workers:
            coming = workers.answers(chunks_of(WORDS, 5))
            next(coming)
            text = " ".join(str(worker._process.pid) for worker in workers._workers)
            (tmp_path / "pids.tmp").write_text(text)
            (tmp_path / "pids.tmp").rename(tmp_path / "pids")
            threading.Event().wait(DEADLINE)
        os._exit(0)
    end = time.monotonic() + DEADLINE
    while not (tmp_path / "pids").exists() and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pids = [int(text) for text in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 3
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_that_start_from_nothing_give_the_same():
    assert answered(WORDS[:20], jobs=1, start_method="spawn") == " ".join(WORDS[:20])
