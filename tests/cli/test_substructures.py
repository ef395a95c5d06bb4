"""`molig substructures`."""

from __future__ import annotations

import pandas as pd
import pytest
from support.libraries import names_in

TABLE = """id,smiles
a,Oc1ccccc1C(=O)NC
b,COc1ccccc1C(=O)NCC
c,Oc1ccc(Cl)cc1C(=O)N1CCCC1.Cl
d,CCO
e,C1CC
"""


@pytest.fixture
def substructures(molig, small_model_dir, write):
    def run(*words: object, table: str = TABLE):
        path = write("in.csv", table)
        return molig("substructures", "-i", path, "-m", small_model_dir, "--device", "cpu", *words)

    return run


def test_parts_over_a_set_and_of_every_molecule(substructures, tmp_path):
    parts, each = tmp_path / "parts.csv", tmp_path / "each.parquet"
    run = substructures("--task", "nitrogen", "-o", parts, "--molecules", each)
    assert run.code == 0, run.err
    assert "benzene" in run.out
    assert "row 5 (e) 'C1CC': not parsable" in run.err
    frame = pd.read_csv(parts)
    assert frame["sum"][:-1].sum() == pytest.approx(frame["sum"].iloc[-1], rel=1e-4)
    rows = pd.read_parquet(each)
    assert rows.loc[rows["kind"] == "rejected", "id"].tolist() == ["e"]
    of_c = rows[rows["id"] == "c"]
    assert of_c["score"].sum() == pytest.approx(of_c["molecule_score"].iloc[0], abs=1e-6)
    assert set(rows["row"]) == {1, 2, 3, 4, 5}
    assert names_in(tmp_path) == {"in.csv", "parts.csv", "each.parquet"}


def test_r_groups(substructures, tmp_path):
    parts = tmp_path / "parts.csv"
    run = substructures("--task", "nitrogen", "--by", "rgroups", "--core", "c1ccccc1C(=O)N", "-o", parts)
    assert run.code == 0, run.err
    assert "row 4 (d) 'CCO' does not have the core" in run.err
    frame = pd.read_csv(parts, keep_default_na=False)
    assert frame["kind"].iloc[0] == "core"
    assert {"*O", "*OC", "*Cl", "H"} <= set(frame["part"])


def test_no_name_is_a_formula(substructures, tmp_path):
    parts, each = tmp_path / "parts.csv", tmp_path / "each.csv"
    table = "id,smiles\n=1+1,CCO\n@x,CCN\n"
    run = substructures("--task", "nitrogen", "-o", parts, "--molecules", each, "--csv-safe", table=table)
    assert run.code == 0, run.err
    assert set(pd.read_csv(parts)["example"].dropna()) == {"'=1+1", "'@x"}
    assert set(pd.read_csv(each)["id"]) == {"'=1+1", "'@x"}


@pytest.mark.parametrize("by", [(), ("--by", "rgroups", "--core", "c1ccccc1C(=O)N")])
def test_all_tasks_are_sections(substructures, tmp_path, by):
    parts, each, alone = tmp_path / "parts.csv", tmp_path / "each.csv", tmp_path / "alone.csv"
    run = substructures("--task", "all", "-o", parts, "--molecules", each, *by)
    assert run.code == 0, run.err
    frame, rows = pd.read_csv(parts), pd.read_csv(each)
    assert frame["task"].unique().tolist() == ["nitrogen", "carbonyl"]
    assert set(rows["task"].dropna()) == {"nitrogen", "carbonyl"}
    for task in ("nitrogen", "carbonyl"):
        assert f": {task}, 4 molecules" in run.out
        assert substructures("--task", task, "-o", alone, *by).code == 0
        of_task = frame[frame["task"] == task].drop(columns="task").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_task, pd.read_csv(alone), rtol=1e-4, atol=1e-6)


def test_patterns_of_ones_own(substructures):
    run = substructures("--task", "nitrogen", "--by", "C(=O)N amide", "--by", "c1ccccc1")
    assert run.code == 0, run.err
    assert "amide" in run.out
    assert "rest" in run.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "has 2 tasks; name one: nitrogen, carbonyl; or all"),
        (["--task", "nitrogen", "--by", "murko"], 2, "did you mean 'murcko'"),
        (["--task", "nitrogen", "--by", "brics", "--core", "CC"], 2, "--core is what --by rgroups"),
        (["--task", "nitrogen", "--by", "rgroups", "--core", "c1cc"], 2, "is no SMARTS"),
        (["--task", "nitrogen", "--by", "rgroups", "--core", "c1ccncc1"], 1, "has the core c1ccncc1"),
        (["--task", "nitrogen", "-o", "parts.txt"], 2, "cannot tell the format"),
        (["--task", "nitrogen", "-o", "in.csv"], 2, "is the library"),
    ],
)
def test_what_goes_wrong(substructures, tmp_path, monkeypatch, *, words, code, message):
    monkeypatch.chdir(tmp_path)
    run = substructures(*words)
    assert run.code == code
    assert message in run.err.replace("\n", " ")
    assert names_in(tmp_path) == {"in.csv"}


def test_nothing_but_rejected_rows(substructures):
    run = substructures("--task", "nitrogen", table="smiles\nC1CC\n")
    assert run.code == 1
    assert "every row was rejected; row 1: not parsable" in run.err
