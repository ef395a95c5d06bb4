"""Forests and linear models on fingerprints, on the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from sklearn.ensemble import RandomForestClassifier

from molig.foreign import MorganFingerprint

skops = pytest.importorskip("skops.io", reason="skops is not installed (pip install 'molig[forests]')")

SMILES = ["CCO", "CCN", "c1ccccc1O", "Cc1ccccc1", "OCCCO", "CCCCC", "OCC(O)CO", "CCOCC"]
TEXT = "morgan:bits=128,counts"
LIBRARY = "CCCO propanol\nC1CC broken\nc1ccncc1 pyridine\n"


@pytest.fixture(scope="module")
def forest():
    counts = MorganFingerprint.named(TEXT).of([Chem.MolFromSmiles(smiles) for smiles in SMILES]).toarray()
    return RandomForestClassifier(20, random_state=0).fit(counts, ["O" in smiles for smiles in SMILES])


@pytest.fixture
def file(forest, tmp_path):
    skops.dump(forest, tmp_path / "alcohols.skops")
    return tmp_path / "alcohols.skops"


@pytest.fixture
def library(write):
    return write("library.smi", LIBRARY)


def expected(forest, smiles):
    return forest.predict_proba(MorganFingerprint.named(TEXT).of([Chem.MolFromSmiles(smiles)]).toarray())[
        0, 1
    ]


def test_screen(molig, forest, file, library):
    run = molig("screen", library, "-m", file, "--fingerprint", TEXT)
    assert run.code == 0, run.err
    hits = pd.read_csv(io.StringIO(run.out))
    assert hits["id"].tolist() == ["propanol", "pyridine"]
    assert hits["active"].to_numpy() == pytest.approx(
        [expected(forest, s) for s in hits["smiles"]], abs=1e-12
    )
    assert "Scores are probabilities; whether they are calibrated is not known." in run.err


BAD = "compound:C1CC"


def test_a_reference_compound_that_cannot_be_read(molig, file, tmp_path):
    """The same words and exit code for every kind of model."""
    models = [
        ["-m", file, "--fingerprint", TEXT],
        ["-m", Path(__file__).parent.parent / "foreign" / "small.pt", "--task", "first"],
        ["-m", "tox21-w1n2-simple", "--task", "SR-ARE"],
    ]
    for model in models:
        run = molig("explain", *model, "--smiles", "CCO", "--baseline", BAD, "-o", tmp_path / "why.svg")
        assert run.code == 2
        assert "the reference compound 'C1CC' of --baseline cannot be used: not parsable" in run.err


@pytest.mark.parametrize("baseline", [None, "library", "compound:CCN"])
def test_explain(molig, forest, file, library, baseline):
    tmp_path = file.parent
    options = ["--baseline", baseline] if baseline else []
    outputs = [tmp_path / name for name in ("why.html", "why.json", "why.csv")]
    for output in outputs:
        run = molig(
            "explain", "-m", file, "--fingerprint", TEXT, "-i", library, "-o", output, *options,
            *(["--layout", "features"] if output.suffix == ".csv" else []),
        )  # fmt: skip
        assert run.code == 0, run.err
        assert "2 explained, 1 rejected" in run.err
    (first, *_) = json.loads(outputs[1].read_text())["explanations"]
    assert first["score"] == pytest.approx(expected(forest, "CCCO"), abs=1e-12)
    absent = sum(first.get("absent", {}).values())
    assert sum(first["atom_scores"]) + absent == pytest.approx(first["score"] - first["baseline_score"])
    assert first["substructures"]
    table = pd.read_csv(outputs[2])
    sums = table.groupby("row")["score"].sum()
    change = table.groupby("row")[["molecule_score", "baseline_score"]].first()
    expected_sums = (change["molecule_score"] - change["baseline_score"]).to_numpy()
    assert sums.to_numpy() == pytest.approx(expected_sums, abs=1e-5)
    assert ("absent" in set(table["level"])) == (baseline is not None)


def test_a_table_by_molecule_and_its_continuation(molig, file, library, tmp_path):
    command = ["explain", "-m", file, "--fingerprint", TEXT, "-i", library, "--layout", "molecules"]
    run = molig(*command, "--baseline", "library", "-o", tmp_path / "why.parquet")
    assert run.code == 0, run.err
    table = pd.read_parquet(tmp_path / "why.parquet")
    parts = table["member_present substructures"] + table["member_absent substructures"]
    assert parts.to_numpy() == pytest.approx((table["score"] - table["baseline_score"]).to_numpy())
    assert set(table["method"]) == {"shapley"}
    assert set(table["baseline"]) == {"mean of 100 reference molecules"}
    assert (table["error"] > 0).all()


def test_pickles(molig, forest, tmp_path, library):
    path = tmp_path / "alcohols.pkl"
    joblib.dump(forest, path)
    run = molig("screen", library, "-m", path, "--fingerprint", TEXT)
    assert run.code == 2
    assert "runs whatever program its maker put into it" in run.err
    assert "say --trust-pickle" in run.err
    run = molig("screen", library, "-m", path, "--fingerprint", TEXT, "--trust-pickle")
    assert run.code == 0, run.err
    assert pd.read_csv(io.StringIO(run.out))["active"][0] == pytest.approx(expected(forest, "CCCO"))


def test_doubts_are_told(molig, forest, tmp_path, library):
    bits = MorganFingerprint(counts=False, n_bits=128).of([Chem.MolFromSmiles(s) for s in SMILES]).toarray()
    skops.dump(RandomForestClassifier(5).fit(bits, np.arange(8) % 2), tmp_path / "it.skops")
    run = molig("screen", library, "-m", tmp_path / "it.skops", "--fingerprint", TEXT, "-q")
    assert run.code == 0
    assert "warning: the RandomForestClassifier never tells one occurrence from two" in run.err
    assert "UserWarning" not in run.err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "name it by --fingerprint, such as morgan:radius=2,bits=2048,counts"),
        (["--fingerprint", "ecfp4"], "'ecfp4' is no fingerprint"),
        (["--fingerprint", "morgan:counts"], "trained on another fingerprint: it reads 128 columns"),
        (["--fingerprint", "morgan:bits=128,binary"], "was trained on counts"),
        (["--fingerprint", TEXT, "--add-h"], "--add-h is for models of Chemprop"),
        (["--fingerprint", TEXT, "--applicability"], "ask without --applicability"),
    ],
)
def test_wrong_requests(molig, file, library, options, problem):
    run = molig("screen", library, "-m", file, *options)
    assert run.code == 2
    assert problem in run.err.replace("\n", " ")
    assert run.out == ""


def test_what_is_for_other_models(molig, file, library, tmp_path):
    run = molig("screen", library, "-m", "tox21-w2n2-simple", "--fingerprint", TEXT)
    assert run.code == 2
    assert "--fingerprint is for models on fingerprints" in run.err
    run = molig("saturation", "-m", file, "-i", library, "-o", tmp_path / "saturation.svg")
    assert run.code == 2
    assert "this command does not take" in run.err
    run = molig("audit", "-m", file, "-i", library, "-o", tmp_path / "audit.html")
    assert run.code == 2
    assert "name it by --fingerprint" in run.err
    run = molig("models", file)
    assert run.code == 2
    assert "is a model on fingerprints" in run.err
    run = molig("explain", "-m", file, "--fingerprint", TEXT, "--smiles", "CCO", "-o", tmp_path / "why.svg",
                "--method", "gradient_x_input")  # fmt: skip
    assert run.code == 2
    assert "has no gradient" in run.err


def test_audit(molig, file, library, tmp_path):
    options = "--fingerprint", TEXT, "-i", library, "-o", tmp_path / "audit.json"
    run = molig("audit", "-m", file, *options, "-q")
    assert run.code == 0, run.err
    assert '"status": "failed"' not in (tmp_path / "audit.json").read_text()
