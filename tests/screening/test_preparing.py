"""Making feature stores: the same files in any number of processes, after any interruption, or none."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from functools import partial

import pytest
from support.libraries import GOOD, names_in

from molig.errors import InputError, OutputError, UsageError
from molig.model import load_model
from molig.molecules import read_records
from molig.molecules import smiles_records as listed_smiles
from molig.molecules.records import Records
from molig.screening import (
    FeatureStore,
    PrepareOptions,
    prepare,
    preparing,
    screen,
    store_writing,
)


def smiles_records(smiles) -> Records:
    return Records(listed_smiles(smiles))


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


class Dying(preparing._Preparation):
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
            patch.setattr(preparing, "ROW_GROUP", 32)
            patch.setattr(store_writing, "_GROUPS_PER_FILE", 3)
            patch.setattr(preparing, "CHUNK_ROWS", 40)
            options = PrepareOptions(applicability=True, jobs=2)
            models = [small_model.info, small_committee.info]
            prepare(read_records(smi), tmp_path / "s", models, library=smi, options=options)
        files = {path.name: path.read_bytes() for path in prepared.iterdir()}
        assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == files

    def test_a_row_that_ends_a_process_is_rejected(self, tmp_path, small_model, monkeypatch):
        monkeypatch.setattr(preparing, "CHUNK_ROWS", 4)
        monkeypatch.setattr(preparing, "_Preparation", Dying)
        info = prepare(
            smiles_records([*GOOD, "CCCCCl", *GOOD]),
            tmp_path / "s",
            [small_model.info],
            options=PrepareOptions(jobs=2),
        )
        assert (info.n_molecules, info.n_rejected) == (2 * len(GOOD), 1)
        (rejected,) = screen(tmp_path / "s", small_model, task="carbonyl").rejections.itertuples()
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
        monkeypatch.setattr(preparing, "ROW_GROUP", 32)
        monkeypatch.setattr(preparing, "CHUNK_ROWS", 40)
        monkeypatch.setattr(store_writing, "_GROUPS_PER_FILE", 3)
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
        monkeypatch.setattr(preparing, "CHUNK_ROWS", 100)
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
        assert screen(tmp_path / "s", small_model, task="carbonyl").n_scored == len(GOOD)

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
            preparing.models_to_serve(["tox21", "best.pt"])


def test_values_that_no_column_holds_end_with_an_error(tmp_path, small_model, monkeypatch):
    monkeypatch.setattr("molig.features.columns._REAL", frozenset())
    with pytest.raises(OutputError, match="partial_charge"):
        prepare(smiles_records(GOOD), tmp_path / "s", [load_model("muv").info])
