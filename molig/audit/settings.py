"""Choices of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from molig.errors import UsageError
from molig.model import ScreeningModel


@dataclass(frozen=True)
class ActivityPair:
    """Two similar molecules and the difference of their activities.

    Parameters
    ----------
    first, second : str
        SMILES.
    difference : float
        Activity of the first minus that of the second; its sign is what counts.
    task : str
        Task of the model that it is about.
    """

    first: str
    second: str
    difference: float
    task: str


@dataclass(frozen=True)
class AuditSettings:
    """Choices of an audit; every sample is drawn with the seed and stated in the report.

    Parameters
    ----------
    max_molecules : int
        Molecules audited; of more, a sample.
    max_explained : int, optional
        Molecules explained, for all tasks; of more, a sample, half of it active ones. Default 500, or 100
        where features are numbers, so that hardly any rows are shared and each costs ten times as much.
    seed : int
        Seed of samples and of randomised weights.
    tasks : sequence of str
        Tasks audited; default all.
    partners : sequence of ScreeningModel
        Models for the same tasks, such as other seeds, to compare explanations with.
    pairs : sequence of ActivityPair
        Pairs for the check of activity cliffs; default those found in the labels.

    Raises
    ------
    UsageError
        For an impossible number.

    Examples
    --------
    >>> AuditSettings(max_explained=100).seed
    0
    """

    max_molecules: int = 5_000
    max_explained: int | None = None
    seed: int = 0
    tasks: Sequence[str] = ()
    partners: Sequence[ScreeningModel] = field(default_factory=tuple)
    pairs: Sequence[ActivityPair] = ()

    def __post_init__(self) -> None:
        for name in ("max_molecules", "max_explained"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1 (got {value})")
