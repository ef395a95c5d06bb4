"""Which of the best rows to take if few shall be alike: at most so many of a scaffold, or of a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator

from molig.errors import UnknownNameError, UsageError, called
from molig.molecules.reasons import CHEMISTRY_ERRORS

ECFP4_RADIUS, ECFP4_BITS = 2, 2048

_CANDIDATES_PER_PICK, _FEWEST_CANDIDATES, _MOST_CANDIDATES = 50, 10_000, 500_000


class Alike(StrEnum):
    """What makes molecules count as alike."""

    SCAFFOLD = "scaffold"
    """The same Bemis-Murcko scaffold; all molecules without rings have the empty one."""

    CLUSTER = "cluster"
    """Fingerprints (ECFP4) as similar as `Diversity.similarity` to that of a better ranked molecule."""


@dataclass(frozen=True)
class Diversity:
    """At most ``per_group`` molecules of a scaffold or cluster, in rank order.

    Going through the rows from the best down, a row is taken unless its group is full. A scaffold is a group.
    A cluster is led by a row that is less similar than ``similarity`` to every leader before it; any other
    row belongs to the nearest leader (leader clustering, also called sphere exclusion, in rank order).

    Parameters
    ----------
    alike : Alike or str
        What a group is.
    per_group : int
        Most rows of a group.
    similarity : float
        Of clusters: the Tanimoto coefficient of ECFP4 (Morgan, radius 2, 2,048 bits), from 0 to 1, from which
        on molecules belong together.

    Raises
    ------
    UnknownNameError, UsageError
        If there is no such kind of group, or a number makes no sense.

    Examples
    --------
    >>> table = pa.table({"row": [1, 2, 3], "scored_smiles": ["Cc1ccccc1", "Oc1ccccc1", "C1CCCC1"]})
    >>> taken = Diversity("scaffold").pick(table, 2)
    >>> taken["row"].to_pylist(), taken["scaffold"].to_pylist()
    ([1, 3], ['c1ccccc1', 'C1CCCC1'])
    """

    alike: Alike | str
    per_group: int = 1
    similarity: float = 0.6

    def __post_init__(self) -> None:
        if self.alike not in list(Alike):
            raise UnknownNameError("kind of group", str(self.alike), [kind.value for kind in Alike])
        object.__setattr__(self, "alike", Alike(self.alike))
        if self.per_group < 1:
            raise UsageError(f"{called('per_group')} must be at least 1 (got {self.per_group})")
        if not 0 < self.similarity <= 1:
            raise UsageError(f"{called('similarity')} must be above 0 and at most 1 (got {self.similarity})")

    @property
    def field(self) -> pa.Field:
        """Column that says which group a row is of: the scaffold, or the row that leads its cluster."""
        if self.alike is Alike.SCAFFOLD:
            return pa.field("scaffold", pa.string())
        return pa.field("cluster", pa.int64(), metadata={"description": "row that leads the cluster"})

    def n_candidates(self, k: int) -> int:
        """How many of the best rows settle the first ``k`` picks.

        For scaffolds ``k``: the picks among any rows, and all further rows, make the same picks as all rows
        together. A leader may be overtaken by a row that sets its cluster free, so of clusters the best rows
        are needed as they are: 50 for each pick, at least 10,000 and at most 500,000 unless k is larger.
        """
        if self.alike is Alike.SCAFFOLD:
            return k
        return max(min(max(_CANDIDATES_PER_PICK * k, _FEWEST_CANDIDATES), _MOST_CANDIDATES), k)

    def pick(self, table: pa.Table, k: int) -> pa.Table:
        """The first ``k`` rows of different enough molecules.

        Parameters
        ----------
        table : pyarrow.Table
            Rows from the best down, with ``row`` and ``scored_smiles``; a column of scaffolds is used as far
            as it is filled in.
        k : int
            Most rows to take.

        Returns
        -------
        pyarrow.Table
            The rows taken, with their group.
        """
        places: list[int] = []
        groups: list[Any] = []
        sizes: Counter[Any] = Counter()
        for place, group in enumerate(self._groups(table)):
            if sizes[group] < self.per_group:
                sizes[group] += 1
                places.append(place)
                groups.append(group)
            if len(places) == k:
                break
        taken = table.take(pa.array(places, pa.int64()))
        column, at = pa.array(groups, self.field.type), table.schema.get_field_index(self.field.name)
        return taken.append_column(self.field, column) if at < 0 else taken.set_column(at, self.field, column)

    def _groups(self, table: pa.Table) -> Iterator[Any]:
        """Group of each row from the best down, found when it is asked for."""
        smiles = table.column("scored_smiles").to_pylist()
        if self.alike is Alike.CLUSTER:
            return _clusters(smiles, table.column("row").to_pylist(), self.similarity)
        known = (
            table.column("scaffold").to_pylist() if "scaffold" in table.column_names else [None] * len(smiles)
        )
        return (
            _scaffold(text) if group is None else group for text, group in zip(smiles, known, strict=True)
        )


def _scaffold(smiles: str) -> str:
    from molig.training.splits import murcko_scaffold  # noqa: PLC0415 - slow to import, and rarely needed

    try:
        return murcko_scaffold(smiles)
    except CHEMISTRY_ERRORS:  # RDKit refuses to check the valences of the rest: it is its own scaffold
        return smiles


def _clusters(smiles: Sequence[str], rows: Sequence[int], similarity: float) -> Iterator[int]:
    """Row of the leader of every row's cluster."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=ECFP4_RADIUS, fpSize=ECFP4_BITS)
    leaders: list[int] = []
    fingerprints: list[DataStructs.ExplicitBitVect] = []
    for text, row in zip(smiles, rows, strict=True):
        with rdBase.BlockLogs():
            mol = Chem.MolFromSmiles(text)
        if mol is None:  # SMILES of a few metal complexes cannot be read back: each is a cluster of its own
            yield row
            continue
        found = generator.GetFingerprint(mol)
        alike = DataStructs.BulkTanimotoSimilarity(found, fingerprints)
        nearest = max(range(len(alike)), key=alike.__getitem__, default=None)
        if nearest is not None and alike[nearest] >= similarity:
            yield leaders[nearest]
            continue
        leaders.append(row)
        fingerprints.append(found)
        yield row
