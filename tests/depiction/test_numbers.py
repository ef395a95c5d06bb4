import pytest

from molig.depiction.numbers import decimals, number


def test_numbers_bear_their_sign():
    assert [number(value) for value in (0.0, 1.0, -0.00012345, 123456.0)] == [
        "0",
        "+1",
        "−0.000123",
        "+1.23e+05",
    ]


@pytest.mark.parametrize(
    ("value", "digits"),
    [(0.0, 2), (-41.7, 2), (0.13, 2), (0.1, 2), (-0.087, 3), (-0.006, 4), (1.2e-5, 6), (1e-12, 6)],
)
def test_small_numbers_get_as_many_digits_as_they_need(value, digits):
    assert decimals(value) == digits


def test_large_numbers_need_no_decimals():
    assert decimals(310.2, least=0) == 0
    assert decimals(3.1, least=0) == 1
