"""How much faster a quick network scores, and how far its scores are from the network's own.

    python tests/benchmarks/quick_scores.py [--molecules 2000] [--models hiv,tox21] [--out FILE.json]

For the Weave network of every bundled model, on molecules that come with RDKit, one core, in turn within one
run: molecules/s of the network exactly, quickly, and quickly with the largest product in bfloat16; Spearman's
correlation with the exact scores, the least of all tasks; and how many of the top 1 % change, the most of all
tasks. What scores may be by default has a correlation of at least 0.9999 and changes none, on every model.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
import torch
from common import interleaved, nci_smiles, one_core
from scipy.stats import spearmanr
from torch import Tensor, nn

import molig
from molig.model.files import bundled_models
from molig.molecules import smiles_records
from molig.network import WeaveNet, collate
from molig.network.quick import quick_network

_BATCH = 256


class _HalfLinear(nn.Module):
    """A linear layer whose product is taken in bfloat16."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.bfloat16(), requires_grad=False)
        self.bias = nn.Parameter(linear.bias.bfloat16(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x.bfloat16(), self.weight, self.bias).to(x.dtype)


def _in_half(network: WeaveNet) -> WeaveNet:
    half = quick_network(network)
    half.head[0] = _HalfLinear(half.head[0])
    return half


def main() -> None:
    """Measure and print one line per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--molecules", type=int, default=2000)
    parser.add_argument("--models", default=",".join(bundled_models()))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    one_core()
    found = {name: _measured(name, options.molecules, options.repeats) for name in options.models.split(",")}
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))


def _measured(name: str, n: int, repeats: int) -> dict[str, float]:
    model = molig.load_model(name).weave_alone()
    molecules, _ = model.parser.parse_many(smiles_records(nci_smiles()[:n]))
    parts = [molecules[start : start + _BATCH] for start in range(0, len(molecules), _BATCH)]
    batches = [collate(model.featurizer.counted(part), model.schema) for part in parts]
    networks = {
        "exact": model.network,
        "quick": quick_network(model.network),
        "bfloat16": _in_half(model.network),
    }

    def outputs(network: torch.nn.Module) -> np.ndarray:
        with torch.inference_mode():
            return np.concatenate([network(batch).double().numpy() for batch in batches])

    seconds = interleaved({k: lambda net=net: outputs(net) for k, net in networks.items()}, repeats)
    exact = outputs(model.network)
    result = {f"{k} molecules/s": len(molecules) / statistics.median(v) for k, v in seconds.items()}
    n_top = max(1, len(molecules) // 100)
    for kind in ("quick", "bfloat16"):
        other = outputs(networks[kind])
        columns = list(zip(exact.T, other.T, strict=True))
        result[f"{kind} rank correlation"] = min(float(spearmanr(a, b).statistic) for a, b in columns)
        tops = [(set(np.argsort(-a)[:n_top]), set(np.argsort(-b)[:n_top])) for a, b in columns]
        result[f"{kind} changes in top 1 %"] = max(len(a - b) for a, b in tops)
        result[f"{kind} largest difference"] = float(np.abs(other - exact).max())
    print(name, *(f"{k}: {v:.6g}" for k, v in result.items()), sep="\n  ", flush=True)
    return result


if __name__ == "__main__":
    main()
