"""Models of other packages on the command line: files of Chemprop, and ADMET-AI."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from molig.foreign import InputOptions, load_chemprop

SMALL = Path(__file__).parent.parent / "foreign" / "small.pt"
CHECKPOINT = SMALL.with_suffix(".ckpt")
LIBRARY = "CCO ethanol\n[H]OC(C)c1ccccc1 alcohol\nC1CC broken\nC[C@H](N)C(=O)O alanine\n"


@pytest.fixture
def two_networks(tmp_path):
    """The small network, and one with other weights in its first layer."""
    with zipfile.ZipFile(SMALL) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    first = max((name for name in parts if "/data/" in name), key=lambda name: len(parts[name]))
    parts[first] = (2 * np.frombuffer(parts[first], "<f4")).tobytes()
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return SMALL, tmp_path / "other.pt"


@pytest.fixture
def library(write):
    return write("library.smi", LIBRARY)


class TestScreen:
    def test_a_file(self, molig, library):
        run = molig("screen", library, "-m", SMALL, "--task", "all", "--device", "cpu")
        assert run.code == 0, run.err
        hits = pd.read_csv(io.StringIO(run.out))
        assert hits["id"].tolist() == ["ethanol", "alcohol", "alanine"]
        expected = load_chemprop(SMALL).predict(hits["smiles"]).scores
        assert hits[["first", "second"]].to_numpy() == pytest.approx(expected, rel=1e-5)
        assert "Scores are probabilities; whether probabilities are calibrated is not known." in run.err

    def test_several_files_are_an_ensemble(self, molig, library, tmp_path):
        other = shutil.copy(SMALL, tmp_path / "other.pt")
        run = molig("screen", library, "-m", SMALL, "-m", other, "--task", "all", "--device", "cpu")
        assert "each the mean of 2 networks" in run.err
        assert "rank" not in run.out

    def test_how_far_the_networks_of_an_ensemble_disagree(self, molig, library, two_networks):
        files = [option for path in two_networks for option in ("-m", path)]
        run = molig("screen", library, *files, "--task", "first", "--uncertainty", "--device", "cpu")
        assert run.code == 0, run.err
        hits = pd.read_csv(io.StringIO(run.out))
        assert hits.columns[-1] == "uncertainty"
        each = [load_chemprop(path).predict(hits["smiles"]).scores for path in two_networks]
        mean, spread = np.mean(each, axis=0), np.abs(each[0] - each[1]) / 2
        assert hits["first"].to_numpy() == pytest.approx(mean[:, 0], rel=1e-5)
        assert hits["uncertainty"].to_numpy() == pytest.approx(spread[:, 0], abs=1e-6)
        assert hits["uncertainty"].min() > 1e-3

    def test_options_of_molecules(self, molig, library):
        asked = {"--keep-h": "keep_h", "--add-h": "add_h", "--ignore-stereo": "ignore_stereo"}
        for option, name in asked.items():
            run = molig("screen", library, "-m", SMALL, option, "--task", "all", "--device", "cpu")
            hits = pd.read_csv(io.StringIO(run.out))
            model = load_chemprop(SMALL, InputOptions(**{name: True}))
            expected = model.predict(hits["smiles"]).scores
            assert hits[["first", "second"]].to_numpy() == pytest.approx(expected, rel=1e-5), option

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["-m", "no.pt"], "no model file or directory at no.pt"),
            (["-m", "admetai"], "did you mean 'admet-ai'"),
            (["-m", "tox21-w2n2-simple", "-m", SMALL], "only files of Chemprop make an ensemble"),
            (["-m", "tox21-w2n2-simple", "--keep-h"], "--keep-h is for models of Chemprop"),
            (["-m", "tox21-w2n2-simple", "--no-add-h"], "--add-h is for models of Chemprop"),
            (["-m", SMALL, "--atom-features", "v3"], "unknown set of atom features 'v3'"),
            (["-m", SMALL, "--applicability"], "small has no applicability domain"),
            (
                ["-m", SMALL, "--uncertainty"],
                "no scores can be compared: --uncertainty",
            ),
            (["-m", SMALL, "--percentiles"], "--percentiles is for admet-ai"),
            (["-m", SMALL, "--atc", "nervous system"], "--atc chooses the drugs of --percentiles"),
            (["-m", SMALL, "--task", "all", "--top-k", "3"], "--top-k is about the best score"),
        ],
    )
    def test_wrong_requests(self, molig, library, options, problem):
        run = molig("screen", library, *options)
        assert run.code == 2
        assert problem in run.err
        assert run.out == ""

    def test_a_file_that_is_no_model(self, molig, library):
        run = molig("screen", library, "-m", library)
        assert run.code == 2
        assert "library.smi is a file; a model is the directory that holds model.json, or" in run.err

    def test_admet_ai(self, molig, library):
        if find_spec("admet_ai") is None:
            pytest.skip("ADMET-AI is not installed")
        run = molig("screen", library, "-m", "admet-ai", "--task", "all", "--percentiles", "--device", "cpu")
        hits = pd.read_csv(io.StringIO(run.out))
        assert hits.shape == (3, 5 + 2 * 41)
        assert hits["hERG percentile"].between(0, 100).all()
        assert "Caco2_Wang in log(10^-6 cm/s)" in run.err


class TestModels:
    def test_a_file_is_described(self, molig):
        run = molig("models", SMALL)
        assert (run.code, run.err) == (0, "")
        assert "1 of Chemprop v2 (classification): messages along" in run.out
        assert "72 features of each atom and 14 of each bond (v2)" in run.out
        assert f"molig screen library.smi -m {SMALL} --task all -o hits.csv" in run.out
        for task in ("first", "second"):
            assert [
                line for line in run.out.splitlines() if line.startswith(f"│ {task} ") and "probab" in line
            ]

    def test_files_are_described_together(self, molig, tmp_path):
        assert "2 of Chemprop v2" in molig("models", SMALL, shutil.copy(SMALL, tmp_path / "other.pt")).out
        run = molig("models", SMALL, CHECKPOINT)
        assert run.code == 2
        assert "they are no ensemble" in run.err

    def test_admet_ai_is_listed_where_it_is_installed(self, molig, monkeypatch):
        monkeypatch.setattr("molig.foreign.admet_ai.is_installed", lambda: True)
        assert " admet-ai " in molig("models").out
        monkeypatch.setattr("molig.foreign.admet_ai.is_installed", lambda: False)
        assert "admet-ai" not in molig("models").out

    def test_admet_ai_is_described(self, molig):
        if find_spec("admet_ai") is None:
            run = molig("models", "admet-ai")
            assert run.code == 2
            assert "pip install admet-ai" in run.err
            return
        out = molig("models", "admet-ai").out
        assert "5 of Chemprop v2 (regression)" in out
        (row,) = [line for line in out.splitlines() if line.startswith("│ Caco2_Wang ")]
        assert "value" in row
        assert "log(10^-6 cm/s)" in row


class TestExplain:
    @pytest.mark.parametrize("suffix", [".svg", ".html", ".json", ".md", ".csv", ".parquet"])
    def test_every_output(self, molig, library, tmp_path, suffix):
        out = tmp_path / f"why{suffix}"
        run = molig("explain", "-m", SMALL, "-i", library, "-o", out, "--device", "cpu", "--baseline", "zero")
        assert run.code == 0, run.err
        assert "3 explained, 1 rejected" in run.err
        assert out.stat().st_size > 500

    def test_the_baseline_is_neutral_unless_another_is_named(self, molig, tmp_path):
        command = ("explain", "-m", SMALL, "--smiles", "CCO", "--task", "first", "--device", "cpu", "-q")
        starts = {}
        for options, name in (([], "neutral"), (["--baseline", "zero"], "zero")):
            out = tmp_path / f"{name}.csv"
            assert molig(*command, *options, "-o", out, "--layout", "molecules").code == 0
            (found,) = pd.read_csv(out).itertuples()
            assert found.baseline == name
            starts[name] = found.baseline_score
        # This network has hardly been trained, and scores a probability of 0.01 nowhere.
        assert starts["neutral"] < starts["zero"]

    def test_what_the_baseline_scores_is_told_of_every_task_that_is_explained(self, molig, tmp_path):
        command = ("explain", "-m", SMALL, "--smiles", "CCO", "--device", "cpu", "--baseline", "zero")
        cases = {"second": ["second"], "all": ["first", "second"], None: ["first"]}  # first scores higher
        for task, told in cases.items():
            asked = ["--task", task] if task else []
            run = molig(*command, *asked, "-o", tmp_path / "why.json")
            lines = [line.split() for line in run.err.splitlines()]
            found = {words[0] for words in lines if words[1:2] == ["probability"] and "10" in words}
            assert found == set(told)
            assert f"baseline is not neutral in {', '.join(told)}: what is explained" in run.err
            assert "zero baseline, F(x'):" in run.err

    def test_references_that_were_drawn_leave_an_error(self, molig, library, tmp_path):
        command = ("explain", "-m", SMALL, "-i", library, "--task", "first", "--device", "cpu")
        run = molig(*command, "-o", tmp_path / "why.svg", "--baseline", "library")
        assert "references were drawn from a library: the standard error" in run.err
        assert "did not converge" not in run.err
        assert "sampling error" in (tmp_path / "why.svg").read_text()
        run = molig(*command, "-o", tmp_path / "why.svg", "--baseline", "mean")
        assert "were drawn" not in run.err
        assert "sampling error" not in (tmp_path / "why.svg").read_text()

    def test_scores_are_those_of_screening_and_parts_add_up(self, molig, library, tmp_path):
        out = tmp_path / "why.json"
        options = ("--task", "second", "--baseline", "zero", "-o", out, "-q")
        other = shutil.copy(SMALL, tmp_path / "other.pt")
        assert molig("explain", "-m", SMALL, "-m", other, "-i", library, *options).code == 0
        found = json.loads(out.read_text())
        assert "the mean of 2 networks" in found["meaning_of_scores"]
        expected = load_chemprop(SMALL).predict([one["smiles"] for one in found["explanations"]]).scores
        for one, (_, score) in zip(found["explanations"], expected, strict=True):
            assert one["score"] == pytest.approx(score, abs=1e-5)
            parts = sum(filter(None, one["atom_scores"]))
            assert parts == pytest.approx(one["score"] - one["baseline_score"], abs=1e-4)

    def test_a_run_is_not_resumed_with_other_molecules(self, molig, library, tmp_path, monkeypatch):
        out = tmp_path / "why.parquet"
        monkeypatch.setattr("molig.report.explaining.write_tables", interrupt)
        options = ("-i", library, "-o", out, "-q", "--baseline", "zero")
        assert molig("explain", "-m", SMALL, *options).code == 1
        run = molig("explain", "-m", SMALL, "--add-h", *options, "--resume")
        assert run.code == 2
        assert "the model" in run.err

    def test_admet_ai_has_both_kinds_of_tasks(self, molig, tmp_path):
        if find_spec("admet_ai") is None:
            pytest.skip("ADMET-AI is not installed")
        common = ("explain", "-m", "admet-ai", "--smiles", "CCO", "--device", "cpu", "--baseline", "zero")
        table = tmp_path / "all.csv"
        assert molig(*common, "--task", "all", "-o", table, "--layout", "molecules").code == 0
        found = pd.read_csv(table)
        assert len(found) == 41
        assert found["target"].value_counts().to_dict() == {"probability": 31, "value": 10}
        assert molig(*common, "--task", "AMES", "-o", tmp_path / "ames.svg").code == 0
        for options, problem in (
            ([], "name one of the tasks"),
            (["--task", "all", "--target", "logit"], "no --target suits all"),
            (["--task", "Caco2_Wang", "--target", "logit"], "has no logit"),
            (["--task", "Caco2"], "did you mean 'Caco2_Wang'"),
        ):
            run = molig(*common, *options, "-o", tmp_path / "no.svg")
            assert run.code == 2
            assert problem in run.err


def interrupt(*_):
    raise KeyboardInterrupt


def test_saturation(molig, library, tmp_path):
    out = tmp_path / "curves.csv"
    command = ("saturation", "-m", SMALL, "-i", library, "--actives", "2", "-o", out, "--device", "cpu")
    run = molig(*command, "--task", "first")
    assert run.code == 0, run.err
    assert len(pd.read_csv(out)) == 2 * 51
    assert molig(*command).code == 2


def test_ablation(molig, library, tmp_path):
    out = tmp_path / "drops.csv"
    command = ("benchmark", "ablation", "-m", SMALL, "-i", library, "--task", "first", "--atoms", "2")
    run = molig(*command, "-o", out, "--device", "cpu", "-q")
    assert run.code == 0, run.err
    neutral = pd.read_csv(out)
    assert set(neutral["ranking"]) >= {"integrated_gradients", "random"}
    for baseline in ("neutral", "zero"):  # that of explanations unless another is named
        assert molig(*command, "-o", out, "--device", "cpu", "-q", "--baseline", baseline).code == 0
        assert pd.read_csv(out).equals(neutral) == (baseline == "neutral")


class TestAudit:
    def test_every_check_is_made_or_says_why_not(self, molig, write, tmp_path):
        library = write("many.smi", "".join(f"{'C' * n}O m{n}\n" for n in range(1, 12)))
        out = tmp_path / "audit.json"
        run = molig("audit", "-m", SMALL, "-i", library, "-o", out, "--device", "cpu", "-q")
        found = json.loads(out.read_text())
        status = {check["check"]: check["status"] for check in found["checks"]}
        assert "failed" not in status.values(), found["findings"]
        assert run.code == 0
        assert status["domain"] == "skipped"
        for name in ("input-columns", "baseline", "integration", "stability", "randomisation"):
            assert status[name] != "skipped"
        assert found["model"]["digest"] == load_chemprop(SMALL).digest()

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["-m", SMALL], "give molecules with --input"),
            (["-m", SMALL, "-i", "LIBRARY", "--card"], "--card writes into a model directory of molig"),
        ],
    )
    def test_what_only_directories_of_molig_have(self, molig, library, options, problem):
        run = molig("audit", *(library if option == "LIBRARY" else option for option in options))
        assert run.code == 2
        assert problem in run.err

    def test_probabilities_and_values_are_audited_apart(self, molig, library):
        if find_spec("admet_ai") is None:
            pytest.skip("ADMET-AI is not installed")
        command = ("audit", "-m", "admet-ai", "-i", library, "--only", "baseline", "--device", "cpu")
        run = molig(*command, "--task", "AMES", "--task", "Caco2")
        assert run.code == 2
        assert "unknown task 'Caco2'" in run.err
        assert molig(*command, "--task", "Caco2_Wang", "--task", "VDss_Lombardo").code == 0
