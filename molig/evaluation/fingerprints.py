"""Morgan fingerprints of whole tables, as sparse float32 matrices of shape (n_mols, columns)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from scipy.sparse import csr_matrix

from molig.errors import InputError, UsageError

FloatArray = npt.NDArray[np.float64]

# Columns that the identifiers of atom environments are folded to.
COLUMNS = 2048
# Bonds from the centre of an environment to its rim: ECFP4.
RADIUS = 2

_CHUNK = 2048
# Similarities at a time: around 100 MB, whatever the number of references.
_BLOCK = 12_500_000


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
    # Double precision: the same fractions as RDKit's, to the last bit.
    columns, sizes = references.T.tocsr().astype(np.float64), _row_sums(references)
    nearest = np.empty(bits.shape[0])
    step = max(1, _BLOCK // references.shape[0])
    for start in range(0, bits.shape[0], step):
        block = bits[start : start + step]
        common = (block @ columns).toarray()
        either = _row_sums(block)[:, None] + sizes - common
        similarity = np.divide(common, either, out=np.zeros_like(common), where=either > 0)
        nearest[start : start + step] = similarity.max(axis=1)
    return nearest


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
