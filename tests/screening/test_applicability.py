"""Hit tables with the applicability domain: the same rows and scores, two columns more."""

import numpy as np
import pandas as pd
import pytest
from support.libraries import GOOD
from support.small_model import nci_smiles

from molig.errors import UsageError
from molig.model import Applicability, ScreeningModel
from molig.molecules import smiles_records
from molig.screening import ScreeningOptions, screen

LIBRARY = [*GOOD, "bad(", "C[SeH]", *GOOD[:3]]


@pytest.fixture(scope="module")
def model(small_model, nci_file):
    molecules, _ = small_model.parser.parse_many(smiles_records(nci_smiles(30)))
    graphs = small_model.featurize([m.mol for m in molecules])
    domain = Applicability.fit([m.smiles for m in molecules], graphs, small_model.schema)
    return ScreeningModel(small_model.info, small_model.network, "cpu", domain)


def screened(model, *, output=None, task="nitrogen", **options):
    return screen(LIBRARY, model, output=output, options=ScreeningOptions(task=task, **options)).hits


@pytest.mark.parametrize("top_k", [None, 4, 100])
@pytest.mark.parametrize("task", ["carbonyl", "nitrogen"])
def test_rows_order_and_scores_are_those_without(model, task, top_k):
    plain, flagged = (screened(model, task=task, top_k=top_k, applicability=a) for a in (False, True))
    pd.testing.assert_frame_equal(flagged[list(plain.columns)], plain)
    assert list(flagged.columns) == [*plain.columns, "applicability", "similarity"]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_flags_are_those_of_predict(model, batch_size):
    hits = screened(model, applicability=True, batch_size=batch_size)
    frame = model.predict(LIBRARY, applicability=True).to_frame().iloc[hits["row"] - 1]
    assert hits["applicability"].tolist() == frame["applicability"].tolist()
    np.testing.assert_array_equal(hits["similarity"], frame["similarity"].astype("float32"))
    assert "unseen feature" in set(hits["applicability"])


@pytest.mark.parametrize("name", ["hits.csv", "hits.parquet"])
@pytest.mark.parametrize("top_k", [None, 5])
def test_files_hold_them(model, tmp_path, name, top_k):
    written = screened(model, output=tmp_path / name, top_k=top_k, applicability=True)
    kept = screened(model, top_k=top_k, applicability=True)
    pd.testing.assert_frame_equal(written, kept, check_dtype=False, rtol=1e-5)


def test_a_model_without_a_domain_is_refused_before_the_library_is_touched(model):
    def untouchable():
        raise AssertionError("the library was read")
        yield

    bare = ScreeningModel(model.info, model.network)
    with pytest.raises(UsageError, match="'small' has no applicability domain"):
        screen(untouchable(), bare, options=ScreeningOptions(applicability=True))
