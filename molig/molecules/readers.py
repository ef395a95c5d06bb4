"""Reading molecule files of any supported format as one stream of records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from molig.errors import InputError, UnknownNameError, UsageError, called
from molig.molecules.columns import Kept, Request
from molig.molecules.csv_reader import read_csv
from molig.molecules.delimiters import as_delimiter
from molig.molecules.excel_reader import read_excel
from molig.molecules.notices import Notices
from molig.molecules.parquet_reader import read_parquet
from molig.molecules.records import Record, Records
from molig.molecules.sdf_reader import read_sdf
from molig.molecules.smi_reader import read_smi
from molig.molecules.sources import (
    PACKED,
    READ_ERRORS,
    STDIN,
    check_source,
    open_lines,
    size_and_time,
    without_query,
    zipped_name,
)

FORMATS = ("smi", "csv", "tsv", "sdf", "parquet", "xlsx")
"""Values of ``file_format``."""

DELIMITED = ("smi", "csv", "tsv")
"""Formats that have a delimiter."""

SUFFIXES = {
    ".smi": "smi",
    ".smiles": "smi",
    ".txt": "smi",
    ".csv": "csv",
    ".tsv": "tsv",
    ".sdf": "sdf",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}
"""Format per file name suffix; every one may have one of `PACKED` behind it."""


def read_records(
    source: str | Path,
    *,
    smiles_column: str | None = None,
    id_column: str | None = None,
    columns: Sequence[str] = (),
    optional: Sequence[str] = (),
    keep: str | Sequence[str] = (),
    file_format: str | None = None,
    delimiter: str | None = None,
    rows_before: int = 0,
    skip: int = 0,
) -> Records:
    r"""Read a molecule file as a stream: constant memory, one record per row, in order, none left out.

    Parameters
    ----------
    source : str or Path
        A file with one of `SUFFIXES`, perhaps packed (.gz, .bz2, or .zip with one file in it), also in object
        storage (``s3://``, ``gs://``); ``"-"`` reads standard input.
    smiles_column, id_column : str, optional
        Names of the columns, or their numbers from 1; found by their usual names otherwise. In an SD file
        ``id_column`` is a tag.
    columns : sequence of str, optional
        Further columns (SD tags) to return in `Record.fields`: text from text formats, typed from Parquet.
    optional : sequence of str, optional
        Columns to return likewise where the file has them.
    keep : {"all", "none"} or sequence of str, optional
        Columns (SD tags) to bring along in `Record.kept`, by name or number; ``"all"`` but the SMILES and the
        identifier. Of an SD file all tags of its first records, 1,000 or 16 MiB of them.
    file_format : {"smi", "csv", "tsv", "sdf", "parquet", "xlsx"}, optional
        Overrules the suffix; "smi" by default for standard input.
    delimiter : {"comma", "tab", "semicolon", "pipe", "space"} or str, optional
        What separates columns: a name or the character itself; by default guessed from the first rows.
    rows_before : int
        Rows of a library in several files that come before this one: its rows are numbered behind them.
    skip : int
        Rows to leave out, the first ones; they count. Parquet files need not read them for that.

    Returns
    -------
    Records
        An iterator of `Record`, which knows the columns that come along. A row that cannot be read is a
        record with its ``problem``.

    Raises
    ------
    UsageError
        If the file does not exist, has an unknown suffix, or has no SMILES column.
    UnknownNameError
        If a named column or format does not exist.
    InputError
        If the file cannot be opened, is damaged, or holds no molecules; only later damage is raised later.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "two.smi"
    ...     _ = path.write_text("CCO ethanol\nC\n")
    ...     [(record.row, record.id, record.smiles) for record in read_records(path)]
    [(1, 'ethanol', 'CCO'), (2, '2', 'C')]
    """
    check_source(source)
    kind = resolve_format(source, file_format)
    if delimiter is not None and kind not in DELIMITED:
        raise UsageError(
            f"{_shown(source)}: {called('delimiter')} is for {', '.join(DELIMITED)}, not for {kind}"
        )
    separator = None if delimiter is None else as_delimiter(delimiter)
    kept = Kept.of(keep)
    request = Request(
        smiles_column, id_column, tuple(columns), tuple(optional), separator, kept, rows_before, skip
    )
    if kind == "parquet":
        records = read_parquet(source, request)
    elif kind == "xlsx":
        records = read_excel(source, request)
    else:
        records = _read_text(source, kind, request)
    records = _watched(source, records)
    if skip and kind != "parquet":
        records = islice(records, skip, None)
    started = _started(records, f"{_shown(source)}: holds no molecules; expected one per row (format {kind})")
    asked = {"smiles_column": smiles_column, "id_column": id_column, "keep": keep}
    asked |= {"format": file_format, "delimiter": delimiter}
    given = {name: value for name, value in asked.items() if value is not None}
    return Records(started, kept.schema, kept.left_out, given)


def resolve_format(source: str | Path, file_format: str | None = None) -> str:
    """One of `FORMATS`: the given one, else what the file's suffix says; "smi" for standard input."""
    if file_format is not None:
        if file_format.lower() not in FORMATS:
            raise UnknownNameError("file format", file_format, FORMATS)
        return file_format.lower()
    if str(source) == STDIN:
        return "smi"
    path = Path(without_query(source))
    kind = _by_suffix(path)
    if kind is None and path.suffix.lower() == ".zip":
        kind = _by_suffix(Path(zipped_name(path)))
    if kind is None:
        raise UsageError(
            f"{source}: unknown file type; supported are {', '.join(SUFFIXES)}, each also with "
            f"{', '.join(PACKED)} (or say which it is with {called('file_format')})"
        )
    return kind


def _by_suffix(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def _shown(source: str | Path) -> str:
    return "standard input" if str(source) == STDIN else str(source)


def _watched(source: str | Path, records: Iterator[Record]) -> Iterator[Record]:
    """The same records; tells when reading ends, early or by an error, too, that the file was written to."""
    before = size_and_time(source)
    try:
        yield from records
    finally:
        after = size_and_time(source)
        # A file that is removed is still read to its end.
        if before and after and before != after:
            Notices(str(source)).changed()


def _started(records: Iterator[Record], if_none: str) -> Iterator[Record]:
    """Read the first record at once, so that a wrong column or an empty file shows before any work."""
    first = next(records, None)
    if first is None:
        raise InputError(if_none)
    return chain([first], records)


def _read_text(source: str | Path, kind: str, request: Request) -> Iterator[Record]:
    row = 0
    where = _shown(source)
    try:
        with open_lines(source) as lines:
            if kind == "smi":
                records = read_smi(lines, request, where)
            elif kind == "sdf":
                records = read_sdf(lines, request, where)
            else:
                records = read_csv(lines, request, where, default="\t" if kind == "tsv" else ",")
            for record in records:
                row = record.row
                yield record
    except READ_ERRORS as error:
        reached = f"damaged after row {row}" if row else "cannot be read"
        raise InputError(f"{where}: {reached} ({error}); get or write the file again") from error
