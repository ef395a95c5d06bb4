"""Results to keep: HTML reports of explained compounds, drawings, and tables of whole libraries.

Examples
--------
>>> page = render_report(Report("Ranked hits", cards=[Card("CPD-1", "CCO", svg="<svg></svg>")]))
>>> page.startswith("<!DOCTYPE html>")
True
"""

from molig.attribution.explanation import TABLE_SCHEMA
from molig.report.molecule_table import MOLECULE_SCHEMA
from molig.report.outputs import explanation_card, write_explanations
from molig.report.page import Card, Report, render_card, render_report
from molig.report.saturation import write_saturation
from molig.report.tables import Counts, Layout, TableRequest, write_table

__all__ = [
    "MOLECULE_SCHEMA",
    "TABLE_SCHEMA",
    "Card",
    "Counts",
    "Layout",
    "Report",
    "TableRequest",
    "explanation_card",
    "render_card",
    "render_report",
    "write_explanations",
    "write_saturation",
    "write_table",
]
