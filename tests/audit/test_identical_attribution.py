"""Receptive fields: what atoms look like to a network, and the check that compares attributions with it."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from support.planted import Case, changed, judge
from support.random_models import random_model
from support.small_model import nci_smiles

from audit.planted import identical_attribution as planted
from molig.audit import Severity, audit, subject_of
from molig.audit.checks.identical_attribution import (
    LEVELS,
    MOST_ENVIRONMENTS,
    attribution_colors,
    environments,
    pairs_by_level,
    surroundings,
)
from molig.audit.report import audit_data
from molig.model import load_model

MOLECULES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "NCCOCCO",
    "C=C(C)C(N)=O",
    "Nc1ccc(Br)cc1",
    "CCCCNc1ccccc1",
    "C1CC2CCC1CC2",
    "OC(F)(F)C#N",
    "CCCCCCCCC",
    "CC(C)CC(C)CO",
]


def tree(atom: Chem.Atom, radius: int) -> str:
    """The surroundings of an atom written out, for comparison."""
    if radius == 0:
        return atom.GetSymbol()
    around = sorted(
        f"{bond.GetBondType()}({tree(bond.GetOtherAtom(atom), radius - 1)})" for bond in atom.GetBonds()
    )
    return f"{atom.GetSymbol()}[{' '.join(around)}]"


def partition(names) -> list[list[bool]]:
    """Which items are equal."""
    listed = list(names)
    return [[a == b for b in listed] for a in listed]


@pytest.mark.parametrize("smiles", MOLECULES)
def test_environments_are_the_surroundings_written_out(smiles):
    mol = Chem.MolFromSmiles(smiles)
    levels = environments(mol)
    assert partition(levels[0].tolist()) == partition(a.GetSymbol() for a in mol.GetAtoms())
    bonds = [(a.GetSymbol(), sorted(str(b.GetBondType()) for b in a.GetBonds())) for a in mol.GetAtoms()]
    assert partition(levels[1].tolist()) == partition(bonds)
    for radius in (1, 2, 3):
        expected = partition(tree(atom, radius) for atom in mol.GetAtoms())
        assert partition(levels[radius + 1].tolist()) == expected


def test_environments_of_a_molecule_by_hand():
    levels = environments(Chem.MolFromSmiles("CCCCO"))
    assert levels.tolist() == [
        [0, 0, 0, 0, 1],
        [0, 1, 1, 1, 2],
        [0, 1, 1, 2, 3],
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4],
    ]
    pairs, level = pairs_by_level(levels)
    found = {(int(i), int(j)): LEVELS[n] for i, j, n in zip(*pairs, level, strict=True)}
    assert found[0, 4] == "element"
    assert found[0, 1] == "own bonds"
    assert found[2, 3] == "radius 1"
    assert found[1, 2] == "radius 2"


@pytest.mark.parametrize("smiles", MOLECULES)
def test_texts_of_surroundings_differ_where_surroundings_do(smiles):
    mol = Chem.MolFromSmiles(smiles)
    assert partition(surroundings(mol)) == partition(environments(mol)[2].tolist())
    order = np.random.default_rng(1).permutation(mol.GetNumAtoms()).tolist()
    assert surroundings(Chem.RenumberAtoms(mol, order)) == [surroundings(mol)[i] for i in order]


def test_texts_of_surroundings_by_hand():
    found = surroundings(Chem.MolFromSmiles("[Na+].CC(=O)C#N"))
    assert found == [
        "Na bonded to nothing",
        "C bonded to C",
        "C bonded to C,C,=O",
        "O bonded to =C",
        "C bonded to C,#N",
        "N bonded to #C",
    ]


def test_a_single_atom_has_no_pairs():
    levels = environments(Chem.MolFromSmiles("C"))
    pairs, level = pairs_by_level(levels)
    assert pairs.shape == (2, 0)
    assert level.shape == (0,)


@pytest.mark.parametrize(("schema", "limit"), [("simple", 1), ("simple", 2), ("simple", 3), ("full", 2)])
@pytest.mark.parametrize("n_modules", [1, 2, 3])
def test_attributions_of_random_networks_differ_exactly_where_the_colours_do(schema, limit, n_modules):
    """Equal colours: equal attributions at every point of the path, for any weights; others: not for all."""
    models = [
        random_model(
            schema, limit, seed=seed, double=True, n_modules=n_modules, activation="silu", readout="sum"
        )
        for seed in range(3)
    ]
    graphs = models[0].featurize([Chem.MolFromSmiles(smiles) for smiles in MOLECULES])
    everything, n = np.arange(len(graphs)), len(graphs)
    rows = [
        model.relax(graphs).densities(everything, np.full(n, scale), np.full(n, task)).atoms
        for model in models
        for scale, task in ((0.3, 0), (1.0, 1))
    ]
    for place, graph in enumerate(graphs):
        colors = attribution_colors(graph, n_modules)
        alike = colors[:, None] == colors[None, :]
        gaps = []
        for one in rows:
            atoms = one[place]
            assert len(atoms) == len(colors)
            gap = np.abs(atoms[:, None] - atoms[None, :]).max(axis=2) / np.abs(atoms).max()
            # Equivalent atoms have charges that agree to float32 only.
            assert gap[alike].max() < (1e-12 if schema == "simple" else 1e-4)
            gaps.append(gap)
        assert (np.max(gaps, axis=0)[~alike] > 1e-9).all()


@pytest.mark.parametrize("n_modules", [1, 2])
def test_colours_do_not_depend_on_the_order_of_atoms(n_modules):
    model = random_model()
    mol = Chem.MolFromSmiles(MOLECULES[0])
    order = np.random.default_rng(1).permutation(mol.GetNumAtoms())
    shuffled = Chem.RenumberAtoms(mol, order.tolist())
    first, second = (attribution_colors(model.featurize([m])[0], n_modules) for m in (mol, shuffled))
    assert partition(first[order].tolist()) == partition(second.tolist())


def test_one_module_sees_no_neighbours_and_two_do():
    graph = random_model().featurize([Chem.MolFromSmiles("NCCOCCO")])[0]
    assert attribution_colors(graph, 1)[1] == attribution_colors(graph, 1)[5]
    assert attribution_colors(graph, 2)[1] != attribution_colors(graph, 2)[5]


CASES = {case.name: case for case in planted.cases(0)}


@pytest.mark.parametrize("name", ["bundled W1N2, two tasks", "W2, bundled W2N2, A->P weights 0"])
def test_planted(name):
    assert judge("identical-attribution", CASES[name]).right


def test_clean():
    verdict = judge("identical-attribution", CASES["bundled tox21-w2n2-simple"])
    assert verdict.right
    assert verdict.result.results[0].status == "ok"


def test_the_anomaly_of_one_module_names_molecules_and_atoms():
    model = load_model("tox21-w1n2-simple")
    result = audit(subject_of(model, planted.SMALL), only=["identical-attribution"])
    (finding,) = result.findings
    assert finding.severity is Severity.ERROR
    assert finding.evidence.numbers["pairs"] == finding.evidence.numbers["share_of_pairs"] * 11
    assert "two or more Weave modules" in finding.advice
    notes = {example.smiles: example.note for example in finding.evidence.molecules}
    assert len(notes) == 6
    assert "C1 and C5 both" in notes["NCCOCCO"]
    assert "bonded to C,N and C,O" in notes["NCCOCCO"]
    assert all(example.svg.startswith("<svg") for example in finding.evidence.molecules)
    assert audit_data(result)["findings"][0]["severity"] == "error"


def test_environments_that_one_module_cannot_tell_apart_are_named():
    """Of the CH2 groups of N-C-C-O-C-C-O only 1 and 5 look alike: one atom at two bonds, not two."""
    model = load_model("tox21-w1n2-simple")
    subject = subject_of(model, ["NCCOCCO", "CCO"])
    (result,) = audit(subject, only=["identical-attribution"]).results
    (finding,) = result.outcome.findings
    expected = {"C bonded to C,N | C bonded to C,O": 1}
    assert finding.evidence.numbers["environments"] == expected
    assert result.outcome.measured["environments"] == expected


def test_the_most_frequent_environments_come_first():
    subject = subject_of(load_model("tox21-w1n2-simple"), planted.SMALL)
    (result,) = audit(subject, only=["identical-attribution"]).results
    (finding,) = result.outcome.findings
    counts = list(finding.evidence.numbers["environments"].values())
    assert counts == sorted(counts, reverse=True)
    assert len(counts) <= MOST_ENVIRONMENTS
    assert sum(counts) == finding.evidence.numbers["pairs"]


def test_a_small_model_whose_pairs_forget_their_atoms(small_model):
    """Defect and control are one network, but for the weights A->P."""
    broken = changed(small_model, planted.scale_atoms_of_pairs(0))
    case = Case("A->P cut", lambda: planted.on(lambda: broken, nci_smiles(25, 400)), planted=True)
    found = judge("identical-attribution", case)
    assert found.right
    (finding,) = found.result.findings
    assert finding.severity is Severity.WARNING
    assert "does not use" in finding.summary
    control = Case("whole", lambda: planted.on(lambda: small_model, nci_smiles(25, 400)), planted=False)
    assert judge("identical-attribution", control).right


def test_a_regression(small_regression):
    result = audit(subject_of(small_regression, planted.SMALL), only=["identical-attribution"])
    assert result.results[0].status == "ok"


def test_nothing_to_compare(small_model):
    result = audit(subject_of(small_model, planted.ALIKE), only=["identical-attribution"])
    assert "bonded to different atoms" in result.results[0].skipped


def test_scores_without_attributions_are_counted_not_compared(small_model):
    blank = changed(small_model, lambda net: net.head[-1].weight.zero_())
    result = audit(subject_of(blank, planted.SMALL), only=["identical-attribution"]).results[0]
    assert result.outcome.findings == []
    measured = result.outcome.measured
    assert measured["explanations_without_any_attribution"] == 2 * len(planted.SMALL)
    assert measured["by_radius"]["radius 1"]["share_identical"] is None
