"""From the shards of a library to the tables that one run would have written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from molig.errors import InputError, UsageError, called
from molig.molecules.causes import RejectBound
from molig.screening.diversity import Diversity
from molig.screening.hits import HitColumns
from molig.screening.joining import Joining, ScreeningResult
from molig.screening.plan import ScreeningOptions
from molig.screening.shards import Shard
from molig.screening.store_layout import StoreInfo
from molig.screening.store_writing import assembled, check_target, described
from molig.tables import PartNote, Parts
from molig.tables.locks import exclusive, scratch_directory
from molig.tables.parts import difference
from molig.tables.writers import check_distinct, check_output, rejects_path

_SHARD = "--shard"


def merge(
    shards: Sequence[str | Path],
    output: str | Path,
    *,
    rejects: str | Path | None = None,
    top_k: int | None = None,
    max_rejects: RejectBound | None = None,
    csv_safe: bool = False,
    force: bool = True,
) -> ScreeningResult:
    r"""Put the shards of a library together; rows are ranked against all others, as in one run.

    Parameters
    ----------
    shards : sequence of str or Path
        All shards of one library, in any order: directories that runs with ``shard`` have left. They stay.
    output : str or Path
        Hit table to write, .parquet or .csv as the shards were made for.
    rejects : str or Path, optional
        Table of rejected rows; default ``NAME.rejected.csv`` beside the output.
    top_k : int, optional
        Only the best so many, best first; default: as the shards were made.
    max_rejects : RejectBound, optional
        End with an error, and without a hit table, if more rows of all shards were rejected.
    csv_safe : bool
        In CSV files, write text that a spreadsheet would take for a formula behind an apostrophe.
    force : bool
        Whether a finished result may be replaced.

    Returns
    -------
    ScreeningResult

    Raises
    ------
    UsageError
        If a shard is missing, named twice or of another run, or the output cannot be written or is there.
    InputError
        If a shard is not finished, or damaged.

    Examples
    --------
    >>> import molig, tempfile
    >>> from molig.screening import ScreeningOptions, Shard
    >>> folder = Path(tempfile.mkdtemp())
    >>> library = folder / "library.smi"
    >>> _ = library.write_text("CCO\nc1ccccc1O\nnonsense\n")
    >>> for place in (1, 2):
    ...     options = ScreeningOptions(task="SR-MMP", shard=Shard(place, 2))
    ...     _ = molig.screen(library, "tox21-w2n2-simple", output=folder / "hits.csv", options=options)
    >>> result = merge(sorted(folder.glob("hits.shard-*")), folder / "hits.csv")
    >>> result.n_scored, result.n_rejected
    (2, 1)
    """
    started, output = time.perf_counter(), Path(output)
    rejects = rejects_path(output, rejects) or output
    found = together([Path(shard) for shard in shards])
    about = _about_hits(found[0])
    columns, as_text = HitColumns.from_dict(about["columns"]), about["rejects_as_text"]
    _check_places(output, rejects, columns, as_text=as_text, force=force)
    options = ScreeningOptions(
        top_k=_top_k(top_k, about["top_k"]),
        diversity=about["diversity"] and Diversity(**about["diversity"]),
        max_rejects=max_rejects,
        csv_safe=csv_safe,
    )
    joining = Joining(columns, replace(columns.kept, as_text=as_text), options, output, rejects)
    with exclusive(output, rejects), scratch_directory(output) as scratch:
        hits = joining.join(Together(found), scratch)
    return joining.result(time.perf_counter() - started, hits, {})


def _about_hits(shard: Parts) -> dict[str, Any]:
    """What a shard says of the hits that it holds, if it holds hits."""
    if described(shard.about) is not None:
        raise UsageError(f"{shard.directory} is a shard of a feature store, not of hits: `merge_stores`")
    if "columns" not in shard.about:
        raise UsageError(
            f"{shard.directory} holds explanations; `molig merge` puts them together, too, and in Python "
            "molig.report.merge_explanations"
        )
    return shard.about


def merge_stores(shards: Sequence[str | Path], directory: str | Path, *, force: bool = False) -> StoreInfo:
    r"""Put the shards of a feature store together: the files that one preparation would have written.

    Parameters
    ----------
    shards : sequence of str or Path
        All shards of one library, in any order: directories that `prepare` has left. They stay.
    directory : str or Path
        The store; it appears when it is complete.
    force : bool
        Replace a store that is there.

    Returns
    -------
    StoreInfo

    Raises
    ------
    UsageError
        If a shard is missing, named twice, of another preparation or none of a store, or the place is taken.
    InputError
        If a shard is not finished, or damaged, or no row of the library can be used.

    Examples
    --------
    >>> import tempfile
    >>> from molig.model import load_info
    >>> from molig.molecules import read_records
    >>> from molig.screening import PrepareOptions, Shard, prepare
    >>> folder = Path(tempfile.mkdtemp())
    >>> library = folder / "library.smi"
    >>> _ = library.write_text("CCO\nc1ccccc1O\nnonsense\n")
    >>> models = [load_info("tox21-w2n2-simple")]
    >>> for place in (1, 2):
    ...     options = PrepareOptions(shard=Shard(place, 2))
    ...     _ = prepare(read_records(library), folder / "s", models, library=library, options=options)
    >>> info = merge_stores(sorted(folder.glob("s.shard-*")), folder / "s")
    >>> info.n_molecules, info.n_rejected
    (2, 1)
    """
    directory = Path(directory)
    found = together([Path(shard) for shard in shards])
    of_store = described(found[0].about)
    if of_store is None:
        raise UsageError(f"{found[0].directory} is a shard of hits, not of a feature store")
    check_target(directory, force=force)
    with exclusive(directory):
        return assembled(Together(found).finished(), directory, *of_store)


def together(directories: Sequence[Path]) -> list[Parts]:
    """Read the shards of a library, in their order.

    Raises
    ------
    UsageError
        If a shard is missing, named twice or of another run.
    InputError
        If a shard is not finished, or damaged.
    """
    if not directories:
        raise UsageError("name the shards: the directories that runs with --shard have left")
    found: dict[Shard, Parts] = {}
    for directory in directories:
        parts = Parts.read(directory)
        if not parts.identity.get(_SHARD):
            raise UsageError(f"{directory} is no shard but an interrupted run: continue it with --resume")
        shard = Shard.parse(parts.identity[_SHARD])
        if shard in found:
            raise UsageError(f"{found[shard].directory} and {directory} are both shard {shard}; name it once")
        found[shard] = parts
    first = next(iter(found.values()))
    for shard, parts in found.items():
        _check_alike(first, parts)
        own = {number for number in range(parts.n_parts or 0) if shard.owns(number)}
        if parts.n_parts is None or own != set(parts.done):
            raise InputError(
                f"{parts.directory} is not finished, or damaged: run shard {shard} again with --resume"
            )
    n = next(iter(found)).n
    missing = [str(Shard(place, n)) for place in range(1, n + 1) if Shard(place, n) not in found]
    if missing:
        raise UsageError(f"shards are missing: {', '.join(missing)}")
    return [found[shard] for shard in sorted(found)]


def _check_alike(one: Parts, other: Parts) -> None:
    before, now = (dict(parts.identity) for parts in (one, other))
    for identity in (before, now):
        identity[_SHARD] = f"of {identity[_SHARD].partition('/')[2]}"
    if one.rows_per_part != other.rows_per_part:
        before["rows of a chunk"], now["rows of a chunk"] = str(one.rows_per_part), str(other.rows_per_part)
    if changes := difference(before, now):
        raise UsageError(f"{other.directory} is no shard of the same run as {one.directory}: {changes}")


def _top_k(asked: int | None, of_shards: int | None) -> int | None:
    if asked is not None and asked < 1:
        raise UsageError(f"{called('top_k')} must be at least 1 (got {asked})")
    if asked is not None and of_shards is not None and asked > of_shards:
        raise UsageError(f"the shards hold the best {of_shards} rows each: {called('top_k')} cannot be more")
    return asked or of_shards


def _check_places(output: Path, rejects: Path, columns: HitColumns, *, as_text: bool, force: bool) -> None:
    for place in (output, rejects):
        check_output(place)
    check_distinct(None, output, rejects)
    if output.exists() and not force:
        raise UsageError(
            f"{output} is there already: choose another output, or replace it with {called('force')}"
        )
    for place, text in ((output, columns.kept.as_text), (rejects, as_text)):
        made_for = ".csv" if text else ".parquet"
        if len(columns.kept.read) and (place.suffix.lower() == ".parquet") == text:
            raise UsageError(
                f"the shards hold columns of the input as {made_for} has them; write {place.stem}{made_for}"
            )


class Together:
    """Parts of all shards, in the order of the library.

    Parameters
    ----------
    shards : sequence of Parts
        All shards, in their order.
    """

    def __init__(self, shards: Sequence[Parts]) -> None:
        self._shards = shards

    def finished(self) -> Iterator[tuple[PartNote, Iterator[pa.RecordBatch]]]:
        """Note and table of each chunk; see `molig.tables.Parts.finished`."""
        coming = [parts.finished() for parts in self._shards]
        for number in range(self._shards[0].n_parts or 0):
            yield next(coming[number % len(coming)])
