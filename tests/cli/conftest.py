"""Running the command in this process, on small files."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from molig.cli import main


@dataclass(frozen=True)
class Run:
    """What a command did: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


Molig = Callable[..., Run]
Write = Callable[[str, "str | bytes"], Path]


@pytest.fixture
def molig(capsys: pytest.CaptureFixture[str]) -> Molig:
    """Run `molig` with these arguments; the caller looks at exit code, stdout and stderr."""

    def run(*arguments: object) -> Run:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        gc.unfreeze()  # what `main` has frozen, since its process ends
        captured = capsys.readouterr()
        code = ended.value.code
        return Run(code if isinstance(code, int) else 1, captured.out, captured.err)

    return run


@pytest.fixture
def narrow(molig: Molig, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Run `molig` on a terminal of so many columns; returns the lines of stdout, without their colours."""

    def run(*arguments: object, width: int = 80) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr("rich.console.Console.is_terminal", True)
        return re.sub(r"\x1b\[\d+m", "", molig(*arguments).out).splitlines()

    return run


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file as it stands, without translation of line ends."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file
