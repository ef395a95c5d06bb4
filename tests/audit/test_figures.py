"""Plots of audits."""

from __future__ import annotations

import numpy as np

from molig.audit.figures import bars, draw, histogram, scatter


def test_the_same_contents_are_the_same_picture():
    first, second = (draw("A line", lambda axes: axes.plot([0, 1], [0, 1])) for _ in range(2))
    assert first == second
    assert first.title == "A line"
    assert first.svg.startswith("<svg")


def test_values_that_are_no_numbers_are_left_out():
    figure = histogram({"a": [0.1, np.nan, 0.2], "b": [np.inf]}, "Three values", "value")
    assert figure == histogram({"a": [0.1, 0.2], "b": []}, "Three values", "value")
    assert bars({"a": np.nan}, "One bar", "length") == bars({"a": 0.0}, "One bar", "length")


def test_of_many_points_some_are_drawn_from_first_to_last():
    points = np.arange(100.0)
    assert scatter(points, points, "Points", ("x", "y"), most=10).svg.count("<use") < 60
    assert scatter([], [], "None", ("x", "y")).title == "None"


def test_many_series_are_counted_not_named():
    svg = histogram({f"task {n}": [n] for n in range(9)}, "Tasks", "value").svg
    assert "9 tasks" in svg
    assert "task 3" not in svg
