"""`molig audit` as a user calls it."""

from __future__ import annotations

import io
import json

import pytest

from molig.audit import Evidence, Finding, Outcome, Severity, register, unregister

QUICK = ("--only", "baseline")


@pytest.fixture
def molecules(tmp_path):
    path = tmp_path / "molecules.csv"
    path.write_text("id,smiles,nitrogen,carbonyl\na,CCN,1,0\nb,CC=O,0,1\nc,nonsense,1,1\nd,c1ccccc1,0,\n")
    return path


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
    assert "no table" in found.err


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


def test_the_card_states_the_audit(molig, small_model_dir, molecules, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    for file in small_model_dir.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    found = molig("audit", "-m", folder, "-i", molecules, "--card", *QUICK)
    assert found.code == 0
    assert "## Audit" in (folder / "CARD.md").read_text()
    assert json.loads((folder / "model.json").read_text())["audit"]["n_molecules"] == 3
    some = molig("audit", "-m", folder, "-i", molecules, "--card", "--task", "nitrogen", *QUICK)
    assert some.code == 2
    assert "leave --task out" in some.err


def test_molecules_come_through_a_pipe(molig, small_model_dir, molecules, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(molecules.read_bytes())))
    options = ("--format", "csv", "--label", "nitrogen=nitrogen", "-o", tmp_path / "a.json", *QUICK)
    found = molig("audit", "-m", small_model_dir, "-i", "-", *options)
    assert found.code == 0
    assert json.loads((tmp_path / "a.json").read_text())["molecules"]["labelled"] is True
