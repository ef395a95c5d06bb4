"""Copies of a molecule that disagree about a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from molig.training.sections import ConflictPolicy

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelConflicts:
    """What was found, and what was done about it.

    Parameters
    ----------
    policy : ConflictPolicy
        What was done.
    molecules : int
        Different molecules that have rows with different labels in a task.
    labels : int
        Labels of such rows and tasks.
    changed : int
        Labels that were replaced or taken away.
    """

    policy: ConflictPolicy
    molecules: int
    labels: int
    changed: int

    def to_dict(self) -> dict[str, str | int]:
        """Policy and counts as plain data."""
        return {
            "policy": self.policy.value,
            "molecules": self.molecules,
            "labels": self.labels,
            "changed": self.changed,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        counts = (int(data[name]) for name in ("molecules", "labels", "changed"))
        return cls(ConflictPolicy(data["policy"]), *counts)

    def __str__(self) -> str:
        """One sentence, empty if there was nothing to settle."""
        if not self.molecules:
            return ""
        return (
            f"{self.molecules} molecules have copies with different labels ({self.labels} labels); "
            f"policy {self.policy.value}: {self.changed} labels changed"
        )


def settle_conflicts(
    smiles: Sequence[str], labels: FloatArray, policy: ConflictPolicy
) -> tuple[FloatArray, LabelConflicts]:
    """Apply a policy where copies of a molecule have different class labels in a task.

    Parameters
    ----------
    smiles : sequence of str
        Canonical SMILES; copies share theirs.
    labels : array of float, shape (n_mols, n_tasks)
        1 active, 0 inactive, NaN not measured.
    policy : ConflictPolicy
        Keep all labels, take the majority's (none at a tie), or drop them.

    Returns
    -------
    labels : array of float, shape (n_mols, n_tasks)
        A copy; rows may have no label left.
    conflicts : LabelConflicts
        Counts.

    Examples
    --------
    >>> labels = np.array([[1.0], [1.0], [0.0], [0.0]])
    >>> settled, found = settle_conflicts(["C", "C", "C", "N"], labels, ConflictPolicy.MAJORITY)
    >>> settled[:, 0].tolist(), found.molecules, found.changed
    ([1.0, 1.0, 1.0, 0.0], 1, 1)
    """
    unique, copy_of = np.unique(np.array(smiles, dtype=object), return_inverse=True)
    sums = [np.zeros((len(unique), labels.shape[1])) for _ in range(2)]
    for value, total in zip((0.0, 1.0), sums, strict=True):
        np.add.at(total, copy_of, labels == value)
    inactive, active = sums
    torn = (inactive > 0) & (active > 0)
    affected = torn[copy_of] & ~np.isnan(labels)
    settled = labels.copy()
    if policy is ConflictPolicy.DROP:
        settled[affected] = np.nan
    elif policy is ConflictPolicy.MAJORITY:
        verdict = np.where(active == inactive, np.nan, (active > inactive).astype(float))
        settled[affected] = verdict[copy_of][affected]
    changed = affected & ~(settled == labels)
    counts = (int(torn.any(axis=1).sum()), int(affected.sum()), int(changed.sum()))
    return settled, LabelConflicts(policy, *counts)
