"""Screening of libraries: streaming in, ranked hit tables out."""

from molig.screening.pipeline import ScreeningOptions, ScreeningResult, screen

__all__ = [
    "ScreeningOptions",
    "ScreeningResult",
    "screen",
]
