"""What repeats is computed once, and nothing else changes."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, rdBase

from foreign.chemprop_models import ODD
from molig.foreign import load_chemprop
from molig.foreign.chemprop_batch import Passing, message_batch
from molig.foreign.chemprop_features import chemprop_graphs, chemprop_schema

SMALL = Path(__file__).parent / "small.pt"
SCHEMA = chemprop_schema("v2")
WAYS = [Passing(*way) for way in product((1, 2, 4), (True, False), (True, False))]


@pytest.fixture(scope="module")
def graphs():
    with rdBase.BlockLogs():
        mols = [
            Chem.MolFromSmiles(smiles) for smiles in (*ODD, "CCO", "OCC", "CCCO", "c1ccccc1C", "c1ccccc1CC")
        ]
    return chemprop_graphs(mols, "v2")


def between_atoms(network):
    """The same network with weights for messages between atoms."""
    passing = network.message_passing
    passing.along_bonds = False
    sizes, random = passing.sizes, torch.Generator().manual_seed(0)
    for layer, width in ((passing.start, sizes.atom), (passing.step, sizes.hidden + sizes.bond)):
        weight = torch.randn(sizes.hidden, width, generator=random, dtype=torch.float64)
        layer.weight = torch.nn.Parameter(weight / width**0.5, requires_grad=False)
    return network


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_folding_changes_nothing(way, graphs):
    network = load_chemprop(SMALL).double().networks[0]
    if not way.along_bonds:
        network = between_atoms(network)
    passing = network.message_passing
    passing.depth, passing.undirected = way.depth, way.undirected
    assert passing.passing == way
    scales = np.tile([0.3, 1.0, 1.0], len(graphs))[: len(graphs)]
    outputs = {}
    for fold in (True, False):
        batch = message_batch(graphs, SCHEMA, way, scales.astype(np.float64), fold=fold)
        rows = [len(batch.first_atom), *(step.n_rows for step in batch.steps), batch.last.n_rows]
        outputs[fold] = network(batch.to("cpu", torch.float64)), rows, len(batch.atom_inputs)
    torch.testing.assert_close(outputs[True][0], outputs[False][0], rtol=1e-12, atol=1e-12)
    n_states = 2 * graphs.n_pairs if way.along_bonds else graphs.n_atoms
    assert outputs[False][1] == [n_states] * way.depth + [graphs.n_atoms]
    assert outputs[False][2] == graphs.n_atoms
    assert all(few < many for few, many in zip(outputs[True][1], outputs[False][1], strict=True))
    assert outputs[True][1] == sorted(outputs[True][1][:-1]) + outputs[True][1][-1:]  # ever fewer repeat


def test_known_numbers():
    """Ethane has one kind of directed bond; propane three after a step, by what is behind each."""
    two, three = (chemprop_graphs([Chem.MolFromSmiles(s)], "v2") for s in ("CC", "CCC"))
    batch = message_batch(two, SCHEMA, Passing(3, True, False))
    assert (len(batch.atom_inputs), [s.n_rows for s in batch.steps], batch.last.n_rows) == (1, [1, 1], 1)
    batch = message_batch(three, SCHEMA, Passing(2, True, False))
    assert (len(batch.atom_inputs), len(batch.first_atom)) == (2, 2)  # to the middle, and from it
    assert [s.n_rows for s in batch.steps] == [2]
    assert batch.of_atoms.tolist()[0] == batch.of_atoms.tolist()[2] != batch.of_atoms.tolist()[1]


def test_unfolded_rows_keep_their_order(graphs):
    batch = message_batch(graphs, SCHEMA, WAYS[0], fold=False)
    assert batch.last.start[batch.of_atoms].tolist() == list(range(graphs.n_atoms))
    assert batch.bond_inputs.shape == (graphs.n_pairs, SCHEMA.n_pair_columns)


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from(ODD), min_size=1, max_size=8),
    st.sampled_from([w for w in WAYS if w.along_bonds]),
)
def test_company_does_not_matter(smiles, way):
    """A molecule's output is the same alone and among others, whatever repeats."""
    network = load_chemprop(SMALL).double().networks[0]
    network.message_passing.depth, network.message_passing.undirected = way.depth, way.undirected
    with rdBase.BlockLogs():
        mols = [Chem.MolFromSmiles(s) for s in smiles]

    def scored(chosen):
        batch = message_batch(chemprop_graphs(chosen, "v2"), SCHEMA, way)
        return network(batch.to("cpu", torch.float64))

    alone = torch.cat([scored([mol]) for mol in mols])
    torch.testing.assert_close(scored(mols), alone, rtol=1e-12, atol=1e-12)


def test_no_bonds_at_all():
    graphs = chemprop_graphs([Chem.MolFromSmiles(s) for s in ("C", "[Cl-]", "O.O")], "v2")
    for way in WAYS:
        for fold in (True, False):
            batch = message_batch(graphs, SCHEMA, way, fold=fold)
            assert batch.last.n_rows == (3 if fold else 4)
