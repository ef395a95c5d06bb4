"""Hit tables with the spread of a committee's members: the same rows and scores, one column more."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.special import expit, logit
from support.libraries import GOOD

from molig.errors import UsageError
from molig.molecules import smiles_records
from molig.screening import ScreeningOptions, screen
from molig.screening.hits import HitColumns

LIBRARY = [*GOOD, "bad(", *GOOD[:3]]


def screened(model, *, output=None, **options):
    return screen(LIBRARY, model, output=output, options=ScreeningOptions(**options)).hits


def by_hand(model):
    """Weighted standard deviation of calibrated member scores, molecule by molecule."""
    molecules, _ = model.parser.parse_many(smiles_records(LIBRARY))
    members = model.member_scores(model.featurize([m.mol for m in molecules]))
    own = model.info.committee
    calibrated = expit(np.array(own.slope) * logit(members) + np.array(own.offset))
    found = {}
    for column, molecule in enumerate(molecules):
        for task, name in enumerate(model.tasks):
            weights = np.array([member.weights[task] for member in own.members])
            values = calibrated[:, column, task]
            middle = np.average(values, weights=weights)
            found[molecule.row, name] = np.sqrt(np.average((values - middle) ** 2, weights=weights))
    return found


@pytest.mark.parametrize("top_k", [None, 4, 100])
@pytest.mark.parametrize("task", [None, "nitrogen"])
def test_rows_order_and_scores_are_those_without(small_committee, task, top_k):
    plain, spread = (screened(small_committee, task=task, top_k=top_k, uncertainty=u) for u in (False, True))
    pd.testing.assert_frame_equal(spread[list(plain.columns)], plain)
    assert list(spread.columns) == [*plain.columns, "chance_wrong", "uncertainty"]


@pytest.mark.parametrize("task", [None, "carbonyl"])
def test_it_is_the_spread_of_the_best_task_or_of_the_one_named(small_committee, task):
    hits = screened(small_committee, task=task, uncertainty=True)
    expected = by_hand(small_committee)
    tasks = hits["best_task"] if task is None else [task] * len(hits)
    for row, name, value in zip(hits["row"], tasks, hits["uncertainty"], strict=True):
        assert value == pytest.approx(expected[row, name], abs=1e-6)
    assert hits["uncertainty"].max() > 0


@pytest.mark.parametrize("task", [None, "carbonyl"])
def test_the_chance_of_a_wrong_call_follows_from_the_score_that_ranks(small_committee, task):
    hits = screened(small_committee, task=task, uncertainty=True)
    best = hits[list(small_committee.tasks) if task is None else [task]].max(axis=1)
    np.testing.assert_allclose(hits["chance_wrong"], np.where(best > 0.5, 1 - best, best), atol=1e-7)
    assert best.min() < 0.5 < best.max()


def test_scores_that_are_no_probabilities_have_no_chance(small_committee):
    own = small_committee.info.committee
    ones = (1.0,) * len(small_committee.tasks)
    plain = own.model_copy(update={"slope": ones, "offset": tuple(0 * one for one in ones)})
    uncalibrated = small_committee.with_info(small_committee.info.model_copy(update={"committee": plain}))
    hits = screened(uncalibrated, task="nitrogen", uncertainty=True)
    assert list(hits)[-2:] == ["rank", "uncertainty"]
    found = uncalibrated.predict(LIBRARY, uncertainty=True)
    assert found.chance_wrong is None
    assert not any("chance_wrong" in column for column in found.to_frame())


def test_predictions_have_it_for_every_task(small_committee):
    found = small_committee.predict(LIBRARY, uncertainty=True, batch_size=3)
    expected = by_hand(small_committee)
    for row in range(len(LIBRARY)):
        for column, task in enumerate(small_committee.tasks):
            value = found.uncertainty[row, column]
            if LIBRARY[row] == "bad(":
                assert np.isnan(value)
            else:
                assert value == pytest.approx(expected[row + 1, task], abs=1e-6)
    np.testing.assert_allclose(
        found.chance_wrong, np.where(found.scores > 0.5, 1 - found.scores, found.scores), atol=1e-12
    )
    extra = [f"{name} {task}" for name in ("chance_wrong", "uncertainty") for task in small_committee.tasks]
    assert list(found.to_frame()) == [*small_committee.tasks, *extra]
    np.testing.assert_array_equal(found.to_frame()[extra[0]], found.chance_wrong[:, 0])
    assert small_committee.predict(LIBRARY).uncertainty is None


def test_members_are_asked_once(small_committee, monkeypatch):
    calls, own = [], type(small_committee)._scores_of_members

    def counted(self, *args, **options):
        calls.append(1)
        return own(self, *args, **options)

    monkeypatch.setattr(type(small_committee), "_scores_of_members", counted)
    molecules, _ = small_committee.parser.parse_many(smiles_records(GOOD))
    found = small_committee.score_with(molecules, applicability=True, uncertainty=True)
    assert len(calls) == 1
    assert len(found.flags) == len(found.scores) == len(found.spread) == len(GOOD)


def test_parquet_files_say_what_the_columns_are(small_committee, tmp_path):
    screened(small_committee, output=tmp_path / "hits.parquet", uncertainty=True, top_k=3)
    schema = pq.read_schema(tmp_path / "hits.parquet")
    assert schema.metadata[b"scores"].startswith(b"Scores are calibrated probabilities of being active: ")
    assert b"wrong to call the molecule active" in schema.field("chance_wrong").metadata[b"description"]
    assert b"standard deviation" in schema.field("uncertainty").metadata[b"description"]


@pytest.mark.parametrize("name", ["hits.csv", "hits.parquet"])
def test_files_hold_it(small_committee, tmp_path, name):
    written = screened(small_committee, output=tmp_path / name, uncertainty=True)
    pd.testing.assert_frame_equal(
        written, screened(small_committee, uncertainty=True), check_dtype=False, rtol=1e-5
    )


def test_a_network_alone_is_refused_before_the_library_is_touched(small_model):
    def untouchable():
        raise AssertionError("the library was read")
        yield

    with pytest.raises(UsageError, match="'small' is one network: it has no members"):
        screen(untouchable(), small_model, options=ScreeningOptions(uncertainty=True))
    with pytest.raises(UsageError, match="one network"):
        small_model.predict(["CCO"], uncertainty=True)


def test_a_task_of_that_name_is_refused():
    with pytest.raises(UsageError, match="--uncertainty needs this name"):
        HitColumns(("uncertainty",), uncertainty=True)
    with pytest.raises(UsageError, match="'chance_wrong': the column of --uncertainty needs this name"):
        HitColumns(("chance_wrong",), uncertainty=True, calibrated=True)
    assert HitColumns(("uncertainty",)).schema.names[5] == "uncertainty"
