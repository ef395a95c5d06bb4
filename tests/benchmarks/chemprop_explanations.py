"""Explaining a Chemprop network: molig, Captum and Chemprop's Myerson callback in one run, on one core.

    python tests/benchmarks/chemprop_explanations.py -n 24 --repeats 3

The network is one of ADMET-AI's (width 300, depth 3), cut down to its task AMES; the score is the probability
and the baseline zero, so that all but Myerson values answer the same question. Captum integrates by 50
points of Gauss-Legendre (its default), one molecule a call or several. molig starts from SMILES, Captum and
the callback from graphs that are made already. Molecules have 20 to 40 atoms.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import interleaved, median_ratio, nci_smiles, one_core
from foreign.chemprop_models import featurizer_of, real_chemprop, save

from molig.attribution import Explainer
from molig.foreign import load_chemprop
from molig.foreign.admet_ai import _resources
from molig.molecules import smiles_records

TASK, STEPS = "AMES", 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=24, help="molecules")
    parser.add_argument("-r", "--repeats", type=int, default=3)
    parser.add_argument("--tol", type=float, default=0.01)
    parser.add_argument("--myerson", type=int, default=2, help="molecules for the callback, which is slow")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    given = parser.parse_args()
    one_core()
    warnings.simplefilter("ignore")
    smiles = [s for s in nci_smiles() if 20 <= Chem.MolFromSmiles(s).GetNumAtoms() <= 40][: given.n]
    network = network_of_task()
    graphs = graphs_of(smiles)
    file = Path("/tmp") / "chemprop-explanations.pt"
    ours = load_chemprop(save(network, file, [TASK]))
    file.unlink()
    explainer = Explainer(ours, task=TASK, baseline="zero", tol=given.tol)
    jobs: dict[str, Callable[[], list[float]]] = {
        "molig": lambda: [e.residual / (e.score - e.baseline_score) for e in explained(explainer, smiles)],
        "Captum, one by one": lambda: by_captum(network, graphs, 1),
        "Captum, 4 a call": lambda: by_captum(network, graphs, 4),
        "Captum, all in a call": lambda: by_captum(network, graphs, len(graphs)),
    }
    residuals = {name: float(np.median(np.abs(job()))) for name, job in jobs.items()}
    seconds = interleaved(jobs, given.repeats)
    results: dict[str, Any] = {
        "versions": {"torch": torch.__version__, "machine": platform.processor() or platform.machine()},
        "molecules": len(smiles),
        "tol": given.tol,
    }
    for name, times in seconds.items():
        results[name] = {
            "ms per molecule": round(1000 * float(np.median(times)) / len(smiles), 2),
            "median residual, share of the change": residuals[name],
            "times molig": round(median_ratio(times, seconds["molig"]), 1),
        }
    some = {"Myerson": lambda: by_myerson(network, graphs[: given.myerson])}
    some["molig"] = lambda: explained(explainer, smiles[: given.myerson] * 4)
    pair = interleaved(some, 1)
    results["Myerson callback"] = {
        "ms per molecule": round(1000 * pair["Myerson"][0] / given.myerson),
        "times molig": round(4 * pair["Myerson"][0] / pair["molig"][0]),
    }
    text = json.dumps(results, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


def network_of_task() -> Any:
    """ADMET-AI's first classification network, with the output of one task."""
    chemprop = real_chemprop()
    (file,) = sorted((_resources() / "models").rglob("*.pt"))[:1]
    network = chemprop.models.load_model(file)
    network = network.eval()
    tasks = load_chemprop(file).tasks
    layer = network.predictor.ffn[-1][-1]
    row = tasks.index(TASK)
    one = torch.nn.Linear(layer.in_features, 1)
    one.weight.data, one.bias.data = layer.weight.data[row : row + 1], layer.bias.data[row : row + 1]
    network.predictor.ffn[-1][-1] = one
    network.hparams["predictor"]["n_tasks"] = network.predictor.hparams["n_tasks"] = 1
    return network


def graphs_of(smiles: list[str]) -> list[Any]:
    """Graphs as Chemprop makes them."""
    featurizer = featurizer_of("v2")
    return [featurizer(Chem.MolFromSmiles(s)) for s in smiles]


def explained(explainer: Explainer, smiles: list[str]) -> list[Any]:
    return list(explainer.explain_records(smiles_records(smiles)))


class Copies(torch.nn.Module):
    """The network on as many copies of some graphs as there are rows of features for."""

    def __init__(self, network: Any, graph: Any) -> None:
        super().__init__()
        self.network, self.graph, self.n_atoms = network, graph, len(graph.V)
        self._made: dict[int, Any] = {}

    def forward(self, atoms: torch.Tensor, bonds: torch.Tensor) -> torch.Tensor:
        batch = self._copies(len(atoms) // self.n_atoms)
        batch.V, batch.E = atoms, bonds
        return self.network(batch)[:, 0]

    def _copies(self, n: int) -> Any:
        if n not in self._made:
            graph, shift = self.graph, torch.arange(n)[:, None]
            n_mols = int(graph.batch.max()) + 1
            edges = (graph.edge_index[:, None] + shift * self.n_atoms).flatten(1)
            back = (graph.rev_edge_index + shift * len(graph.E)).flatten()
            owner = (graph.batch + shift * n_mols).flatten()
            self._made[n] = types.SimpleNamespace(edge_index=edges, rev_edge_index=back, batch=owner)
        return copy.copy(self._made[n])


def by_captum(network: Any, graphs: list[Any], per_call: int) -> list[float]:
    """Integrated gradients; residuals as shares of the change of the score."""
    from captum.attr import IntegratedGradients

    pack = real_chemprop().data.BatchMolGraph
    shares = []
    for start in range(0, len(graphs), per_call):
        batch = pack(graphs[start : start + per_call])
        function = Copies(network, batch)
        inputs = batch.V.clone(), batch.E.clone()
        found = IntegratedGradients(function).attribute(inputs, n_steps=STEPS)
        with torch.no_grad():
            change = function(*inputs) - function(*(torch.zeros_like(x) for x in inputs))
        total = torch.zeros(len(change), dtype=found[0].dtype)
        total.index_add_(0, batch.batch, found[0].sum(1))
        total.index_add_(0, batch.batch[batch.edge_index[0]], found[1].sum(1))
        shares += ((change - total) / change).tolist()
    return shares


def by_myerson(network: Any, graphs: list[Any]) -> list[Any]:
    """What Chemprop's callback does for molecules of more than 20 atoms."""
    from myerson.chemprop_explain import MyersonExplainer, MyersonSamplingExplainer
    from myerson.chemprop_explain.utils import unbatch

    pack = real_chemprop().data.BatchMolGraph
    found = []
    with torch.no_grad():
        for graph in unbatch(pack(graphs)):
            if len(graph.V) > 20:
                found.append(MyersonSamplingExplainer(graph, network).sample_all_myerson_values())
            else:
                found.append(MyersonExplainer(graph, network).calculate_all_myerson_values())
    return found


if __name__ == "__main__":
    main()
