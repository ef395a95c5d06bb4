"""Figures: what they show, that they can be read again, and that they are the same every time."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from molig.errors import OutputError, UsageError
from molig.stats.curves import enrichment_curve, reliability_curve, roc_curve_points
from molig.stats.plots import draw_enrichment, draw_reliability, draw_roc, save_figure


def screen(n=400):
    rng = np.random.default_rng(0)
    labels = (np.arange(n) % 20 == 0).astype(float)
    good, poor = rng.normal(size=n) + 2 * labels, (rng.normal(size=n) + labels).round(1)
    return labels, {"molig": good, "Random forest": poor, "constant": np.zeros(n)}


LABELS, SCORES = screen()
DRAWN = {
    "roc": (draw_roc, {name: roc_curve_points(LABELS, s) for name, s in SCORES.items()}),
    "enrichment": (draw_enrichment, {name: enrichment_curve(LABELS, s) for name, s in SCORES.items()}),
    "reliability": (
        draw_reliability,
        {name: reliability_curve(LABELS, 1 / (1 + np.exp(-s))) for name, s in SCORES.items()},
    ),
}
UNDEFINED = {
    "roc": roc_curve_points([1], [1.0]),
    "enrichment": enrichment_curve([1], [1.0]),
    "reliability": reliability_curve([], []),
}


def words(path):
    return " ".join(t for element in ET.parse(path).iter() for t in (element.text or "").split())


@pytest.mark.parametrize("kind", DRAWN)
def test_methods_and_titles_are_written(kind, tmp_path):
    draw, curves = DRAWN[kind]
    save_figure(draw(curves, "SR-MMP", "203 actives"), tmp_path / "figure.svg")
    text = words(tmp_path / "figure.svg")
    assert all(word in text for word in [*curves, "SR-MMP", "203 actives"])


def test_the_first_molecules_get_room_on_the_axis_of_an_enrichment_curve():
    draw, curves = DRAWN["enrichment"]
    assert draw(curves, "SR-MMP").axes[0].get_xscale() == "log"


def test_counts_stand_below_a_reliability_curve():
    draw, curves = DRAWN["reliability"]
    assert len(draw(curves, "SR-MMP").axes) == 2


@pytest.mark.parametrize("kind", DRAWN)
def test_the_same_curves_give_the_same_bytes(kind, tmp_path):
    draw, curves = DRAWN[kind]
    for name in ("one.svg", "two.svg"):
        save_figure(draw(curves, "SR-MMP"), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "date" not in (tmp_path / "one.svg").read_text(encoding="utf-8").lower()


def test_a_png_is_large_enough_to_print(tmp_path):
    draw, curves = DRAWN["roc"]
    for name in ("roc.PNG", "again.png"):
        save_figure(draw(curves, "SR-MMP"), tmp_path / name)
    assert (tmp_path / "roc.PNG").read_bytes() == (tmp_path / "again.png").read_bytes()
    with Image.open(tmp_path / "roc.PNG") as image:
        assert min(image.size) >= 600


def test_the_area_is_in_the_legend():
    draw, curves = DRAWN["roc"]
    (legend,) = draw(curves, "").legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown == [f"{curve.area:.3f}  {name}" for name, curve in curves.items()]


def test_enrichment_compares_with_the_random_and_the_best_order():
    draw, curves = DRAWN["enrichment"]
    axes = draw(curves, "").axes[0]
    lines = {line.get_label(): line.get_data() for line in axes.get_lines()}
    assert list(lines) == [*curves, "best possible", "random order"]
    # A method that cannot tell molecules apart lies on the random order, everywhere on the bent axis.
    x, y = lines["constant"]
    assert y == pytest.approx(x)
    x, y = lines["best possible"]
    assert y == pytest.approx(np.minimum(1, x * 20))


def test_curves_of_different_sets_have_no_common_best_order():
    curves = {"one": enrichment_curve([1, 0, 0], [3, 2, 1]), "two": enrichment_curve([1, 0], [2, 1])}
    labels = [line.get_label() for line in draw_enrichment(curves, "").axes[0].get_lines()]
    assert labels == ["one", "two", "random order"]


@pytest.mark.parametrize("kind", DRAWN)
def test_an_undefined_curve_leaves_the_others(kind, tmp_path):
    draw, curves = DRAWN[kind]
    for some in ({"none": UNDEFINED[kind]}, {"none": UNDEFINED[kind], **curves}):
        save_figure(draw(some, "title"), tmp_path / "figure.svg")


@pytest.mark.parametrize("kind", DRAWN)
def test_untidy_names_are_harmless(kind, tmp_path):
    draw, curves = DRAWN[kind]
    (curve, *_) = curves.values()
    names = ["$\\frac{", "_hidden", "a\x00b\n<&>", "x" * 300, "\u202eback", "日本"]
    save_figure(draw(dict.fromkeys(names, curve), "$\\bad{ \x01", "_" * 400), tmp_path / "figure.svg")
    text = words(tmp_path / "figure.svg")
    assert all(word in text for word in ("$\\frac{", "hidden", "a\ufffdb <&>", "日本"))
    assert "x" * 60 not in text


@pytest.mark.parametrize("kind", DRAWN)
def test_no_curve_is_refused(kind):
    with pytest.raises(UsageError, match="no curve to draw"):
        DRAWN[kind][0]({}, "title")


def test_other_formats_and_places_are_refused(tmp_path):
    draw, curves = DRAWN["roc"]
    figure = draw(curves, "title")
    with pytest.raises(UsageError, match=r"written as \.svg or \.png"):
        save_figure(figure, tmp_path / "roc.pdf")
    with pytest.raises(OutputError, match="cannot write the figure"):
        save_figure(figure, tmp_path / "missing" / "roc.svg")
