import math
import pickle

import numpy as np
import pytest
from rdkit import Chem

from molig.depiction import Panel
from molig.depiction.panel import PanelError, symmetric_scale
from molig.errors import UnknownNameError, UsageError


def test_scores_are_copied_and_read_only(aspirin):
    scores = np.ones(13)
    panel = Panel(aspirin, scores)
    scores[0] = 5
    assert panel.atom_scores[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        panel.atom_scores[0] = 2


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0] * 12, r"atom_scores: expected 13 numbers, one per atom \(got 12\)"),
        ([[1.0] * 13], r"atom_scores: expected a vector of 13 numbers \(got shape \(1, 13\)\)"),
        ([0.0] * 4 + [math.nan] + [math.inf] * 8, r"got nan at atom 4; 9 of 13 are not finite"),
        (["x"] * 13, "atom_scores: expected 13 numbers"),
        (None, "atom_scores: expected"),
    ],
)
def test_wrong_atom_scores_are_named(aspirin, scores, message):
    with pytest.raises(PanelError, match=message):
        Panel(aspirin, scores)


def test_wrong_bond_scores_are_named(aspirin):
    with pytest.raises(PanelError, match=r"bond_scores: expected 13 numbers, one per bond \(got 2\)"):
        Panel(aspirin, np.zeros(13), [0.0, 1.0])
    with pytest.raises(PanelError, match="got inf at bond 0; 13 of 13"):
        Panel(aspirin, np.zeros(13), np.full(13, np.inf))


def test_wrong_pairs_layers_and_outlines_are_named():
    mol = Chem.MolFromSmiles("CCO")
    for pairs in ([(0, 3)], [(1, 1)]):
        with pytest.raises(PanelError, match="pairs of different atoms from 0 to 2"):
            Panel(mol, np.zeros(3), pair_atoms=pairs, pair_scores=[0.1])
    with pytest.raises(PanelError, match=r"pair_scores: expected 1 numbers, one per pair \(got 2\)"):
        Panel(mol, np.zeros(3), pair_atoms=[(0, 2)], pair_scores=[0.1, 0.2])
    with pytest.raises(UnknownNameError, match="layer"):
        Panel(mol, np.zeros(3), layers=("bond",))
    with pytest.raises(PanelError, match="outline: expected atoms from 0 to 2"):
        Panel(mol, np.zeros(3), outline=(0, 7))


def test_wrong_molecules_are_named():
    with pytest.raises(PanelError, match="got NoneType"):
        Panel(None, [])
    with pytest.raises(PanelError, match="without atoms"):
        Panel(Chem.MolFromSmiles(""), [])


def test_panel_error_is_a_value_error_and_a_usage_error():
    assert issubclass(PanelError, ValueError)
    assert issubclass(PanelError, UsageError)


def test_one_legend_line_may_be_a_string(aspirin):
    assert Panel(aspirin, np.zeros(13), legend="p = 0.9").legend == ("p = 0.9",)


def test_symmetric_scale_sees_atoms_and_bonds_of_all_panels():
    mol = Chem.MolFromSmiles("CO")
    panels = [Panel(mol, [0.1, -0.2]), Panel(mol, [0.3, 0.0], [-0.5])]
    assert symmetric_scale(panels[0]) == 0.2
    assert symmetric_scale(panels) == 0.5
    assert symmetric_scale([]) == 0.0
    assert symmetric_scale(Panel(Chem.MolFromSmiles("O"), [0.0], [])) == 0.0


def test_symmetric_scale_names_what_is_no_panel(aspirin):
    with pytest.raises(PanelError, match=r"panels\[0\]: expected a Panel \(got Mol\)"):
        symmetric_scale([aspirin])


def test_panels_travel_between_processes(make_panel):
    panel = make_panel("CCO", title="ethanol")
    copy = pickle.loads(pickle.dumps(panel))
    assert copy.title == "ethanol"
    np.testing.assert_array_equal(copy.atom_scores, panel.atom_scores)
