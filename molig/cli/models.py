"""`molig models`: what can be named after -m."""

from __future__ import annotations

from molig.cli.console import print_table


def models() -> None:
    """List the bundled models."""
    from molig.model import bundled_models, load_model

    rows = []
    for name, directory in bundled_models().items():
        info = load_model(directory).info
        median = info.median_auc("test")
        shown = "n/a" if median is None else f"{median:.3f}"
        date = info.training.date if info.training else "n/a"
        rows.append([name, str(len(info.tasks)), ", ".join(info.tasks), shown, date])
    print_table(["model", "tasks", "names", "median test ROC-AUC", "trained"], rows)
