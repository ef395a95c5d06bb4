"""Ledgers add up, whatever the numbers; by the groups and parts that explanations have."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.explanations import MIXED, made_up, parsed

import molig
from molig.attribution import ledger_of
from molig.attribution.groups import atoms_in_words
from molig.errors import UnknownNameError, UsageError
from molig.features import preset
from molig.molecules import Record

SCHEMA = preset("simple", max_pair_distance=2)
MOLECULES = [parsed(Record(row, f"m{row}", smiles)) for row, smiles in enumerate(MIXED, start=1)]


def adds_up(ledger) -> bool:
    """But for the last digit of the largest number in it."""
    terms = [ledger.start, *(entry.score for entry in ledger.entries)]
    return abs(math.fsum([*terms, -ledger.end])) <= 1e-15 * max(map(abs, terms))


@given(
    st.lists(st.sampled_from(MOLECULES), min_size=1, max_size=4),
    st.sampled_from(["types", "groups"]),
    st.floats(-1e3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_ledgers_sum_to_the_score(molecules, by, score, baseline):
    explanations = [
        made_up(SCHEMA, one, seed, task="t", score=score + seed, baseline_score=baseline)
        for seed, one in enumerate(molecules)
    ]
    ledger = ledger_of(explanations, by)
    assert adds_up(ledger)
    assert ledger.end == pytest.approx(np.mean([each.score for each in explanations]))
    assert ledger.start == pytest.approx(baseline)
    frame = ledger.to_frame()
    assert frame["total"].iloc[-2] == pytest.approx(ledger.end, rel=1e-12, abs=1e-12)
    assert len(frame) == len(ledger.entries) + 2
    assert ledger.entries[-1].part == "residual"


@pytest.mark.parametrize("by", ["types", "groups"])
def test_a_real_ledger_closes_with_the_residual(small_committee, by):
    whys = molig.explain(
        small_committee, ["CC(=O)Oc1ccccc1C(=O)O", "CCN", "[Na+].CC(=O)[O-]"], task="nitrogen"
    )
    for why in whys:
        ledger = why.ledger(by)
        assert adds_up(ledger)
        assert ledger.entries[-1].score == pytest.approx(why.residual, abs=1e-9)
    mean = ledger_of(whys, by)
    assert adds_up(mean)
    assert (mean.title, mean.n_molecules) == ("mean of 3 molecules", 3)


def test_parts_are_those_of_the_explanation(small_committee):
    why = molig.explain(small_committee, "CC(=O)Oc1ccccc1C(=O)O", task="nitrogen")
    sums: dict[str, float] = {}
    for entry in why.ledger().entries[:-1]:
        sums[entry.part] = sums.get(entry.part, 0.0) + entry.score
    assert sums == pytest.approx(why.parts)
    by_group = {entry.name: entry.score for entry in why.ledger("groups").entries}
    assert by_group["benzene"] == pytest.approx(why.atom_scores[4:10].sum())


def test_what_a_molecule_lacks_counts_as_nought_in_the_mean():
    nitro, plain = (
        made_up(SCHEMA, parsed(Record(1, "x", smiles)), task="t") for smiles in ("CN(=O)=O", "CC")
    )
    mean = {entry.name: entry.score for entry in ledger_of([nitro, plain], "groups").entries}
    (alone,) = [entry.score for entry in nitro.ledger("groups").entries if entry.name == "nitro"]
    assert mean["nitro"] == pytest.approx(alone / 2)


def test_impossible_ledgers_are_named():
    one, other = (made_up(SCHEMA, MOLECULES[0], seed) for seed in (0, 1))
    with pytest.raises(UsageError, match=r"one task and target \(got task 0 \(probability\) and task 1"):
        ledger_of([one, other])
    with pytest.raises(UsageError, match="at least one"):
        ledger_of([])
    with pytest.raises(UnknownNameError, match="did you mean 'groups'"):
        one.ledger("group")


class TestMainGroups:
    def test_groups_of_one_name_count_together(self):
        why = made_up(SCHEMA, parsed(Record(1, "x", "ClCCCl")))
        scores = np.zeros_like(why.atom_attributions)
        scores[[0, 3]] = 0.25
        why = made_up(
            SCHEMA,
            parsed(Record(1, "x", "ClCCCl")),
            atom_attributions=scores,
            pair_attributions=np.zeros_like(why.pair_attributions),
            score=2.0,
        )
        (main,) = why.main_groups()
        assert (main.words, main.atoms) == ("2 × chloro", (0, 3))
        assert main.score == pytest.approx(scores.sum())

    def test_percent_only_where_the_change_is_material(self):
        of = {"score": 0.126, "baseline_score": 0.125}
        assert made_up(SCHEMA, MOLECULES[0], **of).shares is None

    def test_atoms_are_told_in_ranges(self):
        assert atoms_in_words([7]) == "atom 7"
        assert atoms_in_words([1, 2, 3, 5, 7, 8]) == "atoms 1–3, 5, 7–8"
