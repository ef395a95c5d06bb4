"""What a model's card states beside what is measured now, figure by figure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from molig.model import BaselineScore, TaskMetrics
from molig.validation.results import FIGURES

TOLERANCE = 0.005
"""Allowed difference of a figure: absolute up to a value of 1, as a share of the stated value above."""

MEDIAN = "median over tasks"
"""What stands for the task where figures of several are summed up."""

_COUNTS = ("n_actives", "n_inactives")
_BASELINE = ("median", "max", "share_neutral")


@dataclass(frozen=True)
class FigureDifference:
    """A figure that a card states, and the same measured now.

    Parameters
    ----------
    task : str
        The task, or `MEDIAN`.
    figure : str
        Field of `TaskMetrics`; ``"baseline_"`` and a field of `BaselineScore` for the zero baseline.
    stated : float
        On the card.
    now : float
        Measured now; NaN if it is not defined on the table at hand.

    Examples
    --------
    >>> FigureDifference("NR-AR", "ef_1", 20.0, 20.05).is_reproduced
    True
    >>> FigureDifference("NR-AR", "roc_auc", 0.80, 0.85).is_reproduced
    False
    """

    task: str
    figure: str
    stated: float
    now: float

    @property
    def difference(self) -> float:
        """What is measured now less what is stated."""
        return self.now - self.stated

    @property
    def relative(self) -> float:
        """Size of the difference, as a share of the stated value where that is above 1; infinite if NaN."""
        found = abs(self.difference) / max(1.0, abs(self.stated))
        return math.inf if math.isnan(found) else found

    @property
    def is_reproduced(self) -> bool:
        """Whether the difference is within `TOLERANCE`."""
        return self.relative <= TOLERANCE


def figure_differences(
    stated: Mapping[str, TaskMetrics],
    now: Mapping[str, TaskMetrics],
    stated_baseline: Mapping[str, BaselineScore],
    baseline: Mapping[str, BaselineScore],
) -> list[FigureDifference]:
    """Pair all figures that a card states of a part with those of now; intervals are left out.

    Parameters
    ----------
    stated, now : mapping of str to TaskMetrics
        Task to figures.
    stated_baseline, baseline : mapping of str to BaselineScore
        Task to figures of the zero baseline.

    Returns
    -------
    list of FigureDifference
        Task by task; last the medians of the ranking figures, where there are several tasks.
    """
    found: list[FigureDifference] = []
    for task, then in stated.items():
        found += _pairs(task, (*FIGURES, *_COUNTS), then, now.get(task))
    for task, zero in stated_baseline.items():
        found += _pairs(task, _BASELINE, zero, baseline.get(task), prefix="baseline_")
    if len(stated) > 1:
        found += _medians(found)
    return found


def _pairs(
    task: str,
    names: Sequence[str],
    then: TaskMetrics | BaselineScore,
    now: TaskMetrics | BaselineScore | None,
    prefix: str = "",
) -> Iterator[FigureDifference]:
    for name in names:
        value, again = getattr(then, name), getattr(now, name, None)
        if value is not None:
            again = math.nan if again is None else float(again)
            yield FigureDifference(task, prefix + name, float(value), again)


def _medians(pairs: Sequence[FigureDifference]) -> list[FigureDifference]:
    found = []
    for name in FIGURES:
        of_name = [pair for pair in pairs if pair.figure == name]
        if of_name:
            then, now = median(pair.stated for pair in of_name), median(pair.now for pair in of_name)
            found.append(FigureDifference(MEDIAN, name, then, now))
    return found
