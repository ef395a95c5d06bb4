"""Text of unknown origin is legible, and does nothing."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from molig.text import legible, legible_lines, legible_markdown

ESCAPES = {
    "clears the screen": "\x1b[2J",
    "sets the title": "\x1b]0;owned\x07",
    "C1 sequence": "\x9b31m",
    "string of C1": "\x90q\x9c",
    "next line": "a\x85b",
    "override": "abc\u202egpj.exe",
    "isolate": "\u2067abc\u2069",
    "mark": "a\u200eb\u200fc\u061cd",
    "line separator": "a\u2028b\u2029c",
    "zero width": "a\u200bb\ufeffc",
    "tag": "a\U000e0041b",
    "half a pair": "\ud800",
    "lines": "a\r\nb\tc",
}


@pytest.mark.parametrize("text", ESCAPES.values(), ids=ESCAPES)
def test_sequences_do_nothing(text):
    clean = legible(text)
    assert clean != text
    assert not [c for c in clean if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_what_can_be_read_stays():
    text = "CPD-1 β-Lactam (±) 阿司匹林 שלום é [C@@H] => | <b>"
    assert legible(text) == text


@given(st.text())
def test_any_text_can_be_encoded_and_stays_on_one_line(text):
    clean = legible(text)
    clean.encode()
    assert clean.splitlines() in ([], [clean])
    assert not [c for c in clean if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
    assert unicodedata.bidirectional(clean[:1] or "a") not in (
        "RLO",
        "LRO",
        "RLE",
        "LRE",
        "PDF",
        "RLI",
        "LRI",
    )
    assert legible(clean) == clean


@given(st.text())
def test_markdown_holds_no_tag_and_no_link(text):
    clean = legible_markdown(text)
    assert legible_markdown(clean) == clean
    assert "](" not in clean
    assert not re.search("<[a-zA-Z/!?]", clean)
    assert clean.count("\n") == text.count("\n")


def test_lines_stay_lines():
    assert legible_lines("hits: a\x1b\nrejected: b") == "hits: a\ufffd\nrejected: b"


def test_images_and_links():
    assert legible_markdown("<img src=x onerror=alert(1)>") == "&lt;img src=x onerror=alert(1)>"
    assert legible_markdown("![x](http://evil) </td> <!--") == "![x]&#40;http://evil) &lt;/td> &lt;!--"
    assert legible_markdown("p < 0.05, <=3") == "p < 0.05, <=3"
    assert legible_markdown("| `C[C@@H](N)O` | <b> |") == "| `C[C@@H](N)O` | &lt;b> |"


@given(st.text(alphabet="`\\|<>ab]([)! \n"))
@example("`<b>``")
@example("\\`<b>`")
@example("` | <b> `")
def test_what_stays_in_backticks_is_code_to_a_reader_of_markdown(text):
    tokens = MarkdownIt("commonmark").enable("table").parse(legible_markdown(text))
    found = {child.type for token in tokens for child in (*(token.children or ()), token)}
    assert not found & {"html_inline", "html_block", "link_open", "image"}
