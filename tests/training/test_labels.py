"""Labels and parts as rows state them."""

import math

import pytest

from molig.errors import InputError
from molig.model import Objective
from molig.molecules import Record
from molig.training.dataset import LabelReader

REGRESSION, CLASSIFICATION = Objective.REGRESSION, Objective.CLASSIFICATION


def record(row: int = 1, **fields) -> Record:
    return Record(row, str(row), "C", fields)


@pytest.mark.parametrize("raw", [-3, 2.5, "2.5", "1e5", "-0.25", " 7 "])
def test_any_finite_number_is_a_value(raw):
    assert LabelReader(["a"], REGRESSION).labels(record(a=raw)) == ([float(raw)], None)


@pytest.mark.parametrize("raw", ["", None, float("nan"), "NaN", "NA", "null"])
def test_what_is_missing_is_not_measured(raw):
    found, problem = LabelReader(["a", "b"], REGRESSION).labels(record(a=raw, b=1))
    assert problem is None
    assert math.isnan(found[0])
    assert LabelReader(["a"], REGRESSION).labels(record(a=raw))[1] == "no label in any target column"


@pytest.mark.parametrize("raw", ["inf", float("-inf"), "1e999", "high", "<5", True + 1j])
def test_what_is_no_finite_number_has_its_reason(raw):
    problem = LabelReader(["a"], REGRESSION).labels(record(a=raw))[1]
    assert problem == f"label a = {raw!r} is neither a finite number nor empty"


def reader_of(raw_labels) -> LabelReader:
    reader = LabelReader(["a"], CLASSIFICATION)
    for row, raw in enumerate(raw_labels, 1):
        reader.labels(record(row, a=raw))
    return reader


@pytest.mark.parametrize("raw_labels", [[0, 1] * 5 + [2], ["yes"] * 5, ["inf"] * 5, ["", "nan"]])
def test_a_few_odd_labels_cost_their_rows_only(raw_labels):
    reader_of(raw_labels).check_values("table.csv")


@pytest.mark.parametrize("raw_labels", [[0, 1] * 5 + [2, "0.5"], [1.5], [1, 2, 1, 2]])
def test_many_values_are_no_classes(raw_labels):
    with pytest.raises(InputError, match=r'table\.csv: .* write objective = "regression" in a recipe'):
        reader_of(raw_labels).check_values("table.csv")


@pytest.mark.parametrize("raw", ["train", "Validation", " TEST "])
def test_parts_in_any_case(raw):
    reader = LabelReader(["a"], REGRESSION, "split")
    assert reader.part(record(split=raw)) == raw.strip().lower()


@pytest.mark.parametrize("raw", ["", None, "dev", "training", 0, float("nan")])
def test_a_row_without_a_part_is_named(raw):
    reader = LabelReader(["a"], REGRESSION, "fold")
    with pytest.raises(InputError, match=r"row 7: column 'fold' says .*; a given split needs train"):
        reader.part(record(7, fold=raw))


def test_without_a_column_there_are_no_parts():
    assert LabelReader(["a"], REGRESSION).part(record(split="nonsense")) == ""
