"""Shards: a library that several runs share out, each on a machine of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple, Self

from molig.errors import UsageError, called

_MANY = 8


class Shard(NamedTuple):
    """One of ``n`` runs that share a library: of every ``n`` chunks it takes the one at its place.

    Parameters
    ----------
    place, n : int
        Which one, from 1, of how many.

    Examples
    --------
    >>> shard = Shard.parse("2/8")
    >>> shard.owns(1), shard.owns(2), shard.directory(Path("hits.parquet")).name
    (True, False, 'hits.shard-2-of-8')
    """

    place: int = 1
    n: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2/8``; raises UsageError."""
        try:
            place, n = map(int, text.split("/"))
        except ValueError:
            place = n = 0
        if not 1 <= place <= n:
            raise UsageError(f"{called('shard')} must be like 2/8, the second of eight (got {text!r})")
        return cls(place, n)

    def __str__(self) -> str:
        return f"{self.place}/{self.n}"

    def owns(self, chunk: int) -> bool:
        """Whether a chunk is one of this shard's."""
        return chunk % self.n == self.place - 1

    @property
    def apart(self) -> bool:
        """Whether its chunks are so few that each is better looked up than all others read."""
        return self.n >= _MANY

    def numbers(self) -> Iterator[int]:
        """Numbers of its chunks, without end."""
        return count(self.place - 1, self.n)

    @property
    def suffix(self) -> str:
        """End of the name of its directory."""
        return f"shard-{self.place}-of-{self.n}"

    def directory(self, output: Path) -> Path:
        """Where its results are kept until they are merged."""
        return output.with_suffix(f".{self.suffix}")
