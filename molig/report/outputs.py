"""Explanations as files: drawings, pages and tables."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from molig.attribution import Explanation
from molig.depiction import draw_png, draw_svg
from molig.errors import InputError, OutputError, UsageError
from molig.molecules import Rejection
from molig.report.contents import Report
from molig.report.explanations import explanation_card
from molig.report.render import render_report
from molig.screening import OutputTable, check_distinct, check_writable

PICTURES = (".svg", ".png")
TABLES = (".parquet", ".csv")
PAGES = (".html",)

_GRID_COLUMNS = 3

TABLE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("smiles", pa.string()),
        ("task", pa.string()),
        ("target", pa.string()),
        ("level", pa.string()),
        ("atom_i", pa.int64()),
        ("atom_j", pa.int64()),
        ("bonded", pa.bool_()),
        ("symbol", pa.string()),
        ("block", pa.string()),
        ("category", pa.string()),
        ("value", pa.float64()),
        ("score", pa.float64()),
        ("molecule_score", pa.float64()),
        ("baseline_score", pa.float64()),
        ("residual", pa.float64()),
        ("converged", pa.bool_()),
    ]
)


@dataclass
class Counts:
    """What became of the rows.

    Parameters
    ----------
    explained, rejected : int
        Rows with an explanation, and rows without.
    unconverged : int
        Explanations whose residual is above the tolerance.
    """

    explained: int = 0
    rejected: int = 0
    unconverged: int = 0


def check_explanation_output(path: Path, source: str | None = None) -> None:
    """Refuse an output of unknown format, or one that could not be written.

    Parameters
    ----------
    path : Path
        The file to be written.
    source : str, optional
        The file that is read, which must not be overwritten.

    Raises
    ------
    UsageError
        Saying what would be accepted.
    """
    known = (*PICTURES, *PAGES, *TABLES)
    if path.suffix.lower() not in known:
        raise UsageError(f"cannot tell the format of {path}; use a name ending in {', '.join(known)}")
    check_writable(path)
    check_distinct(source, path)


def write_explanations(
    results: Iterable[Explanation | Rejection], path: Path, *, title: str, noise: float = 0.0
) -> Counts:
    """Write explanations in the format that the name of the file asks for.

    Parameters
    ----------
    results : iterable of Explanation or Rejection
        Explanations; a table is written as they come.
    path : Path
        .svg or .png (a grid of drawings), .html (a page of cards), .parquet or .csv (a row per feature).
    title : str
        Title of a page.
    noise : float
        Grey out scores below this share of the largest, in drawings.

    Returns
    -------
    Counts

    Raises
    ------
    InputError
        If there is nothing to write because every row was rejected.
    OutputError
        If the file cannot be written; none stays half-written under its name.
    """
    counts, rejections = Counts(), list[Rejection]()
    explanations = _accepted(results, counts, rejections)
    suffix = path.suffix.lower()
    if suffix in TABLES:
        _write_table(explanations, path, rejections)
        return counts
    listed = list(explanations)
    _require(listed, rejections)
    columns = max(_GRID_COLUMNS, math.isqrt(len(listed)))
    painters: dict[str, Callable[[], bytes]] = {
        ".svg": lambda: draw_svg([e.panel() for e in listed], columns=columns, noise=noise).encode(),
        ".png": lambda: draw_png([e.panel() for e in listed], columns=columns, noise=noise),
        ".html": lambda: _page(listed, rejections, title, noise).encode(),
    }
    write_whole(path, painters[suffix]())
    return counts


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    content : bytes
        What it shall hold.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as err:
        raise OutputError(f"cannot write {path}: {err.strerror or err}") from err
    finally:
        temporary.unlink(missing_ok=True)


def _accepted(
    results: Iterable[Explanation | Rejection], counts: Counts, rejections: list[Rejection]
) -> Iterator[Explanation]:
    for result in results:
        if isinstance(result, Rejection):
            counts.rejected += 1
            rejections.append(result)
        else:
            counts.explained += 1
            counts.unconverged += not result.converged
            yield result


def _write_table(explanations: Iterator[Explanation], path: Path, rejections: list[Rejection]) -> None:
    first = next(explanations, None)
    _require(first, rejections)
    with OutputTable(path, TABLE_SCHEMA) as out:
        for explanation in _chain(first, explanations):
            out.write(pa.Table.from_pandas(explanation.to_frame(), schema=TABLE_SCHEMA, preserve_index=False))


def _chain(first: Explanation | None, rest: Iterator[Explanation]) -> Iterator[Explanation]:
    if first is not None:
        yield first
    yield from rest


def _require(found: object, rejections: list[Rejection]) -> None:
    if not found:
        reason = f"; row {rejections[0].row}: {rejections[0].reason}" if rejections else ""
        raise InputError(f"none of the molecules could be explained{reason}")


def _page(listed: list[Explanation], rejections: list[Rejection], title: str, noise: float) -> str:
    return render_report(
        Report(
            title=title,
            facts=(("explained", str(len(listed))), ("rejected", str(len(rejections)))),
            cards=[explanation_card(e, noise=noise) for e in listed],
            footnotes=[f"Row {r.row} ({r.id}) {r.smiles}: {r.reason}" for r in rejections],
        )
    )
