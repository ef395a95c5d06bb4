"""`molig explain` over a library: layouts, rejected rows, and runs that were killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from support import poison
from support.libraries import GOOD, names_in, sha256
from support.processes import Run
from support.small_model import nci_smiles

from molig.attribution.explanation import TABLE_SCHEMA
from molig.errors import OutputError
from molig.report.molecule_table import MOLECULE_SCHEMA
from molig.tables import Parts

PART = 16
N_MOLECULES = 300
# Few points on a path: these tests look at rows, not at numbers.
LOOSE = ("--tol", "0.5")


@pytest.fixture
def explained(molig, small_model_dir):
    """Run `molig explain` with the small model."""

    def run(*options):
        return molig("explain", "-m", small_model_dir, "--device", "cpu", *options)

    return run


@pytest.fixture(scope="module")
def library(tmp_path_factory, nci_file) -> Path:
    """Real compounds, every hundredth row a bad one; on the last of them RDKit would crash."""
    rows = nci_smiles(N_MOLECULES)
    for number in range(50, N_MOLECULES, 100):
        rows[number] = f"C1CC bad{number}"
    rows[250] = poison.GRAPHS["6-regular graph of 800 sulfur atoms"] + " bad250"
    path = tmp_path_factory.mktemp("library") / "library.smi"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory, small_model_dir, library) -> Path:
    """Directory in which a run for ``why.parquet`` was killed when some of its parts were finished."""
    directory = tmp_path_factory.mktemp("killed")
    words = ["explain", "-m", small_model_dir, "--device", "cpu", "-i", library, *LOOSE]
    words += ["-o", directory / "why.parquet", "--layout", "molecules"]
    process = Run(*words, chunk_rows=PART)
    process.wait_for((directory / "why.parts" / "000002.json").exists)  # of nineteen
    process.kill()
    assert process.code == -signal.SIGKILL
    assert names_in(directory) == {"why.parts", ".why.parquet.lock", ".why.rejected.csv.lock"}
    return directory


@pytest.fixture
def broken_off(killed, tmp_path) -> Path:
    """The table that the killed run was to write, in a directory of its own."""
    shutil.copytree(killed / "why.parts", tmp_path / "why.parts")
    return tmp_path / "why.parquet"


class TestResume:
    def test_the_table_is_that_of_a_run_without_interruption(
        self, explained, library, broken_off, monkeypatch
    ):
        options = ("-i", library, "--layout", "molecules", *LOOSE)
        n_finished = len(list(broken_off.parent.glob("why.parts/0*.json")))
        run = explained(*options, "-o", broken_off, "--resume")
        assert run.code == 0
        assert f"{n_finished * PART} rows are done already" in run.err
        assert f"{N_MOLECULES - 3} explained, 3 rejected: {broken_off}" in run.err
        assert names_in(broken_off.parent) == {"why.parquet", "why.rejected.csv"}
        assert pd.read_csv(broken_off.with_name("why.rejected.csv"))["row"].tolist() == [51, 151, 251]

        whole = broken_off.with_name("whole.parquet")
        monkeypatch.setattr("molig.report.explaining.CHUNK_ROWS", PART)
        assert explained(*options, "-o", whole, "--jobs", 2).code == 0
        assert sha256(broken_off) == sha256(whole)
        listed = [broken_off.with_name(f"{name}.rejected.csv") for name in ("why", "whole")]
        assert sha256(listed[0]) == sha256(listed[1])

    def test_nothing_finished_is_lost_unasked(self, explained, library, broken_off):
        run = explained("-i", library, "--layout", "molecules", *LOOSE, "-o", broken_off)
        assert run.code == 2
        assert "finished rows of an interrupted run" in run.err
        assert "--resume" in run.err
        assert names_in(broken_off.parent) == {"why.parts"}

    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            (["--tol", "0.25"], "--tol was 0.5 and is 0.25"),
            (["--task", "carbonyl"], "--task was not given and is carbonyl"),
            (["--target", "logit"], "--target was probability and is logit"),
            (["--layout", "features"], "--layout was molecules and is features"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_other_options_are_refused(self, explained, library, broken_off, changed, told):
        options = {"--layout": "molecules", "--tol": "0.5"} | {changed[0]: changed[1]}
        words = [word for pair in options.items() for word in pair]
        run = explained("-i", library, *words, "-o", broken_off, "--resume")
        assert run.code == 2
        assert f"why.parts cannot be continued: {told}." in run.err

    def test_another_input_is_refused(self, explained, library, broken_off, write):
        other = write("library.smi", library.read_text() + "CCO\n")
        run = explained("-i", other, "--layout", "molecules", *LOOSE, "-o", broken_off, "--resume")
        assert run.code == 2
        assert "the input has changed" in run.err

    def test_another_model_is_refused(self, molig, small_model_dir, library, broken_off):
        other = broken_off.with_name("model")
        shutil.copytree(small_model_dir, other)
        info = json.loads((other / "model.json").read_text())
        info["molecules"]["max_heavy_atoms"] = 100
        (other / "model.json").write_text(json.dumps(info))
        options = ("-i", library, "--layout", "molecules", *LOOSE, "--device", "cpu")
        run = molig("explain", "-m", other, *options, "-o", broken_off, "--resume")
        assert run.code == 2
        assert "the model has changed" in run.err

    def test_nothing_to_resume_is_a_beginning(self, explained, write, tmp_path):
        library = write("library.smi", "CCO\n")
        assert explained("-i", library, "-o", tmp_path / "why.csv", "--resume", "-q").err == ""
        assert names_in(tmp_path) == {"library.smi", "why.csv", "why.rejected.csv"}


class TestLayouts:
    def test_a_row_per_molecule(self, explained, small_model, write, tmp_path):
        smiles = ["CC(=O)Oc1ccccc1C(=O)O", "[Na+].CC(=O)[O-]"]
        library = write("library.smi", "".join(f"{s} m{i}\n" for i, s in enumerate(smiles, start=1)))
        path = tmp_path / "why.parquet"
        run = explained("-i", library, "-o", path, "--layout", "molecules", "--task", "carbonyl")
        assert run.code == 0
        table = pq.read_table(path)
        assert table.schema.equals(MOLECULE_SCHEMA)
        assert [len(scores) for scores in table["atom_scores"].to_pylist()] == [
            Chem.MolFromSmiles(s).GetNumAtoms() for s in smiles
        ]
        column = small_model.task_index("carbonyl")
        wanted = small_model.predict(smiles).scores[:, column]
        np.testing.assert_allclose(table["score"].to_numpy(), wanted, atol=1e-6)

    def test_a_row_per_feature_by_default(self, explained, tmp_path):
        for options in ([], ["--layout", "features"]):
            assert explained("--smiles", "CCO", "-o", tmp_path / "why.parquet", *options).code == 0
            assert pq.read_schema(tmp_path / "why.parquet").equals(TABLE_SCHEMA)

    @pytest.mark.parametrize("layout", ["features", "molecules"])
    def test_parquet_says_what_a_score_means_and_lists_members(
        self, molig, small_committee_dir, tmp_path, layout
    ):
        path = tmp_path / "why.parquet"
        options = ("-m", small_committee_dir, "--device", "cpu", "--layout", layout, *LOOSE)
        assert molig("explain", *options, "--smiles", "CCO", "--smiles", "CCN", "-o", path).code == 0
        table = pq.read_table(path)
        assert table.schema.metadata[b"scores"].startswith(b"Scores are calibrated probabilities")
        members = [name for name in table.column_names if name.startswith("member_")]
        if layout == "molecules":
            assert members == ["member_weave", "member_environments", "member_forest", "member_kernel"]
            parts = sum(table[name].to_numpy() for name in members)
            change = table["score"].to_numpy() - table["baseline_score"].to_numpy()
            np.testing.assert_allclose(parts, change - table["residual"].to_numpy(), atol=1e-9)
        else:
            assert members == []

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                ["-o", "why.csv", "--layout", "molecule"],
                "unknown layout 'molecule'; did you mean 'molecules'",
            ),
            (["-o", "why.svg", "--layout", "molecules"], "--layout is for tables (.parquet, .csv)"),
            (["-o", "why.html", "--layout", "features"], "--layout is for tables (.parquet, .csv)"),
            (["-o", "why.png", "--rejects", "bad.csv"], "--rejects is for tables"),
            (["-o", "why.csv", "--rejects", "why.csv"], "cannot both go to why.csv"),
            (["-o", "why.csv", "--rejects", "bad.txt"], "cannot tell the format of bad.txt"),
            (["-o", "why.csv", "--resume"], "--resume continues a run over a file"),
            (["-o", "why.csv", "--shard", "1/2"], "--shard shares out a file"),
            (["-o", "why.csv", "--shard", "3/2"], "--shard must be like 2/8"),
            (["-o", "why.csv", "--jobs", "2", "--threads", "2"], "give --threads or --jobs"),
            (["-o", "why.csv", "--time-limit", "0"], "--time-limit must be above 0"),
            (["-o", "why.csv", "-o", "why.parquet"], "why.csv and why.parquet are both tables"),
            (["-o", "why.svg", "-o", "./why.svg"], "why.svg is named twice by -o"),
            (["-o", "why.svg", "-o", "why.html", "--csv-safe"], "--csv-safe is for tables"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_wrong_requests(self, explained, tmp_path, monkeypatch, options, message):
        monkeypatch.chdir(tmp_path)
        run = explained("--smiles", "CCO", *options)
        assert run.code == 2
        assert message in run.err
        assert names_in(tmp_path) == set()

    def test_drawings_and_a_table_of_one_run(self, explained, write, tmp_path):
        library = write("library.smi", "CCO m1\nbad( m2\nCCN m3\n")
        names = ("why.html", "why.csv", "why.json")
        outputs = [word for name in names for word in ("-o", tmp_path / name)]
        run = explained("-i", library, *outputs, "--task", "carbonyl", "--layout", "molecules")
        assert run.code == 0
        assert f"2 explained, 1 rejected: {', '.join(str(tmp_path / name) for name in names)}" in run.err
        assert run.err.count("not parsable") == 1
        assert names_in(tmp_path) == {"library.smi", *names, "why.rejected.csv"}
        found = json.loads((tmp_path / "why.json").read_text())
        table = pd.read_csv(tmp_path / "why.csv")
        assert [one["id"] for one in found["explanations"]] == table["id"].tolist() == ["m1", "m3"]
        np.testing.assert_allclose([one["score"] for one in found["explanations"]], table["score"], rtol=1e-5)
        assert [one["id"] for one in found["rejected"]] == ["m2"]
        page = (tmp_path / "why.html").read_text()
        assert all(name in page for name in ("m1", "m2", "m3"))

    @pytest.mark.parametrize("names", [("why.html", "why.json"), ("why.csv", "why.svg")])
    def test_pages_and_pictures_are_resumed(self, explained, write, tmp_path, monkeypatch, names):
        rows = "\n".join(
            f'{smiles},m{i},"a, {i}",{i}.50' for i, smiles in enumerate(["CCO", "C1CC", *GOOD[:5]])
        )
        library = write("library.csv", f"smiles,id,note,IC50\n{rows}\n")
        monkeypatch.setattr("molig.report.explaining.CHUNK_ROWS", 2)
        (tmp_path / "whole").mkdir()

        class Breaking(Parts):
            def add(self, *args):
                if self.n_rows > 2:
                    raise OutputError("the disk is full")
                super().add(*args)

        def run(folder, *options):
            outputs = [word for name in names for word in ("-o", folder / name)]
            return explained("-i", library, *outputs, "--jobs", 1, *options)

        with monkeypatch.context() as patch:
            patch.setattr("molig.tables.Parts", Breaking)
            broken = run(tmp_path)
        assert (broken.code, "the same command with --resume continues there" in broken.err) == (1, True)
        again = run(tmp_path)
        assert (again.code, "continue it with --resume, or delete" in again.err) == (2, True)
        resumed = run(tmp_path, "--resume")
        assert (resumed.code, "4 rows are done already" in resumed.err) == (0, True)
        assert run(tmp_path / "whole").code == 0
        for path in (tmp_path / "whole").iterdir():
            assert path.read_bytes() == (tmp_path / path.name).read_bytes()
        written = {*names, "why.rejected.csv"} if "why.csv" in names else {*names}
        assert names_in(tmp_path) == {*written, "whole", "library.csv"}

    def test_what_a_run_keeps_for_a_table_is_not_enough_for_pictures(
        self, explained, write, tmp_path, monkeypatch
    ):
        library = write("library.smi", "CCO\nCCN\nCCC\n")
        monkeypatch.setattr("molig.report.explaining.CHUNK_ROWS", 1)

        class Breaking(Parts):
            def add(self, *args):
                if self.n_rows:
                    raise OutputError("the disk is full")
                super().add(*args)

        table, drawing = ("-o", tmp_path / "why.csv"), ("-o", tmp_path / "why.svg")
        for outputs in (table, drawing):
            with monkeypatch.context() as patch:
                patch.setattr("molig.tables.Parts", Breaking)
                assert explained("-i", library, *outputs, "--jobs", 1).code == 1
        assert names_in(tmp_path) == {"library.smi", "why.parts"}  # a single chunk of drawings is not kept
        run = explained("-i", library, *table, *drawing, "--resume")
        assert (run.code, "--layout was features and is for pages" in run.err) == (2, True)

    def test_resume_of_standard_input(self, explained, tmp_path):
        run = explained("-i", "-", "-o", tmp_path / "why.csv", "--resume")
        assert (run.code, "standard input cannot be read again" in run.err) == (2, True)

    def test_a_pipe_cannot_be_resumed(self, explained, tmp_path, small_model_dir):
        pipe = tmp_path / "library.smi"
        os.mkfifo(pipe)
        with subprocess.Popen(["sh", "-c", 'printf "CCO\\n" > "$0"', str(pipe)]):
            run = explained("-i", pipe, "-o", tmp_path / "why.csv", "--resume")
        assert (run.code, "is no file: it cannot be read again" in run.err) == (2, True)


class TestShards:
    def test_shards_are_merged_to_the_table_of_one_run(self, molig, explained, write, tmp_path, monkeypatch):
        monkeypatch.setattr("molig.report.explaining.CHUNK_ROWS", 2)
        library = write("library.smi", "CCO\nC1CC\nCCN\nCCC\nCCCl\n")
        for place in (1, 2):
            run = explained("-i", library, "-o", tmp_path / "why.csv", "--shard", f"{place}/2", "--jobs", 1)
            assert (run.code, f"shard {place}/2; `molig merge`" in run.err) == (0, True), run.err
        shards = sorted(tmp_path.glob("why.shard-*"))
        assert names_in(tmp_path) == {"library.smi", *(path.name for path in shards)}
        run = molig("merge", *shards, "-o", tmp_path / "why.csv")
        assert (run.code, "2 shards: 4 explained, 1 rejected" in run.err) == (0, True)
        assert explained("-i", library, "-o", tmp_path / "whole.csv").code == 0
        for name in ("csv", "rejected.csv"):
            assert sha256(tmp_path / f"why.{name}") == sha256(tmp_path / f"whole.{name}")
        again = molig("merge", *shards, "-o", tmp_path / "why.csv")
        assert (again.code, "is there already" in again.err) == (2, True)
        ranked = molig("merge", *shards, "-o", tmp_path / "best.csv", "--top-k", 3)
        assert (ranked.code, "--top-k is for hits" in ranked.err) == (2, True)

    def test_a_page_is_of_a_whole_library(self, explained, write, tmp_path):
        run = explained("-i", write("library.smi", "CCO\n"), "-o", tmp_path / "why.html", "--shard", "1/2")
        assert (run.code, "why.html is for a whole library" in run.err) == (2, True)


class TestRejectedRows:
    @pytest.mark.parametrize("layout", ["features", "molecules"])
    def test_they_are_listed_and_the_first_are_named(self, explained, write, tmp_path, layout):
        bad = "".join(f"C1CC bad{row}\n" for row in range(2, 27))
        library = write("library.smi", f"CCO one\n{bad}CCN last\n")
        options = ("-o", tmp_path / "why.parquet", "--rejects", tmp_path / "bad.csv", "--layout", layout)
        run = explained("-i", library, *options)
        assert run.code == 0
        assert run.err.count("warning: row") == 20
        assert f"5 more rejected rows; see {tmp_path / 'bad.csv'}" in run.err
        rejected = pd.read_csv(tmp_path / "bad.csv")
        assert rejected["row"].tolist() == list(range(2, 27))
        assert pd.read_parquet(tmp_path / "why.parquet")["id"].unique().tolist() == ["one", "last"]
        assert names_in(tmp_path) == {"library.smi", "why.parquet", "bad.csv"}

    def test_a_table_without_any_says_so(self, explained, tmp_path):
        run = explained("--smiles", "CCO", "-o", tmp_path / "why.csv")
        assert f"rejected rows: {tmp_path / 'why.rejected.csv'}" in run.err
        assert (tmp_path / "why.rejected.csv").read_text() == "row,id,smiles,reason\n"
