from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rdkit import Chem

from molig.features import Featurizer, preset
from molig.features.blocks import extract_topology
from molig.features.distances import MANY, Distances
from molig.molecules import MoleculeParser, smiles_records
from tests.features.molecules import DIVERSE
from tests.support.small_model import nci_smiles

TOPOLOGY = ("atomic_numbers", "pair_atoms", "bond_orders", "distances", "atom_counts", "pair_counts")


def parsed(smiles, policy="parent"):
    molecules, _ = MoleculeParser(policy).parse_many(smiles_records(smiles))
    return [m.mol for m in molecules], [m.elements for m in molecules]


def check(mols, elements, limit) -> None:
    assert len(mols) >= MANY
    plain = extract_topology(mols, Distances.of(mols), limit)
    fast = extract_topology(mols, Distances.of(mols, elements), limit)
    for name in TOPOLOGY:
        np.testing.assert_array_equal(getattr(plain, name), getattr(fast, name), err_msg=name)


@pytest.mark.parametrize("limit", [1, 2, 7, None])
@pytest.mark.parametrize("policy", ["parent", "none"])
def test_compiled_loops_find_what_rdkit_finds(limit, policy):
    mols, elements = parsed([*DIVERSE.values(), *nci_smiles(200), "CCO.CCN"], policy)
    assert {None} < {each if each is None else 0 for each in elements}, "both ways are to be taken"
    check(mols, elements, limit)


def test_pairs_of_many_molecules_are_those_of_each_alone():
    mols, _ = parsed(nci_smiles(MANY))
    pairs = Distances.of(mols).near(2)
    alone = [Distances.of([mol]).near(2) for mol in mols]
    for name in ("first", "second"):
        np.testing.assert_array_equal(getattr(pairs, name), np.concatenate([getattr(a, name) for a in alone]))


def test_elements_that_do_not_fit_the_molecule_are_not_believed():
    mols, elements = parsed(["CCO"] * MANY)
    elements[3] = b"\x06"
    check(mols, elements, 2)


@pytest.mark.data
@pytest.mark.parametrize(
    "table", ["tox21", "hiv", "library_moses_1m", "hts_3clpro_aid1706", "moleculeace_30"]
)
def test_features_of_a_data_set_do_not_depend_on_the_way(data_dir: Path, table):
    smiles = pq.read_table(data_dir / f"{table}.parquet", columns=["smiles"])["smiles"].to_pylist()
    molecules, _ = MoleculeParser().parse_many(smiles_records(smiles[:: len(smiles) // 300]))
    featurizer = Featurizer(preset("simple", max_pair_distance=2))
    fast = featurizer.counted(molecules).arrays()
    for name, plain in featurizer.featurize([m.mol for m in molecules], occurrences=False).arrays().items():
        np.testing.assert_array_equal(fast[name], plain, err_msg=name)
        assert fast[name].dtype == plain.dtype


def test_a_dative_bond_keeps_rdkits_way():
    mols, elements = parsed(["[NH3]->[Pt](<-[NH3])(Cl)Cl"] * MANY, "none")
    assert elements[0] is None
    assert Chem.MolToSmiles(mols[0])
    check(mols, elements, None)
