"""`molig audit` as a user calls it."""

from __future__ import annotations

import io
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from molig.audit import Evidence, Finding, Outcome, Severity, register, registry
from molig.audit.registry import available_checks, unregister

QUICK = ("--only", "baseline")


@pytest.fixture
def molecules(tmp_path):
    path = tmp_path / "molecules.csv"
    path.write_text("id,smiles,nitrogen,carbonyl\na,CCN,1,0\nb,CC=O,0,1\nc,nonsense,1,1\nd,c1ccccc1,0,\n")
    return path


@pytest.fixture
def folder(small_model_dir, tmp_path):
    """A copy of the small model that a test may write to."""
    return Path(shutil.copytree(small_model_dir, tmp_path / "small"))


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(
        "smiles_a,smiles_b,difference,task\nc1ccccc1CN,c1ccccc1CO,1.5,nitrogen\nCCCC=O,CCCCO,2,carbonyl\n"
    )
    return path


@pytest.fixture
def only_baseline(monkeypatch):
    """An audit of one check is a whole one."""
    monkeypatch.setattr("molig.audit.registry._BUILT_IN", ("baseline",))
    for name in set(available_checks()) - {"baseline"}:
        monkeypatch.delitem(registry._checks, name)


@pytest.fixture
def planted():
    """A check that finds what it is told to."""

    def plant(severity):
        finding = Finding("planted", severity, "Planted.", Evidence(), "Nothing.")
        register("planted", title="Planted", question="Is it there?")(lambda _: Outcome([finding]))

    yield plant
    unregister("planted")


def test_reports_of_every_kind(molig, small_model_dir, molecules, tmp_path):
    outputs = [tmp_path / f"report.{suffix}" for suffix in ("html", "json", "md")]
    options = [word for path in outputs for word in ("-o", path)]
    found = molig("audit", "-m", small_model_dir, "-i", molecules, *options, *QUICK)
    assert found.code == 0
    assert "baseline" in found.out
    assert "1 rows cannot be scored (first: row 3" in found.err
    data = json.loads(outputs[1].read_text())
    assert {"findings", "checks", "model", "molecules", "settings"} <= set(data)
    assert data["molecules"]["audited"] == 3
    assert data["molecules"]["rejected"] == 1
    assert data["molecules"]["labelled"] is True
    assert outputs[0].read_text().startswith("<!DOCTYPE html>")
    assert outputs[2].read_text().startswith("# Audit of small")


def test_what_training_held_out_is_the_default(molig, small_model_dir):
    found = molig("audit", "-m", small_model_dir, *QUICK)
    assert found.code == 2
    assert "small does not record which table it was trained with" in found.err
    assert "give molecules with --input" in found.err


def test_the_held_out_part_of_the_table_that_the_recipe_names(molig, small_model_dir, folder, tmp_path):
    recipe = (folder / "recipe.toml").read_text()
    shutil.copy(small_model_dir.parent / "labelled.csv", tmp_path)
    named = recipe.replace('[data]\nname = ""\nfile = ""', '[data]\nfile = "../labelled.csv"')
    assert named != recipe
    (folder / "recipe.toml").write_text(named)
    found = molig("audit", "-m", folder, "-o", tmp_path / "a.json", *QUICK)
    assert found.code == 0
    held_out = (folder / "split.csv").read_text().splitlines()
    data = json.loads((tmp_path / "a.json").read_text())["molecules"]
    assert data["source"] == "the test part of labelled.csv"
    assert data["labelled"] is True
    assert data["audited"] == sum(line.endswith(",test") for line in held_out) > 0


@pytest.mark.parametrize("severity", ["warning", "error"])
def test_findings_fail_the_run_if_asked(molig, small_model_dir, molecules, planted, severity):
    planted(Severity(severity))
    words = ("audit", "-m", small_model_dir, "-i", molecules, "--only", "planted")
    codes = {fail_on: molig(*words, "--fail-on", fail_on).code for fail_on in ("warning", "error")}
    assert codes == {"warning": 1, "error": int(severity == "error")}
    found = molig(*words)
    assert found.code == 0
    assert "Planted." in found.out


def test_a_check_that_breaks_off_fails_the_run(molig, small_model_dir, molecules, tmp_path):
    def broken(_):
        raise RuntimeError("out of luck")

    register("broken", title="Broken", question="Does it break?")(broken)
    try:
        report = tmp_path / "report.json"
        options = ("--only", "broken,baseline", "-o", report)
        found = molig("audit", "-m", small_model_dir, "-i", molecules, *options)
    finally:
        unregister("broken")
    assert found.code == 1
    findings = {f["check"]: f["summary"] for f in json.loads(report.read_text())["findings"]}
    assert findings["broken"] == "Check failed: RuntimeError: out of luck"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--only", "base"], "unknown check 'base'"),
        (["--skip", "nothing"], "unknown check 'nothing'"),
        (["--only", "baseline", "--skip", "baseline"], "no check is left"),
        (["--fail-on", "warnings"], "unknown severity 'warnings'"),
        (["-o", "report.pdf"], "an audit is written as .html, .json, .md (got report.pdf)"),
        (["--task", "nitrogn"], "unknown task 'nitrogn'"),
        (["--label", "nitrogen"], "--label expects TASK=COLUMN"),
        (["--label", "nitrogen=amine"], "amine"),
        (["--max-explained", "0"], "max_explained must be at least 1"),
        (["--compare", "no-such-model"], "no-such-model"),
    ],
)
def test_wrong_requests(molig, small_model_dir, molecules, options, told):
    found = molig("audit", "-m", small_model_dir, "-i", molecules, *options)
    assert found.code == 2
    assert told in found.err


def test_no_molecule_can_be_used(molig, small_model_dir, tmp_path):
    path = tmp_path / "bad.smi"
    path.write_text("nonsense a\n")
    found = molig("audit", "-m", small_model_dir, "-i", path, *QUICK)
    assert found.code == 1
    assert "bad.smi: none of the 1 molecules can be used; row 1" in found.err


def test_a_model_of_another_schema(molig, small_model_dir, molecules, tmp_path):
    for file in small_model_dir.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    info = json.loads((tmp_path / "model.json").read_text())
    info["feature_schema"]["max_pair_distance"] = 3
    (tmp_path / "model.json").write_text(json.dumps(info))
    found = molig("audit", "-m", tmp_path, "-i", molecules, *QUICK)
    assert found.code in (1, 2)
    assert "schema" in found.err


def test_the_checks_can_be_listed(molig):
    found = molig("audit", "--list")
    assert found.code == 0
    assert "identical-attribution" in found.out


@pytest.mark.parametrize("some", [["--only", "baseline"], ["--skip", "baseline"], ["--task", "nitrogen"]])
def test_a_card_states_whole_audits(molig, folder, molecules, monkeypatch, some):
    monkeypatch.setattr("molig.audit.read_subject", None)  # nothing is read, nothing is run
    found = molig("audit", "-m", folder, "-i", molecules, "--card", *some)
    assert found.code == 2
    assert "leave --only, --skip and --task out" in found.err
    assert json.loads((folder / "model.json").read_text())["audit"] is None


def test_the_card_says_how_to_repeat_the_audit(molig, folder, molecules, pairs, only_baseline):
    labels = ("--label", "nitrogen=nitrogen", "--smiles-column", "smiles", "--seed", "3")
    others = ("--compare", folder, "--pairs", pairs)
    found = molig("audit", "-m", folder, "-i", molecules, "--card", *labels, *others)
    assert found.code == 0
    assert "## Audit" in (folder / "CARD.md").read_text()
    stated = json.loads((folder / "model.json").read_text())["audit"]
    assert stated["n_molecules"] == 3
    assert stated["command"] == (
        "molig audit -m small -i molecules.csv --label nitrogen=nitrogen --smiles-column smiles "
        "--pairs pairs.csv -o report.html --compare small --seed 3"
    )
    assert f"`{stated['command']}`" in (folder / "CARD.md").read_text()


def test_partners_pairs_and_checks_left_out(molig, folder, molecules, pairs, tmp_path):
    report = tmp_path / "a.json"
    skip = [name for name in available_checks() if name not in ("stability", "activity-cliffs", "baseline")]
    options = ("--skip", ",".join(skip), "--compare", folder, "--pairs", pairs, "-o", report)
    found = molig("audit", "-m", folder, "-i", molecules, *options)
    assert found.code == 0, found.err
    data = json.loads(report.read_text())
    assert [check["check"] for check in data["checks"]] == ["baseline", "stability", "activity-cliffs"]
    assert (data["settings"]["partners"], data["settings"]["pairs"]) == (["small"], 2)
    assert "1/3 baseline" in found.err
    assert "3/3 activity-cliffs" in found.err
    assert "explaining" in found.err
    assert not molig("audit", "-m", folder, "-i", molecules, *QUICK, "-q").err.count("explaining")


def test_pairs_that_cannot_be_used(molig, small_model_dir, molecules, tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("smiles_a,smiles_b,difference,task\nCCN,nonsense,1,nitrogen\n")
    found = molig("audit", "-m", small_model_dir, "-i", molecules, "--pairs", path, *QUICK)
    assert found.code == 1
    assert "pairs.csv, row 1: smiles_b 'nonsense' cannot be used" in found.err


def test_molecules_come_through_a_pipe(molig, small_model_dir, molecules, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(molecules.read_bytes())))
    options = ("--format", "csv", "-o", tmp_path / "a.json", *QUICK)
    found = molig("audit", "-m", small_model_dir, "-i", "-", *options)
    assert found.code == 0
    told = json.loads((tmp_path / "a.json").read_text())["molecules"]
    assert told == {
        "source": "standard input",
        "audited": 3,
        "rejected": 1,
        "explained": 0,
        "labelled": True,
    }


def test_messages_about_a_pipe_name_standard_input(molig, small_model_dir, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"nonsense a\n")))
    found = molig("audit", "-m", small_model_dir, "-i", "-", *QUICK)
    assert found.code == 1
    assert "standard input: none of the 1 molecules can be used; row 1" in found.err


class TestOtherPackages:
    MODEL = Path(__file__).parent.parent / "foreign" / "small.pt"

    def test_report_of_a_chemprop_model(self, molig, molecules, tmp_path):
        run = molig(
            "audit", "-m", self.MODEL, "-i", molecules, "--only", "baseline", "-o", tmp_path / "a.json"
        )
        assert run.code == 0
        data = json.loads((tmp_path / "a.json").read_text())
        assert data["model"]["tasks"] == ["first", "second"]
        assert [check["check"] for check in data["checks"]] == ["baseline"]

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ([], "do not record what their training held out: give molecules with --input"),
            (["-i", "x.smi", "--card"], "--card writes into a model directory of molig, and small has none"),
            (["-i", "x.smi", "--task", "third"], "unknown task 'third'"),
        ],
    )
    def test_what_only_molig_s_own_models_have(self, molig, options, problem):
        run = molig("audit", "-m", self.MODEL, *options)
        assert run.code == 2
        assert problem in run.err

    def test_admet_ai_is_audited_twice(self, molig, molecules, tmp_path):
        if find_spec("admet_ai") is None:
            pytest.skip("ADMET-AI is not installed")
        options = "--only", "dead-units", "--task", "AMES", "-i", molecules, "-m", "admet-ai"
        assert molig("audit", *options, "-o", tmp_path / "one.md").code == 0
        assert [p.name for p in tmp_path.glob("one*")] == ["one.md"]
        run = molig("audit", *options, "--task", "Caco2_Wang", "-o", tmp_path / "two.md")
        assert run.code == 0
        assert sorted(p.name for p in tmp_path.glob("two*")) == ["two-classification.md", "two-regression.md"]
