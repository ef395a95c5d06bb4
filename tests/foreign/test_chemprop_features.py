"""Features of atoms and bonds are those of Chemprop, and have names."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem, rdBase

from foreign.chemprop_models import ODD, featurizer_of, graphs_of
from molig.foreign.chemprop_features import PRESETS, chemprop_graphs, chemprop_schema
from molig.network import collate


@pytest.mark.parametrize("preset", PRESETS)
def test_features_equal_chemprops(preset):
    with rdBase.BlockLogs():
        mols = [Chem.MolFromSmiles(smiles) for smiles in ODD]
    batch = collate(chemprop_graphs(mols, preset), chemprop_schema(preset))
    (theirs,) = graphs_of(mols, preset)
    np.testing.assert_array_equal(batch.atom_inputs[batch.atom_kind], theirs.V)
    bonds = batch.pair_inputs[batch.pair_kind]
    np.testing.assert_array_equal(bonds, theirs.E[::2])
    np.testing.assert_array_equal(bonds, theirs.E[1::2])
    ends = theirs.edge_index[:, ::2].sort(dim=0).values
    np.testing.assert_array_equal(batch.pair_atoms, ends)


@pytest.mark.parametrize("preset", PRESETS)
def test_widths(preset):
    schema = chemprop_schema(preset)
    assert (schema.n_atom_columns, schema.n_pair_columns) == featurizer_of(preset).shape


def test_columns_have_names():
    columns = chemprop_schema("v2").columns("atom")
    assert str(columns[5]) == "atom.element = C"
    assert str(columns[-1]) == "atom.mass: mass"
    assert [str(c) for c in chemprop_schema("v2").columns("pair")][:3] == [
        "pair.no bond = no bond",
        "pair.type = single",
        "pair.type = double",
    ]
