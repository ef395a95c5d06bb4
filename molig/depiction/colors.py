"""From a signed score to a colour on which black text stays readable."""

from __future__ import annotations

import math
from typing import TypeAlias

from molig.depiction.panel import PanelError

RGB: TypeAlias = tuple[float, float, float]
"""Red, green and blue, each from 0 to 1."""

WHITE: RGB = (1.0, 1.0, 1.0)
# Two ends of nearly equal luminance (0.27 and 0.30): in grey print neither sign looks stronger, and black
# on them keeps a contrast above 6 : 1. Red and blue, not red and green, for readers who cannot tell those
# apart.
POSITIVE: RGB = (0.94, 0.36, 0.32)
NEGATIVE: RGB = (0.38, 0.58, 0.93)
NOISE: RGB = (0.88, 0.88, 0.88)

# Below this part of the scale a colour cannot be told from white; leaving it out keeps drawings small.
_VISIBLE = 0.02


def diverging_color(value: float, scale: float) -> RGB:
    """Colour of a signed score: white at 0, red above, blue below.

    Parameters
    ----------
    value : float
        The score; beyond ``scale`` the colour no longer deepens.
    scale : float
        The |score| that gets the full colour, at least 0. With 0 every score is white.

    Returns
    -------
    tuple of float
        Red, green and blue, each from 0 to 1.

    Raises
    ------
    PanelError
        When the value or the scale is not finite, or the scale negative.

    Examples
    --------
    >>> diverging_color(0.0, 2.0)
    (1.0, 1.0, 1.0)
    >>> red, green, blue = diverging_color(1.5, 2.0)
    >>> red > green > blue
    True
    """
    if not math.isfinite(value):
        raise PanelError(f"a score must be a finite number to have a colour (got {value})")
    if not (math.isfinite(scale) and scale >= 0):
        raise PanelError(f"scale must be a finite number, at least 0 (got {scale})")
    end = POSITIVE if value > 0 else NEGATIVE
    # Comparing before dividing keeps denormal scales from overflowing.
    share = 0.0 if scale == 0 else 1.0 if abs(value) >= scale else abs(value) / scale
    return _mix(end, share)


def score_color(value: float, scale: float, noise: float) -> RGB | None:
    """Colour to highlight a score with, or None where the paper may stay white.

    Parameters
    ----------
    value, scale : float
        As in `diverging_color`.
    noise : float
        Scores below this part of the scale are grey; 0 switches that off.

    Returns
    -------
    tuple of float or None
        Red, green and blue, each from 0 to 1.
    """
    if scale == 0:
        return None
    if abs(value) < noise * scale:
        return NOISE
    if abs(value) < _VISIBLE * scale:
        return None
    return diverging_color(value, scale)


def bar_stops(noise: float) -> list[tuple[float, RGB]]:
    """Corners of the colour bar from -scale (position 0) to +scale (position 1), straight lines between them.

    Parameters
    ----------
    noise : float
        Half width of the grey middle, as part of the scale.

    Returns
    -------
    list of (float, tuple of float)
        Rising positions, each with its colour; two at one place are a step.
    """
    if noise == 0:
        return [(0.0, NEGATIVE), (0.5, WHITE), (1.0, POSITIVE)]
    low, high = 0.5 - noise / 2, 0.5 + noise / 2
    return [
        (0.0, NEGATIVE),
        (low, _mix(NEGATIVE, noise)),
        (low, NOISE),
        (high, NOISE),
        (high, _mix(POSITIVE, noise)),
        (1.0, POSITIVE),
    ]


def hex_color(color: RGB) -> str:
    """Write a colour as ``#rrggbb``.

    Parameters
    ----------
    color : tuple of float
        Red, green and blue, each from 0 to 1.

    Returns
    -------
    str
        The hexadecimal notation of SVG and CSS.

    Examples
    --------
    >>> hex_color((1.0, 0.0, 0.2))
    '#ff0033'
    """
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in color)


def _mix(end: RGB, share: float) -> RGB:
    red, green, blue = (1.0 - share * (1.0 - channel) for channel in end)
    return red, green, blue
