"""Mutated SMILES and files: what must come out as a molecule or a rejection, whatever it is."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import random
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rdkit import Chem

from molig.errors import InputError, UsageError
from molig.molecules import Molecule, MoleculeParser, Reason, Record, read_records, smiles_records
from molig.molecules.reasons import RefusedError
from support import poison

SEEDS = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "C[C@@H](C(=O)O)N",
    "F/C=C/Cl",
    "c1ccc2c(c1)[nH]cc2CCN",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)[O-].[Na+]",
    "O=C1c2ccccc2C(=O)N1[13CH3]",
    "[2H]c1c([2H])c([2H])c(O)c([2H])c1[2H]",
    "OB(O)c1ccccc1",
    "C[N+](=O)[O-]",
    "CS(=O)(=O)N1CCN(CC1)c1nc2ccccc2s1",
    "C1CC2CCC1CC2",
)
ALPHABET = "CNOPSFIBrclnosp()[]=#$:/\\@+-.%0123456789|>*~ HeNaU^&;,{}"
BRACKETS = (
    *(
        "[Pt]",
        "[Fe+2]",
        "[U]",
        "[nH]",
        "[H]",
        "[*]",
        "[CH5]",
        "[C@@@]",
        "[]",
        "[",
        "[C",
        "[Xx]",
        "[#6]",
        "[#0]",
    ),
    *("[#119]", "[se]", "[te]", "[R1]", "[OH-:1]", "[C@TH1]", "[Co@OH12]", "[H+]", "[H-]", "[He]", "[Og]"),
)
TAILS = (
    " |^1:0|",
    " |$;;$|",
    " |c:1|",
    " |(0,0,0;|",
    " |Sg:n:1:::|",
    " |",
    " ||",
    " |m:0:1.2|",
    " |SgD:0:a:b|",
)
CONTROLS = tuple(map(chr, (*range(1, 32), 127, 133, 0)))
UNICODE = ("\u00a0", "\u2212", "\u200b", "\ufeff", "é", "中", "\u202e", "\U0001f9ea", "\ud800", "\u0421")
_ATOM = re.compile(r"(?:\[[^\]]*\]|Br|Cl|[A-Za-z])\d*")
REASONS = tuple(Reason)
FORMATS = ("smi", "csv", "tsv", "sdf", "parquet", "xlsx")


@dataclass
class Tally:
    """What came of the inputs of one fault class."""

    tries: int = 0
    molecules: int = 0
    rejections: int = 0
    refused: int = 0
    """Files that were refused as a whole, by an error of molig."""
    undocumented: int = 0
    lost: int = 0
    slowest: float = 0.0
    examples: list[str] = field(default_factory=list)

    def fault(self, what: str) -> None:
        """Keep the first few faults, to be shown."""
        if len(self.examples) < 5:
            self.examples.append(what)


Tallies = dict[str, Tally]


# SMILES.


def _insert(text: str, rng: random.Random, piece: str) -> str:
    behind_atoms = [match.end() for match in _ATOM.finditer(text)]
    anywhere = not behind_atoms or rng.random() < 0.3
    place = rng.randrange(len(text) + 1) if anywhere else rng.choice(behind_atoms)
    return text[:place] + piece + text[place:]


def _edit(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(text) + 1)
        end = place + rng.choice((0, 0, 1, 3))
        text = text[:place] + rng.choice(("", rng.choice(ALPHABET))) + text[end:]
    return text


def _splice(text: str, rng: random.Random) -> str:
    other = rng.choice(SEEDS)
    spliced = text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other)) :]
    return spliced * rng.choice((1, 1, 1, 2, 30))


def _ring(text: str, rng: random.Random) -> str:
    closure = rng.choice(("1", "%10", "%(100)", "%(99999)", "%", "0", "=1", "11"))
    return _insert(_insert(text, rng, closure), rng, rng.choice((closure, "2")))


def _number(rng: random.Random) -> str:
    return rng.choice(("0", "1", "4", "15", "99", "999", "99999999", str(2**31), str(2**32 + 1), "9" * 40))


def _charge(text: str, rng: random.Random) -> str:
    return _insert(text, rng, f"[{rng.choice('CNOSB')}{rng.choice('+-')}{_number(rng)}]")


SMILES_FAULTS: dict[str, Callable[[str, random.Random], str]] = {
    "characters": _edit,
    "splices": _splice,
    "bracket atoms": lambda text, rng: _insert(text, rng, rng.choice(BRACKETS)),
    "ring closures": _ring,
    "dots": lambda text, rng: _insert(_insert(text, rng, "."), rng, rng.choice((".", "..", ".[Cl-].[Na+]"))),
    "isotopes": lambda text, rng: _insert(text, rng, f"[{_number(rng)}{rng.choice(('C', 'H', 'N', '#6'))}]"),
    "charges": _charge,
    "CXSMILES tails": lambda text, rng: _edit(text + rng.choice(TAILS), rng),
    "Unicode": lambda text, rng: _insert(text, rng, rng.choice(UNICODE)),
    "control characters": lambda text, rng: _insert(text, rng, rng.choice(CONTROLS)),
}
"""Name of a fault class, and what makes one of a good SMILES."""


def fuzz_smiles(n: int, seed: int) -> Tallies:
    """Parse mutated SMILES one by one."""
    rng = random.Random(seed)
    tallies = {name: Tally() for name in SMILES_FAULTS}
    parser = MoleculeParser()
    for number in range(n):
        name = list(SMILES_FAULTS)[number % len(SMILES_FAULTS)]
        _judge_smiles(parser, SMILES_FAULTS[name](rng.choice(SEEDS), rng), tallies[name])
    return tallies


def fuzz_poison() -> Tallies:
    """Parse the graphs that hurt, each after the other in one process."""
    tally, parser = Tally(), MoleculeParser()
    for smiles in (*poison.GRAPHS.values(), poison.SLOW):
        _judge_smiles(parser, smiles, tally)
    return {"graphs that hurt": tally}


def _judge_smiles(parser: MoleculeParser, smiles: str, tally: Tally) -> None:
    tally.tries += 1
    start = time.perf_counter()
    try:
        (record,) = smiles_records([smiles])
        _count(parser, [record], tally)
    except Exception as error:
        tally.undocumented += 1
        tally.fault(f"{smiles[:200]!a}: {type(error).__name__}: {error}")
    tally.slowest = max(tally.slowest, time.perf_counter() - start)


def _count(parser: MoleculeParser, records: Iterable[Record], tally: Tally) -> int:
    """Parse records, see that their numbers are complete, and return how many there were."""
    row = 0
    for row, record in enumerate(records, start=1):
        start = time.perf_counter()
        result = parser.parse(record)
        tally.slowest = max(tally.slowest, time.perf_counter() - start)
        if result.row != row:
            tally.lost += 1
            tally.fault(f"row {result.row} where {row} was due")
        if isinstance(result, Molecule):
            tally.molecules += 1
            continue
        tally.rejections += 1
        if not result.reason.startswith(REASONS):
            tally.undocumented += 1
            tally.fault(f"no reason: {result.reason!a}")
    return row


# Files.


def _smiles_of_a_file(rng: random.Random) -> list[str]:
    """Good and mutated SMILES without line ends; the last is good, since empty ends are no rows."""
    made = []
    for _ in range(rng.randint(3, 25)):
        smiles = rng.choice(SEEDS)
        if rng.random() < 0.4:
            smiles = rng.choice(list(SMILES_FAULTS.values()))(smiles, rng)
        made.append("".join(c for c in smiles if ord(c) >= 32 and not 127 <= ord(c) < 160 and c != "\ud800"))
    return ["CCO", *made, "CCN"]


def _written(kind: str, smiles: list[str]) -> bytes:
    names = [f"m{i}" for i in range(len(smiles))]
    if kind == "smi":
        return "".join(f"{s or 'C'}\t{name}\n" for s, name in zip(smiles, names, strict=True)).encode()
    if kind in ("csv", "tsv"):
        text = io.StringIO()
        writer = csv.writer(text, delimiter="," if kind == "csv" else "\t")
        writer.writerows([("smiles", "name"), *zip(smiles, names, strict=True)])
        return text.getvalue().encode()
    if kind == "sdf":
        mols = [Chem.MolFromSmiles(s) or Chem.MolFromSmiles("CC") for s in smiles]
        return "".join(f"{Chem.MolToMolBlock(mol)}>  <name>\nx\n\n$$$$\n" for mol in mols).encode()
    stream = io.BytesIO()
    if kind == "parquet":
        pq.write_table(pa.table({"smiles": smiles, "name": names}), stream)
        return stream.getvalue()
    import openpyxl

    book = openpyxl.Workbook()
    for row in [("smiles", "name"), *zip(smiles, names, strict=True)]:
        book.active.append(row)
    book.save(stream)
    return stream.getvalue()


def _damaged(content: bytes, rng: random.Random) -> bytes:
    """Change, drop, double or insert bytes in one to five places."""
    for _ in range(rng.randint(1, 5)):
        place = rng.randrange(len(content) + 1)
        end = min(len(content), place + rng.choice((0, 1, 1, 4, 40)))
        new = rng.choice(
            (b"", rng.randbytes(3), b'"', b"\n", b"\r", b"\0", b"\t", b"$$$$\n", b"\xff\xfe", b",")
        )
        content = content[:place] + rng.choice((new, content[place:end] * 2)) + content[end:]
    return content[: rng.randrange(len(content) + 1)] if rng.random() < 0.1 else content


def _zipped(content: bytes, kind: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"molecules.{kind}", content)
    return stream.getvalue()


PACKERS: dict[str, Callable[[bytes, str], bytes]] = {
    "": lambda content, kind: content,
    ".gz": lambda content, kind: gzip.compress(content, mtime=0),
    ".bz2": lambda content, kind: bz2.compress(content),
    ".zip": _zipped,
}


def _files(rng: random.Random, n: int) -> Iterator[tuple[str, str, bytes, int | None]]:
    """Fault class, name, content, and the number of rows where the file itself is sound."""
    faults = ("mutated cells", "damaged", "damaged, then packed", "packed, then damaged")
    for number in range(n):
        kind = FORMATS[number % len(FORMATS)]
        fault = faults[number // len(FORMATS) % len(faults)]
        smiles = _smiles_of_a_file(rng)
        content, packing = _written(kind, smiles), ""
        if fault.startswith("damaged"):
            content = _damaged(content, rng)
        if "packed" in fault:
            packing = rng.choice((".gz", ".bz2", ".zip"))
            content = PACKERS[packing](content, kind)
        if fault.startswith("packed"):
            content = _damaged(content, rng)
        n_rows = len(smiles) if fault == "mutated cells" and kind != "smi" else None
        yield f".{kind}, {fault}", f"molecules.{kind}{packing}", content, n_rows


def fuzz_files(n: int, seed: int, folder: Path) -> Tallies:
    """Read mutated files of every format, and parse what is in them."""
    tallies: Tallies = {}
    parser = MoleculeParser()
    for fault, name, content, n_rows in _files(random.Random(seed), n):
        tally = tallies.setdefault(fault, Tally())
        tally.tries += 1
        path = folder / name
        path.write_bytes(content)
        try:
            found = _count(parser, read_records(path), tally)
        except (UsageError, InputError) as error:  # what `read_records` documents
            tally.refused += 1
            tally.undocumented += isinstance(error, RefusedError)  # that one belongs to a row
            if n_rows is not None:
                tally.lost += n_rows
                tally.fault(f"{name}: sound, and refused: {error}")
        except Exception as error:
            tally.undocumented += 1
            tally.fault(f"{name}: {type(error).__name__}: {error}")
            kept = folder / f"fault-{tally.undocumented}-{name}"
            kept.write_bytes(content)
        else:
            if n_rows is not None and found != n_rows:
                tally.lost += abs(n_rows - found)
                tally.fault(f"{name}: {found} rows of {n_rows}")
    return tallies


def table(tallies: Tallies) -> str:
    """A row per fault class, in Markdown."""
    head = "tries|molecules|rejections|files refused|undocumented exceptions|rows lost|slowest row"
    lines = [f"| fault class | {head.replace('|', ' | ')} |", "|---" + "|---:" * 7 + "|"]
    for name, t in tallies.items():
        counts = (t.tries, t.molecules, t.rejections, t.refused, t.undocumented, t.lost)
        lines.append(f"| {name} | {' | '.join(f'{n:,}' for n in counts)} | {t.slowest:.2f} s |")
    return "\n".join(lines)
