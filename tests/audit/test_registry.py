"""Checks that other packages bring through entry points."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from molig.audit import audit, registry, subject_of
from molig.audit.registry import available_checks, unregister

SOUND = """
from molig.audit import Outcome, register
@register("foreign", title="Foreign", question="Is it foreign?")
def foreign(subject):
    return Outcome(measured={"n": len(subject.molecules)})
"""


@pytest.fixture
def install(monkeypatch, tmp_path):
    """Make modules of these texts known as if packages had brought them."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_loaded", {})

    def run(**modules):
        points = []
        for module, (name, text) in modules.items():
            (tmp_path / f"{module}.py").write_text(text)
            monkeypatch.delitem(sys.modules, module, raising=False)
            points.append(EntryPoint(name, module, registry.ENTRY_POINTS))
        monkeypatch.setattr(registry, "entry_points", lambda group: points)

    yield run
    unregister("foreign")


def test_checks_of_other_packages_are_made(install, small_model):
    install(molig_test_sound=("foreign", SOUND))
    assert list(available_checks())[-1] == "foreign"
    (result,) = audit(subject_of(small_model, ["CCO"]), only=["foreign"]).results
    assert (result.status, result.outcome.measured) == ("ok", {"n": 1})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        (SOUND + "\nraise RuntimeError('half way')", "RuntimeError: half way"),
        ("def broken(:", "SyntaxError: invalid syntax"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_a_failed_check(install, small_model, text, reason):
    install(molig_test_broken=("their-checks", text))
    for _ in range(2):  # the second import must not hide the reason
        result = audit(subject_of(small_model, ["CCO"]), only=["their-checks", "domain"])
        other, broken = result.results
        assert (other.check.name, broken.check.name) == ("domain", "their-checks")
        assert other.status not in ("failed", "skipped")
        assert broken.status == "failed"
        assert result.fails(None)
        (finding,) = broken.outcome.findings
        assert "molig_test_broken, which brings further checks, cannot be loaded" in finding.summary
        assert reason in finding.summary


def test_a_broken_package_called_like_a_check_hides_nothing(install):
    install(molig_test_broken=("baseline", "import no_such_module_at_all"))
    found = available_checks()
    assert found["baseline"].title != "baseline"
    assert list(found)[-1] == "baseline-not-loaded"
