"""Screening of libraries: streaming in, ranked hit tables out."""

from molig.files import write_whole
from molig.screening.hits import REJECTION_SCHEMA, rejection_table
from molig.screening.parts import PartNote, Parts
from molig.screening.pipeline import ScreeningOptions, ScreeningResult, screen
from molig.screening.writers import OutputTable, check_distinct, check_output, check_writable, rejects_path

__all__ = [
    "REJECTION_SCHEMA",
    "OutputTable",
    "PartNote",
    "Parts",
    "ScreeningOptions",
    "ScreeningResult",
    "check_distinct",
    "check_output",
    "check_writable",
    "rejection_table",
    "rejects_path",
    "screen",
    "write_whole",
]
