"""What small commands import, since imports are most of what one molecule waits for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# pyarrow itself brings pandas, where it is installed, when the first array is made.
ALWAYS_LATE = {
    "numba",
    "scipy",
    "sklearn",
    "matplotlib",
    "jinja2",
    "PIL",
    "openpyxl",
    "onnx",
    "skops",
    "captum",
}
NOT_FOR_WORDS = ALWAYS_LATE | {"torch", "rdkit", "pandas", "pyarrow", "numpy"}

_PROBE = """
import json, sys
from molig.cli import main
try:
    main(sys.argv[2:])
except SystemExit as done:
    assert not done.code, done.code
print(json.dumps(sorted(set(json.loads(sys.argv[1])) & set(sys.modules))), file=sys.stderr)
"""


def imported(heavy: set[str], arguments: list[str], folder: Path) -> list[str]:
    command = [sys.executable, "-c", _PROBE, json.dumps(sorted(heavy)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["screen", "--help"], ["explain", "--help"]]
)
def test_words_alone_need_no_library(arguments, tmp_path):
    assert imported(NOT_FOR_WORDS, arguments, tmp_path) == []


def test_a_screen_of_one_molecule_needs_neither_numba_nor_scipy(tmp_path):
    (tmp_path / "one.smi").write_text("CCO ethanol\n")
    screen = ["screen", "one.smi", "-m", "tox21-w2n2-simple", "--task", "SR-ARE", "-o", "hits.csv", "--quiet"]
    assert imported(ALWAYS_LATE, screen, tmp_path) == []
    assert "ethanol" in (tmp_path / "hits.csv").read_text()


def test_reading_a_library_does_not_import_pandas(tmp_path):
    probe = "import sys, molig.molecules, molig.model, molig.foreign; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
