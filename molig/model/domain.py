"""Applicability domain: which molecules are like those that a model was trained on."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.rdMolDescriptors import CalcMolFormula
from safetensors import SafetensorError
from safetensors.numpy import load, save

from molig.deferred import deferred
from molig.errors import InputError, ModelFormatError
from molig.features import BlockKind, FeatureSchema, Featurizer, MolGraph, PackedGraphs
from molig.features.environments import with_rings
from molig.features.graphs import Level
from molig.files import digest_of, read_regular
from molig.model.info import ApplicabilityInfo, SizeRange

murcko = deferred("rdkit.Chem.Scaffolds.MurckoScaffold")

FloatArray = npt.NDArray[np.float64]
Bits = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

MAX_REFERENCE = 5_000
"""Most training molecules whose fingerprints are kept."""

RADIUS, N_BITS = 2, 1024
QUANTILES = (1, 5, 25, 50, 75)
THRESHOLD_QUANTILE = 5

NONE = "none"
"""How the absence of all columns of a categorical block is written."""

APPLICABILITY_FILE = "applicability.safetensors"
_TENSOR = "fingerprints"
# Only in files since the audit of domains; readers of before pass it over.
_SCAFFOLDS = "scaffolds"
_LARGEST_HEADER = 1_000_000

_SYMBOL = re.compile("[A-Z][a-z]?")


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


class Traits(NamedTuple):
    """What a domain asks of molecules beside their features.

    Parameters
    ----------
    fingerprints : array of uint8, shape (n, n_bits)
        Morgan fingerprints, a bit each.
    elements : list of set of str
        Symbols of the elements of each molecule, without hydrogen.
    heavy_atoms : array of int64, shape (n,)
        Their heavy atoms.
    """

    fingerprints: Bits
    elements: list[set[str]]
    heavy_atoms: npt.NDArray[np.int64]

    @classmethod
    def of(cls, mols: Sequence[Chem.Mol], radius: int = RADIUS, n_bits: int = N_BITS) -> Self:
        """Read them off molecules that a model's parser has accepted."""
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits)
        bits = np.zeros((len(mols), n_bits), dtype=np.uint8)
        # RDKit would log each molecule that standardisation left without ring information.
        with rdBase.BlockLogs():
            for row, mol in zip(bits, mols, strict=True):
                # The reference was read with implicit hydrogens, whatever the model takes for atoms.
                row[:] = generator.GetFingerprintAsNumPy(as_read(mol))
        heavy = np.array([mol.GetNumHeavyAtoms() for mol in mols], dtype=np.int64)
        return cls(bits, [elements_of(mol) for mol in mols], heavy)


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
        return self.flag_traits(self.traits(mols), graphs)

    def traits(self, mols: Sequence[Chem.Mol]) -> Traits:
        """What `flag_traits` asks of molecules."""
        return Traits.of(mols, self.info.radius, self.info.n_bits)

    def flag_traits(self, traits: Traits, graphs: PackedGraphs) -> list[ApplicabilityFlag]:
        """`flag` for molecules of which traits and features are known already."""
        columns = self._columns.unseen(graphs)
        nearest = self._nearest(traits.fingerprints)
        return [
            self._judged(elements, int(size), float(similarity), columns.get(i, []))
            for i, (elements, size, similarity) in enumerate(
                zip(traits.elements, traits.heavy_atoms, nearest, strict=True)
            )
        ]

    def similarity(self, mols: Sequence[Chem.Mol]) -> FloatArray:
        """Tanimoto similarity of molecules to their nearest reference molecule; shape (n,)."""
        return self._nearest(self.traits(mols).fingerprints)

    def _nearest(self, fingerprints: Bits) -> FloatArray:
        return np.array([self._reference.similarities(bits).max() for bits in fingerprints])

    def _judged(
        self, present: set[str], size: int, similarity: float, columns: list[str]
    ) -> ApplicabilityFlag:
        elements = sorted(present - self.info.elements.keys())
        # An unseen element explains an unseen type of atom.
        others = [c for c in columns if not (elements and c.startswith("atom.type"))]
        if elements or others:
            unseen = ", ".join([*(f"element {symbol}" for symbol in elements), *others])
            return ApplicabilityFlag(DomainStatus.UNSEEN, similarity, f"in no training molecule: {unseen}")
        sizes = self.info.heavy_atoms
        if not sizes.min <= size <= sizes.max:
            detail = f"{size} heavy atoms; training molecules have {sizes.min} to {sizes.max}"
            return ApplicabilityFlag(DomainStatus.FAR, similarity, detail)
        far = similarity < self.info.threshold
        threshold = f"{self.info.threshold:.3f}"
        end = f", below the threshold {threshold}" if far else f" (threshold {threshold})"
        detail = f"nearest training molecule at similarity {similarity:.3f}{end}"
        return ApplicabilityFlag(DomainStatus.FAR if far else DomainStatus.IN, similarity, detail)

    @cached_property
    def _reference(self) -> ReferenceFingerprints:
        return ReferenceFingerprints(np.unpackbits(self.fingerprints, axis=1))


# Which categories and numbers of the input columns occurred in training.


def category_blocks(schema: FeatureSchema, level: str) -> list[tuple[str, tuple[str, ...]]]:
    """Name of every categorical block of a level, such as "atom.type", with its categories by code + 1."""
    blocks = [block for block in schema.blocks(level) if block.kind is BlockKind.CATEGORICAL]
    return [(f"{level}.{block.name}", (NONE, *block.columns)) for block in blocks]


def record_columns(
    schema: FeatureSchema, graphs: PackedGraphs
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[float, float]]]:
    """What the columns of molecules hold."""
    categories: dict[str, tuple[str, ...]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for level in (graphs.level("atom"), graphs.level("pair")):
        for i, (name, names) in enumerate(category_blocks(schema, level.name)):
            present = np.unique(level.codes[:, i]) + 1
            categories[name] = tuple(names[code] for code in present)
        for column, values in zip(_numeric_columns(schema, level.name), level.values.T, strict=True):
            if len(values) and (values == np.rint(values)).all():
                ranges[column] = float(values.min()), float(values.max())
    return categories, ranges


class ColumnsSeen:
    """Finds what no training molecule had in the columns of molecules."""

    def __init__(self, schema: FeatureSchema, info: ApplicabilityInfo) -> None:
        self._schema, self._info = schema, info
        self._seen = {
            name: np.array([category in info.categories.get(name, ()) for category in categories])
            for level in ("atom", "pair")
            for name, categories in category_blocks(schema, level)
        }

    def unseen(self, graphs: PackedGraphs) -> dict[int, list[str]]:
        """Index of a molecule to texts such as ``pair.bond = triple``; the others have no entry."""
        unseen: dict[int, list[str]] = {}
        for level in (graphs.level("atom"), graphs.level("pair")):
            for i, (name, categories) in enumerate(category_blocks(self._schema, level.name)):
                codes = level.codes[:, i] + 1
                rows = np.flatnonzero(~self._seen[name][codes])
                for molecule, code in _distinct(level, rows, codes):
                    unseen.setdefault(molecule, []).append(f"{name} = {categories[int(code)]}")
            for column, values in zip(
                _numeric_columns(self._schema, level.name), level.values.T, strict=True
            ):
                low, high = self._info.ranges.get(column, (-np.inf, np.inf))
                rows = np.flatnonzero((values < low) | (values > high))
                for molecule, value in _distinct(level, rows, values):
                    unseen.setdefault(molecule, []).append(f"{column} {value:g}")
        return unseen

    def unseen_entries(self, graph: MolGraph) -> tuple[Flags, Flags]:
        """Tell which features of one molecule have weights that were never trained."""
        return self._flags(graph.level("atom")), self._flags(graph.level("pair"))

    def _flags(self, level: Level) -> Flags:
        flags = [np.zeros((len(level.codes), 0), dtype=bool)]
        for place in self._schema.places(level.name):
            if place.is_categorical:
                seen = self._seen[f"{level.name}.{place.block.name}"]
                flags.append(~seen[level.codes[:, place.stored] + 1])
                continue
            names = _numeric_columns(self._schema, level.name)[place.stored]
            # A larger number than any seen is extrapolated with trained weights; one where training had
            # nothing but 0 meets weights that were never trained.
            empty = np.array([self._info.ranges.get(name, (0.0, 1.0)) == (0.0, 0.0) for name in names])
            flags.append((level.values[:, place.stored] != 0) & empty)
        return np.concatenate(flags, axis=1)


def _distinct(
    level: Level, rows: npt.NDArray[np.int64], values: npt.NDArray[np.generic]
) -> list[tuple[int, float]]:
    """Molecule and value of the given rows, each combination once."""
    if not len(rows):
        return []
    molecules = np.repeat(np.arange(len(level.counts)), level.counts)[rows]
    return sorted({(int(m), float(v)) for m, v in zip(molecules, values[rows], strict=True)})


def _numeric_columns(schema: FeatureSchema, level: str) -> list[str]:
    return [str(column) for column in schema.columns(level) if column.kind is BlockKind.NUMERIC]


# What the applicability domain reads off a molecule: elements, size, Murcko scaffold.


def as_read(mol: Chem.Mol) -> Chem.Mol:
    """A molecule as if read from its SMILES: hydrogens implicit, with ring information."""
    if mol.GetNumAtoms() != mol.GetNumHeavyAtoms():
        # A hydrogen with several bonds, as in boranes, has a valence that RDKit refuses to check again.
        with contextlib.suppress(ValueError):
            mol = Chem.RemoveHs(mol)
    return with_rings(mol)


def scaffold_hashes(smiles: Sequence[str]) -> Hashes:
    """Distinct hashes of the scaffolds of molecules, ascending."""
    return np.unique(
        np.array([scaffold_hash(mol) for mol in read_smiles(dict.fromkeys(smiles))], dtype=np.uint64)
    )


def scaffold_hash(mol: Chem.Mol) -> int:
    """The first 64 bits of the digest of the scaffold's SMILES without stereo marks."""
    try:
        scaffold = murcko.GetScaffoldForMol(mol)
    except ValueError:
        # RDKit refuses to check the valences of the rest: the molecule is its own scaffold.
        scaffold = mol
    text = Chem.MolToSmiles(scaffold, isomericSmiles=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def composition(smiles: Sequence[str]) -> tuple[Counter[str], list[int]]:
    """Number of molecules with each element, and the heavy atoms of each molecule."""
    elements: Counter[str] = Counter()
    sizes = []
    for mol in read_smiles(smiles, sanitize=False):
        mol.UpdatePropertyCache(strict=False)
        elements.update(sorted(elements_of(mol)))
        sizes.append(mol.GetNumHeavyAtoms())
    return elements, sizes


def elements_of(mol: Chem.Mol) -> set[str]:
    """Symbols of its elements but hydrogen."""
    # A fifth of the time of asking every atom.
    return set(_SYMBOL.findall(CalcMolFormula(mol))) - {"H"}


def read_smiles(smiles: Iterable[str], *, sanitize: bool = True) -> Iterator[Chem.Mol]:
    """Molecules of SMILES; the rare one that RDKit wrote but cannot read is left out."""
    with rdBase.BlockLogs():
        for text in smiles:
            mol = Chem.MolFromSmiles(text, sanitize=sanitize)
            if mol is not None:
                yield mol


# Nearest neighbours by Tanimoto similarity among packed fingerprints.


class ReferenceFingerprints:
    """Fingerprints by bit: a molecule's shared bits with all of them are the sum of its own bits' rows."""

    def __init__(self, bits: Bits) -> None:
        self._by_bit = np.ascontiguousarray(bits.T)
        self._sizes = bits.sum(axis=1, dtype=np.int64)

    def similarities(self, bits: Bits) -> FloatArray:
        """Tanimoto similarity to each; two empty fingerprints have 0."""
        on = np.flatnonzero(bits)
        # Bytes are added several times faster than wider numbers, and hold any count of 255 bits.
        width = np.uint8 if len(on) <= 255 else np.uint16
        shared = np.add.reduce(self._by_bit[on], axis=0, dtype=width).astype(np.int64)
        return np.asarray(shared / np.maximum(self._sizes + len(on) - shared, 1))


def nearest_other(bits: Bits) -> FloatArray:
    """Similarity of each fingerprint to the nearest of the others; 0 if there is no other."""
    reference = ReferenceFingerprints(bits)
    nearest = np.zeros(len(bits))
    for i, own in enumerate(bits):
        similarities = reference.similarities(own)
        similarities[i] = 0
        nearest[i] = similarities.max()
    return nearest


# The fingerprints and scaffolds of a model's applicability domain: ``applicability.safetensors``.


def applicability_content(domain: Applicability) -> tuple[bytes, ApplicabilityInfo]:
    """Content of the file, and the section of ``model.json`` that bears its digest."""
    tensors = {_TENSOR: np.ascontiguousarray(domain.fingerprints)}
    if domain.scaffolds is not None:
        tensors[_SCAFFOLDS] = np.ascontiguousarray(domain.scaffolds, dtype=np.uint64)
    content = save(tensors)
    return content, domain.info.model_copy(update={"sha256": digest_of(content)})


def read_applicability(path: Path, info: ApplicabilityInfo, schema: FeatureSchema) -> Applicability:
    """Read the file of a model."""
    try:
        # Fingerprints, the hash of a scaffold for each molecule, and a header.
        largest = info.n_reference * info.n_bits // 8 + 8 * info.n_molecules + _LARGEST_HEADER
        content = read_regular(path, largest)
    except OSError as err:
        raise ModelFormatError(
            f"{path}, the fingerprints of the applicability domain, cannot be read "
            f"({err.strerror or err}); fetch the model again"
        ) from err
    if digest_of(content) != info.sha256:
        raise ModelFormatError(
            f"{path} is damaged or belongs to another model: its SHA-256 is not the one in model.json; "
            "fetch the model again"
        )
    try:
        tensors = load(content)
        fingerprints = tensors[_TENSOR]
    except (SafetensorError, KeyError, ValueError, TypeError) as err:
        raise ModelFormatError(f"{path} holds no fingerprints ({err}); fetch the model again") from err
    expected = (info.n_reference, info.n_bits // 8)
    if fingerprints.shape != expected or fingerprints.dtype != np.uint8:
        raise ModelFormatError(
            f"{path} does not fit model.json: expected uint8 of shape {expected} "
            f"(got {fingerprints.dtype} of shape {fingerprints.shape}); fetch the model again"
        )
    scaffolds = tensors.get(_SCAFFOLDS)
    if scaffolds is not None and (scaffolds.ndim != 1 or scaffolds.dtype != np.uint64):
        raise ModelFormatError(
            f"{path} is damaged: scaffolds must be uint64 in one dimension "
            f"(got {scaffolds.dtype} of shape {scaffolds.shape}); fetch the model again"
        )
    blocks = {name for level in ("atom", "pair") for name, _ in category_blocks(schema, level)}
    if blocks != set(info.categories):
        raise ModelFormatError(
            f"{path.with_name('model.json')} is damaged: applicability.categories must name the blocks "
            f"{', '.join(sorted(blocks))} (got {', '.join(sorted(info.categories))}); fetch the model again"
        )
    return Applicability(info, fingerprints, schema, scaffolds)
