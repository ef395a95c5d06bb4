import json
import re
from dataclasses import replace

import numpy as np
import pytest
from rdkit import Chem
from support.explanations import MIXED, made_up, parsed
from support.pages import page_data

from molig.features import preset
from molig.molecules import Hydrogens, Record, Rejection
from molig.report import HitPage, render_hits
from molig.report.hit_page import cannot_see, functional_groups, smiles_spans
from molig.report.outputs import sentence

EVIL = '</script><script>alert("x")</script><!--\'"&\x1b[31m\u2028\x00'


def rows(smiles=MIXED, *, schema="simple", n_tasks=1, hydrogens=Hydrogens.IMPLICIT, kept=()):
    schema, found = preset(schema, max_pair_distance=2), []
    for row, text in enumerate(smiles, start=1):
        record = Record(row, f"m{row}", text, kept=kept)
        molecule = parsed(record, hydrogens)
        whys = [made_up(schema, molecule, 10 * row + t, task=f"task {t}") for t in range(n_tasks)]
        found.append((record, whys))
    return found


def test_numbers_are_those_of_the_explanation():
    found = rows()
    data = page_data(render_hits(HitPage("t", found)))
    assert [one["id"] for one in data["molecules"]] == [record.id for record, _ in found]
    for one, (_, (why,)) in zip(data["molecules"], found, strict=True):
        (told,) = one["why"]
        assert told["atoms"] == pytest.approx(why.atom_scores, rel=5e-3)
        assert told["bonds"] == pytest.approx(why.bond_scores, rel=5e-3)
        total = sum(part for _, part in told["sums"])
        assert total == pytest.approx(why.score - why.baseline_score, abs=0.05)
        assert one["numbers"] == why.input_atoms.tolist()
        assert len(one["xy"]) == 2 * len(one["atoms"])


def test_features_of_atoms_and_bonds_add_up():
    ((record, (why,)),) = rows(["CC(=O)Nc1ccccc1"])
    data = page_data(render_hits(HitPage("t", [(record, [why])])))
    ((told,),) = [one["why"] for one in data["molecules"]]
    own = [sum(flat[1::2]) for flat in told["own"]]
    assert own == pytest.approx(why.own_atom_scores, abs=0.02)
    pairs = [sum(flat[1::2]) for flat in told["pairs"]]
    assert pairs == pytest.approx(why.bond_scores, abs=0.02)
    names = {data["features"][number] for flat in told["own"] for number in flat[::2]}
    assert names <= {"atom type: C", "atom type: N", "atom type: O"}


def test_layers_add_up_as_those_of_a_drawing():
    ((record, (why,)),) = rows(["CC(=O)Nc1ccccc1"])
    ((told,),) = [one["why"] for one in page_data(render_hits(HitPage("t", [(record, [why])])))["molecules"]]
    panel = why.panel(("atoms", "bonds", "pairs"))
    bonds = [sum(told["bonds"][bond.GetIdx()] for bond in atom.GetBonds()) for atom in why.mol.GetAtoms()]
    left = np.array(told["atoms"]) - np.array(bonds) / 2 - told["others"]
    assert left == pytest.approx(panel.atom_scores, abs=0.03)
    strongest = sorted(
        zip(panel.pair_scores.tolist(), panel.pair_atoms.tolist(), strict=True), key=lambda p: -abs(p[0])
    )
    assert told["n_arcs"] == np.count_nonzero(panel.pair_scores)
    for (i, j, score, *features), (whole, atoms) in zip(told["arcs"], strongest, strict=False):
        assert ([i, j], score) == (atoms, pytest.approx(whole, rel=5e-3))
        assert sum(features[1::2]) == pytest.approx(whole, abs=0.03)


def test_nothing_from_a_file_is_markup():
    record = Record(1, EVIL, "CCO", kept=(EVIL + "\ud800", float("nan"), 2**60, b"\xff", None))
    why = made_up(preset("simple"), parsed(record), 1, task=EVIL)
    bad = Record(2, EVIL, EVIL)
    page = render_hits(
        HitPage(
            EVIL, [(record, [why]), (bad, Rejection(2, EVIL, EVIL, EVIL))], EVIL, [(EVIL, EVIL)], [EVIL] * 5
        )
    )
    page.encode()
    assert page.count("<script") == page.count("</script>") == 2
    assert "\x1b" not in page
    assert "\0" not in page
    assert "\u2028" not in page
    (one,) = page_data(page)["molecules"]
    assert one["cells"][1:] == [None, str(2**60), "\ufffd", None]


def test_nothing_is_loaded_and_only_the_own_script_may_run():
    page = render_hits(HitPage("t", rows()))
    assert set(re.findall(r"https?://[^\"'<\s]+", page)) <= {"http://www.w3.org/2000/svg"}
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r" (on\w+|style)=", page[: page.index("<script")])


def test_same_contents_same_text():
    assert render_hits(HitPage("t", rows())) == render_hits(HitPage("t", rows()))


def test_size_of_a_molecule():
    page = render_hits(HitPage("t", rows(["CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21"] * 20)))
    assert len(page) / 20 < 30_000_000 / 1000  # a thousand of them in 30 MB


@pytest.mark.parametrize("hydrogens", list(Hydrogens))
def test_atoms_are_found_in_the_text(hydrogens):
    texts = [*MIXED, "[H]OC", "[13CH3]Br", "c1cc%12ccc1CC%12", "C/C=C/Cl", "[SiH](C)(C)C", "CCO |$a;b;c$|"]
    for _, (why,) in rows(texts, hydrogens=hydrogens):
        text, spans = smiles_spans(why)
        assert len(spans) == 2 * why.mol.GetNumAtoms()
        for atom, start, end in zip(why.mol.GetAtoms(), spans[::2], spans[1::2], strict=True):
            symbol = re.sub(r"[^A-Za-z]", "", text[start:end]).capitalize()
            assert symbol.startswith(atom.GetSymbol()) or (start, end) == (0, 0)


def test_where_the_text_has_another_order_another_text_is_shown():
    ((_, (why,)),) = rows(["CCO"])
    object.__setattr__(why, "smiles", "OCC")
    text, spans = smiles_spans(why)
    symbols = [atom.GetSymbol() for atom in why.mol.GetAtoms()]
    assert [text[start:end] for start, end in zip(spans[::2], spans[1::2], strict=True)] == symbols


def test_blocks_are_the_molecules_that_were_scored():
    for one, (_, (why,)) in zip(
        page_data(render_hits(HitPage("t", rows())))["molecules"], rows(), strict=True
    ):
        mol = Chem.MolFromMolBlock("\n" + one["block"], removeHs=False)
        assert Chem.MolToSmiles(mol) == Chem.MolToSmiles(why.mol)


def test_twins_and_what_is_not_seen():
    twins = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C/C=C/Cl", "C[N+](C)(C)C", "[13CH3]O", "CCO"]
    found = rows(twins)
    for _, (why,) in found[:2]:
        object.__setattr__(why, "score", 0.5)
    notes = [one["notes"] for one in page_data(render_hits(HitPage("t", found)))["molecules"]]
    assert notes[0] == [
        "The model does not see its chirality.",
        "m2 differs by nothing that the model sees, and scores the same.",
    ]
    assert notes[2:] == [
        ["The model does not see its double-bond geometry."],
        ["The model does not see its formal charge."],
        ["The model does not see its isotopes."],
        [],
    ]
    assert "chirality" in cannot_see(preset("simple"))
    assert "chirality" not in cannot_see(preset("full"))


def test_several_tasks_are_one_molecule():
    data = page_data(render_hits(HitPage("t", rows(n_tasks=2))))
    assert (data["several"], data["tasks"]) == (True, ["task 0", "task 1"])
    assert [[why["task"] for why in one["why"]] for one in data["molecules"]] == [[0, 1]] * len(MIXED)


def test_columns_of_a_hit_table_are_not_told_twice():
    columns = ["row", "scored_smiles", "removed", "task 0", "rank", "IC50"]
    data = page_data(
        render_hits(HitPage("t", rows(["CCO"], kept=(7, "CCO", "", 0.5, 1, 2.5)), columns=columns))
    )
    assert (data["columns"], data["molecules"][0]["cells"]) == (["rank", "IC50"], [1, 2.5])


def test_molecules_without_any_score_are_drawn():
    ((record, (why,)),) = rows(["CCO"])
    nought = np.zeros_like
    for name in ("atom_attributions", "pair_attributions"):
        object.__setattr__(why, name, nought(getattr(why, name)))
    data = page_data(render_hits(HitPage("t", [(record, [why])])))
    assert data["molecules"][0]["why"][0]["arcs"] == []
    assert json.dumps(data["molecules"][0]["why"][0]["atoms"]) == "[0, 0, 0]"


def test_nothing_to_tell_is_told():
    ((_, (why,)),) = rows(["CCO"])
    nought = dict.fromkeys(("atom_attributions", "pair_attributions"), 0.0)
    fields = {name: getattr(why, name) * zero for name, zero in nought.items()}
    flat = replace(why, **fields, score=0.5, baseline_score=0.5, residual=0.0)
    assert sentence(flat) == "nothing moves the score from the zero baseline: every part of it is 0"


def test_large_and_odd_molecules_are_drawn():
    page = render_hits(HitPage("t", rows(["C" * 150, "N", "C1CC1.O"])))
    assert len(page_data(page)["molecules"]) == 3


def test_groups_are_those_that_occur():
    names = [name for name, _ in functional_groups([Chem.MolFromSmiles("O=[N+]([O-])c1ccccc1")])]
    assert names == ["nitro", "nitro: aromatic nitro"]
