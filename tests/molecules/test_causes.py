"""How many rows may be rejected, and when that is judged."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.errors import UsageError
from molig.molecules import Rejection
from molig.molecules.causes import NothingUsableError, RejectBound

FIRST = [Rejection(1, "a", "C1CC", "not parsable: syntax error")]


def refused(bound: RejectBound, n_rows: int, n_rejected: int, *, done: bool) -> bool:
    try:
        bound.check(n_rows, Counter({"not parsable": n_rejected}), FIRST, done=done)
    except NothingUsableError:
        return True
    return False


@given(st.integers(0, 200), st.integers(1, 200), st.integers(0, 100))
def test_a_share_is_judged_at_the_end(n_rejected, n_good, percent):
    bound, n_rows = RejectBound.parse(f"{percent}%"), n_rejected + n_good
    assert refused(bound, n_rows, n_rejected, done=True) == (n_rejected / n_rows > percent / 100)
    assert not refused(bound, n_rows, n_rejected, done=False)


@given(st.integers(0, 200), st.integers(0, 200), st.booleans())
def test_a_number_is_judged_at_once(n_rejected, most, done):
    assert refused(RejectBound.parse(str(most)), 1000, n_rejected, done=done) == (n_rejected > most)


@pytest.mark.parametrize(
    ("bound", "n_rows", "n_rejected", "stops"),
    [
        ("50%", 9_999, 9_999, False),
        ("50%", 10_000, 9_501, True),
        ("50%", 10_000, 9_500, False),
        ("97%", 10_000, 9_700, False),
        ("97%", 10_000, 9_701, True),
        ("100%", 10_000, 10_000, False),
    ],
)
def test_a_share_stops_early_if_nearly_all_are_rejected(bound, n_rows, n_rejected, stops):
    assert refused(RejectBound.parse(bound), n_rows, n_rejected, done=False) == stops


def test_the_error_names_the_reasons_and_the_way_out():
    with pytest.raises(NothingUsableError, match=r"3 of the 4 rows .* 50 % of max_rejects: 3 x not parsable"):
        RejectBound.parse("50%").check(4, Counter({"not parsable": 3}), FIRST, done=True)


@pytest.mark.parametrize("text", ["half", "-1", "120%", "-5%", "1.5", "", "%", "nan%"])
def test_what_is_no_bound_is_refused(text):
    with pytest.raises(UsageError, match="a share such as 50% or a number of rows"):
        RejectBound.parse(text)
