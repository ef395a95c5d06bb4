"""Requests for tables of explanations: what cannot be written is refused before any work."""

from __future__ import annotations

import pytest

from molig.errors import UnknownNameError, UsageError
from molig.report.tables import TableRequest


def test_unknown_layout(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown layout 'molecule'; did you mean 'molecules'"):
        TableRequest(tmp_path / "why.parquet", "molecule")


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(UsageError, match="cannot both go to"):
        TableRequest(tmp_path / "why.csv", rejects=tmp_path / "why.csv")
    with pytest.raises(UsageError, match="cannot tell the format"):
        TableRequest(tmp_path / "why.csv", rejects=tmp_path / "rejects.txt")
    with pytest.raises(UsageError, match="is the library"):
        TableRequest(tmp_path / "why.csv", source=str(tmp_path / "why.rejected.csv"))
