"""Scores of Chemprop models, and what they ask for beside the structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from foreign.chemprop_models import ODD, Kind, build, save
from molig.errors import UnknownNameError, UsageError
from molig.foreign import ExtraInputs, InputOptions, load_chemprop
from molig.model import Objective
from molig.molecules import Molecule

SMALL = Path(__file__).parent / "small.pt"


def test_predictions_account_for_every_row():
    model = load_chemprop(SMALL)
    found = model.predict(["CCO", "C1CC", "", "C" * 250, "c1ccccc1"], batch_size=2)
    assert np.isnan(found.scores).all(axis=1).tolist() == [False, True, True, True, False]
    assert [(r.row, r.reason.split(":")[0]) for r in found.rejections] == [
        (2, "not parsable"),
        (3, "empty SMILES"),
        (4, "too large"),
    ]
    assert found.proba is found.scores
    assert found.scored_smiles == ["CCO", None, None, None, "c1ccccc1"]
    np.testing.assert_array_equal(model.predict_proba("CCO"), found.scores[:1])
    assert load_chemprop(SMALL, InputOptions(max_heavy_atoms=300)).predict(["C" * 250]).rejections == []


def test_no_rows_and_no_bonds():
    model = load_chemprop(SMALL)
    assert model.predict([]).scores.shape == (0, 2)
    assert np.isfinite(model.predict(["C", "[Cl-]", "O.O"]).scores).all()


def test_batches_do_not_matter(monkeypatch):
    model = load_chemprop(SMALL)
    smiles = [s for s in ODD if isinstance(model.parser.parse_smiles(s), Molecule)]
    together = model.predict(smiles).scores
    alone = np.concatenate([model.predict(s).scores for s in smiles])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    monkeypatch.setattr("molig.foreign.chemprop_model.STATES_PER_BATCH", 160)  # 20 atoms
    np.testing.assert_allclose(model.predict(smiles).scores, together, atol=1e-6)
    backwards = model.predict(smiles[::-1]).scores[::-1]
    np.testing.assert_allclose(backwards, together, atol=1e-6)


def test_double_precision_agrees():
    model = load_chemprop(SMALL)
    double = model.double()
    assert double.dtype is torch.float64
    assert model.dtype is torch.float32
    np.testing.assert_allclose(double.predict(["CCO"]).scores, model.predict(["CCO"]).scores, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            Kind(descriptors=5),
            r"5 descriptors of each molecule .*--descriptors-path or --molecule-featurizers",
        ),
        (Kind(atom_descriptors=3), "3 descriptors of each atom .*--atom-descriptors-path"),
        (Kind(atom_features=2), "2 extra features of each atom .*--atom-features-path"),
        (Kind(bond_features=2), "2 extra features of each bond .*--bond-features-path"),
    ],
)
def test_what_is_not_given(kind, words, tmp_path):
    model = load_chemprop(save(build(kind), tmp_path / "m.pt"), InputOptions(atom_features="v2"))
    with pytest.raises(UsageError, match=rf"reads {words}.*not given.*Without them"):
        model.predict(["CCO"])


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (ExtraInputs(np.ones((2, 4))), "reads no descriptors of each molecule"),
        (
            ExtraInputs(atom_features=[np.ones((3, 1)), np.ones((6, 1))]),
            "reads no extra features of each atom",
        ),
    ],
)
def test_what_is_not_read(extra, words):
    with pytest.raises(UsageError, match=words):
        load_chemprop(SMALL).predict(["CCO", "c1ccccc1"], extra=extra)


def test_rows_of_extra_inputs_follow_their_smiles(tmp_path):
    kind = Kind(descriptors=2, atom_descriptors=1)
    model = load_chemprop(save(build(kind), tmp_path / "m.pt"))
    smiles = ["CCO", "bad", "c1ccccc1", "CC"]
    extra = ExtraInputs(
        np.arange(8.0).reshape(4, 2),
        [np.ones((3, 1)), np.zeros((0, 1)), 2 * np.ones((6, 1)), np.ones((2, 1))],
    )
    whole = model.predict(smiles, extra=extra, batch_size=2).scores
    for i in (0, 2, 3):
        np.testing.assert_allclose(
            model.predict(smiles[i], extra=extra.rows([i])).scores[0], whole[i], atol=1e-6
        )
    with pytest.raises(UsageError, match="a row for every atom"):
        model.predict(["CCC", "CC"], extra=extra.rows([0, 2]))


def test_kinds_of_scores(tmp_path):
    several = Kind("MulticlassClassificationFFN", predictor={"n_classes": 3})
    model = load_chemprop(save(build(several), tmp_path / "m.pt", ["phase"]))
    assert model.tasks == ("phase: class 0", "phase: class 1", "phase: class 2")
    assert model.objective is Objective.CLASSIFICATION
    np.testing.assert_allclose(model.predict(["CCO"]).proba.sum(), 1)
    values = load_chemprop(save(build(Kind()), tmp_path / "v.pt"))
    assert values.objective is Objective.REGRESSION
    with pytest.raises(UsageError, match="predicts values"):
        values.predict_proba("CCO")
    with pytest.raises(UnknownNameError, match="task 'phase'"):
        model.task_index("phase")
