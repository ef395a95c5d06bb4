"""What tests of a server have in common: what its processes do, and waiting for a job."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from molig.errors import UsageError
from molig.serve.processes import Channel

TIME_LIMIT = 60.0
"""Of the server, in seconds; the machine may be busy."""


def with_a_child(channel: Channel, folder: Path) -> None:
    """Start a process that sleeps, tell its number and hang."""
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    channel.tell(child=child.pid)
    channel.hear()


def refuse(channel: Channel, folder: Path) -> None:
    """Raise what a user can mend."""
    raise UsageError("that cannot be")


def stumble(channel: Channel, folder: Path) -> None:
    """Raise what nobody meant to, with a molecule in it."""
    raise ValueError("CC(=O)Oc1ccccc1C(=O)O")


def finished(client: httpx.Client, number: str) -> dict[str, Any]:
    """What is told of a job when it is over."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        told = client.get(f"/api/jobs/{number}").json()
        if told["state"] not in ("waiting", "running"):
            return told
        time.sleep(0.05)
    raise AssertionError(told)
