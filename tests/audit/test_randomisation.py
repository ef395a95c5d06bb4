"""Attributions of copies with random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from support.planted import Case, changed, judge, weave_network
from support.small_model import nci_smiles

from audit.planted import randomisation as planted
from molig.attribution import Explainer
from molig.audit import Severity, audit, subject_of
from molig.audit.checks import randomisation as randomised
from molig.audit.checks.randomisation import atom_scores, layers_of, likeness, rank_correlations, redrawn
from molig.molecules import smiles_records
from molig.network import WeaveNet

SOME = nci_smiles(12, 400)


def test_rank_correlations_are_spearmans():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=12), rng.normal(size=12)
    first[3] = first[7]
    signed, magnitudes = rank_correlations(first, second)
    assert signed == pytest.approx(spearmanr(first, second).statistic)
    assert magnitudes == pytest.approx(spearmanr(np.abs(first), np.abs(second)).statistic)


def test_rounding_is_a_tie_and_constants_have_no_ranks():
    scores = np.array([1.0, 1.0 + 1e-8, 0.5, 0.2])
    assert rank_correlations(scores, scores[[1, 0, 2, 3]]) == (1.0, 1.0)
    assert rank_correlations(scores, np.zeros(4)) == (0.0, 0.0)
    assert np.isnan(rank_correlations(np.ones(4), scores)).all()


def test_likeness_against_numpy():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=9), rng.normal(size=9)
    signed, magnitudes, linear, cosine = likeness(first, second)
    assert (signed, magnitudes) == rank_correlations(first, second)
    assert linear == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert cosine == pytest.approx(first @ second / np.sqrt((first @ first) * (second @ second)))
    assert likeness(first, np.zeros(9)) == (0, 0, 0, 0)
    assert np.isnan(likeness(np.ones(9), second)[:3]).all()
    assert likeness(first, -3 * first)[2:] == pytest.approx((-1, -1))


def test_layers_hold_all_weights_once(small_model):
    layers = layers_of(small_model.network)
    assert layers[0].name == "output"
    assert layers[-1].stage == "module 1"
    parts = [part for layer in layers for part in layer.parts]
    assert len(set(parts)) == len(parts)
    held = {name for name, _ in small_model.network.named_parameters()}
    assert held == {
        f"{part}.{name}"
        for part in parts
        for name, _ in small_model.network.get_submodule(part).named_parameters()
    }


def test_redrawn_layers_are_those_of_a_new_network_and_others_stay(small_model):
    layers = layers_of(small_model.network)
    network = small_model.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    copy = redrawn(small_model, layers, seed=11).network
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(11)
    schema = small_model.schema
    fresh = WeaveNet(network.config, schema.n_atom_columns, schema.n_pair_columns, len(small_model.tasks))
    fresh.spread_states()
    for name, value in fresh.state_dict().items():
        assert torch.equal(copy.state_dict()[name], value), name
        assert torch.equal(network.state_dict()[name], before[name]), name
    alone = redrawn(small_model, [layers[-1]], seed=11).network.state_dict()
    changed_names = {name for name in alone if not torch.equal(alone[name], before[name])}
    assert changed_names == {"modules_.0.atom_to_atom.weight", "modules_.0.atom_to_atom.bias"}


def test_scores_with_many_points_are_integrated_gradients(small_model, monkeypatch):
    monkeypatch.setattr(randomised, "_POINTS", 300)
    molecules, _ = small_model.parser.parse_many(list(smiles_records(nci_smiles(6, 500))))
    graphs = small_model.featurize([molecule.mol for molecule in molecules])
    found = atom_scores(small_model, graphs, [0, 1])
    explained = Explainer(small_model, task=small_model.tasks[1], target="logit", tol=1e-3)
    cosines = [
        likeness(scores[1], why.atom_scores)[3]
        for scores, why in zip(found, explained.explain_molecules(molecules), strict=True)
    ]
    assert np.mean(cosines) > 0.999


def test_a_task_without_attributions_is_left_out(small_model):
    def edit(net: WeaveNet) -> None:
        net.head[-1].weight[1] = 0
        planted.half("modules_.0.pair_out", 1)(net)

    blank = changed(small_model, edit)
    verdict = judge("randomisation", Case("cut", lambda: planted.on(lambda: blank, SOME), planted=True))
    (finding,) = verdict.result.findings
    assert list(finding.evidence.numbers) == ["module 1: pair_to_pair"]


def test_a_layer_cut_off_is_named(small_model):
    broken = changed(small_model, planted.half("modules_.0.pair_out", 1))
    result = judge("randomisation", Case("cut", lambda: planted.on(lambda: broken, SOME), planted=True))
    assert result.right
    (finding,) = result.result.findings
    assert finding.severity is Severity.WARNING
    assert "module 1: pair_to_pair" in finding.evidence.numbers
    assert len(finding.evidence.numbers) == 1
    assert len(result.result.results[0].outcome.figures[0].svg) < 60_000


def test_a_score_past_the_weights_is_found(small_model):
    make = planted.hard_wired(lambda: small_model, 30.0, 1)
    result = judge("randomisation", Case("past", lambda: planted.on(make, SOME), planted=True))
    assert result.right
    finding = result.result.findings[0]
    assert finding.severity is Severity.ERROR
    likest = [float(example.note.rsplit(" ", 1)[1]) for example in finding.evidence.molecules]
    assert len(likest) == 3
    assert likest == sorted(likest, reverse=True)
    # The best of a sample is at least as good as its mean.
    assert likest[0] >= round(finding.evidence.numbers["in_either_direction"]["linear"], 2)


@pytest.mark.parametrize("skip", [0, 100])
def test_a_whole_model_is_left_alone(small_model, skip):
    case = Case("whole", lambda: planted.on(lambda: small_model, nci_smiles(12, 400 + skip)), planted=False)
    verdict = judge("randomisation", case)
    assert verdict.right
    assert verdict.result.results[0].status == "ok"


def test_a_bundled_model():
    model = weave_network("sars-3clpro")
    case = Case("bundled", lambda: planted.on(lambda: model, nci_smiles(6, 430)), planted=False)
    assert judge("randomisation", case).right


def test_the_same_audit_twice_gives_the_same_numbers(small_regression):
    smiles = nci_smiles(8, 600)
    first, second = (
        audit(subject_of(small_regression, smiles), only=["randomisation"]).results[0] for _ in range(2)
    )
    assert first.status == "ok"
    assert first.outcome.measured == second.outcome.measured


def test_too_little_to_compare(small_model):
    result = audit(subject_of(small_model, ["CCO", "C", "c1ccccc1O"]), only=["randomisation"]).results[0]
    assert "too few" in result.skipped
