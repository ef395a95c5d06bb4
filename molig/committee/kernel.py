"""Kernel machine on counts of environments: similarity to training molecules, with closed-form shares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.committee.vocabulary import Counts, MemberShares, Vocabulary
from molig.deferred import deferred
from molig.errors import ModelFormatError
from molig.features import PackedGraphs

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

sparse = deferred("scipy.sparse")
special = deferred("scipy.special")

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Counts of a centre above it are taken for it, which only thousands of heavy atoms bring about.
_MOST = 2**15 - 1
# Stretches of a path on each of which a probability is taken to rise in proportion to its logit.
_STRETCHES = 32
# Below this rise of the output the difference quotient of the probability is lost in rounding.
_CLOSE = 1e-6


class KernelMachine:
    """Kernel machine z = sum_j a_j exp(-|x - t_j|^2 / w) + c on x = log(1 + count) of known environments.

    Parameters
    ----------
    vocabulary : Vocabulary
        The environments, a column each.
    centres : csr_matrix of int, shape (n_centres, n_columns)
        Counts of the molecules t_j that others are compared with.
    coefficients : array of float, shape (n_centres, n_tasks)
        The a_j of each task.
    offset : array of float, shape (n_tasks,)
        The c of each task.
    width : float
        The w, in units of squared distance.
    """

    kind = "kernel"
    FLOATS = ("coefficients", "offset", "width")

    def __init__(
        self,
        vocabulary: Vocabulary,
        centres: csr_matrix,
        coefficients: npt.ArrayLike,
        offset: npt.ArrayLike,
        width: float,
    ) -> None:
        self.vocabulary, self.counts = vocabulary, centres.minimum(_MOST).astype(np.int16)
        # As they are stored, so that a model scores alike before and after.
        self.coefficients = np.asarray(coefficients, dtype=np.float32).astype(np.float64)
        self.offset = np.asarray(offset, dtype=np.float32).astype(np.float64)
        self.width = float(np.float32(width))

    @property
    def size(self) -> int:
        """Molecules that others are compared with, mostly one without any environment among them."""
        return len(self.coefficients)

    def outputs(self, graphs: PackedGraphs, factors: npt.ArrayLike | None = None) -> FloatArray:
        """Outputs for molecules, shape (n_mols, n_tasks); an occurrence counts by its factor."""
        counts = self.vocabulary.count(graphs, factors)
        return self._along(self._placed(counts), np.ones(counts.n_mols))

    def along_path(self, graphs: PackedGraphs, scales: FloatArray) -> FloatArray:
        """Outputs where each molecule's x is multiplied by its scale, shape (n_mols, n_tasks)."""
        return self._along(self._placed(self.vocabulary.count(graphs)), scales)

    def rates(self, graphs: PackedGraphs, scales: FloatArray, tasks: Index) -> list[FloatArray]:
        """Slope dz/dx times x of each molecule's rows, at a point of its path and for its task."""
        counts = self.vocabulary.count(graphs)
        placed = self._placed(counts)
        weights = self._similarities(placed, scales) * self.coefficients[:, tasks].T
        towards = np.asarray(weights @ self._centres)
        back = scales * weights.sum(axis=1)
        return [
            counts.to_rows(mol, self._slopes(placed.inputs, counts, mol, towards[mol], back[mol]))
            for mol in range(counts.n_mols)
        ]

    def shares(
        self, graphs: PackedGraphs, molecules: Index, tasks: Index, *, probability: bool
    ) -> MemberShares:
        """Integrated gradients of the probability, or of the output, from x = 0 to the molecule.

        Along the path the similarity to a centre is a Gauss curve of the scale, so the output's integrals are
        error functions. A probability's are put together from short stretches, on each of which it rises in
        proportion to the output; they add up to its change exactly.
        """
        counts = self.vocabulary.count(graphs)
        placed = self._placed(counts)
        starts, ends = np.empty((2, len(molecules)))
        shares: list[FloatArray] = [np.zeros(0)] * len(molecules)
        order = np.argsort(molecules, kind="stable")
        for paths in np.split(order, np.flatnonzero(np.diff(molecules[order])) + 1):
            if not len(paths):
                continue
            mol = int(molecules[paths[0]])
            scores, slopes = self._integrals(placed, mol, tasks[paths], probability=probability)
            starts[paths], ends[paths] = scores[0], scores[-1]
            for path, (towards, back) in zip(paths.tolist(), zip(*slopes, strict=True), strict=True):
                per_entry = self._slopes(placed.inputs, counts, mol, towards, back)
                shares[path] = counts.to_rows(mol, per_entry)
        return MemberShares(starts, ends, shares)

    def arrays(self) -> dict[str, Tensor]:
        """Tables by name, for a file."""
        tables = {
            "starts": self.counts.indptr.astype(np.int64),
            "columns": _narrow(self.counts.indices),
            "counts": _narrow(self.counts.data),
            "coefficients": self.coefficients.astype(np.float32),
            "offset": self.offset.astype(np.float32),
            "width": np.array([self.width], dtype=np.float32),
        }
        return {name: torch.from_numpy(table) for name, table in tables.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Tensor], vocabulary: Vocabulary, n_tasks: int) -> Self:
        """The kernel machine again; ModelFormatError if the tables do not make one."""
        names = ("starts", "columns", "counts", *cls.FLOATS)
        held = {name: arrays[name] for name in names}
        n = held["coefficients"].shape[0] if held["coefficients"].dim() else 0
        sound = (
            n > 0
            and held["coefficients"].shape == (n, n_tasks)
            and held["offset"].shape == (n_tasks,)
            and held["width"].shape == (1,)
            and held["starts"].shape == (n + 1,)
            and held["columns"].shape == held["counts"].shape == (int(held["starts"][-1]),)
            and all(t.is_floating_point() == (name in names[3:]) for name, t in held.items())
        )
        if not sound:
            raise ModelFormatError("the tables of the kernel machine do not fit together")
        starts, columns, counts = (held[name].numpy().astype(np.int64) for name in names[:3])
        # The ends are known to be those of the columns, so ascending starts ask for no more rows than these.
        sound = (
            starts[0] == 0
            and bool((starts[1:] >= starts[:-1]).all())
            and bool(((columns >= 0) & (columns < len(vocabulary))).all())
            and bool(((counts >= 1) & (counts <= _MOST)).all())
            and float(held["width"][0]) > 0
        )
        if sound:
            keys = np.repeat(np.arange(n), np.diff(starts)) * len(vocabulary) + columns
            sound = bool((np.diff(keys) > 0).all())
        if not sound:
            raise ModelFormatError("the kernel machine of the model is damaged: its centres are no molecules")
        centres = sparse.csr_matrix((counts, columns, starts), shape=(n, len(vocabulary)))
        return cls(
            vocabulary,
            centres,
            held["coefficients"].double().numpy(),
            held["offset"].double().numpy(),
            float(held["width"][0]),
        )

    @cached_property
    def _centres(self) -> csr_matrix:
        return as_inputs(self.counts)

    @cached_property
    def _norms(self) -> FloatArray:
        return squared_norms(self._centres)

    def _placed(self, counts: Counts) -> _Placed:
        shape = (counts.n_mols, len(self.vocabulary))
        inputs = sparse.csr_matrix((np.log1p(counts.values), counts.columns, counts.starts), shape=shape)
        return _Placed(inputs, squared_norms(inputs), np.asarray((inputs @ self._centres.T).todense()))

    def _similarities(self, placed: _Placed, scales: FloatArray) -> FloatArray:
        """Similarity of each molecule, at a point of its path, to every centre."""
        distance = (scales**2 * placed.norms)[:, None] - 2 * scales[:, None] * placed.products + self._norms
        return np.asarray(np.exp(-distance / self.width))

    def _along(self, placed: _Placed, scales: FloatArray) -> FloatArray:
        return self._similarities(placed, scales) @ self.coefficients + self.offset

    def _slopes(
        self, inputs: csr_matrix, counts: Counts, molecule: int, towards: FloatArray, back: float
    ) -> FloatArray:
        """Slopes times x of a molecule's entries: towards the centres' values, back by its own."""
        entries = counts.entries(molecule)
        x = inputs.data[entries]
        return np.asarray(2 / self.width * x * (towards[counts.columns[entries]] - x * back))

    def _integrals(
        self, placed: _Placed, molecule: int, tasks: Index, *, probability: bool
    ) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
        """Scores at points of the path, and per task the integrals of a_j k_j t_j and of a_j k_j times scale.

        Of a probability, both times its rise over the output's rise on each stretch.
        """
        norm, product, out = placed.norms[molecule], placed.products[molecule], self.coefficients[:, tasks]
        scales = np.linspace(0, 1, _STRETCHES + 1 if probability else 2)
        table = _stretches(norm, product, self._norms, self.width, scales)
        outputs = self.offset[tasks] + table.similarity @ out
        scores, rises = _scores_and_rises(outputs, probability=probability)
        plain, scaled = ((rises.T @ integrals) * out.T for integrals in (table.plain, table.scaled))
        return scores, (np.asarray(plain @ self._centres), scaled.sum(axis=1))


class _Placed(NamedTuple):
    """Molecules among the centres."""

    inputs: csr_matrix
    norms: FloatArray
    products: FloatArray


class _Stretches(NamedTuple):
    """Similarity at points of a path, and its integrals between them, also of it times the scale."""

    similarity: FloatArray
    plain: FloatArray
    scaled: FloatArray


def _stretches(
    norm: float, product: FloatArray, norms: FloatArray, width: float, scales: FloatArray
) -> _Stretches:
    distance = norm * scales[:, None] ** 2 - 2 * scales[:, None] * product + norms
    similarity = np.exp(-distance / width)
    if norm <= 0:  # nothing known: the path does not move
        none = np.zeros((len(scales) - 1, len(product)))
        return _Stretches(similarity, none, none)
    nearest, root = product / norm, np.sqrt(norm / width)
    highest = np.exp(-(norms - product * nearest) / width)
    curve = special.erf(root * (scales[:, None] - nearest))
    plain = highest * (0.5 * np.sqrt(np.pi) / root) * np.diff(curve, axis=0)
    scaled = (product * plain - 0.5 * width * np.diff(similarity, axis=0)) / norm
    return _Stretches(similarity, plain, scaled)


def _scores_and_rises(outputs: FloatArray, *, probability: bool) -> tuple[FloatArray, FloatArray]:
    """Scores at points of a path, and their rise over the outputs' rise between them."""
    if not probability:
        return outputs, np.ones((len(outputs) - 1, outputs.shape[1]))
    scores = special.expit(outputs)
    step, middle = np.diff(outputs, axis=0), special.expit((outputs[1:] + outputs[:-1]) / 2)
    far = np.abs(step) > _CLOSE
    rises = np.where(far, np.diff(scores, axis=0) / np.where(far, step, 1.0), middle * (1 - middle))
    return scores, rises


def _narrow(whole: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Numbers from 0 on in the narrowest type that holds them."""
    largest = int(whole.max(initial=0))
    for kind in (np.uint8, np.int16):
        if largest <= np.iinfo(kind).max:
            return whole.astype(kind)
    return whole.astype(np.int32)


def as_inputs(counts: csr_matrix) -> csr_matrix:
    """The x = log(1 + count) of counts."""
    inputs = counts.astype(np.float64)
    inputs.data = np.log1p(inputs.data)
    return inputs


def squared_norms(inputs: csr_matrix) -> FloatArray:
    """Squared length of each row."""
    return np.asarray(inputs.multiply(inputs).sum(axis=1), dtype=np.float64).ravel()
