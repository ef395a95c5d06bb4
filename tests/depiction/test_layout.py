from hypothesis import given
from hypothesis import strategies as st

from molig.depiction.layout import font_for, shorten, width, wrap


@given(st.text(alphabet=st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=60))
def test_wrapped_text_fits_and_loses_nothing(text):
    lines = wrap(text, 13, 120)
    assert all(width(line, 13) <= 120 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.text(alphabet="abcW.-1", min_size=1, max_size=200))
def test_shortened_text_fits_and_keeps_both_ends(text):
    short = shorten(text, 15, 100)
    assert width(short, 15) <= 100
    assert (short[0], short[-1]) == (text[0], text[-1])


def test_characters_of_no_typeface_become_question_marks():
    _, written = font_for("a\U0010fffd", 14)
    assert written == "a?"
