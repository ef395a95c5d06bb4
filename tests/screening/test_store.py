"""Feature stores: the same hits as the library, byte by byte, without a molecule being parsed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.libraries import BAD, GOOD, names_in
from support.small_model import nci_smiles

from molig.errors import InputError, MoligError, OutputError, UnknownNameError, UsageError
from molig.model import load_info, load_model
from molig.molecules import MoleculeParser, Record, read_records
from molig.molecules import smiles_records as listed_smiles
from molig.molecules.records import Records
from molig.screening import FeatureStore, PrepareOptions, ScreeningOptions, dealing, pipeline, prepare, store
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


@pytest.fixture(scope="module")
def smi(tmp_path_factory, nci_file) -> Path:
    """Compounds with salts, copies and rejected rows; batches and row groups end within them."""
    bad = [smiles for smiles in BAD if smiles.isprintable() and " " not in smiles and smiles]
    rows = [*bad[:2], *nci_smiles(150, start=500), *GOOD, *bad, *nci_smiles(30, start=900), bad[0]]
    return library(tmp_path_factory.mktemp("library") / "library.smi", rows)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, smi, small_model, small_committee) -> Path:
    """A store for the small models, of several files and row groups."""
    directory = tmp_path_factory.mktemp("stores") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "ROW_GROUP", 32)
        patch.setattr(store, "ROWS_PER_FILE", 96)
        options = PrepareOptions(applicability=True)
        models = [small_model.info, small_committee.info]
        prepare(read_records(smi), directory, models, library=smi, options=options)
    return directory


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


class TestManifest:
    def test_it_says_what_the_store_is(self, small_model, smi, prepared):
        info = FeatureStore(prepared).info
        content = json.loads((prepared / "store.json").read_text())
        assert content["format_version"] == 1
        assert (info.n_rows, info.n_molecules + info.n_rejected) == (len(smi.read_text().splitlines()),) * 2
        assert info.source.n_bytes == smi.stat().st_size
        assert info.made_for == (small_model.name, "committee")
        assert len([file for file in info.files if file.name.startswith("molecules")]) > 1
        assert sum(file.n_bytes for file in info.files) == info.bytes_per_molecule * info.n_molecules

    def test_the_store_is_a_function_of_library_and_schema(self, tmp_path, small_model, small_committee):
        for name, models in (("a", [small_committee.info]), ("b", [small_model.info, small_committee.info])):
            prepare(smiles_records(GOOD), tmp_path / name, models)
        files = [{p.name: p.read_bytes() for p in (tmp_path / n).glob("*.parquet")} for n in ("a", "b")]
        assert files[0] == files[1]


class Dying(store._Preparation):
    """Ends its process at one molecule, as a fault of a library would."""

    def rows(self, records, first=0, mark=None):
        for place, record in enumerate(records, start=first):
            if record.smiles == "CCCCCl" and record.problem is None:
                mark(place, place + 1)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().rows(records, first, mark)


class TestMaking:
    def test_several_processes_make_the_same_files(
        self, smi, prepared, tmp_path, small_model, small_committee
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "ROW_GROUP", 32)
            patch.setattr(store, "ROWS_PER_FILE", 96)
            patch.setattr(store, "CHUNK_ROWS", 40)
            options = PrepareOptions(applicability=True, jobs=2)
            models = [small_model.info, small_committee.info]
            prepare(read_records(smi), tmp_path / "s", models, library=smi, options=options)
        files = {path.name: path.read_bytes() for path in prepared.iterdir()}
        assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == files

    def test_a_row_that_ends_a_process_is_rejected(self, tmp_path, small_model, monkeypatch):
        monkeypatch.setattr(store, "CHUNK_ROWS", 4)
        monkeypatch.setattr(store, "_Preparation", Dying)
        info = prepare(
            smiles_records([*GOOD, "CCCCCl", *GOOD]),
            tmp_path / "s",
            [small_model.info],
            options=PrepareOptions(jobs=2),
        )
        assert (info.n_molecules, info.n_rejected) == (2 * len(GOOD), 1)
        (rejected,) = screen(tmp_path / "s", small_model).rejections.itertuples()
        assert (rejected.row, rejected.reason.split(":")[0]) == (len(GOOD) + 1, "given up")

    def test_a_store_is_not_overwritten_without_force(self, tmp_path, small_model):
        prepare(smiles_records(GOOD), tmp_path / "s", [small_model.info])
        with pytest.raises(UsageError, match="finished store"):
            prepare(smiles_records(GOOD[:2]), tmp_path / "s", [small_model.info])
        options = PrepareOptions(force=True)
        info = prepare(smiles_records(GOOD[:2]), tmp_path / "s", [small_model.info], options=options)
        assert info.n_molecules == 2
        assert names_in(tmp_path) == {"s"}

    def test_another_directory_is_never_replaced(self, tmp_path, small_model):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("x")
        with pytest.raises(UsageError, match="something else"):
            prepare(
                smiles_records(GOOD),
                tmp_path / "mine",
                [small_model.info],
                options=PrepareOptions(force=True),
            )

    def test_nothing_stays_of_a_run_that_breaks_off(self, tmp_path, small_model):
        def broken():
            yield from listed_smiles(GOOD)
            raise InputError("the network file system is gone")

        with pytest.raises(InputError, match="network"):
            prepare(Records(broken()), tmp_path / "s", [small_model.info])
        assert names_in(tmp_path) == set()

    @pytest.mark.parametrize(("moment", "jobs"), [(1, 1), (4, 1), (4, 2)])
    def test_an_interrupted_preparation_is_continued(  # noqa: PLR0917 - fixtures
        self, prepared, smi, tmp_path, small_model, small_committee, monkeypatch, moment, jobs
    ):
        for name, value in (("ROW_GROUP", 32), ("ROWS_PER_FILE", 96), ("CHUNK_ROWS", 40)):
            monkeypatch.setattr(store, name, value)
        options = PrepareOptions(applicability=True, jobs=jobs)
        run = partial(prepare, models=[small_model.info, small_committee.info], library=smi)
        calls = []

        def interrupt(_: int) -> None:
            calls.append(1)
            if len(calls) == moment:
                raise KeyboardInterrupt

        place = tmp_path / "s"
        with pytest.raises(KeyboardInterrupt):
            run(read_records(smi, keep="all"), place, options=replace(options, progress=interrupt))
        assert not place.exists()
        told = []
        run(
            read_records(smi, keep="all"),
            place,
            options=replace(options, resume=True, resumed=told.append),
        )
        assert told == ([40 * (moment - 1)] if moment > 1 else [])
        files = {path.name: path.read_bytes() for path in prepared.iterdir()}
        assert {path.name: path.read_bytes() for path in place.iterdir()} == files
        assert names_in(tmp_path) == {"s"}

    def test_what_an_interrupted_preparation_has_done_is_not_mixed_with_other_things(
        self, smi, tmp_path, small_model, monkeypatch
    ):
        monkeypatch.setattr(store, "CHUNK_ROWS", 100)
        run = partial(prepare, models=[small_model.info], library=smi)

        def interrupt(_: int) -> None:
            if (tmp_path / "s.parts" / "000000.json").exists():
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(read_records(smi), tmp_path / "s", options=PrepareOptions(progress=interrupt))
        with pytest.raises(UsageError, match=r"s.parts holds 100 finished rows.*continue it with resume"):
            run(read_records(smi), tmp_path / "s")
        for changed, options in (
            ("--keep", PrepareOptions(resume=True)),
            ("--applicability", PrepareOptions(resume=True, applicability=True)),
        ):
            keep = "all" if changed == "--keep" else ()
            with pytest.raises(UsageError, match=f"cannot be continued: {changed} was"):
                run(read_records(smi, keep=keep), tmp_path / "s", options=options)
        assert run(read_records(smi), tmp_path / "s", options=PrepareOptions(resume=True)).n_molecules
        with pytest.raises(UsageError, match="nothing to resume"):
            run(read_records(smi), tmp_path / "s", options=PrepareOptions(resume=True))

    def test_a_list_cannot_be_resumed(self, tmp_path, small_model):
        with pytest.raises(UsageError, match="a list cannot be read again"):
            prepare(
                smiles_records(GOOD),
                tmp_path / "s",
                [small_model.info],
                options=PrepareOptions(resume=True),
            )

    def test_a_library_without_molecules_makes_none(self, tmp_path, small_model):
        with pytest.raises(InputError, match="none of the 2 rows"):
            prepare(smiles_records(["C1CC", "x"]), tmp_path / "s", [small_model.info])
        assert names_in(tmp_path) == set()

    def test_a_former_store_outlasts_a_broken_run(self, tmp_path, small_model):
        prepare(smiles_records(GOOD), tmp_path / "s", [small_model.info])
        with pytest.raises(InputError):
            prepare(
                smiles_records(["C1CC"]),
                tmp_path / "s",
                [small_model.info],
                options=PrepareOptions(force=True),
            )
        assert screen(tmp_path / "s", small_model).n_scored == len(GOOD)

    def test_a_place_that_cannot_be_written_is_refused(self, tmp_path, small_model):
        with pytest.raises(UsageError, match="does not exist"):
            prepare(smiles_records(GOOD), tmp_path / "none" / "s", [small_model.info])

    def test_models_that_read_molecules_differently_get_stores_of_their_own(self, tmp_path, small_model):
        molecules = small_model.info.molecules.model_copy(update={"max_heavy_atoms": 50})
        other = small_model.info.model_copy(update={"molecules": molecules})
        with pytest.raises(UsageError, match=r"at most 200 heavy atoms.*at most 50"):
            prepare(smiles_records(GOOD), tmp_path / "s", [small_model.info, other])

    def test_models_of_other_packages_are_refused(self):
        with pytest.raises(UsageError, match="another package"):
            store.models_to_serve(["tox21", "best.pt"])


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
        content["files"][0] |= {"n_bytes": path.stat().st_size, "sha256": store.digest_of(path)}
        (copy / "store.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match="columns are not those of a store"):
            screen(copy, small_model)


def test_values_that_no_column_holds_end_with_an_error(tmp_path, small_model, monkeypatch):
    monkeypatch.setattr("molig.features.columns._REAL", frozenset())
    with pytest.raises(OutputError, match="partial_charge"):
        prepare(smiles_records(GOOD), tmp_path / "s", [load_model("muv").info])
