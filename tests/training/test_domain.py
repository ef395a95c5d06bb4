"""The applicability domain is that of the training part alone."""

import numpy as np
from support.small_model import TASKS, write_labelled

from molig.features import Featurizer, preset
from molig.molecules import MoleculeParser
from molig.training.dataset import read_training_data
from molig.training.run import training_domain


def test_only_the_training_part_counts(tmp_path, nci_file):
    schema = preset("simple", max_pair_distance=2)
    table = write_labelled(tmp_path / "table.csv", 40)
    data = read_training_data(table, TASKS, MoleculeParser(), Featurizer(schema))
    parts = np.array(["train", "validation", "test", "train"] * 10)[: len(data)]
    info = training_domain(data, parts, schema, seed=3).info
    assert info.n_molecules == len({data.smiles[i] for i in np.flatnonzero(parts == "train")})
    assert info.seed == 3
    codes = data.graphs.select(np.flatnonzero(parts == "train")).atom_codes
    assert len(info.categories["atom.type"]) == len(np.unique(codes))
