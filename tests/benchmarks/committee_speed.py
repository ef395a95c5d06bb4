"""What committees and numeric features cost, as ratios to `tox21-w2n2-simple` in the same run, on one core.

    MOLIG_DATA_DIR=DIR python tests/benchmarks/committee_speed.py [--molecules 200] [--repeats 5]

Molecules of Tox21 that the models held out are explained and scored with each model in turn, and with the
Weave network of `tox21` alone; then the parts of both are timed for `tox21`. Milliseconds depend on the
machine and its load, ratios hardly do.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from common import interleaved, median_ratio, one_core

from molig.attribution import Explainer
from molig.evaluation.held_out import SPLIT_FILE, table_of_model
from molig.model import ScreeningModel, find_model, load_model
from molig.molecules import Molecule, read_records

COMMITTEE, PEER = "tox21", "tox21-w2n2-simple"
ALONE = "Weave network of tox21, all features"
TASK = "SR-ARE"


def main() -> None:
    """Print milliseconds a molecule and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    one_core()
    committee = load_model(COMMITTEE)
    models = {PEER: load_model(PEER), ALONE: committee.weave_alone(), COMMITTEE: committee}
    molecules = held_out(committee, options.molecules)
    result = {}
    for title, job in {"explain": explaining, "explain all tasks": all_tasks, "score": scoring}.items():
        seconds = interleaved(
            {name: job(model, molecules) for name, model in models.items()}, options.repeats
        )
        result[title] = per_molecule(seconds, PEER, len(molecules))
    seconds = interleaved(parts(committee, molecules), options.repeats)
    result[f"parts of {COMMITTEE}"] = per_molecule(seconds, "explain", len(molecules))
    for title, rows in result.items():
        print(title)
        for name, (milliseconds, ratio) in rows.items():
            print(f"  {name:36} {milliseconds:8.3f} ms a molecule, ratio {ratio:.2f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def held_out(model: ScreeningModel, n: int) -> list[Molecule]:
    """Molecules of the test part, evenly spread over it."""
    split = pd.read_csv(find_model(model.name) / SPLIT_FILE)
    rows = set(split["row"][split["part"] == "test"])
    records = [r for r in read_records(table_of_model(find_model(model.name))) if r.row in rows]
    molecules, _ = model.parser.parse_many(records[:: max(1, len(records) // n)][:n])
    return list(molecules)


def explaining(model: ScreeningModel, molecules: list[Molecule]) -> Callable[[], object]:
    """One task, in the groups of the command line."""
    explainer = Explainer(model, task=TASK)
    groups = [molecules[i : i + 64] for i in range(0, len(molecules), 64)]
    return lambda: [explainer.explain_molecules(group) for group in groups]


def all_tasks(model: ScreeningModel, molecules: list[Molecule]) -> Callable[[], object]:
    """All tasks, in the same groups."""
    explainer = Explainer(model, task=TASK)
    groups = [molecules[i : i + 64] for i in range(0, len(molecules), 64)]
    return lambda: [explainer.explain_molecules_all_tasks(group) for group in groups]


def scoring(model: ScreeningModel, molecules: list[Molecule]) -> Callable[[], object]:
    """Features and all outputs of parsed molecules."""
    return lambda: model.score_molecules(molecules)


def parts(model: ScreeningModel, molecules: list[Molecule]) -> dict[str, Callable[[], object]]:
    """The steps of an explanation and of a score."""
    mols = [molecule.mol for molecule in molecules]
    graphs = model.featurizer.featurize(mols)
    which = np.arange(len(graphs))
    tasks = np.full(len(graphs), model.tasks.index(TASK))
    committee = model.relax(graphs)
    jobs: dict[str, Callable[[], object]] = {
        "explain": explaining(model, molecules),
        "explain, Weave network alone": explaining(model.weave_alone(), molecules),
        "features, every substructure": lambda: model.featurizer.featurize(mols),
        "score": scoring(model, molecules),
        "features, counts": lambda: model.featurizer.featurize(mols, occurrences=False),
        "score, Weave network": lambda: committee.weave.outputs(which),
    }
    for member in committee.members:
        jobs[f"shares, {member.kind}"] = lambda m=member: m.shares(graphs, which, tasks, probability=True)
        jobs[f"score, {member.kind}"] = lambda m=member: m.outputs(graphs)
    return jobs


def per_molecule(seconds: dict[str, list[float]], peer: str, n: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds a molecule, and the median ratio to one of the jobs."""
    return {
        name: (1000 * statistics.median(found) / n, median_ratio(found, seconds[peer]))
        for name, found in seconds.items()
    }


if __name__ == "__main__":
    main()
