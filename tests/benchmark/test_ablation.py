"""Ablation curves: of models whose answer is known, and of a trained one as its parts say."""

import xml.etree.ElementTree as ET
from itertools import combinations

import numpy as np
import pytest
from support.small_model import nci_smiles

from molig.attribution import Explainer
from molig.benchmark import AblationPlan, Resampling, drop_curves
from molig.benchmark.ablation import draw_drop_curves, model_drop_curves, one_task, top_molecules
from molig.benchmark.recipe import AttributionOptions
from molig.errors import InputError, UnknownNameError, UsageError
from molig.molecules import Record, smiles_records
from molig.stats.plots import picture

WEIGHTS = [np.array([4.0, 1.0, 2.0, 0.0]), np.array([1.0, 3.0])]


def additive(molecule, atom_sets):
    weights = WEIGHTS[molecule]
    return [weights.sum() - weights[atoms].sum() for atoms in atom_sets]


def curve(frame, ranking, column="drop"):
    return frame[frame["ranking"] == ranking][column].tolist()


def test_the_best_atoms_of_an_additive_model_drop_the_most():
    backwards = [-w for w in WEIGHTS]
    plan = AblationPlan(counts=(1, 2, 4), random_repeats=3000)
    found = drop_curves(additive, {"right": WEIGHTS, "wrong": backwards}, plan)
    assert list(found["ranking"].unique()) == ["right", "wrong", "random"]
    assert curve(found, "right") == [3.5, 5.0, 7.0]
    assert curve(found, "wrong") == [0.5, 2.5, 7.0]
    assert curve(found, "right", "n_molecules") == [2, 2, 1]
    expected = np.mean([w.mean() for w in WEIGHTS])
    assert curve(found, "random")[0] == pytest.approx(expected, abs=0.05)


def test_fractions_round_up_to_whole_atoms():
    found = drop_curves(
        additive, {"right": WEIGHTS}, AblationPlan(fractions=(0.1, 0.5, 1.0), random_repeats=0)
    )
    assert curve(found, "right") == [3.5, np.mean([6.0, 3.0]), np.mean([7.0, 4.0])]
    assert curve(found, "right", "removed") == [0.1, 0.5, 1.0]
    assert AblationPlan(fractions=(0.1, 0.15)).removed(20) == [2, 3]


def test_a_model_that_needs_two_atoms_together():
    """score = atoms 0 and 1 both present: removing either loses all, as counted over all pairs at random."""

    def both(molecule, atom_sets):
        return [float(not {0, 1} & set(atoms.tolist())) for atoms in atom_sets]

    plan = AblationPlan(counts=(1, 2), random_repeats=3000)
    found = drop_curves(both, {"IG": [np.array([0.5, 0.5, 0.0, 0.0])]}, plan)
    assert curve(found, "IG") == [1.0, 1.0]
    pairs = np.mean([bool({0, 1} & set(pair)) for pair in combinations(range(4), 2)])
    assert curve(found, "random") == [pytest.approx(0.5, abs=0.04), pytest.approx(pairs, abs=0.04)]


def test_the_whole_molecule_comes_first_and_equal_sets_are_asked_for_once():
    asked = []

    def record(molecule, atom_sets):
        asked.append([tuple(atoms.tolist()) for atoms in atom_sets])
        return np.zeros(len(atom_sets))

    drop_curves(record, {"a": WEIGHTS, "b": WEIGHTS}, AblationPlan(counts=(1, 2), random_repeats=20))
    for sets in asked:
        assert sets[0] == ()
        assert len(set(sets)) == len(sets)


def test_results_follow_from_the_seed():
    def curves(seed):
        plan = AblationPlan(counts=(1,), resampling=Resampling(seed=seed, n_resamples=50))
        return drop_curves(additive, {"tied": [np.zeros(4), np.zeros(2)]}, plan)

    assert curves(1).equals(curves(1))
    assert not curves(1).equals(curves(2))


@pytest.mark.parametrize(
    ("rankings", "message"),
    [
        ({}, "at least one ranking"),
        ({"random": WEIGHTS}, "is taken"),
        ({"a": WEIGHTS, "b": WEIGHTS[:1]}, "'b' has 1 molecules, ranking 'a' has 2"),
        ({"a": WEIGHTS, "b": WEIGHTS[::-1]}, "'b' has 2 atoms in molecule 0, ranking 'a' has 4"),
        ({"a": [np.array([np.nan])]}, "not finite in molecule 0"),
    ],
)
def test_rankings_that_do_not_fit_are_refused(rankings, message):
    with pytest.raises(UsageError, match=message):
        drop_curves(additive, rankings)


@pytest.mark.parametrize("scores", [[1.0], [np.nan] * 3, 1.0])
def test_scores_that_do_not_fit_are_refused(scores):
    plan = AblationPlan(counts=(1, 2), random_repeats=0)
    with pytest.raises(UsageError, match=r"molecule 0 .*expected 3 finite scores"):
        drop_curves(lambda molecule, sets: scores, {"a": WEIGHTS}, plan)


@pytest.mark.parametrize(
    "settings", [{"counts": ()}, {"counts": (0,)}, {"fractions": (1.5,)}, {"random_repeats": -1}]
)
def test_senseless_plans_are_refused(settings):
    with pytest.raises(UsageError):
        AblationPlan(**settings)


TASK = "nitrogen"


@pytest.fixture(scope="module")
def molecules(small_model):
    return top_molecules(small_model, smiles_records(nci_smiles(60)), TASK, 12)


def test_top_molecules_are_the_best_scored(small_model, molecules):
    smiles = nci_smiles(60)
    scores = small_model.predict(smiles).scores[:, small_model.task_index(TASK)]
    best = sorted(range(60), key=lambda i: (-scores[i], i))[:12]
    assert [m.row - 1 for m in molecules] == best


def test_the_first_atom_by_occlusion_drops_by_its_occlusion_score(small_model, molecules):
    plan = AblationPlan(counts=(1,), random_repeats=0)
    frame = model_drop_curves(small_model, molecules, TASK, methods=["occlusion"], plan=plan)
    falls = Explainer(small_model, task=TASK, method="occlusion").explain_molecules(molecules)
    expected = np.mean([found.atom_scores.max() for found in falls])
    assert frame["drop"].tolist() == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize("baseline", ["zero", "carbon", "zero,mean", "compound:CCO"])
def test_without_any_atom_the_baseline_is_left(small_model, molecules, baseline):
    options = AttributionOptions(target="logit", baseline=baseline)
    plan = AblationPlan(fractions=(1.0,), random_repeats=1)
    frame = model_drop_curves(small_model, molecules, TASK, methods=["ig"], options=options, plan=plan)
    explained = Explainer(small_model, task=TASK, target="logit", baseline=baseline).explain_molecules(
        molecules
    )
    expected = np.mean([found.score - found.baseline_score for found in explained])
    assert frame["drop"].tolist() == pytest.approx([expected] * 2, abs=1e-4)
    assert frame["ranking"].tolist() == ["integrated_gradients", "random"]


def test_rankings_beat_chance(small_model, molecules):
    frame = model_drop_curves(small_model, molecules, TASK, plan=AblationPlan(counts=(1, 2)))
    first = frame[frame["removed"] == 1].set_index("ranking")["drop"]
    assert first["occlusion"] > first["random"]
    assert first["integrated_gradients"] > first["random"]


def test_substructures_go_with_their_atoms(small_committee, molecules):
    plan = AblationPlan(fractions=(0.3, 1.0), random_repeats=2)
    frame = model_drop_curves(small_committee, molecules, TASK, methods=["ig"], plan=plan)
    explained = Explainer(small_committee, task=TASK).explain_molecules(molecules)
    expected = np.mean([found.score - found.baseline_score for found in explained])
    gone = frame[frame["removed"] == 1.0]
    assert gone["drop"].tolist() == pytest.approx([expected] * 2, abs=1e-4)
    part = frame[frame["removed"] == 0.3].set_index("ranking")["drop"]
    assert part["integrated_gradients"] > part["random"]


def test_unknown_names_are_refused(small_model, molecules):
    with pytest.raises(UnknownNameError, match="did you mean 'nitrogen'"):
        one_task(small_model, "nitrogne")
    with pytest.raises(UsageError, match="name one of the tasks of small: nitrogen, carbonyl"):
        one_task(small_model, None)
    with pytest.raises(UnknownNameError, match="unknown baseline 'zerro'"):
        model_drop_curves(small_model, molecules, TASK, options=AttributionOptions(baseline="zerro"))


def test_libraries_without_a_molecule_are_refused(small_model):
    with pytest.raises(InputError, match="none of the molecules could be scored"):
        top_molecules(small_model, [Record(1, "a", "C1CC")], TASK, 3)
    with pytest.raises(UsageError, match="at least 1"):
        top_molecules(small_model, [], TASK, 0)


def test_the_chart_has_a_line_per_ranking(small_model, molecules):
    frame = model_drop_curves(small_model, molecules, TASK, plan=AblationPlan(counts=(1, 2, 500)))
    figure = draw_drop_curves(frame, "<one & all>", "logit")
    assert len(figure.axes[0].get_lines()) == 4
    assert figure.axes[0].get_ylabel() == "mean drop of the logit"
    root = ET.fromstring(picture(figure, "svg"))
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<one & all>" in words
    assert {"random", "occlusion", "gradient x input", "atoms removed"} <= set(words)
    assert "500" not in words  # no molecule is so large
