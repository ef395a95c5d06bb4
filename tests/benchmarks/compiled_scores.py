"""How much faster a network scores with compiled loops, and how far its scores are from the plain formulas'.

    python tests/benchmarks/compiled_scores.py [--molecules 2000] [--models hiv,tox21]
                                               [--library TABLE.parquet] [--out FILE.json]

For the Weave network of every bundled model, on molecules that come with RDKit or on those of a table, one
core, in turn within one run: molecules/s of the network with tanh and the Gaussian histogram in torch, the
same in compiled loops, and with the largest product in bfloat16 as well; Spearman's correlation with the
scores of the plain formulas, the least of all tasks; how many of the top 1 % change, the most of all tasks,
where scores equal to six decimals, as a hit table ranks them, are equal. What scores may be by default has a
correlation of at least 0.9999 and changes none, on every model.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from common import interleaved, nci_smiles, one_core
from scipy.stats import spearmanr
from torch import Tensor, nn

import molig
from molig.model.files import bundled_models
from molig.molecules import smiles_records
from molig.network import GraphBatch, WeaveNet, collate, table
from molig.screening.hits import RANK_DECIMALS

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
    half = copy.deepcopy(network)
    half.head[0] = _HalfLinear(half.head[0])
    return half


@contextmanager
def _plain() -> Iterator[None]:
    worth, table.worth_compiling = table.worth_compiling, lambda _: False
    try:
        yield
    finally:
        table.worth_compiling = worth


def _outputs(network: WeaveNet, batches: list[GraphBatch]) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate([network(batch).double().numpy() for batch in batches])


def _plain_outputs(network: WeaveNet, batches: list[GraphBatch]) -> np.ndarray:
    with _plain():
        return _outputs(network, batches)


def main() -> None:
    """Measure and print one line per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--molecules", type=int, default=2000)
    parser.add_argument("--models", default=",".join(bundled_models()))
    parser.add_argument("--library", type=Path, help="Parquet table with a column smiles, instead of RDKit's")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    one_core()
    smiles = nci_smiles()
    if options.library:
        smiles = pq.read_table(options.library, columns=["smiles"])["smiles"].to_pylist()
    smiles = smiles[:: max(1, len(smiles) // options.molecules)][: options.molecules]
    found = {name: _measured(name, smiles, options.repeats) for name in options.models.split(",")}
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))


def _measured(name: str, smiles: list[str], repeats: int) -> dict[str, float]:
    model = molig.load_model(name).weave_alone()
    molecules, _ = model.parser.parse_many(smiles_records(smiles))
    parts = [molecules[start : start + _BATCH] for start in range(0, len(molecules), _BATCH)]
    batches = [collate(model.featurizer.counted(part), model.schema) for part in parts]
    network, half = model.network, _in_half(model.network)
    jobs = {
        "plain": lambda: _plain_outputs(network, batches),
        "compiled": lambda: _outputs(network, batches),
        "bfloat16": lambda: _outputs(half, batches),
    }
    seconds = interleaved(jobs, repeats)
    result = {f"{k} molecules/s": len(molecules) / statistics.median(v) for k, v in seconds.items()}
    exact = jobs["plain"]()
    for kind in ("compiled", "bfloat16"):
        other = jobs[kind]()
        columns = list(zip(exact.T, other.T, strict=True))
        result[f"{kind} rank correlation"] = min(float(spearmanr(a, b).statistic) for a, b in columns)
        result[f"{kind} changes in top 1 %"] = max(_changes(a, b) for a, b in columns)
        result[f"{kind} largest difference"] = float(np.abs(other - exact).max())
    print(name, *(f"{k}: {v:.6g}" for k, v in result.items()), sep="\n  ", flush=True)
    return result


def _changes(before: np.ndarray, after: np.ndarray) -> int:
    """Rows that only one of both rankings has among the best 1 %, ties with its last row included."""
    n_top = max(1, len(before) // 100)
    least = [np.sort(np.round(scores, RANK_DECIMALS))[-n_top] for scores in (before, after)]
    surely = [np.round(s, RANK_DECIMALS) > last for s, last in zip((before, after), least, strict=True)]
    perhaps = [np.round(s, RANK_DECIMALS) >= last for s, last in zip((before, after), least, strict=True)]
    return int((surely[0] & ~perhaps[1]).sum() + (surely[1] & ~perhaps[0]).sum())


if __name__ == "__main__":
    main()
