"""What a model must keep to for its explanations to be right, tried on molecules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from molig.attribution.explainer import Explainer
from molig.attribution.protocol import ExplainableModel, PreciseModel, RelaxedInputs, check_explainable
from molig.errors import InputError, MoligError, UsageError
from molig.features import FeatureSchema, MolGraph, PackedGraphs
from molig.model.relaxed import RelaxedCommittee
from molig.molecules import Molecule, smiles_records

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Molecules and tasks of the costly parts.
_FEW_MOLECULES, _FEW_TASKS = 3, 6
# Where on the path gradients are compared; relu has kinks, so most of the points must agree, not all.
_POINTS = np.array([0.13, 0.31, 0.52, 0.74, 0.93])
_MIDPOINTS = 1024
# Failures of somebody else's code that are told as part of the report.
_FAILURES = (MoligError, RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError)


@dataclass(frozen=True)
class ContractPart:
    """One thing that `check_adapter` tried.

    Parameters
    ----------
    name : str
        What must hold.
    largest : float
        Largest deviation found, as a share of the largest output or attribution; NaN if none is measured.
    allowed : float
        Largest deviation allowed.
    violation : str
        What is wrong, for whoever wrote the model; "" where the part holds.

    Examples
    --------
    >>> print(ContractPart("batch", 2e-7, 3e-4, ""))
    batch: holds (largest deviation 2e-07, allowed 0.0003)
    """

    name: str
    largest: float
    allowed: float
    violation: str

    def __str__(self) -> str:
        """One line."""
        if self.violation:
            return f"{self.name}: {self.violation}"
        if np.isnan(self.largest):
            return f"{self.name}: holds"
        return f"{self.name}: holds (largest deviation {self.largest:.1g}, allowed {self.allowed:.1g})"


def check_adapter(model: ExplainableModel, smiles: Sequence[str]) -> tuple[ContractPart, ...]:
    """Try whether a model of one's own keeps to what explanations rely on.

    In this order: *names and shapes* of all that it returns; *batch*: a molecule's outputs do not depend on
    the molecules beside it; *atom order*: nor on the numbering of its atoms; *path*: features move between
    baseline and molecule as they should, and nothing else of the features reaches the outputs; *gradient*:
    the densities are the derivatives of the outputs, atom by atom and pair by pair, as numeric differences
    have them; *completeness*: attributions add up to the change of the score, and are those of the gradient
    where the model brings shares of its own (``trail``).

    Parameters
    ----------
    model : ExplainableModel
        The model. If it offers double precision, that is what is tried.
    smiles : sequence of str
        Molecules to try, at least two; a dozen small ones with the elements and bonds that matter will do.

    Returns
    -------
    tuple of ContractPart
        All parts, with the largest deviation found in each.

    Raises
    ------
    UsageError
        If a part of the protocol is missing, or the contract is violated: each violated part on a line.
    InputError
        If fewer than two of the molecules can be read.

    Examples
    --------
    >>> import molig
    >>> for part in check_adapter(molig.load_model("tox21-w2n2-simple"), ["CCO", "CC(=O)Nc1ccccc1"]):
    ...     print(part.name, not part.violation)
    names and shapes True
    batch True
    atom order True
    path True
    gradient True
    completeness True
    """
    check_explainable(model)
    precise = model.double() if isinstance(model, PreciseModel) else model
    molecules, rejections = model.parser.parse_many(list(smiles_records(smiles)))
    if len(molecules) < 2:
        reason = f" (row {rejections[0].row}: {rejections[0].reason})" if rejections else ""
        raise InputError(f"at least two molecules are needed to check an adapter{reason}")
    contract = _Contract(precise, molecules, precision=1e-9 if precise is not model else 1e-4)
    parts: list[ContractPart] = []
    for name, (attempt, allowed) in contract.attempts().items():
        parts.append(_tried(name, attempt, allowed))
        if parts[0].violation:
            break  # nothing else would mean anything
    if any(part.violation for part in parts):
        listed = "\n".join(f"- {part}" for part in parts if part.violation)
        raise UsageError(f"{model.name!r} ({type(model).__name__}) cannot be explained as it is:\n{listed}")
    return tuple(parts)


@dataclass(frozen=True)
class _Deviation:
    """How far something is off, and the words for it."""

    size: float
    words: str


def _tried(name: str, attempt: Callable[[], Iterator[_Deviation]], allowed: float) -> ContractPart:
    """The worst deviation of a part, in words if it is too large."""
    try:
        found = list(attempt())
    except _FAILURES as error:
        kind = "" if isinstance(error, MoligError) else f"{type(error).__name__}: "
        return ContractPart(name, float("nan"), allowed, kind + str(error))
    largest = max((one.size for one in found), default=float("nan"))
    # The first says more than the largest; NaN holds nowhere.
    words = next((one.words for one in found if not one.size <= allowed), "")
    return ContractPart(name, largest, allowed, words)


@dataclass(frozen=True)
class _Contract:
    model: ExplainableModel
    molecules: Sequence[Molecule]
    precision: float  # of outputs, as a share of the largest

    def attempts(self) -> dict[str, tuple[Callable[[], Iterator[_Deviation]], float]]:
        """What is tried, and the deviation that each allows."""
        return {
            "names and shapes": (self.names_and_shapes, 0.0),
            "batch": (self.batch, self.precision),
            "atom order": (self.atom_order, self.precision),
            "path": (self.path, self.precision),
            "gradient": (self.gradient, 0.05),
            "completeness": (self.completeness, 0.05),
        }

    # Parts of the contract.

    def names_and_shapes(self) -> Iterator[_Deviation]:
        model = self.model
        if not isinstance(model.schema, FeatureSchema):
            raise UsageError(f"schema must be a FeatureSchema (got {type(model.schema).__name__})")
        tasks = tuple(model.tasks)
        if not tasks or len(set(tasks)) < len(tasks):
            raise UsageError(f"every output needs a name of its own in tasks (got {list(tasks)})")
        if model.objective not in ("classification", "regression"):
            raise UsageError(f"objective must be classification or regression (got {model.objective!r})")
        graphs = self._featurize(self.molecules)
        _expect("molecules of featurize(mols)", len(self.molecules), len(graphs))
        for molecule, graph in zip(self.molecules, graphs, strict=True):
            self._check_graph(molecule.mol, graph)
        outputs = self._outputs(graphs)
        _expect("shape of relax(graphs).outputs(molecules)", (len(graphs), len(tasks)), outputs.shape)
        if not np.isfinite(outputs).all():
            where = int(np.argwhere(~np.isfinite(outputs))[0, 0])
            raise UsageError(f"the outputs for {self.molecules[where].smiles} are not finite")
        chosen = np.arange(len(graphs))
        found = model.relax(graphs).densities(chosen, np.full(len(chosen), 0.5), np.zeros_like(chosen))
        _expect("shape of densities(...).values", (len(graphs),), np.shape(found.values))
        for side, level in ((found.atoms, "atom"), (found.pairs, "pair")):
            for row, graph in zip(side, graphs, strict=True):
                one = graph.level(level)
                expected = (int(one.counts[0]), one.n_entries)
                _expect(f"shape of an entry of densities(...).{level}s", expected, np.shape(row))
        yield from ()

    def batch(self) -> Iterator[_Deviation]:
        graphs = self._featurize(self.molecules)
        together = self._outputs(graphs)
        backwards = self._outputs(graphs, np.arange(len(graphs))[::-1])[::-1]
        for place, molecule in enumerate(self.molecules):
            alone = self._outputs(self._featurize([molecule]))[0]
            for other, how in ((alone, "alone"), (backwards[place], "in another order of the batch")):
                task = int(np.abs(other - together[place]).argmax())
                yield _Deviation(
                    float(np.abs(other - together[place])[task]) / _largest(together),
                    f"the output {self.model.tasks[task]} of {molecule.smiles} is "
                    f"{together[place, task]:.6g} in a batch of {len(graphs)} but {other[task]:.6g} {how}: "
                    "the model mixes molecules (a norm or softmax over the batch, an index that leaves the "
                    "molecule out), or is random (dropout)",
                )

    def atom_order(self) -> Iterator[_Deviation]:
        random = np.random.default_rng(0)
        scale = _largest(self._outputs(self._featurize(self.molecules)))
        for molecule in self.molecules:
            order = random.permutation(molecule.mol.GetNumAtoms())
            renumbered = Chem.RenumberAtoms(molecule.mol, order.tolist())
            pair = self.model.featurize([molecule.mol, renumbered])
            one, other = self._outputs(pair)
            task = int(np.abs(one - other).argmax())
            yield _Deviation(
                float(np.abs(one - other)[task]) / scale,
                f"the output {self.model.tasks[task]} of {molecule.smiles} is {one[task]:.6g}, but "
                f"{other[task]:.6g} with its atoms in another order: a feature or the network depends on "
                "their numbering",
            )
            found = self.model.relax(pair).densities(
                np.arange(2), np.full(2, 0.5), np.array([task, task], dtype=np.int64)
            )
            moved = np.abs(found.atoms[0][order] - found.atoms[1]).max(initial=0)
            yield _Deviation(
                float(moved) / max(_largest(found.atoms[0]), scale),
                f"the derivatives by the features of the atoms of {molecule.smiles} change with the order of "
                "the atoms: rows of densities(...).atoms must follow the atoms of the molecule",
            )

    def path(self) -> Iterator[_Deviation]:
        graphs = self._featurize(self.molecules)
        chosen, whole = np.arange(len(graphs)), self._outputs(graphs)
        ones = np.ones(graphs.n_atoms), np.ones(graphs.n_pairs)
        scale = _largest(whole)
        same = self.model.relax(graphs).outputs(chosen, *ones)
        yield _Deviation(
            float(np.abs(same - whole).max()) / scale,
            "with all factors 1, outputs(...) must be those of the molecules themselves",
        )
        for base, name in ((None, "zero baseline"), (self._uniform(), "baseline of equal columns")):
            relaxed = self.model.relax(graphs, base)
            moving = _with_gradient(relaxed)
            at = moving.outputs(chosen, 0.3 * ones[0], 0.3 * ones[1])
            for task in _spread(len(self.model.tasks), _FEW_TASKS):
                found = moving.densities(chosen, np.full(len(chosen), 0.3), np.full_like(chosen, task))
                yield _Deviation(
                    float(np.abs(found.values - at[:, task]).max()) / scale,
                    f"at a = 0.3 of the path from the {name} densities(...).values of "
                    f"{self.model.tasks[task]} are not what outputs(...) gives with all factors 0.3",
                )
            start = relaxed.outputs(chosen, 0 * ones[0], 0 * ones[1])
            stripped = self.model.relax(_other_features(graphs), base)
            other = stripped.outputs(chosen, 0 * ones[0], 0 * ones[1])
            worst = int(np.abs(start - other).max(axis=1).argmax())
            yield _Deviation(
                float(np.abs(start - other).max()) / scale,
                f"at the {name} the outputs for {self.molecules[worst].smiles} change with the features of "
                "its atoms and bonds: some of them reach the outputs without being moved, so attributions "
                "leave them out",
            )

    def gradient(self) -> Iterator[_Deviation]:
        graphs = self._featurize(self._few)
        moving = _with_gradient(self.model.relax(graphs))
        for number, graph in enumerate(graphs):
            n_atoms, n_pairs = len(graph.atom_codes), len(graph.pair_atoms)
            numeric = np.stack([self._differences(moving, number, n_atoms, n_pairs, a) for a in _POINTS])
            for task in _spread(len(self.model.tasks), _FEW_TASKS):
                found = moving.densities(
                    np.full(len(_POINTS), number), _POINTS, np.full(len(_POINTS), task, dtype=np.int64)
                )
                stated = np.array(
                    [
                        np.concatenate([atom.sum(axis=1), pair.sum(axis=1)])
                        for atom, pair in zip(found.atoms, found.pairs, strict=True)
                    ]
                )
                differences = numeric[:, :, task]
                scale = max(np.abs(stated).max(initial=0), np.abs(differences).max(initial=0), 1e-3)
                off = np.median(np.abs(stated - differences), axis=0) / scale
                row = int(off.argmax())
                what = f"atom {row}" if row < n_atoms else f"bond or pair {row - n_atoms}"
                yield _Deviation(
                    float(off[row]),
                    f"{self.model.tasks[task]} of {self._few[number].smiles}: the derivative by the features "
                    f"of {what} is {np.median(stated[:, row]):.4g} by densities(...), but "
                    f"{np.median(differences[:, row]):.4g} by numeric differences of outputs(...)",
                )

    def completeness(self) -> Iterator[_Deviation]:
        explainer = Explainer(self.model, precision="single")
        explained = explainer.explain_molecules_all_tasks(self._few)
        outputs = explainer.target.score(self._outputs(self._featurize(self._few)))
        for place, by_task in enumerate(explained):
            for task, why in enumerate(by_task):
                change = why.score - why.baseline_score
                missing = change - why.atom_scores.sum()
                largest = max(abs(change), explainer.tolerance.floor)
                yield _Deviation(
                    float(abs(missing)) / largest,
                    f"attributions of {why.task} of {why.smiles} add up to {change - missing:.4g}, but its "
                    f"{why.target} changes by {change:.4g}: the score jumps on the path (rounding, argmax, a "
                    "step), or densities(...) leave features out",
                )
                yield _Deviation(
                    float(abs(why.score - outputs[place, task])) / largest,
                    f"{why.task} of {why.smiles} is explained as {why.score:.6g} but scored as "
                    f"{outputs[place, task]:.6g}",
                )
        yield from self._agreement()

    # What parts have in common.

    def _agreement(self) -> Iterator[_Deviation]:
        """Shares that the model brings itself, beside the integral of its gradient."""
        graphs = self._featurize(self._few[:1])
        relaxed = self.model.relax(graphs)
        if isinstance(relaxed, RelaxedCommittee) or relaxed.trail() is None:
            return
        logit = None if self.model.objective == "regression" else "logit"
        own = Explainer(
            self.model, target=logit, task=self.model.tasks[0], baseline="zero", tol=1e-3, precision="single"
        )
        (found,) = own.explain_molecules(self._few[:1])
        scales = (np.arange(_MIDPOINTS) + 0.5) / _MIDPOINTS
        zeros = np.zeros(_MIDPOINTS, dtype=np.int64)
        rates = relaxed.densities(zeros, scales, zeros)
        sides = (found.atom_attributions, rates.atoms), (found.pair_attributions, rates.pairs)
        largest = max(own.tolerance.floor, *(_largest(mine) for mine, _ in sides))
        for mine, side in sides:
            if mine.size:
                yield _Deviation(
                    float(np.abs(mine - np.mean(side, axis=0)).max()) / largest,
                    f"shares of trail() in {found.task} of {found.smiles} are not the integral of "
                    "densities(...)",
                )

    @property
    def _few(self) -> Sequence[Molecule]:
        smallest = sorted(self.molecules, key=lambda one: one.mol.GetNumAtoms())
        with_bonds = [one for one in smallest if one.mol.GetNumBonds()] or smallest
        return with_bonds[:_FEW_MOLECULES]

    def _featurize(self, molecules: Sequence[Molecule]) -> PackedGraphs:
        return self.model.featurize([one.mol for one in molecules])

    def _outputs(self, graphs: PackedGraphs, chosen: Index | None = None) -> FloatArray:
        return self.model.relax(graphs).outputs(np.arange(len(graphs)) if chosen is None else chosen)

    def _uniform(self) -> tuple[FloatArray, FloatArray]:
        schema = self.model.schema
        return np.full(schema.n_atom_columns, 0.1), np.full(schema.n_pair_columns, 0.1)

    def _differences(
        self, relaxed: RelaxedInputs, number: int, n_atoms: int, n_pairs: int, a: float
    ) -> FloatArray:
        """Derivatives of all outputs by the factor of each atom and pair at a: (n rows, n_tasks)."""
        n_rows = n_atoms + n_pairs
        step = self.precision ** (1 / 3) if self.precision > 1e-6 else 1e-4
        factors = np.full((2 * n_rows, n_rows), a)
        factors[np.arange(n_rows), np.arange(n_rows)] += step
        factors[n_rows + np.arange(n_rows), np.arange(n_rows)] -= step
        found = relaxed.outputs(
            np.full(2 * n_rows, number), factors[:, :n_atoms].ravel(), factors[:, n_atoms:].ravel()
        )
        return np.asarray((found[:n_rows] - found[n_rows:]) / (2 * step))

    def _check_graph(self, mol: Chem.Mol, graph: MolGraph) -> None:
        smiles = Chem.MolToSmiles(mol)
        _expect(f"atoms of {smiles}", mol.GetNumAtoms(), len(graph.atom_codes))
        for level in ("atom", "pair"):
            held, places = graph.level(level), self.model.schema.places(level)
            categorical = [place for place in places if place.is_categorical]
            n_values = sum(place.block.width for place in places if not place.is_categorical)
            _expect(f"columns of {level}_codes of {smiles}", len(categorical), held.codes.shape[1])
            _expect(f"columns of {level}_values of {smiles}", n_values, held.values.shape[1])
            for place in categorical:
                codes = held.codes[:, place.stored.start]
                if len(codes) and not (codes.min() >= -1 and codes.max() < place.block.width):
                    raise UsageError(
                        f"codes of block {place.block.name!r} of {smiles} must be from -1 to "
                        f"{place.block.width - 1} (got {codes.min()} to {codes.max()})"
                    )
        i, j = graph.pair_atoms.T
        if not ((i >= 0) & (i < j) & (j < mol.GetNumAtoms())).all():
            raise UsageError(f"pair_atoms of {smiles} must be atoms i < j of the molecule")


def _with_gradient(relaxed: RelaxedInputs) -> RelaxedInputs:
    """Of a committee its network: other members have closed forms, along paths of their own."""
    return relaxed.weave if isinstance(relaxed, RelaxedCommittee) else relaxed


def _expect(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise UsageError(f"{what}: expected {expected} (got {got})")


def _largest(values: npt.ArrayLike) -> float:
    return max(float(np.abs(values).max(initial=0.0)), 1e-3)


def _spread(n: int, most: int) -> list[int]:
    return sorted(set(np.linspace(0, n - 1, min(n, most)).round().astype(int).tolist()))


def _other_features(graphs: PackedGraphs) -> PackedGraphs:
    """The same graphs with the features of other atoms and pairs."""
    fields = ("atom_codes", "atom_values", "pair_codes", "pair_values")
    return replace(graphs, **{name: np.roll(getattr(graphs, name), 1, axis=0) for name in fields})
