"""Interrupted runs go on to the same tables; finished ones are not replaced unasked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.libraries import BAD, GOOD, names_in
from support.small_model import nci_smiles

from molig.errors import InputError, UsageError
from molig.molecules.causes import RejectBound
from molig.screening import Diversity, ScreeningOptions, Watch, screen

ROWS_PER_CHUNK = 8


@pytest.fixture(scope="module")
def small_model(small_committee):
    """Without a task, only calibrated scores are ranked: those of a committee."""
    return small_committee


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr("molig.screening.pipeline.CHUNK_ROWS", ROWS_PER_CHUNK)


@pytest.fixture
def library(tmp_path, nci_file) -> Path:
    """Ten chunks and a half."""
    rows = [*nci_smiles(60, start=1000), *GOOD, *BAD][:84]
    path = tmp_path / "library.csv"
    lines = (f"m{i},{smiles},{i / 7}\n" for i, smiles in enumerate(rows) if "," not in smiles)
    path.write_text("name,smiles,price\n" + "".join(lines))
    return path


def interrupt_after(n_chunks: int) -> ScreeningOptions:
    """Options of a run that is interrupted."""
    done = 0

    def count(n_rows: int) -> None:
        nonlocal done
        done += n_rows
        if done >= n_chunks * ROWS_PER_CHUNK:
            raise KeyboardInterrupt

    return ScreeningOptions(batch_size=ROWS_PER_CHUNK, progress=count)


def tables(output: Path) -> tuple[bytes, bytes]:
    return output.read_bytes(), output.with_suffix(".rejected.csv").read_bytes()


@pytest.fixture
def whole(small_model, library, tmp_path) -> Path:
    """What a run gives that nothing interrupts."""
    output = tmp_path / "whole.csv"
    screen(library, small_model, output=output, options=ScreeningOptions(batch_size=ROWS_PER_CHUNK))
    return output


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_run_goes_on_to_the_same_tables(small_model, library, whole, tmp_path, jobs):
    output, before = tmp_path / "hits.csv", names_in(tmp_path)
    for n_chunks in (2, 3, 2):
        options = replace(interrupt_after(n_chunks), resume=True, jobs=jobs)
        with pytest.raises(KeyboardInterrupt):
            screen(library, small_model, output=output, options=options)
        assert names_in(tmp_path) == before | {"hits.parts"}
    told: dict[str, list[int]] = {"resumed": [], "rejected": [], "done": []}
    watch = Watch(told["resumed"].append, told["rejected"].append)
    options = ScreeningOptions(
        batch_size=ROWS_PER_CHUNK, resume=True, watch=watch, progress=told["done"].append
    )
    result = screen(library, small_model, output=output, options=options)
    assert tables(output) == tables(whole)
    assert names_in(tmp_path) == before | {"hits.csv", "hits.rejected.csv"}
    (n_before,) = told["resumed"]
    assert n_before == result.n_before
    assert n_before + sum(told["done"]) == result.n_rows
    assert 3 * ROWS_PER_CHUNK <= n_before < result.n_rows
    assert sum(told["rejected"]) == result.n_rejected == sum(result.reasons.values())


@pytest.mark.parametrize(
    "choice",
    [{"top_k": 5}, {"threshold": 0.3}, {"top_k": 6, "diversity": Diversity("scaffold")}],
    ids=str,
)
def test_a_choice_of_hits_is_that_of_a_whole_run(small_model, library, tmp_path, choice):
    files = [tmp_path / "whole.parquet", tmp_path / "hits.parquet"]
    common = {"batch_size": ROWS_PER_CHUNK, **choice}
    screen(library, small_model, output=files[0], options=ScreeningOptions(**common))
    with pytest.raises(KeyboardInterrupt):
        screen(library, small_model, output=files[1], options=replace(interrupt_after(4), **common))
    screen(library, small_model, output=files[1], options=ScreeningOptions(resume=True, **common))
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.fixture
def interrupted(small_model, library, tmp_path) -> Path:
    """Output of a run that was interrupted after four chunks."""
    output = tmp_path / "hits.csv"
    with pytest.raises(KeyboardInterrupt):
        screen(library, small_model, output=output, options=interrupt_after(5))
    return output


RESUME = ScreeningOptions(batch_size=ROWS_PER_CHUNK, resume=True)


def test_a_damaged_part_is_done_again(small_model, library, whole, interrupted):
    part = interrupted.with_suffix(".parts") / "000001.arrow"
    content = bytearray(part.read_bytes())
    content[-40] ^= 1
    part.write_bytes(content)
    screen(library, small_model, output=interrupted, options=RESUME)
    assert tables(interrupted) == tables(whole)


class TestRefusals:
    def test_work_is_not_thrown_away_unasked(self, small_model, library, interrupted):
        with pytest.raises(UsageError, match=r"holds 32 finished rows .*continue it with resume, or delete"):
            screen(library, small_model, output=interrupted, options=replace(RESUME, resume=False))

    def test_another_library(self, small_model, library, interrupted):
        library.write_text(library.read_text() + "new,CCO,1\n")
        with pytest.raises(UsageError, match="cannot be continued: the input has changed"):
            screen(library, small_model, output=interrupted, options=RESUME)

    def test_another_model(self, small_regression, library, interrupted):
        options = replace(RESUME, task="mass")
        with pytest.raises(UsageError, match="the model has changed; --task was not given and is mass"):
            screen(library, small_regression, output=interrupted, options=options)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"batch_size": 9}, "--batch-size was 8 and is 9"),
            ({"precision": "bfloat16"}, "--precision was float32 and is bfloat16"),
            ({"top_k": 3}, "--top-k was not given and is 3"),
            ({"time_limit": 3.0}, "--time-limit was 10.0 and is 3.0"),
            ({"keep": "none"}, "--keep was all and is none"),
        ],
    )
    def test_other_options(self, small_model, library, interrupted, changes, told):
        with pytest.raises(UsageError, match=f"cannot be continued: {told}"):
            screen(library, small_model, output=interrupted, options=replace(RESUME, **changes))

    def test_what_cannot_be_read_again(self, small_model, library, tmp_path):
        with pytest.raises(UsageError, match="SMILES cannot be read again"):
            screen(GOOD, small_model, output=tmp_path / "hits.csv", options=RESUME)
        with pytest.raises(UsageError, match="resume continues a run that writes a file"):
            screen(library, small_model, options=RESUME)

    def test_a_finished_result(self, small_model, library, whole):
        careful = replace(RESUME, resume=False, force=False)
        before = tables(whole)
        with pytest.raises(UsageError, match="is there already: choose another output, or replace it with"):
            screen(library, small_model, output=whole, options=careful)
        with pytest.raises(UsageError, match=r"nothing to resume: .* is finished"):
            screen(library, small_model, output=whole, options=replace(careful, resume=True))
        screen(library, small_model, output=whole, options=replace(careful, force=True))
        assert tables(whole) == before


def test_what_replaces_a_result_may_be_continued(small_model, library, whole, interrupted):
    interrupted.write_text("old")
    screen(library, small_model, output=interrupted, options=replace(RESUME, force=False))
    assert tables(interrupted) == tables(whole)


class TestNothingIsLeft:
    def test_when_no_chunk_is_done(self, small_model, library, tmp_path):
        before = names_in(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            screen(library, small_model, output=tmp_path / "hits.csv", options=interrupt_after(1))
        assert names_in(tmp_path) == before

    def test_when_the_library_is_of_no_use(self, small_model, library, tmp_path):
        before = names_in(tmp_path)
        options = ScreeningOptions(max_rejects=RejectBound(count=0))
        with pytest.raises(InputError, match="were rejected"):
            screen(library, small_model, output=tmp_path / "hits.csv", options=options)
        assert names_in(tmp_path) - before <= {"hits.rejected.csv"}

    def test_of_a_run_that_was_killed_before_it_cleared_up(self, small_model, library, whole, interrupted):
        """The tables stand under their names, and the parts beside them."""
        screen(library, small_model, output=interrupted, options=replace(RESUME))
        parts = interrupted.with_suffix(".parts")
        parts.mkdir()
        (parts / "manifest.json").write_text(json.dumps({"half": "written"}))
        screen(library, small_model, output=interrupted, options=RESUME)
        assert tables(interrupted) == tables(whole)
        assert not parts.exists()
