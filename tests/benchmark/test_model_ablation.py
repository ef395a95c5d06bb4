"""The ablation test of a model agrees with what its parts say by themselves."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from support.small_model import nci_smiles

from molig.attribution import Explainer
from molig.benchmark import AblationPlan, AttributionOptions, draw_drop_curves, model_drop_curves
from molig.benchmark.ablation import one_task, top_molecules
from molig.errors import InputError, UnknownNameError, UsageError
from molig.molecules import Record, smiles_records
from molig.stats.plots import picture

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


@pytest.mark.parametrize("baseline", ["zero", "carbon"])
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
    root = ET.fromstring(picture(figure, "svg"))
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<one & all>" in words
    assert {"random", "occlusion", "gradient x input", "atoms removed"} <= set(words)
    assert "500" not in words  # no molecule is so large
