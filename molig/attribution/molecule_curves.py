"""Curves of molecules: how score and attributions grow on the way from the baseline to the molecule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import Chem

from molig.attribution.baselines import Baseline
from molig.attribution.explainer import Explainer
from molig.attribution.explanation import environment_parts, half_bonds, share_pairs
from molig.attribution.protocol import ExplainableModel
from molig.errors import UsageError
from molig.features import PackedGraphs
from molig.molecules import Molecule, Record, Rejection
from molig.molecules.records import batched

# Saturation: how early on the path a score is reached, and what its gradient at the end still tells.


@dataclass(frozen=True)
class Saturation:
    """Numbers that describe score curves; arrays of the curves' leading shape.

    Parameters
    ----------
    change : array of float
        F(1) - F(0).
    reached_at : array of float
        Smallest a at which the asked share of the change is reached; NaN where the change is too small.
    gradient_share : array of float
        Sum of gradient x input at a = 1 as a share of the change: 1 for a linear function, near 0 for a
        saturated one; NaN where the change is too small.
    """

    change: FloatArray
    reached_at: FloatArray
    gradient_share: FloatArray


def saturation(
    at: npt.ArrayLike,
    scores: npt.ArrayLike,
    rates: npt.ArrayLike,
    *,
    share: float = 0.9,
    floor: float = 1e-6,
) -> Saturation:
    """Describe how scores saturate on the way from the baseline to the input.

    A curve may fall as well as rise: what counts is (F(a) - F(0)) / (F(1) - F(0)). Its first crossing of
    ``share`` is taken, interpolated linearly between the points.

    Parameters
    ----------
    at : array-like of float, shape (n_points,)
        Points of the path, ascending from 0 to 1.
    scores : array-like of float, shape (..., n_points)
        F at these points, one curve per row.
    rates : array-like of float, shape (..., n_points)
        dF/da at these points.
    share : float
        Share of the change to look for, above 0 and at most 1.
    floor : float
        Smallest |F(1) - F(0)| of which shares are taken.

    Returns
    -------
    Saturation

    Raises
    ------
    UsageError
        If shapes do not fit, the points do not lead from 0 to 1, or a number is not finite.

    Examples
    --------
    >>> found = saturation([0, 0.5, 1], [[0, 0.8, 1.0], [0, 0, 0]], [[2, 1, 0.1], [0, 0, 0]])
    >>> found.reached_at.round(3).tolist(), found.gradient_share.tolist()
    ([0.75, nan], [0.1, nan])
    """
    points, values, slopes = (np.asarray(a, dtype=np.float64) for a in (at, scores, rates))
    _check_curves(points, values, slopes)
    if not 0 < share <= 1:
        raise UsageError(f"share must be above 0 and at most 1 (got {share})")
    if not floor > 0:
        raise UsageError(f"floor must be greater than 0 (got {floor})")
    change = values[..., -1] - values[..., 0]
    usable = np.where(np.abs(change) < floor, np.nan, change)
    progress = (values - values[..., :1]) / usable[..., None]
    progress[..., -1] = np.where(np.isnan(usable), np.nan, 1)  # exactly, whatever the rounding
    return Saturation(change, _first_crossing(points, progress, share), slopes[..., -1] / usable)


def _first_crossing(points: FloatArray, progress: FloatArray, share: float) -> FloatArray:
    """Smallest a where the broken line through ``progress``, which starts at 0, reaches ``share``."""
    after = np.maximum((progress >= share).argmax(axis=-1), 1)
    high = np.take_along_axis(progress, after[..., None], axis=-1)[..., 0]
    low = np.take_along_axis(progress, after[..., None] - 1, axis=-1)[..., 0]
    left, right = points[after - 1], points[after]
    found: FloatArray = left + (share - low) / (high - low) * (right - left)
    return found


def _check_curves(points: FloatArray, values: FloatArray, slopes: FloatArray) -> None:
    ascending = points.ndim == 1 and len(points) > 1 and bool((np.diff(points) > 0).all())
    if not ascending or points[0] != 0 or points[-1] != 1:
        raise UsageError("points of the path must ascend from 0 to 1, both included")
    for name, curves in (("scores", values), ("rates", slopes)):
        if curves.shape != (*values.shape[:-1], len(points)):
            expected = (*values.shape[:-1], len(points))
            raise UsageError(f"{name} must have a value per point: expected {expected} (got {curves.shape})")
        if not np.isfinite(curves).all():
            index = np.argwhere(~np.isfinite(curves))[0].tolist()
            raise UsageError(f"{name} must be finite (got {curves[tuple(index)]} at {tuple(index)})")


FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Curves = tuple[FloatArray, FloatArray]
"""Scores, shape (n_points,), and rates of the atoms, shape (n_points, n_atoms)."""

_N_POINTS = 51
# Points of a group of molecules, whose attributions feature by feature are in memory at once.
_POINTS_PER_GROUP = 2048


@dataclass(frozen=True, eq=False)
class MoleculeCurves:
    """Score and interior gradients of a molecule along the path x' + a (x - x').

    Parameters
    ----------
    id, smiles : str
        Identifier and SMILES as given.
    mol : Mol
        The molecule that was scored, after standardisation.
    task, target : str
        Output that was followed, and whether its probability, its logit or its value.
    at : array of float, shape (n_points,)
        The points a, ascending from 0, the baseline, to 1, the molecule.
    scores : array of float, shape (n_points,)
        F at these points.
    atom_rates : array of float, shape (n_points, n_atoms)
        Interior gradients at these points: (x - x') dF/dx of the features of each atom and half of that of
        its pairs; of a committee also its parts of substructures and half of those of its bonds, where a
        forest, which moves in steps, has none. Averaged over all a they are the `Explanation.atom_scores` of
        a network alone.
    share : float
        Share of the score's change that ``reached_at`` looks for.
    reached_at : float
        Smallest a at which this share is reached; NaN where the score hardly changes.
    gradient_share : float
        Sum of gradient x input at a = 1 as a share of the score's change: 1 where nothing saturates, near 0
        where the molecule lies on a plateau; NaN where the score hardly changes.

    Examples
    --------
    >>> import molig
    >>> from molig.molecules import smiles_records
    >>> explainer = Explainer(molig.load_model("tox21-w2n2-simple"), task="SR-MMP")
    >>> (curves,) = molecule_curves(explainer, smiles_records(["CCC(=C(CC)c1ccc(O)cc1)c1ccc(O)cc1"]))
    >>> bool(curves.reached_at < 0.8 and curves.gradient_share < 0.5)
    True
    """

    id: str
    smiles: str
    mol: Chem.Mol
    task: str
    target: str
    at: FloatArray
    scores: FloatArray
    atom_rates: FloatArray
    share: float
    reached_at: float
    gradient_share: float

    @property
    def rates(self) -> FloatArray:
        """Attribution rate dF/da at the points, shape (n_points,); its integral is F(1) - F(0).

        Of a committee with a forest the integral lacks the forest's steps.
        """
        return np.asarray(self.atom_rates.sum(axis=1))

    def atoms_at(self, a: float) -> FloatArray:
        """Interior gradients of the atoms at one of the points ``at``, shape (n_atoms,).

        Parameters
        ----------
        a : float
            The point.

        Raises
        ------
        UsageError
            If the curves have no such point.
        """
        found = np.flatnonzero(np.isclose(self.at, a, rtol=0, atol=1e-9))
        if not len(found):
            nearest = self.at[np.abs(self.at - a).argmin()]
            raise UsageError(f"there is no point a = {a}; the nearest is {nearest:g} (ask for it by `at`)")
        return np.asarray(self.atom_rates[found[0]])

    def to_frame(self) -> pd.DataFrame:
        """One row per point: ``id, smiles, task, target, a, score, rate, reached_at, gradient_share``."""
        head = {"id": self.id, "smiles": self.smiles, "task": self.task, "target": self.target}
        numbers = {"reached_at": self.reached_at, "gradient_share": self.gradient_share}
        points = pd.DataFrame({"a": self.at, "score": self.scores, "rate": self.rates})
        return points.assign(**head, **numbers)[[*head, "a", "score", "rate", *numbers]]


def molecule_curves(
    explainer: Explainer | ExplainableModel,
    molecules: Iterable[Record | Molecule],
    *,
    at: npt.ArrayLike | None = None,
    share: float = 0.9,
) -> Iterator[MoleculeCurves | Rejection]:
    """Follow the score of molecules from the baseline to themselves.

    Parameters
    ----------
    explainer : Explainer or ExplainableModel
        Says model, task, target and baseline, and by its ``floor`` from which change of the score on shares
        of it are taken; method and ``tol`` do not matter. Curves over several baselines are averaged. A
        model alone stands for an `Explainer` with its defaults.
    molecules : iterable of Record or Molecule
        Rows as they were read, or molecules that the model's parser has accepted.
    at : array-like of float, optional
        Points a of the path, from 0 to 1; both ends are added. Default 0, 0.02, ... 1.
    share : float
        Share of the score's change to look for, above 0 and at most 1. It is found by linear interpolation,
        so it is as exact as the points are close.

    Returns
    -------
    iterator of MoleculeCurves or Rejection
        One per molecule, in order; memory stays bounded.

    Raises
    ------
    UsageError
        If a point is outside the path, the share is impossible, or the model cannot be explained.

    Examples
    --------
    >>> import molig
    >>> from molig.molecules import smiles_records
    >>> model = molig.load_model("tox21-w2n2-simple")
    >>> found = molecule_curves(Explainer(model, task="SR-ARE"), smiles_records(["CCO", "C1CC"]), at=[0.5])
    >>> [type(one).__name__ for one in found]
    ['MoleculeCurves', 'Rejection']
    """
    known = explainer if isinstance(explainer, Explainer) else Explainer(explainer)
    if not 0 < share <= 1:
        raise UsageError(f"share must be above 0 and at most 1 (got {share})")
    follower = _Follower(known, _points(at), share)
    return (found for group in batched(molecules, follower.group) for found in follower.follow(group))


def _points(at: npt.ArrayLike | None) -> FloatArray:
    points = np.linspace(0, 1, _N_POINTS) if at is None else np.array(at, dtype=np.float64).ravel()
    outside = points[~((points >= 0) & (points <= 1))]  # NaN is outside, too
    if len(outside):
        raise UsageError(f"points of the path must be from 0 to 1 (got {outside[0]})")
    return np.union1d(points, [0.0, 1.0])


class _Follower:
    """Curves of groups of molecules, with fixed options."""

    def __init__(self, explainer: Explainer, points: FloatArray, share: float) -> None:
        self._explainer, self._at, self._share = explainer, points, share
        self.group = max(1, _POINTS_PER_GROUP // len(points))

    def follow(self, group: list[Record | Molecule]) -> list[MoleculeCurves | Rejection]:
        """One result per row, in order."""
        found: list[MoleculeCurves | Rejection | None] = [None] * len(group)
        places, molecules = [], []
        for place, row in enumerate(group):
            parsed = self._explainer.model.parser.parse(row) if isinstance(row, Record) else row
            if isinstance(parsed, Rejection):
                found[place] = parsed
            else:
                places.append(place)
                molecules.append(parsed)
        for place, curves in zip(places, self._curves(molecules), strict=True):
            found[place] = curves
        return [one for one in found if one is not None]

    def _curves(self, molecules: list[Molecule]) -> list[MoleculeCurves | Rejection]:
        if not molecules:
            return []
        explainer = self._explainer
        graphs = explainer.model.featurize([molecule.mol for molecule in molecules])
        if explainer.task is None:
            tasks = explainer.model.relax(graphs).outputs(np.arange(len(graphs))).argmax(axis=1)
        else:
            tasks = np.full(len(graphs), explainer.task)
        mols = [molecule.mol for molecule in molecules]
        found: dict[int, MoleculeCurves | Rejection] = {}
        for task in np.unique(tasks).tolist():
            places = np.flatnonzero(tasks == task)
            some, chosen = [mols[i] for i in places], graphs.select(places)
            by_baseline = [
                self._along_path(some, chosen, tasks[places], baseline)
                for baseline in explainer.baselines.of(explainer.model.tasks[task])
            ]
            for place, *curves in zip(places.tolist(), *by_baseline, strict=True):
                found[place] = self._result(molecules[place], task, curves)
        return [found[place] for place in range(len(molecules))]

    def _along_path(
        self, mols: list[Chem.Mol], graphs: PackedGraphs, tasks: Index, baseline: Baseline
    ) -> list[Curves]:
        relaxed = self._explainer.model.relax(graphs, (baseline.atom_row, baseline.pair_row))
        n_points, target = len(self._at), self._explainer.target
        which = np.repeat(np.arange(len(graphs)), n_points)
        found = relaxed.densities(which, np.tile(self._at, len(graphs)), tasks[which])
        scores = target.score(found.values)
        slopes = target.slope(found.values, found.values)
        curves = []
        for i, (mol, graph) in enumerate(zip(mols, graphs, strict=True)):
            part = slice(i * n_points, (i + 1) * n_points)
            rates = np.array(
                [
                    share_pairs(atoms.sum(axis=1), pairs.sum(axis=1), graph.pair_atoms)
                    for atoms, pairs in zip(found.atoms[part], found.pairs[part], strict=True)
                ]
            )
            if found.environments and graph.environments is not None:
                of_atoms, of_bonds = environment_parts(mol, graph.environments)
                rates += np.array(found.environments[part]) @ (of_atoms + of_bonds @ half_bonds(mol))
            curves.append((scores[part], slopes[part, None] * rates))
        return curves

    def _result(self, molecule: Molecule, task: int, curves: list[Curves]) -> MoleculeCurves | Rejection:
        explainer = self._explainer
        scores, atom_rates = (np.mean(parts, axis=0) for parts in zip(*curves, strict=True))
        rates = atom_rates.sum(axis=1)
        name = explainer.model.tasks[task]
        bad = self._at[~np.isfinite(scores + rates)]
        if len(bad):
            reason = f"the {explainer.target} of {name} or its gradient is not finite at a = {bad[0]:g}"
            return Rejection(molecule.row, molecule.id, molecule.smiles, reason)
        found = saturation(self._at, scores, rates, share=self._share, floor=explainer.tolerance.floor)
        return MoleculeCurves(
            id=molecule.id,
            smiles=molecule.smiles,
            mol=molecule.mol,
            task=name,
            target=explainer.target.value,
            at=self._at,
            scores=scores,
            atom_rates=atom_rates,
            share=self._share,
            reached_at=float(found.reached_at),
            gradient_share=float(found.gradient_share),
        )
