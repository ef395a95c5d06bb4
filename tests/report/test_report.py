import re
from html.parser import HTMLParser

import pytest

from molig.errors import UsageError
from molig.report import Card, Report, render_report
from molig.report.page import render_card

EVIL = '<script>alert("x")</script>\'"&\x00\ud800'
DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"><circle r="1"/></svg>'
VOID = {"meta", "circle", "br"}


class Outline(HTMLParser):
    """Elements of a page with their attributes; fails on tags that do not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def card() -> Card:
    return Card(
        "CPD-1",
        "CCO",
        DRAWING,
        facts=[("score", "0.913"), ("residual", "0.4 %")],
        ledger=[("atoms", 52.1), ("bonded pairs", 49.0), ("non-bonded pairs", -1.1)],
        note="The hydroxyl decides.",
    )


def evil_card() -> Card:
    return Card(EVIL, EVIL, "", [(EVIL, EVIL)], [(EVIL, 1.0)], note=EVIL, warning=EVIL)


def test_card_shows_all_it_holds(card):
    fragment = render_card(card)
    Outline(fragment)
    for text in ("CPD-1", "CCO", DRAWING, "0.913", "52.1 %", "−1.1 %", "The hydroxyl decides."):
        assert text in fragment
    assert 'role="alert"' not in fragment


def test_warning_is_shown(card):
    assert "did not converge" in render_card(Card("a", "C", "", warning="did not converge"))


def test_card_brings_its_style_and_page_tells_it_once(card):
    assert render_card(card).count("<style>") == 1
    assert render_report(Report("r", cards=[card] * 3)).count("<style>") == 1


def test_everything_from_users_is_escaped():
    report = Report(
        EVIL, EVIL, [(EVIL, EVIL)], [EVIL], [[EVIL]], [evil_card()], footnotes=[EVIL], link_column=EVIL
    )
    for page in (render_report(report), render_card(evil_card())):
        outline = Outline(page)
        assert not outline.all("script")
        assert "<script" not in page
        assert not any("alert(" in name for _, attributes in outline.found for name in attributes)
        page.encode()
        assert "\0" not in page


def test_drawing_is_put_in_as_it_is_and_nothing_else_may_stand_for_it(card):
    assert DRAWING in render_report(Report("r", cards=[card]))
    with pytest.raises(UsageError, match="must be an <svg> element"):
        Card("a", "C", "<img src=x onerror=alert(1)>")
    assert "no drawing" in render_card(Card("a", "C", ""))


def test_page_is_self_contained(card):
    page = render_report(Report("r", cards=[card]))
    outline = Outline(page)
    assert page.startswith("<!DOCTYPE html>")
    assert not outline.all("script")
    assert not outline.all("link")
    assert not outline.all("img")
    assert "url(" not in page
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\"'<\s]+", page)) == {"http://www.w3.org/2000/svg"}


def test_page_without_cards_says_so():
    page = render_report(Report("Nothing"))
    Outline(page)
    assert "No compounds were explained." in page
    assert "Ranking" not in page


def test_page_tells_how_to_read_it():
    page = render_report(Report("r"))
    assert "raise the score" in page
    assert "score minus the baseline" in page


def test_table_links_to_the_cards():
    cards = [Card(name, "C", "") for name in ("A", "B", "A")]
    rows = [["1", "B", "0.9"], ["2", "A", "0.8"], ["3", "Z", "0.7"]]
    outline = Outline(
        render_report(Report("r", table_header=["rank", "id", "score"], table_rows=rows, cards=cards))
    )
    assert [link["href"] for link in outline.all("a")] == ["#card-2", "#card-1"]
    assert [article["id"] for article in outline.all("article")] == ["card-1", "card-2", "card-3"]


def test_ranks_do_not_pass_for_names():
    cards = [Card(name, "C", "") for name in ("2", "1")]
    rows = [["1", "2"], ["2", "1"]]
    report = Report("r", table_header=["rank", "id"], table_rows=rows, cards=cards)
    assert re.findall(r'href="(#[^"]+)">(\d)<', render_report(report)) == [("#card-1", "2"), ("#card-2", "1")]


def test_link_column_can_be_chosen():
    report = Report(
        "r", table_header=["id", "n"], table_rows=[["2", "2"]], cards=[Card("2", "C", "")], link_column="id"
    )
    assert '<td class="num"><a href="#card-1">2</a></td><td class="num">2</td>' in render_report(report)


def test_table_without_header_and_with_ragged_rows_is_written():
    page = render_report(Report("r", table_rows=[["1", "a"], ["2"]]))
    Outline(page)
    assert "<thead>" not in page


def test_wrong_tables_are_named():
    with pytest.raises(UsageError, match=r"table_rows\[1\]: expected 2 cells, one per header \(got 1\)"):
        Report("r", table_header=["a", "b"], table_rows=[["1", "2"], ["3"]])
    with pytest.raises(UsageError, match=r"no column 'c' in the table \(has: a\)"):
        Report("r", table_header=["a"], link_column="c")


def test_numbers_stand_right_and_words_left():
    page = render_report(
        Report("r", table_header=["id", "score"], table_rows=[["a", "−0.5"], ["b", "1e-3 %"]])
    )
    assert page.count('class="num"') == 3


def test_same_report_same_text(card):
    report = Report("r", cards=[card], facts=[("a", "b")])
    assert render_report(report) == render_report(report)
    assert render_card(card) == render_card(card) == card._repr_html_()
