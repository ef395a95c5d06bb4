import re
from xml.etree import ElementTree

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor

from molig.depiction import Panel, draw_outline, draw_png, draw_svg
from molig.depiction.panel import NEGATIVE, NOISE, POSITIVE, PanelError, hex_color

from .conftest import ASPIRIN, TAXOL

SVG = "{http://www.w3.org/2000/svg}"
NITRO = "[O-][N+](=O)c1ccc(cc1)C(=O)NCC[N+](C)(C)C"
SALT = "CC(N)(C)Cc1ccc(Cl)cc1.Cl.[Na+].[Cl-]"


def discs(svg: str) -> list[str]:
    """Colours of the atom highlights, in the order drawn."""
    found = []
    for parent in ElementTree.fromstring(svg).iter():
        if parent.get("pointer-events") is None:  # the discs that are only there to be pointed at
            # Discs of one colour share a group that bears it.
            found += [disc.get("fill") or parent.get("fill") for disc in parent.findall(f"{SVG}circle")]
    return [color.lower() for color in found]


def channels(color: str) -> list[float]:
    """Red, green and blue from 0 to 1."""
    return [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def like(color: tuple[float, float, float]) -> object:
    """Equal to a colour but for rounding: RDKit cuts off where hex_color rounds."""
    return pytest.approx(color, abs=1.01 / 255)


@pytest.mark.parametrize(
    "smiles", [ASPIRIN, TAXOL, NITRO, SALT, "[Na+]", "O", "CC", "C[C@H](N)C(=O)O", "F/C=C/F", "*C", "C" * 200]
)
@pytest.mark.parametrize("bonds", [True, False])
def test_every_molecule_gives_valid_xml_with_a_size(make_panel, smiles, bonds):
    root = ElementTree.fromstring(draw_svg(make_panel(smiles, bonds=bonds)))
    assert root.tag == f"{SVG}svg"
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("420", "340", "0 0 420 340")


def test_red_raises_and_blue_lowers():
    mol = Chem.MolFromSmiles("CC")
    raised, lowered = discs(draw_svg(Panel(mol, [1.0, -1.0])))
    assert channels(raised) == like(POSITIVE)
    assert channels(lowered) == like(NEGATIVE)


def test_bond_colours_have_the_right_sign():
    mol = Chem.MolFromSmiles("CC")
    for score, color in ((1.0, POSITIVE), (-1.0, NEGATIVE)):
        root = ElementTree.fromstring(draw_svg(Panel(mol, [0, 0], [score])))
        fills = [path.get("fill") for path in root.iter(f"{SVG}path")]
        assert [channels(fill) for fill in fills if fill != "none"] == [like(color)]


def test_scores_keep_their_atoms_and_colours_their_scale():
    mol = Chem.MolFromSmiles("CCO")
    svg = draw_svg(Panel(mol, [0.0, 0.5, -1.0]))
    # Nought stays white paper; half the scale is halfway to the full colour.
    half, full = discs(svg)
    assert channels(full) == like(NEGATIVE)
    assert channels(half) == like(tuple((1 + channel) / 2 for channel in POSITIVE))
    assert "C, atom 1: +0.5" in svg
    assert "O, atom 2: −1" in svg


def test_default_scale_is_each_panels_own_and_a_given_one_is_common():
    mol = Chem.MolFromSmiles("C")
    panels = [Panel(mol, [1.0]), Panel(mol, [2.0])]
    assert len(set(discs(draw_svg(panels)))) == 1
    assert len(set(discs(draw_svg(panels, scale=2.0)))) == 2
    assert draw_svg(panels, scale=2.0).count(">+2<") == 2


def test_noise_is_grey():
    mol = Chem.MolFromSmiles("CC")
    panel = Panel(mol, [0.05, 1.0], [0.01])
    assert hex_color(NOISE) not in draw_svg(panel).lower()
    assert hex_color(NOISE) in discs(draw_svg(panel, noise=0.1))


def test_scores_of_nought_draw_plainly(aspirin):
    assert discs(draw_svg(Panel(aspirin, np.zeros(13), np.zeros(13)), noise=0.1)) == []


def test_callers_molecule_is_left_alone(aspirin):
    before = aspirin.ToBinary(Chem.PropertyPickleOptions.AllProps)
    draw_svg(Panel(aspirin, np.ones(13)))
    assert aspirin.GetNumConformers() == 0
    assert aspirin.GetBondWithIdx(4).GetIsAromatic()
    assert aspirin.ToBinary(Chem.PropertyPickleOptions.AllProps) == before


def test_own_layout_is_kept_unless_it_is_void(make_panel):
    turned = Chem.MolFromSmiles("CCCCO")
    rdDepictor.Compute2DCoords(turned, canonOrient=False)
    positions = turned.GetConformer().GetPositions()
    for index, (x, y, _) in enumerate(positions):
        turned.GetConformer().SetAtomPosition(index, (y, -x, 0.0))
    plain = make_panel("CCCCO")
    scores = plain.atom_scores, plain.bond_scores
    assert draw_svg(Panel(turned, *scores)) != draw_svg(plain)
    for index in range(5):
        turned.GetConformer().SetAtomPosition(index, (0.0, 0.0, 0.0))
    assert draw_svg(Panel(turned, *scores)) == draw_svg(plain)


def test_molecule_without_a_kekule_form_is_drawn():
    mol = Chem.MolFromSmiles("c1cccc1", sanitize=False)
    ElementTree.fromstring(draw_svg(Panel(mol, np.ones(5))))


def test_panels_are_told_apart_and_counted(make_panel):
    panels = [make_panel("CCO", title=f"mol {number}") for number in range(7)]
    root = ElementTree.fromstring(draw_svg(panels, columns=3))
    labels = [g.get("aria-label") for g in root.iter(f"{SVG}g") if g.get("role") == "img"]
    assert [label.split(";")[0] for label in labels] == [f"mol {number}" for number in range(7)]
    assert (root.get("width"), root.get("height")) == ("1260", "1020")
    assert root.find(f"{SVG}title").text == "7 molecules coloured by score"


def test_fewer_panels_than_columns_leave_no_empty_paper(make_panel):
    assert 'width="840"' in draw_svg([make_panel("CCO")] * 2, columns=5)


def test_same_input_same_text_and_ids_differ_between_drawings(make_panel):
    first, second = make_panel(ASPIRIN, title="a"), make_panel(ASPIRIN, title="b")
    assert draw_svg(first) == draw_svg(first)
    ids = [set(re.findall(r'\bid="([^"]+)"', draw_svg(panel))) for panel in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_ids_are_unique_and_references_resolve(make_panel):
    svg = draw_svg([make_panel("CCO", title="a")] * 4)
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'labelledby="([^"]+)"', svg)) == set(
        ids
    )


def test_words_are_escaped(make_panel):
    evil = "<script>alert('x')</script> & \" \x00\x0b\ud800"
    svg = draw_svg(make_panel("CCO", title=evil, legend=(evil,)))
    root = ElementTree.fromstring(svg)
    assert not list(root.iter(f"{SVG}script"))
    assert "<script" not in svg
    svg.encode()


def test_words_stay_off_the_structure(make_panel):
    panel = make_panel("CCO", title="t" * 300, legend=["word " * 60, "C" * 200])
    root = ElementTree.fromstring(draw_svg(panel))
    structure = root.find(f"{SVG}g/{SVG}svg")
    top = float(structure.get("y"))
    bottom = top + float(structure.get("height"))
    bases = [float(text.get("y")) for text in root.iter(f"{SVG}text")]
    assert min(bases) < top
    assert all(base < top or base > bottom for base in bases)
    assert float(structure.get("height")) >= 340 / 2 - 10
    assert max(bases) < float(root.get("height"))


def test_drawings_are_small(make_panel):
    smiles = "CN1CCN(CC1)Cc1ccc(cc1)C(=O)Nc1ccccc1F"  # 24 heavy atoms
    assert len(draw_svg(make_panel(smiles, title="x", legend=("p = 0.9",))).encode()) < 15_000


def test_nothing_is_loaded_from_elsewhere(make_panel):
    svg = draw_svg(make_panel(ASPIRIN))
    assert "href" not in svg
    assert svg.count("http") == 1  # the namespace


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": 0}, "columns: expected at least 1"),
        ({"scale": 0.0}, "scale: expected a finite number above 0"),
        ({"scale": float("nan")}, "scale"),
        ({"noise": 1.0}, "noise"),
        ({"noise": -0.1}, "noise"),
        ({"size": (10, 10)}, "size: expected two whole numbers"),
        ({"size": (420.5, 300)}, "size"),
    ],
)
def test_impossible_options_are_named(make_panel, options, message):
    with pytest.raises(PanelError, match=message):
        draw_svg(make_panel("CCO"), **options)


def test_nothing_to_draw_is_an_error():
    with pytest.raises(PanelError, match="at least one Panel"):
        draw_svg([])


def test_too_large_a_sheet_is_refused(make_panel):
    with pytest.raises(PanelError, match="draw fewer"):
        draw_svg([make_panel("C")] * 100, columns=1)


@pytest.mark.parametrize("draw", [draw_svg, draw_png])
def test_without_scores_there_is_no_colour_bar(aspirin, draw):
    plain, scored = draw(Panel(aspirin, np.zeros(13))), draw(Panel(aspirin, np.zeros(13)), scale=1.0)
    assert plain != scored
    if draw is draw_svg:
        assert plain.count("-bar)") == 0 < scored.count("-bar)")
        assert "no atom has a score" in plain


def test_outline_is_ink_without_paper_or_colour():
    mol = Chem.MolFromSmiles("CC(=O)Nc1ccccc1")
    ink, places = draw_outline(mol, (200, 150))
    ElementTree.fromstring(f"<svg>{ink}</svg>")
    assert "<rect" not in ink
    assert "<circle" not in ink
    assert len(places) == mol.GetNumAtoms()
    assert all(0 <= x <= 200 and 0 <= y <= 150 for x, y in places)
