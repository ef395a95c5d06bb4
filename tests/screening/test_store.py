"""Feature stores: the same hits as the library, byte by byte, without a molecule being parsed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.libraries import GOOD
from support.small_model import nci_smiles

from molig.errors import InputError, MoligError, UnknownNameError, UsageError
from molig.files import digest_of
from molig.model import load_info, load_model
from molig.molecules import MoleculeParser, Record, read_records
from molig.molecules import smiles_records as listed_smiles
from molig.molecules.records import Records
from molig.screening import FeatureStore, ScreeningOptions, dealing, pipeline, prepare
from molig.screening import screen as screen_by_task

BUNDLED = ("tox21", "hiv", "tox21-w2n2-simple", "muv")
SETS = ("tox21", "hiv", "muv", "library_moses_1m")


loaded = cache(load_model)


def smiles_records(smiles) -> Records:
    return Records(listed_smiles(smiles))


def screen(source, model, *, options=None, **places):
    """Screen by the first task where scores of several are not ranked together."""
    options = options or ScreeningOptions()
    asked = options.task or options.rank_by or isinstance(model, str)
    if not asked and not model.calibrated:
        options = replace(options, task=model.tasks[0])
    return screen_by_task(source, model, options=options, **places)


def library(path: Path, smiles: list[str]) -> Path:
    lines = [f"{one} m{i}" for i, one in enumerate(smiles)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def written(
    source: Path, model: object, folder: Path, kind: str = "csv", **options: object
) -> dict[str, bytes]:
    """Content of the tables of a screen."""
    folder.mkdir()
    screen(source, model, output=folder / f"hits.{kind}", options=ScreeningOptions(**options))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestSameHits:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"kind": "parquet", "batch_size": 64},
            {"task": "carbonyl", "batch_size": 7},
            {"top_k": 5, "batch_size": 33},
            {"applicability": True},
        ],
    )
    def test_a_store_gives_the_hits_of_its_library(self, small_model, smi, prepared, tmp_path, options):
        plain = written(smi, small_model, tmp_path / "plain", **options)
        assert written(prepared, small_model, tmp_path / "stored", **options) == plain

    @pytest.mark.parametrize("start_method", ["fork", "spawn"])
    def test_worker_processes_read_it_too(  # noqa: PLR0917 - fixtures
        self, small_committee, smi, prepared, tmp_path, monkeypatch, start_method
    ):
        monkeypatch.setattr(pipeline, "CHUNK_ROWS", 70)
        monkeypatch.setattr(dealing, "Workers", partial(dealing.Workers, start_method=start_method))
        plain = written(smi, small_committee, tmp_path / "plain", jobs=1)
        assert written(prepared, small_committee, tmp_path / "stored", jobs=2) == plain

    @pytest.mark.parametrize("asked", [{}, {"uncertainty": True, "applicability": True}])
    def test_committees_too(self, small_committee, smi, prepared, tmp_path, asked):
        plain = written(smi, small_committee, tmp_path / "plain", **asked)
        assert written(prepared, small_committee, tmp_path / "stored", **asked) == plain

    @pytest.mark.data
    @pytest.mark.parametrize("name", SETS)
    def test_bundled_models_score_a_store_as_they_score_the_library(self, data_dir, tmp_path, name):
        table = pd.read_parquet(data_dir / f"{name}.parquet")
        rows = np.random.default_rng(0).choice(len(table), 150, replace=False)
        smi = library(tmp_path / "some.smi", [*table["smiles"].iloc[rows], "C1CC", "[Fe]"])
        prepare(read_records(smi), tmp_path / "store", [load_info(model) for model in BUNDLED])
        for model in BUNDLED:
            plain = written(smi, loaded(model), tmp_path / f"plain-{model}")
            assert written(tmp_path / "store", loaded(model), tmp_path / f"stored-{model}") == plain

    def test_nothing_is_parsed(self, small_model, small_committee, prepared, monkeypatch):
        # A committee is asked once whether RDKit still numbers the environments of four molecules alike.
        opened = FeatureStore(prepared)
        committee = opened.feed(small_committee)

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a molecule was parsed")

        for name in ("MolFromSmiles", "MolToSmiles", "GetDistanceMatrix", "GetAdjacencyMatrix"):
            monkeypatch.setattr(f"rdkit.Chem.{name}", refuse)
        result = screen(prepared, small_model)
        molecules, rejections = committee.parser.parse_many(opened.records())
        assert (result.n_scored, result.n_rejected) == (len(molecules), len(rejections))
        assert committee.score_molecules(molecules).shape == (len(molecules), len(committee.tasks))

    def test_every_row_is_accounted_for(self, small_model, smi, prepared):
        result = screen(prepared, small_model)
        plain = screen(smi, small_model)
        assert (result.n_rows, result.n_scored, result.reasons) == (
            plain.n_rows,
            plain.n_scored,
            plain.reasons,
        )
        pd.testing.assert_frame_equal(result.rejections, plain.rejections)

    def test_records_are_in_the_order_of_the_library(self, smi, prepared):
        found = list(FeatureStore(prepared).records())
        rows = [record.row for record in found]
        assert rows == [record.row for record in read_records(smi)]

    def test_a_molecule_of_a_store_is_parsed_when_asked_for(self, small_model, prepared):
        fed = FeatureStore(prepared).feed(small_model)
        records = [record for record in FeatureStore(prepared).records() if record.removed]
        molecules, _ = fed.parser.parse_many(records)
        one = molecules[0]
        plain = MoleculeParser().parse(Record(one.row, one.id, one.smiles))
        assert (one.scored_smiles, "; ".join(plain.removed)) == (plain.scored_smiles, one.removed[0])
        assert one.mol.GetNumAtoms() == plain.mol.GetNumAtoms()
        assert one.origin == plain.origin


@pytest.fixture
def table(tmp_path, nci_file) -> Path:
    """A library with columns of its own, one called like a column of the hit table."""
    rows = [*nci_smiles(40), "C1CC", *GOOD]
    frame = pd.DataFrame({"smiles": rows, "id": [f"m{i}" for i in range(len(rows))]})
    frame["IC50"] = [None if i % 7 == 0 else i / 3 for i in range(len(rows))]
    frame["rank"] = range(len(rows))
    frame["note"] = ["=1+1", "a,b", None, *[f"n{i % 3}" for i in range(len(rows) - 3)]]
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    return tmp_path / "table"


class TestColumnsOfTheLibrary:
    @pytest.mark.parametrize(
        ("source", "kind"), [(".csv", "csv"), (".parquet", "csv"), (".parquet", "parquet")]
    )
    @pytest.mark.parametrize("keep", ["all", "none", ["note", "rank"], "IC50"])
    def test_they_come_along_as_from_the_library(  # noqa: PLR0917 - fixtures
        self, small_model, table, tmp_path, source, keep, kind
    ):
        library = table.with_suffix(source)
        prepare(read_records(library, keep="all"), tmp_path / "store", [small_model.info], library=library)
        plain = written(library, small_model, tmp_path / "plain", kind, keep=keep)
        assert written(tmp_path / "store", small_model, tmp_path / "stored", kind, keep=keep) == plain

    def test_a_column_that_the_store_lacks_is_told(self, small_model, table, tmp_path):
        library = table.with_suffix(".csv")
        prepare(read_records(library, keep=["note"]), tmp_path / "store", [small_model.info])
        assert "note" in screen(tmp_path / "store", small_model).hits
        with pytest.raises(UnknownNameError, match=r"IC50.*Valid: note"):
            screen(tmp_path / "store", small_model, options=ScreeningOptions(keep=["IC50"]))


class TestServing:
    def test_a_model_with_other_features_is_refused(self, prepared):
        with pytest.raises(UsageError, match=r"lacks features that muv reads .chirality"):
            screen(prepared, "muv")

    def test_a_committee_is_refused_by_a_store_without_environments(
        self, tmp_path, small_model, small_committee
    ):
        prepare(smiles_records(GOOD), tmp_path / "s", [small_model.info])
        with pytest.raises(UsageError, match="environment"):
            screen(tmp_path / "s", small_committee)

    def test_applicability_needs_its_columns(self, tmp_path, small_model):
        prepare(smiles_records(GOOD), tmp_path / "s", [small_model.info])
        with pytest.raises(UsageError, match="prepare --applicability"):
            screen(tmp_path / "s", small_model, options=ScreeningOptions(applicability=True))

    def test_another_way_of_reading_molecules_is_refused(self, prepared, small_model):
        molecules = small_model.info.molecules.model_copy(update={"max_heavy_atoms": 50})
        other = small_model.with_info(small_model.info.model_copy(update={"molecules": molecules}))
        with pytest.raises(UsageError, match="at most 50 heavy atoms"):
            screen(prepared, other)

    def test_options_of_a_library_are_refused(self, prepared, small_model):
        with pytest.raises(UsageError, match="smiles_column was for"):
            screen(prepared, small_model, options=ScreeningOptions(smiles_column="smiles"))


def changed(source: Path, folder: Path, **changes: object) -> Path:
    """A copy of a store with another description."""
    copy = Path(shutil.copytree(source, folder / "changed"))
    content = json.loads((copy / "store.json").read_text())
    content.update(changes)
    (copy / "store.json").write_text(json.dumps(content))
    return copy


class TestDamage:
    def test_a_newer_store_is_refused(self, prepared, tmp_path, small_model):
        copy = changed(prepared, tmp_path, format_version=2, molig_version="9.9", new_key=1)
        with pytest.raises(InputError, match=r"format version 2, written by molig 9.9.*upgrade molig"):
            screen(copy, small_model)

    def test_an_older_standardisation_is_refused(self, prepared, tmp_path, small_model):
        molecules = json.loads((prepared / "store.json").read_text())["molecules"]
        copy = changed(prepared, tmp_path, molecules=molecules | {"standardization_version": 1})
        with pytest.raises(UsageError, match="version 1 of the policy 'parent'"):
            screen(copy, small_model)

    def test_another_rdkit_is_told(self, prepared, tmp_path, small_model):
        copy = changed(prepared, tmp_path, rdkit_version="2021.03.1")
        with pytest.warns(UserWarning, match="prepared with RDKit 2021.03.1"):
            screen(copy, small_model)

    def test_environments_numbered_otherwise_are_refused(
        self, prepared, tmp_path, small_model, small_committee
    ):
        copy = changed(prepared, tmp_path, numbering="0" * 64)
        assert screen(copy, small_model).n_scored
        with pytest.raises(UsageError, match="numbers environments otherwise"):
            screen(copy, small_committee)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"format": "zip"}, "does not describe a feature store"),
            ({"n_rows": "many"}, "is damaged: n_rows"),
            ({"schema_hash": "0"}, "schema_hash"),
            ({"files": []}, "files"),
            ({"feature_schema": {}}, "schema"),
        ],
    )
    def test_a_description_that_cannot_be_is_refused(self, prepared, tmp_path, small_model, changes, message):
        with pytest.raises(MoligError, match=message):
            screen(changed(prepared, tmp_path, **changes), small_model)

    @pytest.mark.parametrize(
        "name", ["molecules-00000.parquet", "molecules-00001.parquet", "rejected.parquet"]
    )
    @pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "emptied"])
    def test_a_damaged_file_is_found(self, prepared, tmp_path, small_model, name, damage):
        copy = Path(shutil.copytree(prepared, tmp_path / "copy"))
        path = copy / name
        content = bytearray(path.read_bytes())
        if damage == "cut":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "flipped":
            content[len(content) // 3] ^= 4
            path.write_bytes(content)
        elif damage == "missing":
            path.unlink()
        else:
            path.write_bytes(b"")
        with pytest.raises(InputError, match=f"{name}.*prepare the library again"):
            screen(copy, small_model, output=tmp_path / "hits.csv")
        assert not (tmp_path / "hits.csv").exists()

    def test_a_directory_that_is_no_store_is_told(self, tmp_path, small_model):
        with pytest.raises(UsageError, match="It is no feature store"):
            screen(tmp_path, small_model)

    def test_columns_of_another_kind_are_refused(self, prepared, tmp_path, small_model):
        copy = Path(shutil.copytree(prepared, tmp_path / "copy"))
        path = copy / "molecules-00000.parquet"
        pq.write_table(pq.read_table(path).drop_columns(["pair_bond"]), path)
        content = json.loads((copy / "store.json").read_text())
        content["files"][0] |= {"n_bytes": path.stat().st_size, "sha256": digest_of(path)}
        (copy / "store.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match="columns are not those of a store"):
            screen(copy, small_model)
