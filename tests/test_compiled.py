from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from molig.compiled import compiled


@compiled
def twice(numbers: np.ndarray) -> float:
    """Sum of the numbers, doubled."""
    total = 0.0
    for number in numbers:
        total += number
    return 2 * total


@compiled
def four_times(numbers: np.ndarray) -> float:
    return 2 * twice(numbers)


def test_a_compiled_function_calls_another_and_keeps_its_name_and_words():
    assert four_times(np.arange(4.0)) == 24
    assert (twice.__name__, twice.__doc__) == ("twice", "Sum of the numbers, doubled.")


def test_only_plain_functions_are_compiled():
    with pytest.raises(TypeError, match="plain function"):
        compiled(max)


_PROBE = """
import json, sys, numpy as np
sys.path.insert(0, sys.argv[1])
import loops
assert "numba" not in sys.modules
value = loops.total(np.arange(5.0))
stats = loops.total.dispatcher.stats
print(json.dumps([value, sum(stats.cache_hits.values()), stats.cache_path]))
"""


def _run(folder: Path, home: Path) -> list:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, str(folder)],
        capture_output=True,
        text=True,
        env=environment | {"HOME": str(home)},
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("read_only", [False, True])
def test_machine_code_is_kept_beside_the_module_or_in_the_users_cache(tmp_path: Path, read_only: bool):
    folder, home = tmp_path / "site-packages", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (folder / "loops.py").write_text(
        "from molig.compiled import compiled\n\n@compiled\ndef total(numbers):\n    return numbers.sum()\n"
    )
    if read_only:  # a file where the cache would go keeps root out, too
        (folder / "__pycache__").write_text("")
    first, second = (_run(folder, home) for _ in range(2))
    assert first[:2] == [10, 0]
    assert second[:2] == [10, 1], "compiled twice"
    assert Path(second[2]).is_relative_to(home if read_only else folder)


_FULL = """
import resource, signal, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import numba, loops
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
print(loops.outer(np.arange(5.0)), loops.outer(np.arange(5.0)))
"""


def test_a_full_disk_keeps_no_machine_code_and_no_result_back(tmp_path: Path):
    (tmp_path / "loops.py").write_text(
        "from molig.compiled import compiled\n\n@compiled\ndef inner(numbers):\n    return numbers.sum()\n\n"
        "@compiled\ndef outer(numbers):\n    return 2 * inner(numbers)\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA")}
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        check=True,
    )
    assert done.stdout.split() == ["20.0", "20.0"]
