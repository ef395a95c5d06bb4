"""Models on Morgan fingerprints that score SMILES and share out every score among substructures."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem
from scipy.sparse import csr_matrix, issparse
from scipy.special import logit

from molig.errors import UsageError
from molig.features import FeatureSchema, PackedGraphs
from molig.features.graphs import build_packed
from molig.foreign.boosters import read_booster_object
from molig.foreign.estimators import AdditiveModel, Scale, read_estimator
from molig.foreign.fingerprints import MorganFingerprint
from molig.foreign.linear import LinearScores
from molig.foreign.shares import Background, Example
from molig.foreign.trees import TreeEnsemble
from molig.model.info import Objective
from molig.model.relaxed import Densities, ExactShares, FeatureRows, factors_of_environments
from molig.model.scoring import PlainModel
from molig.molecules import Molecule, MoleculeParser, Rejection, StandardizationPolicy
from molig.molecules.library import library_molecules, reference_compound

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

_PARTS = ("present substructures", "absent substructures")
# Shares are exact: a score that changes by less changes by nothing.
_FLOOR = 1e-9
# Of what is taken away by an occlusion, an environment is there by half or more.
_THERE = 0.5
# Reference molecules that are drawn from a library.
_N_REFERENCES = 100


class FingerprintModel(PlainModel):
    """A random forest, boosted trees or a linear model on Morgan fingerprints, explained exactly.

    A score is shared out by Shapley values: what the molecule and a reference do not have in common is taken
    over in every order, and the changes of the score are averaged, exactly and not by sampling orders. Shares
    add up to the score less that of the reference. Of forests and single trees the probability itself is
    shared out; of boosted trees and logistic regression the logit, and the shares are scaled alike where
    they stand for a probability.

    A bit's share is divided evenly among all places in the molecule that set it, those of another environment
    that is folded onto the same bit among them. Each place spreads its part evenly over its atoms and bonds.
    Bits that the molecule lacks and references have are listed as ``Explanation.absent``, and no atom bears
    them.

    Parameters
    ----------
    estimator : object
        A fitted scikit-learn model: forest, extra trees, single tree, boosted trees, logistic, linear, ridge,
        lasso, elastic net or linear support vector regression, PLS, or a Pipeline of scalers and one of them;
        or a fitted model of XGBoost or LightGBM.
    fingerprint : MorganFingerprint
        The fingerprint that it was trained on.
    tasks : sequence of str, optional
        Names of the outputs; by default "active" or "value", or those of the classes.
    background : sequence of str or Mol, or array of shape (n_references, n_columns), optional
        Molecules to compare with, or their fingerprints; a score is then compared with their mean score,
        and the standard error that comes of their choice is stated. By default the fingerprint without any
        environment.
    name : str, optional
        What results call the model; by default the class of the estimator.
    parser : MoleculeParser, optional
        How SMILES become molecules; by default as they are written.

    Attributes
    ----------
    tasks : tuple of str
        Names of the outputs.
    background : Background
        What molecules are compared with.
    rejections_ : list of Rejection
        The reasons for the NaN rows of the last `predict_proba`.

    Raises
    ------
    UsageError
        If the estimator is of another kind or not fitted, was trained on another fingerprint, or the
        background or the tasks do not fit it.
    ModelFormatError
        If what was read predicts something else than the estimator.

    Warns
    -----
    UserWarning
        If nothing shows whether the estimator was trained on counts or on bits.

    Examples
    --------
    >>> import molig
    >>> from rdkit import Chem
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from molig.foreign import FingerprintModel, MorganFingerprint
    >>> smiles = ["CCO", "CCN", "c1ccccc1O", "Cc1ccccc1", "OCCCO", "CCCCC", "OCC(O)CO", "CCOCC"]
    >>> fingerprint = MorganFingerprint(counts=True, n_bits=512)
    >>> counts = fingerprint.of([Chem.MolFromSmiles(each) for each in smiles]).toarray()
    >>> forest = RandomForestClassifier(50, random_state=0).fit(counts, [1, 0, 1, 0, 1, 0, 1, 0])
    >>> model = FingerprintModel(forest, fingerprint, tasks=["alcohol"])
    >>> why = molig.explain(model, "CCCO")
    >>> own = forest.predict_proba(fingerprint.of([why.mol]).toarray())[0, 1]
    >>> bool(abs(why.score - own) < 1e-12)
    True
    >>> bool(abs(why.atom_scores.sum() - (why.score - why.baseline_score)) < 1e-10)
    True
    >>> why.main_substructures(1)[0].name
    'CO'
    """

    def __init__(
        self,
        estimator: Any,
        fingerprint: MorganFingerprint,
        *,
        tasks: Sequence[str] | None = None,
        background: Sequence[str] | Sequence[Chem.Mol] | npt.ArrayLike | csr_matrix | None = None,
        name: str | None = None,
        parser: MoleculeParser | None = None,
    ) -> None:
        read = estimator if isinstance(estimator, AdditiveModel) else read_booster_object(estimator)
        read = read or read_estimator(estimator)
        self.additive, self.fingerprint, self.name = read, fingerprint, name or read.kind
        self.parser = parser or MoleculeParser(StandardizationPolicy.NONE)
        _check_fingerprint(read, fingerprint)
        self.tasks = read.tasks if tasks is None else tuple(tasks)
        if len(self.tasks) != len(read.tasks) or len(set(self.tasks)) < len(self.tasks):
            raise UsageError(
                f"tasks must be {len(read.tasks)} different names, for {', '.join(read.tasks)} "
                f"(got {', '.join(self.tasks) or 'none'})"
            )
        self.background = self._background(background)
        self.rejections_: list[Rejection] = []

    def __repr__(self) -> str:
        """Name, fingerprint and background."""
        return f"FingerprintModel({self.name!r}, {self.fingerprint}, {self.background.name})"

    @property
    def objective(self) -> Objective:
        """Probabilities or values."""
        values = self.additive.scale is Scale.VALUE
        return Objective.REGRESSION if values else Objective.CLASSIFICATION

    @property
    def schema(self) -> FeatureSchema:
        """Circular environments and nothing else."""
        return self.fingerprint.schema

    @property
    def device(self) -> torch.device:
        """The processor: trees are not followed on a GPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Double precision."""
        return torch.float64

    @property
    def calibrated(self) -> bool:
        """False: a model does not say how its probabilities were fitted."""
        return False

    @property
    def member_names(self) -> tuple[str, ...]:
        """What is told of a score: the parts of what is there and of what is lacking, if it can lack any."""
        return _PARTS if self.background.counts.nnz else ()

    @property
    def floor(self) -> float:
        """Smallest change of a score to resolve; shares are exact."""
        return _FLOOR

    @property
    def background_name(self) -> str:
        """What molecules are compared with."""
        return self.background.name

    @property
    def exact_method(self) -> str:
        """What shares are called."""
        return "shapley"

    def meaning_of(self, tasks: Sequence[str]) -> str:
        """What the scores are, in one sentence that every output of scores carries."""
        if self.objective is Objective.REGRESSION:
            return "Scores are predicted values, in the unit of the labels."
        return "Scores are probabilities; whether they are calibrated is not known."

    def digest(self) -> str:
        """Hash of the model's numbers, the fingerprint and the background."""
        found = hashlib.sha256(repr((self.tasks, self.fingerprint, self.parser)).encode())
        scores, counts = self.additive.scores, self.background.counts
        arrays = [scores.base, counts.data, counts.indices, counts.indptr]
        if isinstance(scores, TreeEnsemble):
            arrays += [scores.tree_starts, scores.column, scores.least, scores.left, scores.right]
            arrays += [scores.value]
        if isinstance(scores, LinearScores):
            arrays += [scores.coefficients, scores.scaling.columns, *(v for _, v in scores.scaling.steps)]
            found.update(repr([name for name, _ in scores.scaling.steps]).encode())
        for array in arrays:
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def parts(self) -> tuple[Self, ...]:
        """The model itself: all its tasks are of one kind."""
        return (self,)

    def for_task(self, task: str) -> Self:
        """The model itself; raises `UnknownNameError` for a task that it lacks."""
        self.task_index(task)
        return self

    def to(self, device: str | torch.device) -> Self:
        """The model itself, which computes on the processor."""
        return self

    def double(self) -> Self:
        """The model itself, which computes in double precision."""
        return self

    def featurize(self, mols: Sequence[Chem.Mol]) -> PackedGraphs:
        """Environments of molecules with their places, and their bonds, which have no features.

        Parameters
        ----------
        mols : sequence of Mol
            At least one, as the parser makes them.
        """
        atoms = np.array([mol.GetNumAtoms() for mol in mols], dtype=np.int64)
        bonds = [sorted(sorted((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in m.GetBonds()) for m in mols]
        counts = np.array([len(each) for each in bonds], dtype=np.int64)
        ends = np.array([pair for each in bonds for pair in each], dtype=np.int64).reshape(-1, 2)
        n_atoms, n_bonds = int(atoms.sum()), len(ends)
        return build_packed(
            atom_codes=np.zeros((n_atoms, 0), dtype=np.int8),
            atom_values=np.zeros((n_atoms, 0), dtype=np.float32),
            pair_codes=np.zeros((n_bonds, 0), dtype=np.int8),
            pair_values=np.zeros((n_bonds, 0), dtype=np.float32),
            pair_atoms=ends,
            atom_counts=atoms,
            pair_counts=counts,
            environments=self.fingerprint.occurrences(mols),
        )

    def against(self, baseline: object) -> Self:
        """The same model, whose molecules are compared with something else.

        Parameters
        ----------
        baseline : str, optional
            ``"zero"``, the empty fingerprint; ``"library"``, 100 molecules drawn from the sample of the NCI's
            collection that comes with RDKit; ``"library:FILE"``, from a library of one's own;
            ``"compound:SMILES"``, a reference compound. None keeps what there is.

        Raises
        ------
        UsageError
            For a compound that cannot be read, or anything else, which has no fingerprint.
        InputError
            If a library cannot be read.

        Examples
        --------
        >>> from sklearn.tree import DecisionTreeRegressor
        >>> fingerprint = MorganFingerprint(counts=True, n_bits=4)
        >>> tree = DecisionTreeRegressor().fit([[0, 0, 0, 0], [2, 2, 2, 2], [3, 3, 3, 3]], [0, 1, 2])
        >>> FingerprintModel(tree, fingerprint).against("compound:CCO").background.name
        'a reference molecule'
        """
        if baseline is None:
            return self
        kind, _, rest = baseline.partition(":") if isinstance(baseline, str) else ("", "", "")
        background: Any = None
        if kind == "library":
            background = library_molecules(self.parser, _N_REFERENCES, rest or None)
        elif kind == "compound":
            background = [reference_compound(self.parser, rest)]
        elif baseline != "zero":
            raise UsageError(
                f"{self.name} reads a fingerprint, which {baseline!r} has not; compare with zero (the empty "
                "fingerprint), library, library:FILE or compound:SMILES"
            )
        other = copy.copy(self)
        other.background = self._background(background)
        return other

    def relax(self, graphs: PackedGraphs, base: FeatureRows | None = None) -> RelaxedFingerprints:
        """Molecules to be explained; the model brings what they are compared with."""
        return RelaxedFingerprints(self, graphs)

    def logits(self, graphs: PackedGraphs, scales: npt.ArrayLike | None = None) -> FloatArray:
        """Logits of probabilities, or values; a molecule scaled below half is the background.

        Parameters
        ----------
        graphs : PackedGraphs
            From `featurize`.
        scales : array-like, shape (n_mols,), optional
            Factor on each molecule's environments, which are there by half or more; default 1.

        Returns
        -------
        array of float, shape (n_mols, n_tasks)
        """
        factors = np.ones(len(graphs)) if scales is None else np.asarray(scales, dtype=np.float64)
        whole = np.repeat(factors >= _THERE, graphs.atom_counts)
        return self.relax(graphs).outputs(np.arange(len(graphs)), whole)

    def example(self, column: int) -> tuple[str, Example | None]:
        """What a column is called, and a place in a reference molecule where it is set."""
        kind = "bit" if self.fingerprint.ids is None else "column"
        return f"{kind} {column}", self.background.examples.get(column)

    def score_molecules(self, molecules: Sequence[Molecule]) -> FloatArray:
        """Probabilities or values of parsed molecules, shape (n, n_tasks)."""
        return self.additive.predict(self.fingerprint.of([m.mol for m in molecules]))

    def predict_proba(self, smiles: str | Iterable[str], *, batch_size: int = 1024) -> FloatArray:
        """Probabilities, shape (n, n_tasks); NaN rows where a SMILES was rejected.

        Parameters
        ----------
        smiles : str or iterable of str
            The molecules.
        batch_size : int
            Molecules read at a time.

        Raises
        ------
        UsageError
            If the model predicts values; those come from `predict`.
        """
        predictions = self.predict(smiles, batch_size=batch_size)
        if self.objective is not Objective.CLASSIFICATION:
            raise UsageError(f"model {self.name!r} predicts values; use predict(smiles).scores")
        self.rejections_ = predictions.rejections
        return predictions.scores

    def _background(self, given: Any) -> Background:
        if given is None:
            return Background.empty(self.fingerprint.n_columns)
        if isinstance(given, str):
            given = [given]
        listed: Any = given if issparse(given) or isinstance(given, np.ndarray) else list(given)
        if not (listed.shape[0] if issparse(listed) else len(listed)):
            raise UsageError("the background names no reference; leave it out for the empty fingerprint")
        if not issparse(listed) and all(isinstance(each, str | Chem.Mol) for each in listed):
            mols = [self._reference(each, place) for place, each in enumerate(listed)]
            return Background.of_molecules(mols, self.fingerprint)
        rows = csr_matrix(listed, dtype=np.float64)
        n_columns = self.fingerprint.n_columns
        if rows.shape[1] != n_columns:
            raise UsageError(
                f"the fingerprints of the background have {rows.shape[1]:,} columns, {self.fingerprint} "
                f"{n_columns:,}"
            )
        rows.eliminate_zeros()
        most = np.inf if self.fingerprint.counts else 1
        if ((rows.data < 0) | (rows.data > most) | (rows.data != np.rint(rows.data))).any():
            raise UsageError(
                f"the background must hold {'counts' if self.fingerprint.counts else 'zeros and ones'}, as "
                f"{self.fingerprint} does, and not scaled or other values"
            )
        return Background.of_fingerprints(rows)

    def _reference(self, given: str | Chem.Mol, place: int) -> Chem.Mol:
        if not isinstance(given, str):
            return given
        parsed = self.parser.parse_smiles(given)
        if isinstance(parsed, Rejection):
            raise UsageError(f"reference {place + 1} of the background, {given!r}: {parsed.reason}")
        return parsed.mol


def _check_fingerprint(read: AdditiveModel, fingerprint: MorganFingerprint) -> None:
    """Refuse a fingerprint that the model cannot have been trained on."""
    if read.n_columns != fingerprint.n_columns:
        raise UsageError(
            f"the {read.kind} was trained on another fingerprint: it reads {read.n_columns:,} columns, and "
            f"{fingerprint} has {fingerprint.n_columns:,}"
        )
    if read.asks_for_counts and not fingerprint.counts:
        raise UsageError(
            f"the {read.kind} was trained on counts: it tells one occurrence from two, and {fingerprint} is "
            "binary"
        )
    if fingerprint.counts and read.asks_for_counts is False:
        warnings.warn(
            f"the {read.kind} never tells one occurrence from two, so it was probably trained on bits; of "
            f"{fingerprint} only whether an environment occurs matters to it",
            UserWarning,
            stacklevel=3,
        )
    if read.asks_for_counts is None:
        warnings.warn(
            f"nothing in the {read.kind} shows whether it was trained on counts or on bits: make sure that "
            f"{fingerprint} is right, as well as its radius",
            UserWarning,
            stacklevel=3,
        )


class RelaxedFingerprints:
    """Molecules whose scores are shared out, or whose environments are taken away with their atoms."""

    def __init__(self, model: FingerprintModel, graphs: PackedGraphs) -> None:
        self.model, self.graphs = model, graphs

    def outputs(
        self,
        molecules: Index,
        atom_factors: npt.ArrayLike | None = None,
        pair_factors: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Outputs; an environment is there if all its atoms are, by half or more."""
        graphs = self.graphs.select(molecules)
        if graphs.environments is None:
            raise UsageError("these molecules were featurized without environments")
        kept, at_background = None, np.zeros(len(graphs), dtype=bool)
        if atom_factors is not None:
            factors = np.asarray(atom_factors, dtype=np.float64)
            kept = factors_of_environments(graphs, factors) >= _THERE
            starts = np.cumsum(graphs.atom_counts) - graphs.atom_counts
            at_background = np.maximum.reduceat(factors, starts) == 0
        scores = self.model.additive.scores.scores(
            self.model.fingerprint.of_environments(graphs.environments, kept)
        )
        if at_background.any():
            references = self.model.additive.scores.scores(self.model.background.counts)
            scores[at_background] = references.mean(axis=0)
        if self.model.additive.scale is not Scale.PROBABILITY:
            return scores
        with np.errstate(divide="ignore"):
            return np.asarray(logit(np.clip(scores, 0.0, 1.0)))

    def densities(self, molecules: Index, scales: FloatArray, tasks: Index) -> Densities:
        """Refuse: counts are whole numbers, and trees move in steps."""
        raise UsageError(
            f"{self.model.name} has no gradient, since a molecule has an environment or has it not; its "
            "exact shares come with the method integrated_gradients"
        )

    def trail(self, *, fast: bool = False) -> None:
        """None: shares need no path."""

    def shares(self, molecules: Index, tasks: Index) -> ExactShares:
        """Shapley values of a molecule and a task each, by environments."""
        held = self.graphs.environments
        if held is None or not held.has_atoms:
            raise UsageError("these molecules were featurized without the places of their environments")
        counts = self.model.fingerprint.of_environments(held)
        columns = self.model.fingerprint.columns(held.ids)
        edges = np.concatenate([[0], np.cumsum(held.row_counts)])
        n, additive = len(molecules), self.model.additive
        starts, ends, errors = np.zeros(n), np.zeros(n), np.zeros(n)
        environments, absent = list[FloatArray](), list[dict[int, float]]()
        for path, (molecule, task) in enumerate(zip(molecules.tolist(), tasks.tolist(), strict=True)):
            found = additive.scores.shares(counts[molecule], task, self.model.background)
            own = columns[edges[molecule] : edges[molecule + 1]]
            known = own >= 0
            # Each place has its part of the column that it sets; nobody bears what is set nowhere.
            places = np.bincount(own[known], minlength=len(found.columns))
            per_place = found.columns / np.maximum(places, 1)
            environments.append(np.where(known, per_place[own], 0.0))
            lacking = np.flatnonzero((places == 0) & (found.columns != 0))
            absent.append(dict(zip(lacking.tolist(), found.columns[lacking].tolist(), strict=True)))
            starts[path], ends[path] = found.start, found.end
            errors[path] = (found.errors / np.maximum(places, 1)).max(initial=0.0)
        probabilities = additive.scale is Scale.PROBABILITY
        return ExactShares(starts, ends, environments, absent, errors, probabilities)
