from __future__ import annotations

import gzip
import io
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.errors import InputError
from molig.molecules import read_records
from molig.molecules.sources import Line, as_text, bounded_lines, decoded, open_lines

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


def text_of(size: int, pattern: bytes) -> Iterator[str]:
    return decoded(io.BufferedReader(Endless(size, pattern)))


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
    with open_lines(write("a.smi", end.join(["C", "CC", "", "CCC"]))) as lines:
        assert [line.text for line in lines] == ["C", "CC", "", "CCC"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks(write: WriteFile, encoding: str) -> None:
    with open_lines(write("a.smi", "CCO\u00e9\nC\n".encode(encoding))) as lines:
        assert list(lines) == [Line("CCO\u00e9"), Line("C")]


def test_bytes_that_are_no_utf8_are_read_as_windows_1252(write: WriteFile) -> None:
    content = b"C \xe9\nC \xc3\xa9\nC \x81\nC \x8d\n"
    with open_lines(write("a.smi", content)) as lines:
        assert list(lines) == [
            Line("C \u00e9", recoded=True),
            Line("C \u00e9"),
            Line("C \\x81", recoded=True),
            Line("C \\x8d", recoded=True),
        ]


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_no_two_undecodable_texts_become_one(first: bytes, second: bytes) -> None:
    texts = [as_text(content) for content in (first, second)]
    assert (texts[0] == texts[1]) == (first == second) or any(b"\\x" in one for one in (first, second))


class OneByOne(Endless):
    """A pipe that gives one byte at a time."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return super().readinto(buffer[:1])


def test_a_slow_pipe_with_a_byte_order_mark() -> None:
    content = "CCO \u00e9\r\nC".encode("utf-8-sig")
    stream = io.BufferedReader(OneByOne(len(content), content))
    assert list(bounded_lines(decoded(stream))) == [Line("CCO \u00e9"), Line("C")]


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12)))
def test_lines_come_back_cut_at_the_limit(texts: list[str]) -> None:
    content = "".join(text + "\n" for text in texts)
    lines = list(bounded_lines(io.StringIO(content), limit=5))
    assert lines == [Line(text[:5], len(text) > 5) for text in texts]


def test_lines_of_blanks_keep_them() -> None:
    texts = ["C", "\f", " ", "\t\t", "\u2028", "", "\x85 "]
    pieces = ["C\n", "".join(text + "\n" for text in texts[1:])]
    assert list(bounded_lines(pieces)) == [Line(text) for text in texts]


def test_empty_lines_come_in_one_piece() -> None:
    assert list(bounded_lines(["C\n", "\n" * 9000, "CC"])) == [Line("C"), Line("", n_lines=9000), Line("CC")]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4, "it is a PNG image"),
        (b"PAR1" + bytes(100), "file_format parquet"),
        (gzip.compress(b"CCO\n"), "packed twice"),
        (bytes(range(256)) * 8, "is not text, for 11% of its first bytes"),
        ("CCO ethanol\nCCN amine\n".encode("utf-16-le"), "if this is one in UTF-16"),
    ],
    ids=["png", "parquet", "gzip within gzip", "random", "utf-16 without a mark"],
)
@pytest.mark.parametrize("name", ["a.smi", "a.csv", "a.smi.gz"])
def test_a_file_that_is_no_text_says_what_it_is(write, name, content, what):
    if what == "packed twice" and not name.endswith("gz"):
        pytest.skip("packed once")
    with pytest.raises(InputError, match=what):
        read_records(write(name, content))


def test_stray_control_characters_cost_no_file(write):
    rows = list(read_records(write("a.smi", b"CCO a\nCC\0O b\nCCN \x1b[31mc\n")))
    assert [record.problem is None for record in rows] == [True, False, True]
