"""Published figures to stand beside one's own.

The committed table sums up the results files of the graph-attribution study (Sanchez-Lengeling et al.,
NeurIPS 2020, github.com/google-research/graph-attribution, data/results): per task, method and network the
authors trained 6 to 38 models; a figure is the median over them. The iBenchmark sets have no figures here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from molig.benchmark.ground_truth import GRAPH_ATTRIBUTION, find_data_file, read_table
from molig.errors import InputError

PUBLISHED_FILE = "attr_published_results.parquet"
_COLUMNS = ["figure", "task", "model", "method", "metric", "n_runs", "mean", "median", "min", "max"]
_ACCURACY_FIGURE = "F3 hparams"
_METRICS = {"ATT AUROC": "attribution_auroc", "ATT tau": "kendall_tau"}
_IG = "IG"
_RANDOM = "Random"


@dataclass(frozen=True)
class PublishedFigures:
    """What was published about one task.

    Parameters
    ----------
    task, metric : str
        Set and metric, by their names within molig.
    best : float
        Highest median over trained models, of any method and network.
    best_method, best_network : str
        Where it was reached.
    best_run : float
        Highest single model of any method and network.
    ig : float
        Highest median of integrated gradients over networks.
    ig_network : str
        Where it was reached.
    ig_best_run : float
        Highest single model of integrated gradients.
    random : float
        Highest median of the authors' random attribution over networks. It adds random numbers of the bonds
        to their atoms, so it is not blind to the number of neighbours.

    Examples
    --------
    >>> published_figures("logic7").ig_network
    'graphnet'
    """

    task: str
    metric: str
    best: float
    best_method: str
    best_network: str
    best_run: float
    ig: float
    ig_network: str
    ig_best_run: float
    random: float


# Rounded to four digits; a test recomputes them from the file.
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
    """Published figures of one task, from the committed table.

    Parameters
    ----------
    task : str
        Name of the set.
    metric : str, optional
        Name of the metric; any if not given.

    Returns
    -------
    PublishedFigures or None
        None where nothing is known.

    Examples
    --------
    >>> published_figures("benzene").best
    0.9901
    >>> published_figures("amide") is None
    True
    """
    for figures in _FIGURES:
        if figures.task == task and metric in (None, figures.metric):
            return figures
    return None


def read_published_results(directory: str | Path | None = None) -> pd.DataFrame:
    """Every published figure, per task, method and network.

    Parameters
    ----------
    directory : str or Path, optional
        Where ``attr_published_results.parquet`` lies; by default what ``MOLIG_DATA_DIR`` says.

    Returns
    -------
    DataFrame
        Columns task, metric, method, network, n_runs, mean, median, min, max; metrics by their names within
        molig. The tasks are the authors' own: some have no data here.

    Raises
    ------
    UsageError
        If neither a directory is given nor the variable set.
    InputError
        If the file is missing, damaged, or does not hold what it should.
    """
    path = find_data_file(PUBLISHED_FILE, GRAPH_ATTRIBUTION, directory)
    frame: pd.DataFrame = read_table(path, _COLUMNS, GRAPH_ATTRIBUTION).to_pandas()
    frame = frame[(frame["figure"] == _ACCURACY_FIGURE) & frame["metric"].isin(list(_METRICS))]
    frame = frame.assign(metric=frame["metric"].map(_METRICS)).rename(columns={"model": "network"})
    order = ["task", "metric", "method", "network", "n_runs", "mean", "median", "min", "max"]
    return frame[order].reset_index(drop=True)


def summarize_published(results: pd.DataFrame, task: str) -> PublishedFigures:
    """Best figures of one task.

    Parameters
    ----------
    results : DataFrame
        As `read_published_results` returns it.
    task : str
        Name of the task.

    Returns
    -------
    PublishedFigures
        Unrounded.

    Raises
    ------
    InputError
        If the results have no figures of that task.
    """
    rows = results[results["task"] == task]
    if rows.empty or not {_IG, _RANDOM} <= set(rows["method"]):
        raise InputError(f"the published results have no complete figures of task {task!r}")
    best = _best(rows)
    gradients = rows[rows["method"] == _IG]
    integrated = _best(gradients)
    return PublishedFigures(
        task=task,
        metric=str(best["metric"]),
        best=float(best["median"]),
        best_method=str(best["method"]),
        best_network=str(best["network"]),
        best_run=float(rows["max"].max()),
        ig=float(integrated["median"]),
        ig_network=str(integrated["network"]),
        ig_best_run=float(gradients["max"].max()),
        random=float(rows.loc[rows["method"] == _RANDOM, "median"].max()),
    )


def _best(rows: pd.DataFrame) -> pd.Series:
    return rows.sort_values("median", kind="stable").iloc[-1]
