"""`molig screen`: bad libraries, options, and where the results go."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from support.libraries import GOOD, names_in
from support.small_model import TASKS

from molig.screening import screen

SMI = "".join(f"{smiles} m{i}\n" for i, smiles in enumerate(GOOD))
CSV = "name,smiles\n" + "".join(f"m{i},{smiles}\n" for i, smiles in enumerate(GOOD))
N = len(GOOD)


def table(text: str) -> pd.DataFrame:
    """Read what a command printed."""
    return pd.read_csv(io.StringIO(text), keep_default_na=False)


@pytest.fixture
def screened(molig, small_committee_dir):
    """Run `molig screen` with the small committee, whose scores are calibrated."""

    def run(library, *options):
        return molig("screen", library, "-m", small_committee_dir, "--device", "cpu", *options)

    return run


BROKEN = "".join(f"{smiles}\n" for smiles in [*GOOD, *GOOD, "C1CC", "CO(C)(C)C"] * 2)

ROWS = {
    "ten percent broken": ("l.smi", BROKEN, {17, 18, 35, 36}, "not parsable"),
    "a line of 2 MB": ("l.smi", SMI + "C" * 2_000_000 + "\nCCN\n", {N + 1}, "line longer than 100,000"),
    "null bytes": ("l.smi", SMI + "C\0C zero\n" + SMI, {N + 1}, "null bytes in the line"),
    "null bytes in csv": ("l.csv", CSV + "m,C\0C\nlast,CCN\n", {N + 1}, "null bytes in the line"),
    "1,000 atoms": ("l.smi", SMI + "C" * 1000 + " long\n", {N + 1}, "too large: 1000 heavy atoms"),
    "an isolated metal": ("l.smi", "[Fe]\n" + SMI, {1}, "metal only"),
    "metals only": ("l.smi", SMI + "[Na+].[Fe+2]\n", {N + 1}, "metal only"),
    "dummy atoms": ("l.smi", SMI + "[*]CCO\n*c1ccccc1\n", {N + 1, N + 2}, "dummy atom"),
    "a reaction": ("l.smi", "CCO>>CC=O\n" + SMI, {1}, "reaction SMILES"),
    "an empty line": ("l.smi", SMI + "\n" + SMI, {N + 1}, "empty SMILES"),
    "an empty cell": ("l.csv", CSV + "m,\n", {N + 1}, "empty SMILES"),
    "a missing cell": ("l.csv", CSV + "m\n", {N + 1}, "wrong number of columns"),
    "an open quote": ("l.csv", CSV + 'm,"CCO\nlast,CCN\n', {N + 1}, "broken quoting"),
    "binary rubbish": ("l.smi", SMI.encode() + b"\xff\xfe\xfa\n", {N + 1}, "characters outside ASCII"),
}
"""Name, content, rows that cannot be scored, and how the reason begins."""


class TestBadRows:
    @pytest.mark.parametrize(("name", "content", "bad", "reason"), ROWS.values(), ids=ROWS)
    def test_a_bad_row_is_reported_and_the_others_are_scored(
        self, screened, write, *, name, content, bad, reason
    ):
        run = screened(write(name, content), "-o", "-")
        hits = table(run.out)
        assert run.code == 0
        assert len(hits) >= N
        everything = set(range(1, len(hits) + len(bad) + 1))
        assert set(hits["row"]) == everything - bad
        warnings = [line for line in run.err.splitlines() if line.startswith("warning: row ")]
        assert len(warnings) == len(bad)
        assert all(f"row {row} " in text for row, text in zip(sorted(bad), warnings, strict=True))
        assert reason in run.err
        assert max(map(len, warnings)) < 500

    def test_rejects_are_beside_the_hits(self, screened, write, tmp_path):
        run = screened(write("l.smi", BROKEN), "-o", tmp_path / "hits.csv")
        assert run.code == 0
        assert "36 rows: 32 scored, 4 rejected" in run.err
        rejected = pd.read_csv(tmp_path / "hits.rejected.csv")
        assert rejected["row"].tolist() == [17, 18, 35, 36]
        assert rejected["reason"].str.startswith("not parsable").all()
        assert str(tmp_path / "hits.rejected.csv") in run.err


class TestUnusualButGood:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("crlf.smi", SMI.replace("\n", "\r\n")),
            ("crlf.csv", CSV.replace("\n", "\r\n")),
            ("mac.smi", SMI.replace("\n", "\r")),
            ("bom.smi", "\ufeff" + SMI),
            ("bom.csv", "\ufeff" + CSV),
            ("utf16.csv", CSV.encode("utf-16")),
            ("header.smi", "smiles\tname\n" + SMI.replace(" ", "\t")),
            ("packed.smi.gz", gzip.compress(SMI.encode(), mtime=0)),
            ("no-last-line-end.smi", SMI.rstrip()),
            ("UPPER.SMI", SMI),
        ],
        ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
    )
    def test_the_scores_are_those_of_the_plain_file(self, screened, write, name, content):
        plain, other = screened(write("plain.smi", SMI)), screened(write(name, content))
        assert (other.code, other.out) == (0, plain.out)
        assert "warning" not in other.err

    def test_duplicated_ids_stay(self, screened, write):
        run = screened(write("l.smi", "CCO same\nCCN same\nCCO same\n"))
        assert run.code == 0
        assert table(run.out)[["row", "id"]].values.tolist() == [[1, "same"], [2, "same"], [3, "same"]]

    def test_a_salt_scores_as_its_parent_and_keeps_its_smiles(self, screened, write):
        hits = table(screened(write("l.smi", "[Na+].CC(=O)[O-]\nCC(=O)O\n"), "--task", "carbonyl").out)
        assert hits["smiles"].tolist() == ["[Na+].CC(=O)[O-]", "CC(=O)O"]
        assert hits["carbonyl"].nunique() == 1


class TestBadFiles:
    @pytest.mark.parametrize(
        ("name", "content", "code", "message"),
        [
            ("empty.smi", "", 1, "empty.smi: holds no molecules"),
            ("empty.csv", "", 1, "empty.csv: holds no molecules"),
            ("blank.smi", "\n\n\n", 1, "blank.smi: holds no molecules"),
            ("header.csv", "smiles,id\n", 1, "header.csv: holds no molecules"),
            ("header.smi", "SMILES name\n", 1, "header.smi: holds no molecules"),
            ("wrong.csv", "text,number\nCCO,1\n", 2, "no column looks like SMILES among 'text', 'number'"),
            ("unknown.xls", "CCO\n", 2, "unknown file type; supported are .smi"),
            ("damaged.parquet", "CCO\n", 1, "damaged.parquet"),
            ("damaged.smi.gz", gzip.compress(SMI.encode(), mtime=0)[:-20], 1, "damaged.smi.gz"),
            ("not-packed.smi.gz", "CCO\n", 1, "not-packed.smi.gz"),
            (
                "hopeless.smi",
                "C1CC\n[*]\n[*]C\n",
                1,
                "none of the 3 rows of the library could be scored",
            ),
        ],
    )
    def test_a_file_that_cannot_be_used(self, screened, write, tmp_path, *, name, content, code, message):
        run = screened(write(name, content), "-o", tmp_path / "hits.csv")
        assert run.code == code
        assert f"error: {tmp_path}" in run.err or "error: none of the" in run.err
        assert message in run.err
        assert run.out == ""
        rejects = {"hits.rejected.csv"} if message.startswith("none of the") else set()
        assert names_in(tmp_path) == {name} | rejects

    def test_a_gzip_file_with_flipped_bytes(self, screened, write):
        packed = bytearray(gzip.compress("".join(f"{'C' * i}O\n" for i in range(1, 90)).encode(), mtime=0))
        packed[20:40] = b"\xff" * 20
        run = screened(write("library.smi.gz", bytes(packed)))
        assert run.code == 1
        assert "library.smi.gz" in run.err

    def test_a_missing_file(self, screened, tmp_path):
        run = screened(tmp_path / "nowhere.smi")
        assert run.code == 2
        assert f"error: {tmp_path / 'nowhere.smi'}: no such file" in run.err

    def test_a_directory(self, screened, tmp_path):
        directory = tmp_path / "library.smi"
        directory.mkdir()
        run = screened(directory)
        assert run.code == 2
        assert "is a directory; name the molecule file in it" in run.err

    def test_a_file_that_cannot_be_read(self, screened, tmp_path):
        # Reading this process's memory from address 0 is an input/output error, even for root.
        memory = Path("/proc/self/mem")
        if not memory.exists():
            pytest.skip("needs the /proc of Linux")
        (tmp_path / "library.smi").symlink_to(memory)
        run = screened(tmp_path / "library.smi")
        assert run.code == 1
        assert "library.smi: cannot be read" in run.err

    @pytest.mark.parametrize("option", ["--smiles-column", "--id-column"])
    def test_a_wrong_column_suggests_the_nearest(self, screened, write, option):
        run = screened(write("l.csv", "mol_smiles,reg_number\nCCO,1\n"), option, "reg_nunber")
        assert run.code == 2
        assert "unknown column 'reg_nunber'; did you mean 'reg_number'?" in run.err

    def test_an_unknown_format_suggests_the_nearest(self, screened, write):
        run = screened(write("l.smi", SMI), "--format", "smy")
        assert run.code == 2
        assert "unknown file format 'smy'; did you mean 'smi'?" in run.err


class TestOptions:
    @pytest.fixture
    def library(self, write):
        return write("library.smi", SMI)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--top-k", 0], "--top-k"),
            (["--top-k", "many"], "--top-k"),
            (["--batch-size", 0], "--batch-size"),
            (["--task", "nitrogne"], "unknown task 'nitrogne'; did you mean 'nitrogen'?"),
            (["--device", "nonsense"], "unknown device 'nonsense'; use auto, cpu or cuda"),
            (["--device", "mps"], "device"),
            (["--device", "meta"], "device"),
            (
                ["-o", "hits.txt"],
                "cannot tell the format of hits.txt; use a name ending in .parquet",
            ),
            (["-o", "no/such/place/hits.csv"], "the directory no/such/place does not exist"),
            (["-o", "/dev/null/hits.csv"], "/dev/null is a file, not a directory"),
            (["-o", "."], "."),
            (["--rejects", "rejects.txt"], "cannot tell the format of rejects.txt"),
            (["--rejects", "-"], "results and rejected rows"),
            (["--no-such-option"], "No such option: --no-such-option"),
        ],
        ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
    )
    def test_a_wrong_request_ends_with_2_before_any_work(
        self, screened, library, tmp_path, monkeypatch, *, options, message
    ):
        monkeypatch.chdir(tmp_path)
        run = screened(library, *options)
        assert run.code == 2
        assert message in run.err
        assert "Traceback" not in run.err
        assert run.out == ""
        assert names_in(tmp_path) == {"library.smi"}

    def test_no_model_is_a_wrong_request(self, molig, library):
        run = molig("screen", library)
        assert run.code == 2
        assert "--model" in run.err

    @pytest.mark.parametrize("task", [None, *TASKS])
    @pytest.mark.parametrize("name", ["hits.csv", "hits.parquet"])
    def test_the_command_writes_what_the_library_function_returns(
        self, screened, library, tmp_path, small_committee, *, task, name
    ):
        options = [] if task is None else ["--task", task]
        run = screened(library, "-o", tmp_path / name, "--top-k", 5, *options)
        expected = screen(library, small_committee, task=task, top_k=5).hits
        is_csv = name.endswith("csv")
        path = tmp_path / name
        found = pd.read_csv(path, keep_default_na=False) if is_csv else pd.read_parquet(path)
        assert run.code == 0
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-5)

    def test_without_a_task_it_is_said_how_rows_are_ranked(self, screened, library):
        assert (
            "no --task: ranking by the highest of 2 calibrated scores of committee" in screened(library).err
        )
        assert "no --task" not in screened(library, "--task", "nitrogen").err

    def test_columns_named_by_hand(self, screened, write):
        library = write("l.tsv", "a\tsmiles\tb\n1\tbad(\tCCO\n2\tbad(\tCCN\n")
        hits = table(screened(library, "--smiles-column", "b", "--id-column", "a").out)
        assert hits[["id", "smiles"]].values.tolist() == [[1, "CCO"], [2, "CCN"]]

    def test_applicability_of_a_model_that_has_none(self, molig, library, tmp_path):
        from support.random_models import random_model

        from molig.model import save_model

        save_model(random_model(), tmp_path / "bare")
        run = molig("screen", library, "-m", tmp_path / "bare", "--applicability")
        assert run.code == 2
        assert "model 'random' has no applicability domain" in run.err
        assert run.out == ""

    def test_applicability_adds_two_columns(self, molig, library, tmp_path, small_model):
        from molig.features import Featurizer
        from molig.model import Applicability, ScreeningModel, save_model

        mols = [small_model.parser.parse_smiles(s).mol for s in GOOD]
        graphs = Featurizer(small_model.schema).featurize(mols)
        domain = Applicability.fit([*GOOD], graphs, small_model.schema)
        known = ScreeningModel(small_model.info, small_model.network, "cpu", domain)
        save_model(known, tmp_path / "known")
        run = molig("screen", library, "-m", tmp_path / "known", "--applicability", "--task", "nitrogen")
        hits = table(run.out)
        assert list(hits.columns[-2:]) == ["applicability", "similarity"]
        assert set(hits["applicability"]) == {"in domain"}
        assert hits["row"].tolist() == list(range(1, N + 1))

    def test_quiet_leaves_stderr_empty_and_the_table_on_stdout(self, screened, library):
        loud, quiet = screened(library), screened(library, "--quiet")
        assert (quiet.code, quiet.err) == (0, "")
        assert quiet.out == loud.out
        assert len(table(quiet.out)) == N

    def test_quiet_still_warns_of_rejected_rows(self, screened, write):
        run = screened(write("l.smi", "CCO\nbad(\n"), "-q")
        assert run.code == 0
        assert run.err.startswith("warning: row 2 (2) 'bad('")


class TestCommittee:
    def test_uncertainty_is_a_column_and_scores_say_what_they_mean(self, molig, write, small_committee_dir):
        run = molig("screen", write("library.smi", "CCO\n"), "-m", small_committee_dir, "--uncertainty")
        assert run.code == 0
        assert run.out.splitlines()[0].endswith(",rank,chance_wrong,uncertainty")
        assert "Scores are calibrated probabilities of being active: of molecules scored 0.3" in run.err

    def test_a_network_alone_has_no_uncertainty_and_no_calibration(self, molig, write, small_model_dir):
        library = write("library.smi", "CCO\n")
        run = molig("screen", library, "-m", small_model_dir, "--task", "nitrogen", "--uncertainty")
        assert (run.code, run.out) == (2, "")
        assert "has no members whose scores could be compared" in run.err
        assert (
            "they are no calibrated probabilities"
            in molig("screen", library, "-m", small_model_dir, "--task", "all").err
        )


class TestSeveralModels:
    def test_scores_stand_side_by_side(self, molig, write, small_model_dir, small_committee_dir):
        models = ("-m", small_model_dir, "-m", small_committee_dir)
        run = molig("screen", write("l.smi", SMI), *models, "--rank-by", "committee:carbonyl")
        assert run.code == 0
        hits = table(run.out)
        assert [name for name in hits if ":" in name] == [
            f"{model}:{task}" for model in ("small", "committee") for task in TASKS
        ]
        assert hits.loc[hits["rank"] == 1, "committee:carbonyl"].iloc[0] == hits["committee:carbonyl"].max()

    def test_tasks_are_chosen_by_repeated_options(self, molig, write, small_model_dir, small_committee_dir):
        models = ("-m", small_model_dir, "-m", small_committee_dir)
        tasks = ("--task", "committee:nitrogen", "--task", "small:nitrogen")
        hits = table(molig("screen", write("l.smi", SMI), *models, *tasks).out)
        assert [name for name in hits if ":" in name] == ["committee:nitrogen", "small:nitrogen"]

    def test_the_first_model_ranks_and_stderr_says_so(
        self, molig, write, small_model_dir, small_committee_dir
    ):
        models = ("-m", small_committee_dir, "-m", small_model_dir)
        run = molig("screen", write("l.smi", SMI), *models)
        assert "ranking by the highest of 2 calibrated scores of committee" in run.err
        first = ("-m", small_model_dir, "-m", small_committee_dir)
        assert "'small' predicts scores, which are not" in molig("screen", write("l.smi", SMI), *first).err

    def test_explanations_are_of_one_model(
        self, molig, write, tmp_path, small_model_dir, small_committee_dir
    ):
        models = ("-m", small_model_dir, "-m", small_committee_dir)
        output = ("-o", tmp_path / "hits.csv", "--explain-top", 2)
        run = molig("screen", write("l.smi", SMI), *models, *output)
        assert (run.code, "explains the scores of one model" in run.err) == (2, True)


class TestColumnsOfTheLibrary:
    @pytest.fixture
    def library(self, write):
        rows = "".join(f'm{i},{smiles},{i}.50,"a, b"\n' for i, smiles in enumerate(GOOD))
        return write("l.csv", f"name,smiles,rank,note\n{rows}x,C1CC,9.90,bad ring\n")

    def test_they_come_along_in_hits_and_rejects(self, screened, library, tmp_path):
        assert screened(library, "-o", tmp_path / "hits.csv").code == 0
        given = pd.read_csv(library, dtype=str)
        hits = pd.read_csv(tmp_path / "hits.csv", dtype=str)
        assert list(hits.columns[-3:]) == ["rank", "input.rank", "note"]
        assert hits["input.rank"].tolist() == given["rank"].tolist()[:N]
        assert hits["note"].tolist() == ["a, b"] * N
        rejected = pd.read_csv(tmp_path / "hits.rejected.csv", dtype=str)
        assert rejected[["id", "input.rank", "note"]].values.tolist() == [["x", "9.90", "bad ring"]]

    def test_they_can_be_chosen(self, screened, library):
        assert list(table(screened(library, "--keep", "note,rank").out))[-2:] == ["note", "input.rank"]
        assert list(table(screened(library, "--keep", "none").out))[-1] == "rank"
        wrong = screened(library, "--keep", "notes")
        assert (wrong.code, "did you mean 'note'?" in wrong.err) == (2, True)

    def test_types_stay_in_parquet_with_the_best(self, screened, tmp_path):
        values = pd.DataFrame({"smiles": GOOD, "n": range(N), "x": [0.1] * N, "flag": [True] * N})
        values.to_parquet(tmp_path / "l.parquet")
        assert screened(tmp_path / "l.parquet", "-o", tmp_path / "hits.parquet", "--top-k", 3).code == 0
        hits = pd.read_parquet(tmp_path / "hits.parquet")
        expected = values.iloc[hits["row"] - 1].reset_index(drop=True)
        pd.testing.assert_frame_equal(hits[["n", "x", "flag"]], expected[["n", "x", "flag"]])

    def test_hits_are_a_library(self, screened, molig, library, tmp_path, small_committee_dir):
        hits, again = tmp_path / "hits.csv", tmp_path / "again.parquet"
        assert screened(library, "-o", hits).code == 0
        assert screened(hits, "-o", again).code == 0
        assert pd.read_parquet(again)["input.rank"].tolist() == [f"{i}.50" for i in range(N)]
        for made in (hits, again):
            model = ("-i", made, "-m", small_committee_dir)
            assert molig("explain", *model, "-o", tmp_path / "why.parquet", "-q").code == 0
            assert molig("audit", *model, "--only", "input-columns", "-q").code == 0


class TestWhichHits:
    def test_a_threshold(self, screened, write):
        library = write("l.smi", SMI)
        all_hits = table(screened(library, "--task", "nitrogen").out)
        hits = table(screened(library, "--task", "nitrogen", "--threshold", 0.5).out)
        pd.testing.assert_frame_equal(hits, all_hits[all_hits["nitrogen"] >= 0.5].reset_index(drop=True))
        none = screened(library, "--task", "nitrogen", "--threshold", 2)
        assert (none.code, len(table(none.out))) == (0, 0)
        assert "0 hits" in none.err

    def test_the_best_of_different_scaffolds(self, screened, write):
        hits = table(screened(write("l.smi", SMI), "--top-k", 4, "--diverse", "scaffold").out)
        assert hits["scaffold"].is_unique
        assert hits["rank"].tolist() == sorted(hits["rank"])
        alone = screened(write("l.smi", SMI), "--diverse", "cluster")
        assert (alone.code, "--top-k" in alone.err) == (2, True)

    def test_the_best_are_explained(self, screened, write, tmp_path):
        library, page, rows = write("l.smi", SMI), tmp_path / "why.html", tmp_path / "why.parquet"
        asked = ("--task", "nitrogen", "--explain-top", 2, "--explain-output", page)
        run = screened(library, *asked, "--explain-output", rows)
        assert run.code == 0
        best = table(run.out).sort_values(["rank", "row"])["id"].tolist()[:2]
        assert list(dict.fromkeys(pd.read_parquet(rows)["id"])) == best
        assert all(name in page.read_text() for name in best)

    def test_explanations_need_a_place(self, screened, write):
        library = write("l.smi", SMI)
        assert "--explain-output FILE" in screened(library, "--explain-top", 2).err
        assert "--explain-top N" in screened(library, "--explain-output", "why.html").err

    def test_a_page_of_the_best(self, screened, write, tmp_path):
        library, page = write("l.smi", SMI + "C1CC broken\n"), tmp_path / "hits.html"
        asked = (library, "--task", "nitrogen", "-o", page)
        best = table(screened(*asked[:3], "-o", "-", "--top-k", 2).out)["id"].tolist()
        assert screened(*asked, "--top-k", 2).code == 0
        text = page.read_text()
        assert all(name in text for name in (*best, "broken"))
        assert [file.name for file in tmp_path.glob("hits*")] == ["hits.html"]
        assert "replace it with --force" in screened(*asked).err
        assert "--resume goes with a table" in screened(*asked, "--resume").err

    def test_tasks_that_are_not_calibrated_need_a_choice(self, molig, write, small_model):
        from molig.model import save_model

        library = write("l.smi", SMI)
        save_model(small_model, library.with_name("network"))
        run = molig("screen", library, "-m", library.with_name("network"))
        assert (run.code, run.out) == (2, "")
        assert "choose one by --task ('nitrogen', 'carbonyl'), or take 'all'" in run.err


class TestOperators:
    def test_too_many_rejects_leave_no_hits(self, screened, write, tmp_path):
        library = write("l.smi", "CCO a\nC1CC b\nCO(C)(C)C c\n")
        run = screened(library, "-o", tmp_path / "hits.csv")
        assert run.code == 1
        assert "2 of the 3 rows were rejected, more than the 50 % of --max-rejects" in run.err
        assert "2 x not parsable" in run.err
        assert names_in(tmp_path) == {"l.smi", "hits.rejected.csv"}
        assert screened(library, "-o", tmp_path / "hits.csv", "--max-rejects", "2").code == 0
        assert screened(library, "--max-rejects", "1").code == 1
        assert "--max-rejects must be" in screened(library, "--max-rejects", "half").err

    def test_a_picture_is_no_library(self, screened, write):
        run = screened(write("l.smi", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100))
        assert (run.code, run.out) == (1, "")
        assert "it is a PNG image" in run.err

    def test_a_run_says_what_it_was(self, screened, write, tmp_path, small_committee):
        library = write("l.smi", SMI + "C1CC bad\n")
        assert screened(library, "-o", tmp_path / "hits.csv", "--top-k", 3).code == 0
        report = json.loads((tmp_path / "hits.run.json").read_text())
        assert report["rows"] == {
            **{"read": N + 1, "scored": N, "rejected": 1, "hits": 3},
            "done_by_an_interrupted_run": 0,
        }
        assert report["rejected_by_reason"] == {"not parsable": 1}
        assert report["models"][0]["digest"] == small_committee.digest()
        assert report["outputs"]["hits"]["bytes"] == (tmp_path / "hits.csv").stat().st_size
        assert 0 < report["utilisation"] <= 1
        assert report["versions"]["molig"]

    def test_a_dry_run_writes_nothing(self, screened, write, tmp_path):
        run = screened(write("l.smi", SMI * 200), "-o", tmp_path / "hits.csv", "--dry-run")
        assert run.code == 0
        assert f"{200 * N:,}" in run.out
        assert "hit table" in run.out
        assert names_in(tmp_path) == {"l.smi"}
        assert screened("-", "--dry-run").code == 2

    def test_help_is_in_groups(self, molig):
        text = molig("screen", "--help").out
        groups = ("Arguments:", "Options:", "Which hits:", "Beside the scores:", "What is read:", "The run:")
        assert all(group in text for group in groups)


class TestSeveralFilesAndClusters:
    def test_several_files_are_one_library(self, screened, write, tmp_path):
        for name in ("b", "a"):
            write(f"{name}.smi", "".join(f"{smiles} {name}{i}\n" for i, smiles in enumerate(GOOD)))
        run = screened(tmp_path / "*.smi", "-o", "-")
        assert run.code == 0
        hits = table(run.out)
        assert hits["row"].tolist() == list(range(1, 2 * N + 1))
        assert hits["id"].tolist() == [f"{name}{i}" for name in "ab" for i in range(N)]

    def test_an_address(self, screened, write):
        run = screened(f"file://{write('l.smi', SMI)}", "-o", "-")
        assert run.code == 0
        assert len(table(run.out)) == N

    def test_ray_is_not_installed(self, screened, write, monkeypatch):
        monkeypatch.setattr("molig.screening.cluster.find_spec", lambda name: None)
        run = screened(write("l.smi", SMI), "--engine", "ray")
        assert run.code == 2
        assert "pip install 'molig[ray]'" in run.err
        assert run.out == ""

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--engine", "rya"], "did you mean 'ray'?"),
            (["--address", "auto"], "say --engine ray"),
            (["--gpus", "0.5"], "say --engine ray"),
            (["--engine", "ray", "--threads", "2"], "leave out --threads"),
            (["--engine", "ray", "--gpus", "1.5"], "--gpus is a share up to 1, or a whole number (got 1.5)"),
            (["--engine", "ray", "--dry-run"], "--dry-run tries out this machine"),
        ],
        ids=str,
    )
    def test_wrong_requests(self, screened, write, monkeypatch, options, told):
        monkeypatch.setattr("molig.screening.cluster.find_spec", lambda name: "there")
        run = screened(write("l.smi", SMI), *options)
        assert run.code == 2
        assert told in run.err

    def test_standard_input_is_on_no_node(self, screened, monkeypatch):
        monkeypatch.setattr("molig.screening.cluster.find_spec", lambda name: "there")
        run = screened("-", "--engine", "ray")
        assert run.code == 2
        assert "cannot read standard input" in run.err
