"""How well the uncertainty of a committee finds its errors, on the test part of its Parquet table.

An error is a molecule on the wrong side of 0.5. AUROC: of an error and a right answer drawn at random, how
often the error is the more uncertain. Accuracy against coverage: that of the most certain molecules::

    PYTHONPATH=tests python tests/benchmarks/uncertainty.py MODEL TABLE
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from molig.model import ScreeningModel, load_model
from molig.molecules import read_records
from molig.stats import roc_auc

FloatArray = npt.NDArray[np.float64]

COVERAGES = (1.0, 0.9, 0.8, 0.5)


def measures(model: ScreeningModel, smiles: list[str]) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Probabilities (n, n_tasks), and by name how unsure each score is, likewise."""
    found = model.predict(smiles, applicability=True, uncertainty=True)
    flags = found.applicability or []
    far = np.array([1 - flag.similarity if flag else np.nan for flag in flags])
    if found.uncertainty is None:
        raise SystemExit("the model is no committee")
    near_half = 0.5 - np.abs(found.scores - 0.5)
    return found.scores, {
        "spread of the members": found.uncertainty,
        "closeness of p to 0.5": near_half,
        "1 - similarity to training": np.repeat(far[:, None], len(found.tasks), axis=1),
        "mean rank of the first two": _ranks(found.uncertainty) + _ranks(near_half),
    }


def _ranks(values: FloatArray) -> FloatArray:
    return np.asarray(pd.DataFrame(values).rank(pct=True).to_numpy())


def line(name: str, unsure: FloatArray, wrong: npt.NDArray[np.bool_]) -> str:
    """AUROC and accuracies of one measure, over all labels."""
    order = np.argsort(unsure, kind="stable")
    accuracies = [1 - wrong[order[: max(1, round(share * len(order)))]].mean() for share in COVERAGES]
    cells = [f"{roc_auc(wrong.astype(float), unsure):.3f}", *(f"{value:.3f}" for value in accuracies)]
    return f"| {name} | {' | '.join(cells)} |"


def main(directory: str, table: str) -> None:
    """Print a table."""
    model = load_model(directory)
    parts = pd.read_csv(Path(directory) / "split.csv")
    chosen = parts.loc[parts["part"] == "test", "row"].to_numpy() - 1
    records = list(read_records(table))
    labels = pd.read_parquet(table, columns=list(model.tasks)).to_numpy(dtype=np.float64)[chosen]
    scores, unsure = measures(model, [records[row].smiles for row in chosen])
    known = ~np.isnan(labels) & ~np.isnan(scores)
    wrong = ((scores > 0.5) != (labels == 1))[known]
    print(f"{known.sum()} labels of {len(chosen)} molecules, {wrong.sum()} on the wrong side of 0.5\n")
    print("| measure | AUROC of errors | " + " | ".join(f"accuracy at {c:.0%}" for c in COVERAGES) + " |")
    print("| --- | --- | " + " | ".join("---" for _ in COVERAGES) + " |")
    for name, values in unsure.items():
        print(line(name, values[known], wrong))


if __name__ == "__main__":
    main(*sys.argv[1:3])
