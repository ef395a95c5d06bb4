"""What only a process of its own shows: signals, pipes, full disks, exit codes as the shell sees them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from support.libraries import GOOD, names_in, sha256
from support.processes import DEADLINE, Run
from support.small_model import TASKS, nci_smiles, small_recipe, write_labelled

from molig.training import write_recipe

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="needs POSIX signals and pipes")

EPOCHS = 40
"""Enough of them for the interruption to come in time."""


def start(*arguments: object, before: Callable[[], object] | None = None, **options) -> subprocess.Popen[str]:
    """Start `molig`, able to be interrupted, on one core."""

    def prepare() -> None:
        # A shell without job control starts its background jobs deaf to Ctrl-C; the tests may be one.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if before:
            before()

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", "from molig.cli import main; main()", *map(str, arguments)]
    return subprocess.Popen(command, text=True, env=environment, preexec_fn=prepare, **pipes)  # noqa: PLW1509


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out or "", err or ""


@pytest.fixture
def run() -> Iterator[Callable[..., Run]]:
    """Begin a command; what still runs when the test ends is killed."""
    begun: list[Run] = []

    def begin(*words: object, **options) -> Run:
        begun.append(Run(*words, **options))
        return begun[-1]

    yield begin
    for one in begun:
        if one.code is None:
            one.kill()


@pytest.fixture(scope="module")
def library(tmp_path_factory, nci_file) -> Path:
    """Enough rows to fill the buffer of a pipe."""
    path = tmp_path_factory.mktemp("library") / "library.smi"
    path.write_text("\n".join(nci_smiles(1500)) + "\nC1CC\n")
    return path


def test_a_run_as_in_the_shell(small_committee_dir):
    rows = "".join(f"{smiles}\n" for smiles in [*GOOD, "bad("])
    process = start("screen", "-", "-m", small_committee_dir, "--task", "carbonyl", stdin=subprocess.PIPE)
    out, err = process.communicate(rows, timeout=DEADLINE)
    assert process.returncode == 0
    lines = out.splitlines()
    assert lines[0] == "row,id,smiles,scored_smiles,removed,carbonyl,rank"
    assert len(lines) == 1 + len(GOOD)
    assert "9 rows: 8 scored, 1 rejected" in err
    assert "warning: row 9" in err


def test_a_named_pipe_is_read_once(run, small_committee_dir, tmp_path):
    pipe = tmp_path / "library.smi"
    os.mkfifo(pipe)
    process = run("screen", pipe, "-m", small_committee_dir, "-q")
    with pipe.open("w") as file:
        file.write("CCO\nCCN\n")
    code, out, err = process.finish()
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 3


def test_a_file_that_grows_during_the_run_is_told(run, small_committee_dir, tmp_path):
    growing, hits = tmp_path / "growing.smi", tmp_path / "hits.csv"
    # Many chunks, so that scoring keeps the reader from the end of the file.
    growing.write_text("".join(f"{smiles}\n" for smiles in ["CCO", "CCN"] * 6_000))
    words = ("screen", growing, "-m", small_committee_dir, "-o", hits, "-q", "--jobs", "1")
    process = run(*words, chunk_rows=500)
    while process.code is None:
        with growing.open("a") as file:
            file.write("CCO\n")
        time.sleep(0.01)
    code, _, err = process.finish()
    assert code == 0
    assert err.count("changed while it was read") == 1
    assert f"warning: {growing}: the file changed while it was read, so rows may be missing" in err


def test_a_reader_that_leaves_early_is_no_error_worth_a_word(small_committee_dir, library):
    process = start("screen", library, "-m", small_committee_dir, "-q")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("row,id,smiles")
    process.stdout.close()
    process.stdout = None
    code, _, err = finish(process)
    assert code == 1
    assert err == ""


def test_a_full_device_as_stdout_is_reported(small_committee_dir):
    with open("/dev/full", "w") as full:
        process = start("screen", "-", "-m", small_committee_dir, "-q", stdin=subprocess.PIPE, stdout=full)
        _, err = process.communicate("CCO\n", timeout=DEADLINE)
    assert process.returncode == 1
    assert err.startswith("error: cannot write standard output: No space left on device")
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@pytest.mark.parametrize(
    ("words", "closed", "message"),
    [
        (("screen", "LIBRARY", "-o", "-"), 1, "cannot write standard output: Bad file descriptor"),
        (("models",), 1, "Bad file descriptor"),
        (("screen", "-", "-o", "OUT/hits.csv"), 0, "standard input is closed"),
        (("explain", "-i", "-", "-o", "OUT/why.csv"), 0, "standard input is closed"),
    ],
)
def test_a_closed_stream_is_told(small_committee_dir, library, tmp_path, *, words, closed, message):
    arguments = [word.replace("LIBRARY", str(library)).replace("OUT", str(tmp_path)) for word in words]
    model = [] if words[0] == "models" else ["-m", small_committee_dir, "-q"]
    code, _, err = finish(start(*arguments, *model, before=lambda: os.close(closed)))
    assert code == 1
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert names_in(tmp_path) == set()


def test_files_do_not_take_the_numbers_of_closed_streams(small_committee_dir, library, tmp_path):
    """Else a message of a library would end up in the table."""
    output = tmp_path / "hits.csv"
    words = ("screen", library, "-m", small_committee_dir, "-o", output)
    process = start(*words, before=lambda: [os.close(number) for number in (0, 1, 2)])
    assert finish(process) == (0, "", "")
    n_rows = len(pd.read_csv(output)) + len(pd.read_csv(tmp_path / "hits.rejected.csv"))
    assert n_rows == len(library.read_text().splitlines())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
@pytest.mark.parametrize(
    ("size", "name", "n_rows", "options"),
    [
        ("64k", "hits.csv", 3_000, ()),
        ("1m", "hits.csv", 10_000, ()),
        ("64k", "hits.parquet", 20_000, ("--top-k", "100000")),
    ],
)
def test_a_disk_that_is_full_while_spooling(
    run, small_committee_dir, tmp_path, *, size, name, n_rows, options
):
    disk, library = tmp_path / "disk", tmp_path / "library.smi"
    disk.mkdir()
    library.write_text("".join(f"CCO {'x' * 100}{i:09d}\n" for i in range(n_rows)))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        words = ("screen", library, "-m", small_committee_dir, "-q", "-o", disk / name)
        code, out, err = run(*words, *options).finish()
        assert (code, out) == (1, "")
        *kept, error = err.splitlines()
        assert error.startswith("error: cannot write ")
        assert "No space left on device" in error
        # Chunks that are finished stay, and are told.
        assert names_in(disk) == ({"hits.parts"} if kept else set())
        assert len(kept) <= 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        (["screen", "LIBRARY", "-o", "OUT/hits.csv", "--top-k", "1000"], 8192),
        (["screen", "LIBRARY", "-o", "OUT/hits.parquet"], 8192),
        # Room for the four bytes by which Python tries directories for temporary files.
        (["screen", "LIBRARY", "-o", "OUT/hits.parquet", "--top-k", "3"], 4),
        (["explain", "--smiles", "CCO", "-o", "OUT/why.html"], 4096),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    run, small_committee_dir, library, tmp_path, *, arguments, limit
):
    words = [word.replace("LIBRARY", str(library)).replace("OUT", str(tmp_path)) for word in arguments]
    output = Path(words[words.index("-o") + 1])
    output.write_text("old")
    force = ["--force"] if words[0] == "screen" else []
    code, out, err = run(*words, *("-m", small_committee_dir, "-q"), *force, limit=limit).finish()
    assert (code, out) == (1, "")
    assert err.startswith("error: cannot write ")
    assert "File too large" in err
    assert "Traceback" not in err
    assert names_in(tmp_path) == {output.name}
    assert output.read_text() == "old"


def test_ctrl_c_while_screening_leaves_the_old_file_and_nothing_else(run, small_committee_dir, tmp_path):
    output = tmp_path / "hits.csv"
    output.write_text("old")
    words = ("screen", "-", "-m", small_committee_dir, "-o", output, "--force", "-q")
    process = run(*words)
    # It waits for the rest of a batch: the pipe stays open.
    process.write("CCO\n" * 10_000)
    process.wait_for(lambda: any(tmp_path.glob(".hits.*-*/*")))
    process.send_signal(signal.SIGINT)
    process.ended()  # the end of its input might be heard before the signal
    code, _, err = process.finish()
    assert code in {1, 130}
    assert err == "error: interrupted; nothing incomplete was left under a final name\n"
    assert names_in(tmp_path) == {"hits.csv"}
    assert output.read_text() == "old"


@pytest.mark.parametrize(
    "words",
    [
        ("screen", "-", "-o", "hits.csv"),
        ("explain", "-i", "-", "--tol", "0.1", "-o", "why.parquet"),
    ],
    ids=" ".join,
)
def test_a_second_run_on_one_output_is_refused(run, small_committee_dir, tmp_path, words):
    """The first waits for its input meanwhile, and ends as if it had been alone."""
    *words, name = words
    output = tmp_path / name
    first = run(*words, output, "-m", small_committee_dir, "-q")
    first.wait_for(
        lambda: (tmp_path / f".{name}.lock").exists() and (tmp_path / f".{name}.lock").stat().st_size
    )
    code, out, err = run(*words, output, "-m", small_committee_dir, "-q").finish()
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {output} is being written by another run, process {first.pid} on ")
    assert err.count("\n") == 1
    code, _, err = first.finish("CCO\nCCN\n")
    assert (code, err) == (0, "")
    beside = {output.with_suffix(suffix).name for suffix in (".rejected.csv", ".run.json")}
    assert {name} <= names_in(tmp_path) <= {name} | beside


def test_two_runs_with_parts_do_not_destroy_each_other(run, small_model_dir, tmp_path):
    """One of them explains; the other is refused, or comes when all is done."""
    library = tmp_path / "library.smi"
    library.write_text("".join(f"{smiles}\n" for smiles in nci_smiles(200)))
    output = tmp_path / "why.parquet"
    words = (
        "explain",
        "-m",
        small_model_dir,
        "-i",
        library,
        "-o",
        output,
        "--tol",
        "0.5",
        "--layout",
        "molecules",
    )
    ended = [process.finish() for process in [run(*words, "-q"), run(*words, "-q")]]
    assert sorted(code for code, _, _ in ended) in ([0, 1], [0, 0])
    for code, _, err in ended:
        assert code == 0 or "is being written by another run, process " in err
    assert len(pd.read_parquet(output)) == 200
    assert names_in(tmp_path) == {"library.smi", "why.parquet", "why.rejected.csv"}


def test_what_a_killed_run_leaves_is_cleared_by_the_next(run, small_committee_dir, library, tmp_path):
    output = tmp_path / "hits.csv"
    process = run("screen", "-", "-m", small_committee_dir, "-o", output, "-q")
    process.write("CCO\n" * 10_000)
    process.wait_for(lambda: any(tmp_path.glob(".hits.*-*/*")))
    process.kill()
    assert process.code == -signal.SIGKILL
    left = names_in(tmp_path)
    assert {".hits.csv.lock", ".hits.rejected.csv.lock"} < left
    assert any(name.startswith(f".hits.csv.{process.pid}-") for name in left)
    code, _, err = run("screen", library, "-m", small_committee_dir, "-o", output, "-q").finish()
    assert (code, err) == (0, "")
    assert names_in(tmp_path) == {"hits.csv", "hits.rejected.csv", "hits.run.json"}


def test_the_package_runs_as_a_module():
    found = subprocess.run(
        [sys.executable, "-m", "molig", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith("molig ")


def test_training_that_is_interrupted_and_resumed_gives_the_same_weights(run, tmp_path, molig):
    source, recipe = write_labelled(tmp_path / "labelled.csv", 60), tmp_path / "recipe.toml"
    write_recipe(small_recipe(epochs=EPOCHS, patience=EPOCHS), recipe)

    def words(model: Path) -> list[object]:
        return ["train", "-i", source, "-o", model, "--recipe", recipe, "--device", "cpu", "--label", *TASKS]

    whole, parted = tmp_path / "whole", tmp_path / "parted"
    process = run(*words(parted))
    process.wait_for((parted / "checkpoint.safetensors").exists)
    process.send_signal(signal.SIGINT)
    code, _, err = process.finish()
    assert code in {1, 130}
    assert "error: interrupted" in err
    assert "model.json" not in names_in(parted)

    resumed = molig(*words(parted), "--resume")
    assert resumed.code == 0
    assert f"epoch 1/{EPOCHS} " not in resumed.err
    assert f"epoch {EPOCHS}/{EPOCHS} " in resumed.err
    assert molig(*words(whole)).code == 0
    assert sha256(parted / "weights.safetensors") == sha256(whole / "weights.safetensors")
    histories = [json.loads((model / "history.json").read_text()) for model in (parted, whole)]
    assert histories[0] == histories[1]
    assert "checkpoint.safetensors" not in names_in(parted)
