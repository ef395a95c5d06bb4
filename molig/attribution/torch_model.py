"""Any torch network on atoms and bonds, made into a model that can be explained."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from rdkit import Chem
from scipy.special import expit
from torch import Tensor, nn

from molig.errors import UsageError
from molig.features import FeatureSchema, PackedGraphs
from molig.features.graphs import build_packed
from molig.model import Objective
from molig.model.relaxed import FeatureRows, Read, RelaxedRows
from molig.model.scoring import PlainModel
from molig.molecules import Molecule, MoleculeParser
from molig.network import GraphBatch, collate

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Features = Callable[[Chem.Mol], tuple[npt.ArrayLike, npt.ArrayLike]]
"""From a molecule to a row per atom and a row per bond, in RDKit's order."""

# Molecules that are scored once more, alone, before anything is explained.
_SCORED_ALONE = 4
_WHAT = {"atom": "atom", "pair": "bond"}


class TorchModel(PlainModel):
    """A torch network on atoms and bonds as an `ExplainableModel`, which can be screened and audited, too.

    Parameters
    ----------
    network : torch.nn.Module
        Called as ``network(x, edge_index, edge_attr, batch)``, as PyTorch Geometric's networks are: rows of
        atoms, shape (n_atoms, n atom columns); the atoms of each directed bond, shape (2, n_edges), first all
        bonds in one direction, then all in the other; their rows, shape (n_edges, n bond columns); and the
        molecule of each atom, shape (n_atoms,). It returns one output per molecule and task, shape
        (n_mols, n_tasks), or (n_mols,) for one task: logits, or the values of a regression. The output of a
        molecule must not depend on others in the batch.
    features : callable
        From a molecule to its rows: one per atom and one per bond, in RDKit's order, with the columns of
        ``schema``.
    schema : FeatureSchema
        Names of the columns. The categories of a block of the kind ``CATEGORICAL`` are shown as one feature.
    tasks : sequence of str
        Names of the outputs.
    objective : {"classification", "regression"}
        Whether the outputs are logits or values.
    name : str
        How results call the model.
    parser : MoleculeParser, optional
        How SMILES become molecules; by default salts are stripped and charges neutralised.

    Raises
    ------
    UsageError
        If ``network`` is no module, or names of tasks are missing or given twice. Later, where rows of
        features do not fit the schema, the network is in training mode, its outputs have another shape or
        depend on other molecules, or no gradient leads to the features.

    Examples
    --------
    >>> import molig
    >>> from molig.features import Block, BlockKind
    >>> class CountsCarbons(nn.Module):
    ...     def forward(self, x, edge_index, edge_attr, batch):
    ...         return x.new_zeros(int(batch.max()) + 1).index_add(0, batch, x[:, 0])
    >>> element = Block("element", BlockKind.CATEGORICAL, ("C", "other"), other="other")
    >>> def features(mol):
    ...     carbon = [atom.GetSymbol() == "C" for atom in mol.GetAtoms()]
    ...     return np.stack([carbon, np.logical_not(carbon)], axis=1), np.zeros((mol.GetNumBonds(), 0))
    >>> schema = FeatureSchema("carbons", (element,), (), max_pair_distance=1)
    >>> network = CountsCarbons().eval()
    >>> model = TorchModel(network, features, schema, ["carbons"], objective="regression")
    >>> molig.explain(model, "CCO").atom_scores.round(3).tolist()
    [1.0, 1.0, 0.0]
    """

    def __init__(
        self,
        network: nn.Module,
        features: Features,
        schema: FeatureSchema,
        tasks: Sequence[str],
        *,
        objective: str = "classification",
        name: str = "torch",
        parser: MoleculeParser | None = None,
    ) -> None:
        if not isinstance(network, nn.Module):
            raise UsageError(
                f"network must be a torch.nn.Module (got {type(network).__name__}); put a function into the "
                "forward method of one"
            )
        self.tasks = (tasks,) if isinstance(tasks, str) else tuple(tasks)
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise UsageError(f"every output needs a name of its own (got {list(self.tasks)})")
        if objective not in ("classification", "regression"):
            raise UsageError(f"objective must be classification or regression (got {objective!r})")
        self.network, self.features, self.schema = network, features, schema
        self.objective, self.name, self.parser = Objective(objective), name, parser or MoleculeParser()
        self._rows_are_independent = False

    def __repr__(self) -> str:
        """Name and tasks."""
        return f"TorchModel({self.name!r}, {len(self.tasks)} task{'s' * (len(self.tasks) > 1)})"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return self._weight.dtype

    @property
    def _weight(self) -> Tensor:
        return next((p for p in self.network.parameters() if p.is_floating_point()), torch.zeros(0))

    @property
    def calibrated(self) -> bool:
        """False: a network does not say how its probabilities were fitted."""
        return False

    @property
    def member_names(self) -> tuple[str, ...]:
        """Empty: it is one network."""
        return ()

    def meaning_of(self, tasks: Sequence[str]) -> str:
        """What scores are, in one sentence that every output of them carries."""
        del tasks
        if self.objective is Objective.REGRESSION:
            return "Scores are predicted values, in the unit of the labels."
        return "Scores are probabilities; whether they are calibrated is not known."

    def digest(self) -> str:
        """Hash of the weights, the layers, the columns and the tasks; of ``features`` the name only."""
        features = getattr(self.features, "__qualname__", type(self.features).__name__)
        told = self.tasks, self.objective.value, self.schema, self.parser, features
        found = hashlib.sha256(f"{told!r} {self.network!r}".encode())
        for name, tensor in self.network.state_dict().items():
            found.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def parts(self) -> tuple[Self, ...]:
        """The model itself: all its tasks are of one kind."""
        return (self,)

    def for_task(self, task: str) -> Self:
        """The model itself; raises `UnknownNameError` for a task that it lacks."""
        self.task_index(task)
        return self

    def to(self, device: str | torch.device) -> Self:
        """Return the same model on another device."""
        moved = copy.copy(self)
        moved.network = copy.deepcopy(self.network).to(device)
        return moved

    @property
    def floor(self) -> float:
        """Smallest change of an output that a relative tolerance is applied to."""
        return 0.01

    def double(self) -> Self:
        """Return the same model in double precision."""
        doubled = copy.copy(self)
        doubled.network = copy.deepcopy(self.network).double()
        return doubled

    def featurize(self, mols: Sequence[Chem.Mol]) -> PackedGraphs:
        """Turn molecules into features; the pairs are the bonds.

        Parameters
        ----------
        mols : sequence of Mol
            The molecules.

        Raises
        ------
        UsageError
            If ``features`` returns rows that do not fit the schema.
        """
        n_atoms = np.array([mol.GetNumAtoms() for mol in mols], dtype=np.int64)
        n_bonds = np.array([mol.GetNumBonds() for mol in mols], dtype=np.int64)
        atoms, pairs = zip(*(self._rows(mol) for mol in mols), strict=True)
        atom_codes, atom_values = _stored(np.concatenate(atoms), self.schema, "atom")
        pair_codes, pair_values = _stored(np.concatenate(pairs), self.schema, "pair")
        bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for mol in mols for bond in mol.GetBonds()]
        return build_packed(
            atom_codes=atom_codes,
            atom_values=atom_values,
            pair_codes=pair_codes,
            pair_values=pair_values,
            pair_atoms=np.sort(np.array(bonds, dtype=np.int64).reshape(-1, 2), axis=1),
            atom_counts=n_atoms,
            pair_counts=n_bonds,
        )

    def _rows(self, mol: Chem.Mol) -> list[FloatArray]:
        """Rows of the atoms and of the bonds of a molecule, if they fit it and the schema."""
        found = self.features(mol)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise UsageError("features must return two tables: a row for each atom, and one for each bond")
        shapes = (
            (mol.GetNumAtoms(), self.schema.n_atom_columns),
            (mol.GetNumBonds(), self.schema.n_pair_columns),
        )
        return [
            _checked(rows, shape, mol, what)
            for rows, shape, what in zip(found, shapes, _WHAT.values(), strict=True)
        ]

    def relax(self, graphs: PackedGraphs, base: FeatureRows | None = None) -> RelaxedNetwork:
        """Let features move between a baseline and their own values.

        Parameters
        ----------
        graphs : PackedGraphs
            From `featurize`.
        base : tuple of array, optional
            The row of every atom and that of every bond at the baseline; default zero.
        """
        relaxed = RelaxedNetwork(self, graphs, base)
        if not self._rows_are_independent:
            relaxed.refuse_mixed_rows()
            self._rows_are_independent = True
        return relaxed

    def logits(self, graphs: PackedGraphs, scales: npt.ArrayLike | None = None) -> FloatArray:
        """Logits of probabilities, or values, at any point of the path from the zero baseline.

        Parameters
        ----------
        graphs : PackedGraphs
            From `featurize`.
        scales : array-like, shape (n_mols,), optional
            Factor on each molecule's features; default 1, the molecule itself.

        Returns
        -------
        array of float, shape (n_mols, n_tasks)
        """
        factors = np.ones(len(graphs)) if scales is None else np.asarray(scales, dtype=np.float64)
        of_rows = (np.repeat(factors, n) for n in (graphs.atom_counts, graphs.pair_counts))
        return self.relax(graphs).outputs(np.arange(len(graphs)), *of_rows)

    def score_molecules(self, molecules: Sequence[Molecule]) -> FloatArray:
        """Probabilities or values of parsed molecules, shape (n, n_tasks)."""
        if not molecules:
            return np.empty((0, len(self.tasks)))
        found = self.logits(self.featurize([molecule.mol for molecule in molecules]))
        return found if self.objective is Objective.REGRESSION else np.asarray(expit(found))

    def outputs(self, batch: GraphBatch) -> Tensor:
        """Outputs of the network, shape (n_mols, n_tasks)."""
        if self.network.training:
            raise UsageError(
                f"the network of {self.name!r} is in training mode, where dropout and batch norm change its "
                "outputs: call network.eval() first"
            )
        molecule = torch.arange(batch.n_mols, device=batch.atom_counts.device)
        molecule = molecule.repeat_interleave(batch.atom_counts)
        edges = torch.cat([batch.pair_atoms, batch.pair_atoms.flip(0)], dim=1)
        found = self.network(batch.atom_inputs, edges, torch.cat([batch.pair_inputs] * 2), molecule)
        expected = (batch.n_mols, len(self.tasks))
        allowed = (expected, expected[:1]) if len(self.tasks) == 1 else (expected,)
        if isinstance(found, Tensor) and tuple(found.shape) in allowed:
            return found.reshape(expected)
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise UsageError(
            f"the network of {self.name!r} must return one output per molecule and task: expected shape "
            f"{expected} (got {got})"
        )


def _checked(rows: npt.ArrayLike, expected: tuple[int, int], mol: Chem.Mol, what: str) -> FloatArray:
    table = np.asarray(rows, dtype=np.float64)
    if not table.size == 0 == expected[0] * expected[1]:  # nothing has any shape
        if table.shape != expected:
            raise UsageError(
                f"features must return a row for each {what} with the columns of the schema: expected shape "
                f"{expected} for {Chem.MolToSmiles(mol)} (got {table.shape})"
            )
        if not np.isfinite(table).all():
            row = int(np.argwhere(~np.isfinite(table))[0, 0])
            raise UsageError(f"features of {what} {row} of {Chem.MolToSmiles(mol)} are not finite")
    return table.reshape(expected)


def _stored(
    rows: FloatArray, schema: FeatureSchema, level: str
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Codes of the categorical blocks and values of the numeric ones."""
    codes, values = [np.zeros((len(rows), 0))], [np.zeros((len(rows), 0))]
    for place in schema.places(level):
        block = rows[:, place.columns]
        if not place.is_categorical:
            values.append(block)
            continue
        one_hot = np.isin(block, (0, 1)).all(axis=1) & (block.sum(axis=1) <= 1)
        if not one_hot.all():
            raise UsageError(
                f"block {place.block.name!r} is categorical, so each {_WHAT[level]} must have at most one 1 "
                f"in it and 0 elsewhere (got {block[np.argmin(one_hot)].tolist()}); blocks of other numbers "
                "are BlockKind.NUMERIC"
            )
        codes.append(np.where(block.any(axis=1), block.argmax(axis=1), -1)[:, None])
    return np.concatenate(codes, axis=1).astype(np.int8), np.concatenate(values, axis=1).astype(np.float32)


class RelaxedNetwork(RelaxedRows):
    """Molecules of a `TorchModel` between a baseline and their own features."""

    def __init__(self, model: TorchModel, graphs: PackedGraphs, base: FeatureRows | None) -> None:
        super().__init__(model.schema, graphs, model._weight, base, model.name)
        self._model = model

    def trail(self, *, fast: bool = False) -> None:
        """None: the gradient is integrated along the path."""

    def _read(self, graphs: PackedGraphs) -> tuple[Sequence[Tensor], Read]:
        batch = collate(graphs, self.schema, np.ones(len(graphs)), fold=False)
        whole = batch.to(self._like.device, self._like.dtype)
        return (whole.atom_inputs, whole.pair_inputs), lambda rows: self._model.outputs(
            replace(whole, atom_inputs=rows[0], pair_inputs=rows[1])
        )

    def refuse_mixed_rows(self) -> None:
        """Refuse a network that scores a molecule in company otherwise than alone."""
        places = np.arange(min(len(self.graphs), _SCORED_ALONE))
        # Their company is the first of them in the middle of its path, as batches are when it is explained.
        chosen = np.append(places, 0)
        graphs = self.graphs.select(chosen)
        factors = [np.ones(n) for n in (graphs.n_atoms, graphs.n_pairs)]
        for factor, count in zip(factors, (graphs.atom_counts[-1], graphs.pair_counts[-1]), strict=True):
            factor[len(factor) - count :] = 0.5
        together = self.outputs(chosen, *factors)
        allowed = torch.finfo(self._like.dtype).eps ** 0.5 * max(float(np.abs(together).max()), 1e-3)
        for place in places.tolist():
            alone = self.outputs(np.array([place]))[0]
            worst = int(np.abs(alone - together[place]).argmax())
            # NaN is no sign of mixing; it is told where the molecule is explained.
            if np.abs(alone - together[place])[worst] > allowed:
                raise UsageError(
                    f"the network of {self._model.name!r} mixes molecules: its output "
                    f"{self._model.tasks[worst]} of one of them is {together[place, worst]:.6g} in a batch "
                    f"of {len(chosen)} but {alone[worst]:.6g} alone. Usual causes are a norm or a softmax "
                    "over the whole batch, and sums over atoms that leave the molecule of each (batch) out"
                )
