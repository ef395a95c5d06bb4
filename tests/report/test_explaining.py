"""Explaining whole libraries: every row accounted for, whoever explains and wherever a run broke off."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor
from support.explanations import made_up, parsed
from support.libraries import GOOD, names_in

from molig.attribution import Explainer
from molig.attribution.explainer import At
from molig.errors import InputError, UsageError
from molig.features import preset
from molig.molecules import MoleculeParser, Record, Rejection, read_records, smiles_records
from molig.report import Counts, Pictures, merge_explanations
from molig.report.explaining import ChunkExplainer, Drawings, Explain, about_table, explain_library
from molig.report.tables import Layout, Rows, TableRequest
from molig.screening import Shard, merge
from molig.tables import Parts

SCHEMA = preset("simple")
NOT_FINITE = "the score is not finite"
ROWS = [*GOOD[:3], "C1CC", "NaN", *GOOD[3:], "", *GOOD]
REJECTED = [4, 5, 11]
LAYOUTS = list(Layout)


def records(rows: Iterable[str] = ROWS) -> Iterator[Record]:
    return (Record(row, f"id{row}", smiles) for row, smiles in enumerate(rows, start=1))


def explain(rows: Iterable[Record], at: At | None = None) -> Rows:
    """Explain by made-up numbers that depend on the row alone."""
    for place, record in enumerate(rows):
        for explaining in (False, True):
            if at is not None:
                at(place, place + 1, explaining)
            if record.problem is None:
                hurt(record.smiles, explaining)
        hurts = record.smiles in HURTS and record.problem is None
        molecule = MoleculeParser().parse(replace(record, smiles="CCO") if hurts else record)
        if record.smiles == "NaN":
            yield record, Rejection(record.row, record.id, record.smiles, NOT_FINITE)
        elif isinstance(molecule, Rejection):
            yield record, molecule
        else:
            yield record, [made_up(SCHEMA, molecule, record.row)]


CRASHING, SLOW_TO_READ, SLOW_TO_EXPLAIN = "crash", "slow to read", "slow to explain"
HURTS = (CRASHING, SLOW_TO_READ, SLOW_TO_EXPLAIN)
LIMIT = 0.2


def hurt(text: str, explaining: bool) -> None:
    """In a worker, do what some rows would make a library do."""
    if multiprocessing.parent_process() is None:
        return
    if text == CRASHING and explaining:
        os._exit(3)
    if text == (SLOW_TO_EXPLAIN if explaining else SLOW_TO_READ):
        end = time.process_time() + 2 * LIMIT
        while time.process_time() < end:
            pass


def interrupted(after: int, error: BaseException) -> Explain:
    """Explain until a row of the library, and break off."""

    def explain_some(rows: Iterable[Record]) -> Rows:
        for record in rows:
            if record.row > after:
                raise error
            yield from explain([record])

    return explain_some


def some_parts(request: TableRequest, *, resume: bool = False) -> Parts:
    parts = Parts(ChunkExplainer(explain, request).parts_directory, {"model": "m"}, rows_per_part=4)
    parts.open(resume=resume)
    return parts


def run(rows: Iterable[Record], how: Explain, request: TableRequest, **options) -> Counts:
    return explain_library(rows, ChunkExplainer(how, request), **options).counts


def tables(request: TableRequest):
    return pq.read_table(request.output), pd.read_csv(request.rejects_path, keep_default_na=False)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("in_parts", [False, True])
def test_every_row_is_explained_or_rejected(tmp_path, layout, in_parts):
    request = TableRequest(tmp_path / "why.parquet", layout)
    parts = some_parts(request) if in_parts else None
    counts = run(records(), explain, request, parts=parts)
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
    run(records(), explain, whole, parts=some_parts(whole))
    request = TableRequest(tmp_path / f"why.{suffix}", layout)
    with pytest.raises(KeyboardInterrupt):
        run(records(), interrupted(after, KeyboardInterrupt()), request, parts=some_parts(request))
    assert names_in(tmp_path) - {"whole.rejected.csv"} == {f"whole.{suffix}", "why.parts"}
    parts = some_parts(request, resume=True)
    n_kept = parts.n_rows
    assert n_kept == after // 4 * 4
    seen: list[int] = []

    def explain_and_note(rows: Iterable[Record]) -> Rows:
        for record, result in explain(rows):
            seen.append(record.row)
            yield record, result

    counts = run(records(), explain_and_note, request, parts=parts)
    assert seen == list(range(n_kept + 1, len(ROWS) + 1))
    assert (counts.explained, counts.rejected) == (len(ROWS) - 3, 3)
    assert request.output.read_bytes() == whole.output.read_bytes()
    assert request.rejects_path.read_bytes() == whole.rejects_path.read_bytes()
    assert not request.output.with_suffix(".parts").exists()


def test_a_run_killed_while_it_joined_its_parts(tmp_path, monkeypatch):
    request = TableRequest(tmp_path / "why.parquet", "molecules")

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("molig.report.explaining.write_tables", killed)
        with pytest.raises(KeyboardInterrupt):
            run(records(), explain, request, parts=some_parts(request))
    parts = some_parts(request, resume=True)
    assert parts.n_rows == len(ROWS)
    counts = run(records(), interrupted(0, AssertionError()), request, parts=parts)
    assert counts.explained == len(ROWS) - 3


class TestNothingElseIsLeft:
    @pytest.mark.parametrize("in_parts", [False, True])
    def test_when_nothing_could_be_explained(self, tmp_path, in_parts):
        request = TableRequest(tmp_path / "why.parquet")
        parts = some_parts(request) if in_parts else None
        with pytest.raises(InputError, match="none of the molecules could be explained; row 1: not parsable"):
            run(records(["C1CC"] * 9), explain, request, parts=parts)
        assert names_in(tmp_path) == {"why.rejected.csv"}
        rejected = pd.read_csv(request.rejects_path)
        assert rejected["row"].tolist() == list(range(1, 10))
        assert rejected["reason"].str.startswith("not parsable").all()

    @pytest.mark.parametrize("after", [0, 3, 9])
    def test_when_the_library_is_damaged(self, tmp_path, after):
        request = TableRequest(tmp_path / "why.parquet")
        with pytest.raises(InputError, match="damaged"):
            run(records(), interrupted(after, InputError("damaged")), request, parts=some_parts(request))
        assert names_in(tmp_path) == set()

    def test_when_it_broke_off_before_the_first_part(self, tmp_path):
        request = TableRequest(tmp_path / "why.parquet")
        with pytest.raises(KeyboardInterrupt):
            run(records(), interrupted(3, KeyboardInterrupt()), request, parts=some_parts(request))
        assert names_in(tmp_path) == set()


def test_an_old_table_survives_a_run_that_breaks_off(tmp_path):
    request = TableRequest(tmp_path / "why.csv")
    request.output.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        run(records(), interrupted(5, KeyboardInterrupt()), request)
    assert request.output.read_text() == "old"
    assert names_in(tmp_path) == {"why.csv"}


def test_lists_in_csv_are_json(tmp_path):
    request = TableRequest(tmp_path / "why.csv", "molecules")
    run(records(["[Na+].CC(=O)[O-]"]), explain, request)
    (row,) = pd.read_csv(request.output).to_dict("records")
    counter_ion, *scores = json.loads(row["atom_scores"])
    expected = made_up(SCHEMA, parsed(Record(1, "id1", row["smiles"])), 1).atom_scores
    assert counter_ion is None
    assert scores == pytest.approx(expected, rel=1e-4)
    assert row["bond_atoms"] == "[[1, 2], [2, 3], [2, 4]]"


@pytest.fixture
def _small_chunks(monkeypatch):
    monkeypatch.setattr("molig.report.explaining.CHUNK_ROWS", 4)


@pytest.mark.usefixtures("_small_chunks")
class TestProcesses:
    """Whoever explains, what is written is the same to the last byte."""

    DRAWN = ("why.html", "why.svg", "why.png", "why.json", "why.md")

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_processes_change_nothing(self, small_model, tmp_path, layout):
        rows = [*GOOD[:6], "C1CC", "[Na+].CC(=O)[O-]", ""]
        explain_rows = Explainer(small_model, tol=0.5).explain_rows
        found, summaries, told = [], [], []
        for jobs in (1, 2):
            folder = tmp_path / str(jobs)
            folder.mkdir()
            names = self.DRAWN if layout is Layout.FEATURES else self.DRAWN[:1]
            extras = {"pairs": folder / "pairs.svg", "ledger": folder / "ledger.csv"}
            pictures = Pictures(noise=0.1, **extras if layout is Layout.FEATURES else {})
            drawings = Drawings([folder / name for name in names], "Why", pictures, "meaning")
            work = ChunkExplainer(explain_rows, TableRequest(folder / "why.parquet", layout), drawings)
            seen: list[int] = []
            summary = explain_library(
                smiles_records(rows), work, jobs=jobs, watch=lambda n, rejected, seen=seen: seen.append(n)
            )
            summaries.append(summary)
            told.append(sum(seen))
            found.append({path.name: path.read_bytes() for path in folder.iterdir()})
        assert found[0] == found[1]
        assert found[0].keys() == {path.name for path in drawings.files} | {"why.parquet", "why.rejected.csv"}
        assert summaries[0].counts == summaries[1].counts
        assert summaries[0].counts.rejected == 2
        assert summaries[0].tasks == summaries[1].tasks <= set(small_model.tasks)
        assert told == [len(rows)] * 2

    def test_coordinates_of_the_input_come_along(self, small_model, tmp_path):
        mols = [Chem.MolFromSmiles(smiles) for smiles in GOOD[:6]]
        for mol in mols:
            rdDepictor.Compute2DCoords(mol)
        library = tmp_path / "library.sdf"
        library.write_text("".join(f"{Chem.MolToMolBlock(mol)}$$$$\n" for mol in mols))
        explain_rows = Explainer(small_model, tol=0.5).explain_rows
        names = ("why.sdf", "why.svg")
        for jobs in (1, 2):
            (tmp_path / str(jobs)).mkdir()
            drawings = Drawings([tmp_path / str(jobs) / name for name in names], "Why")
            explain_library(read_records(library), ChunkExplainer(explain_rows, drawings=drawings), jobs=jobs)
        for name in names:
            assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()

    def test_drawings_alone_are_in_the_order_of_the_library(self, tmp_path):
        for jobs in (1, 2):
            work = ChunkExplainer(explain, drawings=Drawings([tmp_path / f"{jobs}.json"], "Why"))
            explain_library(records(), work, jobs=jobs)
        one, two = (json.loads((tmp_path / f"{jobs}.json").read_text()) for jobs in (1, 2))
        assert one == two
        rows = [row for row in range(1, len(ROWS) + 1) if row not in REJECTED]
        assert [found["row"] for found in one["explanations"]] == rows

    def test_a_row_that_hurts_is_rejected_and_costs_no_other(self, tmp_path):
        rows = [*GOOD[:5], CRASHING, *GOOD[5:], SLOW_TO_READ, SLOW_TO_EXPLAIN, *GOOD]
        request = TableRequest(tmp_path / "why.parquet", "molecules")
        counts = run(records(rows), explain, request, jobs=2, seconds=LIMIT)
        table, rejected = tables(request)
        reasons = dict(zip(rejected["smiles"], rejected["reason"], strict=True))
        assert reasons == {
            CRASHING: "given up: RDKit crashed on it (exit code 3)",
            SLOW_TO_READ: f"given up: it takes more than {LIMIT} s of processor time",
        }
        assert counts == Counts(len(rows) - 2, 2, counts.unconverged)
        refused = [i for i, row in enumerate(rows, start=1) if row in (CRASHING, SLOW_TO_READ)]
        assert table["row"].to_pylist() == [i for i in range(1, len(rows) + 1) if i not in refused]

    def test_a_run_by_several_is_continued(self, tmp_path):
        whole, request = TableRequest(tmp_path / "whole.csv"), TableRequest(tmp_path / "why.csv")
        run(records(), explain, whole)
        with pytest.raises(InputError, match="none of the"):  # what is told of an error in a worker
            run(records(["C1CC"] * 9), explain, request, jobs=2)
        done: list[int] = []

        def stop(n_rows: int, rejected: object) -> None:
            done.append(n_rows)
            if len(done) == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(records(), explain, request, parts=some_parts(request), jobs=2, watch=stop)
        parts = some_parts(request, resume=True)
        assert parts.n_rows == 8
        run(records(), explain, request, parts=parts, jobs=3)
        assert request.output.read_bytes() == whole.output.read_bytes()


class TestShards:
    @pytest.fixture
    def shards(self, tmp_path) -> list[Path]:
        request = TableRequest(tmp_path / "why.csv", "molecules")
        found = []
        for place in (2, 1):
            shard = Shard(place, 2)
            found.append(shard.directory(request.output))
            identity = {"model": "m", "--shard": str(shard)}
            parts = Parts(found[-1], identity, rows_per_part=4, about=about_table(request))
            parts.open()
            run(records(), explain, request, parts=parts, shard=shard)
        return found

    def test_they_are_put_together_to_the_table_of_one_run(self, tmp_path, shards):
        whole = TableRequest(tmp_path / "whole.csv", "molecules")
        counts = run(records(), explain, whole)
        merged = tmp_path / "why.csv"
        assert not merged.exists()
        assert merge_explanations(shards, merged).counts == counts
        assert merged.read_bytes() == whole.output.read_bytes()
        assert merged.with_suffix(".rejected.csv").read_bytes() == whole.rejects_path.read_bytes()

    def test_they_are_no_shards_of_a_screen(self, tmp_path, shards):
        with pytest.raises(UsageError, match="holds explanations"):
            merge(shards, tmp_path / "hits.csv")
        with pytest.raises(UsageError, match="shards are missing: 1/2"):
            merge_explanations(shards[:1], tmp_path / "why.csv")


def test_limits_that_make_no_sense(tmp_path):
    request = TableRequest(tmp_path / "why.csv")
    with pytest.raises(UsageError, match="jobs must be at least 1"):
        run(records(), explain, request, jobs=0)
    with pytest.raises(UsageError, match="time_limit must be above 0"):
        run(records(), explain, request, seconds=0)
