"""Screening of libraries: streaming in, ranked hit tables out."""

from molig.screening.pipeline import screen
from molig.screening.results import ScreeningOptions, ScreeningResult
from molig.screening.writers import OutputTable, check_distinct, check_writable

__all__ = ["OutputTable", "ScreeningOptions", "ScreeningResult", "check_distinct", "check_writable", "screen"]
