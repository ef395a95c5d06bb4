"""Findings, and the plain data made of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from molig.audit import Evidence, Example, Figure, Finding, Severity
from molig.audit.findings import plain
from molig.errors import UsageError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_plain_data_can_always_be_written_as_json(value):
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == plain(value)


def test_plain_data_of_arrays_and_their_numbers():
    found = plain({1: np.array([[1.5, np.inf]]), "n": np.int64(3), "b": np.bool_(True), "s": Severity.INFO})
    assert found == {"1": [[1.5, None]], "n": 3, "b": True, "s": "info"}


def test_a_finding_as_plain_data_leaves_drawings_out():
    evidence = Evidence({"share": np.float32(0.5)}, ["atom.type = N"], [Example("a", "CCO", "see", "<svg>")])
    assert Finding("x", Severity.WARNING, "s", evidence, "a").to_dict() == {
        "check": "x",
        "severity": "warning",
        "summary": "s",
        "evidence": {
            "numbers": {"share": 0.5},
            "features": ["atom.type = N"],
            "molecules": [{"id": "a", "smiles": "CCO", "scored_smiles": "CCO", "removed": "", "note": "see"}],
        },
        "advice": "a",
    }


def test_figures_are_drawings():
    with pytest.raises(UsageError, match="svg must be"):
        Figure("title", "<script>")
