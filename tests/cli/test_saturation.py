"""`molig saturation`: figure and table, the choice of actives, bad input."""

from __future__ import annotations

import io
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.libraries import names_in
from support.small_model import nci_smiles, write_labelled

FAST = ("--points", "5")


@pytest.fixture(scope="module")
def table(tmp_path_factory, nci_file):
    """Labelled compounds."""
    return write_labelled(tmp_path_factory.mktemp("labelled") / "labelled.csv", 60)


@pytest.fixture
def saturation(molig, small_model_dir):
    """Run `molig saturation` with the small model."""

    def run(*options):
        return molig("saturation", "-m", small_model_dir, "--device", "cpu", *FAST, *options)

    return run


class TestOutputs:
    def test_figure_and_table_of_the_same_molecules(self, saturation, table, tmp_path, small_model):
        paths = [tmp_path / name for name in ("fig.svg", "fig.png", "curves.csv")]
        asked = [word for path in paths for word in ("-o", path)]
        run = saturation("-i", table, "--task", "nitrogen", "--actives", 4, *asked)
        assert run.code == 0
        assert "rows with nitrogen = 1 that the model scores above 0.5, at random (seed 0)" in run.err
        assert all(f"written: {path}" in run.err for path in paths)
        assert names_in(tmp_path) == {path.name for path in paths}

        shown = " ".join(ET.parse(paths[0]).getroot().itertext())
        assert "nitrogen (small): 4 actives on the way from the zero baseline" in shown
        assert "at random (seed 0)" in shown
        with Image.open(paths[1]) as image:
            assert image.format == "PNG"

        curves = pd.read_csv(paths[2])
        assert curves.groupby("id").size().tolist() == [5] * 4
        assert sorted(curves["a"].unique()) == [0, 0.25, 0.5, 0.75, 1]
        ends = curves[curves["a"] == 1]
        expected = small_model.predict_proba(ends["smiles"])[:, small_model.task_index("nitrogen")]
        np.testing.assert_allclose(ends["score"], expected, atol=1e-6)
        assert (ends["score"] > 0.5).all()
        labelled = pd.read_csv(table).set_index("smiles")
        assert labelled.loc[ends["smiles"], "nitrogen"].eq(1).all()
        for number in (ends["reached_at"], ends["gradient_share"]):
            assert f"{number.median():.3f}" in run.out or f"{number.median():.1%}" in run.out

    def test_another_seed_shows_others(self, saturation, table, tmp_path):
        tables = []
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            path = tmp_path / f"{name}.csv"
            options = ("--task", "nitrogen", "--actives", 3, "--seed", seed)
            assert saturation("-i", table, *options, "-o", path).code == 0
            tables.append(path.read_bytes())
        assert tables[0] == tables[1] != tables[2]

    def test_a_logit(self, saturation, table, tmp_path):
        for target in ("probability", "logit"):
            options = ("--task", "nitrogen", "--actives", 2, "--target", target)
            assert saturation("-i", table, *options, "-o", tmp_path / f"{target}.csv").code == 0
        logit, probability = (pd.read_csv(tmp_path / f"{t}.csv")["score"] for t in ("logit", "probability"))
        np.testing.assert_allclose(1 / (1 + np.exp(-logit)), probability, atol=1e-6)

    def test_quiet_leaves_the_result_only(self, saturation, table, tmp_path):
        options = ("--task", "nitrogen", "--actives", 2, "-o", tmp_path / "a.csv")
        run = saturation("-i", table, *options, "-q")
        assert (run.code, run.err) == (0, "")
        assert "nitrogen" in run.out

    def test_a_regression_shows_its_highest_values(self, molig, small_regression_dir, tmp_path, nci_file):
        library = tmp_path / "library.smi"
        library.write_text("\n".join(nci_smiles(8)))
        path = tmp_path / "curves.csv"
        words = ["-m", small_regression_dir, "-i", library, "--task", "mass", "--actives", 2, "-o", path]
        run = molig("saturation", *words, *FAST)
        assert run.code == 0
        assert "showing the 2 highest-scoring of 8 molecules" in run.err
        assert pd.read_csv(path)["target"].unique().tolist() == ["value"]


class TestChoice:
    def test_a_named_column(self, saturation, write, tmp_path):
        library = write("a.csv", "smiles,hit,nitrogen\nCCN,0,1\nCCO,1,0\nC1CC,1,0\n")
        run = saturation("-i", library, "--task", "nitrogen", "--label", "hit", "-o", tmp_path / "c.csv")
        assert run.code == 0
        assert "warning: row 3 (3) 'C1CC': not parsable" in run.err
        assert "warning: only 1 of the 25 molecules asked for are there" in run.err
        assert pd.read_csv(tmp_path / "c.csv")["smiles"].unique().tolist() == ["CCO"]

    def test_without_a_column_the_highest_scoring(self, saturation, write, tmp_path, small_model):
        smiles = ["CCN", "CCO", "c1ccncc1", "CCCC"]
        library = write("a.smi", "\n".join(smiles))
        options = ("--task", "nitrogen", "--actives", 2, "-o", tmp_path / "c.csv", "-o", tmp_path / "c.svg")
        run = saturation("-i", library, *options)
        assert run.code == 0
        assert "showing the 2 highest-scoring of 4 molecules" in run.err
        scores = small_model.predict_proba(smiles)[:, small_model.task_index("nitrogen")]
        best = {smiles[i] for i in np.argsort(scores)[-2:]}
        assert set(pd.read_csv(tmp_path / "c.csv")["smiles"]) == best
        assert "2 molecules on the way" in (tmp_path / "c.svg").read_text()

    def test_standard_input(self, saturation, tmp_path, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"smiles,nitrogen\nCCO,0\nCCN,1\n")))
        words = ("-i", "-", "--format", "csv", "--task", "nitrogen", "--label", "nitrogen")
        run = saturation(*words, "-o", tmp_path / "c.csv")
        assert run.code == 0
        assert pd.read_csv(tmp_path / "c.csv")["smiles"].unique().tolist() == ["CCN"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("content", "code", "message"),
        [
            ("smiles,nitrogen\nCCN,0\nCCO,\n", 1, "'nitrogen' marks no actives: none of 2 rows has a 1"),
            ("smiles,nitrogen\nC1CC,1\n", 1, "none of the 1 actives can be scored; row 1: not parsable"),
            ("smiles\nC1CC\n[*]C\n", 1, "none of the 2 molecules can be scored; row 1: not parsable"),
            ("smiles,nitrogen\n", 1, "holds no molecules"),
            ("letters,nitrogen\nC,1\n", 2, "no column looks like SMILES"),
        ],
    )
    def test_nothing_to_show(self, saturation, write, tmp_path, *, content, code, message):
        library = write("a.csv", content)
        run = saturation("-i", library, "--task", "nitrogen", "-o", tmp_path / "fig.svg")
        assert run.code == code
        assert message in run.err
        assert names_in(tmp_path) == {"a.csv"}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--task", "nitrogn", "-o", "f.svg"], "did you mean 'nitrogen'?"),
            (["-o", "f.svg"], "2 tasks; name one: nitrogen, carbonyl"),
            (["--task", "nitrogen", "--target", "logits", "-o", "f.svg"], "did you mean 'logit'?"),
            (["--task", "nitrogen", "--target", "value", "-o", "f.svg"], "use probability or logit"),
            (["--task", "nitrogen", "--label", "activ", "-o", "f.svg"], "did you mean 'active'?"),
            (["--task", "nitrogen", "--points", "2", "-o", "f.svg"], "--points"),
            (["--task", "nitrogen", "--actives", "0", "-o", "f.svg"], "--actives"),
            (["--task", "nitrogen", "-o", "f.pdf"], "use a name ending in .svg, .png, .csv"),
            (["--task", "nitrogen", "-o", "a.csv"], "is the library"),
            (["--task", "nitrogen", "-o", "f.svg", "-o", "f.svg"], "named twice"),
            (["--task", "nitrogen", "-o", "no/f.svg"], "does not exist"),
            (["--task", "nitrogen"], "--output"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_a_wrong_request_ends_with_2(self, saturation, write, tmp_path, monkeypatch, *, options, message):
        monkeypatch.chdir(tmp_path)
        write("a.csv", "smiles,active\nCCN,1\n")
        run = saturation("-i", "a.csv", *options)
        assert run.code == 2
        assert message in run.err
        assert names_in(tmp_path) == {"a.csv"}

    def test_a_missing_file(self, saturation, tmp_path):
        run = saturation("-i", tmp_path / "no.csv", "--task", "nitrogen", "-o", tmp_path / "f.svg")
        assert run.code == 2
        assert "no such file" in run.err


@pytest.mark.data
def test_the_bundled_model_on_tox21(molig, data_dir, tmp_path):
    rows = pd.read_parquet(data_dir / "tox21.parquet").head(400)
    rows.to_parquet(tmp_path / "part.parquet")
    path = tmp_path / "curves.csv"
    words = ["-m", "tox21-w2n2-simple", "-i", tmp_path / "part.parquet", "--task", "SR-MMP", "--actives", 5]
    run = molig("saturation", *words, "--points", 11, "-o", path, "--device", "cpu")
    assert run.code == 0
    assert "rows with SR-MMP = 1 that the model scores above 0.5, at random (seed 0)" in run.err
    curves = pd.read_csv(path)
    first = curves[curves["a"] == 0]
    assert len(first) == 5
    assert set(first["id"]) <= set(rows.loc[rows["SR-MMP"] == 1, "mol_id"])
    assert first["score"].between(0, 0.05).all()  # the model was trained to a neutral baseline
    assert (curves.loc[curves["a"] == 1, "score"] > 0.5).all()


def test_scores_of_a_hit_table_are_no_labels(molig, saturation, small_model_dir, table, tmp_path):
    hits = tmp_path / "hits.csv"
    asked = ("-m", small_model_dir, "--task", "nitrogen")
    assert molig("screen", table, *asked, "-o", hits, "-q", "-j", "1").code == 0
    run = saturation("-i", hits, "--task", "nitrogen", "--actives", 2, "-o", tmp_path / "a.csv")
    assert (run.code, "'nitrogen') are taken for scores" in " ".join(run.err.split())) == (0, True)
    named = ("--task", "nitrogen", "--label", "input.nitrogen", "--actives", 2)
    run = saturation("-i", hits, *named, "-o", tmp_path / "b.csv")
    assert (run.code, "rows with input.nitrogen = 1" in run.err) == (0, True)


def test_a_forest_has_no_rates(molig, small_committee_dir, table, tmp_path):
    output = tmp_path / "fig.svg"
    words = ("-m", small_committee_dir, "--device", "cpu", "--task", "carbonyl", "--actives", 3)
    run = molig("saturation", *words, *FAST, "-i", table, "-o", output)
    assert run.code == 0
    assert "This committee has a forest" in run.err.replace("\n", " ")
    words = " ".join("".join(ET.fromstring(output.read_text()).itertext()).split())
    assert "The forest moves in steps, which rates leave out" in words
