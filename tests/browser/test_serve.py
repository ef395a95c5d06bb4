"""`molig serve` in a real browser, the whole way: paste, screen, look, draw, compare, audit, download."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rdkit import Chem
from support.poison import prism, smiles_of

from .conftest import HOSTILE

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("uvicorn", reason="needs the extra [serve]")

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests" / "support" / "models" / "small"
ASPIRIN, PHENOL = "CC(=O)Oc1ccccc1C(=O)O", "Oc1ccccc1"
PASTED = f"""{ASPIRIN} aspirin
{PHENOL} {HOSTILE}
C1CC broken
CN1CCC[C@H]1c1cccnc1 nicotine
CC(C)(c1ccc(O)cc1)c1ccc(O)cc1 bisphenol A
"""
HANGS = smiles_of(prism(97, 2), "c")
"""Passes the bounds, and takes RDKit several seconds to kekulise."""
# Places in the bar of the sketcher.
BENZENE, NITROGEN = {"x": 42, "y": 202}, {"x": 21, "y": 265}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own, as a user starts it."""
    command = [
        sys.executable,
        "-m",
        "molig",
        "serve",
        "-m",
        MODEL,
        "--port",
        "0",
        "--no-browser",
        "--jobs",
        "1",
    ]
    folder = tmp_path_factory.mktemp("serve")
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
    ) as server:
        told = ""
        for line in server.stderr:
            told += line
            if found := re.search(r"http://\S+", line):
                break
        else:
            pytest.fail(told)
        yield found.group()
        server.terminate()
        server.communicate(timeout=600)
    assert list(folder.iterdir()) == []


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open the page; it may ask its own server alone, and tell no error but of answers that say one."""
    wrong, contexts = [], []

    def open_page(**options: Any) -> Any:
        options = {"viewport": {"width": 1400, "height": 900}} | options
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # on a busy machine
        page.on("console", lambda message: refused(message.text) or wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: request.url.startswith(address) or wrong.append(request.url))
        page.goto(address)
        page.locator("#models input").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def refused(text: str) -> bool:
    """Whether a browser tells that a server has answered by an error, which the page has then said."""
    return (
        re.fullmatch(r"Failed to load resource: the server responded with a status of 400 \(.*\)", text)
        is not None
    )


def run(page: Any, kind: str, state: str = "done") -> Any:
    """Start a run and wait for its end."""
    with page.expect_response(
        lambda answer: answer.request.method == "POST" and answer.status == 202
    ) as taken:
        page.click(f"button[data-kind={kind}]")
    row = page.locator(f'#runs li[data-run="{taken.value.json()["id"]}"]')  # not that of a run before it
    row.locator(f".badge.{state}").wait_for()
    return row


def explained(page: Any, smiles: str) -> float:
    """The score of a molecule by its SMILES."""
    page.fill("#smiles", smiles)
    answered(page, smiles)
    return score(page)


def answered(page: Any, smiles: str) -> None:
    page.wait_for_function(
        """smiles => {
            const answer = document.getElementById("answer");
            return answer.dataset.smiles === smiles && !answer.hasAttribute("aria-busy");
        }""",
        arg=smiles,
    )


def score(page: Any) -> float:
    return float(page.locator("#answer .value").text_content())


def names(page: Any) -> list[str]:
    return page.locator("#hits tbody td:nth-child(2) button").all_text_contents()


def test_from_pasted_lines_to_an_explanation(opened, tmp_path):
    page = opened()
    page.click("#screen")
    assert "no molecules yet" in page.locator("#ask-says").text_content()
    page.fill("#text", PASTED)
    row = run(page, "screen")
    assert "1 rejected" in row.text_content()
    page.locator("#hits tbody tr").first.wait_for()
    assert sorted(names(page)) == sorted(["aspirin", HOSTILE, "nicotine", "bisphenol A"])
    assert page.locator("img, iframe, object").count() == 0
    assert "Row 3 (broken) C1CC: " in page.locator("#rejected li").text_content()

    page.locator("#hits th button", has_text="nitrogen").first.click()
    values = page.locator("#hits tbody td.heat button[aria-label*='nitrogen']").all_text_contents()
    assert values == sorted(values, key=float, reverse=True)
    page.fill("#query", "NICOT")
    page.locator("#count", has_text="1 of 4 rows").wait_for()
    page.fill("#query", "")

    page.locator("#hits button", has_text=HOSTILE).click()
    page.locator("#answer .drawing > svg").wait_for()
    assert page.locator("#pane-title").text_content() == HOSTILE
    assert "The model is blind to chirality" in page.locator("#answer").text_content()
    shown = page.locator("#answer .sums tr td.num").all_text_contents()
    first, *parts, last = [float(text.replace("−", "-")) for text in shown]
    assert first + sum(parts) == pytest.approx(last, abs=2e-3)
    atom = page.locator("#answer .drawing circle").first
    atom.hover()
    assert re.search(r", atom \d: [+−]", page.locator("#tip").text_content())
    page.locator("#answer .drawing > svg").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#live").text_content() == page.locator("#tip").text_content()

    for name in ("hits.csv", "explanations.sdf", "all.zip"):
        with page.expect_download() as waiting:
            row.locator("a", has_text=name).click()
        waiting.value.save_as(tmp_path / name)
    with (tmp_path / "hits.csv").open(newline="") as file:
        assert {one["id"] for one in csv.DictReader(file)} >= {"aspirin", HOSTILE}
    assert None not in Chem.SDMolSupplier(str(tmp_path / "explanations.sdf"))
    with page.context.expect_page() as tab:
        row.locator("a", has_text="Open the page").click()
    tab.value.locator("#cards article").first.wait_for()
    assert tab.value.locator("#cards article").count() == 4

    page.reload()
    page.locator("#runs li.on .badge.done").wait_for()
    page.locator("#hits tbody tr").first.wait_for()
    before = page.locator("#runs > li").count()
    page.locator("#runs li.on").get_by_role("button", name="Remove this run").click()
    page.wait_for_function("n => document.querySelectorAll('#runs > li').length === n", arg=before - 1)
    assert not page.locator("#hits").is_visible()


def test_a_drawn_change_moves_the_score(opened):
    page = opened()
    assert (
        page.evaluate("performance.getEntriesByType('resource').some(e => e.name.includes('openchemlib'))")
        is False
    )
    page.click("#draw-button")
    page.locator("#canvas > div").wait_for()
    page.click("#canvas", position=BENZENE)
    page.click("#canvas", position={"x": 300, "y": 180})
    answered(page, "c1ccccc1")
    before = score(page)
    page.click("#canvas", position=NITROGEN)
    page.click("#canvas", position={"x": 300, "y": 180})  # where the ring has an atom
    answered(page, "c1ccncc1")
    assert score(page) != before
    assert f"before: {before:.4f}" in page.locator("#answer .former").text_content()
    page.click("#add")
    assert page.input_value("#text") == "c1ccncc1 drawn\n"
    page.locator("#answer summary", has_text="All tasks").click()
    row = page.locator("#answer details tr", has_text="nitrogen")
    row.wait_for()
    assert float(row.locator("td.heat").text_content()) == score(page)
    page.get_by_role("button", name="Back").click()
    answered(page, "c1ccccc1")
    assert score(page) == before
    row.locator("td.num", has_text=re.compile("^[+−]")).wait_for()  # beside the molecule before

    page.reload()
    answered(page, "c1ccccc1")
    assert page.input_value("#text") == "c1ccncc1 drawn\n"


def test_of_two_questions_the_later_is_answered(opened):
    page = opened()
    page.evaluate(
        """pairs => {
            const field = document.getElementById("smiles"), form = document.getElementById("one");
            for (const smiles of pairs) { field.value = smiles; form.requestSubmit(); }
        }""",
        [ASPIRIN, PHENOL],
    )
    answered(page, PHENOL)
    assert page.locator(".trail").count() == 0  # the first was never told


def test_edits_and_a_matched_pair(opened):
    page = opened()
    explained(page, PHENOL)
    page.click("#edits button[type=submit]")
    page.locator("#edits-answer tbody tr").first.wait_for()
    edit = page.locator("#edits-answer tbody tr").first
    told = float(edit.locator("td.num").first.text_content())
    smiles = edit.locator("code").text_content()
    edit.get_by_role("button", name="Take").click()
    answered(page, smiles)
    assert score(page) == pytest.approx(told, abs=2e-4)
    page.locator(".former").get_by_role("button", name="Compare").click()
    page.locator("#compare-answer .drawing > svg").wait_for()
    last = page.locator("#compare-answer tbody tr").last.locator("td").all_text_contents()
    assert float(last[1]) == pytest.approx(told, abs=2e-4)
    page.fill("#other", "C(")
    page.locator("#compare button[type=submit]").click()
    page.locator("#compare-answer .says").wait_for()
    assert page.locator("#answer .value").is_visible()


def test_a_rejected_molecule_says_why(opened):
    page = opened()
    page.fill("#smiles", "C1CC")
    page.locator("#one-says", has_text="Rejected: ").wait_for()
    assert page.locator("#answer").text_content() == ""
    page.fill("#smiles", "")
    page.locator("#no-answer").wait_for()


def test_a_molecule_that_hangs_leaves_the_page_usable(opened):
    page = opened()
    page.fill("#smiles", HANGS)
    page.get_by_role("button", name="Stop").wait_for()
    page.click("#example")
    assert "nicotine" in page.input_value("#text")
    page.get_by_role("button", name="Stop").click()
    page.locator("#one-says", has_text="Stopped.").wait_for()
    assert explained(page, PHENOL) > 0


def test_an_audit_of_a_labelled_file(opened, tmp_path):
    page = opened()
    labelled = tmp_path / "labelled.csv"
    with labelled.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", "nitrogen"])
        writer.writerows([smiles, n % 2] for n, smiles in enumerate(("CCN", "CCO", "CC(N)=O", "c1ccccc1O")))
    page.set_input_files("#file", str(labelled))
    assert "labelled.csv" in page.locator("#chosen").text_content()
    page.locator("#models summary").click()
    page.uncheck("#models .ticks input[value=carbonyl]")
    assert page.locator("#models summary").text_content() == "1 of 2 tasks"
    row = run(page, "audit")
    with page.context.expect_page() as tab:
        row.locator("a", has_text="Open the audit report").click()
    tab.value.locator("h1").wait_for()
    assert "nitrogen" in tab.value.locator("body").text_content()


def test_a_run_is_cancelled_and_a_wrong_file_is_told(opened, tmp_path):
    page = opened()
    long = tmp_path / "long.smi"
    long.write_text("\n".join("C" * (n % 40 + 1) + "c1ccccc1" for n in range(100_000)))
    page.set_input_files("#file", str(long))
    page.click("#screen")
    page.locator("#runs li .badge.running").wait_for()
    page.get_by_role("button", name="Cancel this run").click()
    page.locator("#runs li .badge.cancelled").wait_for()
    wrong = tmp_path / "picture.smi"
    wrong.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    page.set_input_files("#file", str(wrong))
    row = run(page, "screen", "failed")
    assert row.locator(".says").text_content()


def test_columns_that_are_not_found_are_named(opened, tmp_path):
    page = opened()
    table = tmp_path / "two.csv"
    table.write_text(f"code,educt,product\nfirst,{PHENOL},{ASPIRIN}\n")
    page.set_input_files("#file", str(table))
    assert "two.csv: no column looks like SMILES" in run(page, "screen", "failed").inner_text()
    page.click("#reading summary")
    page.fill("#smiles-column", "product")
    page.fill("#id-column", "1")
    run(page, "screen")
    page.locator("#hits tbody tr").wait_for()
    assert names(page) == ["first"]
    assert ASPIRIN in page.locator("#hits tbody").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_dark_and_a_phone(opened, scheme):
    page = opened(color_scheme=scheme, viewport={"width": 390, "height": 844})
    paper = "getComputedStyle(document.getElementById('ask')).backgroundColor"
    assert (page.evaluate(paper) == "rgb(255, 255, 255)") == (scheme == "light")
    page.click("#theme")
    page.click("#theme")
    assert page.evaluate(paper) != "rgb(255, 255, 255)"
    explained(page, ASPIRIN)
    page.click("#sketch")
    page.locator("#canvas > div").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, select, textarea, [role=region], progress")]
            .filter(e => !(e.textContent.trim() || e.getAttribute("aria-label")
              || e.getAttribute("aria-labelledby") || (e.labels && e.labels.length))).map(e => e.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(set(ids)) == len(ids)
