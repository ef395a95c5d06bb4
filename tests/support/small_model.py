"""A model that is really trained, in seconds, on a rule of chemistry that a tiny network can learn."""

from __future__ import annotations

import csv
import json
from itertools import islice
from pathlib import Path
from typing import Any

from rdkit import Chem, RDConfig
from rdkit.Chem import Descriptors

from molig.model import ScreeningModel
from molig.molecules import Molecule, MoleculeParser
from molig.training import Recipe, TrainingRequest, parse_recipe, train_model

NCI_FILE = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
"""About 5,000 real, untidy compounds that come with RDKit: SMILES and number, separated by a tab."""

MODELS = Path(__file__).parent / "models"
"""Models that were trained once, by ``make_models.py``, and are read by the tests."""
N_SMALL, N_VALUES = 300, 200
"""Compounds in the tables of the small model and of the small regression."""

RULES = {"nitrogen": "[#7]", "carbonyl": "[#6]=[#8]"}
"""Tasks of the small model: a molecule is active where it contains this pattern (SMARTS)."""

TASKS = tuple(RULES)


def nci_smiles(n: int, start: int = 0) -> list[str]:
    """SMILES of ``n`` NCI compounds that can be scored, from the ``start``-th on."""
    parser = MoleculeParser()
    lines = NCI_FILE.read_text().splitlines()
    results = (parser.parse_smiles(line.split()[0]) for line in lines)
    accepted = (result.smiles for result in results if isinstance(result, Molecule))
    return list(islice(accepted, start, start + n))


def label(smiles: str) -> dict[str, int]:
    """True classes of a molecule, by `RULES`."""
    mol = Chem.MolFromSmiles(smiles)
    return {task: int(mol.HasSubstructMatch(Chem.MolFromSmarts(rule))) for task, rule in RULES.items()}


def write_labelled(path: Path, n: int = N_SMALL) -> Path:
    """Write a CSV of the first ``n`` NCI compounds with their classes."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["smiles", *TASKS])
        writer.writeheader()
        writer.writerows({"smiles": smiles, **label(smiles)} for smiles in nci_smiles(n))
    return path


VALUES = ("nitrogens", "mass")
"""Tasks of the small regression: number of nitrogen atoms, and molecular mass in Da."""


def value(smiles: str) -> dict[str, float]:
    """True values of a molecule."""
    mol = Chem.MolFromSmiles(smiles)
    nitrogens = sum(atom.GetAtomicNum() == 7 for atom in mol.GetAtoms())
    return {"nitrogens": float(nitrogens), "mass": float(Descriptors.MolWt(mol))}


def write_values(path: Path, n: int = 300) -> Path:
    """Write a CSV of the first ``n`` NCI compounds with their values."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["smiles", *VALUES])
        writer.writeheader()
        writer.writerows({"smiles": smiles, **value(smiles)} for smiles in nci_smiles(n))
    return path


def small_recipe(**optimization: Any) -> Recipe:
    """Recipe of a network that learns the rules in a few seconds (test ROC-AUC about 0.9).

    Parameters
    ----------
    **optimization
        Overrules single values of the ``[optimization]`` section.
    """
    return parse_recipe(
        {
            "network": {
                "n_modules": 2,
                "depth": 8,
                "atom_depth": 8,
                "hidden": [16],
                "batch_norm": True,
                "dropout": 0.1,
            },
            "optimization": {"epochs": 30, "batch_size": 16, "learning_rate": 2e-2, "seed": 1} | optimization,
            "neutral": {"copies": 8},
        }
    )


def train_small_model(directory: Path, n: int = N_SMALL, **optimization: Any) -> ScreeningModel:
    """Train a small model on NCI compounds.

    Parameters
    ----------
    directory : Path
        An existing directory. The model goes to ``directory/small``, its table to ``directory/labelled.csv``.
    n : int
        Molecules in the table.
    **optimization
        Overrules single values of the recipe's ``[optimization]`` section.

    Returns
    -------
    ScreeningModel
        The model as it reads back from its files.
    """
    request = TrainingRequest(
        source=write_labelled(directory / "labelled.csv", n),
        output=directory / "small",
        targets=TASKS,
        recipe=small_recipe(**optimization),
        device="cpu",
        force=True,
    )
    return train_model(request)


def committee_recipe(**changes: Any) -> Recipe:
    """Recipe of a committee of all kinds of members, small enough for a test.

    Parameters
    ----------
    **changes
        Overrules top-level keys and whole sections of the recipe.
    """
    small = small_recipe(epochs=60, weight_average=0.99, keep="last").model_dump(
        mode="json", exclude_none=True
    )
    sections = {
        "neutral": small["neutral"] | {"copies": 32, "weight": 0.5},
        "committee": {"members": ["weave", "environments", "forest", "kernel"]},
        "environments": {
            "max_columns": 300,
            "hidden": 16,
            "dropout": 0.2,
            "optimization": {"epochs": 30, "batch_size": 16, "learning_rate": 1e-2, "keep": "last"},
        },
        "forest": {"trees": 20, "max_features": 0.2},
    }
    return parse_recipe(small | sections | changes)


def train_small_committee(directory: Path, n: int = N_SMALL, **changes: Any) -> ScreeningModel:
    """Train a small committee on the compounds and classes of the small model.

    Parameters
    ----------
    directory : Path
        An existing directory. The model goes to ``directory/committee``, its table to
        ``directory/labelled.csv``.
    n : int
        Molecules in the table.
    **changes
        Overrules top-level keys and whole sections of the recipe.

    Returns
    -------
    ScreeningModel
        The model as it reads back from its files.
    """
    request = TrainingRequest(
        source=write_labelled(directory / "labelled.csv", n),
        output=directory / "committee",
        targets=TASKS,
        recipe=committee_recipe(**changes),
        device="cpu",
        force=True,
    )
    return train_model(request)


def train_small_regression(directory: Path, n: int = N_VALUES, **changes: Any) -> ScreeningModel:
    """Train a small regression on NCI compounds.

    Parameters
    ----------
    directory : Path
        An existing directory. The model goes to ``directory/values``, its table to ``directory/values.csv``.
    n : int
        Molecules in the table.
    **changes
        Overrules top-level keys and whole sections of the recipe.

    Returns
    -------
    ScreeningModel
        The model as it reads back from its files.
    """
    data = small_recipe(epochs=15).model_dump(mode="json") | {"objective": "regression"} | changes
    request = TrainingRequest(
        source=write_values(directory / "values.csv", n),
        output=directory / "values",
        targets=VALUES,
        recipe=parse_recipe(data),
        device="cpu",
        force=True,
    )
    return train_model(request)


def edit_model(directory: Path, **changes: Any) -> None:
    """Change what a model says of itself."""
    path = directory / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
