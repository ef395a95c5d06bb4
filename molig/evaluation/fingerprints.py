"""What simple methods see of whole tables: Morgan fingerprints, and descriptors for those that ask.

Fingerprints are sparse float32 matrices of shape (n_mols, columns), descriptors dense ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, rdFingerprintGenerator, rdMolDescriptors
from scipy.sparse import csr_matrix

from molig.errors import InputError, UsageError

FloatArray = npt.NDArray[np.float64]
SingleArray = npt.NDArray[np.float32]

# Columns that the identifiers of atom environments are folded to.
COLUMNS = 2048
# Bonds from the centre of an environment to its rim: ECFP4.
RADIUS = 2

_CHUNK = 2048
# Similarities at a time: around 100 MB, whatever the number of references.
_BLOCK = 12_500_000


@dataclass(frozen=True, eq=False)
class Described:
    """Molecules of a table, as simple methods see them."""

    counts: csr_matrix  # of circular environments, shape (n_mols, columns)
    descriptors: SingleArray | OnDemand | None = None  # (n_mols, n_descriptors); None if nobody asks

    def __len__(self) -> int:
        """Return the number of molecules."""
        return int(self.counts.shape[0])

    def __getitem__(self, rows: slice | npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Described:
        """Some of the molecules."""
        return Described(self.counts[rows], None if self.descriptors is None else self.descriptors[rows])


def morgan_counts(
    molecules: Iterable[str | Chem.Mol], *, radius: int = RADIUS, columns: int = COLUMNS, n_jobs: int = 1
) -> csr_matrix:
    """Count the circular environments of every molecule's atoms (Rogers & Hahn 2010, doi:10.1021/ci100050t).

    Molecules are read in chunks, so that a generator costs no memory.
    """
    if radius < 0 or columns < 1 or n_jobs < 1:
        raise UsageError(
            f"radius {radius} must be 0 or more, columns {columns} and threads {n_jobs} 1 or more"
        )
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=columns)
    entries: list[dict[int, int]] = []
    pending = enumerate(molecules)
    while chunk := [_mol(molecule, index) for index, molecule in islice(pending, _CHUNK)]:
        counted = generator.GetCountFingerprints(chunk, numThreads=n_jobs)
        entries += [fingerprint.GetNonzeroElements() for fingerprint in counted]
    return _csr(entries, columns)


def descriptors(molecules: Iterable[str | Chem.Mol]) -> SingleArray:
    """RDKit's descriptors of every molecule, shape (n_mols, n_descriptors); NaN where one is not defined.

    All that describe a whole molecule: not the counts of single groups, which fingerprints have, and not
    QED, which is made of others. Molecules are read one by one, so that a generator costs no memory.
    """
    rows = [_descriptors(_mol(molecule, index)) for index, molecule in enumerate(molecules)]
    return np.stack(rows) if rows else np.empty((0, len(_DESCRIPTORS) + _N_BCUT), dtype=np.float32)


class OnDemand:
    """Descriptors of molecules that are computed when an array is made of them, each once in a process.

    They take 8 ms a molecule, and of a whole screen a baseline may draw few inactives.
    """

    def __init__(self, smiles: Sequence[str], read: Callable[[str], Chem.Mol]) -> None:
        self._smiles, self._read = smiles, read
        self._known: dict[int, SingleArray] = {}
        self._rows = np.arange(len(smiles))

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self._rows)

    def __getitem__(self, rows: slice | npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> OnDemand:
        """Some of the molecules, not computed yet."""
        some = copy(self)
        some._rows = self._rows[rows]
        return some

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Compute them, shape (n_mols, n_descriptors)."""
        table = np.empty((len(self._rows), len(_DESCRIPTORS) + _N_BCUT), dtype=np.float32)
        for place, row in enumerate(self._rows.tolist()):
            if row not in self._known:
                self._known[row] = _descriptors(self._read(self._smiles[row]))
            table[place] = self._known[row]
        return table if dtype is None else table.astype(dtype, copy=False)


_DESCRIPTORS = tuple(
    function
    for name, function in Descriptors.descList
    if not name.startswith(("fr_", "BCUT2D")) and name != "qed"
)
# Eigenvalues that RDKit's list computes eight times over.
_N_BCUT = 8
_LARGEST = float(np.finfo(np.float32).max)
# What RDKit raises where a descriptor is not defined, such as charges of an element without parameters.
_UNDEFINED = (ValueError, ArithmeticError, RuntimeError, IndexError)


def _descriptors(mol: Chem.Mol) -> SingleArray:
    with rdBase.BlockLogs():
        values = [_or_nan(function, mol) for function in _DESCRIPTORS]
        try:
            values += rdMolDescriptors.BCUT2D(mol)
        except _UNDEFINED:
            values += [math.nan] * _N_BCUT
    row = np.array(values, dtype=np.float64)
    row[~np.isfinite(row)] = math.nan
    return np.clip(row, -_LARGEST, _LARGEST).astype(np.float32)


def _or_nan(function: Callable[[Chem.Mol], float], mol: Chem.Mol) -> float:
    try:
        return float(function(mol))
    except _UNDEFINED:
        return math.nan


def as_bits(counts: csr_matrix) -> csr_matrix:
    """Which environments occur, as 0 and 1, and not how often."""
    return _with_values(counts, (counts.data > 0).astype(np.float32))


def as_logs(counts: csr_matrix) -> csr_matrix:
    """Logarithms of one plus the counts: the tenth methylene says less than the second."""
    return _with_values(counts, np.log1p(counts.data, dtype=np.float32))


def nearest_similarities(bits: csr_matrix, references: csr_matrix) -> FloatArray:
    """Tanimoto similarity of bits to the most similar reference, shape (n_mols,); 0 of no bits."""
    if not references.shape[0]:
        raise UsageError("no reference to compare with: name at least one molecule")
    return np.concatenate([np.empty(0), *(block.max(axis=1) for block in _similarities(bits, references))])


def mean_of_nearest(bits: csr_matrix, references: csr_matrix, values: FloatArray, n: int) -> FloatArray:
    """Mean value of the `n` references most similar to each molecule, and of those as similar as the last."""
    n = min(n, references.shape[0])
    means = [np.empty(0)]
    for block in _similarities(bits, references):
        least = np.partition(block, -n, axis=1)[:, -n]
        near = block >= least[:, None]
        means.append(near @ values / near.sum(axis=1))
    return np.concatenate(means)


def _similarities(bits: csr_matrix, references: csr_matrix) -> Iterator[FloatArray]:
    """Tanimoto similarities, in blocks of shape (some molecules, n_references)."""
    # Double precision: the same fractions as RDKit's, to the last bit.
    columns, sizes = references.T.tocsr().astype(np.float64), _row_sums(references)
    step = max(1, _BLOCK // references.shape[0])
    for start in range(0, bits.shape[0], step):
        block = bits[start : start + step]
        common = (block @ columns).toarray()
        either = _row_sums(block)[:, None] + sizes - common
        yield np.divide(common, either, out=np.zeros_like(common), where=either > 0)


def _mol(molecule: str | Chem.Mol, index: int) -> Chem.Mol:
    if not isinstance(molecule, str):
        return molecule
    mol = Chem.MolFromSmiles(molecule)
    if mol is None:
        raise InputError(
            f"molecule {index} (counted from 0): RDKit cannot read {molecule!r}; pass the SMILES of "
            "molecules that were parsed and standardised"
        )
    return mol


def _csr(entries: Sequence[dict[int, int]], columns: int) -> csr_matrix:
    ends = np.cumsum([0, *map(len, entries)])
    indices = np.fromiter(chain.from_iterable(entries), dtype=np.int32, count=ends[-1])
    values = chain.from_iterable(entry.values() for entry in entries)
    data = np.fromiter(values, dtype=np.float32, count=ends[-1])
    matrix = csr_matrix((data, indices, ends), shape=(len(entries), columns))
    matrix.sort_indices()
    return matrix


def _with_values(matrix: csr_matrix, values: npt.NDArray[np.float32]) -> csr_matrix:
    return csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def _row_sums(matrix: csr_matrix) -> FloatArray:
    return np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
