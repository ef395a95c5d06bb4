"""Files appear whole or not at all, and their texts are plain."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from molig.errors import OutputError
from molig.files import digest_of, json_text, markdown_table, replacing, write_whole


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_at_the_end(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "hits.csv"
    path.write_text("old")
    with replacing(path, durable=durable) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "hits.csv"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_directories_are_made(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b.txt", "Müller")
    write_whole(tmp_path / "a" / "b.bin", b"\0")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "Müller".encode()
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"\0"


def test_a_file_where_a_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*b\.txt: "):
        write_whole(tmp_path / "a" / "b.txt", "")


def test_digests_of_files_bytes_and_text_agree(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    expected = hashlib.sha256(b"abc").hexdigest()
    assert digest_of(tmp_path / "a") == digest_of(b"abc") == digest_of("abc") == expected


def test_numbers_of_json_have_six_digits_and_no_nan() -> None:
    text = json_text({"p": 1.23456789e-12, 3: [float("nan"), (1, True)]})
    assert text == '{\n "p": 1.23457e-12,\n "3": [\n  null,\n  [\n   1,\n   true\n  ]\n ]\n}\n'


def test_the_last_alignment_counts_for_the_rest() -> None:
    lines = markdown_table(["a", "b", "c"], [["1|2", "x\ny", ""]], "lr")
    assert lines == ["| a | b | c |", "|---|---:|---:|", "| 1\\|2 | x y |  |"]
    assert markdown_table(["a"], [])[1] == "|---|"
    assert markdown_table(["a"], [], "rrl")[1] == "|---:|"
