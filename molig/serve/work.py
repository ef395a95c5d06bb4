"""What a job does, in its own process: screen, explain or audit a file, and write everything about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from molig.serve.processes import Channel
from molig.serve.settings import ServeSettings

KINDS = ("screen", "explain", "audit")
"""What jobs do."""


class ResultFile(NamedTuple):
    """A file that a job may leave: what it is, and how it is sent."""

    title: str
    media_type: str


OUTPUT = "results"
"""Directory of a job that holds them."""

RESULTS: dict[str, ResultFile] = {}


def do_job(channel: Channel, folder: Path, order: Mapping[str, Any], settings: ServeSettings) -> None:
    """Do a job."""
    channel.tell(error="not yet")


def input_name(name: str, file_format: str | None) -> str:
    """What the file of a job is called in its directory."""
    return "molecules.smi"


def suffixes() -> list[str]:
    """Ends of names of files that jobs take."""
    return [".smi"]
