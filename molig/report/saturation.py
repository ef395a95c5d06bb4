"""Saturation of molecules as files: the figure of the paper, and a table of its points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from molig.attribution import MoleculeCurves
from molig.errors import UsageError
from molig.report.outputs import PICTURES
from molig.screening import check_distinct, check_writable, write_whole

_TABLES = (".csv",)


def check_saturation_outputs(paths: Sequence[Path], source: str | None = None) -> None:
    """Refuse outputs of unknown format, or that could not be written.

    Parameters
    ----------
    paths : sequence of Path
        The files to be written: .svg, .png or .csv.
    source : str, optional
        The file that is read, which must not be overwritten.

    Raises
    ------
    UsageError
        Saying what would be accepted.

    Examples
    --------
    >>> check_saturation_outputs([Path("curves.txt")])
    Traceback (most recent call last):
        ...
    molig.errors.UsageError: cannot tell the format of curves.txt; use a name ending in .svg, .png, .csv
    """
    known = (*PICTURES, *_TABLES)
    for path in paths:
        if path.suffix.lower() not in known:
            raise UsageError(f"cannot tell the format of {path}; use a name ending in {', '.join(known)}")
        check_writable(path)
        check_distinct(source, path)
    places = [path.resolve() for path in paths]
    twice = [path for path, place in zip(paths, places, strict=True) if places.count(place) > 1]
    if twice:
        raise UsageError(f"{twice[0]} is named twice; give every output a name of its own")


def write_saturation(
    curves: Sequence[MoleculeCurves], paths: Sequence[Path], *, title: str, subtitle: str = ""
) -> None:
    """Write the figure and the table of saturation curves; nothing is written before all is made.

    Parameters
    ----------
    curves : sequence of MoleculeCurves
        At least one; all of one task and target, and on the same points.
    paths : sequence of Path
        .svg and .png get the figure, .csv the table: a row per molecule and point.
    title, subtitle : str
        Words above the figure.

    Raises
    ------
    UsageError
        If a name asks for another format, or the curves do not belong together.
    OutputError
        If a file cannot be written; none stays half-written under its name.
    """
    contents = [_content(curves, path, title, subtitle) for path in paths]
    for path, content in zip(paths, contents, strict=True):
        write_whole(path, content)


def _content(curves: Sequence[MoleculeCurves], path: Path, title: str, subtitle: str) -> bytes:
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        return _table(curves)
    if suffix not in PICTURES:
        raise UsageError(f"{path}: saturation is written as {', '.join((*PICTURES, *_TABLES))}")
    # Only figures need matplotlib, whose import takes half a second.
    from molig.report.saturation_figure import draw_saturation  # noqa: PLC0415

    return draw_saturation(curves, suffix[1:], title=title, subtitle=subtitle)


def _table(curves: Sequence[MoleculeCurves]) -> bytes:
    table = pd.concat([one.to_frame() for one in curves])
    text = table.select_dtypes(exclude="number").columns
    # A carriage return ends a line for other readers.
    table[text] = table[text].replace("\r", " ", regex=True)
    written: str = table.to_csv(index=False, float_format="%.8g", lineterminator="\n")
    return written.encode()
