"""Results to keep: HTML reports of explained compounds, drawings, and tables of whole libraries.

Examples
--------
>>> page = render_report(Report("Ranked hits", cards=[Card("CPD-1", "CCO", svg="<svg></svg>")]))
>>> page.startswith("<!DOCTYPE html>")
True
"""

from molig.report.explaining import merge_explanations
from molig.report.outputs import Pictures, explanation_card, write_explanations
from molig.report.page import Card, Report, render_report
from molig.report.tables import Counts

__all__ = [
    "Card",
    "Counts",
    "Pictures",
    "Report",
    "explanation_card",
    "merge_explanations",
    "render_report",
    "write_explanations",
]
