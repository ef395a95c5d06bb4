"""HTML reports: explained compounds as cards on one self-contained page.

Examples
--------
>>> page = render_report(Report("Ranked hits", cards=[Card("CPD-1", "CCO", svg="<svg></svg>")]))
>>> page.startswith("<!DOCTYPE html>")
True
"""

from molig.report.contents import Card, Report
from molig.report.render import render_card, render_report

__all__ = ["Card", "Report", "render_card", "render_report"]
