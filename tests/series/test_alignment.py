"""A series drawn in one orientation."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor
from support.explanations import made_up, parsed

from molig.errors import InputError, UsageError
from molig.features import preset
from molig.molecules import Record
from molig.series.alignment import Alignment, aligned, laid_out, laid_upon

SERIES = ["Cc1ccc2ncccc2c1", "O=C(O)c1ccc2ncccc2c1", "Cc1ccc2nc(N)ccc2c1"]


def mols(smiles: list[str]) -> list[Chem.Mol]:
    return [Chem.MolFromSmiles(text) for text in smiles]


def positions(mol: Chem.Mol, pattern: str) -> np.ndarray:
    place = mol.GetSubstructMatch(Chem.MolFromSmarts(pattern))
    return mol.GetConformer().GetPositions()[list(place)]


@pytest.mark.parametrize("how", ["auto", "c1ccc2ncccc2c1"])
def test_all_scaffolds_lie_alike(how):
    series = mols(SERIES)
    aligned = Alignment.of(how, series).upon(series)
    places = [positions(mol, "c1ccc2ncccc2c1") for mol in aligned]
    for place in places[1:]:
        np.testing.assert_allclose(place, places[0], atol=0.01)
    assert [mol.GetNumConformers() for mol in series] == [0, 0, 0]  # the molecules themselves stay


def test_coordinates_of_a_template_are_kept(tmp_path):
    template = Chem.MolFromSmiles("c1ccc2ncccc2c1")
    rdDepictor.Compute2DCoords(template)
    own = template.GetConformer()
    for i in range(template.GetNumAtoms()):  # turned by a quarter and moved: nobody else's layout
        x, y, _ = own.GetAtomPosition(i)
        own.SetAtomPosition(i, (-y + 3, x, 0.0))
    path = tmp_path / "template.sdf"
    path.write_text(Chem.MolToMolBlock(template) + "$$$$\n")
    series = mols(SERIES)
    for mol in Alignment.of(str(path), series).upon(series):
        place = mol.GetSubstructMatch(template)
        here = mol.GetConformer().GetPositions()[list(place)]
        np.testing.assert_allclose(here, own.GetPositions(), atol=0.01)


def test_the_first_molecule_with_coordinates_shows_the_way():
    series = mols(SERIES)
    rdDepictor.Compute2DCoords(series[1])
    own = series[1].GetConformer().GetPositions()
    aligned = Alignment.of("auto", series).upon(series)
    np.testing.assert_allclose(aligned[1].GetConformer().GetPositions(), own, atol=0.01)


def test_one_that_does_not_belong_stays_as_it_is():
    series = [*mols(SERIES), Chem.MolFromSmiles("CCO")]
    alignment = Alignment.of("auto", series)
    assert [alignment.fits(mol) for mol in series] == [True, True, True, False]
    assert alignment.upon(series)[3] is series[3]


def test_explanations_are_aligned_task_by_task():
    schema = preset("simple", max_pair_distance=2)
    molecules = [parsed(Record(row, "", smiles)) for row, smiles in enumerate([*SERIES, "CCO"])]
    tasks = [
        made_up(schema, molecule, seed, mol=Chem.Mol(molecule.mol))  # as other processes send it
        for molecule in molecules
        for seed in (0, 1)
    ]
    with pytest.warns(UserWarning, match="1 of 4 molecules do not contain"):
        laid = aligned(tasks, "c1ccc2ncccc2c1")
    assert [one.task for one in laid] == [one.task for one in tasks]
    assert laid[0].mol is laid[1].mol
    first, second = (positions(one.mol, "c1ccc2ncccc2c1") for one in (laid[0], laid[2]))
    np.testing.assert_allclose(first, second, atol=0.01)


def test_nothing_to_align_to():
    with pytest.raises(InputError, match="none of the 2 molecules contains"):
        Alignment.of("c1ccccc1", mols(["CCO", "CCN"]))
    with pytest.raises(InputError, match="no scaffold in common"):
        Alignment.of("auto", mols(["CCO", "c1ccncc1"]))
    with pytest.raises(InputError, match="a single molecule"):
        Alignment.of("auto", mols(["CCO"]))
    with pytest.raises(UsageError, match="no SMARTS"):
        Alignment.of("c1cc", mols(["CCO", "CCN"]))


def test_a_smaller_ring_keeps_its_shape():
    first = laid_out(Chem.MolFromSmiles("CC1CCCCC1"))
    second = Chem.MolFromSmiles("CC1CCCC1")
    upon = laid_upon(second, first, [(0, 0), (1, 1), (2, 2), (3, 3), (5, 4), (6, 5)])
    ends = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in upon.GetBonds()]
    here = upon.GetConformer().GetPositions()
    lengths = [float(np.linalg.norm(here[i] - here[j])) for i, j in ends]
    assert max(lengths) / min(lengths) < 1.6
