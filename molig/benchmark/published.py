"""Published figures to stand beside one's own.

The committed table sums up the results files of the graph-attribution study (Sanchez-Lengeling et al.,
NeurIPS 2020, github.com/google-research/graph-attribution, data/results): per task, method and network the
authors trained 6 to 38 models; a figure is the median over them. The iBenchmark sets have no figures here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedFigures:
    """What was published about one task: medians over trained models, and the best single models."""

    task: str
    metric: str
    best: float  # highest median of any method and network
    best_method: str
    best_network: str
    best_run: float  # highest single model of any method and network
    ig: float  # highest median of integrated gradients over networks
    ig_network: str
    ig_best_run: float
    # Highest median of the authors' random attribution, which adds random numbers of the bonds to their atoms
    # and is therefore not blind to the number of neighbours.
    random: float


# Rounded to four digits; tests/benchmark/test_published.py recomputes them from the study's results.
_FIGURES = (
    PublishedFigures(
        "benzene", "attribution_auroc", 0.9901, "CAM", "gat", 0.9965, 0.9759, "gcn", 0.9941, 0.6141
    ),
    PublishedFigures(
        "logic7", "attribution_auroc", 0.7849, "IG", "graphnet", 0.8950, 0.7849, "graphnet", 0.8950, 0.4335
    ),
    PublishedFigures(
        "logic10", "attribution_auroc", 0.7559, "CAM", "mpnn", 0.8069, 0.7386, "graphnet", 0.8008, 0.4998
    ),
    PublishedFigures("crippen", "kendall_tau", 0.3989, "CAM", "mpnn", 0.4610, 0.3161, "gcn", 0.4293, 0.1317),
)


def published_figures(task: str, metric: str | None = None) -> PublishedFigures | None:
    """Published figures of a task to compare with, from the committed table; None where there are none."""
    for figures in _FIGURES:
        if figures.task == task and metric in (None, figures.metric):
            return figures
    return None
