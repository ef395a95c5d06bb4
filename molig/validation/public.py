"""Tables of public data sets, which are the same table whatever file they are written to."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from molig.datasets import content_digest, datasets
from molig.model import Provenance


def public_name(source: Path, name: str) -> str:
    """Name of the public data set that a file holds, row by row.

    Parameters
    ----------
    source : Path
        The file.
    name : str
        The set that it may hold; see `molig.datasets.datasets`.

    Returns
    -------
    str
        `name`, or empty if the content is another one or not known beforehand.

    Examples
    --------
    >>> public_name(Path("mine.csv"), "tox21")
    ''
    """
    known = datasets().get(name)
    if known is None or known.table_sha256 is None or source.suffix != ".parquet":
        return ""
    try:
        return name if content_digest(pq.read_table(source)) == known.table_sha256 else ""
    except (OSError, TypeError, pa.ArrowException):
        # Not a table of that kind, or damaged, which the reader says better.
        return ""


def is_training_table(training: Provenance | None, digest: str, public: str) -> bool:
    """Whether a table is the one that a model was trained with.

    The same bytes, or the same public data set: `molig data get` and other writers make different files of
    the same rows.

    Parameters
    ----------
    training : Provenance or None
        What the model says about its training.
    digest : str
        SHA-256 of the table's file.
    public : str
        Name of the public data set that the table holds, or empty; see `public_name`.

    Returns
    -------
    bool
    """
    if training is None:
        return False
    if training.data_sha256 == digest:
        return True
    known = datasets().get(public)
    return known is not None and (training.data_file, training.n_rows) == (known.file, known.rows)
