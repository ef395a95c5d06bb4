"""Activity cliffs of MoleculeACE: what has the sign of the activities, scores or attributions?

    python tests/benchmarks/cliff_signs.py --output OUT --targets choosing [--recipe weave|committee|FILE]
    python tests/benchmarks/cliff_signs.py --output OUT --targets reporting [--recipe weave|committee|FILE]
    python tests/benchmarks/cliff_signs.py --output OUT --table

Per target a model is trained on the published training part (finished ones are not trained again). Pairs are
of test molecules whose Morgan fingerprints (radius 2) have a Tanimoto similarity of at least 0.6 and whose
activities differ ten times or more; of each target up to 60, drawn with a fixed seed. Molecules are matched
by their maximum common substructure, as in the audit. Ways to attribute a difference of scores to the change:

atoms only  atom scores of the changed atoms in the first molecule, less those in the second
reach 0     the same with all of every pair and substructure that touches a changed atom: what `molig audit`
            reports
reach r     the same of the changed atoms and of all matched atoms within r bonds of a change
faded       no attribution against the baseline: by how much the first score falls when the features of its
            changed atoms and of their pairs are taken away, less the same of the second
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rdkit import Chem, RDLogger

from molig.attribution import Explanation
from molig.audit.checks.activity_cliffs import SIMILAR, similar_pairs
from molig.audit.subject import explain_molecules
from molig.benchmark.models import is_finished
from molig.datasets.places import find_dataset
from molig.files import write_whole
from molig.model import ScreeningModel, load_model
from molig.molecules import Molecule, Record
from molig.series.comparison import changed_attribution
from molig.series.matching import Overlap, Searches
from molig.training import TrainingRequest, read_recipe, train_model
from molig.training.dataset import file_digest

TENFOLD = 1.0  # in pActivity
PAIRS, SEED = 60, 0
REACHES = (0, 1, 2, 3, 4)
RECIPES = {
    "weave": """
objective = "regression"
[features]
preset = "simple"
distance = "one-hot"
[network]
hidden = [200, 50]
[split]
kind = "given"
column = "split"
[neutral]
copies = 0
[optimization]
epochs = 40
batch_size = 32
patience = 40
keep = "last"
weight_average = 0.99
""",
    "committee": """
objective = "regression"
weights_dtype = "float16"

[features]
preset = "full"

[network]
size_exponent = 0.5
hidden = [200, 100]

[committee]
members = ["weave", "environments", "forest", "kernel"]
prior = [1, 1, 2, 4]
prior_molecules = 100
refit = true

[split]
kind = "given"
column = "split"
validation = 0.1

[start]
model = "descriptors"

[neutral]
copies = 16

[optimization]
epochs = 30
batch_size = 64
learning_rate = 0.001
positive_weight = 0.5
weight_average = 0.99
keep = "last"
patience = 30
""",
}
"""A small network by itself, and the committee that `molig train` makes."""


def main() -> None:
    """Train, explain, count; or print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", default=["choosing"])
    parser.add_argument("--recipe", default="committee", help="one of those above, or a file")
    parser.add_argument("--table", action="store_true", help="print the results that lie in the output")
    options = parser.parse_args()
    torch.set_num_threads(1)
    RDLogger.DisableLog("rdApp.*")
    table = pd.read_parquet(find_dataset("moleculeace_30"))
    groups = targets_by_group(table)
    names = [name for given in options.targets for name in groups.get(given, [given])]
    if not options.table:
        options.output.mkdir(parents=True, exist_ok=True)
        recipe = Path(options.recipe)
        if options.recipe in RECIPES:
            recipe = options.output / "recipe.toml"
            recipe.write_text(RECIPES[options.recipe])
        for name in names:
            write_target(table[table["dataset"] == name], name, recipe, options.output)
    for group, members in groups.items():
        print_table(options.output, group, members)


def targets_by_group(table: pd.DataFrame) -> dict[str, list[str]]:
    """Every third target by size is for choosing how to attribute; fixed before anything was looked at."""
    by_size = table["dataset"].value_counts().sort_index().sort_values(kind="stable").index.tolist()
    return {"choosing": by_size[1::3], "reporting": [name for i, name in enumerate(by_size) if i % 3 != 1]}


def write_target(rows: pd.DataFrame, name: str, recipe: Path, output: Path) -> None:
    """Model and pairs of one target, unless they are there."""
    result = output / name / "pairs.json"
    if result.exists():
        return
    source = output / name / "data.csv"
    content = rows[["smiles", "pActivity", "split"]].to_csv(index=False, lineterminator="\n")
    if not source.exists() or source.read_text() != content:
        write_whole(source, content)
    model = trained(source, output / name / "model", recipe)
    pairs = compared(model, rows[rows["split"] == "test"])
    write_whole(result, json.dumps(pairs) + "\n")
    print(f"{name}: {len(pairs)} pairs", flush=True)


def trained(source: Path, directory: Path, recipe: Path) -> ScreeningModel:
    """The model of a directory, trained if it is not."""
    chosen = read_recipe(recipe)
    if directory.exists() and is_finished(directory, chosen, file_digest(source)):
        return load_model(directory)
    resume = (directory / "checkpoint.pt").exists()
    request = TrainingRequest(source, directory, ("pActivity",), chosen, device="cpu", resume=resume)
    return train_model(request)


def compared(model: ScreeningModel, test: pd.DataFrame) -> list[dict[str, Any]]:
    """Every pair of a target: activities, scores, and what is attributed to the change."""
    records = [Record(row, str(row), smiles) for row, smiles in enumerate(test["smiles"])]
    molecules = {molecule.row: molecule for molecule in model.parser.parse_many(records)[0]}
    rows = sorted(molecules)
    values = test["pActivity"].to_numpy(float)[rows][:, None]
    (found,) = similar_pairs([molecules[row].mol for row in rows], values, np.array([TENFOLD]), SIMILAR)
    drawn = np.sort(np.random.default_rng(SEED).permutation(len(found))[:PAIRS])
    searches = Searches()
    matched = []
    for i, j in [found[place] for place in drawn]:
        first, second = molecules[rows[i]], molecules[rows[j]]
        common = searches.overlap(first.mol, second.mol)
        if common is not None and len(common.first) < max(first.mol.GetNumAtoms(), second.mol.GetNumAtoms()):
            matched.append((first, second, common, float(values[i, 0] - values[j, 0])))
    needed = {molecule.row: molecule for pair in matched for molecule in pair[:2]}
    listed = list(needed.values())
    explained = explain_molecules(model, listed, list(model.tasks), tol=0.003)
    by_row = {m.row: one[model.tasks[0]] for m, one in zip(listed, explained, strict=True)}
    return [
        figures(by_row[first.row], by_row[second.row], common, difference)
        | {"faded": fall(model, first, common.first) - fall(model, second, common.second)}
        for first, second, common, difference in matched
    ]


def figures(first: Explanation, second: Explanation, common: Overlap, difference: float) -> dict[str, Any]:
    """What one pair comes to."""
    found: dict[str, Any] = {
        "activity": difference,
        "score": first.score - second.score,
        "share": common.share,
        "n_common": len(common.first),
    }
    far = distances_to_change(first.mol, second.mol, common)
    for reach in REACHES:
        near = far <= reach if reach else np.zeros(len(far), dtype=bool)
        found[f"reach {reach}"] = region(first, common.first, near) - region(second, common.second, near)
    found["atoms only"] = own(first, common.first) - own(second, common.second)
    shifts = first.atom_scores[common.first] - second.atom_scores[common.second]
    found["moved"] = [[int(min(d, 99)), float(shift)] for d, shift in zip(far, shifts, strict=True)]
    return found


def fall(model: ScreeningModel, molecule: Molecule, matched: np.ndarray) -> float:
    """By how much a score falls without the features of what is not matched."""
    graphs = model.featurize([molecule.mol])
    relaxed, only = model.relax(graphs), np.zeros(1, dtype=np.int64)
    kept = np.isin(np.arange(molecule.mol.GetNumAtoms()), matched).astype(float)
    pairs = kept[graphs.pair_atoms].min(axis=1)
    return float(relaxed.outputs(only)[0, 0] - relaxed.outputs(only, kept, pairs)[0, 0])


def changed_atoms(mol: Chem.Mol, common: np.ndarray) -> np.ndarray:
    """Atoms that are not matched."""
    return np.setdiff1d(np.arange(mol.GetNumAtoms()), common)


def distances_to_change(first: Chem.Mol, second: Chem.Mol, common: Overlap) -> np.ndarray:
    """Bonds from each matched atom to the nearest change, in whichever molecule it is nearer."""
    far = np.full(len(common.first), np.inf)
    for mol, atoms in ((first, common.first), (second, common.second)):
        changed = changed_atoms(mol, atoms)
        if len(changed):
            far = np.minimum(far, Chem.GetDistanceMatrix(mol)[np.ix_(atoms, changed)].min(axis=1))
    return far


def region(explanation: Explanation, matched: np.ndarray, near: np.ndarray) -> float:
    """Attribution of the changed atoms and of matched ones near a change, with all that touches them."""
    changed = changed_atoms(explanation.mol, matched)
    return changed_attribution(explanation, np.concatenate([changed, matched[near]]))


def own(explanation: Explanation, matched: np.ndarray) -> float:
    """Atom scores of the changed atoms: half of every pair that leads to an atom that stays is left there."""
    return float(explanation.atom_scores[changed_atoms(explanation.mol, matched)].sum())


def print_table(output: Path, group: str, names: list[str]) -> None:
    """Shares of pairs with the right sign, pooled over the targets of a group that are there."""
    files = [output / name / "pairs.json" for name in names]
    pairs = [pair for file in files if file.exists() for pair in json.loads(file.read_text())]
    if not pairs:
        return
    activity, score = (np.array([pair[key] for pair in pairs]) for key in ("activity", "score"))
    right = score * activity > 0
    n_there = sum(file.exists() for file in files)
    print(f"\n{group}: {n_there} of {len(names)} targets, {len(pairs)} pairs")
    print("| attribution | sign of activities | where the score is right | sign of the score | elsewhere |")
    print("|---|---:|---:|---:|---:|")
    print(f"| score itself | {right.mean():.1%} | | | |")
    for way in ("atoms only", *(f"reach {reach}" for reach in REACHES), "faded"):
        value = np.array([pair[way] for pair in pairs])
        agrees, follows = value * activity > 0, value * score > 0
        elsewhere = np.nanmedian(1 - value / np.where(score == 0, np.nan, score))
        shares = f"{agrees.mean():.1%} | {agrees[right].mean():.1%} | {follows.mean():.1%} | {elsewhere:.2f}"
        print(f"| {way} | {shares} |")


if __name__ == "__main__":
    main()
