"""Mutated SMILES and files: what must come out as a molecule or a rejection, whatever it is."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import random
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rdkit import Chem

from molig.errors import InputError, MoligError, UsageError
from molig.features import FeatureSchema, Featurizer
from molig.files import digest_of
from molig.model import load_model
from molig.molecules import Molecule, MoleculeParser, Reason, Record, read_records, smiles_records
from molig.molecules.reasons import RefusedError
from molig.molecules.records import Records
from molig.screening import PrepareOptions, ScreeningOptions, Shard, merge, prepare, screen
from molig.tables import Parts
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


# Features.


def fuzz_features(n: int, seed: int, schema: FeatureSchema) -> Tallies:
    """Featurize what mutated SMILES have become, alone and together; both must agree, in finite numbers."""
    rng, tally, parser = random.Random(seed), Tally(), MoleculeParser()
    kinds = list(SMILES_FAULTS.values())
    texts = [rng.choice(kinds)(rng.choice(SEEDS), rng) for _ in range(n)]
    molecules, rejections = parser.parse_many(smiles_records(texts))
    tally.tries, tally.molecules, tally.rejections = n, len(molecules), len(rejections)
    featurizer = Featurizer(schema)
    together = _watched(tally, "all", lambda: featurizer.counted(molecules))
    n_atoms = n_pairs = 0
    for molecule in molecules:
        one = _watched(tally, molecule.smiles, lambda each=molecule: featurizer.counted([each]))
        if one is None or together is None:
            continue
        atoms = slice(n_atoms, n_atoms + len(one.atom_codes))
        pairs = slice(n_pairs, n_pairs + len(one.pair_codes))
        n_atoms, n_pairs = atoms.stop, pairs.stop
        same = all(
            np.array_equal(getattr(one, name), getattr(together, name)[places])
            for name, places in (("atom_codes", atoms), ("atom_values", atoms), ("pair_codes", pairs))
        )
        if not (same and np.isfinite(one.atom_values).all() and np.isfinite(one.pair_values).all()):
            tally.lost += 1
            tally.fault(f"{molecule.smiles!a}: other features alone, or numbers that are not finite")
    return {"features": tally}


def _watched(tally: Tally, what: str, work: Callable[[], Any]) -> Any:
    """What comes of work; any error is a fault, but for those of molig where they are expected."""
    start = time.perf_counter()
    try:
        return work()
    except Exception as error:
        tally.undocumented += 1
        tally.fault(f"{what[:200]!a}: {type(error).__name__}: {error}")
        return None
    finally:
        tally.slowest = max(tally.slowest, time.perf_counter() - start)


# What molig itself has written: stores, parts of runs, models.

_ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**70,
    1e400,
    float("nan"),
    "",
    "0",
    "../x",
    "\0",
    [],
    {},
)
_ODD += ([[]], {"": None}, "a" * 10_000, "é\ud800", 0.5, -1e308, [1, "a"], "molecules-00000.parquet")


def mutated_json(text: str, rng: random.Random) -> str:
    """Change one to three values of a JSON text, at any depth: another type, absurd, missing or doubled."""
    content = json.loads(text)
    for _ in range(rng.randint(1, 3)):
        parent, key = rng.choice(list(_places(content)) or [({"": content}, "")])
        change = rng.random()
        if change < 0.15 and isinstance(parent, dict):
            del parent[key]
        elif change < 0.3:
            _, other = rng.choice(list(_places(content))) if content else ({}, "")
            parent[key] = other
        elif change < 0.45 and isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
            parent[key] = rng.choice((parent[key] + 1, -parent[key], parent[key] * 10**6, parent[key] - 1))
        else:
            parent[key] = rng.choice(_ODD)
    return json.dumps(content)


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON document: its parent, and its key or number there."""
    keys = content.keys() if isinstance(content, dict) else range(len(content))
    for key in list(keys):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _places(content[key])


def _mutate_file(path: Path, rng: random.Random) -> None:
    """Damage one file: JSON mostly in its values, so that it can still be read, others byte by byte."""
    if path.suffix == ".json" and rng.random() < 0.8:
        path.write_text(mutated_json(path.read_text(), rng))
    else:
        path.write_bytes(_damaged(path.read_bytes(), rng))


def _copies(source: Path, folder: Path, n: int, rng: random.Random) -> Iterator[tuple[Path, str]]:
    """Copies of a directory with one damaged file each, and what was damaged."""
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    # The descriptions are small, and say how the rest is read.
    weights = [8 if path.suffix == ".json" else 2 for path in files]
    for _ in range(n):
        shutil.rmtree(folder / source.name, ignore_errors=True)
        copy = Path(shutil.copytree(source, folder / source.name))
        (chosen,) = rng.choices(files, weights)
        _mutate_file(copy / chosen, rng)
        yield copy, chosen.name


def _refusable(tally: Tally, what: str, work: Callable[[], Any]) -> Any:
    """What comes of work on damaged data, which may be refused by an error of molig; None if it was."""
    tally.tries += 1
    start = time.perf_counter()
    try:
        return work()
    except MoligError as error:
        tally.refused += 1
        if not str(error).strip():
            tally.fault(f"{what}: refused without a word")
    except Exception as error:
        tally.undocumented += 1
        tally.fault(f"{what}: {type(error).__name__}: {error}")
    finally:
        tally.slowest = max(tally.slowest, time.perf_counter() - start)
    return None


LIBRARY = (*SEEDS, "C1CC", "", "[Fe]")


def fuzz_stores(n: int, seed: int, folder: Path, model_directory: Path) -> Tallies:
    """Screen damaged stores; half of them say of the damaged file what it is now, as who means harm would."""
    rng, model = random.Random(seed), load_model(model_directory)
    whole = folder / "whole" / "library.store"
    whole.parent.mkdir(exist_ok=True)
    records = Records(smiles_records(LIBRARY))
    prepare(records, whole, [model.info], options=PrepareOptions(applicability=True, force=True))
    options = ScreeningOptions(task=model.tasks[0])
    expected = screen(whole, model, options=options)
    tallies = {name: Tally() for name in ("stores, damaged", "stores, damaged and signed again")}
    for signed, tally in zip((False, True), tallies.values(), strict=True):
        for copy, name in _copies(whole, folder, n // 2, rng):
            if signed and name.endswith(".parquet"):
                _sign(copy, name)
            found = _refusable(tally, name, lambda copy=copy: screen(copy, model, options=options))
            if found is None:
                continue
            tally.molecules += found.n_scored
            tally.rejections += found.n_rejected
            if not signed and not found.hits.equals(expected.hits):
                tally.lost += 1
                tally.fault(f"{name}: damaged, and other hits")
    return tallies


def _sign(store: Path, name: str) -> None:
    """Let a store's description fit a damaged file."""
    content = json.loads((store / "store.json").read_text())
    for file in content["files"]:
        if file["name"] == name:
            path = store / name
            file |= {"n_bytes": path.stat().st_size, "sha256": digest_of(path)}
    (store / "store.json").write_text(json.dumps(content))


def fuzz_parts(n: int, seed: int, folder: Path, model_directory: Path) -> Tallies:
    """Continue interrupted runs, and merge shards, whose parts were damaged: the same tables, or an error."""
    rng, model, tally = random.Random(seed), load_model(model_directory), Tally()
    base = folder / "runs"
    base.mkdir(exist_ok=True)
    library = base / "library.smi"
    library.write_text("".join(f"{smiles or 'C('} m{i}\n" for i, smiles in enumerate(LIBRARY)))
    options = ScreeningOptions(task=model.tasks[0], shard=Shard(1, 1))
    screen(library, model, output=base / "hits.csv", options=options)
    output, shard = base / "merged.csv", base / "hits.shard-1-of-1"
    merge([shard], output)
    expected = output.read_bytes()
    for copy, name in _copies(shard, folder, n, rng):
        for path in folder.glob("merged.*"):
            path.unlink()
        merged = _refusable(tally, name, lambda copy=copy: merge([copy], folder / "merged.csv"))
        if merged is not None:
            tally.molecules += merged.n_scored
            if (folder / "merged.csv").read_bytes() != expected:
                tally.lost += 1
                tally.fault(f"{name}: damaged, and merged to another table")
    for copy, name in _copies(shard, folder, n, rng):

        def resumed(copy: Path = copy) -> int:
            parts = Parts(copy, Parts.read(shard).identity)
            parts.open(resume=True)
            return sum(len(batch) for _, batches in parts.finished() for batch in batches)

        found = _refusable(tally, name, resumed)
        tally.molecules += found or 0
    return {"parts of runs, damaged": tally}


def fuzz_models(n: int, seed: int, folder: Path, model_directory: Path) -> Tallies:
    """Load damaged models, and score with those that can be loaded."""
    rng, tally = random.Random(seed), Tally()
    for copy, name in _copies(model_directory, folder, n, rng):

        def scored(copy: Path = copy) -> Any:
            model = load_model(copy)
            molecules, _ = model.parser.parse_many(smiles_records(SEEDS[:3]))
            return model.score_molecules(molecules)

        found = _refusable(tally, name, scored)
        tally.molecules += 0 if found is None else len(found)
    return {f"models ({model_directory.name}), damaged": tally}


def table(tallies: Tallies) -> str:
    """A row per fault class, in Markdown."""
    head = "tries|molecules|rejections|files refused|undocumented exceptions|rows lost|slowest row"
    lines = [f"| fault class | {head.replace('|', ' | ')} |", "|---" + "|---:" * 7 + "|"]
    for name, t in tallies.items():
        counts = (t.tries, t.molecules, t.rejections, t.refused, t.undocumented, t.lost)
        lines.append(f"| {name} | {' | '.join(f'{n:,}' for n in counts)} | {t.slowest:.2f} s |")
    return "\n".join(lines)
