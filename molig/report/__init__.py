"""Results to keep: pages of hits that were explained, drawings, and tables of whole libraries.

Examples
--------
>>> page = render_hits(HitPage("Ranked hits", []))
>>> page.startswith("<!DOCTYPE html>")
True
"""

from molig.report.explaining import merge_explanations
from molig.report.hit_page import HitPage, render_hits
from molig.report.outputs import Pictures, explanation_card, write_explanations
from molig.report.page import Card
from molig.report.tables import Counts

__all__ = [
    "Card",
    "Counts",
    "HitPage",
    "Pictures",
    "explanation_card",
    "merge_explanations",
    "render_hits",
    "write_explanations",
]
