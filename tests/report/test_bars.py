import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.report.page import bars

shares = st.floats(min_value=-1e9, max_value=1e9)


@given(st.lists(st.tuples(st.text(max_size=3), shares), max_size=8))
def test_bars_stay_on_the_track_and_start_at_the_axis(ledger):
    for (name, share), bar in zip(ledger, bars(ledger), strict=True):
        assert bar.name == name
        assert bar.start >= 0
        assert bar.start + bar.length <= 100.02
        if share < 0:
            assert bar.negative
            assert bar.start + bar.length == pytest.approx(bar.axis, abs=0.02)
        else:
            assert bar.start == bar.axis


def test_bars_share_one_scale():
    found = bars([("atoms", 80.0), ("pairs", 40.0), ("others", -20.0)])
    assert [bar.length for bar in found] == [80.0, 40.0, 20.0]
    assert {bar.axis for bar in found} == {20.0}


@pytest.mark.parametrize("unknown", [math.nan, math.inf, -math.inf])
def test_unknown_shares_have_no_bar(unknown):
    first, second = bars([("a", unknown), ("b", 50.0)])
    assert (first.value, first.length) == ("n/a", 0.0)
    assert second.length == 100.0


def test_small_shares_do_not_read_as_minus_nought():
    assert [bar.value for bar in bars([("a", -0.01), ("b", 0.0)])] == ["0.0 %", "0.0 %"]
    assert bars([]) == []
