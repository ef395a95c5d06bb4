"""Universal Binary JSON, as far as XGBoost writes it (https://ubjson.org)."""

from __future__ import annotations

from typing import Any

import numpy as np

_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_CONSTANTS = {"Z": None, "T": True, "F": False}


def read_ubjson(data: bytes) -> Any:
    r"""Read a value; arrays of numbers of one type become numpy arrays.

    Parameters
    ----------
    data : bytes
        The text.

    Returns
    -------
    object
        Dictionaries, lists, arrays, texts and numbers.

    Raises
    ------
    ValueError, IndexError, struct.error
        If the text is damaged.

    Examples
    --------
    >>> read_ubjson(b"{U\x01a[$U#U\x02\x05\x06U\x01bSU\x02hi}")
    {'a': array([5, 6], dtype=uint8), 'b': 'hi'}
    """
    return _Reader(data).value()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def value(self) -> Any:
        return self._of(self._mark())

    def _mark(self) -> str:
        self._at += 1
        return chr(self._data[self._at - 1])

    def _next_is(self, mark: str) -> bool:
        return chr(self._data[self._at]) == mark

    def _of(self, mark: str) -> Any:
        if mark in _CONSTANTS:
            return _CONSTANTS[mark]
        if mark in _NUMBERS:
            return self._numbers(mark, 1)[0].item()
        if mark == "C":
            return self._mark()
        if mark == "S":
            return self._text()
        if mark == "[":
            return self._list()
        if mark == "{":
            return self._dict()
        raise ValueError(f"{mark!r} at byte {self._at - 1} marks nothing")

    def _numbers(self, mark: str, n: int) -> Any:
        kind = np.dtype(_NUMBERS[mark])
        found = np.frombuffer(self._data, kind, n, self._at)
        self._at += n * kind.itemsize
        return found.astype(kind.newbyteorder("="))

    def _text(self) -> str:
        n = self.value()
        if not isinstance(n, int) or not 0 <= n <= len(self._data) - self._at:
            raise ValueError(f"a text of {n} bytes at byte {self._at}")
        self._at += n
        return self._data[self._at - n : self._at].decode()

    def _header(self) -> tuple[str | None, int | None]:
        """Type and number of what a container holds, where it states them."""
        kind = None
        if self._next_is("$"):
            self._at += 1
            kind = self._mark()
        if not self._next_is("#"):
            return kind, None
        self._at += 1
        n = self.value()
        if not isinstance(n, int) or not 0 <= n <= len(self._data):
            raise ValueError(f"a container of {n} parts at byte {self._at}")
        return kind, n

    def _list(self) -> Any:
        kind, n = self._header()
        if kind in _NUMBERS and n is not None:
            return self._numbers(kind, n)
        found = list[Any]()
        while len(found) < n if n is not None else not self._next_is("]"):
            found.append(self._of(kind) if kind else self.value())
        self._at += n is None
        return found

    def _dict(self) -> dict[str, Any]:
        kind, n = self._header()
        found = dict[str, Any]()
        while len(found) < n if n is not None else not self._next_is("}"):
            name = self._text()
            found[name] = self._of(kind) if kind else self.value()
        self._at += n is None
        return found
