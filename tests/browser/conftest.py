"""A real browser, and pages of hits for it; without either, these tests are skipped with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.explanations import made_up, parsed

from molig.features import preset
from molig.model import ApplicabilityFlag, DomainStatus
from molig.molecules import Record, Rejection
from molig.report import HitPage, render_hits

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

HOSTILE = '<img src="http://x.example/a.png" onerror="alert(1)">'
FORMULA = '=HYPERLINK("http://x.example")'

MOLECULES = (
    ("aspirin", "CC(=O)Oc1ccccc1C(=O)O", 1.5, FORMULA),
    (HOSTILE, "Oc1ccccc1", 12.0, "</script><script>alert(2)</script>"),
    ("L-alanine", "C[C@H](N)C(=O)O", None, "twin"),
    ("D-alanine", "C[C@@H](N)C(=O)O", 7.25, "twin"),
    ("salt", "[Na+].CC(=O)[O-]", 0.3, "@SUM(1)"),
    ("nicotine", "CN1CCC[C@H]1c1cccnc1", 2.0, "two\nlines $$$$"),
    ("diazepam", "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21", -3.0, ""),
    ("nitro", "O=[N+]([O-])c1ccc(F)cc1", 40.0, "> <x>"),
    ("acid chloride", "ClC(=O)CC", 5.0, "-1"),
    ("water", "O", None, None),
    ("deuterium", "[2H]OC", 9.0, "heavy"),
    ("alkyne", "C#CCN=[N+]=[N-]", 11.0, "b"),
)
"""Names and columns that are markup, formulas or ends of records; salts, twins, a single atom."""


def rows(n_tasks: int = 1) -> list[tuple[Record, Any]]:
    """The molecules with made-up explanations, and a rejected row."""
    schema, found = preset("simple", max_pair_distance=2), []
    for row, (name, smiles, *kept) in enumerate(MOLECULES, start=1):
        record = Record(row, name, smiles, kept=tuple(kept))
        molecule = parsed(record)
        whys = [
            made_up(schema, molecule, seed=100 * row + t, task=f"task {t}", score=0.05 * row + 0.01 * t)
            for t in range(n_tasks)
        ]
        found.append((record, whys))
    bad = Record(len(MOLECULES) + 1, f"bad {HOSTILE}", "C1CC")
    return [*found, (bad, Rejection(bad.row, bad.id, bad.smiles, "not parsable"))]


def hits(n_tasks: int = 1) -> str:
    """A page of them."""
    far = ApplicabilityFlag(DomainStatus.FAR, 0.1, "nearest training molecule at similarity 0.100")
    known = ApplicabilityFlag(DomainStatus.IN, 0.9, "nearest training molecule at similarity 0.900")
    flags = {row: far if row == 10 else known for row in range(1, len(MOLECULES) + 1)}
    page = HitPage(f"Hits {HOSTILE}", rows(n_tasks), "a meaning", [("model", "m")], ["IC50", "note"], flags)
    return render_hits(page)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs a browser: none of {', '.join(_BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of one task, and that of two."""
    folder = tmp_path_factory.mktemp("pages")
    found = {"one": folder / "one.html", "two": folder / "two.html"}
    for n_tasks, path in enumerate(found.values(), start=1):
        path.write_text(hits(n_tasks), encoding="utf-8")
    return found


@pytest.fixture
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    """Open a page; at the end of the test it must have asked for nothing, and told no error."""
    wrong, contexts = [], []

    def open_page(name: str = "one", **options: Any) -> Any:
        context = browser.new_context(
            viewport=options.pop("viewport", {"width": 1200, "height": 900}), **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on(
            "request", lambda request: request.url.startswith(("file:", "blob:")) or wrong.append(request.url)
        )
        page.goto(files[name].as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
