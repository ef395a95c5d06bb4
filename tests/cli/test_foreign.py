"""Models of other packages on the command line: files of Chemprop, and ADMET-AI."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from molig.foreign import InputOptions, load_chemprop

SMALL = Path(__file__).parent.parent / "foreign" / "small.pt"
CHECKPOINT = SMALL.with_suffix(".ckpt")
LIBRARY = "CCO ethanol\n[H]OC(C)c1ccccc1 alcohol\nC1CC broken\nC[C@H](N)C(=O)O alanine\n"


@pytest.fixture
def library(write):
    return write("library.smi", LIBRARY)


class TestScreen:
    def test_a_file(self, molig, library):
        run = molig("screen", library, "-m", SMALL, "--device", "cpu")
        assert run.code == 0, run.err
        hits = pd.read_csv(io.StringIO(run.out))
        assert hits["id"].tolist() == ["ethanol", "alcohol", "alanine"]
        expected = load_chemprop(SMALL).predict(hits["smiles"]).scores
        assert hits[["first", "second"]].to_numpy() == pytest.approx(expected, rel=1e-5)
        assert "Scores are probabilities; whether probabilities are calibrated is not known." in run.err

    def test_several_files_are_an_ensemble(self, molig, library):
        run = molig("screen", library, "-m", SMALL, "-m", SMALL, "--task", "all", "--device", "cpu")
        assert "each the mean of 2 networks" in run.err
        assert "rank" not in run.out

    def test_options_of_molecules(self, molig, library):
        asked = {"--keep-h": "keep_h", "--add-h": "add_h", "--ignore-stereo": "ignore_stereo"}
        for option, name in asked.items():
            run = molig("screen", library, "-m", SMALL, option, "--device", "cpu")
            hits = pd.read_csv(io.StringIO(run.out))
            model = load_chemprop(SMALL, InputOptions(**{name: True}))
            expected = model.predict(hits["smiles"]).scores
            assert hits[["first", "second"]].to_numpy() == pytest.approx(expected, rel=1e-5), option

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["-m", "no.pt"], "no model file or directory at no.pt"),
            (["-m", "admetai"], "did you mean 'admet-ai'"),
            (["-m", "tox21-w2n2-simple", "-m", SMALL], "only if all are files of Chemprop"),
            (["-m", "tox21-w2n2-simple", "--keep-h"], "--keep-h is for models of Chemprop"),
            (["-m", "tox21-w2n2-simple", "--no-add-h"], "--add-h is for models of Chemprop"),
            (["-m", SMALL, "--atom-features", "v3"], "unknown set of atom features 'v3'"),
            (["-m", SMALL, "--applicability"], "small has no applicability domain"),
            (["-m", SMALL, "--uncertainty"], "small is no committee"),
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
        assert run.code == 1
        assert "library.smi is not a model" in run.err
        assert "files of Chemprop (*.pt, *.ckpt)" in run.err

    def test_admet_ai(self, molig, library):
        if find_spec("admet_ai") is None:
            pytest.skip("ADMET-AI is not installed")
        run = molig("screen", library, "-m", "admet-ai", "--task", "all", "--percentiles", "--device", "cpu")
        hits = pd.read_csv(io.StringIO(run.out))
        assert hits.shape == (3, 5 + 2 * 41)
        assert hits["hERG percentile"].between(0, 100).all()
        assert "Caco2_Wang in log(10^-6 cm/s)" in run.err
