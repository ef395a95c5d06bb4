"""Shards: together they give what one run gives, to the last byte."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from support.libraries import BAD, GOOD, names_in
from support.small_model import nci_smiles

from molig.errors import InputError, UsageError
from molig.screening import Diversity, ScreeningOptions, Shard, merge, screen

N_SHARDS = 3


@pytest.fixture(scope="module")
def small_model(small_committee):
    """Without a task, only calibrated scores are ranked: those of a committee."""
    return small_committee


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr("molig.screening.pipeline.CHUNK_ROWS", 8)


@pytest.fixture
def library(tmp_path, nci_file) -> Path:
    rows = [row for row in [*nci_smiles(40, start=1000), *BAD, *GOOD] if "," not in row]
    path = tmp_path / "library.csv"
    path.write_text("smiles,price,name\n" + "".join(f"{row},{i / 3},m{i}\n" for i, row in enumerate(rows)))
    return path


def sharded(library: Path, model, output: Path, n: int = N_SHARDS, **options) -> list[Path]:
    """Directories of all shards."""
    found = []
    for place in range(1, n + 1):
        result = screen(
            library, model, output=output, options=ScreeningOptions(shard=Shard(place, n), **options)
        )
        found.append(Path(str(result.output)))
    return found


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    "options",
    [{}, {"top_k": 9}, {"threshold": 0.3}, {"top_k": 5, "diversity": Diversity("cluster")}, {"task": "all"}],
    ids=str,
)
def test_shards_together_are_the_whole(small_model, library, tmp_path, suffix, options):
    whole, output = tmp_path / f"whole.{suffix}", tmp_path / f"hits.{suffix}"
    expected = screen(library, small_model, output=whole, options=ScreeningOptions(**options))
    shards = sharded(library, small_model, output, **options)
    assert [shard.name for shard in shards] == [f"hits.shard-{i}-of-3" for i in (1, 2, 3)]
    result = merge(shards[::-1], output)
    assert output.read_bytes() == whole.read_bytes()
    assert result.rejects.read_bytes() == expected.rejects.read_bytes()
    for name in ("n_rows", "n_scored", "n_rejected", "n_hits", "reasons", "meaning", "kept"):
        assert getattr(result, name) == getattr(expected, name)


@pytest.mark.parametrize("of_shards", [None, 20])
def test_the_best_of_all_shards(small_model, library, tmp_path, of_shards):
    whole, output = tmp_path / "whole.csv", tmp_path / "hits.csv"
    screen(library, small_model, output=whole, top_k=7)
    merge(sharded(library, small_model, output, top_k=of_shards), output, top_k=7)
    assert output.read_bytes() == whole.read_bytes()


def test_more_shards_than_chunks(small_model, tmp_path):
    library, whole, output = (tmp_path / name for name in ("l.smi", "whole.csv", "hits.csv"))
    library.write_text("\n".join(GOOD) + "\n")
    screen(library, small_model, output=whole)
    merge(sharded(library, small_model, output, 4), output)
    assert output.read_bytes() == whole.read_bytes()


def test_a_shard_is_counted_and_its_table_is_not_there_yet(small_model, library, tmp_path):
    options = ScreeningOptions(shard=Shard(2, 3))
    result = screen(library, small_model, output=tmp_path / "hits.csv", options=options)
    assert 0 < result.n_rows == result.n_scored + result.n_rejected
    with pytest.raises(UsageError, match="parts of a shard"):
        _ = result.hits
    assert len(result.rejections) == result.n_rejected
    assert names_in(tmp_path) == {"library.csv", "hits.shard-2-of-3"}


class TestRefusals:
    @pytest.fixture
    def shards(self, small_model, library, tmp_path) -> list[Path]:
        return sharded(library, small_model, tmp_path / "hits.csv")

    def test_missing_and_doubled_ones(self, shards, tmp_path):
        with pytest.raises(UsageError, match=r"shards are missing: 1/3, 3/3"):
            merge(shards[1:2], tmp_path / "hits.csv")
        with pytest.raises(UsageError, match=r"are both shard 1/3; name it once"):
            merge([*shards, shards[0]], tmp_path / "hits.csv")
        with pytest.raises(UsageError, match="name the shards"):
            merge([], tmp_path / "hits.csv")
        assert not (tmp_path / "hits.csv").exists()

    def test_those_of_other_runs(self, small_model, library, shards, tmp_path):
        other = sharded(library, small_model, tmp_path / "other.csv", task="carbonyl")
        with pytest.raises(UsageError, match=r"no shard of the same run .*--task was not given and is carb"):
            merge([shards[0], other[1], shards[2]], tmp_path / "hits.csv")
        halves = sharded(library, small_model, tmp_path / "half.csv", 2)
        with pytest.raises(UsageError, match="--shard was of 3 and is of 2"):
            merge([shards[0], halves[1]], tmp_path / "hits.csv")

    def test_other_things(self, small_model, library, shards, tmp_path):
        with pytest.raises(UsageError, match=r"no parts of a run: it has no manifest\.json"):
            merge([*shards[:2], tmp_path / "no"], tmp_path / "hits.csv")

    def test_an_unfinished_or_damaged_one(self, shards, tmp_path):
        part = shards[1] / "000001.arrow"
        part.write_bytes(part.read_bytes()[:-1])
        with pytest.raises(InputError, match=r"is not finished, or damaged: run shard 2/3 again with"):
            merge(shards, tmp_path / "hits.csv")

    def test_a_finished_result_and_other_formats(self, shards, tmp_path):
        output = tmp_path / "hits.csv"
        output.write_text("old")
        with pytest.raises(UsageError, match="is there already"):
            merge(shards, output, force=False)
        with pytest.raises(UsageError, match=r"as \.csv has them; write other\.csv"):
            merge(shards, tmp_path / "other.parquet")
        merge(shards, output)
        assert output.read_text() != "old"

    def test_more_than_the_shards_hold(self, small_model, library, tmp_path):
        shards = sharded(library, small_model, tmp_path / "best.csv", top_k=4)
        with pytest.raises(UsageError, match="the shards hold the best 4 rows each"):
            merge(shards, tmp_path / "hits.csv", top_k=5)

    def test_a_shard_of_what_is_no_file(self, small_model, library, tmp_path):
        for source, output in ((GOOD, tmp_path / "hits.csv"), (library, None)):
            with pytest.raises(UsageError, match="shard shares out a file"):
                screen(source, small_model, output=output, options=ScreeningOptions(shard=Shard(1, 2)))

    @pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "a/b", "1/2/3"])
    def test_no_shard(self, text):
        with pytest.raises(UsageError, match="must be like 2/8"):
            Shard.parse(text)


def test_a_finished_shard_is_replaced_only_if_asked(small_model, library, tmp_path):
    output = tmp_path / "hits.csv"
    options = ScreeningOptions(shard=Shard(1, 3), force=False)
    screen(library, small_model, output=output, options=options)
    with pytest.raises(UsageError, match="shard-1-of-3 is there already"):
        screen(library, small_model, output=output, options=options)
    again = ScreeningOptions(shard=Shard(1, 3), force=False, resume=True)
    assert screen(library, small_model, output=output, options=again).n_rows > 0
    screen(library, small_model, output=output, options=ScreeningOptions(shard=Shard(1, 3)))


def test_every_chunk_is_of_one_shard():
    for n, chunk in itertools.product(range(1, 6), range(20)):
        assert sum(Shard(place, n).owns(chunk) for place in range(1, n + 1)) == 1
