"""Explanations for tests: real ones by the small model, and ones of made-up numbers."""

from __future__ import annotations

import numpy as np
from rdkit import Chem

from molig.attribution import Explanation
from molig.features import FeatureSchema, Featurizer
from molig.molecules import Hydrogens, Molecule, MoleculeParser, Record

MIXED = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "C",
    "[Na+].CC(=O)[O-]",
    "CN.Cl",
    "C[N+](C)(C)CC(=O)[O-]",
    "OC[C@H](N)C(=O)O",
    "[2H]OC",
    "CN(=O)=O",
)
"""Rings, salts before and behind, a single atom, isotopes, groups that standardisation rewrites."""


def parsed(record: Record, hydrogens: Hydrogens = Hydrogens.IMPLICIT) -> Molecule:
    """The record as a molecule."""
    molecule = MoleculeParser(hydrogens=hydrogens).parse(record)
    assert isinstance(molecule, Molecule)
    return molecule


def made_up(schema: FeatureSchema, molecule: Molecule, seed: int = 0, **changed) -> Explanation:
    """Explanation with random attributions that add up: quick, for any schema."""
    random = np.random.default_rng(seed)
    graph = Featurizer(schema).featurize([molecule.mol])[0]
    atoms, pairs = (
        random.normal(size=(len(codes), codes.shape[1] + values.shape[1]))
        for codes, values in ((graph.atom_codes, graph.atom_values), (graph.pair_codes, graph.pair_values))
    )
    fields = {
        "id": molecule.id,
        "smiles": molecule.smiles,
        "mol": molecule.mol,
        "task": f"task {seed % 2}",
        "target": "probability",
        "score": float(atoms.sum() + pairs.sum()) + 0.25,
        "baseline_score": 0.125,
        "residual": 0.125,
        "converged": bool(seed % 3),
        "n_evaluations": 17 + seed,
        "schema": schema,
        "graph": graph,
        "atom_attributions": atoms,
        "pair_attributions": pairs,
        "row": molecule.row,
        "scored_smiles": molecule.scored_smiles,
        "removed": molecule.removed,
        "origin": molecule.origin,
        "n_input_atoms": molecule.n_input_atoms,
    }
    return Explanation(**(fields | changed))


def mixed(
    schema: FeatureSchema, hydrogens: Hydrogens = Hydrogens.IMPLICIT
) -> tuple[list[Record], list[Explanation]]:
    """Records of `MIXED` with made-up explanations."""
    records = [Record(row, f"m{row % 3}", smiles) for row, smiles in enumerate(MIXED, start=2)]
    return records, [made_up(schema, parsed(r, hydrogens), r.row) for r in records]


def as_written(smiles: str) -> Chem.Mol:
    """The SMILES with all of its atoms, in the order of the text."""
    return Chem.MolFromSmiles(smiles, sanitize=False)
