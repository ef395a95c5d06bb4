"""Screening of a stream: every row once, in order, ranked, whatever the batches."""

from __future__ import annotations

import gc
import os
import signal
import tracemalloc
from itertools import cycle, islice

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from support.libraries import BAD, GOOD
from support.poison import SLOW
from support.small_model import TASKS, nci_smiles

from molig.errors import InputError, UnknownNameError, UsageError
from molig.screening import ScreeningOptions, screen


@pytest.fixture(scope="module")
def small_model(small_committee):
    """Without a task, only calibrated scores are ranked: those of a committee."""
    return small_committee


ROWS = st.lists(st.sampled_from(GOOD) | st.sampled_from(list(BAD)), min_size=1, max_size=25).map(
    lambda rows: [*rows, GOOD[0]]
)


@pytest.fixture(scope="module")
def library(nci_file) -> list[str]:
    """Real compounds, among them copies and salts, that the small model has not seen."""
    smiles = nci_smiles(60, start=1000)
    return smiles + smiles[:15]


@pytest.fixture(scope="module")
def full(small_model, library) -> pd.DataFrame:
    """Scores of the whole library."""
    return screen(library, small_model).hits


class TestRows:
    @settings(max_examples=25, deadline=None)
    @given(rows=ROWS, batch_size=st.integers(1, 30))
    def test_every_row_is_a_hit_or_a_reject_once_and_in_order(self, small_model, rows, batch_size):
        result = screen(rows, small_model, options=ScreeningOptions(batch_size=batch_size))
        good = [i for i, smiles in enumerate(rows, start=1) if smiles not in BAD]
        bad = [i for i, smiles in enumerate(rows, start=1) if smiles in BAD]
        assert result.hits["row"].tolist() == good
        assert result.rejections["row"].tolist() == bad
        assert result.hits["smiles"].tolist() == [rows[i - 1] for i in good]
        assert (result.n_rows, result.n_scored, result.n_rejected) == (len(rows), len(good), len(bad))
        assert sum(result.reasons.values()) == len(bad)

    @pytest.mark.parametrize(("smiles", "reason"), [(k, v) for k, v in BAD.items()])
    def test_a_rejection_says_why(self, small_model, smiles, reason):
        result = screen(["CCO", smiles], small_model)
        (rejection,) = result.rejections.itertuples()
        assert (rejection.row, rejection.id) == (2, "2")
        assert rejection.reason.startswith(reason.value)
        assert result.reasons == {reason.value: 1}

    def test_duplicated_ids_and_molecules_stay(self, small_model, tmp_path):
        path = tmp_path / "library.smi"
        path.write_text("CCO same\nCCN same\nCCO same\n")
        hits = screen(path, small_model).hits
        assert hits["id"].tolist() == ["same"] * 3
        assert hits["smiles"].tolist() == ["CCO", "CCN", "CCO"]

    def test_missing_values_are_rejected_as_empty(self, small_model):
        result = screen(["CCO", None, float("nan"), pd.NA], small_model)
        assert result.rejections["reason"].tolist() == ["empty SMILES"] * 3

    def test_text_that_is_no_unicode_costs_one_row(self, small_model):
        result = screen(["CCO", "C\ud800", "CCO \udcff"], small_model)
        assert result.n_rows == result.n_scored + result.n_rejected == 3
        assert result.n_scored >= 1

    def test_the_scores_are_those_of_predict_proba(self, small_model, library, full):
        np.testing.assert_allclose(full[list(TASKS)], small_model.predict_proba(library), atol=1e-6)


class TestRanks:
    @pytest.mark.parametrize("task", [None, *TASKS])
    def test_ranks_are_those_of_pandas(self, small_model, library, task):
        hits = screen(library, small_model, task=task).hits
        key = hits[list(TASKS) if task is None else [task]].max(axis=1).astype("float32")
        assert (
            hits["rank"].tolist()
            == key.astype(float)
            .round(6)
            .astype("float32")
            .rank(method="min", ascending=False)
            .astype(int)
            .tolist()
        )

    def test_copies_score_alike_across_batches(self, small_model, library):
        hits = screen(library * 2, small_model, options=ScreeningOptions(batch_size=7)).hits
        spread = hits.groupby("smiles")[list(TASKS)].agg(np.ptp)
        assert spread.to_numpy().max() < 1e-6

    def test_best_task_is_the_column_of_the_highest_score(self, full):
        assert full["best_task"].tolist() == full[list(TASKS)].idxmax(axis=1).tolist()

    def test_one_task_has_its_column_only(self, small_model, library, full):
        hits = screen(library, small_model, task="carbonyl").hits
        assert list(hits.columns) == ["row", "id", "smiles", "scored_smiles", "removed", "carbonyl", "rank"]
        np.testing.assert_allclose(hits["carbonyl"], full["carbonyl"], atol=1e-6)

    @pytest.mark.parametrize("k", [1, 7, 70, 75, 1000])
    def test_top_k_is_the_head_of_the_full_table(self, small_model, library, full, k):
        best = screen(library, small_model, top_k=k).hits
        expected = full.sort_values(["rank", "row"]).head(k).reset_index(drop=True)
        pd.testing.assert_frame_equal(best, expected)


class TestBatches:
    @pytest.mark.parametrize("batch_size", [1, 7, 512])
    def test_batch_size_has_no_effect_on_scores(self, small_model, library, full, batch_size):
        hits = screen(library, small_model, options=ScreeningOptions(batch_size=batch_size)).hits
        np.testing.assert_allclose(hits[list(TASKS)], full[list(TASKS)], atol=1e-6)
        assert hits["row"].tolist() == full["row"].tolist()

    def test_progress_counts_every_row_once(self, small_model):
        done: list[int] = []
        rows = [*GOOD, *BAD]
        screen(rows, small_model, options=ScreeningOptions(batch_size=4, progress=done.append))
        assert sum(done) == len(rows)
        assert max(done) <= 4

    def test_memory_does_not_grow_with_the_library(self, small_model, tmp_path, monkeypatch):
        monkeypatch.setattr("molig.screening.pipeline.CHUNK_ROWS", 512)

        def peak(n_rows: int) -> int:
            gc.collect()
            tracemalloc.start()
            try:
                rows = islice(cycle(["CCO", "CC=O", "bad("]), n_rows)
                options = ScreeningOptions(batch_size=256)
                result = screen(rows, small_model, output=tmp_path / "hits.parquet", options=options)
                assert result.n_rows == n_rows
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        peak(600)  # whatever is imported or cached on first use
        small, large = peak(2_000), peak(20_000)
        # A row more may cost the four bytes of its score, a few times while they are sorted; nothing else.
        assert large - small < 18_000 * 16


class TestProcesses:
    """Whatever works on a library, the tables are the same to the last byte."""

    @pytest.fixture(autouse=True)
    def _small_chunks(self, monkeypatch):
        monkeypatch.setattr("molig.screening.pipeline.CHUNK_ROWS", 16)

    @pytest.fixture
    def rows(self, library) -> list[str]:
        return [*library, *BAD, *library[:5]]

    @pytest.mark.parametrize(("suffix", "top_k"), [("csv", None), ("parquet", 9)])
    def test_processes_change_nothing(self, small_model, rows, tmp_path, suffix, top_k):
        files = []
        for jobs in (1, 2, 3):
            output = tmp_path / f"hits{jobs}.{suffix}"
            done: list[int] = []
            options = ScreeningOptions(jobs=jobs, batch_size=5, top_k=top_k, progress=done.append)
            result = screen(rows, small_model, output=output, options=options)
            assert sum(done) == result.n_rows == len(rows)
            assert result.n_rejected == sum(result.reasons.values()) == len(BAD)
            files.append((output.read_bytes(), result.rejects.read_bytes()))
        assert files[0] == files[1] == files[2]

    def test_molecules_and_properties_of_an_sd_file_are_the_same_from_workers(self, small_model, tmp_path):
        block = Chem.MolToMolBlock(Chem.AddHs(Chem.MolFromSmiles("CC(=O)[O-].[Na+]")))
        broken = block.replace(" O ", " Qq")
        records = [
            f"{broken if i == 7 else block}>  <IC50>\n{i}\n\n>  <note>\nn{i}\n\n$$$$\n" for i in range(40)
        ]
        library = tmp_path / "salts.sdf"
        library.write_text("".join(records))
        runs = [
            screen(library, small_model, options=ScreeningOptions(jobs=jobs, keep=["note", "IC50"]))
            for jobs in (1, 2)
        ]
        pd.testing.assert_frame_equal(runs[0].hits, runs[1].hits)
        pd.testing.assert_frame_equal(runs[0].rejections, runs[1].rejections)
        kept = [str(i) for i in range(40) if i != 7]
        assert runs[1].hits["IC50"].tolist() == kept
        assert runs[1].hits["note"].tolist() == [f"n{i}" for i in kept]
        (refused,) = runs[1].rejections.itertuples()
        assert (refused.row, refused.IC50, refused.reason.split(":")[0]) == (8, "7", "damaged SDF record")

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_a_row_that_takes_too_long_is_rejected(self, small_model, rows, jobs):
        rows[40] = SLOW
        options = ScreeningOptions(jobs=jobs, time_limit=0.2)
        rejections = screen(rows, small_model, options=options).rejections
        reason = rejections.set_index("row").loc[41, "reason"]
        assert reason == "given up: it takes more than 0.2 s of processor time"
        assert len(rejections) == len(BAD) + 1

    def test_a_row_that_kills_in_the_featurizer_is_rejected(self, small_model, rows, monkeypatch):
        """RDKit crashes nowhere behind the parser that we know of; so a killer is put there."""
        featurize, killer = small_model.featurizer.featurize, "CCCCCCCCS"
        rows[20] = killer

        def deadly(mols, **options):
            if os.getpid() != parent and any(Chem.MolToSmiles(mol) == killer for mol in mols):
                os.kill(os.getpid(), signal.SIGKILL)
            return featurize(mols, **options)

        parent = os.getpid()
        monkeypatch.setattr(type(small_model.featurizer), "featurize", lambda _, mols, **o: deadly(mols, **o))
        result = screen(rows, small_model, options=ScreeningOptions(jobs=2))
        given_up = result.rejections[result.rejections["reason"].str.startswith("given up: the process was")]
        assert given_up["row"].tolist() == [21]
        assert result.n_rejected == len(BAD) + 1

    @pytest.mark.parametrize("options", [{"jobs": 0}, {"time_limit": 0}])
    def test_impossible_numbers(self, small_model, options):
        with pytest.raises(UsageError, match=f"{next(iter(options))} must be"):
            screen(["CCO"], small_model, options=ScreeningOptions(**options))


class TestRefusals:
    def test_nothing_scored_names_the_reasons(self, small_model):
        with pytest.raises(InputError, match=r"none of the 4 rows .*: 2 x dummy atom; 1 x .*; 1 x"):
            screen(["[*]C", "C1CC", "[*]O", "CC>>CO"], small_model)

    @pytest.mark.parametrize("top_k", [None, 3])
    def test_an_empty_library_is_an_error(self, small_model, top_k):
        with pytest.raises(InputError, match="none of the 0 rows"):
            screen([], small_model, top_k=top_k)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"top_k": 0}, r"top_k must be at least 1 \(got 0\)"),
            ({"options": ScreeningOptions(batch_size=0)}, "at least 1"),
            ({"options": ScreeningOptions(), "top_k": 3}, "either directly or in options"),
            ({"output": "hits.txt"}, r"\.parquet, \.csv"),
            ({"output": "no/such/directory/hits.csv"}, "does not exist"),
            ({"output": "."}, "cannot tell the format|is a directory"),
            ({"rejects": "rejects.txt"}, r"\.parquet, \.csv"),
        ],
    )
    def test_impossible_requests(self, small_model, options, message):
        with pytest.raises(UsageError, match=message):
            screen(["CCO"], small_model, **options)

    def test_unknown_task_suggests_the_nearest(self, small_model):
        with pytest.raises(UnknownNameError, match="unknown task 'carbonil'; did you mean 'carbonyl'"):
            screen(["CCO"], small_model, task="carbonil")

    def test_a_request_is_refused_before_the_library_is_touched(self, small_model):
        def untouchable():
            raise AssertionError("the library was read")
            yield

        with pytest.raises(UsageError):
            screen(untouchable(), small_model, output="hits.txt")
