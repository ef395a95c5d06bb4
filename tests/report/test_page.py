from html.parser import HTMLParser

import pytest

from molig.errors import UsageError
from molig.report import Card
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


def test_card_brings_its_style(card):
    assert render_card(card).count("<style>") == 1


def test_everything_from_users_is_escaped():
    fragment = render_card(evil_card())
    outline = Outline(fragment)
    assert not outline.all("script")
    assert not any("alert(" in name for _, attributes in outline.found for name in attributes)
    fragment.encode()
    assert "\0" not in fragment


def test_nothing_but_a_drawing_may_stand_for_it():
    with pytest.raises(UsageError, match="must be an <svg> element"):
        Card("a", "C", "<img src=x onerror=alert(1)>")
    assert "no drawing" in render_card(Card("a", "C", ""))


def test_same_card_same_text(card):
    assert render_card(card) == render_card(card) == card._repr_html_()
