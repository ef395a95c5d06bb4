"""The figure and the table of saturation curves."""

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rdkit import Chem

from molig.attribution import MoleculeCurves
from molig.errors import UsageError
from molig.report.saturation import check_saturation_outputs, draw_saturation, write_saturation

AT = np.linspace(0, 1, 11)
METHANE = MoleculeCurves(
    id="m\r1",
    smiles="C",
    mol=Chem.MolFromSmiles("C"),
    task="a <task> & $x$",
    target="probability",
    at=AT,
    scores=AT**2,
    atom_rates=2 * AT[:, None],
    share=0.9,
    reached_at=0.95,
    gradient_share=2.0,
)
CURVES = [METHANE, replace(METHANE, id="m2", scores=AT, atom_rates=np.ones((11, 1)), reached_at=0.9)]
UNKNOWN = replace(METHANE, reached_at=float("nan"), gradient_share=float("nan"))
SVG = "{http://www.w3.org/2000/svg}"


def words(svg: bytes) -> str:
    return " | ".join(" ".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text"))


class TestFigure:
    def test_the_svg_says_what_it_shows_in_text(self):
        shown = words(draw_saturation(CURVES, "svg", title="A title\x00", subtitle="small print"))
        for text in ("A title\ufffd", "small print", "probability of a <task> & $x$", "Score F(a)", "median"):
            assert text in shown
        assert "90% of the change at a = 0.93 (median)" in shown or "at a = 0.92 (median)" in shown
        assert "gradient × input = 200% of the change (median)" in shown

    def test_one_molecule_has_no_median(self):
        shown = words(draw_saturation([METHANE], "svg", title="One"))
        assert "at a = 0.95" in shown
        assert "median" not in shown

    def test_unknown_shares_are_left_out(self):
        assert "of the change" not in words(draw_saturation([UNKNOWN, UNKNOWN], "svg", title="t"))

    def test_a_value_may_have_any_range(self):
        value = replace(METHANE, target="value", scores=-300 * AT)
        assert "value of a <task>" in words(draw_saturation([value], "svg", title="t"))

    @pytest.mark.parametrize("file_format", ["svg", "png"])
    def test_the_same_bytes_every_time(self, file_format):
        first, second = (draw_saturation(CURVES, file_format, title="t") for _ in range(2))
        assert first == second

    def test_nothing_tells_time_or_version(self):
        assert b"dc:date" not in draw_saturation(CURVES, "svg", title="t")
        with Image.open(io.BytesIO(draw_saturation(CURVES, "png", title="t"))) as image:
            assert set(image.info) <= {"dpi"}

    def test_the_png_is_a_picture(self):
        with Image.open(io.BytesIO(draw_saturation(CURVES, "png", title="t"))) as image:
            assert min(image.size) > 400
            assert len(image.convert("RGB").getcolors(1 << 20)) > 10

    def test_a_name_in_another_script_warns_nobody(self, recwarn):
        draw_saturation([replace(METHANE, task="阻害")], "png", title="阻害")
        assert not [w for w in recwarn if "Glyph" in str(w.message)]

    @pytest.mark.parametrize(
        ("curves", "message"),
        [
            ([], "no curve"),
            ([METHANE, replace(METHANE, task="other")], "one task and target"),
            ([METHANE, replace(METHANE, at=AT**2)], "same points"),
        ],
    )
    def test_curves_that_do_not_belong_together(self, curves, message):
        with pytest.raises(UsageError, match=message):
            draw_saturation(curves, "svg", title="t")


class TestFiles:
    def test_figure_and_table(self, tmp_path):
        paths = [tmp_path / "fig.svg", tmp_path / "FIG.PNG", tmp_path / "curves.csv"]
        check_saturation_outputs(paths)
        write_saturation(CURVES, paths, title="t")
        table = pd.read_csv(paths[2])
        assert list(table) == [
            *("id", "smiles", "task", "target", "a", "score", "rate", "reached_at", "gradient_share"),
        ]
        assert table["id"].unique().tolist() == ["m 1", "m2"]
        np.testing.assert_allclose(table["score"], np.concatenate([AT**2, AT]), rtol=1e-7)
        assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}

    def test_nothing_is_written_if_one_is_impossible(self, tmp_path):
        with pytest.raises(UsageError, match="saturation is written as"):
            write_saturation(CURVES, [tmp_path / "fig.svg", tmp_path / "fig.pdf"], title="t")
        assert not list(tmp_path.iterdir())

    def test_refused_names(self, tmp_path):
        source = tmp_path / "a.csv"
        source.write_text("smiles\nC\n")
        for paths, message in (
            ([Path("fig.pdf")], "use a name ending in .svg, .png, .csv"),
            ([tmp_path / "no" / "fig.svg"], "does not exist"),
            ([source], "is the library"),
            ([tmp_path / "f.svg", tmp_path / "." / "f.svg"], "named twice"),
        ):
            with pytest.raises(UsageError, match=message):
                check_saturation_outputs(paths, str(source))
