"""Groups of a molecule with what they contribute, and those to tell of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from molig.molecules.groups import Group

# A group is told of beside the first if it carries this share of the first one's score.
_NEAR = 0.25


@dataclass(frozen=True)
class ScoredGroup(Group):
    """A group with its contribution.

    Parameters
    ----------
    name, atoms, kind, generic
        As of `molig.molecules.groups.Group`.
    score : float
        Sum of the `atom_scores` of its atoms.
    """

    score: float = 0.0


@dataclass(frozen=True)
class MainGroup:
    """Groups of one name that carry much of a score together.

    Parameters
    ----------
    name : str
        Such as "nitro".
    places : tuple of tuple of int
        Atoms of each, as the scored molecule counts them.
    score : float
        Contribution of all of them together.
    words : str
        The name with its number or its atoms as the input counts them: "4 × chloro", "nitro (atoms 0–2)".
    """

    name: str
    places: tuple[tuple[int, ...], ...]
    score: float
    words: str

    @property
    def atoms(self) -> tuple[int, ...]:
        """All of their atoms."""
        return tuple(sorted(atom for place in self.places for atom in place))


def main_groups(
    groups: Sequence[ScoredGroup], change: float, numbers: Sequence[int], n: int
) -> list[MainGroup]:
    """Groups with most of a change of score, in its direction; those of one name together."""
    sign = 1.0 if change >= 0 else -1.0
    carrying = [group for group in groups if sign * group.score > 0]
    named: dict[tuple[str, tuple[int, ...]], list[ScoredGroup]] = {}
    for group in carrying:
        # "2 fused rings" and "2 fused rings" need not be alike.
        named.setdefault((group.name, group.atoms if group.generic else ()), []).append(group)
    ambiguous = {group.name for group in groups if sign * group.score <= 0}
    found = []
    for (name, _), alike in named.items():
        places = tuple(group.atoms for group in alike)
        words = f"{len(alike)} × {name}" if len(alike) > 1 else name
        if alike[0].generic or name in ambiguous:
            words += f" ({atoms_in_words([numbers[atom] for place in places for atom in place])})"
        found.append(MainGroup(name, places, sum(group.score for group in alike), words))
    found.sort(key=lambda one: (-abs(one.score), one.places))
    return [one for one in found[:n] if abs(one.score) >= _NEAR * abs(found[0].score)]


def atoms_in_words(atoms: Sequence[int]) -> str:
    """Numbers of atoms, runs of them as ranges.

    Examples
    --------
    >>> atoms_in_words([4, 2, 3, 9])
    'atoms 2–4, 9'
    """
    runs = groupby(enumerate(sorted(atoms)), key=lambda pair: pair[1] - pair[0])
    ends = [(run[0][1], run[-1][1]) for run in (list(run) for _, run in runs)]
    ranges = [str(first) if first == last else f"{first}–{last}" for first, last in ends]
    return ("atom " if len(atoms) == 1 else "atoms ") + ", ".join(ranges)
