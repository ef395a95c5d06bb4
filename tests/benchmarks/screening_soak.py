"""Interrupt screening runs in every way and compare what they come to with a run that nothing interrupts.

Run: ``python tests/benchmarks/screening_soak.py [--rows 20000] [--kills 100] [--out soak.json]``
Faults: kill -9 at random moments, also of a preparation, a full disk, killed worker processes, a damaged
chunk, a changed library, another model, shards that are killed and merged. A row is lost or doubled if it is
not exactly once among hits and rejected rows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from common import nci_smiles
from rdkit import RDLogger

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.processes import Run

_CHUNK_ROWS = 1024
_LEAST_KEPT = 2


@dataclass
class Outcome:
    """What became of the runs with one kind of fault."""

    fault: str
    tries: int = 0
    finished: int = 0
    rows_lost: int = 0
    rows_doubled: int = 0
    tables_differ: int = 0
    unexpected: int = 0
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing went wrong."""
        return self.finished > 0 and not (
            self.rows_lost or self.rows_doubled or self.tables_differ or self.unexpected
        )


class Soak:
    """A library, a model, and what an uninterrupted run makes of them."""

    def __init__(
        self,
        folder: Path,
        rows: list[str],
        model: str,
        *,
        task: str = "",
        jobs: int = 2,
        chunk_rows: int = _CHUNK_ROWS,
        seed: int = 0,
    ) -> None:
        self.folder, self.model, self.task = folder, model, task
        self.jobs, self.chunk_rows = jobs, chunk_rows
        self.random = random.Random(seed)
        self.n_rows = len(rows)
        self.library = folder / "library.smi"
        self.library.write_text("".join(f"{smiles} m{i}\n" for i, smiles in enumerate(rows)))
        self._process(["--version"]).finish()  # which imports everything, once for all runs
        started = time.monotonic()
        code, _, err = self.start(folder / "whole.csv").finish()
        if code:
            raise SystemExit(f"the uninterrupted run failed: {err}")
        self.seconds = time.monotonic() - started
        self.expected = self.tables(folder / "whole.csv")

    def start(self, output: Path, *options: str, model: str | None = None) -> Run:
        """Begin a run."""
        return self._process(self._words(output, *options, model=model))

    def _words(self, output: Path, *options: str, model: str | None = None) -> list[str]:
        words = ["screen", str(self.library), "-m", model or self.model, "-o", str(output), "-q"]
        task = ["--task", self.task] if self.task else []
        return [*words, *task, "--device", "cpu", "--jobs", str(self.jobs), *options]

    def _process(self, words: list[str], limit: int | None = None) -> Run:
        return Run(*words, chunk_rows=self.chunk_rows, limit=limit)

    def tables(self, output: Path) -> tuple[bytes, bytes]:
        """Hits and rejected rows."""
        return output.read_bytes(), output.with_suffix(".rejected.csv").read_bytes()

    def judge(self, outcome: Outcome, output: Path) -> None:
        """Compare finished tables, count rows, and clear up."""
        outcome.finished += 1
        outcome.tables_differ += self.tables(output) != self.expected
        files = (output, output.with_suffix(".rejected.csv"))
        seen = Counter(row for file in files for row in pd.read_csv(file, usecols=["row"])["row"])
        outcome.rows_lost += sum(row not in seen for row in range(1, self.n_rows + 1))
        outcome.rows_doubled += sum(count - 1 for count in seen.values())
        if output.with_suffix(".parts").exists():
            outcome.unexpected += 1
        for file in files:
            file.unlink()

    def resumed(self, outcome: Outcome, output: Path, *options: str) -> None:
        """Continue to the end, and judge."""
        code, _, err = self.start(output, "--resume", *options).finish()
        if code:
            print(f"{outcome.fault}: exit code {code}: {err}", file=sys.stderr)
            outcome.unexpected += 1
            return
        self.judge(outcome, output)

    def broken_off(self, output: Path) -> bool:
        """Begin a run, and kill it when some chunks are done; False if it was too quick."""
        process = self.start(output)
        parts = output.with_suffix(".parts")
        while process.code is None and len(list(parts.glob("[0-9]*.json"))) < _LEAST_KEPT:
            time.sleep(0.01)
        process.kill()
        return parts.exists()

    # Faults.

    def kills(self, n: int) -> Outcome:
        """Kill -9 at random moments, and resume."""
        outcome, output = Outcome("kill -9 at a random moment"), self.folder / "killed.csv"
        while outcome.tries < n:
            process = self.start(output, "--resume")
            code = process.wait(self.random.uniform(0, self.seconds))
            if code is None:
                process.kill()
                outcome.tries += 1
            if code == 0:
                self.judge(outcome, output)
            elif code is not None:
                # Refused, perhaps, since the one before was killed when its tables stood already.
                if output.exists() and not output.with_suffix(".parts").exists():
                    self.judge(outcome, output)
                else:
                    outcome.unexpected += 1
        # Perhaps the last one was killed when its tables stood already.
        if output.exists() and not output.with_suffix(".parts").exists():
            self.judge(outcome, output)
        else:
            self.resumed(outcome, output)
        return outcome

    def killed_preparations(self, n: int) -> Outcome:
        """Kill -9 a preparation at random moments, and resume; stores must be the same to the last byte."""
        outcome, store = Outcome("kill -9 of a preparation"), self.folder / "killed.store"
        whole = self.folder / "whole.store"
        started = time.monotonic()
        outcome.unexpected += self._preparation(whole).finish()[0] != 0
        seconds = time.monotonic() - started
        expected = content(whole)
        while True:
            process = self._preparation(store, "--resume")
            code = process.wait(self.random.uniform(0, seconds)) if outcome.tries < n else process.finish()[0]
            if code is None:
                process.kill()
                outcome.tries += 1
                continue
            # The one before may have been killed when its store stood already.
            outcome.unexpected += not store.exists() or store.with_name("killed.store.parts").exists()
            if store.exists():
                outcome.finished += 1
                outcome.tables_differ += content(store) != expected
                shutil.rmtree(store)
            if outcome.tries >= n:
                return outcome

    def _preparation(self, store: Path, *options: str) -> Run:
        words = ["prepare", str(self.library), "-o", str(store), "-m", self.model, "-q"]
        return self._process([*words, "--jobs", str(self.jobs), *options])

    def killed_workers(self, n: int) -> Outcome:
        """Kill workers at random moments; the run goes on by itself."""
        outcome, output = Outcome("kill -9 of a worker"), self.folder / "workers.csv"
        while outcome.tries < n:
            process = self.start(output)
            killed = 0
            while process.code is None:
                time.sleep(self.random.uniform(0.1, 0.5))
                # No more of them than a chunk is forgiven.
                workers = children(process.pid)
                if workers and killed < _LEAST_KEPT:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.random.choice(workers), signal.SIGKILL)
                    killed += 1
            outcome.tries += max(killed, 1)
            if process.finish()[0]:
                outcome.unexpected += 1
            else:
                self.judge(outcome, output)
        return outcome

    def full_disk(self, n: int) -> Outcome:
        """Writing fails at a random size of a file; then there is room again."""
        outcome, output = Outcome("full disk"), self.folder / "full.csv"
        while outcome.tries < n:
            limit = self.random.randrange(100, len(self.expected[0]))
            code, _, err = self._process(self._words(output, "--resume"), limit).finish()
            outcome.tries += 1
            outcome.unexpected += code != 1 or "cannot write" not in err or output.exists()
            self.resumed(outcome, output)
        return outcome

    def damaged_chunks(self, n: int) -> Outcome:
        """A bit of a finished part turns, between a kill and the resumption."""
        outcome, output = Outcome("damaged chunk"), self.folder / "damaged.csv"
        for _ in range(n):
            if self.broken_off(output):
                files = sorted(output.with_suffix(".parts").glob("[0-9]*"))
                file = self.random.choice(files)
                content = bytearray(file.read_bytes())
                content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
                file.write_bytes(content)
            outcome.tries += 1
            self.resumed(outcome, output)
        return outcome

    def changes(self, n: int, other_model: str) -> Outcome:
        """Another library or model is refused; the run goes on with what it had."""
        outcome, output = Outcome("changed library or model"), self.folder / "changed.csv"
        text = self.library.read_bytes()
        for number in range(n):
            broken = self.broken_off(output)
            try:
                if number % 2:
                    code, _, err = self.start(output, "--resume", model=other_model).finish()
                else:
                    self.library.write_bytes(text + b"CCO more\n")
                    code, _, err = self.start(output, "--resume").finish()
            finally:
                self.library.write_bytes(text)
            outcome.tries += 1
            outcome.unexpected += broken and (code != 2 or "has changed" not in err)
            self.resumed(outcome, output)
        return outcome

    def shards(self, n: int) -> Outcome:
        """Shards are killed once each, resumed and merged."""
        outcome, output = Outcome("killed shards, merged"), self.folder / "hits.csv"
        for place in range(1, n + 1):
            process = self.start(output, "--shard", f"{place}/{n}", "--resume")
            process.wait(self.random.uniform(0, self.seconds / n))
            process.kill()
            outcome.tries += 1
            code, _, _ = self.start(output, "--shard", f"{place}/{n}", "--resume").finish()
            outcome.unexpected += code != 0
        shards = sorted(map(str, self.folder.glob("hits.shard-*")))
        code, _, err = self._process(["merge", *shards, "-o", str(output), "-q"]).finish()
        for shard in shards:
            shutil.rmtree(shard)
        if code:
            print(err, file=sys.stderr)
            outcome.unexpected += 1
        else:
            self.judge(outcome, output)
        return outcome


def content(store: Path) -> dict[str, bytes]:
    """All files of a store."""
    return {path.name: path.read_bytes() for path in store.iterdir()}


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]
    return []


def faults_of(soak: Soak, options: argparse.Namespace) -> dict[str, Callable[[], Outcome]]:
    """All faults, by the names of ``--only``."""
    return {
        "kills": lambda: soak.kills(options.kills),
        "preparations": lambda: soak.killed_preparations(options.preparations),
        "workers": lambda: soak.killed_workers(options.tries),
        "disk": lambda: soak.full_disk(options.tries),
        "chunks": lambda: soak.damaged_chunks(options.tries),
        "changes": lambda: soak.changes(options.tries, options.other_model),
        "shards": lambda: soak.shards(options.tries),
    }


def soaked(soak: Soak, options: argparse.Namespace) -> Iterator[Outcome]:
    """What became of all faults, one kind after the other."""
    for name, fault in faults_of(soak, options).items():
        if options.only and name not in options.only:
            continue
        started = time.monotonic()
        outcome = fault()
        outcome.seconds = time.monotonic() - started
        yield outcome


def main() -> None:
    """Print a table of faults, and what they cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--preparations", type=int, default=20, help="kills of `molig prepare`")
    parser.add_argument("--tries", type=int, default=10, help="of every other fault")
    parser.add_argument("--only", nargs="+", help="kinds of faults: kills, preparations, workers, ...")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--chunk-rows", type=int, default=_CHUNK_ROWS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="tox21-w2n2-simple")
    parser.add_argument("--task", default="SR-MMP")
    parser.add_argument("--other-model", default="tox21-w1n2-simple", help="which has that task, too")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    smiles = [*nci_smiles(), "C1CC", "", "[Fe]"]
    rows = [smiles[i % len(smiles)] for i in range(options.rows - 1)] + ["CCO"]
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        how = {name: getattr(options, name) for name in ("task", "jobs", "chunk_rows", "seed")}
        soak = Soak(Path(name), rows, options.model, **how)
        print(f"{options.rows:,} rows, {options.jobs} processes, {soak.seconds:.1f} s without a fault\n")
        print("| fault | tries | runs finished | rows lost | rows doubled | tables differ | unexpected |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for one in soaked(soak, options):
            outcomes.append(one)
            cells = (one.tries, one.finished, one.rows_lost, one.rows_doubled, one.tables_differ)
            print(f"| {one.fault} | {' | '.join(map(str, cells))} | {one.unexpected} |", flush=True)
    if options.out:
        settings = {name: str(value) for name, value in vars(options).items() if name != "out"}
        content = {"settings": settings, "outcomes": [asdict(one) for one in outcomes]}
        options.out.write_text(json.dumps(content, indent=1) + "\n")
    if not all(one.good for one in outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
