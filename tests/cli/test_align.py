"""`molig explain --align`: a series drawn in one orientation."""

from __future__ import annotations

import re

import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor

SERIES = "Cc1ccc2ncccc2c1 a\nO=C(O)c1ccc2ncccc2c1 b\nNc1ccc2ncccc2c1 d\nCCO c\n"


@pytest.fixture
def explain(molig, small_model_dir, write):
    def run(*words: object, source: str = SERIES, name: str = "series.smi"):
        path = write(name, source)
        task = ("--task", "nitrogen", "--device", "cpu")
        return molig("explain", "-i", path, "-m", small_model_dir, *task, *words)

    return run


@pytest.mark.parametrize("how", ["auto", "c1ccc2ncccc2c1"])
def test_a_series_on_a_page_and_in_a_grid(explain, tmp_path, how):
    svg, page = tmp_path / "grid.svg", tmp_path / "page.html"
    run = explain("--align", how, "-o", svg, "-o", page)
    assert run.code == 0, run.err
    assert "1 of 4 molecules do not contain what the others are aligned to" in run.err
    assert svg.exists()
    assert page.exists()


def block(turned: bool) -> str:
    mol = Chem.MolFromSmiles("Cc1ccncc1")
    rdDepictor.Compute2DCoords(mol)
    own = mol.GetConformer()
    for i in range(mol.GetNumAtoms()):
        x, y, _ = own.GetAtomPosition(i)
        own.SetAtomPosition(i, (-y, x, 0.0) if turned else (x, y, 0.0))
    return Chem.MolToMolBlock(mol) + "$$$$\n"


def test_coordinates_of_an_sd_file_are_kept(explain, tmp_path):
    shapes = []
    for name, turned in (("flat", False), ("turned", True)):
        path = tmp_path / f"{name}.svg"
        assert explain("-o", path, source=block(turned), name=f"{name}.sdf").code == 0
        shapes.append(re.findall(r'd="(M[^"]*)"', path.read_text())[:3])
    assert shapes[0] != shapes[1]


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        ("c1cc", 2, "is no SMARTS"),
        ("no.sdf", 2, "no.sdf: No such file"),
        ("[Si]", 1, "none of the 4 molecules contains '[Si]'"),
    ],
)
def test_what_goes_wrong(explain, tmp_path, how, code, message):
    path = tmp_path / "grid.svg"
    run = explain("--align", how, "-o", path)
    assert run.code == code
    assert message in run.err.replace("\n", " ")
    assert not path.exists()
