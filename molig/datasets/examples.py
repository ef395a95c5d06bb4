"""The small example files that come with molig."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from molig.errors import InputError

_NAMES = ("library.smi", "labelled.csv", "recipe.toml")


def example_files() -> dict[str, Path]:
    """Example files by name; the bundled Tox21 model was trained on none of ``labelled.csv``."""
    package = Path(str(resources.files("molig")))
    # An installed wheel carries them inside the package; a checkout has them beside it.
    for root in (package / "examples", package.parent / "data" / "examples"):
        files = {name: root / name for name in _NAMES}
        if all(path.is_file() for path in files.values()):
            return files
    raise InputError("this installation lacks its example files; install molig again")
