"""Every shell block and every Python block of the README, run as a reader pastes them."""

from __future__ import annotations

import gc
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from molig.cli import main
from molig.datasets.examples import example_files

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SHELL, PYTHON, WINDOWS, RECIPE = "sh", "python", "powershell", "toml"
EXAMPLES = "molig data example"
"""The command whose files the other blocks read."""

_FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^\n]+) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A block of code, and what the comment right above it says of running it."""

    line: int
    language: str
    code: str
    note: str

    @property
    def not_run(self) -> str:
        """Why the block is not run here."""
        return self.note.removeprefix("not run: ") if self.note.startswith("not run: ") else ""

    @property
    def needs(self) -> str:
        """The public data set that the block reads."""
        found = re.match(r"needs (\w+)", self.note)
        return found[1] if found else ""


def blocks(*languages: str) -> list[Block]:
    text = README.read_text(encoding="utf-8")
    found = [
        Block(text.count("\n", 0, m.start("code")), m["language"], m["code"], m["note"] or "")
        for m in _FENCE.finditer(text)
    ]
    return [block for block in found if block.language in languages]


def named(some: list[Block]) -> dict[str, object]:
    return {"argvalues": some, "ids": [f"line {block.line}" for block in some]}


NOT_RUN = [block for block in blocks(SHELL, WINDOWS) if block.not_run]
RUN = [block for block in blocks(SHELL) if not block.not_run and not block.needs]
NEEDING = [block for block in blocks(SHELL) if block.needs]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """The environment of a reader: `molig` on the path is the one under test, and the cache is empty."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash on this machine")
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "molig"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m molig "$@"\n')
    command.chmod(0o755)
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    own = {"PATH": os.pathsep.join([str(folder), os.environ["PATH"]]), "PYTHONPATH": paths}
    return os.environ | own | {"OMP_NUM_THREADS": "1", "MOLIG_CACHE_DIR": str(folder / "cache")}


@pytest.fixture
def paste_here(environment, tmp_path, monkeypatch, capfd):
    """Run a block line by line: `molig` with plain words in this process, which has imported all, or bash.

    Twenty commands need no twenty starts to show that they work as written.
    """
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> int | str | None:
        words = plain_words(line)
        if words[:1] != ["molig"]:
            command = ["bash", "-euo", "pipefail", "-c", line]
            return subprocess.run(command, env=environment, check=False).returncode
        with pytest.raises(SystemExit) as ended:
            main(words[1:])
        gc.unfreeze()  # what `main` has frozen, since its process ends
        return ended.value.code

    def run_all(block: Block) -> None:
        for line in block.code.splitlines():
            code = run(line)
            assert not code, f"README.md, block at line {block.line}: {line}\n{capfd.readouterr().err}"

    return run_all


def plain_words(line: str) -> list[str]:
    """The words of a line as the shell has them; none if it asks the shell for more than words and quotes."""
    bare = re.sub(r"'[^']*'", "", line).partition("#")[0]
    return [] if re.search(r"""[|&;<>()$`\\"*?\[\]{}!~]""", bare) else shlex.split(line, comments=True)


def outputs(block: Block) -> list[str]:
    """Files that the commands of a block name as their output."""
    return [name for name in re.findall(r"(?:-o|>) (\S+)", block.code) if name != "-"]


def test_every_block_has_a_known_language_and_note():
    text = README.read_text(encoding="utf-8")
    known = blocks(SHELL, PYTHON, WINDOWS, RECIPE)
    assert len(known) == text.count("\n```") / 2
    assert all(not block.note or block.not_run or block.needs for block in known)
    assert text.count("<!-- not run") == len(NOT_RUN)
    assert all(block.not_run for block in blocks(WINDOWS))


@pytest.mark.parametrize("block", **named(NOT_RUN))
def test_only_what_installs_or_takes_long_is_not_run(block):
    """Each of these is listed here with its reason, and is all of it of that kind."""
    kinds = (
        r"(python3|py) -m venv|(\. )?\.venv|pipx? install|make \w+|molig ((train|evaluate) --recipe|serve) "
    )
    assert re.search("package index|takes half an hour|serves until Ctrl-C", block.not_run)
    assert all(re.match(kinds, line) for line in block.code.splitlines())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("molig explain 'C[N+](C)C' -o a.svg  # it's", ["molig", "explain", "C[N+](C)C", "-o", "a.svg"]),
        ("cat a.smi | molig screen - > b.csv", []),
        ("molig screen a*.smi", []),
        ("molig screen $A", []),
        ("# nothing", []),
    ],
)
def test_what_needs_a_shell(line, words):
    assert plain_words(line) == words


def test_shell_blocks_in_order(paste_here, environment, tmp_path, monkeypatch):
    assert RUN[0].code.startswith(EXAMPLES)
    monkeypatch.delenv("MOLIG_DATA_DIR", raising=False)
    environment.pop("MOLIG_DATA_DIR", None)
    for block in RUN:
        paste_here(block)
        missing = [name for name in outputs(block) if not (tmp_path / name).exists()]
        assert not missing, f"README.md, block at line {block.line} did not write {missing}"


@pytest.mark.parametrize("block", **named(NEEDING))
def test_shell_blocks_on_public_data(block, paste_here, tmp_path, data_dir):
    """These run where the shared data is, so that nothing is downloaded."""
    if not (data_dir / f"{block.needs}.parquet").is_file():
        pytest.skip(f"{block.needs} is not in MOLIG_DATA_DIR")
    paste_here(block)
    assert all((tmp_path / name).exists() for name in outputs(block))


@pytest.mark.parametrize("block", **named(blocks(PYTHON)))
def test_python_block(block, tmp_path, monkeypatch):
    for path in example_files().values():
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(block.code, f"README.md, block at line {block.line}", "exec"), {"__name__": "__main__"})


def test_recipe_is_the_one_of_the_examples():
    (block,) = blocks(RECIPE)
    assert block.code == example_files()["recipe.toml"].read_text(encoding="utf-8")
