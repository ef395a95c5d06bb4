"""Screening of libraries: streaming in, ranked hit tables out."""

from molig.screening.hits import REJECTION_SCHEMA, rejection_table
from molig.screening.pipeline import ScreeningOptions, ScreeningResult, screen

__all__ = [
    "REJECTION_SCHEMA",
    "ScreeningOptions",
    "ScreeningResult",
    "rejection_table",
    "screen",
]
