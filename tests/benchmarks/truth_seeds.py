"""Attribution benchmark over seeds: how far a figure of one network is a property of its recipe.

    python tests/benchmarks/truth_seeds.py --sets logic7 logic10 --seeds 8 --output OUT
    python tests/benchmarks/truth_seeds.py --sets logic7 logic10 --seeds 4 --output OUT --recipe FILE

For every set, networks of its recipe are trained with different seeds (finished ones are not trained again),
and integrated gradients judged on the test part: each network by itself, and the mean of their atom scores.
One line a set: mean over the networks, smallest, largest, and the mean scores. Recipes are those that come
with molig, or one file for all sets; a published test part is used for nothing else.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from molig.benchmark import read_ground_truth, read_rule_set
from molig.benchmark.models import benchmark_models
from molig.benchmark.recipe import BenchmarkRecipe, default_benchmark_recipe, read_benchmark_recipe
from molig.benchmark.rules import rule_groups
from molig.benchmark.run import BenchmarkPlan, judge_models

PLAN = BenchmarkPlan(methods=["integrated_gradients"])


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, help="a recipe for all sets in the place of their own")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| set | metric | networks | mean | smallest | largest | mean scores of all | model |", flush=True)
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name in options.sets:
        result = options.output / name / f"seeds-{options.seeds}.json"
        if not result.exists():
            result.parent.mkdir(parents=True, exist_ok=True)
            result.write_text(json.dumps(judged(name, options, result.parent), indent=1) + "\n")
        for found in json.loads(result.read_text()):
            print(line(name, found), flush=True)


def judged(name: str, options: argparse.Namespace, directory: Path) -> list[dict[str, Any]]:
    """Per metric: what each network comes to, and all together."""
    rules = [rule for group in rule_groups().values() for rule in group]
    truth = read_rule_set(name) if name in rules else read_ground_truth(name)
    recipe = default_benchmark_recipe(truth.description)
    recipe = read_benchmark_recipe(options.recipe) if options.recipe else recipe
    members = recipe.attribution.model_copy(update={"members": options.seeds})
    recipe = recipe.model_copy(update={"attribution": members})
    models = benchmark_models(truth, recipe, directory, "cpu")
    each = [rows(judge_models(truth, [model], recipe, directory, plan=PLAN).comparison) for model in models]
    together = rows(judge_models(truth, models, recipe, directory, plan=PLAN).comparison)
    return [
        {
            "metric": metric,
            "values": [one[metric]["value"] for one in each],
            "together": together[metric]["value"],
            "n_molecules": together[metric]["n_molecules"],
            "model": [one[metric]["model_value"] for one in each],
            "recipe": describe(recipe),
        }
        for metric in together
    ]


def rows(comparison: Any) -> dict[str, dict[str, Any]]:
    """Figures of integrated gradients by metric."""
    return {row["metric"]: row for row in comparison.to_dict("records")}


def describe(recipe: BenchmarkRecipe) -> dict[str, Any]:
    """What was not left to chance."""
    return {"attribution": recipe.attribution.model_dump(), "epochs": recipe.training.optimization.epochs}


def line(name: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    values, quality = np.array(found["values"]), np.array(found["model"])
    figures = (values.mean(), values.min(), values.max(), found["together"], quality.mean())
    return f"| {name} | {found['metric']} | {len(values)} | " + " | ".join(f"{x:.3f}" for x in figures) + " |"


if __name__ == "__main__":
    main()
