"""What a screening run is asked for, and what comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa

from molig.errors import UsageError
from molig.screening.writers import STDOUT

Progress = Callable[[int], None]

_TEXT_COLUMNS = dict.fromkeys(("id", "smiles", "best_task", "reason", "applicability"), str)


@dataclass(frozen=True)
class ScreeningOptions:
    """How to screen.

    Parameters
    ----------
    task : str, optional
        Score and rank by this task only; by default all tasks, ranked by the highest score. A regression
        of several tasks needs it: their values have units of their own.
    top_k : int, optional
        Keep the k best, best first; by default every row, in the order of the input.
    smiles_column, id_column : str, optional
        Columns of the library, if not under usual names.
    file_format : str, optional
        Format of standard input ("smi", "csv", ...).
    batch_size : int
        Molecules worked on at a time.
    progress : callable, optional
        Called with the number of rows done since the last call.
    applicability : bool
        Add the columns ``applicability`` ("in domain", "far from training" or "unseen feature") and
        ``similarity`` (Tanimoto, to the nearest reference molecule of the training part).
    """

    task: str | None = None
    top_k: int | None = None
    smiles_column: str | None = None
    id_column: str | None = None
    file_format: str | None = None
    batch_size: int = 512
    progress: Progress | None = None
    applicability: bool = False


@dataclass(frozen=True)
class ScreeningResult:
    """What came of a screening run.

    Parameters
    ----------
    n_rows, n_scored, n_rejected : int
        Rows of the library; each is scored or rejected.
    reasons : Counter
        Rejections by kind of reason.
    seconds : float
        Duration.
    output, rejects : str or Path, optional
        Where the tables are; None if they are held in memory.
    """

    n_rows: int
    n_scored: int
    n_rejected: int
    reasons: Counter[str]
    seconds: float
    output: str | Path | None = None
    rejects: Path | None = None
    _hits: pa.Table | None = field(default=None, repr=False)
    _rejections: pa.Table | None = field(default=None, repr=False)

    @cached_property
    def hits(self) -> pd.DataFrame:
        """Hit table: row, id, smiles, score per task, rank, and applicability if it was asked for."""
        return _frame(self._hits, self.output)

    @cached_property
    def rejections(self) -> pd.DataFrame:
        """Rejected rows: row, id, smiles, reason."""
        return _frame(self._rejections, self.rejects)

    def _repr_html_(self) -> str:
        return str(self.hits.head(20).to_html())


def _frame(table: pa.Table | None, path: str | Path | None) -> pd.DataFrame:
    if table is not None:
        frame: pd.DataFrame = table.to_pandas()
        return frame
    if path is None or str(path) == STDOUT:
        raise UsageError("the table went to standard output; it was not kept")
    if Path(path).suffix.lower() == ".csv":
        return pd.read_csv(path, dtype=_TEXT_COLUMNS, keep_default_na=False)
    return pd.read_parquet(path)
