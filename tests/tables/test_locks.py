"""One run at a time on an output."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from support.libraries import names_in

from molig.errors import OutputError
from molig.tables.locks import exclusive, exclusive_directory, scratch_name

HOLD = """
import sys, time
from pathlib import Path
from molig.tables.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""

RACE = """
import sys, time
from pathlib import Path
from molig.errors import OutputError
from molig.tables.locks import exclusive
log = Path(sys.argv[1])
for _ in range(200):
    try:
        with exclusive(log.with_name("hits.csv")):
            with log.open("a") as file:
                file.write("in\\n")
            with log.open("a") as file:
                file.write("out\\n")
    except OutputError:
        pass
"""


@pytest.fixture
def output(tmp_path):
    return tmp_path / "hits.csv"


def hold(output):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(output)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def sign(lock, **changes):
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "born": "1", "since": "2026-01-01 00:00:00"}
    lock.write_text(json.dumps(holder | changes))


def test_a_second_run_is_refused_and_the_first_goes_on(output):
    process = hold(output)
    try:
        with pytest.raises(OutputError) as refused, exclusive(output):
            pass
        who = f"process {process.pid} on {socket.gethostname()} since "
        assert f"hits.csv is being written by another run, {who}" in str(refused.value)
        assert "wait for it, stop it, or give the output another name" in str(refused.value)
        assert names_in(output.parent) == {".hits.csv.lock"}
        assert json.loads((output.parent / ".hits.csv.lock").read_text())["pid"] == process.pid
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    with exclusive(output):  # the lock of a run that was killed is taken over
        assert json.loads((output.parent / ".hits.csv.lock").read_text())["pid"] == os.getpid()
    assert names_in(output.parent) == set()


def test_the_same_process_does_not_hold_it_twice(output):
    with exclusive(output):
        with pytest.raises(OutputError, match=f"process {os.getpid()} on"), exclusive(output):
            pass
        with exclusive(output.with_name("other.csv"), None):
            pass
        with pytest.raises(OutputError, match="another run"), exclusive(output):
            pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_what_is_no_lock_is_taken_over(output, content):
    (output.parent / ".hits.csv.lock").write_text(content)
    with exclusive(output):
        pass
    assert names_in(output.parent) == set()


def test_a_number_that_was_used_again(output):
    """There is a process of that number, but it began at another time."""
    sign(output.parent / ".hits.csv.lock", pid=os.getppid())
    with exclusive(output):
        pass


def test_the_lock_of_another_host_stays(output):
    lock = output.parent / ".hits.csv.lock"
    sign(lock, host="node17", pid=4321)
    with (
        pytest.raises(OutputError, match="process 4321 on node17 since 2026-01-01") as refused,
        exclusive(output),
    ):
        pass
    assert f"If that run is over, delete {lock}" in str(refused.value)
    lock.unlink()
    with exclusive(output):
        pass


def test_leftovers_of_killed_runs_are_cleared(output):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder = output.parent
    (folder / f".hits.csv.{gone.pid}.tmp").write_text("half")
    scratch = folder / f".hits.csv.{gone.pid}-abc_1"
    scratch.mkdir()
    (scratch / "spool.parquet").write_text("half")
    kept = {
        f".hits.csv.{os.getppid()}.tmp",
        f".other.csv.{gone.pid}.tmp",
        f"hits.csv.{gone.pid}.tmp",
        ".hits.csv.tmp",
        "hits.csv",
    }
    for name in kept:
        (folder / name).write_text("kept")
    with exclusive(output):
        assert scratch_name(output) == f".hits.csv.{os.getpid()}-"
    assert names_in(folder) == kept


def test_directories(tmp_path):
    with exclusive_directory(tmp_path / "a" / "b"):
        assert names_in(tmp_path / "a" / "b") == {".molig.lock"}
        with pytest.raises(OutputError, match="another run"), exclusive_directory(tmp_path / "a" / "b"):
            pass
    assert names_in(tmp_path / "a" / "b") == set()


def test_many_at_once(tmp_path):
    """Nobody enters before the one who is in has left."""
    log = tmp_path / "log"
    processes = [subprocess.Popen([sys.executable, "-c", RACE, str(log)]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    lines = log.read_text().split()
    assert len(lines) >= 400
    assert lines == ["in", "out"] * (len(lines) // 2)
