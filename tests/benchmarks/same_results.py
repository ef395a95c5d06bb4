"""Do two trees give the same results? Compares two folders of outputs row by row.

    python tests/benchmarks/same_results.py --make before --tree path/to/the/old/tree
    python tests/benchmarks/same_results.py --make after
    python tests/benchmarks/same_results.py before after [--tolerance 1e-6] [--ignore seconds]

Tables must have the same columns and rows, JSON the same keys, everything the same text; numbers may differ
by the tolerance, as a share of the larger one, by default not at all. Differences are printed, and the exit
code is 1 if there are any. `--make` needs MOLIG_DATA_DIR for what models held out, and takes a quarter of an
hour; `--only hits,why` makes a part of it, `--rows` takes fewer molecules.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# What is run, by the name of what comes out; commands run in the folder, so no path gets into their results.
COMMANDS = {
    "hits": "screen library.smi -m tox21-w2n2-simple --applicability -o hits.csv",
    "hits_hiv": "screen library.smi -m hiv -o hits_hiv.csv",
    "why": "explain -i some.smi -m tox21-w2n2-simple --task all -o why.parquet",
    "why_molecules": (
        "explain -i some.smi -m tox21 --task SR-MMP -o why_molecules.parquet --layout molecules"
    ),
    "why_page": "explain -i few.smi -m tox21-w2n2-simple --task SR-MMP -o why.html",
    "curves": "saturation -m tox21-w2n2-simple -i some.smi --task SR-MMP -o curves.csv",
    "report": (
        "audit -m tox21-w2n2-simple --max-molecules 400 --max-explained 60 "
        "-o report.json -o report.md -o report.html"
    ),
    "report_w1": "audit -m tox21-w1n2-simple --max-molecules 300 --max-explained 40 -o report_w1.json",
    "reproduction": "evaluate -m hiv -o reproduction",
}
# Molecules of the library that the slower commands see.
PARTS = {"some.smi": 300, "few.smi": 12}

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]*\w)")
# Differences of one file that are printed.
_SHOWN = 10


class Comparison:
    """Compares values, and says what differs and where.

    Parameters
    ----------
    tolerance : float
        Largest difference of two numbers, as a share of the larger one.
    ignored : set of str
        Columns and keys that are left out, such as durations.
    """

    def __init__(self, tolerance: float = 0.0, ignored: frozenset[str] = frozenset()) -> None:
        self.tolerance, self.ignored = tolerance, ignored

    def folders(self, one: Path, other: Path) -> Iterator[str]:
        """Differences of two folders."""
        names = [
            {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
            for folder in (one, other)
        ]
        if not (names[0] | names[1]):
            yield f"neither {one} nor {other} has a file"
        for name in sorted(names[0] ^ names[1]):
            yield f"{name}: only in {one if name in names[0] else other}"
        for name in sorted(names[0] & names[1]):
            yield from (f"{name}: {what}" for what in self.files(one / name, other / name))

    def files(self, one: Path, other: Path) -> Iterator[str]:
        """Differences of two files of one kind."""
        if one.read_bytes() == other.read_bytes():
            return
        if one.suffix in {".csv", ".parquet"}:
            yield from self.tables(one, other)
        elif one.suffix == ".json":
            yield from self.values(json.loads(one.read_text()), json.loads(other.read_text()), "")
        elif one.suffix in {".md", ".html", ".svg", ".smi", ".txt", ".toml"}:
            yield from self.texts(one.read_text(), other.read_text())
        else:
            yield "other bytes"

    def tables(self, one: Path, other: Path) -> Iterator[str]:
        """Differences of two tables: columns, their types, number of rows, then cells."""
        left, right = _table(one), _table(other)
        if left.schema.names != right.schema.names:
            yield f"columns {left.schema.names} became {right.schema.names}"
            return
        if left.num_rows != right.num_rows:
            yield f"{left.num_rows} rows became {right.num_rows}"
            return
        for field, after in zip(left.schema, right.schema, strict=True):
            if field.type != after.type:
                yield f"column {field.name} of {field.type} became {after.type}"
            elif field.name not in self.ignored and left[field.name] != right[field.name]:
                cells = zip(left[field.name].to_pylist(), right[field.name].to_pylist(), strict=True)
                for row, (a, b) in enumerate(cells, start=1):
                    yield from self.values(a, b, f"{field.name}, row {row}")

    def values(self, one: Any, other: Any, where: str) -> Iterator[str]:
        """Differences of two values, however nested."""
        if isinstance(one, dict) and isinstance(other, dict):
            if list(one) != list(other):
                yield f"{where or 'top'}: keys {list(one)} became {list(other)}"
            for key in one.keys() & other.keys() - self.ignored:
                yield from self.values(one[key], other[key], f"{where}.{key}" if where else key)
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                yield f"{where}: {len(one)} entries became {len(other)}"
            for place, (a, b) in enumerate(zip(one, other, strict=False)):
                yield from self.values(a, b, f"{where}[{place}]")
        elif not self.same(one, other):
            yield f"{where}: {one!r} became {other!r}"

    def texts(self, one: str, other: str) -> Iterator[str]:
        """Differences of two texts, line by line."""
        left, right = one.splitlines(), other.splitlines()
        if len(left) != len(right):
            yield f"{len(left)} lines became {len(right)}"
        for number, (a, b) in enumerate(zip(left, right, strict=False), start=1):
            figures = zip(_NUMBER.findall(a), _NUMBER.findall(b), strict=False)
            words = _NUMBER.sub("#", a) == _NUMBER.sub("#", b)
            if a != b and not (words and all(self.same(float(x), float(y)) for x, y in figures)):
                yield f"line {number}: {_shortened(a)} became {_shortened(b)}"

    def same(self, one: Any, other: Any) -> bool:
        """Whether two cells are equal, numbers up to the tolerance; NaN is NaN."""
        if not (_is_number(one) and _is_number(other)):
            return type(one) is type(other) and bool(one == other)
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return one == other or abs(one - other) <= self.tolerance * max(abs(one), abs(other))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _table(path: Path) -> Any:
    import pyarrow.csv
    import pyarrow.parquet

    return pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pyarrow.parquet.read_table(path)


def _shortened(line: str, longest: int = 160) -> str:
    return repr(line if len(line) <= longest else f"{line[:longest]}...")


def make(folder: Path, tree: Path, names: list[str], rows: int) -> None:
    """Write the outputs of a tree's commands into a new folder."""
    from rdkit import RDConfig

    folder.mkdir(parents=True)
    library = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines(keepends=True)[:rows]
    for name, n in {"library.smi": rows, **PARTS}.items():
        (folder / name).write_text("".join(library[:n]))
    environment = os.environ | {"PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"}
    for name in names:
        print(f"molig {COMMANDS[name]}", file=sys.stderr)
        command = [sys.executable, "-m", "molig", *shlex.split(COMMANDS[name]), "--quiet"]
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise SystemExit(f"the command failed with exit code {done.returncode}")


def main(arguments: list[str] | None = None) -> int:
    """Make outputs or compare them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="two folders to compare")
    parser.add_argument("--make", type=Path, metavar="FOLDER", help="run the commands and write here")
    parser.add_argument("--tree", type=Path, default=ROOT, help="whose molig to run (default: this one)")
    parser.add_argument("--only", default=",".join(COMMANDS), help="what to make, separated by commas")
    parser.add_argument("--rows", type=int, default=5000, help="molecules of the library")
    parser.add_argument("--tolerance", type=float, default=0.0, help="as a share of the larger number")
    parser.add_argument("--ignore", default="seconds", help="columns and keys, separated by commas")
    options = parser.parse_args(arguments)
    if options.make:
        names = options.only.split(",")
        if unknown := [name for name in names if name not in COMMANDS]:
            parser.error(f"--only takes {', '.join(COMMANDS)} (got {', '.join(unknown)})")
        if options.make.exists():
            parser.error(f"{options.make} exists already")
        make(options.make, options.tree, names, options.rows)
        return 0
    if len(options.folders) != 2 or not all(folder.is_dir() for folder in options.folders):
        parser.error("name two folders to compare, or --make FOLDER")
    comparison = Comparison(options.tolerance, frozenset(options.ignore.split(",")))
    counts: dict[str, int] = {}
    for difference in comparison.folders(*options.folders):
        file = difference.split(": ")[0]
        counts[file] = counts.get(file, 0) + 1
        if counts[file] <= _SHOWN:
            print(difference)
    for file, n in counts.items():
        if n > _SHOWN:
            print(f"{file}: {n - _SHOWN} more")
    print(f"{sum(counts.values())} differences in {len(counts)} files" if counts else "the same")
    return 1 if counts else 0


if __name__ == "__main__":
    sys.exit(main())
