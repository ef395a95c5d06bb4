"""`molig serve`: how it starts, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from support.small_model import NCI_FILE

from molig.tables.locks import is_alive


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--max-upload", "much"], 2, "--max-upload is a size such as 100MB or 2GB (got 'much')"),
        (["--time-limit", "0"], 2, "--time-limit must be above 0"),
        (
            ["--host", "no.such.host.invalid"],
            2,
            "--host no.such.host.invalid: this machine knows no such name",
        ),
    ],
)
def test_what_it_cannot_start_with(molig, arguments, code, why):
    run = molig("serve", "--no-browser", *arguments)
    assert (run.code, run.out) == (code, "")
    assert why in run.err


def test_a_port_in_use_is_told_before_models_are_read(molig):
    with socket.create_server(("127.0.0.1", 0)) as other:
        run = molig("serve", "--no-browser", "--port", other.getsockname()[1])
    assert run.code == 1
    assert "is in use, perhaps by another molig serve" in run.err


def test_without_its_packages_it_says_what_to_install(molig, monkeypatch):
    monkeypatch.setattr("molig.cli.serve.find_spec", lambda _: None)
    run = molig("serve")
    assert run.code == 2
    assert "pip install 'molig[serve]'" in run.err


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_it_with_everything_it_has_started(small_model_dir, tmp_path):
    arguments = ["serve", "--no-browser", "--port", "0", "--host", "0.0.0.0", "-m", str(small_model_dir)]
    environment = os.environ | {"TMPDIR": str(tmp_path), "COLUMNS": "200"}
    server = subprocess.Popen(
        [sys.executable, "-m", "molig", *arguments, "--device", "cpu", "-j", "1"],
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        start_new_session=True,
    )
    try:
        place = re.fullmatch(r"molig serve: http://[^:]+:(\d+)/\?token=(\S+)\n", server.stderr.readline())
        asking = {"X-Molig": "1", "Authorization": f"Bearer {place[2]}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{place[1]}", headers=asking, timeout=600) as client:
            form = {"kind": "screen", "models": "small", "tasks": "nitrogen"}
            job = client.post("/api/jobs", data=form, files={"file": ("a.smi", NCI_FILE.read_bytes())}).json()
            while (told := client.get(f"/api/jobs/{job['id']}").json())["phase"] != "screening":
                assert told["state"] in ("waiting", "running"), told
                time.sleep(0.05)
        started = [int(line) for line in _children_of(server.pid)]
        assert list(tmp_path.iterdir())
        os.kill(server.pid, signal.SIGINT)
        assert server.wait(600) == 0
    finally:
        server.kill()
    assert "Ctrl-C ends it" in server.stderr.read()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("molig-serve-")]
    for _ in range(6_000):
        if not any(map(is_alive, started)):
            break
        time.sleep(0.1)
    assert not any(map(is_alive, started))


def _children_of(pid: int) -> list[str]:
    """Processes that have been started below one."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = dict(line.split() for line in listed.splitlines())
    found = {str(pid)}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {str(pid)})
