"""Morgan fingerprints as models of other packages read them, with the places of every bit in a molecule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from molig.deferred import deferred
from molig.errors import UsageError
from molig.features import EnvironmentBlock, FeatureSchema, PackedEnvironments
from molig.features.distances import Distances
from molig.features.environments import occurring, packed, with_rings

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

sparse = deferred("scipy.sparse")

Index = npt.NDArray[np.int64]

SKOPS, ONNX = ".skops", ".onnx"
BOOSTERS = (".json", ".ubj", ".txt")
PICKLES = (".pkl", ".pickle", ".joblib")
ESTIMATOR_SUFFIXES = (SKOPS, ONNX, *BOOSTERS, *PICKLES)
"""What files of models on fingerprints end in."""

_LARGEST_RADIUS = 4
_MOST_COLUMNS = 1 << 24
_KINDS = {"counts": True, "binary": False}
_FLAGS = ("chirality", "features")


@dataclass(frozen=True)
class MorganFingerprint:
    """The Morgan fingerprint that a model was trained on (Rogers & Hahn 2010, doi:10.1021/ci100050t).

    The columns are those of RDKit's `GetMorganGenerator`, so a fingerprint that was made with other options
    gives other columns the same numbers. A model does not say which it was; `FingerprintModel` refuses those
    that cannot have been.

    Parameters
    ----------
    counts : bool
        Whether a column says how often an environment occurs, or only whether (0 or 1).
    radius : int
        Bonds from the centre of an environment to its rim, 0 to 4; 2 is ECFP4.
    n_bits : int
        Columns, onto which the numbers of the environments are folded.
    chirality : bool
        Whether stereocentres are told apart; ``includeChirality`` of RDKit.
    features : bool
        Whether atoms are told apart by their role (donor, acceptor, aromatic, ...) alone, as in FCFP.
    ids : tuple of int, optional
        Not folded: RDKit's number of the environment of each column, in their order.

    Raises
    ------
    UsageError
        For a radius or number of columns that is not possible, or an environment that is listed twice.

    Examples
    --------
    >>> from rdkit import Chem
    >>> fingerprint = MorganFingerprint(counts=True, n_bits=1024)
    >>> fingerprint.of([Chem.MolFromSmiles("CCO")]).sum()
    np.float64(6.0)
    >>> MorganFingerprint.named("morgan:radius=3,bits=4096,binary").n_columns
    4096
    """

    counts: bool
    radius: int = 2
    n_bits: int = 2048
    chirality: bool = False
    features: bool = False
    ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse fingerprints that cannot be computed."""
        if not 0 <= self.radius <= _LARGEST_RADIUS:
            raise UsageError(
                f"the radius of a fingerprint must be from 0 to {_LARGEST_RADIUS} (got {self.radius})"
            )
        if not 1 <= self.n_columns <= _MOST_COLUMNS:
            raise UsageError(f"a fingerprint has 1 to {_MOST_COLUMNS:,} columns (got {self.n_columns:,})")
        if self.ids is not None:
            if len(set(self.ids)) < len(self.ids):
                raise UsageError("an environment is listed twice in the ids of a fingerprint")
            if not all(0 <= number < 1 << 32 for number in self.ids):
                raise UsageError("RDKit's numbers of environments are from 0 to 4,294,967,295")

    @classmethod
    def named(cls, text: str) -> Self:
        """The fingerprint that a text such as ``"morgan:radius=2,bits=2048,counts"`` describes.

        Parameters
        ----------
        text : str
            ``morgan:`` and, joined by commas, ``counts`` or ``binary``, which must be said, and what differs
            from ``radius=2`` and ``bits=2048``: also ``chirality``, and ``features`` for FCFP.

        Raises
        ------
        UsageError
            If the text says something else.
        """
        kind, _, rest = text.strip().lower().partition(":")
        words = [word.strip() for word in rest.split(",") if word.strip()]
        given: dict[str, Any] = {}
        for word in words:
            name, is_number, value = word.partition("=")
            if word in _KINDS and "counts" not in given:
                given["counts"] = _KINDS[word]
            elif word in _FLAGS:
                given[word] = True
            elif is_number and name in {"radius", "bits"} and value.isascii() and value.isdigit():
                given[{"bits": "n_bits"}.get(name, name)] = int(value[:9])
            else:
                kind = ""
        if kind != "morgan" or "counts" not in given:
            raise UsageError(
                f"{text!r} is no fingerprint: write morgan:radius=2,bits=2048,counts, or binary in the place "
                "of counts; besides, chirality and features (FCFP) can be added"
            )
        return cls(**given)

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self.n_bits if self.ids is None else len(self.ids)

    def __str__(self) -> str:
        """The text that `named` reads; of one that is not folded, what it is."""
        size = f"bits={self.n_bits}" if self.ids is None else f"{self.n_columns} environments"
        flags = [flag for flag in _FLAGS if getattr(self, flag)]
        kind = "counts" if self.counts else "binary"
        return f"morgan:{','.join([f'radius={self.radius}', size, kind, *flags])}"

    def of(self, mols: Sequence[Chem.Mol], *, n_jobs: int = 1) -> csr_matrix:
        """Fingerprints of molecules.

        Parameters
        ----------
        mols : sequence of Mol
            Molecules.
        n_jobs : int
            Threads of RDKit.

        Returns
        -------
        csr_matrix of float64, shape (n_mols, n_columns)
        """
        ready, generator = [with_rings(mol) for mol in mols], self._generator
        if self.ids is None:
            found = generator.GetCountFingerprints(ready, numThreads=n_jobs) if ready else ()
        else:
            found = [generator.GetSparseCountFingerprint(mol) for mol in ready]
        held = [each.GetNonzeroElements() for each in found]
        owner = np.repeat(np.arange(len(held)), [len(each) for each in held])
        keys = np.fromiter((key for each in held for key in each), dtype=np.int64)
        amounts = np.fromiter((n for each in held for n in each.values()), dtype=np.float64)
        return self._matrix(owner, self.columns(keys), amounts, len(held))

    def of_environments(self, held: PackedEnvironments, kept: npt.ArrayLike | None = None) -> csr_matrix:
        """Fingerprints of molecules whose occurrences are listed, of the marked rows only if marked."""
        rows = np.arange(held.n_rows) if kept is None else np.flatnonzero(np.asarray(kept))
        owner, columns = held.mol_of_row[rows], self.columns(held.ids[rows])
        return self._matrix(owner, columns, np.ones(len(rows)), len(held))

    def _matrix(
        self, owner: Index, columns: Index, amounts: npt.NDArray[np.float64], n_mols: int
    ) -> csr_matrix:
        known = columns >= 0
        entries = (amounts[known], (owner[known], columns[known]))
        matrix = sparse.csr_matrix(entries, shape=(n_mols, self.n_columns))
        matrix.sum_duplicates()
        if not self.counts:
            matrix.data[:] = 1
        return matrix

    def columns(self, ids: Index) -> Index:
        """Column of each environment; -1 where it has none."""
        # The upper half names a block of features, of which there is one.
        numbers = ids & 0xFFFFFFFF
        if self.ids is None:
            return np.asarray(numbers % self.n_bits)
        place = np.minimum(np.searchsorted(self._sorted_ids, numbers), len(self.ids) - 1)
        return np.where(self._sorted_ids[place] == numbers, self._order[place], -1)

    def occurrences(self, mols: Sequence[Chem.Mol]) -> PackedEnvironments:
        """Every place of every environment, with its atoms.

        Parameters
        ----------
        mols : sequence of Mol
            At least one molecule.

        Returns
        -------
        PackedEnvironments
        """
        ready = [with_rings(mol) for mol in mols]
        apart: list[dict[str, list[int]]] = [{}] * len(ready)
        return packed([occurring(ready, self._generator, apart, Distances.of(ready))], len(ready))

    @cached_property
    def schema(self) -> FeatureSchema:
        """Circular environments and nothing else."""
        return FeatureSchema(str(self), (), (), None, (EnvironmentBlock("environment", self.radius),))

    @property
    def _generator(self) -> Any:
        options: dict[str, Any] = {"radius": self.radius, "includeChirality": self.chirality}
        if self.features:
            options["atomInvariantsGenerator"] = rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
        return rdFingerprintGenerator.GetMorganGenerator(fpSize=self.n_bits, **options)

    @cached_property
    def _order(self) -> Index:
        return np.argsort(np.array(self.ids, dtype=np.int64))

    @cached_property
    def _sorted_ids(self) -> Index:
        return np.array(self.ids, dtype=np.int64)[self._order]


@dataclass(frozen=True)
class FingerprintOptions:
    """What the file of a model on fingerprints does not say.

    Parameters
    ----------
    fingerprint : str or MorganFingerprint, optional
        The fingerprint that it was trained on, or its text, see `MorganFingerprint.named`.
    trust_pickle : bool
        Load pickles, which can run any program.
    """

    fingerprint: str | MorganFingerprint | None = None
    trust_pickle: bool = False
