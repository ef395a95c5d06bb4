"""Results of a benchmark as files: JSON, Markdown, and a table of molecules to read one by one."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from molig.benchmark.compare import to_markdown
from molig.benchmark.estimates import molecule_terms
from molig.benchmark.metrics import evaluation_metric
from molig.benchmark.run import BenchmarkPlan, BenchmarkResult
from molig.files import markdown_table
from molig.text import legible_markdown
from molig.version import __version__


def benchmark_json(results: Sequence[BenchmarkResult], plan: BenchmarkPlan) -> str:
    """Write results as JSON."""
    data = {
        "molig_version": __version__,
        "part": plan.part,
        "methods": list(plan.methods or ()),
        "sample": plan.sample,
        "seed": plan.seed,
        "sets": {result.name: _plain(result) for result in results},
    }
    return json.dumps(data, indent=1) + "\n"


def benchmark_markdown(results: Sequence[BenchmarkResult], plan: BenchmarkPlan) -> str:
    """Write results as Markdown: the table, and what the models were."""
    frame = pd.concat([result.comparison for result in results], ignore_index=True)
    table = to_markdown(frame.assign(method=frame["method"].str.replace("_", " ")))
    lines = markdown_table(_VARIANT_HEADER, map(_variant, results), "llllllr")
    notes = [
        f"Judged on the {plan.part} part"
        + (f", {plan.sample} molecules of each set drawn by seed {plan.seed}" if plan.sample else "")
        + ". In brackets: 95 % bootstrap intervals over molecules. The published figures are medians over "
        "models on the test part.",
    ]
    notes += [
        f"{result.name}: {failure.id} {failure.smiles!r} is not judged: {failure.reason}"
        for result in results
        for failure in result.explained.failures
    ]
    return legible_markdown("\n".join([table, *lines, "", "\n\n".join(notes), ""]))


def benchmark_molecules(result: BenchmarkResult) -> bytes:
    """Write the judged molecules as Parquet: truth, and per method the metrics and the atom scores."""
    explained = result.explained
    truth = explained.truth
    columns: dict[str, Any] = {"id": truth.ids, "smiles": truth.smiles, "target": truth.targets}
    columns["truth"] = [alternatives.tolist() for alternatives in truth.truths]
    if truth.bond_truths:
        columns["bond_truth"] = [alternatives.tolist() for alternatives in truth.bond_truths]
        for method, scores in explained.bond_scores.items():
            columns[f"{method}.bonds"] = [values.tolist() for values in scores]
    for method, scores in explained.scores.items():
        columns[method] = [values.tolist() for values in scores]
        for metric in truth.description.metrics:
            part = evaluation_metric(metric).part
            judged = explained.scores_of(part).get(method)
            if judged is not None:
                terms = molecule_terms(metric, truth.truths_of(part), judged)
                columns[f"{method}.{metric}"] = [a / b if b > 0 else None for a, b in terms.tolist()]
    file = io.BytesIO()
    pd.DataFrame(columns).to_parquet(file, index=False)
    return file.getvalue()


_VARIANT_HEADER = (
    *("task", "target", "projection", "baseline"),
    *("averaged baselines", "models", "explained", "failed"),
)


def _variant(result: BenchmarkResult) -> list[str]:
    options, explained = result.options, result.explained
    return [
        result.name,
        options.target or "default",
        options.projection.value + (", rings whole" if options.rings else ""),
        options.baseline,
        ", ".join(options.averaged_baselines),
        str(len(result.models)),
        str(len(explained.truth)),
        str(len(explained.failures)),
    ]


def _plain(result: BenchmarkResult) -> dict[str, Any]:
    rows = result.comparison.drop(columns="task").to_dict("records")
    explained = result.explained
    return {
        "results": [{str(key): _number(value) for key, value in row.items()} for row in rows],
        "n_molecules_of_part": result.n_part,
        "n_explained": len(explained.truth),
        "unconverged": explained.unconverged,
        "failures": [
            {"id": failure.id, "smiles": failure.smiles, "reason": failure.reason}
            for failure in explained.failures
        ],
        "models": list(result.models),
        "recipe": (result.recipe.training.model_dump(mode="json") if result.recipe else {})
        | {"attribution": result.options.model_dump(mode="json")},
    }


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
