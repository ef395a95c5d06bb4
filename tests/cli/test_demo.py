"""The demo with the bundled model, from the library inside RDKit to the page."""

import re

from support.pages import page_data


def test_demo_ranks_ten_molecules_and_writes_their_page(molig, tmp_path):
    page = tmp_path / "new" / "report.html"
    run = molig("demo", "-o", page)
    assert run.code == 0
    assert re.findall(r"^│ (\d+) ", run.out, flags=re.MULTILINE) == [str(rank) for rank in range(1, 11)]
    assert f"report: {page}" in run.out
    assert "4,999 rows: 4,829 scored, 170 rejected" in run.err
    html = page.read_text()
    assert len(page_data(html)["molecules"]) == 10
    told = re.findall(r" carries [+-]\d\.\d\d[^;<]* of [+-]\d\.\d\d;", html)
    assert len(told) == 10
    assert html.count("<li>Row ") == 170
    assert not re.search(r"(src|href)=\"https?://", html)


def test_progress_shows_speed_and_time_left(molig, nci_file, tmp_path):
    run = molig(
        "screen", nci_file, "-m", "tox21-w2n2-simple", "--task", "SR-MMP", "-o", tmp_path / "hits.csv"
    )
    assert run.code == 0
    assert re.search(r"screening .* 4,999 +\d+ rejected +[\d,]+ molecules/s +\d+:\d\d:\d\d +0:00:00", run.err)
