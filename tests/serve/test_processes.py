"""Processes that can be ended with all that they have started."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from molig.serve.processes import Killable
from molig.tables.locks import is_alive


def is_gone(pid: int) -> bool:
    """Whether a process ends within some minutes; one that nobody has waited for yet counts as gone."""
    for _ in range(12_000):
        stat = Path(f"/proc/{pid}/stat")
        if not is_alive(pid) or (stat.exists() and ") Z " in stat.read_text()):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(os.name != "posix", reason="groups of processes")
class TestEnding:
    def test_it_ends_with_all_that_it_has_started(self, tmp_path):
        process = Killable("support.serving:with_a_child", tmp_path)
        child = process.channel.hear()["child"]
        process.end()
        process.end()
        assert is_gone(child)

    def test_without_its_server_it_ends_and_leaves_no_files(self, tmp_path):
        folder = tmp_path / "job"
        folder.mkdir()
        (folder / "half").write_text("written")
        process = Killable("support.serving:with_a_child", folder)
        child = process.channel.hear()["child"]
        process._lifeline.close()
        for number in range(50):  # another has not ended yet
            with contextlib.suppress(FileNotFoundError):
                (folder / f"late {number}").write_text("written")
        with pytest.raises(EOFError):
            process.channel.hear()
        assert not folder.exists()
        assert is_gone(child)
        process.end()


def test_errors_come_back_in_their_words(tmp_path):
    process = Killable("support.serving:refuse", tmp_path)
    assert process.channel.hear() == {"error": "that cannot be", "exit_code": 2}
    process.end()


def test_faults_come_back_without_them(tmp_path):
    process = Killable("support.serving:stumble", tmp_path)
    fault = process.channel.hear()["fault"]
    assert fault.startswith("ValueError in serving.py, line ")
    assert "CC" not in fault
    process.end()
