import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.depiction import Waterfall, draw_waterfall
from molig.depiction.panel import PanelError
from molig.depiction.waterfall import _lines

numbers = st.floats(-10, 10)


def waterfall(steps, start=0.1, title="x <y>", unit="probability") -> Waterfall:
    named = [(f"step {i}", value) for i, value in enumerate(steps)]
    return Waterfall(title, "zero baseline", start, math.fsum([start, *steps]), named, unit)


@given(st.lists(numbers, min_size=1, max_size=40), numbers)
def test_what_is_drawn_adds_up(steps, start):
    lines = _lines(waterfall(steps, start))
    assert len(lines) <= 14
    assert math.fsum(value for _, value in lines) == pytest.approx(math.fsum(steps), abs=1e-12)


def test_words_and_numbers_stand_in_the_picture():
    svg = draw_waterfall(waterfall([0.5, -0.25]), note="said below").decode()
    for words in (
        "x &lt;y&gt;",
        "zero baseline",
        "step 0",
        "+0.500",
        "−0.250",
        "0.350",
        "probability",
        "said below",
    ):
        assert f">{words}<" in svg or words in svg
    assert svg == draw_waterfall(waterfall([0.5, -0.25]), note="said below").decode()


def test_several_stand_below_each_other():
    assert b"second" in draw_waterfall([waterfall([0.1]), waterfall([-0.1], title="second")])
    assert draw_waterfall(waterfall([]), kind="png").startswith(b"\x89PNG")
    assert draw_waterfall(waterfall([0.0], start=0.0), kind="png").startswith(b"\x89PNG")


def test_steps_that_miss_the_end_are_refused():
    with pytest.raises(PanelError, match=r"miss it by 0\.5"):
        Waterfall("x", "start", 0.0, 0.0, [("a", 0.5)])
    with pytest.raises(PanelError, match="finite"):
        Waterfall("x", "start", math.nan, 0.0, [])
    with pytest.raises(PanelError, match="at least one"):
        draw_waterfall([])
