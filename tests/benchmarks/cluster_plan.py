"""How long a screen of a very large library takes on a cluster, and what it costs: simulated, chunk by chunk.

    python tests/benchmarks/cluster_plan.py [--rows 1e9] [--cores 64,256,1024,4096] [--lost-after 100]
    python tests/benchmarks/cluster_plan.py --measure LIBRARY [--model NAME] [--ray]

The simulation has the stages of `molig screen --engine ray` (tasks that read, actors that score, the first
process that keeps and joins) with what holds them up: queues of bounded length, slow nodes, chunks that take
longer than others, nodes that are lost with all that they held. Beside it runs the same library as an array
of shards. `--measure` finds the speeds that it needs, in seconds of processor time, on one core.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from molig import load_model
from molig.molecules import read_records
from molig.screening import Cluster, ScreeningOptions, Shard, merge, pipeline, screen
from molig.screening.chunks import ScoredRows
from molig.screening.plan import Plan
from molig.tables import PartNote, Parts

CHUNK = 4096
HOUR = 3600.0
_SHARDS_OF_A_NODE = 4


@dataclass(frozen=True)
class Speeds:
    """Rows a second of each stage on one core, and seconds of the first process for a piece of work."""

    read: float
    score: float
    keep: float
    join: float
    handing_out: float


@dataclass(frozen=True)
class Site:
    """Nodes, and what happens to them."""

    nodes: int
    cores: int  # of a node
    slow_nodes: float = 0.05  # share of nodes
    slowness: float = 2.0  # times as long
    spread: float = 0.15  # of the time of a chunk, standard deviation of its logarithm
    lost_after: float = 100.0  # hours, mean
    back_after: float = 300.0  # seconds
    noticed_after: float = 30.0  # seconds
    start: float = 60.0  # seconds until a node is at work
    price: float = 0.04  # of a core for an hour

    @property
    def all_cores(self) -> int:
        """Of all nodes."""
        return self.nodes * self.cores


@dataclass
class Outcome:
    """What came of a run."""

    seconds: float = 0.0
    joining: float = 0.0
    done: int = 0
    again: int = 0  # chunks that were lost on their way and done again
    losses: int = 0  # nodes
    busy: float = 0.0  # seconds of cores
    first: float = 0.0  # seconds of the first process, before it joins


def on_ray(n_chunks: int, speeds: Speeds, site: Site, from_text: bool, seed: int = 0) -> Outcome:
    """One run with the engine for Ray."""
    return _Ray(n_chunks, speeds, site, from_text, random.Random(seed)).run()


class _Ray:
    """Events of one run, in the order of time."""

    def __init__(
        self, n_chunks: int, speeds: Speeds, site: Site, from_text: bool, rng: random.Random
    ) -> None:
        self.speeds, self.site, self.rng, self.n_chunks = speeds, site, rng, n_chunks
        self.piece = 1 + site.all_cores // 32  # chunks that an actor gets at a time, as in molig
        self.n_pieces = math.ceil(n_chunks / self.piece)
        self.n_readers = 1 if from_text else 1 + site.all_cores // 16
        self.ahead = 2 * site.all_cores + self.n_readers  # pieces that are read or answered, and wait
        self.events: list[tuple[float, int, str, tuple[int, ...]]] = []
        self.count = 0
        self.ready: deque[int] = deque()
        self.idle: list[tuple[int, int]] = []  # node and core
        self.answered: deque[int] = deque()
        self.at: dict[tuple[int, int], int] = {}
        self.epoch = [0] * site.nodes
        self.factor = [site.slowness if rng.random() < site.slow_nodes else 1.0 for _ in range(site.nodes)]
        self.next_read = self.reading = 0
        self.finished: set[int] = set()
        self.keeping = False
        self.now = 0.0
        self.out = Outcome()

    def later(self, seconds: float, what: str, *about: int) -> None:
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds, self.count, what, about))

    def run(self) -> Outcome:
        for node in range(self.site.nodes):
            self.later(self.site.start * self.rng.uniform(0.5, 1.5), "up", node)
        self.read()
        while len(self.finished) < self.n_pieces:
            self.now, _, what, about = heapq.heappop(self.events)
            getattr(self, what)(*about)
            self.read()
            self.give()
            self.keep()
        self.out.seconds = self.now
        self.out.done = min(len(self.finished) * self.piece, self.n_chunks)
        self.out.again *= self.piece
        self.out.joining = self.n_chunks * CHUNK / self.speeds.join
        return self.out

    def read(self) -> None:
        waiting = len(self.ready) + len(self.answered)
        while self.reading < self.n_readers and self.next_read < self.n_pieces and waiting < self.ahead:
            self.later(self.piece * CHUNK / self.speeds.read, "was_read", self.next_read)
            self.next_read += 1
            self.reading += 1

    def was_read(self, piece: int) -> None:
        self.reading -= 1
        self.ready.append(piece)

    def give(self) -> None:
        while self.ready and self.idle and len(self.answered) < self.ahead:
            core = self.idle.pop()
            self.at[core] = piece = self.ready.popleft()
            slow = self.factor[core[0]] * self.rng.lognormvariate(0.0, self.site.spread)
            seconds = self.piece * CHUNK / self.speeds.score * slow
            self.later(seconds, "scored", *core, piece, self.epoch[core[0]])
            self.out.busy += seconds

    def scored(self, node: int, core: int, piece: int, epoch: int) -> None:
        if epoch != self.epoch[node]:
            return  # its node was lost meanwhile
        del self.at[node, core]
        self.idle.append((node, core))
        self.answered.append(piece)

    def keep(self) -> None:
        if self.answered and not self.keeping:
            self.keeping = True
            seconds = self.speeds.handing_out + self.piece * CHUNK / self.speeds.keep
            self.out.first += seconds
            self.later(seconds, "kept", self.answered.popleft())

    def kept(self, piece: int) -> None:
        self.keeping = False
        self.finished.add(piece)

    def up(self, node: int) -> None:
        self.idle += [(node, core) for core in range(self.site.cores)]
        self.later(self.rng.expovariate(1 / (self.site.lost_after * HOUR)), "lose", node)

    def lose(self, node: int) -> None:
        self.out.losses += 1
        self.epoch[node] += 1
        self.idle = [core for core in self.idle if core[0] != node]
        held = [piece for core, piece in self.at.items() if core[0] == node]
        self.at = {core: piece for core, piece in self.at.items() if core[0] != node}
        self.out.again += len(held)
        for piece in held:
            self.later(self.site.noticed_after, "give_again", piece)
        self.later(self.site.back_after, "up", node)

    def give_again(self, piece: int) -> None:
        self.ready.appendleft(piece)


def on_slurm(n_chunks: int, speeds: Speeds, site: Site, *, from_text: bool, seed: int = 0) -> Outcome:
    """The same library in shards, a job for each, as many at a time as there are nodes."""
    rng = random.Random(seed)
    factor = [site.slowness if rng.random() < site.slow_nodes else 1.0 for _ in range(site.nodes)]
    n_shards = site.nodes * (1 if from_text else _SHARDS_OF_A_NODE)
    out = Outcome()
    free = [(site.start * rng.uniform(0.5, 1.5), node) for node in range(site.nodes)]
    heapq.heapify(free)
    waiting = deque((0.0, len(range(shard, n_chunks, n_shards))) for shard in range(n_shards))
    # Of Parquet, chunks are looked up; through any other file every shard goes from end to end.
    reading = n_chunks * CHUNK / speeds.read * (1.0 if from_text else 2.0 / n_shards)
    while waiting:
        since, left = waiting.popleft()
        now, node = heapq.heappop(free)
        now = max(now, since)
        a_second = site.cores * speeds.score / CHUNK / factor[node]
        needed = max(left / a_second, reading) + site.start
        lost = rng.expovariate(1 / (site.lost_after * HOUR))
        if lost < needed:
            # Finished chunks are kept; those in hand are not.
            done = min(left, max(0, int((lost - site.start) * min(a_second, left / reading)) - site.cores))
            out.losses += 1
            out.again += site.cores
            out.done += done
            out.busy += lost * site.cores
            waiting.append((now + lost + site.noticed_after, left - done))
            heapq.heappush(free, (now + lost + site.back_after, node))
            continue
        out.done += left
        out.busy += left / a_second * site.cores
        out.seconds = max(out.seconds, now + needed)
        heapq.heappush(free, (now + needed, node))
    out.joining = n_chunks * CHUNK / speeds.join
    return out


def plan(rows: float, cores: list[int], speeds: Speeds, site: Site, from_text: bool) -> None:
    """Print what the simulation says beside what multiplication says."""
    n_chunks = math.ceil(rows / CHUNK)
    print(
        f"{rows:.0e} rows, {n_chunks:,} chunks; a core scores {speeds.score:,.0f} rows/s; nodes of "
        f"{site.cores} cores, {site.slow_nodes:.0%} of them {site.slowness:g} times as slow, each lost every "
        f"{site.lost_after:g} h on average\n"
    )
    print(
        "| cores | hours at best | Ray: hours | cores busy | first process busy | nodes lost, chunks again "
        "| cost | Slurm: hours | nodes lost, chunks again | cost | joining, hours |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for n in cores:
        here = replace(site, nodes=max(1, n // site.cores), cores=min(n, site.cores))
        ray, slurm = (
            on_ray(n_chunks, speeds, here, from_text),
            on_slurm(n_chunks, speeds, here, from_text=from_text),
        )
        for out in (ray, slurm):
            if out.done != n_chunks:
                raise SystemExit(f"{n_chunks - out.done} chunks were lost")
        at_best = n_chunks * CHUNK / speeds.score / here.all_cores
        cost = [out.seconds / HOUR * here.all_cores * here.price for out in (ray, slurm)]
        print(
            f"| {here.all_cores:,} | {at_best / HOUR:.2f} | {ray.seconds / HOUR:.2f} "
            f"| {ray.busy / ray.seconds / here.all_cores:.0%} | {ray.first / ray.seconds:.0%} "
            f"| {ray.losses}, {ray.again:,} | {cost[0]:,.0f} | {slurm.seconds / HOUR:.2f} "
            f"| {slurm.losses}, {slurm.again:,} | {cost[1]:,.0f} | {ray.joining / HOUR:.2f} |",
            flush=True,
        )


def clocked(what: str, n: int, work: Callable[[], Any]) -> Any:
    """Do it, and print items a second of processor time."""
    started = time.process_time()
    found = work()
    spent = time.process_time() - started
    print(f"{what:42s} {n / spent:12,.0f} rows/s", flush=True)
    return found


def measure(library: Path, name: str, with_ray: bool) -> None:
    """Print rows a second of processor time of every stage, on the first rows of a library."""
    torch.set_num_threads(1)
    model = load_model(name)
    options = ScreeningOptions(task=None if model.calibrated else model.tasks[0])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows = [record.smiles for record in islice(read_records(library), 10 * CHUNK)]
        text, parquet, first = (place / name for name in ("all.smi", "all.parquet", "first.smi"))
        text.write_text("".join(f"{smiles}\n" for smiles in rows))
        pq.write_table(pa.table({"smiles": rows}), parquet)
        for path in (text, parquet):
            clocked(f"reading {path.suffix}", len(rows), lambda path=path: sum(1 for _ in read_records(path)))
        first.write_text("".join(f"{smiles}\n" for smiles in rows[: 4 * CHUNK]))
        plan = Plan.of(str(first), model, place / "hits.parquet", None, options)
        scorer, records = plan.scorer(plan.records()), list(islice(plan.records(), CHUNK))
        scorer.prepare()
        packed = clocked(f"scoring with {name}", CHUNK, lambda: scorer(records, lambda first, end: None))
        clocked("keeping", 10 * CHUNK, lambda: keep(packed, place / "kept"))
        screen(first, model, output=place / "hits.parquet", options=replace(options, shard=Shard(1, 1)))
        shard = place / "hits.shard-1-of-1"
        for what, k in (("joining", None), ("joining the best 10,000", 10_000)):
            clocked(what, 4 * CHUNK, lambda k=k: merge([shard], place / "hits.parquet", top_k=k))
        if with_ray:
            hand_out(rows, model, place, options)


def keep(packed: bytes, place: Path) -> None:
    """What the first process does with an answer, ten times."""
    parts = Parts(place, {}, rows_per_part=CHUNK)
    parts.open()
    for number in range(10):
        found = ScoredRows.unpacked(packed)
        note = PartNote(found.n_rows, {})
        parts.add(number, found.hits.schema, found.hits.to_batches(), lambda note=note: note)


def hand_out(rows: list[str], model: Any, place: Path, options: ScreeningOptions) -> None:
    """Print what a piece of work costs the first process, beyond what is in it: chunks are small here."""
    pipeline.CHUNK_ROWS = size = 16
    options = replace(options, cluster=Cluster(), jobs=2)
    spent = []
    for n in (8, 200):
        (place / "small.smi").write_text("".join(f"{smiles}\n" for smiles in rows[: n * size]))
        started = time.process_time()
        screen(place / "small.smi", model, output=place / "small.parquet", options=options)
        spent.append(time.process_time() - started)
    print(f"first process, for a piece of work of Ray {(spent[1] - spent[0]) / 192 * 1000:10.1f} ms")


def main() -> None:
    """Read options, and measure or simulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e9)
    parser.add_argument("--cores", default="16,64,256,1024,4096")
    parser.add_argument("--cores-of-a-node", type=int, default=16)
    parser.add_argument("--score", type=float, default=3400.0, help="rows/s of a core")
    parser.add_argument("--read", type=float, default=340_000.0, help="rows/s of a task")
    parser.add_argument("--keep", type=float, default=1_100_000.0, help="rows/s of the first process")
    parser.add_argument("--join", type=float, default=350_000.0, help="rows/s")
    parser.add_argument("--handing-out", type=float, default=0.006, help="seconds for a piece of work")
    parser.add_argument("--slow-nodes", type=float, default=0.05)
    parser.add_argument("--lost-after", type=float, default=100.0, help="hours until a node is lost")
    parser.add_argument("--price", type=float, default=0.04, help="of a core for an hour")
    parser.add_argument("--from-text", action="store_true", help="the library is one text file, not Parquet")
    parser.add_argument("--measure", type=Path, metavar="LIBRARY")
    parser.add_argument("--model", default="tox21-w2n2-simple")
    parser.add_argument("--ray", action="store_true", help="measure with a cluster on this machine, too")
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.model, given.ray)
        return
    speeds = Speeds(given.read, given.score, given.keep, given.join, given.handing_out)
    site = Site(1, given.cores_of_a_node, given.slow_nodes, lost_after=given.lost_after, price=given.price)
    plan(given.rows, [int(n) for n in given.cores.split(",")], speeds, site, given.from_text)


if __name__ == "__main__":
    main()
