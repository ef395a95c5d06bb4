"""A model that can be explained on paper: the sum of a weight for every feature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rdkit import Chem

from molig.features import Featurizer, PackedGraphs, preset
from molig.model.relaxed import Densities
from molig.molecules import MoleculeParser

SCHEMA = preset("simple", max_pair_distance=2)


def one_hot(codes: np.ndarray, blocks) -> np.ndarray:
    """Rows of columns, shape (n, n columns)."""
    parts = [(codes[:, [i]] == np.arange(block.width)) * 1.0 for i, block in enumerate(blocks)]
    return np.concatenate(parts, axis=1)


class LinearMolecules:
    """Relaxed molecules of `LinearModel`."""

    def __init__(self, model: LinearModel, graphs: PackedGraphs, base) -> None:
        self.graphs, self._model = graphs, model
        levels = (graphs.atom_codes, SCHEMA.atom_blocks), (graphs.pair_codes, SCHEMA.pair_blocks)
        rows = [one_hot(codes, blocks) for codes, blocks in levels]
        self._base = base or tuple(np.zeros(r.shape[1]) for r in rows)
        self._steps = [r - b for r, b in zip(rows, self._base, strict=True)]

    def outputs(self, molecules, atom_factors=None, pair_factors=None):
        found = np.zeros((len(molecules), len(self._model.tasks)))
        counts = self.graphs.atom_counts, self.graphs.pair_counts
        for level, factors in enumerate((atom_factors, pair_factors)):
            weights, start = self._model.weights[level], 0
            for i, molecule in enumerate(molecules):
                steps = np.split(self._steps[level], np.cumsum(counts[level])[:-1])[molecule]
                stop = start + len(steps)
                factor = np.ones(len(steps)) if factors is None else np.asarray(factors)[start:stop]
                found[i] += (self._base[level] + factor[:, None] * steps).sum(axis=0) @ weights
                start = stop
        return found

    def densities(self, molecules, scales, tasks):
        factors = (
            np.repeat(scales, c[molecules]) for c in (self.graphs.atom_counts, self.graphs.pair_counts)
        )
        values = self.outputs(molecules, *factors)[np.arange(len(molecules)), tasks]
        found = []
        for level, counts in enumerate((self.graphs.atom_counts, self.graphs.pair_counts)):
            blocks = SCHEMA.atom_blocks if level == 0 else SCHEMA.pair_blocks
            cuts = np.cumsum([b.width for b in blocks])[:-1]
            steps = np.split(self._steps[level], np.cumsum(counts)[:-1])
            found.append(
                [
                    np.stack(
                        [
                            p.sum(axis=1)
                            for p in np.split(steps[m] * self._model.weights[level][:, t], cuts, axis=1)
                        ],
                        axis=1,
                    )
                    for m, t in zip(molecules, tasks, strict=True)
                ]
            )
        return Densities(values, *found)

    def trail(self, *, fast=False):
        return None


class LinearModel:
    """Two outputs, linear in the features; it is no `ScreeningModel`."""

    name, tasks, objective = "linear", ("first", "second"), "classification"
    schema, parser = SCHEMA, MoleculeParser()

    def __init__(self, seed: int = 0, objective: str = "classification") -> None:
        random = np.random.default_rng(seed)
        self.weights = [
            random.normal(0, 0.3, (width, 2)) for width in (SCHEMA.n_atom_columns, SCHEMA.n_pair_columns)
        ]
        self.objective = objective

    def featurize(self, mols: Sequence[Chem.Mol]) -> PackedGraphs:
        return Featurizer(SCHEMA).featurize(mols)

    def relax(self, graphs: PackedGraphs, base=None) -> LinearMolecules:
        return LinearMolecules(self, graphs, base)
