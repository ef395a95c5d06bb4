"""The page of hits in a real browser: pointing, sorting, searching, exporting, keys, colours, printing."""

from __future__ import annotations

import csv
import re

import pytest
from rdkit import Chem
from rdkit.Chem import FunctionalGroups
from support.pages import page_data

from .conftest import FORMULA, HOSTILE, MOLECULES

NAMES = [name for name, *_ in MOLECULES]

PATTERNS = (
    "C", "c", "[#6]", "C=O", "[OH]", "[O;H1]", "[NH2]", "[N;H2,H1]", "c1ccccc1", "[$(c(C)c)]",
    "[C;!$(C=O)]", "[R]", "[!R]", "[r5]", "[r6;R2]", "[R1]", "[D3]", "[X4]", "[X3;H0]", "[v4]", "[x2]",
    "[x3]", "[+]", "[-]", "[O-]", "[N+]", "[+1,-1]", "[2H]", "[2#1]", "[#8]~[#6]~[#8]", "a:a", "C-!@C",
    "*-*", "*!-*", "C#C", "[h3]", "[H]", "[#1]", "N=[N+]=[N-]", "[F,Cl,Br,I]", "[!#6;!#1]", "A~a",
    "C1CCCN1", "[C@H](N)C", "[C@@H](N)C", "[OX2H]-[CX3]=[OX1]", "[CH3]", "[cH]", "[cH0]", "[a;r6]", "C.N",
    "O.O", "*1~*~*~*~*~*~1", "C(=O)(O)", "[*;R0]", "[n,N;R]", "c:n", "[c:1]c", "[$([#6]-[Cl])]=O",
    "[!$([#6,#8])]", "C%10CCCN%10", "[NX3;!$(N-C=O)]", "[D1]-[#6]",
)  # fmt: skip
WRONG = ("C(", "C)", "C1CC", "[", "[]", "[Q]", "C-", "$C", "[C^2]", "C->N", "[#]")


def shown(page) -> list[str]:
    return page.locator("#hits tbody tr td:nth-child(3) button").all_text_contents()


def card(page, name: str):
    return page.locator(f"article#card-{NAMES.index(name) + 1}")


def seen(page, name: str):
    """The card of a molecule, in the middle of the window, with its picture drawn."""
    found = card(page, name)
    found.evaluate("card => card.scrollIntoView({block: 'center'})")
    found.locator("svg").wait_for()
    return found


def settled(page, n: int) -> None:
    page.wait_for_function("n => document.querySelectorAll('#hits tbody tr').length === n", arg=n)


def test_names_are_text_and_rejected_rows_are_told(opened):
    page = opened()
    assert shown(page) == NAMES
    assert page.locator("h1").text_content() == f"Hits {HOSTILE}"
    assert page.locator("img, iframe, object, link").count() == 0
    assert page.locator("script").count() == 2
    assert HOSTILE in page.locator("#rejected li").text_content()
    page.get_by_role("button", name="Enlarge").nth(1).click()
    assert page.locator("#big-title").text_content() == HOSTILE


def test_pointing_lights_an_atom_in_picture_and_smiles(opened):
    page = opened()
    aspirin, tip = seen(page, "aspirin"), page.locator("#tip")
    aspirin.locator("svg rect.hit[data-k=a3]").hover()
    assert tip.is_visible()
    assert re.match(r"atom O 3: [+−]", tip.locator("strong").text_content())
    assert "atom type: O" in tip.text_content()
    lit = aspirin.locator(".smiles span.on")
    assert (lit.count(), lit.text_content()) == (1, "O")
    aspirin.locator(".smiles span[data-k=a4]").hover()
    assert aspirin.locator("svg rect.on").get_attribute("data-k") == "a4"
    page.mouse.move(5, 5)
    assert not tip.is_visible()
    assert aspirin.locator(".on").count() == 0


def test_pointing_at_a_bond(opened):
    page = opened()
    aspirin = seen(page, "aspirin")
    line = aspirin.locator("svg line.hit[data-k=b1]").evaluate(
        "line => line.getBoundingClientRect().toJSON()"
    )
    page.mouse.move(
        line["x"] + line["width"] / 2, line["y"] + line["height"] / 2
    )  # it has no width: no hover()
    told = page.locator("#tip").text_content()
    assert told.startswith("bond C 1–O 2: ")
    assert "pair bond: double" in told


def test_a_tap_tells_and_does_not_enlarge(opened):
    page = opened(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 800})
    aspirin = seen(page, "aspirin")
    aspirin.locator("svg rect.hit[data-k=a0]").tap()
    assert page.locator("#tip strong").text_content().startswith("atom C 0: ")
    assert not page.locator("dialog").is_visible()


def test_the_salt_has_its_atoms_where_they_were_written(opened):
    page = opened()
    salt = seen(page, "salt")
    assert "Scored: CC(=O)O; removed: sodium" in salt.text_content()
    salt.locator(".smiles span[data-k=a0]").hover()
    assert page.locator("#tip strong").text_content().startswith("atom C 1: ")


def test_sorting(opened):
    page = opened()
    head = page.locator("#hits thead th", has_text="IC50")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    values = [ic50 for _, _, ic50, _ in MOLECULES if ic50 is not None]
    order = sorted(values, reverse=True)
    cells = page.locator("#hits tbody tr td:nth-child(6)").all_text_contents()
    assert [float(cell.replace("−", "-")) for cell in cells[:-2]] == order
    assert cells[-2:] == ["", ""]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert shown(page)[0] == "diazepam"
    assert page.locator("#cards article").first.get_attribute("id") == f"card-{NAMES.index('diazepam') + 1}"


def test_filters_add_up_and_are_taken_back(opened):
    page = opened()
    page.fill("#query", "alanine")
    settled(page, 2)
    assert shown(page) == ["L-alanine", "D-alanine"]
    page.fill("#query", "HEAVY")  # in a column of the user's
    settled(page, 1)
    page.fill("#query", "")
    page.fill("#least", "0.3")
    settled(page, 7)
    page.check("#inside")
    settled(page, 6)
    assert "water" not in shown(page)
    assert page.locator("#count").text_content() == "6 of 12 shown"
    page.fill("#query", "nobody")
    settled(page, 0)
    assert page.locator("#none").is_visible()
    assert page.locator("#csv").is_disabled()
    page.click("#reset")
    settled(page, 12)


def test_what_the_model_does_not_see_and_does_not_know(opened):
    page = opened()
    assert "does not see chirality" in page.locator("#unseen").text_content()
    alanine = seen(page, "L-alanine")
    assert "The model does not see its chirality." in alanine.text_content()
    water = seen(page, "water")
    assert "does not know molecules like this" in water.text_content()
    assert "out" in water.get_attribute("class")


def test_substructures_are_found_as_rdkit_finds_them(opened, files):
    page, data = opened(), page_data(files["one"])
    groups = [node.smarts for node in _all_groups()]
    patterns = [*PATTERNS, *groups]
    found = page.evaluate(
        """patterns => {
            const D = JSON.parse(document.getElementById("data").textContent);
            const graphs = D.molecules.map(m => Smarts.graph(m.atoms.map(k => D.kinds[k]), m.bonds, m.rings));
            return patterns.map(text => {
                const pattern = Smarts.parse(text);
                return graphs.map(graph => [...(Smarts.atoms(pattern, graph) || [])].sort((a, b) => a - b));
            });
        }""",
        patterns,
    )
    # As the page has them: what was scored, atom by atom.
    mols = [Chem.MolFromMolBlock("\n" + one["block"], removeHs=False) for one in data["molecules"]]
    for pattern, atoms in zip(patterns, found, strict=True):
        query = Chem.MolFromSmarts(pattern)
        expected = [
            sorted({i for match in mol.GetSubstructMatches(query, uniquify=False) for i in match})
            for mol in mols
        ]
        assert atoms == expected, pattern


def _all_groups():
    waiting = list(FunctionalGroups.BuildFuncGroupHierarchy())
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.children


def test_searching_for_a_substructure(opened):
    page = opened()
    page.fill("#smarts", "c1ccccc1")
    settled(page, 4)
    phenol = seen(page, HOSTILE)
    assert phenol.locator("rect.match").count() == 6
    page.fill("#smarts", "carboxylic acid")  # a name of the list
    page.locator("#hits td code", has_text="[Na+].CC(=O)[O-]").wait_for()
    assert shown(page) == ["aspirin", "L-alanine", "D-alanine", "salt"]
    for wrong in WRONG:
        page.fill("#smarts", wrong)
        page.wait_for_function("() => document.getElementById('smarts-says').textContent !== ''")
        assert page.locator("#smarts-says").text_content().startswith("SMARTS: ")
        page.fill("#smarts", "")
        page.wait_for_function("() => document.getElementById('smarts-says').textContent === ''")
    settled(page, 12)


def test_a_feature_leads_to_molecules_where_it_matters(opened):
    page = opened()
    diazepam = seen(page, "diazepam")
    button = diazepam.locator(".features button").first
    feature = re.match(r"(.*) [+−]", button.text_content()).group(1)
    button.click()
    assert f"“{feature}”" in page.locator("#chips").text_content()
    assert 0 < len(shown(page)) <= 12
    assert "diazepam" in shown(page)
    page.click("#chips button")
    settled(page, 12)


def test_csv_holds_no_formula(opened):
    page = opened()
    with page.expect_download() as waiting:
        page.click("#csv")
    with open(waiting.value.path(), encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [one["id"] for one in found] == NAMES
    assert found[0]["note"] == f"'{FORMULA}"
    assert found[4]["note"] == "'@SUM(1)"
    assert found[6]["IC50"] == "-3"  # a number, no formula
    assert (found[4]["scored_smiles"], found[4]["removed"]) == ("CC(=O)O", "sodium")
    assert not [cell for one in found for cell in one.values() if cell.startswith(("=", "+", "@"))]


def test_sdf_of_what_is_ticked(opened, tmp_path):
    page = opened()
    for name in ("nicotine", "nitro"):
        page.check(f"input[aria-label='Tick {name}']")
    assert page.locator("#sdf").text_content() == "SDF of 2 ticked"
    with page.expect_download() as waiting:
        page.click("#sdf")
    waiting.value.save_as(tmp_path / "hits.sdf")
    nicotine, nitro = Chem.SDMolSupplier(str(tmp_path / "hits.sdf"))
    assert Chem.MolToSmiles(nicotine) == Chem.CanonSmiles("CN1CCC[C@H]1c1cccnc1")
    assert nicotine.GetProp("_Name") == "nicotine"
    assert nicotine.GetProp("note") == "two lines $$$$"
    assert nitro.GetProp("note").strip() == "> <x>"
    scores = page_data(page.content())["molecules"][5]["why"][0]["atoms"]
    assert [atom.GetDoubleProp("molig_score") for atom in nicotine.GetAtoms()] == pytest.approx(scores)


def test_enlarging_by_keys_and_back(opened):
    page = opened()
    first = page.get_by_role("button", name="Enlarge aspirin")
    first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    page.keyboard.press("ArrowRight")
    assert page.locator("#readout").text_content().startswith("atom C 0: ")
    assert page.locator("#live").text_content().startswith("atom C 0: ")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#readout").text_content().startswith("bond ")
    page.get_by_role("button", name="Next molecule").click()
    assert page.locator("#big-title").text_content() == HOSTILE
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Enlarge aspirin"
    page.locator("h1").click()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"


def test_everything_that_can_be_used_has_a_name(opened):
    page = opened()
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, select, [role=region], dialog")]
            .filter(e => !(e.textContent.trim()
              || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby")
              || (e.labels && e.labels.length))).map(e => e.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(set(ids)) == len(ids)
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(opened, scheme):
    page = opened(color_scheme=scheme)

    def contrast() -> tuple[float, float]:
        return tuple(
            page.evaluate(
                """() => ["--ink", "--soft"].map(name => {
                    const style = getComputedStyle(document.documentElement);
                    const light = color => {
                        const box = document.createElement("i");
                        box.style.color = color;
                        document.body.append(box);
                        const rgb = getComputedStyle(box).color.match(/[0-9.]+/g).slice(0, 3);
                        box.remove();
                        const [r, g, b] = rgb.map(v => v / 255).map(
                            v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
                    };
                    const [a, b] = [name, "--paper"].map(n => light(style.getPropertyValue(n)));
                    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                })"""
            )
        )

    paper = "getComputedStyle(document.querySelector('article')).backgroundColor"
    assert (page.evaluate(paper) == "rgb(255, 255, 255)") == (scheme == "light")
    assert min(contrast()) >= 4.5
    page.click("#theme")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    page.click("#theme")
    assert page.evaluate(paper) != "rgb(255, 255, 255)"
    assert min(contrast()) >= 4.5


def test_on_a_phone_nothing_is_wider_than_the_screen(opened):
    page = opened(viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#hits").scroll_into_view_if_needed()
    page.get_by_role("button", name="Enlarge aspirin").click()
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 360


def test_two_columns_in_print(opened):
    page = opened()
    pdf = page.pdf(format="A4")
    n_pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))
    assert 2 <= n_pages <= 3  # twelve compounds, six a page
    assert page.locator("#cards article svg").count() == 12  # also those that were not looked at before


def test_one_scale_or_each_its_own(opened, files):
    page = opened()
    scale = max(
        abs(score) for one in page_data(files["one"])["molecules"] for score in one["why"][0]["atoms"]
    )
    assert seen(page, "aspirin").locator(".full").text_content() == f"full colour at ±{scale:.4g}"
    assert "share this scale" in page.locator("#scale").text_content()
    page.select_option("#tools [name=scaling]", "own")
    assert "(this molecule’s own)" in seen(page, "water").locator(".full").text_content()
    assert "cannot be compared" in page.locator("#scale").text_content()


def shapes(found) -> set[str]:
    """Kinds of shapes of a picture that have colours."""
    coloured = found.locator("svg > :is(.disc, .arc, line:not(.hit))")
    return set(coloured.evaluate_all("all => all.map(each => each.tagName)"))


def test_layers_are_chosen_by_keys_and_add_up(opened, files):
    page, data = opened(), page_data(files["one"])
    number, one = NAMES.index("diazepam"), data["molecules"][NAMES.index("diazepam")]
    assert shapes(seen(page, "diazepam")) == {"rect"}
    page.locator("#tools [name=bonds]").focus()
    page.keyboard.press("Space")
    assert shapes(seen(page, "diazepam")) == {"rect", "line"}
    page.locator("#tools [name=pairs]").focus()
    page.keyboard.press("Space")
    page.select_option("#tools [name=label]", "values")
    diazepam = seen(page, "diazepam")
    assert shapes(diazepam) == {"rect", "line", "path"}
    (why,) = one["why"]
    shown = [atom - other for atom, other in zip(why["atoms"], why["others"], strict=True)]
    for bond, score in enumerate(why["bonds"]):
        for end in one["bonds"][3 * bond : 3 * bond + 2]:
            shown[end] -= score / 2
    told = [label.replace("−", "-") for label in diazepam.locator(".label").all_text_contents()]
    assert len(told) > 5
    assert {float(label) for label in told} <= {round(score, 1) + 0.0 for score in shown}
    arcs = diazepam.locator("path.hit")
    assert arcs.count() == diazepam.locator(".arc").count()
    page.fill("#tools [name=threshold]", "0.6")
    page.keyboard.press("Tab")
    fewer = seen(page, "diazepam").locator(".arc").count()
    assert 0 < fewer < 30
    page.locator(f"#card-{number + 1} svg").focus()
    page.keyboard.press("ArrowLeft")  # the last of all that can be pointed at
    said = page.locator("#tip").text_content()
    assert said.startswith("pair ")
    assert "pair distance" in said or "pair bond" in said


def test_the_enlarged_picture_has_the_same_switches(opened):
    page = opened()
    page.get_by_role("button", name="Enlarge aspirin").click()
    page.check("dialog [name=pairs]")
    page.select_option("dialog [name=label]", "numbers")
    assert page.locator("dialog .arc").count() > 0
    assert sorted(page.locator("dialog .label").all_text_contents(), key=int) == [str(n) for n in range(13)]
    assert re.search(r"arcs: \d+ of \d+ non-bonded pairs", page.locator("dialog .full").text_content())
    page.keyboard.press("Escape")
    assert page.locator("#tools [name=pairs]").is_checked()
    assert page.locator("#tools [name=label]").input_value() == "numbers"


def test_molecules_by_tasks(opened):
    page = opened("two")
    assert page.locator("#hits thead th button").all_text_contents()[1:3] == ["task 0", "task 1"]
    assert page.locator("#cards article").count() == 12
    page.get_by_role("button", name="aspirin, task 1: 0.0600").click()
    assert page.locator("dialog .body dl").first.text_content().startswith("tasktask 1")
    page.keyboard.press("Escape")
    assert page.locator("#task").input_value() == "1"
    aspirin = seen(page, "aspirin")
    assert "task 1" in aspirin.locator("dl").first.text_content()
    page.select_option("#task", "0")
    aspirin.locator("dl").first.wait_for()
    assert "task 0" in aspirin.locator("dl").first.text_content()


def test_columns_can_be_left_out(opened):
    page = opened()
    page.locator("#chooser summary").click()
    page.uncheck("#chooser label:has-text('IC50') input")
    assert page.locator("#hits thead th", has_text="IC50").count() == 0
    assert shown(page) == NAMES
