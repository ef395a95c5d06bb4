"""A wheel built from the tree works by itself: it carries bundled models, examples, templates and recipes."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
LARGEST = 40_000_000
CODE = """
import molig
from molig.cli import main
from molig.benchmark.recipe import default_benchmark_recipe
from molig.model import model_card
assert "## Intended use" in model_card(molig.load_model("tox21-w2n2-simple").info)
assert default_benchmark_recipe("crippen").attribution
from pathlib import Path
from molig.training import read_recipe
from molig.training.splits import read_listed_parts
parts = read_listed_parts(read_recipe("tox21-w2n2-simple").split, Path())
assert len(parts.rows) == 2001
print(parts.file)
print(molig.__file__)
from molig.datasets.examples import example_files
print(example_files()["library.smi"])
main(["explain", "-q", "-m", "tox21-w2n2-simple", "--smiles", "CCO", "-o", "why.html"])
"""


def test_wheel_in_an_empty_directory(tmp_path):
    builder = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
    (wheel,) = builder.WheelBuilder(str(ROOT)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    assert Path(wheel).stat().st_size < LARGEST
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    page = ROOT / "molig" / "serve" / "static"
    assert {path.name for path in (site / "molig" / "serve" / "static").iterdir()} == {
        path.name for path in page.iterdir()
    }
    assert list(site.glob("molig-*.dist-info/licenses/**/openchemlib.LICENSE"))
    run = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=empty,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert all(Path(line).is_relative_to(site) for line in run.stdout.splitlines())
    assert '"ink":"' in (empty / "why.html").read_text()


def test_the_sketcher_is_what_was_fetched():
    script = ROOT / "docs" / "tools" / "sketcher.py"
    run = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
