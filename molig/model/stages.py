"""Scores in two stages: what any process computes of molecules, and networks where the model is.

Only one process holds a GPU. Others read molecules, featurize them, lay out the input of networks, and score
what of a committee takes no network; `packed` makes bytes of that, and the model that gets them finishes.
`ScreeningModel.score_with` takes the same two steps in one process: wherever the first one happens, a device
gives the same scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from molig.committee import EnvironmentNet, Vocabulary
from molig.deferred import deferred
from molig.features import Featurizer, PackedGraphs
from molig.model.domain import Applicability, ApplicabilityFlag, Traits
from molig.model.relaxed import Member
from molig.model.scoring import FeatureSource
from molig.molecules import Molecule
from molig.network import GraphBatch, collate

safetensors = deferred("safetensors.numpy")

FloatArray = npt.NDArray[np.float64]

MOLECULES_PER_PASS = 256
"""Molecules of a pass through a network on the processor: few enough for its cache."""
ATOMS_PER_PASS = 32_768
"""Atoms of a pass on a GPU: enough to keep it busy, and their memberships in the readout take 0.2 GB."""
_PAIRS_PER_ATOM = 8  # so many pairs take about the memory of an atom


class Prepared(NamedTuple):
    """What the first stage makes of molecules for one model.

    Parameters
    ----------
    batches : iterable of GraphBatch
        Input of the Weave network, pass by pass.
    members : list of tuple of array
        Of each other member of a committee: the input of a network (columns, starts and values of counts),
        or of any other member its outputs, shape (n_mols, n_tasks).
    flags : list of ApplicabilityFlag
        Empty if not asked for.
    """

    batches: Iterable[GraphBatch]
    members: list[tuple[npt.NDArray[Any], ...]]
    flags: list[ApplicabilityFlag]


@dataclass(frozen=True, eq=False)
class Preparation:
    """The first stage of one model, without any tensor on its device.

    Parameters
    ----------
    featurizer : Featurizer
        Makes its features.
    source : FeatureSource, optional
        Has them, instead.
    device : torch.device
        Where its networks are, which decides on the size of passes.
    members : sequence
        The other members of a committee; of a network only the vocabulary.
    domain : Applicability, optional
        What judges molecules, if that is asked for.
    """

    featurizer: Featurizer
    source: FeatureSource | None
    device: torch.device
    members: tuple[Vocabulary | Member, ...]
    domain: Applicability | None = None

    def features_of(self, molecules: Sequence[Molecule]) -> PackedGraphs:
        """What molecules are scored by."""
        if self.source is not None:
            return self.source.graphs(molecules, self.featurizer.schema)
        return self.featurizer.counted(molecules)

    def traits_of(self, molecules: Sequence[Molecule]) -> Traits | None:
        """What their applicability is judged by, if that is asked for."""
        if self.domain is None:
            return None
        if self.source is not None:
            return self.source.traits(molecules, self.domain.info.radius, self.domain.info.n_bits)
        return self.domain.traits([m.mol for m in molecules])

    def of_graphs(self, graphs: PackedGraphs, traits: Traits | None = None) -> Prepared:
        """The first stage of molecules whose features are known."""
        schema = self.featurizer.schema
        runs = (graphs.run(part.start, part.stop) for part in passes(graphs, self.device))
        flags = [] if traits is None or self.domain is None else self.domain.flag_traits(traits, graphs)
        return Prepared(
            (collate(run, schema) for run in runs), [_of_member(m, graphs) for m in self.members], flags
        )


def _of_member(member: Vocabulary | Member, graphs: PackedGraphs) -> tuple[npt.NDArray[Any], ...]:
    if isinstance(member, Vocabulary):
        counts = member.count(graphs)
        return counts.columns, counts.starts[:-1], counts.values
    return (member.outputs(graphs),)


def passes(graphs: PackedGraphs, device: torch.device) -> list[slice]:
    """Runs of molecules that go through a network together, as its device likes them.

    Examples
    --------
    >>> import molig
    >>> from rdkit import Chem
    >>> model = molig.load_model("tox21-w2n2-simple")
    >>> graphs = model.featurize([Chem.MolFromSmiles("CCO")] * 300)
    >>> passes(graphs, model.device)
    [slice(0, 256, None), slice(256, 300, None)]
    """
    if device.type == "cpu":
        starts = np.arange(0, len(graphs), MOLECULES_PER_PASS)
    else:
        load = np.cumsum(graphs.atom_counts + graphs.pair_counts // _PAIRS_PER_ATOM)
        # A pass ends with the molecule that fills it.
        starts = np.flatnonzero(np.diff(load // ATOMS_PER_PASS, prepend=-1))
    return [slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], len(graphs)], strict=True)]


@dataclass(frozen=True, eq=False)
class FirstStage:
    """The first stage of one model, or of several side by side that share features where they can."""

    parts: tuple[Preparation, ...]

    def __call__(self, molecules: Sequence[Molecule]) -> list[Prepared]:
        """Prepare molecules, at least one, for each model."""
        graphs: dict[str, PackedGraphs] = {}
        found = []
        for part in self.parts:
            kind = part.featurizer.schema.hash
            if kind not in graphs:
                graphs[kind] = part.features_of(molecules)
            found.append(part.of_graphs(graphs[kind], part.traits_of(molecules)))
        return found


class Arriving:
    """A tensor on its way from where it was computed; the process goes on meanwhile."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._event = tensor, None
        if tensor.device.type == "cuda":
            self._tensor = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._tensor.copy_(tensor, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(tensor.device))

    def numpy(self) -> FloatArray:
        """The numbers, in double precision, once they are there."""
        if self._event is not None:
            self._event.synchronize()
        return np.asarray(self._tensor.double().cpu().numpy())


def member_outputs(member: Member, given: tuple[npt.NDArray[Any], ...]) -> Callable[[], FloatArray]:
    """Outputs of a member, from what the first stage has made for it."""
    if not isinstance(member, EnvironmentNet):
        return lambda: np.asarray(given[0])
    return Arriving(member(*member.placed(*given))).numpy


# Bytes, for another process.


def packed(prepared: Sequence[Prepared]) -> bytes:
    """The first stage of some molecules as bytes; flags stay behind."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for model, one in enumerate(prepared):
        for number, batch in enumerate(one.batches):
            arrays |= {f"{model} batch {number} {k}": v.numpy() for k, v in batch.tensors().items()}
        for number, given in enumerate(one.members):
            arrays |= {f"{model} member {number} {k}": array for k, array in enumerate(given)}
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return bytes(safetensors.save(contiguous))


def unpacked(content: bytes) -> list[Prepared]:
    """The same from bytes."""
    found: dict[int, dict[str, dict[int, dict[str, npt.NDArray[Any]]]]] = {}
    for name, array in safetensors.load(content).items():
        model, kind, number, part = name.split(" ")
        kinds = found.setdefault(int(model), {"batch": {}, "member": {}})
        kinds[kind].setdefault(int(number), {})[part] = array
    return [
        Prepared(
            [
                GraphBatch.of({k: torch.from_numpy(v) for k, v in parts.items()})
                for _, parts in sorted(kinds["batch"].items())
            ],
            [
                tuple(array for _, array in sorted(parts.items()))
                for _, parts in sorted(kinds["member"].items())
            ],
            [],
        )
        for _, kinds in sorted(found.items())
    ]
