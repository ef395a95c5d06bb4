"""Tables of whole libraries: every row accounted for, wherever a run broke off."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.explanations import made_up, parsed
from support.libraries import GOOD, names_in

from molig.errors import InputError, UnknownNameError, UsageError
from molig.features import preset
from molig.molecules import MoleculeParser, Record, Rejection
from molig.report import Counts
from molig.report.tables import Explain, Layout, Rows, TableRequest, write_table
from molig.tables import Parts

SCHEMA = preset("simple")
NOT_FINITE = "the score is not finite"
ROWS = [*GOOD[:3], "C1CC", "NaN", *GOOD[3:], "", *GOOD]
REJECTED = [4, 5, 11]
LAYOUTS = list(Layout)


def records(rows: Iterable[str] = ROWS) -> Iterator[Record]:
    return (Record(row, f"id{row}", smiles) for row, smiles in enumerate(rows, start=1))


def explain(rows: Iterable[Record]) -> Rows:
    """Explain by made-up numbers that depend on the row alone."""
    for record in rows:
        molecule = MoleculeParser().parse(record)
        if record.smiles == "NaN":
            yield record, Rejection(record.row, record.id, record.smiles, NOT_FINITE)
        elif isinstance(molecule, Rejection):
            yield record, molecule
        else:
            yield record, [made_up(SCHEMA, molecule, record.row)]


def interrupted(after: int, error: BaseException) -> Explain:
    """Explain until a row of the library, and break off."""

    def explain_some(rows: Iterable[Record]) -> Rows:
        for record in rows:
            if record.row > after:
                raise error
            yield from explain([record])

    return explain_some


def some_parts(request: TableRequest, *, resume: bool = False) -> Parts:
    parts = Parts(request.parts_directory, {"model": "m"}, rows_per_part=4)
    parts.open(resume=resume)
    return parts


def tables(request: TableRequest):
    return pq.read_table(request.output), pd.read_csv(request.rejects_path, keep_default_na=False)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("in_parts", [False, True])
def test_every_row_is_explained_or_rejected(tmp_path, layout, in_parts):
    request = TableRequest(tmp_path / "why.parquet", layout)
    parts = some_parts(request) if in_parts else None
    counts = write_table(records(), explain, request, parts=parts)
    assert counts == Counts(len(ROWS) - 3, 3, counts.unconverged)
    table, rejected = tables(request)
    assert rejected["row"].tolist() == REJECTED
    assert rejected["reason"].tolist() == ["not parsable: syntax error", NOT_FINITE, "empty SMILES"]
    assert rejected["id"].tolist() == [f"id{row}" for row in REJECTED]
    explained = [row for row in range(1, len(ROWS) + 1) if row not in REJECTED]
    assert list(dict.fromkeys(table["id"].to_pylist())) == [f"id{row}" for row in explained]
    if layout is Layout.MOLECULES:
        assert table["row"].to_pylist() == explained
        assert counts.unconverged == table["converged"].to_pylist().count(False)
    assert names_in(tmp_path) == {"why.parquet", "why.rejected.csv"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("after", [4, 7, 12, 18])
def test_a_run_that_broke_off_is_continued_to_the_same_table(tmp_path, layout, suffix, after):
    whole = TableRequest(tmp_path / f"whole.{suffix}", layout)
    write_table(records(), explain, whole, parts=some_parts(whole))
    request = TableRequest(tmp_path / f"why.{suffix}", layout)
    with pytest.raises(KeyboardInterrupt):
        write_table(records(), interrupted(after, KeyboardInterrupt()), request, parts=some_parts(request))
    assert names_in(tmp_path) - {"whole.rejected.csv"} == {f"whole.{suffix}", "why.parts"}
    parts = some_parts(request, resume=True)
    n_kept = parts.n_rows
    assert n_kept == after // 4 * 4
    seen: list[int] = []

    def explain_and_note(rows: Iterable[Record]) -> Rows:
        for record, result in explain(rows):
            seen.append(record.row)
            yield record, result

    counts = write_table(records(), explain_and_note, request, parts=parts)
    assert seen == list(range(n_kept + 1, len(ROWS) + 1))
    assert (counts.explained, counts.rejected) == (len(ROWS) - 3, 3)
    assert request.output.read_bytes() == whole.output.read_bytes()
    assert request.rejects_path.read_bytes() == whole.rejects_path.read_bytes()
    assert not request.parts_directory.exists()


def test_a_run_killed_while_it_joined_its_parts(tmp_path, monkeypatch):
    request = TableRequest(tmp_path / "why.parquet", "molecules")

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("molig.report.tables._deliver", killed)
        with pytest.raises(KeyboardInterrupt):
            write_table(records(), explain, request, parts=some_parts(request))
    parts = some_parts(request, resume=True)
    assert parts.n_rows == len(ROWS)
    counts = write_table(records(), interrupted(0, AssertionError()), request, parts=parts)
    assert counts.explained == len(ROWS) - 3


class TestNothingElseIsLeft:
    @pytest.mark.parametrize("in_parts", [False, True])
    def test_when_nothing_could_be_explained(self, tmp_path, in_parts):
        request = TableRequest(tmp_path / "why.parquet")
        parts = some_parts(request) if in_parts else None
        with pytest.raises(InputError, match="none of the molecules could be explained; row 1: not parsable"):
            write_table(records(["C1CC"] * 9), explain, request, parts=parts)
        assert names_in(tmp_path) == {"why.rejected.csv"}
        rejected = pd.read_csv(request.rejects_path)
        assert rejected["row"].tolist() == list(range(1, 10))
        assert rejected["reason"].str.startswith("not parsable").all()

    @pytest.mark.parametrize("after", [0, 3, 9])
    def test_when_the_library_is_damaged(self, tmp_path, after):
        request = TableRequest(tmp_path / "why.parquet")
        with pytest.raises(InputError, match="damaged"):
            write_table(
                records(), interrupted(after, InputError("damaged")), request, parts=some_parts(request)
            )
        assert names_in(tmp_path) == set()

    def test_when_it_broke_off_before_the_first_part(self, tmp_path):
        request = TableRequest(tmp_path / "why.parquet")
        with pytest.raises(KeyboardInterrupt):
            write_table(records(), interrupted(3, KeyboardInterrupt()), request, parts=some_parts(request))
        assert names_in(tmp_path) == set()


def test_an_old_table_survives_a_run_that_breaks_off(tmp_path):
    request = TableRequest(tmp_path / "why.csv")
    request.output.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_table(records(), interrupted(5, KeyboardInterrupt()), request)
    assert request.output.read_text() == "old"
    assert names_in(tmp_path) == {"why.csv"}


def test_lists_in_csv_are_json(tmp_path):
    request = TableRequest(tmp_path / "why.csv", "molecules")
    write_table(records(["[Na+].CC(=O)[O-]"]), explain, request)
    (row,) = pd.read_csv(request.output).to_dict("records")
    counter_ion, *scores = json.loads(row["atom_scores"])
    expected = made_up(SCHEMA, parsed(Record(1, "id1", row["smiles"])), 1).atom_scores
    assert counter_ion is None
    assert scores == pytest.approx(expected, rel=1e-4)
    assert row["bond_atoms"] == "[[1, 2], [2, 3], [2, 4]]"


class TestRequests:
    def test_unknown_layout(self, tmp_path):
        with pytest.raises(UnknownNameError, match="unknown layout 'molecule'; did you mean 'molecules'"):
            TableRequest(tmp_path / "why.parquet", "molecule")

    def test_places_that_cannot_be_written(self, tmp_path):
        with pytest.raises(UsageError, match="cannot both go to"):
            TableRequest(tmp_path / "why.csv", rejects=tmp_path / "why.csv")
        with pytest.raises(UsageError, match="cannot tell the format"):
            TableRequest(tmp_path / "why.csv", rejects=tmp_path / "rejects.txt")
        with pytest.raises(UsageError, match="is the library"):
            TableRequest(tmp_path / "why.csv", source=str(tmp_path / "why.rejected.csv"))
