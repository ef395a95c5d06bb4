"""Compounds that can be scored, rows that cannot, and a look at what a run leaves behind."""

from __future__ import annotations

import hashlib
from pathlib import Path

from molig.molecules import Reason

GOOD = (
    "CCO",
    "c1ccccc1",
    "CC(=O)N",
    "CC(=O)Oc1ccccc1C(=O)O",
    "C[C@H](N)C(=O)O",
    "[Na+].CC(=O)[O-]",
    "O=C(O)c1ccncc1",
    "FC(F)(F)c1ccc(Cl)cc1",
)
"""SMILES that every model scores."""

BAD = {
    "": Reason.EMPTY,
    "C1CC": Reason.UNPARSABLE,
    "not_a_molecule": Reason.UNPARSABLE,
    "C(C)(C)(C)(C)C": Reason.UNPARSABLE,
    "[Fe]": Reason.METAL_ONLY,
    "[*]CCO": Reason.DUMMY_ATOM,
    "CC>>CO": Reason.REACTION,
    "C" * 1000: Reason.TOO_LARGE,
    "C\0O": Reason.NULL_BYTES,
    "Ceé": Reason.NOT_ASCII,
}
"""SMILES that no model scores, and why."""


def names_in(directory: Path) -> set[str]:
    """Names of everything in a directory, hidden files too."""
    return {path.name for path in directory.iterdir()}


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
