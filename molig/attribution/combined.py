"""Answers put together from several integrals, held to the tolerance of the whole.

The tolerance is a share of the largest attribution. Every integral is refined to its own, but where
several are averaged, attributions may cancel, so that the largest of the average is smaller than those of
each. What is then short of the tolerance is integrated again, to a tighter one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from molig.attribution.engine import Tolerance
from molig.attribution.panels import Answer

Index = npt.NDArray[np.int64]
Ask = Callable[[Index, Tolerance], list[Answer]]
"""From molecules and what their integrals are held to, to answers of each molecule and task."""

# Tighter than needed by this factor, since what the integrals reach varies.
_MARGIN = 0.8
# More repetitions than these have not been seen to help: what is left then is rounding.
_ROUNDS = 3


def held_to(tolerance: Tolerance, n_mols: int, ask: Ask) -> list[Answer]:
    """Answers of molecules, molecule by molecule, the short ones repeated with tighter integrals."""
    answers = ask(np.arange(n_mols), tolerance)
    n_tasks = len(answers) // n_mols
    tightness = np.zeros(n_mols, dtype=np.int64)  # halvings of the tolerance
    for _ in range(_ROUNDS):
        missing = np.array([_halvings(tolerance, answer) for answer in answers])
        of_molecule = missing.reshape(n_mols, n_tasks).max(axis=1)
        tightness += of_molecule
        for halvings in np.unique(tightness[of_molecule > 0]).tolist():
            chosen = np.flatnonzero((of_molecule > 0) & (tightness == halvings))
            repeated = iter(ask(chosen, replace(tolerance, tol=tolerance.tol * 0.5**halvings)))
            for molecule in chosen.tolist():
                for place in range(molecule * n_tasks, (molecule + 1) * n_tasks):
                    answers[place] = min(answers[place], next(repeated), key=_badness)
    return answers


def _halvings(tolerance: Tolerance, answer: Answer) -> int:
    """How often the tolerance of the integrals must be halved; 0 where it need not, or nothing helps."""
    allowed = tolerance.error(answer.largest), tolerance.residual(answer.end - answer.start)
    found = answer.error, abs(answer.residual)
    if answer.converged or not np.isfinite([*allowed, *found]).all():
        return 0
    share = min(most / is_ for most, is_ in zip(allowed, found, strict=True) if is_ > 0)
    return max(1, int(np.ceil(-np.log2(_MARGIN * share))))


def _badness(answer: Answer) -> tuple[bool, float]:
    return not answer.converged, answer.error
