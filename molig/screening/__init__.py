"""Screening of libraries: streaming in, ranked hit tables out."""

from molig.screening.diversity import Alike, Diversity
from molig.screening.pipeline import ScreeningOptions, ScreeningResult, screen

__all__ = [
    "Alike",
    "Diversity",
    "ScreeningOptions",
    "ScreeningResult",
    "screen",
]
