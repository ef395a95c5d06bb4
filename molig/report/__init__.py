"""HTML reports: explained compounds as cards on one self-contained page.

Examples
--------
>>> page = render_report(Report("Ranked hits", cards=[Card("CPD-1", "CCO", svg="<svg></svg>")]))
>>> page.startswith("<!DOCTYPE html>")
True
"""

from molig.report.contents import Card, Report
from molig.report.explanations import explanation_card, sentence
from molig.report.outputs import Counts, check_explanation_output, write_explanations, write_whole
from molig.report.render import render_card, render_report

__all__ = [
    "Card",
    "Counts",
    "Report",
    "check_explanation_output",
    "explanation_card",
    "render_card",
    "render_report",
    "sentence",
    "write_explanations",
    "write_whole",
]
