"""Labels as people write them: words, numbers, values with a cut, ranges."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.errors import InputError, speaking_of_options
from molig.model import Objective
from molig.molecules import Record
from molig.training.labels import Cut, LabelReader, label_columns, read_label

REGRESSION, CLASSIFICATION = Objective.REGRESSION, Objective.CLASSIFICATION
ABOVE, BELOW = Cut(above=6.0), Cut(below=6.0)
FINITE = st.floats(-1e6, 1e6).map(lambda v: v + 0.0)


def record(row: int = 1, **fields) -> Record:
    return Record(row, str(row), "C", fields)


def reader_of(raw_labels, objective=CLASSIFICATION, cut=None) -> LabelReader:
    reader = LabelReader(["a"], objective, cut)
    for row, raw in enumerate(raw_labels, 1):
        reader.labels(record(row, a=raw))
    return reader


class TestClasses:
    @pytest.mark.parametrize(
        ("active", "inactive"),
        [
            (1, 0),
            ("1", "0"),
            (1.0, 0.0),
            ("1.0", "0.0"),
            (True, False),
            (np.True_, np.False_),
            ("True", "False"),
            ("TRUE", "FALSE"),
            ("t", "f"),
            ("Yes", "No"),
            ("Y", "n"),
            (" active ", "Inactive"),
            ("ACTIVE", "INACTIVE"),
            ("positive", "Negative"),
            ("pos", "neg"),
            ("Hit", "non-hit"),
            ("+", "-"),
            ("+", "\N{MINUS SIGN}"),
            ("+", "\N{EN DASH}"),
        ],
    )
    def test_words_in_any_case(self, active, inactive):
        assert LabelReader(["a"], CLASSIFICATION).labels(record(a=active)) == ([1.0], None)
        assert LabelReader(["a"], CLASSIFICATION).labels(record(a=inactive)) == ([0.0], None)

    @pytest.mark.parametrize("raw", ["", "  ", None, math.nan, "NaN", "NA", "n/a", "null", "Inconclusive"])
    def test_what_is_missing_is_not_measured(self, raw):
        for objective in Objective:
            found, problem = LabelReader(["a", "b"], objective).labels(record(a=raw, b=1))
            assert problem is None
            assert math.isnan(found[0])
            reader = LabelReader(["a"], objective)
            assert reader.labels(record(a=raw))[1] == "no label in any target column"

    @pytest.mark.parametrize("raw", ["inf", "-inf", "2", "0.5", -1, "moderate", ">10", "active?", "1,0"])
    def test_what_is_none_has_its_reason(self, raw):
        problem = LabelReader(["a"], CLASSIFICATION).labels(record(a=raw))[1]
        assert problem == f"label a = {raw!r} is neither active (1) nor inactive (0) nor empty"

    @pytest.mark.parametrize("raw_labels", [[0, 1] * 5 + [2], ["yes", "no"] * 5 + ["perhaps"], ["", "nan"]])
    def test_a_few_odd_labels_cost_their_rows_only(self, raw_labels):
        reader_of(raw_labels).check_columns("table.csv")

    @pytest.mark.parametrize("raw_labels", [[0, 1] * 5 + [2, "0.5"], [1.5], [1, 2, 1, 2], [">10", 7.5]])
    def test_many_values_are_no_classes(self, raw_labels):
        advice = r"table\.csv: column 'a' has numbers other than 0 and 1: .* the cut with --active-above X"
        with speaking_of_options(), pytest.raises(InputError, match=advice):
            reader_of(raw_labels).check_columns("table.csv")

    def test_a_column_of_text_says_where_and_what_is_understood(self):
        message = (
            r"t\.csv: column 'a' is no column of classes: 2 of 4 labels \(first: row 3: 'medium'\) are not "
            r"understood; understood are 1 and 0, true and false, .* active and inactive, .* \+ and -"
        )
        with pytest.raises(InputError, match=message):
            reader_of(["yes", "no", "medium", "weak"]).check_columns("t.csv")

    def test_what_was_read_before_is_read_the_same_again(self):
        raw = [True, 1, 1.0, "1", "yes", 7, [1], {"a": 1}, math.nan, None]
        for objective, cut in ((CLASSIFICATION, None), (REGRESSION, None), (CLASSIFICATION, ABOVE)):
            reader = LabelReader(["a"], objective, cut)
            for cell in [*raw, *raw]:
                found = reader._read(cell)
                np.testing.assert_equal(found, read_label(cell, objective, cut))

    def test_a_dash_alone_may_mean_either(self):
        with pytest.raises(InputError, match=r"'a' has '-' \(row 2: '-'\) but no '\+', so '-' may mean"):
            reader_of([1, "-", 0, 1]).check_columns("t.csv")
        reader_of(["+", "-", 0, 1]).check_columns("t.csv")


class TestValues:
    @pytest.mark.parametrize("raw", [-3, 2.5, "2.5", "1e5", "-0.25", " 7 "])
    def test_any_finite_number_is_a_value(self, raw):
        assert LabelReader(["a"], REGRESSION).labels(record(a=raw)) == ([float(raw)], None)

    @pytest.mark.parametrize("raw", ["inf", float("-inf"), "1e999", "high", "<5", "yes", "+", True + 1j])
    def test_what_is_no_finite_number_has_its_reason(self, raw):
        problem = LabelReader(["a"], REGRESSION).labels(record(a=raw))[1]
        assert problem == f"label a = {raw!r} is neither a finite number nor empty"

    def test_a_column_of_text_is_refused_and_ranges_are_not(self):
        with pytest.raises(InputError, match=r"'a' is no column of values: 2 of 2 labels \(first: row 1"):
            reader_of(["x", "y"], REGRESSION).check_columns("t.csv")
        reader_of([">5", 2.5, "<1"], REGRESSION).check_columns("t.csv")


class TestCuts:
    @pytest.mark.parametrize(
        ("cut", "raw", "label"),
        [
            (ABOVE, 6, 1),
            (ABOVE, "6.0", 1),
            (ABOVE, 5.999, 0),
            (ABOVE, 0, 0),
            (ABOVE, 1, 0),
            (ABOVE, "-7.5", 0),
            (BELOW, 6, 1),
            (BELOW, 6.001, 0),
            (BELOW, -7, 1),
            # A value above 6 is 6 or above; one above 5 may not be.
            (ABOVE, ">10", 1),
            (ABOVE, "> 6", 1),
            (ABOVE, ">=6", 1),
            (ABOVE, "≥6", 1),
            (ABOVE, ">>6", 1),
            (ABOVE, ">5.9", None),
            (ABOVE, "<5", 0),
            (ABOVE, "<6", 0),
            (ABOVE, "<<6", 0),
            (ABOVE, "<=6", None),
            (ABOVE, "≤ 6", None),
            (ABOVE, "<=5.9", 0),
            (ABOVE, "<6.1", None),
            (ABOVE, "=7", 1),
            (ABOVE, "~9", None),
            (BELOW, "<5", 1),
            (BELOW, "<6", 1),
            (BELOW, "<=6", 1),
            (BELOW, "=<6", 1),
            (BELOW, "<6.1", None),
            (BELOW, ">10", 0),
            (BELOW, ">6", 0),
            (BELOW, ">=6", None),
            (BELOW, "=>6.1", 0),
            (BELOW, ">5", None),
            (BELOW, "≈1", None),
        ],
    )
    def test_by_hand(self, cut, raw, label):
        found = read_label(raw, CLASSIFICATION, cut)
        assert not found.is_odd
        assert found.is_decided == (label is not None)
        np.testing.assert_equal(found.value, np.nan if label is None else label)

    @given(FINITE, FINITE, FINITE, st.sampled_from([">", ">=", "<", "<=", "="]), st.booleans())
    def test_a_range_is_decided_only_if_every_value_in_it_agrees(self, cut, bound, value, sign, above):
        chosen = Cut(above=cut) if above else Cut(below=cut)
        inside = {
            ">": value > bound,
            ">=": value >= bound,
            "<": value < bound,
            "<=": value <= bound,
            "=": value == bound,
        }[sign]
        whole = read_label(f"{sign}{bound!r}", CLASSIFICATION, chosen)
        if inside and whole.is_decided:
            assert read_label(value, CLASSIFICATION, chosen).value == whole.value

    @pytest.mark.parametrize("raw", ["active", "True", True, False, "yes", "inf", "high", "> high", "6 nM"])
    def test_words_are_no_values(self, raw):
        problem = LabelReader(["a"], CLASSIFICATION, ABOVE).labels(record(a=raw))[1]
        assert problem == f"label a = {raw!r} is neither a finite number nor empty"

    def test_a_column_of_words_is_refused(self):
        with pytest.raises(InputError, match=r"no numbers, though a cut is given \(active: 6 or above\)"):
            reader_of(["active", "inactive"], cut=ABOVE).check_columns("t.csv")

    def test_what_is_not_decided_is_counted(self):
        reader = reader_of([7, ">10", ">5", "<5", "<8", 2], cut=ABOVE)
        reader.check_columns("t.csv")
        assert reader.notes() == (
            "2 labels of a can lie on either side of the cut (active: 6 or above; first: row 3: '>5') and "
            "count as not measured; 2 other ranges lie on one side",
        )
        assert reader_of([7, ">10"], cut=ABOVE).notes() == ()

    def test_a_row_of_which_nothing_is_decided_says_why(self):
        problem = LabelReader(["a", "b"], CLASSIFICATION, BELOW).labels(record(4, a=">5", b=""))[1]
        assert problem == "label a = '>5' can lie on either side of the cut (active: 6 or below)"
        found, problem = LabelReader(["a", "b"], CLASSIFICATION, BELOW).labels(record(4, a=">5", b="7"))
        assert problem is None
        np.testing.assert_equal(found, [math.nan, 0])


class TestLikelyColumns:
    FRAME = pd.DataFrame(
        {
            "smiles": ["C", "CC", "CCC"],
            "code": ["a", "b", "c"],
            "hit": ["yes", "no", ""],
            "pIC50": [7.0, 5.5, 6.0],
            "flag": [True, False, True],
            "constant": [1, 1, 1],
        }
    )

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_of_text(self, tmp_path, separator):
        self.FRAME.to_csv(tmp_path / "t.csv", index=False, sep=separator)
        assert label_columns(tmp_path / "t.csv") == (["hit", "flag"], ["pIC50"])

    def test_of_parquet(self, tmp_path):
        self.FRAME.to_parquet(tmp_path / "t.parquet")
        assert label_columns(tmp_path / "t.parquet", smiles_column="smiles") == (["hit", "flag"], ["pIC50"])

    @pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"no molecules\n1\n"])
    def test_of_what_is_no_table(self, tmp_path, content):
        if content is not None:
            (tmp_path / "t.csv").write_bytes(content)
        assert label_columns(tmp_path / "t.csv") == ([], [])

    def test_a_few_odd_cells_are_accepted_as_in_training(self, tmp_path):
        frame = pd.DataFrame(
            {"smiles": ["C"] * 20, "hit": [1, 0] * 10, "value": np.arange(20.0)}, dtype=object
        )
        frame.loc[3, ["hit", "value"]] = ["n.d.", ">10"]
        frame.loc[4, "value"] = "see notes"
        frame.to_csv(tmp_path / "t.csv", index=False)
        assert label_columns(tmp_path / "t.csv") == (["hit"], ["value"])
        frame.loc[5:7, ["hit", "value"]] = "n.d."
        frame.to_csv(tmp_path / "t.csv", index=False)
        assert label_columns(tmp_path / "t.csv") == ([], [])
