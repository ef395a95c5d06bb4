"""What to say of pairs of similar molecules: findings of the check of activity cliffs."""

from __future__ import annotations

from molig.audit.cliff_groups import CliffGroup, CommonAtoms
from molig.audit.cliffs import Cliff
from molig.audit.findings import MOST_EXAMPLES, Evidence, Example, Finding, Severity, explained_example

NAME = "activity-cliffs"

ENOUGH = 25
"""Pairs below which a share tells nothing: its 95 % interval is wider than 0.36."""
UNTOLD = 0.65
"""Scores, or attributions, whose interval stays below this share of pairs in the right order are of no use
for close analogues; a wider one proves nothing either way."""

DISAGREEING, FEWEST_ATOMS = 0.6, 50
"""Attributions of the atoms that both molecules have disagree if, over at least so many atoms that matter in
both, the interval of the share with the same sign stays below this: little more than chance, 50 %. In sound
models the share is 0.65 to 1, even where an edit turns the score; of all common atoms, most of which matter
little, it comes down to 0.5 there, so they are not judged."""


def judge_cliffs(everything: CliffGroup, groups: list[CliffGroup], common: CommonAtoms) -> list[Finding]:
    """Judge scores and attributions of pairs of similar molecules.

    Parameters
    ----------
    everything : CliffGroup
        All pairs.
    groups : list of CliffGroup
        Those of each task.
    common : CommonAtoms
        Agreement about the atoms that the molecules of a pair share.

    Returns
    -------
    list of Finding
    """
    if len(everything.cliffs) < ENOUGH:
        return [
            Finding(
                NAME,
                Severity.INFO,
                f"Only {len(everything.cliffs)} pairs of similar molecules differ in activity: too few "
                f"to judge.",
                Evidence(everything.numbers()),
                "Give pairs of your own with --pairs.",
            )
        ]
    judged = [everything, *(group for group in groups if len(group.cliffs) >= ENOUGH)]
    if len(groups) == 1:
        judged = [everything]
    reversed_ = [g for g in judged if g.share("ordered")[2] < 0.5]
    wrong = [
        g
        for g in judged
        if g not in reversed_ and (g.share("direction")[2] < 0.5 or g.share("faithful")[2] < 0.5)
    ]
    lost = [
        g
        for g in judged
        if g not in wrong
        and g.share("ordered")[1] > 0.5
        and g.share("direction")[1] <= 0.5
        and g.worse_than_scores
    ]
    # Where attributions follow the scores, the explanations are true to the model; what is lost is precision.
    blind = [g for g in lost if g.share("faithful")[1] <= 0.5]
    findings = []
    if reversed_:
        findings.append(_reversed(reversed_))
    if wrong:
        findings.append(_wrong(wrong))
    if blind:
        findings.append(_blind(blind))
    elif lost:
        findings.append(_partly(lost))
    _, low, high = everything.share("ordered")
    if not findings and low <= 0.5 and high < UNTOLD:
        findings.append(_unordered(everything))
    if common.n_strong >= FEWEST_ATOMS and common.strong.high < DISAGREEING:
        findings.append(_disagreeing(everything, common))
    return findings


def _evidence(groups: list[CliffGroup]) -> Evidence:
    cliffs = [cliff for cliff in groups[0].cliffs if cliff.direction() == 0.0]
    cliffs.sort(key=lambda cliff: -abs(cliff.attribution_difference))
    return Evidence({group.name: group.numbers() for group in groups}, molecules=_examples(cliffs))


def _examples(cliffs: list[Cliff]) -> list[Example]:
    shown = []
    for number, cliff in enumerate(cliffs[: MOST_EXAMPLES // 2], start=1):
        for which, explanation in zip(("first", "second"), cliff.explained, strict=True):
            note = (
                f"pair {number}, {which}: {cliff.pair.task}, difference of activity "
                f"{cliff.pair.difference:+.3g}, "
                f"of scores {cliff.score_difference:+.3g}, of attribution of what differs "
                f"{cliff.attribution_difference:+.3g}"
            )
            shown.append(explained_example(explanation, note))
    return shown


def _reversed(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    share, low, high = worst.share("ordered")
    return Finding(
        NAME,
        Severity.ERROR,
        f"Among similar molecules the more active one gets the lower score: only {share:.0%} of "
        f"{len(worst.cliffs)} pairs ({worst.name}; interval {low:.0%} to {high:.0%}) are in the right order.",
        _evidence(groups),
        "Look whether labels or the sign of the differences are reversed, or columns of tasks are "
        "swapped; if not, the model is wrong about what makes these molecules active.",
    )


def _wrong(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    share, low, high = worst.share("direction")
    return Finding(
        NAME,
        Severity.ERROR,
        f"Attribution of what differs between similar molecules points the wrong way: it has the sign of the "
        f"difference in activity in only {share:.0%} of {len(worst.cliffs)} pairs ({worst.name}; interval "
        f"{low:.0%} to {high:.0%}).",
        _evidence(groups),
        "Do not use these explanations to choose what to change in a molecule; score the changed molecules.",
    )


def _blind(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    share, low, high = worst.share("direction")
    return Finding(
        NAME,
        Severity.WARNING if worst.share("direction")[2] < UNTOLD else Severity.INFO,
        f"Scores tell similar molecules apart better than attribution of what differs does: scores have the "
        f"sign of the difference in activity in {worst.share('ordered')[0]:.0%} of {len(worst.cliffs)} pairs "
        f"({worst.name}), attribution in {share:.0%} (interval {low:.0%} to {high:.0%}; chance is 50%).",
        _evidence(groups),
        "Attribution lies on atoms that the molecules share; compare whole pairs of explanations, not the "
        "changed atoms only.",
    )


def _partly(groups: list[CliffGroup]) -> Finding:
    worst = groups[0]
    direction, faithful = worst.share("direction"), worst.share("faithful")
    return Finding(
        NAME,
        Severity.INFO,
        f"Attribution of what differs between similar molecules follows the scores ({faithful[0]:.0%} of "
        f"{len(worst.cliffs)} pairs, {worst.name}), but has the sign of the difference in activity in "
        f"{direction[0]:.0%} only, the scores in {worst.share('ordered')[0]:.0%}.",
        _evidence(groups),
        "Part of what tells such molecules apart is attributed to atoms that they share; to decide between "
        "them, compare their scores.",
    )


def _unordered(group: CliffGroup) -> Finding:
    share, low, high = group.share("ordered")
    return Finding(
        NAME,
        Severity.WARNING,
        f"The model does not tell similar molecules of different activity apart: {share:.0%} of "
        f"{len(group.cliffs)} pairs are in the right order (interval {low:.0%} to {high:.0%}; chance is "
        f"50%).",
        _evidence([group]),
        "Do not use scores or explanations to decide between close analogues.",
    )


def _disagreeing(everything: CliffGroup, common: CommonAtoms) -> Finding:
    strong = common.strong
    cliffs = sorted(everything.cliffs, key=lambda cliff: -_opposed(cliff))
    return Finding(
        NAME,
        Severity.WARNING,
        f"Attributions of the atoms that similar molecules share disagree: of {common.n_strong} atoms that "
        f"matter in both molecules of a pair only {strong.value:.0%} have the same sign (interval "
        f"{strong.low:.0%} to {strong.high:.0%}; chance is 50%).",
        Evidence({"common_atoms": common.numbers()}, molecules=_examples([c for c in cliffs if _opposed(c)])),
        "What an atom is said to do changes with parts of the molecule that are far from it. Do not carry "
        "explanations over from one molecule to its analogues, and look for features that say the same of "
        "every atom of a molecule.",
    )


def _opposed(cliff: Cliff) -> int:
    """Common atoms that matter in both molecules, with opposite signs."""
    same, counted = cliff.same_sign(strong=True)
    return counted - same
