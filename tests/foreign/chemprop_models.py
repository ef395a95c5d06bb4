"""Checkpoints written by the real Chemprop, with random weights, and its own predictions.

Chemprop's package of compiled features pins another RDKit than this project's. It is imported at the top and
not needed for anything here, so an empty module stands for it where it is missing.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rdkit import Chem

ODD = [line.split()[0] for line in (Path(__file__).parent / "odd.smi").read_text().splitlines()]


def real_chemprop() -> Any:
    """The package, or a skip."""
    if importlib.util.find_spec("chemprop") is None:
        pytest.skip("Chemprop is not installed (see CONTRIBUTING.md)")
    if "cuik_molmaker" not in sys.modules and importlib.util.find_spec("cuik_molmaker") is None:
        sys.modules["cuik_molmaker"] = types.ModuleType("cuik_molmaker")
    import chemprop
    import chemprop.data
    import chemprop.featurizers
    import chemprop.models
    import chemprop.nn

    return chemprop


@dataclass(frozen=True)
class Kind:
    """One kind of model: what its parts are made with."""

    head: str = "RegressionFFN"
    messages: str = "BondMessagePassing"
    aggregation: str = "NormAggregation"
    preset: str = "v2"
    batch_norm: bool = False
    unscale: bool = False
    passing: dict[str, Any] = field(default_factory=dict)
    predictor: dict[str, Any] = field(default_factory=dict)
    descriptors: int = 0
    atom_descriptors: int = 0
    atom_features: int = 0
    bond_features: int = 0

    @property
    def n_tasks(self) -> int:
        return self.predictor.get("n_tasks", 1)


WIDTH = 24


def build(kind: Kind, seed: int = 0) -> Any:
    """A network of the kind, with random weights, biases and statistics."""
    chemprop = real_chemprop()
    nn = chemprop.nn
    torch.manual_seed(seed)
    featurizer = featurizer_of(kind.preset, kind)
    d_v, d_e = featurizer.shape
    passing: dict[str, Any] = {"depth": 3, "d_h": WIDTH} | kind.passing
    if kind.atom_descriptors:
        passing |= {
            "d_vd": kind.atom_descriptors,
            "V_d_transform": nn.ScaleTransform(*statistics(kind.atom_descriptors)),
        }
    if kind.atom_features or kind.bond_features:
        passing["graph_transform"] = nn.GraphTransform(
            nn.ScaleTransform(*statistics(kind.atom_features), pad=d_v - kind.atom_features),
            nn.ScaleTransform(*statistics(kind.bond_features), pad=d_e - kind.bond_features),
        )
    messages = getattr(nn, kind.messages)(d_v=d_v, d_e=d_e, **passing)
    options = {"norm": 30.0} if kind.aggregation == "NormAggregation" else {}
    if kind.aggregation == "AttentiveAggregation":
        options = {"output_size": messages.output_dim}
    aggregation = getattr(nn, kind.aggregation)(**options)
    scale = nn.UnscaleTransform(*statistics(kind.n_tasks)) if kind.unscale else None
    predictor = getattr(nn.predictors, kind.head)(
        input_dim=messages.output_dim + kind.descriptors,
        output_transform=scale,
        **({"hidden_dim": 20, "n_layers": 2} | kind.predictor),
    )
    scale_descriptors = nn.ScaleTransform(*statistics(kind.descriptors)) if kind.descriptors else None
    model = chemprop.models.MPNN(
        messages, aggregation, predictor, kind.batch_norm, X_d_transform=scale_descriptors
    )
    for name, tensor in model.state_dict().items():
        if name.startswith(("metrics", "predictor.criterion", "predictor.output")) or "transform" in name:
            continue
        if name.endswith("bias"):
            torch.nn.init.normal_(tensor, std=0.3)
        elif name.endswith("running_mean"):
            torch.nn.init.normal_(tensor, std=0.5)
        elif name.endswith(("running_var", "bn.weight")) or tensor.ndim == 1:
            torch.nn.init.uniform_(tensor, 0.2, 2.0)
        elif name.endswith("weight"):
            torch.nn.init.normal_(tensor, std=1.5 / tensor.shape[1] ** 0.5)
    return model.eval()


def statistics(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Some mean and scale."""
    return np.linspace(-1, 1, width), np.linspace(0.5, 2, width)


def featurizer_of(preset: str, kind: Kind = Kind()) -> Any:
    chemprop = real_chemprop()
    features = chemprop.featurizers
    bonds = features.bond.RIGRBondFeaturizer() if preset == "rigr" else features.MultiHotBondFeaturizer()
    return features.SimpleMoleculeMolGraphFeaturizer(
        features.atom.get_multi_hot_atom_featurizer(preset), bonds, kind.atom_features, kind.bond_features
    )


def save(model: Any, path: Path, tasks: Sequence[str] | None = None) -> Path:
    real_chemprop().models.save_model(path, model, list(tasks) if tasks else None)
    return path


def graphs_of(mols: Sequence[Chem.Mol], preset: str, kind: Kind = Kind(), extra: Any = None) -> list[Any]:
    """Batches of 200 molecules, featurized by Chemprop."""
    pack = real_chemprop().data.BatchMolGraph
    featurizer = featurizer_of(preset, kind)
    one = [
        featurizer(
            mol,
            extra.atom_features[i] if extra and kind.atom_features else None,
            extra.bond_features[i] if extra and kind.bond_features else None,
        )
        for i, mol in enumerate(mols)
    ]
    return [pack(one[i : i + 200]) for i in range(0, len(one), 200)]


def predicted(model: Any, batches: list[Any], extra: Any = None) -> np.ndarray:
    """Chemprop's predictions; of means and their spread only the means, as its command line writes them."""
    found, start = [], 0
    for batch in batches:
        part = range(start, start + len(batch))
        start += len(batch)
        v_d = x_d = None
        if extra and extra.atom_descriptors is not None:
            v_d = torch.tensor(np.concatenate([extra.atom_descriptors[i] for i in part])).float()
        if extra and extra.molecule is not None:
            x_d = torch.tensor(np.asarray(extra.molecule)[list(part)]).float()
        kept = batch.V, batch.E
        with torch.no_grad():
            found.append(model(batch, v_d, x_d))
        batch.V, batch.E = kept  # the transform of a graph overwrites them
    values = torch.cat(found)
    if model.predictor.n_targets > 1:
        values = values[..., 0]
    return values.flatten(1).numpy()
