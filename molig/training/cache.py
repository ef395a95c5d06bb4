"""Featurized tables on disk, so that the next run on the same table starts at once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import rdkit

from molig.datasets import cache_directory
from molig.features import Featurizer, PackedGraphs
from molig.model import Objective
from molig.molecules import MoleculeParser, Rejection
from molig.training.conflicts import LabelConflicts
from molig.training.dataset import Progress, TrainingData, file_digest, read_training_data
from molig.training.sections import ConflictPolicy
from molig.version import __version__

_LAYOUT = 1
_LEAST_ROWS = 5_000
"""Smaller tables are read in seconds; they are not worth a file."""


class ReadOptions(TypedDict, total=False):
    """Options of `read_training_data`, by name."""

    objective: Objective
    split_column: str | None
    smiles_column: str | None
    conflicts: ConflictPolicy


def read_or_load(
    source: str | Path,
    targets: Sequence[str],
    parser: MoleculeParser,
    featurizer: Featurizer,
    *,
    progress: Progress | None = None,
    **options: Unpack[ReadOptions],
) -> TrainingData:
    """Read a table as `read_training_data` does, or take what an earlier run has made of it.

    Kept in the cache directory (see `molig.datasets.cache_directory`) under a digest of the table's content
    and of everything else that matters: targets, options, feature schema, standardisation, versions.

    Parameters
    ----------
    source, targets, parser, featurizer, progress
        As for `molig.training.dataset.read_training_data`.
    **options
        Its other options.

    Returns
    -------
    TrainingData
    """
    path = _place(source, targets, parser, featurizer, options)
    found = _load(path, tuple(targets)) if path else None
    if found is not None:
        if progress:
            progress(len(found) + len(found.rejections))
        return found
    data = read_training_data(source, targets, parser, featurizer, progress=progress, **options)
    if path and len(data) >= _LEAST_ROWS:
        # A cache that cannot be written costs the next run some time, and nothing else.
        with contextlib.suppress(OSError):
            _save(data, path)
    return data


def _place(
    source: str | Path,
    targets: Sequence[str],
    parser: MoleculeParser,
    featurizer: Featurizer,
    options: ReadOptions,
) -> Path | None:
    try:
        digest = file_digest(source)
    except OSError:  # the reader will say what is wrong
        return None
    policy = [str(parser.policy), parser.max_heavy_atoms, str(parser.hydrogens)]
    versions = [_LAYOUT, __version__, rdkit.__version__]
    # In one order, and with what was not said, so that all commands find the same file.
    said: ReadOptions = {
        "objective": Objective.CLASSIFICATION,
        "split_column": None,
        "smiles_column": None,
        "conflicts": ConflictPolicy.KEEP,
    }
    key = [digest, list(targets), policy, featurizer.schema.hash, said | options, versions]
    name = hashlib.sha256(json.dumps(key, default=str).encode()).hexdigest()
    return cache_directory() / "features" / f"{name}.npz"


def _save(data: TrainingData, path: Path) -> None:
    text = {
        "smiles": list(data.smiles),
        "rejections": [[r.row, r.id, r.smiles, r.reason] for r in data.rejections],
        "given_parts": list(data.given_parts) if data.given_parts is not None else None,
        "conflicts": data.conflicts.to_dict() if data.conflicts else None,
    }
    arrays: dict[str, Any] = {f.name: getattr(data.graphs, f.name) for f in fields(PackedGraphs)}
    arrays |= {"labels": data.labels, "rows": data.rows}
    arrays["text"] = np.frombuffer(json.dumps(text).encode(), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        np.savez(temporary, **arrays)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _load(path: Path, targets: tuple[str, ...]) -> TrainingData | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
        text = json.loads(held["text"].tobytes())
        graphs = PackedGraphs(**{f.name: held[f.name] for f in fields(PackedGraphs)})
        given, conflicts = text["given_parts"], text["conflicts"]
        return TrainingData(
            graphs=graphs,
            labels=held["labels"],
            tasks=targets,
            rows=held["rows"],
            smiles=tuple(text["smiles"]),
            rejections=tuple(Rejection(*r) for r in text["rejections"]),
            given_parts=tuple(given) if given is not None else None,
            conflicts=LabelConflicts.from_dict(conflicts) if conflicts else None,
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        # Absent or damaged: made again.
        return None
