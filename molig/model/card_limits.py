"""What a model cannot do, as far as its description tells."""

from __future__ import annotations

from molig.features import FeatureSchema
from molig.model.card_figures import SCREENING
from molig.model.info import ModelInfo, Objective
from molig.model.sections import TaskMetrics
from molig.model.sections_evaluation import TasksWon
from molig.molecules import Hydrogens

_FEW_ACTIVES = 20
_NAMED_TASKS = 10
_OF_THE_TOP = ("pr_auc", "bedroc", "ef_1")


def known_limits(info: ModelInfo) -> list[str]:
    """Sentences about what a model cannot do.

    Parameters
    ----------
    info : ModelInfo
        The model's description; its own ``known_limits`` come first.

    Returns
    -------
    list of str
    """
    schema = FeatureSchema.from_dict(info.feature_schema)
    return [
        *info.known_limits,
        *_calibration(info),
        *_few_actives(info),
        *_better_methods(info),
        *_reach(info, schema),
        *_unseen(info, schema),
        _unlike_training(info),
        "Attributions say what the network uses, which need not be what binds.",
    ]


def _calibration(info: ModelInfo) -> list[str]:
    """Whether a score can be read as a hit rate."""
    if info.objective is Objective.REGRESSION:
        return []
    weight = info.training.positive_weight if info.training else 1.0
    if weight == 0:
        text = (
            "Scores are made for ranking and were not calibrated: a library with another hit rate than the "
            "training data needs other probabilities."
        )
    elif weight == 1:
        text = (
            "Scores are made for ranking. In training the actives of a task weighed as much as all inactives "
            "together, so a score is not a hit rate: 0.5 stands for about the average hit rate of the assay."
        )
    else:
        text = (
            "Scores are made for ranking. In training an active weighed more than an inactive, so a score is "
            "higher than the hit rate."
        )
    brier = info.median_figure(info.held_out, "brier") if info.held_out else None
    if brier is not None:
        text += f" Median Brier score on the {info.held_out} part {brier:.3f}."
    return [text]


def _few_actives(info: ModelInfo) -> list[str]:
    tasks = info.metrics.get(info.held_out or "", {})
    few = [n for n, m in tasks.items() if isinstance(m, TaskMetrics) and m.n_actives < _FEW_ACTIVES]
    if not few:
        return []
    named = ", ".join(few[:_NAMED_TASKS]) + (", ..." if len(few) > _NAMED_TASKS else "")
    count = "1 task has" if len(few) == 1 else f"{len(few)} tasks have"
    return [f"{count} fewer than {_FEW_ACTIVES} held-out actives, so their figures are uncertain: {named}."]


def _better_methods(info: ModelInfo) -> list[str]:
    """Simple methods with higher figures than the network's at the top of the ranking."""
    found = info.cross_validation
    named = []
    for method, other in (found.baselines if found else {}).items():
        lost = {name: test for name, test in other.tests.items() if test.mostly_lost}
        if any(name in lost for name in _OF_THE_TOP):
            figures = [_lost_in(f.heading, lost[f.name]) for f in SCREENING if f.name in lost]
            named.append(f"{method} in {', '.join(figures)}")
    if not named:
        return []
    where = "" if found and len(found.tasks) == 1 else " in most tasks"
    return [
        f"In the evaluation above simpler methods have higher figures{where}: {'; '.join(named)}. "
        "PR-AUC, BEDROC and EF 1 % judge the top of the ranking, which is what a screen takes its compounds "
        "from."
    ]


def _lost_in(heading: str, test: TasksWon) -> str:
    return f"{heading} ({test.losses} of {test.n_tasks} tasks)" if test.n_tasks > 1 else heading


def _reach(info: ModelInfo, schema: FeatureSchema) -> list[str]:
    """How much of its surroundings an atom knows."""
    modules, distance = info.network.n_modules, schema.max_pair_distance
    if modules == 1:
        return [
            "Degenerate network: with one Weave module an atom knows its own features and those of its "
            "pairs, not what its neighbours are. Atoms of one type with the same bonds get the same "
            "attribution whatever they are bonded to. It is an exhibit, not a model to screen with."
        ]
    if distance is None:
        return []
    # What an atom is goes to its pairs in one module, and from them to their other atoms in the next.
    known = modules // 2 * distance
    return [
        f"An atom knows what the atoms up to {known} bonds away are; larger pieces count by what they "
        "contain, not by how they are joined."
    ]


def _unseen(info: ModelInfo, schema: FeatureSchema) -> list[str]:
    """Properties of molecules that no input column holds."""
    atom, pair = ({block.name for block in schema.blocks(level)} for level in ("atom", "pair"))
    blind = []
    if "formal_charge" not in atom:
        blind.append("formal charge")
    if "chirality" not in atom:
        blind.append("chirality (enantiomers score the same)")
    if info.molecules.hydrogens is not Hydrogens.EXPLICIT:
        blind.append("the number of hydrogens")
    if "ring_sizes" not in atom and "same_ring" not in pair:
        blind.append("rings (beyond aromatic bonds)")
    blind += ["double-bond geometry", "isotopes", "conformation"]
    return [f"It does not see {', '.join(blind[:-1])} or {blind[-1]}."]


def _unlike_training(info: ModelInfo) -> str:
    text = "Scores of molecules unlike those it was trained on mean little"
    if info.applicability is not None:
        return f"{text}: look at the applicability flag (`molig screen --applicability`)."
    return f"{text}; this model does not say which those are."
