"""A cluster of Ray gives the tables of one machine, whatever of it is lost on the way."""

from __future__ import annotations

import json
import os
import signal
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.libraries import BAD, GOOD, names_in
from support.poison import SLOW
from support.small_model import nci_smiles

from molig.errors import UsageError
from molig.molecules import Record
from molig.screening import Cluster, ScreeningOptions, Shard, screen
from molig.screening import cluster as module
from molig.screening.chunks import ScoredRows
from molig.screening.libraries import Files, Stretch
from molig.screening.plan import Plan
from molig.screening.workers import heard

ray = pytest.importorskip("ray", reason="Ray is not installed (molig[ray])")

ROWS_PER_CHUNK = 8
MARK = "MOLIG_TEST_CLUSTER"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Any:
    """Two nodes of one core each, and the cluster that they are; without dashboards and reports of usage."""
    from ray.cluster_utils import Cluster as Nodes

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path_factory.mktemp("ray") / "token"))
        patch.setenv(MARK, str(os.getpid()))
        size = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
        try:
            cluster = Nodes(initialize_head=True, head_node_args=size)
            cluster.lost = cluster.add_node(**size)
        except Exception as error:  # after half a minute Ray gives up
            pytest.skip(f"no cluster of Ray starts on this machine: {error}")
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr("molig.screening.pipeline.CHUNK_ROWS", ROWS_PER_CHUNK)


@pytest.fixture(scope="module")
def rows(nci_file) -> list[str]:
    return [row for row in [*nci_smiles(100, start=1000), *BAD, SLOW, *GOOD] if "," not in row]


def workers() -> list[int]:
    """Processes in the care of an actor of this test's cluster, which has the same name."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"{MARK}={os.getpid()}".encode() in (place / "environ").read_bytes()
            if marked and b"_Actor" in (place / "cmdline").read_bytes():
                parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return [process for process, parent in parents.items() if parent in parents]


def tables(output: Path) -> tuple[bytes, bytes]:
    return output.read_bytes(), output.with_suffix(".rejected.csv").read_bytes()


OPTIONS = ScreeningOptions(batch_size=ROWS_PER_CHUNK, time_limit=0.5)


def test_a_lost_process_and_a_lost_node_cost_no_row(nodes, small_committee, rows, tmp_path):
    one, several = tmp_path / "one.parquet", tmp_path / "parts"
    several.mkdir()
    table = pa.table({"smiles": rows, "price": [i / 3 for i in range(len(rows))]})
    pq.write_table(table, one)
    for i in range(3):
        pq.write_table(table.slice(45 * i, 45), several / f"{i}.parquet", row_group_size=10)
    whole, output = tmp_path / "whole.parquet", tmp_path / "hits.parquet"
    expected = screen(one, small_committee, output=whole, options=OPTIONS)
    done: list[int] = []
    killed: list[int] = []

    def lose(n_rows: int) -> None:
        done.append(n_rows)
        if len(done) == 2:
            killed.extend(workers()[:1])
            os.kill(killed[0], signal.SIGKILL)
        if len(done) == 4:
            nodes.remove_node(nodes.lost, allow_graceful=False)

    options = replace(OPTIONS, cluster=Cluster(), jobs=2, progress=lose)
    result = screen(f"file://{several}/*.parquet", small_committee, output=output, options=options)
    assert len(killed) == 1
    assert sum(done) == len(rows)
    assert tables(output) == tables(whole)
    assert f"it takes more than {OPTIONS.time_limit:g} s" in output.with_suffix(".rejected.csv").read_text()
    for name in ("n_rows", "n_scored", "n_rejected", "n_hits", "reasons", "kept"):
        assert getattr(result, name) == getattr(expected, name)
    assert not (tmp_path / "hits.parts").exists()


def test_one_core_reads_and_scores(nodes, small_committee, tmp_path):
    """The actor must not take all of the only core that is left, or nobody could read."""
    library, tables_of = tmp_path / "library.csv", {}
    library.write_text("smiles\n" + "\n".join(GOOD) + "\n")
    for name, cluster in (("here", None), ("there", Cluster())):
        output = tmp_path / f"{name}.csv"
        screen(library, small_committee, output=output, options=replace(OPTIONS, cluster=cluster, jobs=1))
        tables_of[name] = tables(output)
    assert tables_of["there"] == tables_of["here"]


def test_a_gpu_that_is_not_there(nodes, small_committee, tmp_path):
    (tmp_path / "library.smi").write_text("CCO\n")
    options = ScreeningOptions(cluster=Cluster(gpus=0.5))
    with pytest.raises(UsageError, match="the cluster has 0 GPUs"):
        screen(tmp_path / "library.smi", small_committee, output=tmp_path / "hits.csv", options=options)
    assert names_in(tmp_path) == {"library.smi"}


def test_what_nodes_cannot_read(small_committee):
    with pytest.raises(UsageError, match="cannot read standard input or a list"):
        screen(["CCO"], small_committee, options=ScreeningOptions(cluster=Cluster()))


def packed_chunk(chunk: Any) -> pa.Table:
    return pa.table({"chunk": [ray.cloudpickle.dumps(chunk)]})


class TestWithoutACluster:
    """Operators, in this process."""

    @pytest.fixture
    def packed(self, small_committee, monkeypatch) -> list[bytes]:
        """What goes to actors, without Ray's store between."""
        plan = Plan.of(["CCO"], small_committee, None, None, OPTIONS)
        monkeypatch.setattr("ray.get", lambda reference: reference)
        return [ray.cloudpickle.dumps(plan.scorer(plan.records()))]

    def test_every_chunk_is_read_once_from_any_stretch(self, rows, tmp_path):
        path = tmp_path / "library.parquet"
        pq.write_table(pa.table({"smiles": rows}), path, row_group_size=50)
        found = []
        for first, end in ((0, 3), (3, 9), (9, None)):
            library = Files((str(path),))
            start = library.stretches(ROWS_PER_CHUNK)[0].start._replace(skip=first * ROWS_PER_CHUNK)
            wanted = module.Wanted(Shard(), frozenset({4}))
            reading = module._Reading(library, ROWS_PER_CHUNK, wanted, 10.0)
            *chunks, last = reading.chunks(Stretch(start, first, end))
            found += chunks
            told = json.loads(heard(last.messages[-1]) or b"")
        assert told["n_chunks"] == -(-len(rows) // ROWS_PER_CHUNK)
        numbers = [chunk.number for chunk in found]
        assert numbers == [number for number in range(told["n_chunks"]) if number != 4]
        expected = [(row, text) for row, text in enumerate(rows, start=1) if (row - 1) // ROWS_PER_CHUNK != 4]
        assert [(r.row, r.smiles) for chunk in found for r in chunk.records] == expected

    def test_an_actor_outlives_its_worker(self, packed):
        actor = module._Actor(packed, 10.0, module._software(), on_gpu=False)
        chunk = module._Chunk(3, [Record(i, str(i), smiles) for i, smiles in enumerate(GOOD, start=1)], [])
        answers = []
        for _ in range(2):
            (table,) = actor(packed_chunk(chunk))
            answers.append(ScoredRows.unpacked(heard(table["messages"].to_pylist()[0][-1]) or b""))
            os.kill(actor._workers._workers[0]._process.pid, signal.SIGKILL)
        assert table["number"].to_pylist() == [3]
        assert answers[0].hits.equals(answers[1].hits)
        actor._workers.__exit__()

    def test_nodes_with_other_versions_are_refused(self, packed):
        other = {**module._software(), "rdkit": "2020.03.1"}
        actor = module._Actor(packed, 10.0, other, on_gpu=False)
        (table,) = actor(packed_chunk(module._Chunk(0, [Record(1, "1", "CCO")], [])))
        with pytest.raises(UsageError, match=r"has other versions .*rdkit .*, here 2020\.03\.1"):
            heard(table["messages"].to_pylist()[0][-1])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            module._compare({**module._software(), "arithmetic": "VSX"})
        assert "in the last digits" in str(told[0].message)
