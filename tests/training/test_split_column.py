"""What a column says of the split: parts, groups, times."""

from __future__ import annotations

import datetime
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.errors import InputError
from molig.molecules import Record
from molig.training.recipe import SplitColumn, SplitKind
from molig.training.split_column import SplitReader


def record(row: int = 1, **fields) -> Record:
    return Record(row, str(row), "C", fields)


def reader(kind: str, column: str = "by") -> SplitReader:
    return SplitReader(SplitColumn(SplitKind(kind), column))


def times(*raw) -> list[float]:
    found = reader("time")
    return [float(v) for v in found.settled([found.value(record(by=value))[0] for value in raw])]


@pytest.mark.parametrize("raw", ["train", "Validation", " TEST "])
def test_parts_in_any_case(raw):
    assert reader("given").value(record(by=raw)) == (raw.strip().lower(), None)


@pytest.mark.parametrize("raw", ["", None, "dev", "training", 0, float("nan")])
def test_a_row_without_a_part_is_named(raw):
    with pytest.raises(InputError, match=r"row 7: column 'fold' says .*; a given split needs train"):
        reader("given", "fold").value(record(7, fold=raw))


def test_without_a_column_nothing_is_said():
    assert SplitReader().value(record(split="nonsense")) == ("", None)
    assert SplitReader().settled([""]) is None


def test_a_row_that_could_not_be_read_says_nothing():
    assert reader("given").value(Record(3, "3", "C", problem="quoting")) == ("", None)


@pytest.mark.parametrize(("raw", "group"), [("A-7", "A-7"), (" a b ", "a b"), (3, "3"), ("test", "test")])
def test_groups_are_texts(raw, group):
    assert reader("group").value(record(by=raw)) == (group, None)


@pytest.mark.parametrize("raw", ["", "  ", None, math.nan, "NA"])
def test_no_group_is_no_mistake_and_no_time_costs_the_row(raw):
    assert reader("group").value(record(by=raw)) == ("", None)
    assert reader("time").value(record(by=raw)) == ("", "no time in column 'by', by which the split goes")


@pytest.mark.parametrize(
    "raw",
    [
        ["2019-01-31", "2019-02", "2019-02-02", "2020"],
        ["2019-01-31T23:00:00", "2019-02-01 00:30", "2019-02-01T00:00:00-05:00"],
        [2017, 2018.0, "2019", "2020"],
        [-3.5, 0, "1e2", 20190503],
        [datetime.date(2019, 1, 31), pd.Timestamp("2019-02-01"), datetime.datetime(2019, 2, 2, 4)],
    ],
    ids=["dates", "hours", "years", "numbers", "typed"],
)
def test_times_in_order(raw):
    found = times(*raw)
    assert found == sorted(found)
    assert len(set(found)) == len(raw)


@given(st.lists(st.dates(), min_size=2))
def test_dates_keep_their_order_however_they_are_written(dates):
    found = times(*(d if i % 2 else d.isoformat() for i, d in enumerate(dates)))
    assert sorted(range(len(dates)), key=found.__getitem__) == sorted(
        range(len(dates)), key=dates.__getitem__
    )


@pytest.mark.parametrize("raw", ["31.05.2019", "May 2019", "2019-13-01", "inf", "Q1"])
def test_what_is_no_time_is_named(raw):
    with pytest.raises(InputError, match=r"row 9: column 'by' says .*; a time split needs ISO dates"):
        reader("time").value(record(9, by=raw))


def test_numbers_among_dates_must_be_years():
    with pytest.raises(InputError, match=r"both dates and numbers \(row 1: 12.5\)"):
        times(12.5, "2019-01-31")
