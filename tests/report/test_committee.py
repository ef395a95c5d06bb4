"""Pages, documents and tables of explanations by a committee, and of a network alone."""

import json

import numpy as np
import pytest
from support.explanations import MIXED
from support.pages import page_data

from molig.attribution import Explainer
from molig.depiction.numbers import decimals
from molig.molecules import Rejection, smiles_records
from molig.report import explanation_card, write_explanations
from molig.report.molecule_table import molecule_batch

TITLE = "Explanations"


@pytest.fixture(scope="module")
def explained(small_committee):
    """Rows as `explain_rows` yields them, with one that is rejected."""
    records = list(smiles_records([*MIXED, "bad("]))
    return list(Explainer(small_committee, task="nitrogen").explain_rows(records))


@pytest.fixture(scope="module")
def alone(small_model):
    return list(Explainer(small_model, task="nitrogen").explain_rows(smiles_records([*MIXED, "bad("])))


def written(rows, path) -> str:
    counts = write_explanations(rows, path, title=TITLE)
    assert (counts.explained, counts.rejected) == (len(MIXED), 1)
    return path.read_text(encoding="utf-8")


class TestPage:
    def test_cards_have_members_and_substructures(self, explained):
        (why,) = explained[0][1]
        card = explanation_card(why)
        assert [name for name, _ in card.members] == ["weave", "environments", "forest", "kernel"]
        change = why.score - why.baseline_score
        assert sum(share for _, share in card.members) == pytest.approx(
            100, abs=100 * abs(why.residual / change) + 0.1
        )
        assert list(card.substructures) == why.substructure_sentences(4)
        assert dict(card.ledger) == (why.shares or {})
        assert f"substructures {why.parts['substructures']:+.{decimals(change)}f}" in card.note
        assert card.facts[1][0] == "calibrated probability"

    def test_the_page_tells_of_them(self, explained, tmp_path):
        (one, *_) = page_data(written(explained, tmp_path / "why.html"))["molecules"]
        (told,), (why,) = one["why"], explained[0][1]
        assert [name for name, _ in told["members"]] == list(why.members)
        assert [name for name, *_ in told["substructures"]] == [s.name for s in why.main_substructures(10)]
        assert "substructures" in dict(told["sums"])

    def test_the_legend_has_the_members(self, explained):
        (why,) = explained[0][1]
        digits = decimals(why.score - why.baseline_score)
        parts = " · ".join(f"{name} {share:+.{digits}f}" for name, share in why.members.items())
        assert why.panel().legend[2] == parts

    def test_of_a_network_alone_nothing_is_told_of_either(self, alone, tmp_path):
        page = page_data(written(alone, tmp_path / "why.html"))
        assert page["target"] == "probability"
        for one in page["molecules"]:
            (told,) = one["why"]
            assert [told[name] for name in ("members", "substructures", "absent")] == [[], [], []]
            assert "substructures" not in dict(told["sums"])
        (why,) = alone[0][1]
        assert not any("weave" in line for line in why.panel().legend)


class TestDocuments:
    def test_json_adds_up(self, explained, tmp_path):
        content = json.loads(written(explained, tmp_path / "why.json"))
        assert content["rejected"][0]["smiles"] == "bad("
        for (_, result), found in zip(explained, content["explanations"], strict=False):
            (why,) = result
            change = found["score"] - found["baseline_score"]
            scores = [score for score in found["atom_scores"] if score is not None]
            assert sum(scores) + found["residual"] == pytest.approx(change, abs=1e-9)
            assert found["members"] == why.members
            assert found["calibrated"] is True
            assert len(found["substructures"]) <= 10
            assert set(found["substructures"][0]) == {"substructure", "count", "score", "atoms"}
            inside = {atom for one in found["substructures"] for place in one["atoms"] for atom in place}
            assert inside <= set(why.input_atoms.tolist())

    def test_json_of_a_network_alone_has_neither(self, alone, tmp_path):
        content = json.loads(written(alone, tmp_path / "why.json"))
        assert not {"members", "substructures", "calibrated"} & set(content["explanations"][0])

    def test_markdown(self, explained, alone, tmp_path):
        text = written(explained, tmp_path / "why.md")
        (why,) = explained[0][1]
        assert f"- nitrogen: calibrated probability {why.score:.4f}, " in text
        assert "- members: weave " in text
        assert f"- {why.substructure_sentences(1)[0]}" in text
        assert "bad(: " in text
        plain = written(alone, tmp_path / "alone.md")
        assert "members" not in plain
        assert "- nitrogen: probability " in plain


def test_pages_and_documents_say_what_a_score_means(explained, tmp_path):
    paths = [tmp_path / f"why.{suffix}" for suffix in ("html", "md", "json", "svg")]
    write_explanations(explained, *paths, title=TITLE, meaning="Scores are <calibrated>.")
    page, text, plain, drawing = (path.read_text(encoding="utf-8") for path in paths)
    assert "Scores are &lt;calibrated&gt;." in page
    assert "Scores are" in text.splitlines()[2]
    assert json.loads(plain)["meaning_of_scores"] == "Scores are <calibrated>."
    assert drawing.startswith("<?xml") or "<svg" in drawing


def test_the_molecule_table_has_what_each_member_contributes(explained, alone):
    whys = [result[0] for _, result in explained if not isinstance(result, Rejection)]
    names = list(whys[0].members)
    batch = molecule_batch(whys, names)
    batch.validate(full=True)
    assert names == ["weave", "environments", "forest", "kernel"]
    assert batch.schema.names[-4:] == [f"member_{name}" for name in names]
    assert b"contributes" in batch.schema.field("member_forest").metadata[b"description"]
    for why, row in zip(whys, batch.to_pylist(), strict=True):
        assert {name: row[f"member_{name}"] for name in names} == why.members
        parts = sum(row[f"member_{name}"] for name in names)
        change = row["score"] - row["baseline_score"]
        assert parts == pytest.approx(change, abs=abs(row["residual"]) + 1e-9)
    unknown = [result[0] for _, result in alone if not isinstance(result, Rejection)]
    assert {row["member_weave"] for row in molecule_batch(unknown, ["weave"]).to_pylist()} == {None}


def test_bonds_of_the_molecule_table_have_their_parts_of_substructures(explained):
    whys = [result[0] for _, result in explained if not isinstance(result, Rejection)]
    table = molecule_batch(whys).to_pylist()
    for why, row in zip(whys, table, strict=True):
        listed = {
            frozenset(ends): score for ends, score in zip(row["bond_atoms"], row["bond_scores"], strict=True)
        }
        ends = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in why.mol.GetBonds()]
        expected = {
            frozenset(why.input_atoms[list(pair)].tolist()): score
            for pair, score in zip(ends, why.bond_scores, strict=True)
        }
        assert listed == pytest.approx(expected, abs=1e-6)
        atoms = [score for score in row["atom_scores"] if score is not None]
        assert sum(atoms) + row["residual"] == pytest.approx(row["score"] - row["baseline_score"], abs=1e-5)
        assert np.isfinite(row["bond_scores"]).all()


def test_many_drawings_go_to_several_files_on_one_scale(alone, tmp_path):
    rows = [alone[0]] * 130
    counts = write_explanations(rows, tmp_path / "why.svg", title=TITLE)
    assert counts.pages == [tmp_path / "why.2.svg"]
    first, second = ((tmp_path / name).read_text() for name in ("why.svg", "why.2.svg"))
    assert (first.count('role="img"'), second.count('role="img"')) == (100, 30)
