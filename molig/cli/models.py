"""`molig models`: what can be named after -m."""

from __future__ import annotations

from molig.cli.console import print_table


def models() -> None:
    """List the bundled models."""
    from molig.model import bundled_models, load_model

    rows = []
    for name, directory in bundled_models().items():
        info = load_model(directory).info
        areas = sorted(m.roc_auc for m in info.metrics.get("test", {}).values() if m.roc_auc is not None)
        median = f"{areas[len(areas) // 2]:.3f}" if areas else "n/a"
        date = info.training.date if info.training else "n/a"
        rows.append([name, str(len(info.tasks)), ", ".join(info.tasks), median, date])
    print_table(["model", "tasks", "names", "median test ROC-AUC", "trained"], rows)
