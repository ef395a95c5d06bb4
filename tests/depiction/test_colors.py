import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.depiction.panel import (
    NOISE,
    PALETTES,
    WHITE,
    PanelError,
    bar_stops,
    diverging_color,
    hex_color,
    score_color,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
scales = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@given(finite, scales)
def test_color_is_in_gamut_and_tells_the_sign(value, scale):
    red, green, blue = diverging_color(value, scale)
    assert all(0 <= channel <= 1 for channel in (red, green, blue))
    assert (red >= blue) if value >= 0 else (blue >= red)
    assert green <= max(red, blue)


@given(finite, finite, scales)
def test_larger_scores_are_never_paler(first, second, scale):
    low, high = sorted((abs(first), abs(second)))
    for sign, fading in ((1, 2), (-1, 0)):
        assert diverging_color(sign * high, scale)[fading] <= diverging_color(sign * low, scale)[fading]


@given(finite, scales)
def test_black_text_stays_readable(value, scale):
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in diverging_color(value, scale)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert (luminance + 0.05) / 0.05 >= 4.5


@given(st.floats(min_value=1e-3, max_value=1e3), st.floats(min_value=1, max_value=1e6))
def test_color_saturates_at_the_scale(scale, factor):
    assert diverging_color(scale * factor, scale) == diverging_color(scale, scale)
    assert diverging_color(-scale * factor, scale) == diverging_color(-scale, scale)


def test_nought_is_white_on_every_scale():
    assert diverging_color(0.0, 1.0) == diverging_color(-0.0, 0.0) == diverging_color(3.0, 0.0) == WHITE


@pytest.mark.parametrize(
    ("value", "scale"), [(math.nan, 1), (math.inf, 1), (1, math.nan), (1, -1.0), (1, math.inf)]
)
def test_impossible_colors_are_refused(value, scale):
    with pytest.raises(PanelError, match="finite"):
        diverging_color(value, scale)


def test_noise_is_grey_up_to_its_share_of_the_scale():
    assert score_color(0.09, 1.0, 0.1) == NOISE
    assert score_color(-0.09, 1.0, 0.1) == NOISE
    assert score_color(0.1, 1.0, 0.1) == diverging_color(0.1, 1.0)
    assert score_color(0.0, 1.0, 0.0) is None
    assert score_color(0.0, 0.0, 0.1) is None


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.99])
def test_bar_runs_from_blue_to_red_and_agrees_with_the_scores(noise):
    stops = bar_stops(noise)
    places = [place for place, _ in stops]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0.0, 1.0)
    for place, color in stops:
        if color != NOISE:
            assert color == pytest.approx(diverging_color(2 * place - 1, 1.0))


# Machado, Oliveira and Fernandes (2009), severity 1: what readers see who lack one kind of cone.
_SEEN = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# From linear RGB to XYZ.
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(color, seen_by=None):
    """CIELAB of a colour of a screen, as a reader sees it."""
    linear = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color])
    seen = linear if seen_by is None else np.clip(np.array(_SEEN[seen_by]) @ linear, 0, 1)
    ratio = _XYZ @ seen / (_XYZ @ np.ones(3))
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("palette", ["red-blue", "orange-purple"])
@pytest.mark.parametrize("seen_by", [None, *_SEEN])
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_signs_are_told_apart_by_readers_of_any_colour_vision(palette, seen_by, share):
    raised, lowered = (
        lab(diverging_color(sign * share, 1.0, PALETTES[palette]), seen_by) for sign in (1, -1)
    )
    assert np.linalg.norm(raised - lowered) > 40 * share


@pytest.mark.parametrize("palette", PALETTES)
def test_neither_sign_looks_stronger_in_grey_print(palette):
    raised, lowered = (lab(diverging_color(sign, 1.0, PALETTES[palette])) for sign in (1, -1))
    assert abs(raised[0] - lowered[0]) < 7


def test_hex_color_rounds():
    assert hex_color((0.5, 0.0, 1.0)) == "#8000ff"
