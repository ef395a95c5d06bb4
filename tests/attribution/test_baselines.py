"""Feature rows that molecules are compared with."""

import warnings

import numpy as np
import pytest
from network.nets import MIXED, graphs_of

from molig import load_model
from molig.attribution import Baseline, Baselines, Explainer, Target, baseline_scores, explain
from molig.attribution.baselines import resolve_baselines
from molig.errors import MoligError, UnknownNameError, UsageError
from molig.features import preset
from molig.network import collate

SIMPLE = preset("simple", max_pair_distance=2)
FULL = preset("full", max_pair_distance=2)


def test_zero():
    zero = Baseline.named("zero", FULL)
    assert zero.atom_row.shape == (FULL.n_atom_columns,)
    assert not zero.atom_row.any()
    assert not zero.pair_row.any()


@pytest.mark.parametrize("schema", [SIMPLE, FULL])
def test_uniform_has_every_category_equally_and_no_number(schema):
    uniform = Baseline.named("uniform", schema)
    for level, row in (("atom", uniform.atom_row), ("pair", uniform.pair_row)):
        start = 0
        for block in schema.blocks(level):
            part = row[start : start + block.width]
            assert part.sum() == pytest.approx(float(block.kind == "categorical"))
            assert (part == part[0]).all()
            start += block.width


@pytest.mark.parametrize("schema", [SIMPLE, FULL])
def test_carbon_is_a_carbon_atom_and_nothing_else(schema):
    carbon = Baseline.named("carbon", schema)
    (present,) = np.flatnonzero(carbon.atom_row)
    assert str(schema.columns("atom")[present]) == "atom.type = C"
    assert not carbon.pair_row.any()


@pytest.mark.parametrize("name", ["simple", "full"])
def test_mean_is_that_of_the_networks_inputs(name):
    graphs, schema = graphs_of(MIXED, name), preset(name, max_pair_distance=2)
    mean = Baseline.mean(graphs, schema)
    batch = collate(graphs, schema, np.ones(len(graphs)), fold=False)
    np.testing.assert_allclose(mean.atom_row, batch.atom_inputs.mean(0), atol=1e-7)
    np.testing.assert_allclose(mean.pair_row, batch.pair_inputs.mean(0), atol=1e-7)
    assert mean.name == "mean"


@pytest.mark.parametrize("name", ["simple", "full"])
def test_mean_of_molecules_without_pairs(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean = Baseline.mean(graphs_of(["C", "O"], name), preset(name, max_pair_distance=2))
    assert not mean.pair_row.any()


def test_names_and_objects():
    own = Baseline("mine", np.zeros(11), np.ones(6))
    assert [b.name for b in resolve_baselines("zero, uniform,", SIMPLE)] == ["zero", "uniform"]
    assert resolve_baselines(own, SIMPLE) == (own,)
    assert [b.name for b in resolve_baselines([own, "carbon"], SIMPLE)] == ["mine", "carbon"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("zeros", UnknownNameError, "unknown baseline 'zeros'; did you mean 'zero'"),
        ("mean", UnknownNameError, "unknown baseline 'mean'"),
        ("", UsageError, "at least one baseline"),
        ([], UsageError, "at least one baseline"),
        (Baseline("short", np.zeros(3), np.zeros(6)), UsageError, "'short' must have rows of shapes"),
        (Baseline("pairs", np.zeros(11), np.zeros((6, 1))), UsageError, "'pairs' must have rows"),
    ],
)
def test_what_is_no_baseline(given, error, message):
    with pytest.raises(error, match=message):
        resolve_baselines(given, SIMPLE)


def test_baselines_of_a_model_by_name(tmp_path):
    model = load_model("tox21-w2n2-simple")
    assert Baselines(None, model).name == "zero"
    assert not Baselines("zero, mean", model).by_task
    mean, compound = Baselines("mean, compound:c1ccccc1", model).of("SR-MMP")
    assert (mean.name, compound.name) == ("mean", "compound:c1ccccc1")
    one = model.featurize([model.parser.parse_smiles("c1ccccc1").mol])
    np.testing.assert_allclose(compound.atom_row, Baseline.mean(one, model.schema).atom_row)
    library = tmp_path / "own.smi"
    library.write_text("CCO\nCCN\n")
    drawn = Baselines(f"library:{library}", model).of("SR-MMP")
    assert [b.drawn for b in drawn] == [True, True]
    why = explain(model, "c1ccccc1O", "SR-MMP", baseline=f"library:{library}")
    each = [explain(model, "c1ccccc1O", "SR-MMP", baseline=b) for b in drawn]
    np.testing.assert_allclose(why.atom_scores, np.mean([e.atom_scores for e in each], axis=0), atol=1e-9)
    spread = np.abs(each[0].atom_attributions - each[1].atom_attributions).max()
    assert why.error >= spread / 2 * 0.999  # the standard error of a mean of two


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("neutral", "trained to be neutral where all features are zero; take baseline zero"),
        ("nought", "Valid: zero, uniform, carbon, neutral, mean"),
        ("compound:xyz", "reference compound 'xyz' of baseline cannot be used"),
        (" , ", "name at least one baseline"),
    ],
)
def test_baselines_that_a_model_cannot_have(name, message):
    with pytest.raises(MoligError, match=message):
        Baselines(name, load_model("tox21-w2n2-simple"))


def test_what_a_baseline_scores_at_every_size():
    model = load_model("tox21-w2n2-simple")
    found = baseline_scores(
        model, Baselines("zero", model), ["SR-MMP", "NR-AR"], Target.PROBABILITY, (10, 30)
    )
    assert list(found.index) == ["SR-MMP", "NR-AR"]
    assert list(found.columns) == [10, 30]
    assert ((found > 0.003) & (found < 0.03)).all(axis=None)  # trained to be neutral, near .01
    mean = baseline_scores(model, Baselines("mean", model), ["SR-MMP"], Target.PROBABILITY, (10, 30))
    assert mean.loc["SR-MMP", 10] != found.loc["SR-MMP", 10]


def test_a_library_is_one_of_several_baselines(tmp_path):
    library = tmp_path / "own.smi"
    library.write_text("CCO\nCCN\nc1ccccc1\n")
    model, several = load_model("tox21-w2n2-simple"), f"zero, library:{library}"
    both, zero, drawn = (
        explain(model, "c1ccccc1O", "SR-MMP", baseline=b) for b in (several, "zero", f"library:{library}")
    )
    assert both.baseline_score == pytest.approx((zero.baseline_score + drawn.baseline_score) / 2, rel=1e-9)
    # Where the mean is not within the tolerance of its own largest attribution, it is integrated again.
    allowed = both.error + (zero.error + drawn.error) / 2
    mean = (zero.atom_attributions + drawn.atom_attributions) / 2
    np.testing.assert_allclose(both.atom_attributions, mean, atol=allowed)
    assert both.sampling_error == pytest.approx(drawn.sampling_error / 2, rel=0.02)


def test_references_tell_libraries_of_the_same_name_apart(tmp_path):
    library, model = tmp_path / "own.smi", load_model("tox21-w2n2-simple")
    library.write_text("CCO\nCCN\n")
    first = Explainer(model, baseline=f"library:{library}").references
    assert Explainer(model, baseline=f"library:{library}").references == first
    library.write_text("CCO\nCCS\n")
    assert Explainer(model, baseline=f"library:{library}").references != first
    assert Explainer(model).references != Explainer(model, baseline="carbon").references
