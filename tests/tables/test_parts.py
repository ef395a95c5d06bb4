"""Finished parts of a run: kept whole or not at all, and continued only by the same run."""

from __future__ import annotations

import json
import os

import pyarrow as pa
import pytest
from support.libraries import names_in

from molig.errors import InputError, OutputError, UsageError
from molig.tables import PartNote, Parts

SCHEMA = pa.schema([("x", pa.int64()), ("text", pa.dictionary(pa.int32(), pa.string()))])
IDENTITY = {"the model": "a" * 64, "--tol": "0.01"}


def batch(*values: int) -> pa.RecordBatch:
    texts = pa.array([f"n{value}" for value in values]).dictionary_encode()
    return pa.record_batch([pa.array(values), texts], schema=SCHEMA)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "why.parts"


def opened(directory, identity=IDENTITY, *, resume=False, **options) -> Parts:
    parts = Parts(directory, identity, **options)
    parts.open(resume=resume)
    return parts


def filled(directory, n: int = 2) -> Parts:
    """Parts of two batches and three rows each."""
    parts = opened(directory)
    for number in range(n):
        kept = PartNote(3, {"part": number})
        parts.add(number, SCHEMA, [batch(10 * number), batch(10 * number + 1)], lambda kept=kept: kept)
    return parts


def content(parts: Parts) -> list[tuple[int, int, list[int]]]:
    return [
        (note.n_rows, note.summary["part"], [x for part in table for x in part["x"].to_pylist()])
        for note, table in parts.finished()
    ]


def test_what_was_kept_comes_back_in_order(directory):
    parts = filled(directory, 3)
    wanted = [(3, 0, [0, 1]), (3, 1, [10, 11]), (3, 2, [20, 21])]
    assert content(parts) == wanted
    again = opened(directory, resume=True)
    assert (again.n_rows, content(again)) == (9, wanted)
    again.remove()
    assert not directory.exists()


def test_an_empty_part_counts_its_rows(directory):
    opened(directory).add(0, SCHEMA, [], lambda: PartNote(5, {"part": 0}))
    assert content(opened(directory, resume=True)) == [(5, 0, [])]


def test_what_a_killed_run_leaves_besides_is_cleared_away(directory):
    filled(directory)
    for name in (".000002.arrow.77.tmp", "000002.arrow", "000004.arrow", "000004.json"):
        (directory / name).write_text("{}")
    parts = opened(directory, resume=True)
    assert parts.n_rows == 6
    assert names_in(directory) == {
        "manifest.json",
        *(f"00000{n}.{kind}" for n in (0, 1) for kind in ("arrow", "json")),
    }


def flip(path) -> None:
    """Change a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "gone", "no note", "note cut", "note flipped", "note of another"]
)
def test_a_damaged_part_is_made_again_and_no_other(directory, damage):
    filled(directory, 3)
    table, note = directory / "000001.arrow", directory / "000001.json"
    if damage == "cut":
        table.write_bytes(table.read_bytes()[:-1])
    elif damage == "note cut":
        note.write_text(note.read_text()[:-5])
    elif damage == "note of another":
        note.write_text((directory / "000002.json").read_text())
    elif "flipped" in damage:
        flip(note if "note" in damage else table)
    else:
        (table if damage == "gone" else note).unlink()
    parts = opened(directory, resume=True)
    assert parts.done == {0: 3, 2: 3}
    assert content(parts) == [(3, 0, [0, 1]), (3, 2, [20, 21])]
    parts.add(1, SCHEMA, [batch(10), batch(11)], lambda: PartNote(3, {"part": 1}))
    assert content(opened(directory, resume=True)) == [(3, 0, [0, 1]), (3, 1, [10, 11]), (3, 2, [20, 21])]


def test_damage_after_opening_is_told_when_read(directory):
    parts = filled(directory, 1)
    table = directory / "000000.arrow"
    table.write_bytes(b"\1" * table.stat().st_size)
    with pytest.raises(InputError, match=r"000000\.arrow is damaged .*; --resume makes this part again"):
        content(parts)


def test_a_part_that_breaks_off_leaves_nothing(directory):
    def breaking():
        yield batch(1)
        raise RuntimeError("broke off")

    parts = filled(directory, 1)
    before = names_in(directory)
    with pytest.raises(RuntimeError, match="broke off"):
        parts.add(1, SCHEMA, breaking(), lambda: PartNote(1, {}))
    assert names_in(directory) == before
    assert parts.n_rows == 3


class TestOpening:
    def test_finished_work_is_not_thrown_away_unasked(self, directory):
        filled(directory)
        with pytest.raises(UsageError, match=r"holds 6 finished rows .*--resume, or delete"):
            opened(directory)

    def test_without_finished_parts_there_is_nothing_to_lose(self, directory):
        opened(directory, {"the model": "another"})
        (directory / ".000000.arrow.5.tmp").write_text("half")
        assert opened(directory).n_rows == 0
        assert names_in(directory) == {"manifest.json"}
        assert opened(directory, resume=True).n_rows == 0

    @pytest.mark.parametrize(
        ("identity", "told"),
        [
            (IDENTITY | {"--tol": "0.02"}, "--tol was 0.01 and is 0.02"),
            (IDENTITY | {"the model": "b" * 64}, "the model has changed"),
            (IDENTITY | {"--task": "SR-ARE"}, "--task was not given and is SR-ARE"),
            ({"the model": "a" * 64}, "--tol was 0.01 and is not given"),
            ({"the model": "c" * 64, "--tol": "1"}, "the model has changed; --tol was 0.01 and is 1"),
        ],
        ids=str,
    )
    def test_another_run_is_not_continued(self, directory, identity, told):
        filled(directory)
        with pytest.raises(UsageError) as refused:
            opened(directory, identity, resume=True)
        assert f"cannot be continued: {told}. Use what that run used" in str(refused.value)
        assert opened(directory, resume=True).n_rows == 6

    def test_the_rows_of_a_part_stay_as_they_were(self, directory):
        opened(directory, rows_per_part=7).add(0, SCHEMA, [], lambda: PartNote(7, {}))
        assert opened(directory, resume=True).rows_per_part == 7

    def test_other_things_are_left_alone(self, directory):
        directory.mkdir()
        (directory / "thesis.tex").write_text("years of work")
        with pytest.raises(UsageError, match=r"holds other things \(thesis.tex\)"):
            opened(directory)
        assert (directory / "thesis.tex").read_text() == "years of work"

    def test_a_file_in_its_place(self, directory):
        directory.write_text("parts list")
        with pytest.raises(UsageError, match="is a file"):
            opened(directory)

    def test_a_note_with_an_infinite_number_of_rows(self, directory):
        filled(directory)
        path = directory / "000000.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"n_rows": float("inf")}))
        assert 0 not in opened(directory, resume=True).done

    def test_a_manifest_that_was_changed(self, directory):
        filled(directory)
        path = directory / "manifest.json"
        path.write_text(path.read_text().replace('"rows_per_part": ', '"rows_per_part": 1'))
        with pytest.raises(InputError, match=r"manifest\.json is damaged \(its checksum is another\)"):
            opened(directory, resume=True)

    @pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"format": "molig-parts-9"})])
    def test_a_damaged_manifest(self, directory, text):
        filled(directory)
        (directory / "manifest.json").write_text(text)
        with pytest.raises(InputError, match=r"manifest\.json is damaged"):
            opened(directory, resume=True)

    def test_a_full_disk(self, directory, monkeypatch):
        def full(*names):
            raise OSError(28, "No space left on device")

        parts = filled(directory, 1)
        before = names_in(directory)
        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(OutputError, match=r"cannot write .*: No space left on device"):
            parts.add(1, SCHEMA, [batch(1)], lambda: PartNote(1, {}))
        assert names_in(directory) == before


def test_a_disk_that_is_full_at_once_leaves_no_directory(directory, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("molig.tables.parts.Path.write_text", full)
        with pytest.raises(OutputError, match="No space left on device"):
            opened(directory)
    assert not directory.exists()


@pytest.mark.parametrize(
    ("error", "n", "stays"),
    [
        (KeyboardInterrupt(), 2, True),
        (KeyboardInterrupt(), 0, False),
        (InputError("the library ends within a block"), 2, False),
    ],
)
def test_what_stays_of_work_that_breaks_off(directory, error, n, stays):
    parts = filled(directory, n)
    with pytest.raises(type(error)), parts.working():
        raise error
    assert directory.exists() == stays


def test_a_damaged_part_takes_no_other_with_it(directory):
    parts = filled(directory)
    (directory / "000001.arrow").write_bytes(b"damaged")
    with pytest.raises(InputError, match="--resume makes this part again"), parts.working():
        content(parts)
    assert opened(directory, resume=True).n_rows == 3
