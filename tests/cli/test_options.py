"""Groups of options: declared once, in the place of their parameter, and handed over as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from molig.cli.options import QuietOption, Reading, ReadsAtomsAndBits, with_groups


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option("--width", min=1, help="Of all.")] = 2
    tags: Annotated[list[str] | None, typer.Option("--tag")] = None


GIVEN = []


@with_groups
def draw(
    *,
    name: Annotated[str, typer.Argument()],
    size: Size,
    reading: Reading,
    foreign: ReadsAtomsAndBits,
    quiet: QuietOption = False,
) -> None:
    """Draw it."""
    GIVEN.append((name, size, reading, foreign, quiet))


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(draw)
    GIVEN.clear()
    return lambda *words: CliRunner().invoke(app, list(words))


def test_a_group_comes_as_one_value(run):
    assert run("a", "--width", "3", "--tag", "x", "--tag", "y", "--keep-h", "-q").exit_code == 0
    assert run("b", "--delimiter", "tab").exit_code == 0
    (name, size, reading, foreign, quiet), (_, defaults, tabs, none, _) = GIVEN
    assert (name, size, quiet) == ("a", Size(3, ["x", "y"]), True)
    assert (reading, foreign.inputs.keep_h) == (Reading(), True)
    assert (defaults, none) == (Size(), ReadsAtomsAndBits())
    assert tabs.arguments == {
        "smiles_column": None,
        "id_column": None,
        "file_format": None,
        "delimiter": "tab",
    }
    assert tabs.in_words["--delimiter"] == "tab"


def test_options_stand_where_the_group_stands(run):
    told = run("--help").output
    places = [told.index(word) for word in ("Draw it.", "--width", "--smiles-column", "--keep-h", "--quiet")]
    assert places == sorted(places)
    wrong = run("a", "--width", "0")
    assert (wrong.exit_code, "--width" in wrong.output) == (2, True)
    assert not GIVEN
