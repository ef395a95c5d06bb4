"""Applicability domain: which molecules are like those that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator

from molig.errors import InputError
from molig.features import FeatureSchema, Featurizer, MolGraph, PackedGraphs
from molig.model.columns_seen import ColumnsSeen, record_columns
from molig.model.reference_chemistry import (
    as_read,
    composition,
    elements_of,
    read_smiles,
    scaffold_hash,
    scaffold_hashes,
)
from molig.model.reference_fingerprints import ReferenceFingerprints, nearest_other
from molig.model.sections import ApplicabilityInfo, SizeRange

FloatArray = npt.NDArray[np.float64]
Bits = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

MAX_REFERENCE = 5_000
"""Most training molecules whose fingerprints are kept."""

RADIUS, N_BITS = 2, 1024
QUANTILES = (1, 5, 25, 50, 75)
THRESHOLD_QUANTILE = 5


class DomainStatus(StrEnum):
    """What is said of a molecule; where two hold, the one further down.

    Examples
    --------
    >>> DomainStatus("far from training")
    <DomainStatus.FAR: 'far from training'>
    """

    IN = "in domain"
    """None of the below."""

    FAR = "far from training"
    """Less similar to training than 95 % of the training molecules are, or smaller or larger than all."""

    UNSEEN = "unseen feature"
    """An element, or a value of a feature, that no training molecule had: its weights were never trained."""


@dataclass(frozen=True)
class ApplicabilityFlag:
    """Whether a model knows molecules like this one.

    Parameters
    ----------
    status : DomainStatus
        "in domain", "far from training" or "unseen feature".
    similarity : float
        Tanimoto similarity to the nearest reference molecule of the training part.
    detail : str
        What is unseen, or how far it is.
    """

    status: DomainStatus
    similarity: float
    detail: str


class Applicability:
    """Training molecules to compare others with.

    Parameters
    ----------
    info : ApplicabilityInfo
        Threshold, elements, sizes and features of the training part.
    fingerprints : array of uint8, shape (n_reference, n_bits / 8)
        Packed Morgan fingerprints of the reference molecules.
    schema : FeatureSchema
        The model's features.
    scaffolds : array of uint64, ascending, optional
        Hashes of the Murcko scaffolds of all training molecules; models of earlier versions have none.

    Examples
    --------
    >>> from molig.features import preset
    >>> schema = preset("simple", max_pair_distance=2)
    >>> smiles = ["CCO", "CCCO", "CCN", "CC(C)O"]
    >>> mols = [Chem.MolFromSmiles(s) for s in smiles]
    >>> domain = Applicability.fit(smiles, Featurizer(schema).featurize(mols), schema)
    >>> for flag in domain.flag([mols[0], Chem.MolFromSmiles("CCCS")]):
    ...     print(flag.status, round(flag.similarity, 2), flag.detail, sep="; ")
    in domain; 1.0; nearest training molecule at similarity 1.000 (threshold 0.220)
    unseen feature; 0.33; in no training molecule: element S
    """

    def __init__(
        self,
        info: ApplicabilityInfo,
        fingerprints: npt.NDArray[np.uint8],
        schema: FeatureSchema,
        scaffolds: Hashes | None = None,
    ) -> None:
        self.info, self.fingerprints, self.schema, self.scaffolds = info, fingerprints, schema, scaffolds
        self._generator = rdFingerprintGenerator.GetMorganGenerator(radius=info.radius, fpSize=info.n_bits)
        self._columns = ColumnsSeen(schema, info)

    def __repr__(self) -> str:
        """Size and threshold."""
        return f"Applicability({self.info.n_reference} molecules, threshold {self.info.threshold:.2f})"

    @classmethod
    def fit(
        cls, smiles: Sequence[str], graphs: PackedGraphs, schema: FeatureSchema, *, seed: int = 0
    ) -> Self:
        """Describe a training part.

        Parameters
        ----------
        smiles : sequence of str
            Its molecules after standardisation, copies of a molecule with the same text; hydrogens implicit.
        graphs : PackedGraphs
            The same molecules, featurized.
        schema : FeatureSchema
            By which features.
        seed : int
            Draws the reference, if there are more than ``MAX_REFERENCE`` different molecules.

        Returns
        -------
        Applicability

        Raises
        ------
        InputError
            If there is no molecule.

        Notes
        -----
        The threshold is the 5 % quantile, over the reference, of the Tanimoto similarity to the nearest other
        reference molecule. With a single molecule there is no other one, and the threshold is 0.
        """
        different = drawn = list(dict.fromkeys(smiles))
        if len(different) > MAX_REFERENCE:
            chosen = np.random.default_rng(seed).choice(len(different), MAX_REFERENCE, replace=False)
            drawn = [different[i] for i in np.sort(chosen)]
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=N_BITS)
        bits = np.array([generator.GetFingerprintAsNumPy(mol) for mol in read_smiles(drawn)], dtype=np.uint8)
        if not len(bits):
            raise InputError("the training part has no molecule to describe an applicability domain with")
        elements, sizes = composition(different)
        nearest = nearest_other(bits)
        quantiles = {q: float(np.quantile(nearest, q / 100)) for q in QUANTILES}
        categories, ranges = record_columns(schema, graphs)
        info = ApplicabilityInfo(
            n_molecules=len(different),
            n_reference=len(bits),
            seed=seed,
            radius=RADIUS,
            n_bits=N_BITS,
            similarity=quantiles,
            threshold=quantiles[THRESHOLD_QUANTILE],
            elements=dict(elements.most_common()),
            heavy_atoms=SizeRange(
                min=min(sizes),
                q1=float(np.quantile(sizes, 0.01)),
                q99=float(np.quantile(sizes, 0.99)),
                max=max(sizes),
            ),
            categories=categories,
            ranges=ranges,
        )
        return cls(info, np.packbits(bits, axis=1), schema, scaffold_hashes(different))

    def with_scaffolds(self, smiles: Sequence[str]) -> Self:
        """Return the same domain with the scaffolds of training, which earlier versions left out.

        Parameters
        ----------
        smiles : sequence of str
            The training molecules after standardisation, hydrogens implicit.
        """
        return type(self)(self.info, self.fingerprints, self.schema, scaffold_hashes(smiles))

    def known_scaffold(self, mols: Sequence[Chem.Mol]) -> Flags | None:
        """Tell which molecules have the Murcko scaffold of a training molecule.

        Parameters
        ----------
        mols : sequence of Mol
            Molecules that the model's parser has accepted.

        Returns
        -------
        array of bool, shape (n,), or None
            None if the model does not know its training scaffolds. Without rings, all have the same one.
        """
        if self.scaffolds is None:
            return None
        # RDKit would log each molecule that standardisation left without ring information.
        with rdBase.BlockLogs():
            hashes = np.array([scaffold_hash(as_read(mol)) for mol in mols], dtype=np.uint64)
        return np.isin(hashes, self.scaffolds)

    def unseen_entries(self, graph: MolGraph) -> tuple[Flags, Flags]:
        """Tell which features of one molecule have weights that were never trained.

        Parameters
        ----------
        graph : MolGraph
            The molecule, featurized with the model's schema.

        Returns
        -------
        atoms, pairs : array of bool
            In the shape of attributions: an entry per categorical block and per numeric column.
        """
        return self._columns.unseen_entries(graph)

    def flag(self, mols: Sequence[Chem.Mol], graphs: PackedGraphs | None = None) -> list[ApplicabilityFlag]:
        """Compare molecules with the training part.

        Parameters
        ----------
        mols : sequence of Mol
            Molecules that the model's parser has accepted.
        graphs : PackedGraphs, optional
            The same molecules featurized with the model's schema, if that is done already.

        Returns
        -------
        list of ApplicabilityFlag
            One for each; it does not depend on the others.
        """
        if not mols:
            return []
        if graphs is None:
            graphs = Featurizer(self.schema).featurize(mols)
        columns = self._columns.unseen(graphs)
        nearest = self.similarity(mols)
        return [
            self._judged(mol, float(similarity), columns.get(i, []))
            for i, (mol, similarity) in enumerate(zip(mols, nearest, strict=True))
        ]

    def similarity(self, mols: Sequence[Chem.Mol]) -> FloatArray:
        """Tanimoto similarity of molecules to their nearest reference molecule; shape (n,)."""
        # RDKit would log each molecule that standardisation left without ring information.
        with rdBase.BlockLogs():
            return np.array([self._reference.similarities(self._fingerprint(mol)).max() for mol in mols])

    def _judged(self, mol: Chem.Mol, similarity: float, columns: list[str]) -> ApplicabilityFlag:
        elements = sorted(elements_of(mol) - self.info.elements.keys())
        # An unseen element explains an unseen type of atom.
        others = [c for c in columns if not (elements and c.startswith("atom.type"))]
        if elements or others:
            found = ", ".join([*(f"element {symbol}" for symbol in elements), *others])
            return ApplicabilityFlag(DomainStatus.UNSEEN, similarity, f"in no training molecule: {found}")
        size, sizes = mol.GetNumHeavyAtoms(), self.info.heavy_atoms
        if not sizes.min <= size <= sizes.max:
            detail = f"{size} heavy atoms; training molecules have {sizes.min} to {sizes.max}"
            return ApplicabilityFlag(DomainStatus.FAR, similarity, detail)
        far = similarity < self.info.threshold
        threshold = f"{self.info.threshold:.3f}"
        end = f", below the threshold {threshold}" if far else f" (threshold {threshold})"
        detail = f"nearest training molecule at similarity {similarity:.3f}{end}"
        return ApplicabilityFlag(DomainStatus.FAR if far else DomainStatus.IN, similarity, detail)

    def _fingerprint(self, mol: Chem.Mol) -> Bits:
        # The reference was read with implicit hydrogens, whatever the model takes for atoms.
        return np.asarray(self._generator.GetFingerprintAsNumPy(as_read(mol)), dtype=np.uint8)

    @cached_property
    def _reference(self) -> ReferenceFingerprints:
        return ReferenceFingerprints(np.unpackbits(self.fingerprints, axis=1))
