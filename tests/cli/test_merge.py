"""`molig screen --resume`, `--force`, `--shard`, and `molig merge`."""

from __future__ import annotations

import pytest
from support.libraries import BAD, GOOD, names_in

ROWS = "".join(f"{smiles}\n" for smiles in [*GOOD, *list(BAD)[:3]] if smiles)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr("molig.screening.pipeline.CHUNK_ROWS", 4)


@pytest.fixture
def screened(molig, small_model_dir, write):
    """Run `molig screen` on a few rows."""
    library = write("library.smi", ROWS)

    def run(*options):
        model = ("-m", small_model_dir, "--device", "cpu", "--task", "carbonyl")
        return molig("screen", library, *model, *options)

    return run


def test_a_finished_result_is_replaced_only_if_asked(screened, tmp_path):
    output = tmp_path / "hits.csv"
    output.write_text("old")
    refused = screened("-o", output)
    assert refused.code == 2
    assert "hits.csv is there already: choose another output, or replace it with --force" in refused.err
    assert "molecules/s" not in refused.err  # a bar for work that was not begun
    finished = screened("-o", output, "--resume")
    assert (finished.code, output.read_text()) == (2, "old")
    assert "nothing to resume" in finished.err
    assert screened("-o", output, "--force").code == 0
    assert output.read_text() != "old"


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_run_says_how_to_go_on_and_does(screened, tmp_path, monkeypatch, jobs):
    whole, output = tmp_path / "whole.csv", tmp_path / "hits.csv"
    assert screened("-o", whole, "--jobs", jobs).code == 0

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("molig.screening.joining.Joining.join", interrupted)
        broken = screened("-o", output, "--jobs", jobs)
    n_rows = ROWS.count("\n")
    assert broken.code in {1, 130}
    assert f"{n_rows} rows are done and kept in {tmp_path / 'hits.parts'}; the same" in broken.err
    assert "--resume" in screened("-o", output).err
    again = screened("-o", output, "--resume")
    assert again.code == 0
    assert f"{n_rows} rows are done already" in again.err
    assert output.read_bytes() == whole.read_bytes()
    assert "hits.parts" not in names_in(tmp_path)


def test_shards_are_put_together(screened, molig, tmp_path):
    whole, output = tmp_path / "whole.parquet", tmp_path / "hits.parquet"
    assert screened("-o", whole, "--top-k", 5).code == 0
    for place in (1, 2):
        run = screened("-o", output, "--top-k", 5, "--shard", f"{place}/2")
        assert run.code == 0
        assert f"shard {place}/2: {tmp_path / f'hits.shard-{place}-of-2'}; `molig merge`" in run.err
    shards = sorted(tmp_path.glob("hits.shard-*"))
    assert "shards are missing: 2/2" in molig("merge", shards[0], "-o", output).err
    run = molig("merge", *shards, "-o", output)
    assert run.code == 0
    assert f"{ROWS.count(chr(10))} rows of 2 shards: " in run.err
    assert output.read_bytes() == whole.read_bytes()
    assert "is there already" in molig("merge", *shards, "-o", output).err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--shard", "3/2"), "--shard must be like 2/8"),
        (("--shard", "1/2", "--rejects", "r.csv"), "--rejects is for a whole library, not for a shard of it"),
        (("--resume",), "--resume continues a run that writes a file"),
        (("--jobs", "2", "--threads", "2"), "give --threads or --jobs"),
        (("--time-limit", "0"), "--time-limit must be above 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_impossible_requests(screened, options, message):
    run = screened(*options)
    assert run.code == 2
    assert message in run.err
