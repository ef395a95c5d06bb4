"""Binary JSON."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.foreign.ubjson import read_ubjson

NUMBERS = {"i": "b", "U": "B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}


def written(value) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"Z", True: b"T", False: b"F"}[value]
    if isinstance(value, int):
        return b"L" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"D" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"S" + text(value)
    if isinstance(value, list):
        return b"[" + b"".join(map(written, value)) + b"]"
    return b"{" + b"".join(text(name) + written(each) for name, each in value.items()) + b"}"


def text(value: str) -> bytes:
    return written(len(value.encode())) + value.encode()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_was_written_is_read(value):
    assert read_ubjson(written(value)) == value


@given(st.sampled_from(sorted(NUMBERS)), st.lists(st.integers(0, 100), max_size=9))
def test_arrays_of_one_type(mark, numbers):
    packed = b"".join(struct.pack(NUMBERS[mark], number) for number in numbers)
    found = read_ubjson(b"[$" + mark.encode() + b"#" + written(len(numbers)) + packed)
    np.testing.assert_array_equal(found, numbers)
    assert found.dtype.isnative


def test_counted_containers():
    assert read_ubjson(b"[#U\x02TF") == [True, False]
    assert read_ubjson(b"{#U\x01U\x01aT") == {"a": True}
    assert read_ubjson(b"{$S#U\x01U\x01aU\x02hi") == {"a": "hi"}


@given(st.binary(max_size=60))
def test_any_bytes_end(data):
    with contextlib.suppress(ValueError, IndexError, struct.error, RecursionError):
        read_ubjson(data)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"SU\x09a", b"[$U#L\x7f\xff\xff\xff\xff\xff\xff\xff", b"{U\x01a"]
)
def test_damaged(data):
    with pytest.raises((ValueError, IndexError)):
        read_ubjson(data)
