"""Heat maps of atoms against atoms: which pairs a score comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molig.depiction.numbers import number
from molig.depiction.panel import PALETTES, Palette, PanelError, bar_stops
from molig.errors import UnknownNameError
from molig.stats.plots import GREY, one_line, picture, plot_style, titled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Inches: a map of few atoms, what each atom adds, and the largest.
_SMALL, _PER_ATOM, _WIDEST = 2.6, 0.13, 7.0
_COLUMNS = 3
_MOST_NAMES = 45


@dataclass(frozen=True, eq=False)
class PairMatrix:
    """Scores of the pairs of a molecule's atoms.

    Parameters
    ----------
    names : sequence of str
        What each atom is called, such as "C3".
    scores : array-like, shape (n_atoms, n_atoms)
        Symmetric: on the diagonal what an atom has by itself, elsewhere half of each pair, so that rows add
        up to the scores of atoms.
    bonded : array-like of bool, shape (n_atoms, n_atoms)
        Which pairs are bonds; they are marked by a dot.
    title : str
        The molecule's name.
    unit : str
        What the scores are.

    Raises
    ------
    PanelError
        When shapes do not agree, or a score is not finite.
    """

    names: Sequence[str]
    scores: npt.NDArray[np.float64]
    bonded: npt.NDArray[np.bool_]
    title: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        n = len(self.names)
        for name in ("scores", "bonded"):
            held = np.asarray(getattr(self, name))
            if held.shape != (n, n):
                raise PanelError(f"{name}: expected shape {(n, n)}, one row per atom (got {held.shape})")
        if not n or not np.isfinite(self.scores).all():
            raise PanelError("scores: expected finite numbers of at least one atom")


def draw_pair_matrix(
    matrices: PairMatrix | Sequence[PairMatrix],
    *,
    kind: str = "svg",
    scale: float | None = None,
    palette: str = "red-blue",
    note: str = "",
) -> bytes:
    """Draw heat maps of atoms against atoms.

    Parameters
    ----------
    matrices : PairMatrix or sequence of PairMatrix
        One map each, three in a row.
    kind : {"svg", "png"}
        Format.
    scale : float, optional
        The |score| with the full colour; by default the largest of all.
    palette : str
        As in `molig.depiction.draw_svg`.
    note : str
        A line of small print.

    Returns
    -------
    bytes
        The file. The same input gives the same bytes.

    Examples
    --------
    >>> scores = np.array([[0.1, -0.2], [-0.2, 0.3]])
    >>> matrix = PairMatrix(["C0", "O1"], scores, np.eye(2) < 1, title="methanol")
    >>> draw_pair_matrix(matrix)[:5]
    b'<?xml'
    """
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415

    shown = [matrices] if isinstance(matrices, PairMatrix) else list(matrices)
    if not shown:
        raise PanelError("matrices: expected at least one (got none)")
    if palette not in PALETTES:
        raise UnknownNameError("palette", palette, PALETTES)
    largest = scale or max(float(np.abs(one.scores).max()) for one in shown)
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    side = min(_WIDEST / min(2, columns), _SMALL + _PER_ATOM * max(len(one.names) for one in shown))
    units = {one.unit for one in shown if one.unit}
    title = one_line(shown[0].title) if len(shown) == 1 else f"{len(shown)} molecules"
    unit = f" (contribution to {units.pop()})" if len(units) == 1 else ""
    small_print = (
        f"Each pair of atoms{unit}: on the diagonal what an atom has by itself, elsewhere half of each pair;"
        f" rows add up to the scores of atoms; dots are bonds. {note}"
    )
    colors = LinearSegmentedColormap.from_list("scores", _stops(PALETTES[palette]))
    with plot_style():
        figure = titled_figure(f"Pairs of atoms: {title}", small_print, (side * columns + 0.9, side * rows))
        grid = figure.subplots(rows, columns, squeeze=False)
        image: Any = None
        for axes in grid.flat[len(shown) :]:
            axes.set_axis_off()
        for axes, matrix in zip(grid.flat, shown, strict=False):
            image = axes.imshow(matrix.scores, cmap=colors, vmin=-largest or -1, vmax=largest or 1)
            _annotate(axes, matrix, side, several=len(shown) > 1)
        bar = figure.colorbar(image, ax=grid, shrink=0.6, ticks=[-largest, 0, largest] if largest else [0])
        bar.ax.set_yticklabels([number(-largest), "0", number(largest)] if largest else ["0"])
    return picture(figure, kind)


def _stops(palette: Palette) -> list[Any]:
    return list(bar_stops(0.0, palette))


def _annotate(axes: Axes, matrix: PairMatrix, side: float, *, several: bool) -> None:
    n = len(matrix.names)
    every = max(1, -(-n // _MOST_NAMES))
    places = list(range(0, n, every))
    size = min(8.0, 60 * side / n * every)
    names = [one_line(matrix.names[place]) for place in places]
    axes.set_xticks(places, names, rotation=90, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.tick_params(length=0, pad=2)
    rows, columns = np.nonzero(matrix.bonded)
    axes.plot(columns, rows, ".", color=GREY, markersize=min(3.0, 40 * side / n / 2))
    if several:
        axes.set_title(one_line(matrix.title)[:40], fontsize=9)
