"""What holds for every format: opening, errors, counting."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import random
import sys
import threading
import warnings
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from molig.errors import InputError, UnknownNameError, UsageError
from molig.molecules import Molecule, MoleculeParser, Reason, Record, Rejection, read_records
from molig.molecules.readers import resolve_format
from molig.molecules.sdf_reader import with_smiles

from .conftest import WriteFile

MOL_BLOCK = "{name}\n  molig\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n{atom}\nM  END\n$$$$\n"
ATOM = "    0.0000    0.0000    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0"


def as_bytes(rows: list[tuple[str, str]], kind: str) -> bytes:
    """Write (SMILES, name) rows in a format, as another program would."""
    if kind == "sdf":
        return "".join(MOL_BLOCK.format(name=name, atom=ATOM) for _, name in rows).encode()
    if kind == "smi":
        return "".join(f"{smiles}\t{name}\n" for smiles, name in rows).encode()
    table = pd.DataFrame(rows, columns=["smiles", "id"], dtype=object)
    if kind == "parquet":
        buffer = io.BytesIO()
        table.astype(str).to_parquet(buffer)
        return buffer.getvalue()
    return table.to_csv(index=False, sep="\t" if kind == "tsv" else ",").encode()


FORMATS = ["smi", "csv", "tsv", "sdf", "parquet"]


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_packed_or_not(write: WriteFile, kind: str, packed: str) -> None:
    path = write(f"library.{kind.upper()}{packed}", as_bytes([("C", "a"), ("C", "b")], kind))
    records = list(map(with_smiles, read_records(path)))
    assert [(r.row, r.id, r.smiles, r.problem) for r in records] == [(1, "a", "C", None), (2, "b", "C", None)]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_packed_otherwise(write: WriteFile, kind: str) -> None:
    content = as_bytes([("C", "a"), ("C", "b")], kind)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("folder/", "")
        made.writestr(f"folder/inside.{kind}", content)
        made.writestr("__MACOSX/._inside", "x")
    for path in (
        write(f"a.{kind}.bz2", bz2.compress(content)),
        write(f"a.{kind}.zip", archive.getvalue()),
        write("a.zip", archive.getvalue()),
        write(f"b.{kind}", bz2.compress(content)),
    ):
        assert [(r.row, r.id) for r in read_records(path)] == [(1, "a"), (2, "b")], path


def test_a_zip_archive_with_several_files(tmp_path: Path) -> None:
    path = tmp_path / "a.smi.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.smi", "C")
        archive.writestr("b.smi", "C")
    with pytest.raises(InputError, match=r"a zip archive must hold one file \(this one: a\.smi, b\.smi\)"):
        read_records(path)


def test_a_damaged_zip_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.smi.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.smi", "C\n" * 1000)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"a\.smi\.zip: the zip archive cannot be read"):
        read_records(path)


def test_a_zip_archive_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a.smi", "C")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(archive.getvalue())))
    with pytest.raises(InputError, match="standard input: a zip archive cannot be piped"):
        read_records("-")


@pytest.mark.parametrize("kind", ["smi", "csv"])
def test_bzip2_cut_in_the_middle(tmp_path: Path, kind: str) -> None:
    rng = random.Random(0)
    rows = [("C" * rng.randint(1, 30), str(rng.random())) for _ in range(80_000)]
    whole = bz2.compress(as_bytes(rows, kind))
    path = tmp_path / f"cut.{kind}.bz2"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(InputError, match=r"cut\..*damaged after row \d+"):
        deque(read_records(path), maxlen=0)


WORD = st.text(alphabet="CNO()=#[]@+-1\\/.%*abcxyz_\u00e9\ufffd", min_size=1, max_size=12)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(WORD, WORD), min_size=1, max_size=20), packed=st.booleans())
def test_every_row_comes_back_once_in_order(
    tmp_path: Path, kind: str, rows: list[tuple[str, str]], packed: bool
) -> None:
    if kind == "smi":  # where a line that begins with # is a comment
        rows = [(f"C{smiles}" if smiles.startswith("#") else smiles, name) for smiles, name in rows]
    content = as_bytes(rows, kind)
    path = tmp_path / (f"rows.{kind}" + (".gz" if packed else ""))
    path.write_bytes(gzip.compress(content, 1, mtime=0) if packed else content)
    records = list(read_records(path))
    assert [r.row for r in records] == list(range(1, len(rows) + 1))
    assert [r.id for r in records] == [name for _, name in rows]
    if kind != "sdf":
        assert [r.smiles for r in records] == [smiles for smiles, _ in rows]
    molecules, rejections = MoleculeParser().parse_many(records)
    assert sorted([m.row for m in molecules] + [r.row for r in rejections]) == [r.row for r in records]


@pytest.mark.parametrize("kind", ["smi", "csv", "tsv", "sdf", "parquet", "csv.gz"])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=300) | st.text(alphabet='C,"\t\r\n$> <M END\0', max_size=200).map(str.encode)
)
def test_garbage_never_crashes_a_reader_or_the_parser(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / f"garbage.{kind}"
    path.write_bytes(gzip.compress(content, 1, mtime=0) if kind.endswith(".gz") else content)
    try:
        records = list(read_records(path))
    except (InputError, UsageError):
        return
    rows = [MoleculeParser().parse(record).row for record in records]
    assert rows == list(range(1, len(records) + 1))


@pytest.mark.parametrize("kind", ["csv", "parquet", "smi"])
def test_ten_percent_broken_smiles(write: WriteFile, kind: str) -> None:
    rng = random.Random(0)
    rows = [("C1CC(" if rng.random() < 0.1 else "CCO", str(i)) for i in range(1000)]
    n_broken = sum(smiles != "CCO" for smiles, _ in rows)
    molecules, rejections = MoleculeParser().parse_many(
        read_records(write(f"a.{kind}", as_bytes(rows, kind)))
    )
    assert (len(molecules), len(rejections)) == (1000 - n_broken, n_broken)
    assert {r.reason for r in rejections} == {"not parsable: syntax error"}


@pytest.mark.parametrize("kind", ["csv", "parquet", "smi", "sdf"])
def test_duplicate_ids_are_kept(write: WriteFile, kind: str) -> None:
    path = write(f"a.{kind}", as_bytes([("C", "same"), ("C", "same")], kind))
    assert [r.id for r in read_records(path)] == ["same", "same"]


@pytest.mark.parametrize("name", ["a.smi", "a.csv", "a.tsv", "a.sdf", "a.smi.gz"])
def test_empty_file(write: WriteFile, name: str) -> None:
    with pytest.raises(InputError, match="holds no molecules"):
        read_records(write(name, ""))


@pytest.mark.parametrize(
    ("name", "header"), [("a.smi", "smiles name\n"), ("a.csv", "smiles,id\n\n\n"), ("a.tsv", "id\tsmiles")]
)
def test_header_only(write: WriteFile, name: str, header: str) -> None:
    with pytest.raises(InputError, match="holds no molecules"):
        read_records(write(name, header))


def test_parquet_without_rows(write: WriteFile) -> None:
    with pytest.raises(InputError, match="holds no molecules"):
        read_records(write("a.parquet", as_bytes([], "parquet")))


def test_missing_file() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.smi: no such file"):
        read_records("nowhere.smi")


def test_directory(tmp_path: Path) -> None:
    folder = tmp_path / "folder.smi"
    folder.mkdir()
    with pytest.raises(InputError, match="is a directory"):
        read_records(folder)


@pytest.mark.parametrize("name", ["a.smi", "a.parquet"])
def test_file_without_permission(write: WriteFile, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = write(name, "C\n")

    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"Permission denied.*permissions"):
        read_records(path)


@pytest.mark.parametrize("name", ["a.xls", "a", "a.gz", "a.zip", "a.smi.xz"])
def test_unknown_suffix(name: str) -> None:
    with pytest.raises(UsageError, match=r"supported are \.smi, .*\.parquet"):
        resolve_format(name)


def test_format_overrules_the_suffix(write: WriteFile) -> None:
    path = write("a.dat", "name,smiles\nmethane,C\n")
    assert next(read_records(path, file_format="CSV")).smiles == "C"


def test_unknown_format(write: WriteFile) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'csv'"):
        read_records(write("a.smi", "C"), file_format="cvs")


@pytest.mark.parametrize("kind", ["csv", "tsv", "smi", "sdf", "parquet"])
def test_wrong_column(write: WriteFile, kind: str) -> None:
    path = write(f"a.{kind}", as_bytes([("C", "a")], kind))
    with pytest.raises(UnknownNameError, match="activity"):
        read_records(path, columns=["activity"])


OPTIONAL = {
    "smi": "smiles pIC50 toxic\nC 6.1 1\n",
    "csv": "smiles,pIC50,toxic\nC,6.1,1\n",
    "tsv": "smiles\tpIC50\ttoxic\nC\t6.1\t1\n",
    "sdf": MOL_BLOCK.format(name="a", atom=ATOM).replace("$$$$", "> <pIC50>\n6.1\n\n> <toxic>\n1\n\n$$$$"),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_optional_columns_come_where_the_file_has_them(write: WriteFile, kind: str) -> None:
    content: str | bytes = OPTIONAL.get(kind, "")
    if kind == "parquet":
        buffer = io.BytesIO()
        pd.DataFrame({"smiles": ["C"], "pIC50": ["6.1"], "toxic": ["1"]}).to_parquet(buffer)
        content = buffer.getvalue()
    path = write(f"some.{kind}", content)
    (record,) = read_records(path, columns=["pIC50"], optional=["toxic", "pIC50", "absent"])
    assert record.fields == {"pIC50": "6.1", "toxic": "1"}
    (record,) = read_records(path, optional=["absent", "toxic"])
    assert record.fields == {"toxic": "1"}


@pytest.mark.parametrize("kind", FORMATS)
def test_optional_columns_may_all_be_absent(write: WriteFile, kind: str) -> None:
    path = write(f"plain.{kind}", as_bytes([("C", "a")], kind))
    (record,) = map(with_smiles, read_records(path, optional=["toxic"]))
    assert (record.id, record.smiles, record.fields) == ("a", "C", {})


def test_an_optional_column_marks_the_header_of_a_smiles_file(write: WriteFile) -> None:
    path = write("some.smi", "smiles toxic\nC 1\n")
    assert [record.smiles for record in read_records(path, optional=["toxic"])] == ["C"]


def test_gzip_that_is_none(write: WriteFile, tmp_path: Path) -> None:
    path = tmp_path / "a.smi.gz"
    path.write_bytes(b"CCO\n")
    with pytest.raises(InputError, match=r"cannot be read.*again"):
        read_records(path)


@pytest.mark.parametrize("kind", ["smi", "csv"])
def test_gzip_cut_in_the_middle_names_the_row(tmp_path: Path, kind: str) -> None:
    rng = random.Random(0)
    rows = [("C" * rng.randint(1, 30), str(rng.random())) for _ in range(20_000)]
    whole = gzip.compress(as_bytes(rows, kind), mtime=0)
    path = tmp_path / f"cut.{kind}.gz"
    path.write_bytes(whole[: len(whole) // 2])
    read: list[Record] = []
    with pytest.raises(InputError, match=r"cut\..*damaged after row \d+") as caught:
        deque(map(read.append, read_records(path)), maxlen=0)
    assert len(read) > 1000
    assert f"row {len(read)} " in str(caught.value)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"CCO ethanol\nC\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert [r.id for r in read_records("-")] == ["ethanol", "2"]


@pytest.mark.parametrize("kind", FORMATS)
def test_standard_input_packed(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    data = gzip.compress(as_bytes([("C", "a")], kind), mtime=0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert [r.id for r in read_records("-", file_format=kind)] == ["a"]


def test_empty_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(InputError, match="standard input: holds no molecules"):
        read_records("-")


def test_a_bad_library_end_to_end(write: WriteFile) -> None:
    """The list of everything that can be wrong with a row, in one file; the rows around are scored."""
    lines = [
        "CCO ok1",
        "C" * 2_000_000,
        "CC\0C zero",
        "C" * 1000 + " big",
        "[Na+].CC(=O)[O-] salt",
        "[Fe] iron",
    ]
    lines += ["[*]CC dummy", "CC>>C reaction", "", "C(C broken", "CCN ok2"]
    parser = MoleculeParser()
    results = [
        parser.parse(record) for record in read_records(write("bad.smi", "\r\n".join(lines) + "\r\n\r\n"))
    ]
    assert [r.row for r in results] == list(range(1, 12))
    expected = {
        2: Reason.LINE_TOO_LONG,
        3: Reason.NULL_BYTES,
        4: Reason.TOO_LARGE,
        6: Reason.METAL_ONLY,
        7: Reason.DUMMY_ATOM,
        8: Reason.REACTION,
        9: Reason.EMPTY,
        10: Reason.UNPARSABLE,
    }
    for result in results:
        if result.row in expected:
            assert isinstance(result, Rejection)
            assert result.reason.startswith(expected[result.row].value)
        else:
            assert isinstance(result, Molecule)


def while_read(path: Path, event: Callable[[], object], n_before: int = 1) -> Iterator[Record]:
    """The records of a file to which something happens after the first ones."""
    for number, record in enumerate(read_records(path), start=1):
        yield record
        if number == n_before:
            event()


MANY = [("C", f"m{number}") for number in range(5000)]


@pytest.mark.parametrize("n_before", [1, len(MANY)])
@pytest.mark.parametrize("kind", ["smi", "csv", "sdf", "smi.gz"])
def test_a_file_that_grows_while_it_is_read_is_told_once(write: WriteFile, kind: str, n_before: int) -> None:
    kind, packed, _ = kind.partition(".gz")
    content, more = as_bytes(MANY, kind), as_bytes([("CC", "late")], kind)
    if packed:
        more = gzip.compress(more)
    path = write(f"grows.{kind}{packed}", content)

    def grow() -> None:
        with path.open("ab") as file:
            file.write(more)

    with pytest.warns(UserWarning, match="changed while it was read") as told:
        records = list(while_read(path, grow, n_before))
    assert [r.id for r in records[: len(MANY)]] == [name for _, name in MANY]
    assert [str(warning.message).split(", so")[0] for warning in told] == [
        f"{path}: the file changed while it was read"
    ]


def test_a_file_of_the_same_size_that_is_rewritten_is_told(write: WriteFile) -> None:
    path = write("a.parquet", as_bytes(MANY, "parquet"))
    later = path.stat().st_mtime_ns + 1_000_000_000
    with pytest.warns(UserWarning, match=r"a\.parquet: the file changed while it was read.*run again"):
        list(while_read(path, lambda: os.utime(path, ns=(later, later))))


def test_a_file_that_changes_is_told_if_reading_is_given_up(write: WriteFile) -> None:
    path = write("a.smi", as_bytes(MANY, "smi"))
    records = read_records(path)
    assert next(records).id == "m0"
    path.write_text("C only\n")
    with pytest.warns(UserWarning, match=r"a\.smi: the file changed while it was read"):
        del records


def test_a_file_that_breaks_off_while_it_is_read_says_both(write: WriteFile) -> None:
    rows = [("C", f"{random.Random(number).random()}") for number in range(20_000)]
    path = write("a.smi.gz", as_bytes(rows, "smi"))
    with pytest.warns(UserWarning, match="changed while"), pytest.raises(InputError, match="damaged after"):
        list(while_read(path, lambda: os.truncate(path, path.stat().st_size - 20_000)))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_stays_as_it_is_or_is_removed_warns_of_nothing(write: WriteFile, kind: str) -> None:
    path = write(f"a.{kind}", as_bytes(MANY, kind))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(while_read(path, path.read_bytes))) == len(MANY)
        assert len(list(while_read(path, path.unlink))) == len(MANY)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_meant_to_grow(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.smi"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[as_bytes(MANY, "smi")])
    writer.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(read_records(pipe))) == len(MANY)
    writer.join()
