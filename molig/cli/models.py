"""`molig models`: what can be named after -m."""

from __future__ import annotations

from molig.cli.console import print_table


def models() -> None:
    """List the bundled models."""
    from molig.model import Objective, bundled_models, load_model

    rows = []
    for name, directory in bundled_models().items():
        info = load_model(directory).info
        regression = info.objective is Objective.REGRESSION
        median, name_of_it = (
            (info.median_r2("test"), "R2") if regression else (info.median_auc("test"), "ROC-AUC")
        )
        shown = "n/a" if median is None else f"{name_of_it} {median:.3f}"
        date = info.training.date if info.training else "n/a"
        rows.append([name, str(len(info.tasks)), ", ".join(info.tasks), shown, date])
    print_table(["model", "tasks", "names", "median on test", "trained"], rows)
