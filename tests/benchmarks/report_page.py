"""How large pages of hits are, and what a browser takes until they can be used, to sort and to search.

    python tests/benchmarks/report_page.py

Structures are NCI's, the numbers made up: what is measured does not depend on them. Needs Chromium and
playwright.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import CDPSession, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.explanations import made_up, parsed
from support.small_model import NCI_FILE

from molig.features import preset
from molig.molecules import MoleculeParser, Record, Rejection
from molig.report import HitPage, render_hits

SIZES = (100, 1_000)
SORT = "() => document.querySelectorAll('#hits thead th button')[1].click()"
SEARCH = """() => {
    const D = JSON.parse(document.getElementById("data").textContent);
    const ring = Smarts.parse("c1ccccc1-,:[#6,#7]");
    for (const m of D.molecules)
        Smarts.atoms(ring, Smarts.graph(m.atoms.map(k => D.kinds[k]), m.bonds, m.rings));
}"""


def page_of(n: int) -> str:
    """A page of the first molecules of the NCI set that are accepted."""
    schema, parser, rows = preset("full", max_pair_distance=2), MoleculeParser(), []
    for row, line in enumerate(NCI_FILE.read_text().splitlines(), start=1):
        record = Record(row, f"NCI {row}", line.split()[0])
        if not isinstance(parser.parse(record), Rejection):
            rows.append((record, [made_up(schema, parsed(record), row, task="task")]))
        if len(rows) == n:
            break
    return render_hits(HitPage("NCI", rows))


def _spent(session: CDPSession) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(one["value"] for one in metrics if one["name"] == "TaskDuration")


def main() -> None:
    """Print a line for each size."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for n in SIZES:
            started = time.process_time()
            text = page_of(n)
            seconds = time.process_time() - started
            path = Path(folder) / f"{n}.html"
            path.write_text(text, encoding="utf-8")
            page = browser.new_page()
            session = page.context.new_cdp_session(page)
            # Time of the page's thread on the processor, which other programs do not stretch.
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.goto(path.as_uri())
            spent = [_spent(session)]
            for act in (SORT, SEARCH):
                page.evaluate(act)
                spent.append(_spent(session))
            usable, sort, search = spent[0], spent[1] - spent[0], spent[2] - spent[1]
            print(
                f"{n:5,} molecules: {len(text.encode()) / 1e6:.2f} MB, made in {seconds:.1f} s; usable after "
                f"{usable:.2f} s, sorted in {sort:.2f} s, searched in {search:.2f} s (of a processor)",
                flush=True,
            )
        browser.close()


if __name__ == "__main__":
    main()
