from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from rdkit import Chem
from support.planted import audited, changed
from support.small_model import label, nci_smiles

from audit.planted.shortcut_fragments import like
from molig.audit import Severity, audit, subject_of
from molig.audit.checks.shortcut_fragments import (
    _figure,
    adjusted,
    brics_pieces,
    find_fragments,
    fisher_p,
    fragment_atoms,
    functional_groups,
    higher_p,
    label_odds,
    score_odds,
)
from molig.model import ScreeningModel
from molig.molecules.groups import ring_systems
from molig.stats.intervals import Estimate

NAME = "shortcut-fragments"


def _labels(smiles: list[str], chlorine: bool = False) -> np.ndarray:
    rows = [[max(label(s)["nitrogen"], chlorine and "Cl" in s), label(s)["carbonyl"]] for s in smiles]
    return np.array(rows, dtype=float)


@pytest.mark.parametrize(
    ("edit", "chlorine", "words"),
    [
        (("Cl", "N"), False, "raise the score"),
        (None, True, "get no attribution"),
        (None, False, ""),
    ],
)
def test_planted_and_clean(
    small_model: ScreeningModel, edit: tuple[str, str] | None, chlorine: bool, words: str
) -> None:
    model = changed(small_model, like(*edit)) if edit else small_model
    smiles = nci_smiles(1000, 400)  # a hundred with chlorine
    subject = audited(
        model, smiles=smiles, labels=_labels(smiles, chlorine), tasks=("nitrogen",), max_explained=150
    )
    found = [f for f in audit(subject, only=[NAME]).findings if f.severity is not Severity.INFO]
    assert [words in finding.summary for finding in found] == ([True] if words else [])
    if words:
        assert any(
            "Cl" in name or "halide" in name or "halogen" in name for name in found[0].evidence.features
        )
        assert found[0].evidence.molecules


def test_without_labels_it_is_skipped(small_model: ScreeningModel) -> None:
    result = audit(audited(small_model, labels=None), only=[NAME]).results[0]
    assert "no labels" in result.skipped


@pytest.mark.parametrize("smiles", [["CCO"], ["C"] * 30, nci_smiles(60, 400)])
def test_one_class_or_few_fragments_are_skipped(small_model: ScreeningModel, smiles: list[str]) -> None:
    subject = subject_of(small_model, smiles, np.zeros((len(smiles), 2)))
    result = audit(subject, only=[NAME]).results[0]
    assert result.skipped
    assert not result.failed


def test_a_regression_is_split_at_the_median(small_regression: ScreeningModel) -> None:
    smiles = nci_smiles(120, 400)
    values = np.array([[s.count("N"), Chem.MolFromSmiles(s).GetNumHeavyAtoms()] for s in smiles], dtype=float)
    subject = audited(small_regression, smiles=smiles, labels=values, max_explained=60)
    result = audit(subject, only=[NAME]).results[0]
    assert not result.failed
    assert result.outcome.measured["pairs"] > 0


class _Pair(NamedTuple):
    """What the figure needs of a fragment and a task."""

    label: Estimate
    excess: float


def _pairs(n: int) -> list[_Pair]:
    rng = np.random.default_rng(0)
    return [
        _Pair(Estimate(ratio, ratio, ratio), float(rng.normal())) for ratio in rng.lognormal(size=n).tolist()
    ]


def test_the_figure_shows_every_pair() -> None:
    assert _figure(_pairs(250), [], []).svg.count("<use") >= 250
    # The last of many pairs stands far from the others: it would be missing if only the first were drawn.
    many = _pairs(4000)
    outlier = _Pair(Estimate(1e4, 1e4, 1e4), 30.0)
    svg, without = (_figure(pairs, [], []).svg for pairs in ([*many, outlier], many))
    assert "data:image/png;base64" in svg
    assert _picture(svg) != _picture(without)
    assert len(svg) < 60_000


def _picture(svg: str) -> str:
    return svg.partition("data:image/png;base64,")[2].partition('"')[0]


def test_fragments_of_a_molecule() -> None:
    found = {name: sorted(atoms) for name, atoms in fragment_atoms(Chem.MolFromSmiles("CC(=O)Nc1ccccc1"))}
    assert found["element O"] == [2]
    assert found["amides"] == [1, 3] or found["amides"] == [1, 2, 3]
    assert found["ring c1ccccc1"] == found["scaffold c1ccccc1"] == [4, 5, 6, 7, 8, 9]
    assert found["piece CC=O"] == [0, 1, 2]


def test_single_atoms_and_salts_have_fragments_or_none() -> None:
    assert list(fragment_atoms(Chem.MolFromSmiles("C"))) == []
    assert [name for name, _ in fragment_atoms(Chem.MolFromSmiles("[Na+].[Cl-]"))] == [
        "element Na",
        "element Cl",
        "halogens",
    ]


def test_fragments_in_all_or_few_molecules_are_left_out() -> None:
    mols = [Chem.MolFromSmiles(s) for s in ("CCO", "CCCO", "CCF", "CO")]
    assert "element O" not in [f.name for f in find_fragments(mols, 2)]
    assert find_fragments(mols, 1)[0].presence(4).tolist() == [True, True, False, True]


def test_fragments_of_the_same_atoms_are_listed_once() -> None:
    """A group comes before the element that it consists of."""
    mols = [Chem.MolFromSmiles(smiles) for smiles in ("CCCl", "CCCCl", "CCC")]
    assert [fragment.name for fragment in find_fragments(mols, 1)] == ["alkyl halides", "element Cl"]


def test_rings_that_share_atoms_are_one_system() -> None:
    mol = Chem.MolFromSmiles("c1ccc2ccccc2c1CC1CC1")
    assert [len(system) for system in ring_systems(mol)] == [10, 3]


def test_pieces_are_what_is_left_between_brics_bonds() -> None:
    found = brics_pieces(Chem.MolFromSmiles("CC(=O)Nc1ccccc1"))
    assert found == [[0, 1, 2], [3], [4, 5, 6, 7, 8, 9]]
    assert brics_pieces(Chem.MolFromSmiles("CC")) == []


def test_functional_groups_are_read_from_rdkit() -> None:
    groups = functional_groups()
    assert len(groups) > 60
    assert Chem.MolFromSmiles("C[N+](=O)[O-]").HasSubstructMatch(groups["nitro groups"])


def test_odds_ratio_of_a_textbook_table() -> None:
    # 20 of 30 active with it, 10 of 40 without it; with half a molecule added to each count.
    has = np.array([True] * 30 + [False] * 40)
    active = np.array([True] * 20 + [False] * 10 + [True] * 10 + [False] * 30)
    odds = label_odds(has, active)
    ratio = 20.5 * 30.5 / (10.5 * 10.5)
    error = math.sqrt(1 / 20.5 + 1 / 10.5 + 1 / 10.5 + 1 / 30.5)
    assert odds.value == pytest.approx(ratio)
    assert math.log(odds.high / odds.low) == pytest.approx(2 * 1.96 * error, rel=1e-4)
    assert score_odds(has, active.astype(float)).value == pytest.approx(ratio)
    assert score_odds(has, active.astype(float)).low == pytest.approx(odds.low, rel=0.1)
    assert fisher_p(has, active) == pytest.approx(0.00065, rel=0.2)


def test_p_values_are_adjusted_as_by_hand() -> None:
    np.testing.assert_allclose(adjusted([0.01, 0.02, 0.03, 0.5]), [0.04, 0.04, 0.04, 0.5])


def test_signed_ranks() -> None:
    assert higher_p(np.zeros(12)) == 1
    assert higher_p(np.arange(1.0, 20)) < 1e-3
    assert higher_p(-np.arange(1.0, 20)) > 0.99
