import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor

from molig.depiction import Panel, draw_outline, draw_png, draw_svg
from molig.depiction.panel import NEGATIVE, NOISE, PALETTES, POSITIVE, PanelError, hex_color
from molig.errors import UnknownNameError

from .conftest import ASPIRIN, TAXOL

SVG = "{http://www.w3.org/2000/svg}"
NITRO = "[O-][N+](=O)c1ccc(cc1)C(=O)NCC[N+](C)(C)C"
SALT = "CC(N)(C)Cc1ccc(Cl)cc1.Cl.[Na+].[Cl-]"


def discs(svg: str) -> list[str]:
    """Colours of atoms, in their order."""
    tags = (f"{SVG}circle", f"{SVG}rect")
    shapes = [shape for shape in ElementTree.fromstring(svg).iter() if shape.tag in tags]
    of_atoms = [shape for shape in shapes if "atom " in shape.findtext(f"{SVG}title", "")]
    return [shape.get("fill").lower() for shape in of_atoms if shape.get("fill")]


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
    root = ElementTree.fromstring(draw_svg(make_panel(smiles, bonds=bonds), size=(420, 340)))
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
        bonds = [
            path for path in root.iter(f"{SVG}path") if "atoms 0 and 1" in path.findtext(f"{SVG}title", "")
        ]
        assert [channels(path.get("stroke")) for path in bonds] == [like(color)]


def test_scores_keep_their_atoms_and_colours_their_scale():
    mol = Chem.MolFromSmiles("CCO")
    svg = draw_svg(Panel(mol, [0.0, 0.5, -1.0]))
    # Nought stays white paper; half the scale is halfway to the full colour.
    half, full = discs(svg)
    assert channels(full) == like(NEGATIVE)
    assert channels(half) == like(tuple((1 + channel) / 2 for channel in POSITIVE))
    assert "C, atom 1: +0.5" in svg
    assert "O, atom 2: −1" in svg


class TestScale:
    MOL = Chem.MolFromSmiles("C")
    PANELS = (Panel(MOL, [1.0]), Panel(MOL, [2.0]))

    def test_by_default_one_for_all_and_it_is_said(self):
        svg = draw_svg(self.PANELS)
        assert len(set(discs(svg))) == 2
        assert svg.count(">+2<") == svg.count("one scale for all") == 2

    def test_each_its_own(self):
        svg = draw_svg(self.PANELS, scale="molecule")
        assert len(set(discs(svg))) == 1
        assert svg.count("a scale of its own") == 2

    def test_a_given_one(self):
        assert draw_svg(self.PANELS, scale=2.0).count(">+2<") == 2
        assert "a fixed scale" in draw_svg(self.PANELS[0], scale="4")
        assert "scale" not in draw_svg(self.PANELS[0])

    def test_units_share_none(self):
        logit, mass = Panel(self.MOL, [1.0], unit="logit"), Panel(self.MOL, [300.0], unit="mass")
        svg = draw_svg([logit, mass])
        assert (svg.count(">+1<"), svg.count(">+300<")) == (1, 1)
        assert "contribution to mass" in svg


class TestLayers:
    MOL = Chem.MolFromSmiles("CCO")

    def panel(self, *layers: str) -> Panel:
        scores = [0.1, 0.2, -0.3], [0.4, -0.1]
        return Panel(self.MOL, *scores, pair_atoms=[(0, 2)], pair_scores=[-0.5], layers=layers)

    def test_what_is_not_shown_has_no_part_in_the_scale(self):
        assert ">+0.3<" in draw_svg(self.panel("atoms"))
        assert ">+0.4<" in draw_svg(self.panel("atoms", "bonds"))
        assert ">+0.5<" in draw_svg(self.panel("atoms", "bonds", "pairs"))

    def test_bonds_are_told_though_they_are_not_coloured(self):
        svg = draw_svg(self.panel("atoms"))
        assert "C–O, atoms 1 and 2: −0.1" in svg
        assert "C…O" not in svg

    def test_arcs_are_drawn_above_a_threshold(self):
        assert "C…O, atoms 0 and 2: −0.5" in draw_svg(self.panel("pairs"))
        weak = Panel(self.MOL, [1.0, 0, 0], pair_atoms=[(0, 2)], pair_scores=[0.19])
        assert "C…O" not in draw_svg(weak)
        assert "C…O" in draw_svg(weak, threshold=0.1)

    def test_an_outline_surrounds_a_group(self):
        assert "#777" not in draw_svg(Panel(self.MOL, [0.1, 0.2, 0.3]))
        assert "#777" in draw_svg(Panel(self.MOL, [0.1, 0.2, 0.3], outline=(1, 2)))


def test_what_lowers_has_a_dashed_rim_in_every_palette():
    mol = Chem.MolFromSmiles("CC")
    for palette in PALETTES:
        raised, lowered = (draw_svg(Panel(mol, [score, 0]), palette=palette) for score in (1.0, -1.0))
        assert "dasharray" not in raised
        assert "dasharray" in lowered


def test_labels_on_demand():
    panel = Panel(Chem.MolFromSmiles("CCO"), [0.123, 0.0, -0.456], atom_numbers=(7, 8, 9))
    plain, numbers, values = (draw_svg(panel, label=label) for label in ("none", "numbers", "values"))
    assert [f">{n}<" in numbers for n in (7, 8, 9)] == [True] * 3
    assert ">7<" not in plain
    assert ">+.12<" in values
    assert ">−.46<" in values


def test_pills_hold_whole_labels():
    root = ElementTree.fromstring(draw_svg(Panel(Chem.MolFromSmiles("N"), [1.0])))
    (pill,) = [shape for shape in root.iter(f"{SVG}rect") if shape.get("rx")]
    assert float(pill.get("width")) > 1.3 * float(pill.get("height"))


def test_large_molecules_grow(make_panel):
    root = ElementTree.fromstring(draw_svg(make_panel("C" * 60)))
    assert int(root.get("width")) > 900
    assert 'width="300" height="200"' in draw_svg(make_panel("C" * 60), size=(300, 200))


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
    turned.GetConformer().SetAtomPosition(4, (9e6, 9e6, 0.0))  # a damaged file
    assert draw_svg(Panel(turned, *scores)) == draw_svg(plain)
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


@pytest.mark.parametrize(
    "smiles",
    [
        "CN1CCN(CC1)Cc1ccc(cc1)C(=O)Nc1ccccc1F",  # 24 atoms
        "CN1CCN(CC1)Cc1ccc(cc1)C(=O)Nc1ccccc1OCCCNC(=O)c1ccc(cc1)CN1CCN(C)CC1",  # 45
    ],
)
def test_drawings_are_small(make_panel, smiles):
    panel = make_panel(smiles, title="x", legend=("p = 0.9",))
    assert len(draw_svg(panel).encode()) < 10_000 + 350 * panel.mol.GetNumAtoms()
    pairs = np.argwhere(np.triu(Chem.GetDistanceMatrix(panel.mol) > 1))
    everything = replace(
        panel, pair_atoms=pairs, pair_scores=np.linspace(-0.2, 0.2, len(pairs)), outline=(1, 2)
    )
    assert len(draw_svg(everything, label="values").encode()) < 30_000


def test_nothing_is_loaded_from_elsewhere(make_panel):
    svg = draw_svg(make_panel(ASPIRIN))
    assert "href" not in svg
    assert svg.count("http") == 1  # the namespace


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": 0}, "columns: expected at least 1"),
        ({"scale": 0.0}, "scale: expected shared, molecule, or a finite number above 0"),
        ({"scale": float("nan")}, "scale"),
        ({"noise": 1.0}, "noise"),
        ({"noise": -0.1}, "noise"),
        ({"threshold": 2}, "threshold"),
        ({"size": (10, 10)}, "size: expected two whole numbers"),
        ({"size": (420.5, 300)}, "size"),
    ],
)
def test_impossible_options_are_named(make_panel, options, message):
    with pytest.raises(PanelError, match=message):
        draw_svg(make_panel("CCO"), **options)


@pytest.mark.parametrize("options", [{"palette": "green"}, {"label": "value"}, {"scale": "share"}])
def test_unknown_options_are_named(make_panel, options):
    with pytest.raises(UnknownNameError, match="unknown"):
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
    drawn = draw_outline(mol, (200, 150))
    ElementTree.fromstring(f"<svg>{drawn.ink}</svg>")
    assert "<rect" not in drawn.ink
    assert "<circle" not in drawn.ink
    assert len(drawn.places) == len(drawn.directions) == mol.GetNumAtoms()
    assert all(0 <= x <= 200 and 0 <= y <= 150 for x, y in drawn.places)
    assert list(drawn.boxes) == [2, 3]  # O and NH
    for atom, (left, top, right, bottom) in drawn.boxes.items():
        assert left < drawn.places[atom][0] < right
        assert top < drawn.places[atom][1] < bottom
