"""The documentation builds, and names only what exists and what really runs."""

import doctest
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from benchmarks.walks import WALKS, walk

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs" / "tools"))
plan = import_module("floor_plan")
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
# Groups of entry points, which look like modules.
ENTRY_POINTS = {"molig.audit_checks"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    named = re.findall(r"(?<![\w/.-])(?:molig|tests|docs|notebooks)/[\w./-]*[\w/]", page.read_text())
    # NAME stands for whatever the reader puts there.
    assert [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_that_a_page_mentions_exist(page):
    named = set(re.findall(r"(?<![\w/.-])molig(?:\.[A-Za-z_]\w*)+", page.read_text())) - ENTRY_POINTS
    assert [name for name in sorted(named) if not exists(name)] == []


def exists(name: str) -> bool:
    module, _, rest = name.partition(".")
    thing = import_module(module)
    for part in rest.split("."):
        module = f"{module}.{part}"
        if not hasattr(thing, part):
            try:
                import_module(module)
            except ImportError:
                return False
        thing = getattr(thing, part)
    return True


def test_walks_call_what_the_architecture_says_in_this_order():
    for name, called in zip(WALKS, walk(*WALKS), strict=True):
        stops = plan.stops((ROOT / "docs" / "architecture.md").read_text(), name)
        assert len(stops) >= 8, name
        places = [first_call(stop, called) for stop in stops]
        assert places == sorted(places), name


def first_call(stop: str, called: list[str]) -> int:
    """Place of the first call of a function, or of any method of a class."""
    places = [i for i, name in enumerate(called) if name == stop or name.startswith(f"{stop}.")]
    assert places, f"{stop} is not called"
    return places[0]


def test_floor_plan_is_up_to_date():
    assert plan.PICTURE.read_text() == plan.floor_plan(), "run docs/tools/floor_plan.py"


def test_floor_plan_has_the_order_of_the_contract():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = [
        layer.removeprefix("molig.") for layer in project["tool"]["importlinter"]["contracts"][0]["layers"]
    ]
    rooms = [room for _, floor in plan.FLOORS for room in reversed(floor)]
    assert rooms == [layer for layer in layers if layer != "version"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_a_page_run(page):
    assert doctest.testfile(str(page), module_relative=False).failed == 0


def test_the_worked_example_of_an_adapter_draws_a_picture_that_adds_up(tmp_path, monkeypatch):
    pytest.importorskip("torch_geometric", reason="see tests/foreign/requirements.txt")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "adapters.md").read_text(), re.M | re.S)
    names = {}
    exec(compile(code, "adapters.md", "exec"), names)
    why = names["why"]
    total = why.atom_scores.sum()
    assert why.converged
    assert total + why.residual == pytest.approx(why.score - why.baseline_score, abs=1e-9)
    assert abs(why.residual) <= 0.01 * max(abs(why.score - why.baseline_score), 0.01)
    assert np.abs(why.bond_scores).min() > 0
    assert "<svg" in (tmp_path / "why.svg").read_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= 60


def test_site_builds_without_warnings(tmp_path):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (pip install -e '.[docs]')")
    pytest.importorskip("mkdocstrings_handlers.python", reason="mkdocstrings is not installed")
    site = tmp_path / "site"
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(site).as_posix(): path.read_text() for path in site.rglob("*.html")}
    for room in ("molig", "attribution", "audit"):
        module = import_module("molig" if room == "molig" else f"molig.{room}")
        for name in module.__all__:
            if not name.startswith("__"):
                assert f'id="{module.__name__}.{name}"' in pages[f"api/{room}.html"], name
    # Pages load nothing from elsewhere.
    elsewhere = re.compile(r'(?:<script[^>]*src|<link[^>]*href|<img[^>]*src)="https?://[^"]*"')
    assert {name: elsewhere.findall(text) for name, text in pages.items() if elsewhere.search(text)} == {}
