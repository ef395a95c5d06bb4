"""ADMET-AI's networks in molig's code against the package itself."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys

import numpy as np
import pandas as pd
import pytest

from foreign.chemprop_models import ODD, real_chemprop
from molig.errors import UnknownNameError, UsageError
from molig.foreign import admet_ai as room
from molig.foreign import load_admet_ai
from molig.model import Objective


@pytest.fixture(scope="module")
def model():
    if importlib.util.find_spec("admet_ai") is None:
        pytest.skip("ADMET-AI is not installed (see CONTRIBUTING.md)")
    return load_admet_ai()


@pytest.fixture(scope="module")
def theirs(model):
    real_chemprop()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from admet_ai import ADMETModel

        return ADMETModel(include_physchem=False, num_workers=0)


def test_tasks(model):
    assert len(model.tasks) == 41
    assert model.objectives.count(Objective.CLASSIFICATION) == 31
    assert len(model.networks) == 10
    assert model.objective is Objective.REGRESSION  # not all of them are probabilities
    assert {"AMES", "hERG", "Half_Life_Obach"} <= set(model.tasks)
    assert model.units["Half_Life_Obach"] == "hr"
    with pytest.raises(UnknownNameError, match="did you mean 'AMES'"):
        model.task_index("AME")


def test_package_is_not_imported(model, monkeypatch):
    packages = ("admet_ai", "chemprop", "lightning")
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        monkeypatch.delitem(sys.modules, name)
    np.testing.assert_array_equal(load_admet_ai().predict(["CCO"]).scores, model.predict(["CCO"]).scores)
    assert not [name for name in sys.modules if name.split(".")[0] in packages]


@pytest.fixture(scope="module")
def both(model, theirs, data_dir):
    """Compounds, our scores, and the package's."""
    smiles = [*ODD, *pd.read_parquet(data_dir / "tox21.parquet")["smiles"].head(80)]
    ours = model.predict(smiles)
    kept = [s for s, row in zip(smiles, ours.scores, strict=True) if np.isfinite(row).all()]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        expected = theirs.predict(kept)
    return ours.scores[np.isfinite(ours.scores).all(axis=1)], expected


def test_scores(model, both):
    scores, expected = both
    assert len(scores) > 120
    # In the scale of each task: values of single precision are rounded before they get their unit.
    scale = [1.0] * 31 + list(model.ensembles[1].networks[0].predictor.unscale.scale[0].clip(min=1))
    difference = np.abs(scores - expected[list(model.tasks)].to_numpy()) / scale
    assert difference.max() < 1e-5


def test_percentiles(model, both):
    scores, expected = both
    columns = [f"{task}_drugbank_approved_percentile" for task in model.tasks]
    # From the same scores: where many drugs lie close, a difference of 1e-7 is a rank.
    given = expected[list(model.tasks)].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(model.percentiles(given), expected[columns].to_numpy(), atol=1e-9)
    assert np.abs(model.percentiles(scores) - expected[columns].to_numpy()).max() < 1


def test_percentiles_of_a_class_of_drugs(model, theirs):
    scores = model.predict(["CC(=O)Oc1ccccc1C(=O)O", "no molecule"]).scores
    found = model.percentiles(scores, "Analgesics")
    theirs.atc_code = "analgesics"
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            expected = theirs.predict(["CC(=O)Oc1ccccc1C(=O)O"])
    finally:
        theirs.atc_code = None
    columns = [f"{task}_drugbank_approved_analgesics_percentile" for task in model.tasks]
    assert np.abs(found[0] - expected[columns].to_numpy()[0]).max() < 3
    assert np.isnan(found[1]).all()
    with pytest.raises(UnknownNameError, match="class of drugs 'analgesic'"):
        model.percentiles(scores, "analgesic")


def test_absent(monkeypatch):
    monkeypatch.setattr(room.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install admet-ai"):
        load_admet_ai()


def test_old(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_loader("admet_ai", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(room.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(room.metadata, "version", lambda name: "1.3.1")
    with pytest.raises(UsageError, match=r"admet-ai 1.3.1 has networks of Chemprop v1.*admet-ai>=2"):
        load_admet_ai()
