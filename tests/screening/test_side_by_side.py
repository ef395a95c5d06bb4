"""Several models in one pass: every column as from the model alone, ranked by the first or as asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.libraries import BAD, GOOD
from support.small_model import TASKS, nci_smiles

from molig.errors import UnknownNameError, UsageError
from molig.features import Featurizer
from molig.foreign import load_models
from molig.model import SideBySide
from molig.molecules import read_records
from molig.screening import ScreeningOptions, prepare, screen


@pytest.fixture(scope="module")
def library(nci_file) -> list[str]:
    return [*nci_smiles(60, start=1500), *BAD, *GOOD]


@pytest.fixture(scope="module")
def both(small_model, small_committee) -> SideBySide:
    return SideBySide({"committee": small_committee, "small": small_model})


def columns(table: pd.DataFrame, name: str) -> pd.DataFrame:
    own = [column for column in table if column.startswith(f"{name}:")]
    return table[own].rename(columns=lambda column: column.removeprefix(f"{name}:"))


class TestScores:
    def test_columns_are_those_of_each_model_alone(self, small_model, small_committee, both, library):
        hits = screen(library, both).hits
        for name, model in (("small", small_model), ("committee", small_committee)):
            alone = screen(library, model, task="all").hits
            pd.testing.assert_frame_equal(columns(hits, name), alone[list(TASKS)])

    def test_the_first_model_ranks_as_it_does_alone(self, small_committee, both, library):
        hits, alone = screen(library, both).hits, screen(library, small_committee).hits
        assert hits["rank"].tolist() == alone["rank"].tolist()
        assert hits["best_task"].tolist() == [f"committee:{task}" for task in alone["best_task"]]

    def test_rejections_are_those_of_one_model(self, small_committee, both, library):
        together, alone = screen(library, both), screen(library, small_committee)
        pd.testing.assert_frame_equal(together.rejections, alone.rejections)

    def test_molecules_are_featurized_once_for_each_schema(self, small_model, library, monkeypatch):
        twins = SideBySide({"one": small_model, "other": small_model})
        calls = []
        featurize = Featurizer.featurize
        monkeypatch.setattr(Featurizer, "featurize", lambda *a, **k: calls.append(1) or featurize(*a, **k))
        hits = screen(library, twins, task="all").hits
        assert len(calls) == 1
        np.testing.assert_array_equal(columns(hits, "one"), columns(hits, "other"))

    def test_a_store_gives_the_same(self, both, library, tmp_path):
        path = tmp_path / "library.smi"
        path.write_text("".join(f"{smiles}\tm\n" for smiles in library if "\0" not in smiles))
        prepare(read_records(path), tmp_path / "store", [m.info for m in both.models.values()])
        for source, name in ((path, "plain.csv"), (tmp_path / "store", "stored.csv")):
            screen(source, both, output=tmp_path / name)
        assert (tmp_path / "plain.csv").read_bytes() == (tmp_path / "stored.csv").read_bytes()

    def test_predictions_have_all_columns(self, both, small_committee):
        found = both.predict(["CCO", "nonsense"])
        assert found.tasks == both.tasks
        np.testing.assert_array_equal(found.scores[0, :2], small_committee.predict_proba("CCO")[0])
        assert np.isnan(found.scores[1]).all()


class TestRanking:
    def test_rank_by_any_task(self, both, library):
        hits = screen(library, both, options=ScreeningOptions(rank_by="committee:nitrogen")).hits
        expected = hits["committee:nitrogen"].astype(float).round(6).rank(method="min", ascending=False)
        assert hits["rank"].tolist() == expected.astype(int).tolist()
        assert "best_task" not in hits
        assert len([name for name in hits if ":" in name]) == 4

    def test_chosen_tasks_have_columns_and_the_first_ranks(self, both, library):
        tasks = ["committee:carbonyl", "small:nitrogen"]
        hits = screen(library, both, options=ScreeningOptions(task=tasks, top_k=5)).hits
        assert [name for name in hits if ":" in name] == tasks
        assert hits["committee:carbonyl"].is_monotonic_decreasing
        other = screen(library, both, options=ScreeningOptions(task=tasks, rank_by=tasks[1], top_k=5)).hits
        assert other["small:nitrogen"].is_monotonic_decreasing

    def test_models_that_are_not_asked_for_are_not_run(self, both):
        assert list(both.for_tasks(["committee:carbonyl"]).models) == ["committee"]

    def test_all_tasks_have_no_ranks(self, both, library):
        hits = screen(library, both, task="all").hits
        assert "rank" not in hits
        assert len(columns(hits, "small").columns) == 2
        with pytest.raises(UsageError, match="without ranks"):
            screen(library, both, options=ScreeningOptions(task="all", rank_by="small:nitrogen"))

    def test_one_model_can_be_ranked_by_one_of_several_tasks(self, small_model, library):
        hits = screen(library, small_model, options=ScreeningOptions(rank_by="carbonyl")).hits
        alone = screen(library, small_model, task="carbonyl").hits
        assert hits["rank"].tolist() == alone["rank"].tolist()
        assert list(TASKS) == [name for name in hits if name in TASKS]

    @pytest.mark.parametrize(
        "chosen", [{"task": "nitrogen"}, {"rank_by": "small:nitrogn"}, {"task": ["small:x"]}]
    )
    def test_a_task_of_no_model_is_told(self, both, library, chosen):
        with pytest.raises(UnknownNameError, match="small:nitrogen"):
            screen(library, both, options=ScreeningOptions(**chosen))

    def test_values_of_a_first_model_need_a_choice(self, small_model, small_regression, library):
        mixed = SideBySide({"values": small_regression, "small": small_model})
        with pytest.raises(UsageError, match="cannot be ranked together"):
            screen(library, mixed)
        hits = screen(library, mixed, options=ScreeningOptions(rank_by="values:mass")).hits
        assert hits.loc[hits["rank"] == 1, "values:mass"].iloc[0] == hits["values:mass"].max()
        with pytest.raises(UsageError, match="'small:nitrogen', 'small:carbonyl'"):
            screen(library, SideBySide({"small": small_model, "values": small_regression}))


class TestRefusals:
    @pytest.mark.parametrize("asked", [{"applicability": True}, {"uncertainty": True}])
    def test_what_is_said_of_one_model(self, both, library, asked):
        with pytest.raises(UsageError, match="name one model with -m"):
            screen(library, both, options=ScreeningOptions(**asked))

    def test_another_way_of_reading_molecules(self, small_model):
        molecules = small_model.info.molecules.model_copy(update={"max_heavy_atoms": 50})
        other = small_model.with_info(small_model.info.model_copy(update={"molecules": molecules}))
        with pytest.raises(UsageError, match=r"at most 200 heavy atoms.*at most 50"):
            SideBySide({"small": small_model, "other": other})

    def test_a_model_that_is_named_twice(self, small_model_dir):
        with pytest.raises(UsageError, match="named twice"):
            load_models([small_model_dir, small_model_dir])

    def test_models_of_other_packages(self, small_model_dir):
        with pytest.raises(UsageError, match="admet-ai is of another package"):
            load_models([small_model_dir, "admet-ai"])


def test_directories_of_one_name_are_told_apart(small_model_dir, tmp_path):
    import shutil

    other = shutil.copytree(small_model_dir, tmp_path / small_model_dir.name)
    names = list(load_models([small_model_dir, other]).models)
    assert names == [str(small_model_dir), str(other)]


def test_they_say_what_each_score_means(both, small_model):
    meaning = screen(["CCO"], both).meaning
    assert meaning.startswith("committee: ")
    assert "small: " in meaning
    assert small_model.meaning_of(TASKS) in meaning
