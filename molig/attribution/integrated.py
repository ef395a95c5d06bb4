"""Integrated gradients of a screening model (Sundararajan, Taly, Yan 2016)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from molig.attribution.engine import Tolerance, integrate
from molig.attribution.explanation import Explanation
from molig.attribution.quadrature import AdaptivePath
from molig.attribution.relaxed import RelaxedMolecules, Target
from molig.errors import InputError, UnknownNameError
from molig.features import PackedGraphs
from molig.model import ScreeningModel, load_model
from molig.molecules import Molecule, Record, Rejection, batched, smiles_records

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Molecules whose path points share batches.
_GROUP = 64


@overload
def explain(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
    model: ScreeningModel | str | Path,
    smiles: str,
    task: str | None = None,
    target: str = "probability",
    tol: float = 0.01,
    *,
    floor: float = 0.01,
    max_evaluations: int = 2000,
) -> Explanation: ...


@overload
def explain(
    model: ScreeningModel | str | Path,
    smiles: Iterable[str],
    task: str | None = None,
    target: str = "probability",
    tol: float = 0.01,
    *,
    floor: float = 0.01,
    max_evaluations: int = 2000,
) -> list[Explanation | Rejection]: ...


def explain(
    model: ScreeningModel | str | Path,
    smiles: str | Iterable[str],
    task: str | None = None,
    target: str = "probability",
    tol: float = 0.01,
    *,
    floor: float = 0.01,
    max_evaluations: int = 2000,
) -> Explanation | list[Explanation | Rejection]:
    """Attribute scores to atoms and pairs by integrated gradients.

    Parameters
    ----------
    model : ScreeningModel, str or Path
        A model, its directory, or the name of a bundled one.
    smiles : str or iterable of str
        The molecules.
    task : str, optional
        Which of the model's tasks; by default each molecule's highest-scoring one.
    target : {"probability", "logit"}
        Score to attribute.
    tol : float
        Allowed completeness residual, as a share of ``|F(x) - F(x')|``.
    floor : float
        Smallest ``|F(x) - F(x')|`` that ``tol`` is applied to.
    max_evaluations : int
        Points on the path of one molecule after which it is reported as not converged.

    Returns
    -------
    Explanation, or list of Explanation and Rejection
        One for a string; for several, a list of the same length and order, with a `Rejection` in the place
        of every SMILES that cannot be scored.

    Raises
    ------
    InputError
        If a single SMILES cannot be scored.
    UsageError
        For an unknown task or target, or an impossible tolerance.

    Examples
    --------
    >>> import molig
    >>> why = molig.explain("tox21-w2n2-simple", "c1ccccc1O", task="SR-ARE")
    >>> why.converged
    True
    """
    if not isinstance(model, ScreeningModel):
        model = load_model(model)
    explainer = Explainer(
        model, task=task, target=target, tol=tol, floor=floor, max_evaluations=max_evaluations
    )
    if isinstance(smiles, str):
        record = Record(1, "", smiles)
        (only,) = explainer.explain_records([record])
        if isinstance(only, Rejection):
            raise InputError(f"{only.smiles!r} cannot be explained: {only.reason}")
        return only
    return list(explainer.explain_records(smiles_records(smiles)))


class Explainer:
    """Integrated gradients with fixed options; see `explain` for the parameters."""

    def __init__(
        self,
        model: ScreeningModel,
        *,
        task: str | None = None,
        target: str = "probability",
        tol: float = 0.01,
        floor: float = 0.01,
        max_evaluations: int = 2000,
    ) -> None:
        if target not in list(Target):
            raise UnknownNameError("target", target, [t.value for t in Target])
        self.model = model
        self.target = Target(target)
        self.task = None if task is None else model.task_index(task)
        self._tolerance = Tolerance(tol, floor, max_evaluations)

    def explain_records(self, records: Iterable[Record]) -> Iterator[Explanation | Rejection]:
        """Explain a stream of records, in order, with bounded memory."""
        for group in batched(records, _GROUP):
            molecules, rejections = self.model.parser.parse_many(group)
            by_row: dict[int, Explanation | Rejection] = {r.row: r for r in rejections}
            by_row |= {m.row: e for m, e in zip(molecules, self.explain_molecules(molecules), strict=True)}
            yield from (by_row[record.row] for record in group)

    def explain_molecules(self, molecules: Sequence[Molecule]) -> list[Explanation]:
        """Explain parsed molecules; their path points share batches."""
        if not molecules:
            return []
        graphs = self.model.featurize([m.mol for m in molecules])
        tasks = self._tasks(graphs)
        paths = self._integrate(graphs, tasks)
        return [
            self._result(molecule, graphs, i, int(tasks[i]), path)
            for i, (molecule, path) in enumerate(zip(molecules, paths, strict=True))
        ]

    def _tasks(self, graphs: PackedGraphs) -> Index:
        if self.task is not None:
            return np.full(len(graphs), self.task)
        return np.asarray(self.model.logits(graphs).argmax(axis=1))

    def _integrate(self, graphs: PackedGraphs, tasks: Index) -> list[AdaptivePath]:
        relaxed = RelaxedMolecules(self.model, graphs, tasks, self.target)

        def evaluate(owners: Index, points: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
            found = relaxed.densities(owners, points)
            both = zip(found.atoms, found.pairs, strict=True)
            return found.values, [np.concatenate([a.ravel(), p.ravel()]) for a, p in both]

        return integrate(len(graphs), evaluate, self._tolerance)

    def _result(
        self, molecule: Molecule, graphs: PackedGraphs, index: int, task: int, path: AdaptivePath
    ) -> Explanation:
        graph = graphs[index]
        flat = path.integral()
        n_pairs = len(graph.pair_atoms)
        n_pair_entries = _n_entries(graph.pair_codes, graph.pair_values)
        cut = len(flat) - n_pairs * n_pair_entries
        return Explanation(
            id=molecule.id,
            smiles=molecule.smiles,
            mol=molecule.mol,
            task=self.model.tasks[task],
            target=self.target.value,
            score=path.end,
            baseline_score=path.start,
            residual=path.residual,
            converged=path.converged,
            n_evaluations=path.n_evaluations,
            schema=self.model.schema,
            graph=graph,
            atom_attributions=flat[:cut].reshape(len(graph.atom_codes), -1),
            pair_attributions=flat[cut:].reshape(n_pairs, n_pair_entries),
        )


def _n_entries(codes: npt.NDArray[np.int8], values: npt.NDArray[np.float32]) -> int:
    return int(codes.shape[1] + values.shape[1])
