"""Results to keep: HTML reports of explained compounds, drawings, and tables of whole libraries.

Examples
--------
>>> page = render_report(Report("Ranked hits", cards=[Card("CPD-1", "CCO", svg="<svg></svg>")]))
>>> page.startswith("<!DOCTYPE html>")
True
"""

from molig.report.actives import Actives, choose_actives, has_labels
from molig.report.contents import Card, Report
from molig.report.explanations import explanation_card, sentence
from molig.report.feature_table import FEATURE_SCHEMA, TABLE_SCHEMA, feature_batch
from molig.report.identity import is_repeatable, run_identity
from molig.report.molecule_table import MOLECULE_SCHEMA, molecule_batch
from molig.report.outputs import check_explanation_output, write_explanations
from molig.report.render import render_card, render_report
from molig.report.saturation import check_saturation_outputs, write_saturation
from molig.report.stream import Counts, explain_rows
from molig.report.tables import TABLES, Layout, TableRequest, write_table

__all__ = [
    "FEATURE_SCHEMA",
    "MOLECULE_SCHEMA",
    "TABLES",
    "TABLE_SCHEMA",
    "Actives",
    "Card",
    "Counts",
    "Layout",
    "Report",
    "TableRequest",
    "check_explanation_output",
    "check_saturation_outputs",
    "choose_actives",
    "explain_rows",
    "explanation_card",
    "feature_batch",
    "has_labels",
    "is_repeatable",
    "molecule_batch",
    "render_card",
    "render_report",
    "run_identity",
    "sentence",
    "write_explanations",
    "write_saturation",
    "write_table",
]
