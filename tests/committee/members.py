"""Small members with random weights, and molecules for them."""

from dataclasses import replace

import numpy as np
import torch
from rdkit import Chem
from torch import nn

from molig.committee import EnvironmentNet, Vocabulary
from molig.committee.vocabulary import environments_of
from molig.features import EnvironmentBlock, Featurizer, PackedGraphs, preset

BLOCKS = (EnvironmentBlock("environment", 1), EnvironmentBlock("element_environment", 1))
SCHEMA = replace(preset("simple", max_pair_distance=2), environment_blocks=BLOCKS)
SMILES = ("CCO", "C", "CC(=O)Oc1ccccc1C(=O)O", "c1ccncc1", "[Na+].CC(=O)[O-]", "NCCN", "O=C(O)CC(=O)O")
N_TASKS = 2


def graphs_of(smiles=SMILES, *, occurrences: bool = True) -> PackedGraphs:
    """Molecules with their environments."""
    return Featurizer(SCHEMA).featurize([Chem.MolFromSmiles(s) for s in smiles], occurrences=occurrences)


def vocabulary_of(smiles=SMILES[:-1], most: int = 40) -> Vocabulary:
    """The environments of molecules."""
    return Vocabulary.of(environments_of(graphs_of(smiles)), min_molecules=1, max_columns=most)


def random_net(seed: int, hidden: int = 6, *, scale: float = 1.0) -> EnvironmentNet:
    """A network in double precision whose units turn on and off along the paths."""
    torch.manual_seed(seed)
    net = EnvironmentNet(vocabulary_of(), hidden, N_TASKS)
    net.norm = nn.Identity()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=scale)
    return net.double().eval().requires_grad_(False)


def random_counts(rng: np.random.Generator, n_rows: int, n_columns: int) -> np.ndarray:
    """Counts, most of them zero."""
    return rng.poisson(0.7, (n_rows, n_columns)) * rng.integers(0, 2, (n_rows, n_columns))
