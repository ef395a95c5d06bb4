"""Workers featurize, the first process scores: the same hits as where one process does everything."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.csv
import pytest
import torch
from support.libraries import BAD, GOOD
from support.small_model import nci_smiles

from molig.errors import MoligError
from molig.foreign import load_models
from molig.model import load_model
from molig.model.stages import ATOMS_PER_PASS, Arriving, packed, passes, unpacked
from molig.molecules import read_records, smiles_records
from molig.network.net import WeaveNet
from molig.screening import ScreeningOptions, pipeline, prepare, screen, staged

NO_GPU = "no CUDA GPU on this machine"
BESIDE = ("tox21-w2n2-simple", "tox21-w1n2-simple")


@pytest.fixture(scope="module")
def csv(tmp_path_factory, nci_file):
    """Compounds with a column of their own, salts and rejected rows."""
    bad = [smiles for smiles in BAD if smiles and smiles.isprintable() and "," not in smiles]
    smiles = [*nci_smiles(40, start=200), *bad[:3], *GOOD, *nci_smiles(20, start=700)]
    table = pd.DataFrame({"smiles": smiles, "IC50": np.arange(len(smiles)) / 7})
    path = tmp_path_factory.mktemp("library") / "library.csv"
    table.to_csv(path, index=False)
    return path


def written(library, model, folder, **options) -> dict[str, bytes]:
    """Both tables."""
    folder.mkdir()
    screen(library, model, output=folder / "hits.csv", options=ScreeningOptions(batch_size=16, **options))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    "asked", [{}, {"applicability": True, "uncertainty": True}, {"task": "all", "keep": "none"}, {"top_k": 7}]
)
def test_tables_are_those_of_one_stage(small_committee, csv, tmp_path, monkeypatch, asked):
    monkeypatch.setattr(pipeline, "CHUNK_ROWS", 24)
    expected = written(csv, small_committee, tmp_path / "one stage", **asked)
    assert set(expected) == {"hits.csv", "hits.rejected.csv"}
    for jobs in (1, 2):
        found = written(csv, small_committee, tmp_path / f"{jobs}", two_stages=True, jobs=jobs, **asked)
        assert found == expected


def test_of_a_store_and_of_models_side_by_side(csv, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK_ROWS", 24)
    models = [load_model(name) for name in BESIDE]
    prepare(read_records(csv, keep="all"), tmp_path / "store", [model.info for model in models])
    both = load_models(BESIDE)
    asked = {"rank_by": f"{BESIDE[1]}:SR-ARE"}
    expected = written(csv, both, tmp_path / "one stage", **asked)
    for place, source in {"library": csv, "stored": tmp_path / "store"}.items():
        assert written(source, both, tmp_path / place, two_stages=True, jobs=2, **asked) == expected


def test_a_row_that_ends_its_process_is_rejected(small_committee, csv, tmp_path, monkeypatch):
    read = staged.read_molecules

    def deadly(parser, records, *others):
        found = read(parser, records, *others)
        if any(molecule.smiles == "CCCCCCl" for molecule in found.molecules):
            os._exit(3)
        return found

    monkeypatch.setattr(pipeline, "CHUNK_ROWS", 24)
    monkeypatch.setattr(staged, "read_molecules", deadly)
    poisoned = tmp_path / "library.csv"
    poisoned.write_text(csv.read_text() + "CCCCCCl,1\nCCO,2\n")
    result = screen(poisoned, small_committee, options=ScreeningOptions(two_stages=True, jobs=2))
    last = result.rejections.iloc[-1]
    assert (last["row"], last["smiles"]) == (result.n_rows - 1, "CCCCCCl")
    assert last["reason"].startswith("given up: RDKit crashed on it (exit code 3)")
    assert result.hits.iloc[-1]["smiles"] == "CCO"
    assert {"parse", "featurize", "score"} <= set(result.stages)


def test_a_score_that_is_no_number_is_rejected_with_its_columns(small_committee, csv, tmp_path, monkeypatch):
    own = WeaveNet.forward

    def spoiled(self, batch):
        found = own(self, batch)
        found[batch.atom_counts > 30] = torch.nan
        return found

    monkeypatch.setattr(WeaveNet, "forward", spoiled)
    expected = written(csv, small_committee, tmp_path / "one stage")
    assert b"no finite score" in expected["hits.rejected.csv"] or b"nan" in expected["hits.rejected.csv"]
    assert written(csv, small_committee, tmp_path / "two stages", two_stages=True) == expected
    rejected = pyarrow.csv.read_csv(tmp_path / "two stages" / "hits.rejected.csv")
    assert rejected["row"].to_pylist() == sorted(rejected["row"].to_pylist())
    assert rejected["IC50"].null_count == 0


def test_a_library_without_molecules(small_committee, tmp_path):
    path = tmp_path / "library.smi"
    path.write_text("nonsense a\n")
    for jobs in (1, 2):
        with pytest.raises(MoligError, match="none of the 1 rows"):
            screen(path, small_committee, options=ScreeningOptions(two_stages=True, jobs=jobs))


def test_too_little_memory_on_the_device_is_told(small_committee, csv, monkeypatch):
    def full(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(WeaveNet, "forward", full)
    with pytest.raises(MoligError, match=r"too little memory left for \d+ molecules .*batch_size"):
        screen(csv, small_committee, options=ScreeningOptions(two_stages=True))


class TestStages:
    def test_bytes_bring_everything_but_flags(self, small_committee):
        molecules, _ = small_committee.parser.parse_many(smiles_records(GOOD))
        first = small_committee.first_stage()
        (sent,) = first(molecules)
        sent = sent._replace(batches=list(sent.batches))
        (found,) = unpacked(packed([sent]))
        for left, right in zip(sent.batches, found.batches, strict=True):
            assert all(torch.equal(left.tensors()[k], v) for k, v in right.tensors().items())
        for left, right in zip(sent.members, found.members, strict=True):
            for one, other in zip(left, right, strict=True):
                np.testing.assert_array_equal(one, other)
        scored = small_committee.second_stage([found], uncertainty=True)()
        again = small_committee.score_with(molecules, uncertainty=True)
        np.testing.assert_array_equal(scored.scores, again.scores)
        np.testing.assert_array_equal(scored.spread, again.spread)

    def test_passes_on_a_gpu_have_a_bounded_number_of_atoms(self, small_committee):
        molecules, _ = small_committee.parser.parse_many(smiles_records(GOOD))
        graphs = small_committee.featurizer.counted(molecules)
        many = graphs.select(np.resize(np.arange(len(graphs)), 9000))
        found = passes(many, torch.device("cuda"))
        assert [part.start for part in found] == [0, *(part.stop for part in found[:-1])]
        assert found[-1].stop == len(many)
        assert 1 < len(found) < 60
        assert max(many.atom_counts[part].sum() for part in found) < 1.01 * ATOMS_PER_PASS
        assert passes(many.run(0, 1), torch.device("cuda")) == [slice(0, 1)]

    def test_only_models_of_molig_have_stages(self, small_committee):
        assert staged.staged(small_committee, None) is None
        assert staged.staged(small_committee, two_stages=True) is small_committee
        assert staged.staged(object.__new__(Foreign), two_stages=True) is None


class Foreign:
    device = torch.device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
class TestGPU:
    def test_any_number_of_workers_gives_the_same_tables(self, small_committee, csv, tmp_path, monkeypatch):
        monkeypatch.setattr(pipeline, "CHUNK_ROWS", 24)
        model = small_committee.to("cuda")
        tables = [written(csv, model, tmp_path / f"{jobs}", jobs=jobs) for jobs in (1, 2, 3)]
        assert tables[0] == tables[1] == tables[2]

    @pytest.mark.parametrize("name", ["tox21", "tox21-w2n2-simple"])
    def test_scores_are_those_of_the_processor(self, csv, name):
        model = load_model(name)
        options = ScreeningOptions(task="all", jobs=2)
        on_cpu = screen(csv, model, options=replace(options, jobs=1)).hits
        on_gpu = screen(csv, model.to("cuda"), options=options).hits
        assert on_gpu["row"].tolist() == on_cpu["row"].tolist()
        np.testing.assert_allclose(on_gpu[list(model.tasks)], on_cpu[list(model.tasks)], atol=1e-4)

    def test_numbers_arrive(self):
        numbers = torch.arange(5.0)
        np.testing.assert_array_equal(Arriving(numbers.to("cuda")).numpy(), numbers.double().numpy())
