import io

import numpy as np
import pytest
from PIL import Image
from rdkit import Chem

from molig.depiction import Panel, draw_png
from molig.depiction.panel import NEGATIVE, NOISE, POSITIVE, PanelError


def decoded(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int)


def count(pixels: np.ndarray, color: tuple[float, float, float]) -> int:
    return int((np.abs(pixels - np.round(255 * np.array(color))) <= 2).all(axis=-1).sum())


@pytest.mark.parametrize(
    ("resolution", "shape"), [(1.0, (340, 420, 3)), (2.0, (680, 840, 3)), (1.5, (510, 630, 3))]
)
def test_size_follows_the_resolution(make_panel, resolution, shape):
    assert decoded(draw_png(make_panel("CCO"), resolution=resolution)).shape == shape


def test_default_resolution_is_two(make_panel):
    assert decoded(draw_png(make_panel("CCO", title="t"))).shape == (680, 840, 3)


def test_grid_has_the_size_of_its_rows(make_panel):
    png = draw_png([make_panel("CCO")] * 5, columns=2, size=(200, 160), resolution=1)
    assert decoded(png).shape == (480, 400, 3)


def test_colours_tell_the_sign():
    mol = Chem.MolFromSmiles("C")
    raised, lowered = (decoded(draw_png(Panel(mol, [score]))) for score in (1.0, -1.0))
    # The colour bar shows a little of both; the atom's disc decides.
    assert count(raised, POSITIVE) > 5 * count(raised, NEGATIVE)
    assert count(lowered, NEGATIVE) > 5 * count(lowered, POSITIVE)


def test_noise_is_grey():
    panel = Panel(Chem.MolFromSmiles("CC"), [0.05, 1.0])
    assert count(decoded(draw_png(panel, noise=0.1)), NOISE) > count(decoded(draw_png(panel)), NOISE) + 500


@pytest.mark.parametrize("smiles", ["[Na+]", "CC(N)C.Cl.[Na+].[Cl-]", "C" * 200])
def test_unusual_molecules_are_drawn(make_panel, smiles):
    assert (decoded(draw_png(make_panel(smiles), resolution=1, size=(420, 340))) < 100).any()


def test_same_input_same_bytes_and_molecule_left_alone(aspirin):
    panel = Panel(aspirin, np.linspace(-1, 1, 13), title="aspirin", legend=("p = 0.9",))
    assert draw_png(panel) == draw_png(panel)
    assert aspirin.GetNumConformers() == 0


def test_words_of_any_script_are_written(make_panel):
    decoded(draw_png(make_panel("CCO", title="α-Ж 中 \x00 <b>", legend=("", "−0.5 ± 0.1 µM"))))


def test_a_huge_image_is_refused(make_panel):
    with pytest.raises(PanelError, match="is too large; draw fewer"):
        draw_png([make_panel("C")] * 400, columns=20, resolution=4)


@pytest.mark.parametrize("palette", ["red-blue", "grey"])
def test_all_layers_are_painted(make_panel, palette):
    panel = make_panel("c1ccccc1O", title="t")
    everything = Panel(
        panel.mol,
        panel.atom_scores,
        panel.bond_scores,
        pair_atoms=[(0, 3)],
        pair_scores=[0.3],
        outline=(0, 1, 2, 3, 4, 5),
    )
    plain = decoded(draw_png(panel, palette=palette))
    assert (plain != decoded(draw_png(everything, palette=palette, label="values"))[: len(plain)]).any()


@pytest.mark.parametrize("resolution", [0.0, 9.0, float("nan")])
def test_impossible_resolutions_are_named(make_panel, resolution):
    with pytest.raises(PanelError, match="resolution"):
        draw_png(make_panel("CCO"), resolution=resolution)
