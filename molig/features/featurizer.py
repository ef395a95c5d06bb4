"""Molecules to packed graphs, by a schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.errors import ModelFormatError
from molig.features.blocks import (
    ATOM_FUNCTIONS,
    PAIR_FUNCTIONS,
    BlockFunction,
    Topology,
    atom_block,
    extract_topology,
    pair_block,
)
from molig.features.distances import Distances
from molig.features.environments import environments
from molig.features.graphs import MolGraph, PackedGraphs, build_packed
from molig.features.schema import Block, BlockKind, FeatureSchema
from molig.molecules import Molecule


class Featurizer:
    """Compute the blocks of a schema for molecules.

    Parameters
    ----------
    schema : FeatureSchema
        Which blocks, and which pairs.

    Raises
    ------
    ModelFormatError
        If the schema has a block that this version of molig cannot compute, or one with other columns.

    Examples
    --------
    >>> from rdkit import Chem
    >>> from molig.features import Featurizer, preset
    >>> graph = Featurizer(preset("simple", max_pair_distance=2))(Chem.MolFromSmiles("CCO"))
    >>> graph.pair_atoms.tolist(), graph.pair_codes.tolist()
    ([[0, 1], [0, 2], [1, 2]], [[0, 0], [-1, 1], [0, 0]])
    """

    def __init__(self, schema: FeatureSchema) -> None:
        self.schema = schema
        limit = schema.max_pair_distance
        for block in schema.atom_blocks:
            _check_columns(block, ATOM_FUNCTIONS, atom_block)
        for block in schema.pair_blocks:
            _check_columns(block, PAIR_FUNCTIONS, lambda name: pair_block(name, limit))
        self._atom = [(ATOM_FUNCTIONS[b.name], b) for b in schema.atom_blocks]
        self._pair = [(PAIR_FUNCTIONS[b.name], b) for b in schema.pair_blocks]

    def __call__(self, mol: Chem.Mol) -> MolGraph:
        """Featurize one molecule."""
        return self.featurize([mol])[0]

    def featurize(
        self,
        mols: Sequence[Chem.Mol],
        *,
        occurrences: bool = True,
        elements: Sequence[bytes | None] | None = None,
    ) -> PackedGraphs:
        """Featurize many molecules at once, which is several times faster than one by one.

        Parameters
        ----------
        mols : sequence of Mol
            Sanitized molecules, each with at least one atom.
        occurrences : bool
            Where the schema counts environments: list every occurrence with its atoms, as explanations need
            it. Counts alone, which is all that a score needs, take a third of the time.
        elements : sequence of bytes or None, optional
            Atomic numbers of the atoms of each molecule, where they are known, as `Molecule.elements` has
            them: to ask RDKit for them takes several times as long as all else. The features are the same.

        Returns
        -------
        PackedGraphs
        """
        distances = Distances.of(mols, elements)
        topology = extract_topology(mols, distances, self.schema.max_pair_distance)
        n_atoms, n_pairs = len(topology.atomic_numbers), len(topology.pair_atoms)
        atom_codes, atom_values = _fill(self._atom, mols, topology, n_atoms)
        pair_codes, pair_values = _fill(self._pair, mols, topology, n_pairs)
        blocks, held = self.schema.environment_blocks, None
        if blocks:
            held = environments(mols, blocks, occurrences=occurrences, distances=distances)
        return build_packed(
            atom_codes=atom_codes,
            atom_values=atom_values,
            pair_codes=pair_codes,
            pair_values=pair_values,
            pair_atoms=topology.pair_atoms,
            atom_counts=topology.atom_counts,
            pair_counts=topology.pair_counts,
            environments=held,
        )

    def counted(self, molecules: Sequence[Molecule]) -> PackedGraphs:
        """Featurize parsed molecules for a score, which needs only counts of substructures."""
        elements = [molecule.elements for molecule in molecules]
        mols = [molecule.mol for molecule in molecules]
        return self.featurize(mols, occurrences=False, elements=elements)


def _check_columns(block: Block, functions: dict[str, BlockFunction], known: Callable[[str], Block]) -> None:
    """Refuse a block that is unknown here, or that means other columns than the function fills."""
    if block.name not in functions:
        raise ModelFormatError(
            f"this version of molig cannot compute the feature block {block.name!r} "
            f"(it knows {', '.join(functions)}); the model needs a newer version"
        )
    expected = known(block.name)
    if block != expected:
        raise ModelFormatError(
            f"the feature block {block.name!r} must have the columns {', '.join(expected.columns)} "
            f"(got {', '.join(block.columns)})"
        )


def _fill(
    owners: list[tuple[BlockFunction, Block]], mols: Sequence[Chem.Mol], topology: Topology, n_rows: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    codes = [np.zeros((n_rows, 0), dtype=np.int8)]
    values = [np.zeros((n_rows, 0), dtype=np.float32)]
    for function, block in owners:
        column = function(mols, topology, block)
        if block.kind is BlockKind.CATEGORICAL:
            codes.append(column.astype(np.int8).reshape(n_rows, 1))
        else:
            values.append(column.astype(np.float32).reshape(n_rows, block.width))
    return np.concatenate(codes, axis=1), np.concatenate(values, axis=1)
