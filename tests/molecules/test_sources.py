from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.molecules.sources import Line, bounded_lines, open_text

from .conftest import WriteFile


class Endless(io.RawIOBase):
    """A file of ``size`` bytes that exists only while it is read."""

    def __init__(self, size: int, pattern: bytes) -> None:
        self.left = size
        self.pattern = pattern

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        n = min(len(buffer), self.left)
        start = -self.left % len(self.pattern)  # the size is a multiple of the pattern
        repeated = self.pattern * (n // len(self.pattern) + 2)
        buffer[:n] = repeated[start : start + n]
        self.left -= n
        return n


def text_of(size: int, pattern: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(Endless(size, pattern)), encoding="utf-8", newline=None)


def peak_memory(lines: Iterator[Line]) -> tuple[int, int]:
    """Read all lines; return their number and the peak of allocated bytes."""
    tracemalloc.start()
    try:
        count = sum(1 for _ in lines)
        return count, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [2_000_000, 30_000_000])
def test_one_endless_line_needs_constant_memory(size: int) -> None:
    count, peak = peak_memory(bounded_lines(text_of(size, b"C")))
    assert count == 1
    assert peak < 1_500_000


def test_many_lines_need_constant_memory() -> None:
    count, peak = peak_memory(bounded_lines(text_of(1_200_000, b"CCO e\n")))
    assert count == 200_000
    assert peak < 500_000


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(write: WriteFile, end: str) -> None:
    with open_text(write("a.smi", end.join(["C", "CC", "", "CCC"]))) as text:
        assert [line.text for line in bounded_lines(text)] == ["C", "CC", "", "CCC"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks(write: WriteFile, encoding: str) -> None:
    with open_text(write("a.smi", "CCO\u00e9\nC\n".encode(encoding))) as text:
        assert [line.text for line in bounded_lines(text)] == ["CCO\u00e9", "C"]


def test_bytes_that_are_no_text_are_replaced(write: WriteFile) -> None:
    with open_text(write("a.smi", b"CC\xff\nC\n")) as text:
        assert text.read() == "CC\ufffd\nC\n"


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12)))
def test_lines_come_back_cut_at_the_limit(texts: list[str]) -> None:
    content = "".join(text + "\n" for text in texts)
    lines = list(bounded_lines(io.StringIO(content), limit=5))
    assert lines == [Line(text[:5], len(text) > 5) for text in texts]
