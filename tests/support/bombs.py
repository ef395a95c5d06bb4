"""Small files that unpack to much: made here, so that none has to be committed."""

from __future__ import annotations

import bz2
import gzip
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BLANK_LINES = 100_000_000


def repeated_text(path: Path) -> Path:
    """500 rows with the same text of 1 MB, which a dictionary holds once."""
    pq.write_table(pa.table({"smiles": ["C" * 1_000_000] * 500}), path, compression="zstd")
    return path


def long_cells(path: Path) -> Path:
    """100 rows, every other with a text of 5 MB."""
    smiles = ["C" * (5_000_000 if i % 2 else 3) + "N" * i for i in range(100)]
    table = pa.table({"id": [f"m{i}" for i in range(100)], "smiles": smiles})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    return path


def packed_zeros(path: Path, n_bytes: int = 400_000_000) -> Path:
    """A .parquet.gz of zeros, about a thousandth of what it unpacks to."""
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"PAR1")
        _repeat(file.write, bytes(1 << 20), n_bytes)
    return path


def blank_lines(path: Path, n_lines: int = BLANK_LINES) -> Path:
    """Nothing but line feeds, packed as the name says."""
    block = b"\n" * (1 << 20)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.smi", "w") as file:
            _repeat(file.write, block, n_lines)
        return path
    with (bz2.open if path.suffix == ".bz2" else gzip.open)(path, "wb") as file:
        _repeat(file.write, block, n_lines)
    return path


def one_wide_row(path: Path, n_cells: int = 3_000_000) -> Path:
    """An Excel file whose first row has far more cells than a sheet may have."""
    import openpyxl

    openpyxl.Workbook().save(path)
    name = "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist() if part != name}
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
        with archive.open(name, "w") as sheet:
            sheet.write(f'<worksheet xmlns="{space}"><sheetData><row r="1">'.encode())
            cells = b'<c t="str"><v>C</v></c>'
            _repeat(sheet.write, cells * 10_000, n_cells * len(cells))
            sheet.write(b"</row></sheetData></worksheet>")
    return path


def _repeat(write: Callable[[bytes], object], block: bytes, n_bytes: int) -> None:
    for piece in _pieces(block, n_bytes):
        write(piece)


def _pieces(block: bytes, n_bytes: int) -> Iterator[bytes]:
    whole, rest = divmod(n_bytes, len(block))
    yield from (block for _ in range(whole))
    yield block[:rest]
