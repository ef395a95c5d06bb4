"""The small example files that come with molig."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from molig.errors import InputError

_NAMES = ("library.smi", "labelled.csv", "recipe.toml")


def example_files() -> dict[str, Path]:
    """Example files that come with molig, by name.

    Returns
    -------
    dict of str to Path
        ``library.smi``: 400 rows of NCI's compounds, two of which no model can score. ``labelled.csv``: 400
        molecules of Tox21 with 1, 0 or nothing for four assays, none of which the bundled model
        ``tox21-w2n2-simple`` was trained on. ``recipe.toml``: a recipe that trains on it in seconds.

    Raises
    ------
    InputError
        If molig was installed without them.

    Examples
    --------
    >>> list(example_files())
    ['library.smi', 'labelled.csv', 'recipe.toml']
    """
    package = Path(str(resources.files("molig")))
    # An installed wheel carries them inside the package; a checkout has them beside it.
    for root in (package / "examples", package.parent / "data" / "examples"):
        files = {name: root / name for name in _NAMES}
        if all(path.is_file() for path in files.values()):
            return files
    raise InputError("this installation lacks its example files; install molig again")
