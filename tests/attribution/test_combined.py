"""Averages of integrals are held to the tolerance of the average."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import molig
from molig.attribution import Explainer
from molig.attribution.combined import held_to
from molig.attribution.engine import AdaptivePath, Tolerance, refine
from molig.attribution.panels import Answer
from molig.molecules import smiles_records

SMILES = ["CCO", "O=[N+]([O-])c1ccncc1"]
FLOOR = 1e-6
PLACE = st.floats(0.05, 0.95)


def integrals(jumps, tolerance):
    """Integrals over a of two features whose gradients jump at places of their own, by adaptive panels."""
    paths = [AdaptivePath(tolerance) for _ in jumps]

    def evaluate(rows, points):
        steps = [(points[rows == row], np.array(jumps[row])) for row in range(len(jumps))]
        gradients = np.concatenate([np.sign(a[:, None] - place) * [3.0, -2.0] for a, place in steps])
        values = np.concatenate([np.abs(a[:, None] - place) @ [3.0, -2.0] for a, place in steps])
        return values, list(gradients)

    refine(paths, evaluate)
    return paths


def mean_of(jumps, tolerance, asked):
    paths = integrals(jumps, asked)
    flat = np.mean([path.attributions for path in paths], axis=0)
    start, end = (float(np.mean([getattr(path, name) for path in paths])) for name in ("start", "end"))
    residual, error = end - start - float(flat.sum()), float(np.mean([path.error for path in paths]))
    met = tolerance.met(end - start, residual, float(np.abs(flat).max()), error)
    return Answer(start, end, flat, residual, error, met, sum(path.n_evaluations for path in paths))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(0.05, 0.95)] * 2), min_size=2, max_size=4), st.sampled_from([0.05, 1e-3])
)
def test_averages_of_integrals_that_cancel(jumps, tol):
    tolerance, n_asked = Tolerance(tol, FLOOR), 0

    def ask(molecules, asked):
        nonlocal n_asked
        n_asked += len(molecules)
        return [mean_of(jumps, tolerance, asked) for _ in molecules]

    exact = np.mean([(1 - 2 * np.array(places)) * [3.0, -2.0] for places in jumps], axis=0)
    for answer in held_to(tolerance, 3, ask):
        assert np.abs(answer.attributions - exact).max() <= answer.error + 1e-12
        assert answer.converged == (
            answer.error <= tolerance.error(answer.largest)
            and abs(answer.residual) <= tolerance.residual(answer.end - answer.start)
        )
        assert answer.converged
    assert n_asked <= 3 * 4


def test_only_what_is_short_is_repeated():
    """Of three molecules the second has attributions that nearly cancel, and the third cannot be mended."""
    tolerance, asked = Tolerance(0.01, FLOOR), []

    def ask(molecules, of_each):
        asked.append((molecules.tolist(), of_each.tol))
        largest, fixed = np.array([1.0, 0.1, np.nan])[molecules], of_each.tol
        return [
            Answer(0.0, x, np.array([x]), 0.0, fixed, tolerance.met(x, 0.0, x, fixed), 1) for x in largest
        ]

    answers = held_to(tolerance, 3, ask)
    assert [molecules for molecules, _ in asked] == [[0, 1, 2], [1]]
    assert answers[1].error == asked[1][1] <= 0.01 * 0.1
    assert [answer.converged for answer in answers] == [True, True, False]


def flat(why):
    return np.concatenate(
        [why.atom_attributions.ravel(), why.pair_attributions.ravel(), why.environment_attributions]
    )


def explanations(model, **options):
    return list(Explainer(model, **options).explain_records(smiles_records(SMILES)))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tox21-w2n2-simple", {"task": "SR-MMP", "baseline": "zero,uniform,carbon"}),
        ("tests/foreign/small.pt", {"task": "second", "baseline": "zero,neutral,compound:CCO"}),
        ("tox21", {"task": "SR-MMP", "target": "logit"}),
    ],
)
def test_stated_errors_hold_against_a_long_reference(name, options):
    """Ten times tighter, in double precision."""
    model = molig.load_model(name)
    tight = {"tol": 1e-3, "precision": "double", "max_evaluations": 20_000}
    found, exact = explanations(model, **options), explanations(model, **options, **tight)
    tolerance = Tolerance(0.01, model.floor)
    for why, reference in zip(found, exact, strict=True):
        largest = np.abs(flat(why)).max()
        assert reference.converged
        assert why.sampling_error == 0
        assert np.abs(flat(why) - flat(reference)).max() <= why.error + reference.error
        assert why.converged
        assert why.error <= tolerance.error(largest)


def test_what_cannot_be_refined_is_flagged():
    """Too few evaluations for each member of an average, and for the network of a committee."""
    for name, options in (
        ("tox21-w2n2-simple", {"task": "SR-MMP", "baseline": "zero,uniform"}),
        ("tests/support/models/committee", {"target": "logit"}),
    ):
        model = molig.load_model(name)
        few = {"task": model.tasks[0], "tol": 1e-3, "max_evaluations": 9, "precision": "single"}
        tolerance = Tolerance(1e-3, model.floor)
        found = explanations(model, **(few | options))
        for why in found:
            assert why.largest == np.abs(flat(why)).max()
            assert why.converged == (why.error <= tolerance.error(why.largest))
        assert not all(why.converged for why in found)


def test_sampling_errors_are_told_apart():
    """The references that are drawn have one, which no tolerance makes smaller."""
    model = molig.load_model("tests/foreign/small.pt")
    for tol in (0.01, 0.001):
        (why, *_) = explanations(model, task="first", baseline="library", tol=tol)
        assert why.converged
        own = why.error - why.sampling_error
        largest = np.abs(flat(why)).max()
        assert 0 < own <= Tolerance(tol, model.floor).error(largest)
        assert why.sampling_error > 0.01 * largest
