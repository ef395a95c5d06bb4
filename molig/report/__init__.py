"""Results to keep: HTML reports of explained compounds, drawings, and tables of whole libraries.

Examples
--------
>>> page = render_report(Report("Ranked hits", cards=[Card("CPD-1", "CCO", svg="<svg></svg>")]))
>>> page.startswith("<!DOCTYPE html>")
True
"""

from molig.report.feature_table import FEATURE_SCHEMA, TABLE_SCHEMA, feature_batch
from molig.report.molecule_table import MOLECULE_SCHEMA, molecule_batch
from molig.report.outputs import check_explanation_output, explanation_card, sentence, write_explanations
from molig.report.page import Card, Report, render_card, render_report
from molig.report.saturation import (
    Actives,
    check_saturation_outputs,
    choose_actives,
    has_labels,
    write_saturation,
)
from molig.report.tables import (
    TABLES,
    Counts,
    Layout,
    TableRequest,
    explain_rows,
    is_repeatable,
    run_identity,
    write_table,
)

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
