"""Input columns that the network does not read, by its weights and by its attributions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from molig.audit.column_study import FEWEST_ROWS, ColumnStudy, Place
from molig.audit.columns import LEVELS

NO_EFFECT = 1e-3
"""Weights, or attributions per occurrence, below this share of the usual ones are none. In the bundled
models the weights of all columns lie within a factor of 3."""
CREDITED = 0.1
"""Attribution per occurrence, as a share of the usual one, that weights below `NO_EFFECT` cannot bring about:
a hundred times what is left of them."""


@dataclass(frozen=True)
class UnreadColumns:
    """Columns that occur, but play no part.

    Parameters
    ----------
    by_weights : list of (str, int)
        The first layer does not read them, and they get no attribution.
    by_attribution : list of (str, int)
        The first layer reads them, and they get no attribution.
    credited : list of (str, int)
        The first layer does not read them, and yet they get attribution: the two are not of one network.
    """

    by_weights: list[Place] = field(default_factory=list)
    by_attribution: list[Place] = field(default_factory=list)
    credited: list[Place] = field(default_factory=list)


def unread_columns(study: ColumnStudy) -> UnreadColumns:
    """Compare weights and attributions of each column with the usual ones of its level.

    Parameters
    ----------
    study : ColumnStudy
        Weights and attributions.

    Returns
    -------
    UnreadColumns
    """
    found = UnreadColumns()
    for level in LEVELS:
        usual = float(np.median(study.weights[level])) if len(study.weights[level]) else 0.0
        own = [place for place in study.occurring if place[0] == level]
        frequent = [place for place in own if study.uses(place) >= FEWEST_ROWS]
        mean = study.per_use(frequent)
        for place in own:
            # A NaN weight is no small one.
            if study.weights[level][place[1]] <= NO_EFFECT * usual:
                foreign = mean > 0 and study.per_use([place]) > CREDITED * mean
                (found.credited if foreign else found.by_weights).append(place)
            elif place in frequent and mean > 0 and study.per_use([place]) <= NO_EFFECT * mean:
                found.by_attribution.append(place)
    return found
