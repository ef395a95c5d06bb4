"""`molig explain`: every output format, bad molecules, targets."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rdkit import Chem
from support.libraries import names_in
from support.pages import page_data

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "CCN", "[Na+].CC(=O)[O-]"]
LIBRARY = "".join(f"{smiles} m{i}\n" for i, smiles in enumerate(SMILES, start=1))
FORMATS = ("svg", "png", "html", "parquet", "csv")


@pytest.fixture
def explained(molig, small_model_dir):
    """Run `molig explain` with the small model."""

    def run(*options):
        return molig("explain", "-m", small_model_dir, "--device", "cpu", *options)

    return run


class Page(HTMLParser):
    """Elements, attributes and text of an HTML page."""

    LINKS = frozenset({"src", "srcset", "href", "xlink:href", "data", "action"})
    VOID = frozenset({"meta", "br", "hr", "img", "link", "input", "col"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in self.LINKS]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


class TestPictures:
    def test_svg_is_xml_with_the_score(self, explained, tmp_path):
        path = tmp_path / "why.svg"
        run = explained("--smiles", SMILES[0], "-o", path, "--task", "carbonyl")
        assert run.code == 0
        assert f"1 explained, 0 rejected: {path}" in run.err
        root = ET.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "carbonyl" in " ".join(root.itertext())

    def test_png_is_a_picture_of_more_than_one_colour(self, explained, tmp_path):
        path = tmp_path / "why.png"
        assert explained("--smiles", SMILES[0], "-o", path).code == 0
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG"
            assert min(image.size) > 100
            assert len(image.convert("RGB").getcolors(1 << 24)) > 2

    def test_html_is_whole_by_itself(self, explained, write, tmp_path):
        path = tmp_path / "why.html"
        run = explained("-i", write("library.smi", LIBRARY + "bad( <b>&odd\n"), "-o", path)
        assert run.code == 0
        source = path.read_text(encoding="utf-8")
        page = Page(source)
        assert not [link for link in page.links if re.match(r"(https?:)?//", link)]
        assert not re.search(r"(@import|url\(\s*['\"]?(https?:)?//)", source)
        assert [one["id"] for one in page_data(path)["molecules"]] == ["m1", "m2", "m3"]
        assert all(f"m{i}" in page.text for i in (1, 2, 3))
        assert "<b>&odd" in page.text
        assert "not parsable" in page.text


class TestTables:
    @pytest.mark.parametrize("target", ["probability", "logit"])
    @pytest.mark.parametrize("suffix", ["parquet", "csv"])
    def test_scores_add_up_with_the_residual(self, explained, write, tmp_path, *, target, suffix):
        path = tmp_path / f"why.{suffix}"
        run = explained("-i", write("library.smi", LIBRARY), "-o", path, "--target", target)
        assert run.code == 0
        frame = pd.read_parquet(path) if suffix == "parquet" else pd.read_csv(path)
        assert frame["id"].unique().tolist() == ["m1", "m2", "m3"]
        assert frame["target"].unique().tolist() == [target]
        # CSV keeps six digits.
        tolerance = 1e-9 if suffix == "parquet" else 1e-4
        for _, rows in frame.groupby("id"):
            first = rows.iloc[0]
            change = first["molecule_score"] - first["baseline_score"]
            assert rows["score"].sum() + first["residual"] == pytest.approx(change, abs=tolerance)

    def test_scores_are_those_of_the_model(self, explained, small_model, tmp_path):
        path = tmp_path / "why.parquet"
        options = [word for smiles in SMILES for word in ("--smiles", smiles)]
        assert explained(*options, "-o", path, "--task", "carbonyl").code == 0
        scores = pd.read_parquet(path).drop_duplicates("smiles")["molecule_score"]
        column = small_model.task_index("carbonyl")
        np.testing.assert_allclose(scores, small_model.predict_proba(SMILES)[:, column], atol=1e-6)

    def test_a_logit_is_the_logit_of_the_probability(self, explained, tmp_path):
        scores, asked = {}, ["--smiles", "CCN", "--task", "nitrogen"]
        for target in ("probability", "logit"):
            path = tmp_path / f"{target}.parquet"
            assert explained(*asked, "-o", path, "--target", target).code == 0
            scores[target] = pd.read_parquet(path).loc[0, ["molecule_score", "baseline_score"]].astype(float)
        np.testing.assert_allclose(1 / (1 + np.exp(-scores["logit"])), scores["probability"], atol=1e-6)

    def test_levels_and_atoms(self, explained, tmp_path):
        assert explained("--smiles", "CCO", "-o", tmp_path / "why.parquet").code == 0
        frame = pd.read_parquet(tmp_path / "why.parquet")
        atoms, pairs = (frame[frame["level"] == level] for level in ("atom", "pair"))
        assert atoms["symbol"].tolist() == ["C", "C", "O"]
        assert atoms["atom_j"].isna().all()
        ends = pairs[["atom_i", "atom_j"]].drop_duplicates().to_numpy().tolist()
        assert sorted(map(sorted, ends)) == [[0, 1], [0, 2], [1, 2]]
        assert set(pairs.loc[pairs["bonded"], "atom_j"] - pairs.loc[pairs["bonded"], "atom_i"]) == {1}


class TestBadMolecules:
    @pytest.mark.parametrize("suffix", FORMATS)
    def test_a_bad_smiles_ends_with_1_and_leaves_only_its_reason(self, explained, tmp_path, suffix):
        run = explained("--smiles", "C1CC", "-o", tmp_path / f"why.{suffix}")
        assert run.code == 1
        assert "error: none of the molecules could be explained; row 1: not parsable" in run.err
        is_table = suffix in ("csv", "parquet")
        assert names_in(tmp_path) == ({"why.rejected.csv"} if is_table else set())

    @pytest.mark.parametrize("suffix", FORMATS)
    def test_bad_rows_are_named_and_the_others_explained(self, explained, write, tmp_path, suffix):
        library = write("library.smi", "CCO one\nC1CC two\nCCN three\n[*]C four\n")
        run = explained("-i", library, "-o", tmp_path / f"why.{suffix}")
        assert run.code == 0
        assert "warning: row 2 (two) 'C1CC': not parsable" in run.err
        assert "warning: row 4 (four) '[*]C': dummy atom" in run.err
        assert "2 explained, 2 rejected" in run.err
        assert (tmp_path / f"why.{suffix}").stat().st_size > 0
        listed = {"why.rejected.csv"} if suffix in {"parquet", "csv"} else set()
        assert names_in(tmp_path) == {"library.smi", f"why.{suffix}"} | listed

    def test_an_old_file_survives_a_failed_run(self, explained, write, tmp_path):
        old = write("why.csv", "old")
        assert explained("--smiles", "", "-o", old).code == 1
        assert old.read_text() == "old"

    def test_an_argument_that_is_no_unicode(self, explained, tmp_path):
        run = explained("--smiles", "CCO", "--smiles", "C\udcff", "-o", tmp_path / "why.html")
        assert run.code == 0
        assert "1 explained, 1 rejected" in run.err


class TestRequests:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["-o", "why.svg"], "give molecules either by --smiles or by -i FILE"),
            (["--smiles", "C", "-i", "x.smi", "-o", "why.svg"], "either by --smiles or by -i FILE"),
            (
                ["--smiles", "C", "-o", "why.pdf"],
                "use a name ending in .svg, .png, .html, .json, .md, .sdf, .pml, .xlsx, .parquet, .csv",
            ),
            (["--smiles", "C", "-o", "why"], "use a name ending in"),
            (["--smiles", "C", "-o", "no/such/place/why.svg"], "the directory no/such/place does not exist"),
            (["--smiles", "C", "-o", "w.svg", "--task", "carbonil"], "did you mean 'carbonyl'?"),
            (["--smiles", "C", "-o", "w.svg", "--target", "logits"], "did you mean 'logit'?"),
            (["--smiles", "C", "-o", "w.svg", "--tol", "0"], "tol"),
            (["--smiles", "C", "-o", "w.svg", "--noise", "2"], "--noise"),
            (["-i", "no-such.smi", "-o", "w.svg"], "no-such.smi: no such file"),
            (["--smiles", "C"], "say where explanations go: -o FILE"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_a_wrong_request_ends_with_2(self, explained, tmp_path, monkeypatch, options, message):
        monkeypatch.chdir(tmp_path)
        run = explained(*options)
        assert run.code == 2
        assert message in run.err
        assert names_in(tmp_path) == set()

    def test_quiet_prints_nothing(self, explained, tmp_path):
        run = explained("--smiles", "CCO", "-o", tmp_path / "why.svg", "-q")
        assert (run.code, run.out, run.err) == (0, "", "")

    def test_standard_input(self, explained, tmp_path, monkeypatch):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"smiles,id\nCCO,x\n")))
        run = explained("-i", "-", "--format", "csv", "-o", tmp_path / "why.csv")
        assert run.code == 0
        assert pd.read_csv(tmp_path / "why.csv")["id"].unique().tolist() == ["x"]

    def test_a_loose_tolerance_is_reported_where_it_is_missed(self, explained, tmp_path):
        run = explained("--smiles", SMILES[0], "-o", tmp_path / "why.csv", "--tol", "1e-12")
        assert run.code == 0
        converged = pd.read_csv(tmp_path / "why.csv")["converged"].all()
        assert ("did not converge to tol = 1e-12" in run.err) != converged


def test_rows_of_one_id_are_told_apart(explained, write, tmp_path):
    """Atoms are those of the SMILES as written, whatever was stripped."""
    table = write("l.csv", "smiles,id\n[Na+].CC(=O)[O-],same\nCCO,same\n")
    run = explained("-i", table, "-o", tmp_path / "why.csv", "--task", "carbonyl")
    assert run.code == 0
    found = pd.read_csv(tmp_path / "why.csv", keep_default_na=False, na_values={"atom_j": [""]})
    assert list(found.columns[:5]) == ["row", "id", "smiles", "scored_smiles", "removed"]
    atoms = found[found["level"] == "atom"]
    by_row = {row: some.groupby("atom_i")["symbol"].first().to_dict() for row, some in atoms.groupby("row")}
    assert by_row == {1: {1: "C", 2: "C", 3: "O", 4: "O"}, 2: {0: "C", 1: "C", 2: "O"}}
    said = found.groupby("row")[["id", "scored_smiles", "removed"]].first()
    assert said.to_numpy().tolist() == [["same", "CC(=O)O", "sodium"], ["same", "CCO", ""]]


def test_atoms_of_an_sd_record_are_those_of_its_mol_block(explained, write, tmp_path):
    """Explicit hydrogens have numbers there."""
    mol = Chem.AddHs(Chem.MolFromSmiles("OCC(=O)N"))
    order = list(reversed(range(mol.GetNumAtoms())))
    block = Chem.MolToMolBlock(Chem.RenumberAtoms(mol, order))
    source = write("l.sdf", f"{block}$$$$\n")
    for layout in ("features", "molecules"):
        run = explained("-i", source, "-o", tmp_path / f"{layout}.parquet", "--layout", layout)
        assert run.code == 0
    table = pd.read_parquet(tmp_path / "features.parquet")
    atoms = table[table["level"] == "atom"].groupby("atom_i")["symbol"].first()
    # Ten atoms: five hydrogens first, then the heavy atoms from the last to the first.
    assert atoms.to_dict() == {5: "N", 6: "O", 7: "C", 8: "C", 9: "O"}
    (row,) = pq.read_table(tmp_path / "molecules.parquet").to_pylist()
    assert [score is not None for score in row["atom_scores"]] == [False] * 5 + [True] * 5
    assert sorted(map(sorted, row["bond_atoms"])) == [[5, 7], [6, 7], [7, 8], [8, 9]]


def test_a_page_says_what_was_scored_where_that_is_not_what_was_given(explained, tmp_path):
    page = tmp_path / "why.html"
    assert explained("--smiles", "CC(=O)[O-].[Na+]", "--smiles", "OCC", "-o", page).code == 0
    found = [(one["scored"], one["removed"]) for one in page_data(page)["molecules"]]
    assert found == [("CC(=O)O", ["sodium"]), ("", [])]


def test_the_input_is_never_overwritten(explained, write):
    table = write("table.csv", "smiles\nCCO\n")
    run = explained("-i", table, "-o", table)
    assert run.code == 2
    assert "is the library" in run.err
    assert table.read_text() == "smiles\nCCO\n"


class TestLooks:
    """Options of drawings, and what is drawn beside them."""

    TWO = ("--smiles", "NCCO", "--smiles", "c1ccccc1", "--task", "nitrogen")

    def test_layers_labels_palette_and_scale(self, explained, tmp_path):
        picture = tmp_path / "why.svg"
        drawn = (
            "--layers",
            "atoms,bonds,pairs",
            "--atom-labels",
            "numbers",
            "--palette",
            "grey",
            "--scale",
            "0.5",
        )
        run = explained(*self.TWO, "-o", picture, *drawn)
        assert run.code == 0, run.err
        svg = picture.read_text()
        assert svg.count("a fixed scale") == svg.count(">+0.5<") == 2
        assert "solid rims raises" in svg
        assert ">3<" in svg

    def test_one_scale_is_the_default(self, explained, tmp_path):
        picture = tmp_path / "why.svg"
        assert explained(*self.TWO, "-o", picture).code == 0
        assert picture.read_text().count("one scale for all") == 2

    def test_heat_maps_and_ledgers(self, explained, tmp_path):
        maps, table, fall = (tmp_path / name for name in ("pairs.svg", "ledger.csv", "ledger.png"))
        run = explained(*self.TWO, "--pairs", maps, "--ledger", table, "--ledger-by", "groups")
        assert run.code == 0, run.err
        assert str(table) in run.err
        assert "Pairs of atoms: 2 molecules" in maps.read_text()
        rows = pd.read_csv(table)
        assert rows["id"].drop_duplicates().tolist() == ["mean of 2 molecules", "NCCO", "c1ccccc1"]
        for _, one in rows.groupby("id"):
            ends = one.set_index("part")["score"]
            assert one["score"].iloc[:-1].sum() == pytest.approx(ends["end"], abs=1e-12)
        assert "benzene" in set(rows["name"])
        why = tmp_path / "why.csv"
        run = explained(*self.TWO, "-o", why, "--ledger", fall)
        assert run.code == 0, run.err
        assert fall.read_bytes().startswith(b"\x89PNG")
        assert why.exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ((), "say where explanations go"),
            (("--ledger", "x.txt"), "use a name ending in .svg, .png, .csv"),
            (("--pairs", "x.csv"), "use a name ending in .svg, .png"),
            (("-o", "x.svg", "--palette", "red"), "unknown palette 'red'"),
            (("-o", "x.svg", "--layers", "bond"), "did you mean 'bonds'"),
            (("-o", "x.svg", "--scale", "share"), "did you mean 'shared'"),
            (("-o", "x.svg", "--scale", "-1"), "a finite number above 0"),
            (("--ledger", "x.svg", "--ledger-by", "group"), "did you mean 'groups'"),
        ],
    )
    def test_impossible_requests_are_told_before_the_model_is_read(self, molig, options, message):
        run = molig("explain", "-m", "no-such-model", "--smiles", "C", *options)
        assert run.code == 2
        assert message in " ".join(run.err.split())

    def test_scores_count_from_a_reference(self, explained, tmp_path):
        document, table = tmp_path / "why.md", tmp_path / "ledger.csv"
        run = explained(*self.TWO, "-o", document, "--ledger", table, "--reference", "mean")
        assert run.code == 0, run.err
        assert "reference: the mean of 2 molecules, the usable ones of all rows" in run.err
        assert "reference mean of 2 compounds" in document.read_text()
        assert "size and shape" in set(pd.read_csv(table)["name"])
        run = explained(*self.TWO, "-o", document, "--reference", "C", "--baseline", "zero")
        assert (run.code, "give either --baseline or --reference" in run.err) == (2, True)
