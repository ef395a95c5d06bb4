"""Time exact Shapley values of a random forest on Morgan counts beside `shap`'s TreeExplainer, in one run.

    python tests/benchmarks/forest_explanations.py [--molecules 20] [--references 100] [--trees 200]

Both compute interventional Shapley values of the same forest against the same reference molecules, on one
core; the largest difference between them is printed, too. `shap` is needed (pip install shap). Molecules:
BACE of MOLIG_DATA_DIR.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from common import one_core
from rdkit import Chem
from sklearn.ensemble import RandomForestClassifier

from molig.attribution import Explainer
from molig.foreign import FingerprintModel, MorganFingerprint
from molig.molecules import smiles_records


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("molecules", 20), ("references", 100), ("trees", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    try:
        import shap
    except ImportError:
        print("shap is not installed (pip install shap): nothing to compare with")
        return
    one_core()
    table = pd.read_parquet(Path(os.environ["MOLIG_DATA_DIR"]) / "bace.parquet")
    smiles = table["smiles"].tolist()
    fingerprint = MorganFingerprint(counts=True)
    counts = fingerprint.of([Chem.MolFromSmiles(each) for each in smiles]).toarray()
    forest = RandomForestClassifier(given.trees, random_state=0).fit(counts, table["Class"])
    references, chosen = smiles[: given.references], slice(-given.molecules, None)
    model = FingerprintModel(forest, fingerprint, background=references)
    explainer = Explainer(model)
    list(explainer.explain_records(smiles_records(smiles[:1])))  # compiles, and names the substructures

    started = time.process_time()
    explained = list(explainer.explain_records(smiles_records(smiles[chosen])))
    whole = time.process_time() - started
    graphs = model.featurize([each.mol for each in explained])
    relaxed = model.relax(graphs)
    started = time.process_time()
    relaxed.shares(np.arange(given.molecules), np.zeros(given.molecules, dtype=np.int64))
    ours = time.process_time() - started

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = shap.TreeExplainer(
            forest, counts[: given.references], feature_perturbation="interventional", model_output="raw"
        )
        started = time.process_time()
        values = np.asarray(other.shap_values(counts[chosen], check_additivity=False))
        theirs = time.process_time() - started
    values = values[..., 1] if values.shape[-1] == 2 else values[1]
    rows = model.additive.scores
    furthest = max(
        float(np.abs(rows.shares(fingerprint.of([why.mol]), 0, model.background).columns - value).max())
        for why, value in zip(explained, values, strict=True)
    )
    n = given.molecules
    print(f"{given.trees} trees, {given.references} references, {n} molecules; CPU seconds a molecule:")
    print(f"  molig, shares of substructures   {ours / n:8.4f}")
    print(f"  molig.explain, with atoms, names {whole / n:8.4f}")
    print(f"  shap, shares of columns          {theirs / n:8.4f}")
    print(f"shap takes {theirs / ours:.1f} times as long (whole explanations: {theirs / whole:.1f} times)")
    print(f"largest difference of a share: {furthest:.1e}")


if __name__ == "__main__":
    main()
