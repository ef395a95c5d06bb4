"""Tables that appear under their final name only when they are complete."""

from __future__ import annotations

import csv
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from molig.errors import OutputError, UsageError
from molig.files import replacing
from molig.text import legible

STDOUT = "-"
EXCEL = ".xlsx"
FORMATS = (".parquet", ".csv", EXCEL)

ROW_GROUP = 16_384
"""Rows that a Parquet file gathers into one group unless told otherwise."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


class OutputTable:
    """A table file written beside its place and moved there at the end, or a table on standard output.

    Used as a context manager; if the block ends by an exception (also Ctrl-C), nothing is left behind and a
    former file of that name stays as it was.

    Parameters
    ----------
    target : str or Path
        A path ending in .parquet, .csv or, with openpyxl, .xlsx, or ``"-"`` for CSV on standard output.
    schema : pyarrow.Schema
        Columns. Dictionary columns reach the file as what they stand for, such as plain strings.
    row_group : int
        Most rows of a group of a Parquet file; so many are held in memory.
    csv_safe : bool
        Write text of a CSV file that a spreadsheet would take for a formula behind an apostrophe.

    Notes
    -----
    Text is written as it is, so that identifiers can be looked up again. Only on standard output that is a
    terminal it is made legible (`molig.text.legible`).

    Raises
    ------
    OutputError
        If the table cannot be written, for instance because the disk is full.
    """

    def __init__(
        self,
        target: str | Path,
        schema: pa.Schema,
        *,
        row_group: int = ROW_GROUP,
        csv_safe: bool = False,
    ) -> None:
        self._to_stdout = str(target) == STDOUT
        self._path = Path(target)
        self._schema, self._row_group, self._csv_safe = schema, row_group, csv_safe
        self._writer: _CsvWriter | _ParquetWriter | _ExcelWriter | None = None
        self._file = ExitStack()

    def __enter__(self) -> Self:
        """Open the temporary file."""
        with ExitStack() as file:
            try:
                self._writer = self._open(file)
            except OSError as err:
                raise self._error(err) from err
            self._file = file.pop_all()
        return self

    def write(self, table: pa.Table) -> None:
        """Append rows."""
        if self._writer is None:
            raise OutputError("the table is not open; use it in a with block")
        try:
            self._writer.write(table)
        except OSError as err:
            raise self._error(err) from err

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Move the finished file to its place, or remove what there is of it."""
        try:
            self._file.__exit__(kind, value, trace)
        except OSError as err:
            if kind is None:
                raise self._error(err) from err

    def _open(self, file: ExitStack) -> _CsvWriter | _ParquetWriter | _ExcelWriter:
        if self._to_stdout:
            shown = [legible] if sys.stdout.isatty() else []
            stdout = _CsvWriter(sys.stdout, self._schema, [*self._changes(), *shown])
            file.callback(sys.stdout.flush)
            return stdout
        temporary = file.enter_context(replacing(self._path))
        if self._path.suffix.lower() == ".csv":
            opened = file.enter_context(temporary.open("w", encoding="utf-8", newline=""))
            return _CsvWriter(opened, self._schema, self._changes())
        if self._path.suffix.lower() == EXCEL:
            excel = _ExcelWriter(temporary, self._schema)
            file.push(excel.end)
            return excel
        parquet = _ParquetWriter(temporary, self._schema, self._row_group)
        file.push(parquet.end)
        return parquet

    def _changes(self) -> list[Callable[[str], str]]:
        return [spreadsheet_safe] if self._csv_safe else []

    def _error(self, err: OSError) -> Exception:
        if isinstance(err, BrokenPipeError):
            return err  # the reader of standard output has seen enough
        place = "standard output" if self._to_stdout else str(self._path)
        return OutputError(f"cannot write {place}: {err.strerror or err}; no incomplete file was left there")


def check_output(target: str | Path) -> None:
    """Refuse, before a run, a table that could not be written at its end: format, directory, permission."""
    if str(target) == STDOUT:
        return
    path = Path(target)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"cannot tell the format of {path}; use a name ending in {', '.join(FORMATS)}, or -")
    if path.suffix.lower() == EXCEL:
        new_workbook(path)
    check_writable(path)


def check_distinct(source: object, *outputs: str | Path | None) -> None:
    """Refuse to write two tables to one place, or a table over the source, if that is a file."""
    places = [Path(p).resolve() for p in outputs if p is not None]
    if len(set(places)) < len(places):
        raise UsageError(f"results and rejected rows cannot both go to {outputs[-1]}")
    if isinstance(source, str | Path) and str(source) != STDOUT and Path(source).resolve() in places:
        raise UsageError(f"{source} is the library; give the results another name")


def rejects_path(output: str | Path | None, rejects: str | Path | None) -> Path | None:
    """Place of the table of rejected rows: as asked for, or beside the results as ``NAME.rejected.csv``."""
    if rejects is not None:
        return Path(rejects)
    if output is None or str(output) == STDOUT:
        return None
    return Path(output).with_suffix(".rejected.csv")


def check_writable(path: Path) -> None:
    """Refuse a path that is a directory, or whose directory is missing or closed to us."""
    check_here(path)
    if path.is_dir():
        raise UsageError(f"{path} is a directory; give the name of a file")
    parent = path.parent
    if not parent.is_dir():
        what = "is a file, not a directory" if parent.exists() else "does not exist"
        raise UsageError(f"cannot write {path}: {'' if parent.exists() else 'the directory '}{parent} {what}")
    if not os.access(parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UsageError(f"cannot write {path}: permission denied")


def check_here(path: Path) -> None:
    """Refuse the address of object storage, where nothing can be renamed once it is complete."""
    scheme, *rest = path.parts or ("",)
    # A path has one slash where the address had two; C: is a drive.
    if _SCHEME.fullmatch(scheme) and not Path(scheme).exists():
        raise UsageError(
            f"{scheme}//{'/'.join(rest)} is an address, and results are written to files of this computer: "
            f"name one, such as {path.name}, and copy it there when it is complete"
        )


class _ParquetWriter:
    """Gathers rows into row groups: each group leaves a footer entry in memory until the end."""

    def __init__(self, path: Path, schema: pa.Schema, row_group: int) -> None:
        # The Arrow schema in the footer would make readers return dictionaries.
        encoded = any(pa.types.is_dictionary(field.type) for field in schema)
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", store_schema=not encoded)
        if encoded and schema.metadata:
            self._writer.add_key_value_metadata(schema.metadata)
        self._row_group = row_group
        self._waiting = [schema.empty_table()]
        self._n_waiting = 0

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._n_waiting += len(table)
        if self._n_waiting >= self._row_group:
            self._write_groups()

    def end(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            # What broke off shall be told, not that the rest cannot be written either.
            with suppress(OSError, pa.ArrowException):
                self._writer.close()
            return
        try:
            if self._n_waiting:
                self._write_group(pa.concat_tables(self._waiting))
        except BaseException:
            with suppress(OSError, pa.ArrowException):
                self._writer.close()
            raise
        finally:
            self._waiting, self._n_waiting = self._waiting[:1], 0
        self._writer.close()

    def _write_groups(self) -> None:
        """Write whole groups; the rest waits for more."""
        table = pa.concat_tables(self._waiting)
        n_whole = len(table) // self._row_group * self._row_group
        for start in range(0, n_whole, self._row_group):
            self._write_group(table.slice(start, self._row_group))
        self._waiting = [self._waiting[0], table.slice(n_whole)]
        self._n_waiting = len(table) - n_whole

    def _write_group(self, table: pa.Table) -> None:
        # Only one dictionary per column and group is written as such.
        self._writer.write_table(table.unify_dictionaries().combine_chunks(), row_group_size=self._row_group)


def new_workbook(path: Path, *, streamed: bool = True) -> Any:
    """An empty workbook of openpyxl; `streamed` rows are written as they come."""
    try:
        import openpyxl  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise UsageError(
            f"{path}: writing Excel files needs openpyxl: pip install 'molig[excel]', or name a .csv"
        ) from error
    return openpyxl.Workbook(write_only=streamed)


MOST_EXCEL_ROWS = 1_048_575
"""Rows of a sheet of Excel below its header."""

_LONGEST_EXCEL_TEXT = 32_767
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def excel_value(value: Any) -> Any:
    r"""A value as a cell of Excel takes it: no control characters, no number that is none, lists as JSON.

    Examples
    --------
    >>> excel_value(float("nan")), excel_value("a\x1b") == "a\ufffd", excel_value([0.5, None])
    (None, True, '[0.5, null]')
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        value = _json(value)
    if isinstance(value, bytes | str):
        text = value if isinstance(value, str) else value.decode(errors="replace")
        text = _NO_XML.sub("\ufffd", text)
        return text if len(text) <= _LONGEST_EXCEL_TEXT else f"{text[: _LONGEST_EXCEL_TEXT - 3]}..."
    return value if value is None or isinstance(value, bool | int) else str(value)


def excel_row(sheet: Any, values: Iterable[Any]) -> list[Any]:
    """Cells of a row of a sheet; text stays text, also behind an equals sign."""
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415 - an optional dependency

    cells = []
    for value in map(excel_value, values):
        cell = WriteOnlyCell(sheet, value)
        if isinstance(value, str):
            cell.data_type = "s"
        cells.append(cell)
    return cells


class _ExcelWriter:
    """One sheet, which openpyxl keeps in a temporary file until it is saved."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._book, self._n_rows = path, new_workbook(path), 0
        self._sheet = self._book.create_sheet("molig")
        self._sheet.freeze_panes = "A2"
        self._sheet.append(excel_row(self._sheet, schema.names))

    def write(self, table: pa.Table) -> None:
        self._n_rows += len(table)
        if self._n_rows > MOST_EXCEL_ROWS:
            raise OutputError(
                f"a sheet of Excel holds {MOST_EXCEL_ROWS:,} rows, and these are more; write .parquet or "
                ".csv, or only the best (--top-k)"
            )
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            self._sheet.append(excel_row(self._sheet, row))

    def end(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._book.save(self._path)
        else:
            self._sheet.close()


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def spreadsheet_safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula: where it would, behind an apostrophe.

    Examples
    --------
    >>> spreadsheet_safe("=HYPERLINK(...)"), spreadsheet_safe("CPD-1")
    ("'=HYPERLINK(...)", 'CPD-1')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def _without_returns(text: str) -> str:
    # Before Python 3.13 the csv module does not quote a carriage return, which ends a line elsewhere.
    return text.replace("\r", " ")


class _CsvWriter:
    def __init__(self, file: TextIO, schema: pa.Schema, changes: Sequence[Callable[[str], str]]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._changes = [*changes, _without_returns]
        self._writer.writerow([self._changed(name) for name in schema.names])

    def write(self, table: pa.Table) -> None:
        self._writer.writerows(zip(*(self._texts(column) for column in table.columns), strict=True))

    def _texts(self, column: pa.ChunkedArray) -> list[Any]:
        values: list[Any] = column.to_pylist()
        if pa.types.is_floating(column.type):
            return [_digits(value) for value in values]
        if pa.types.is_list(column.type):
            return [_json(value) for value in values]
        if _is_text(column.type):
            return [value and self._changed(value) for value in values]
        return values

    def _changed(self, text: str) -> str:
        for change in self._changes:
            text = change(text)
        return text


def _is_text(kind: pa.DataType) -> bool:
    """Also as pandas has it, which is another kind of text to Arrow."""
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_dictionary)
    return any(test(kind) for test in tests)


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _json(value: Any) -> str:
    """A list as JSON, its numbers with as many digits as elsewhere in the table."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return "null" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
