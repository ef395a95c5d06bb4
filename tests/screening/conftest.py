"""A library with rows of every kind, and a feature store of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.libraries import BAD, GOOD
from support.small_model import nci_smiles

from molig.molecules import read_records
from molig.screening import PrepareOptions, prepare, preparing, store_writing


@pytest.fixture(scope="module")
def smi(tmp_path_factory, nci_file) -> Path:
    """Compounds with salts, copies and rejected rows; batches and row groups end within them."""
    bad = [smiles for smiles in BAD if smiles.isprintable() and " " not in smiles and smiles]
    rows = [*bad[:2], *nci_smiles(150, start=500), *GOOD, *bad, *nci_smiles(30, start=900), bad[0]]
    path = tmp_path_factory.mktemp("library") / "library.smi"
    path.write_text("".join(f"{one} m{i}\n" for i, one in enumerate(rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, smi, small_model, small_committee) -> Path:
    """A store for the small models, of several files and row groups."""
    directory = tmp_path_factory.mktemp("stores") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "ROW_GROUP", 32)
        patch.setattr(store_writing, "_GROUPS_PER_FILE", 3)
        options = PrepareOptions(applicability=True)
        models = [small_model.info, small_committee.info]
        prepare(read_records(smi), directory, models, library=smi, options=options)
    return directory
