"""Saturation of molecules as files: the figure of the paper, and a table of its points."""

from __future__ import annotations

import heapq
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from molig.attribution import MoleculeCurves
from molig.errors import InputError, UsageError
from molig.files import write_whole
from molig.model import Objective, ScoringModel
from molig.molecules import Molecule, Record, Rejection
from molig.molecules.causes import likely_cause
from molig.molecules.records import batched
from molig.report.outputs import PICTURES
from molig.screening.hits import HIT_COLUMN, warn_of_scores
from molig.screening.store import is_store, read_library
from molig.stats.plots import COLORS, GREY, REFERENCE, picture, plot_style, titled_figure
from molig.tables.parts import is_repeatable
from molig.tables.writers import check_distinct, check_writable, spreadsheet_safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
from molig.text import legible

_TABLES = (".csv",)


def check_saturation_outputs(paths: Sequence[Path], source: str | None = None) -> None:
    """Refuse outputs of unknown format, or that could not be written."""
    known = (*PICTURES, *_TABLES)
    for path in paths:
        if path.suffix.lower() not in known:
            raise UsageError(f"cannot tell the format of {path}; use a name ending in {', '.join(known)}")
        check_writable(path)
        check_distinct(source, path)
    places = [path.resolve() for path in paths]
    twice = [path for path, place in zip(paths, places, strict=True) if places.count(place) > 1]
    if twice:
        raise UsageError(f"{twice[0]} is named twice; give every output a name of its own")


def write_saturation(
    curves: Sequence[MoleculeCurves],
    paths: Sequence[Path],
    *,
    title: str,
    subtitle: str = "",
    csv_safe: bool = False,
) -> None:
    """Write the figure and the table of saturation curves; nothing is written before all is made."""
    titles = (title, subtitle)
    contents = [
        _table(curves, csv_safe) if path.suffix.lower() in _TABLES else _figure(curves, path, *titles)
        for path in paths
    ]
    for path, content in zip(paths, contents, strict=True):
        write_whole(path, content)


def _figure(curves: Sequence[MoleculeCurves], path: Path, title: str, subtitle: str) -> bytes:
    suffix = path.suffix.lower()
    if suffix not in PICTURES:
        raise UsageError(f"{path}: saturation is written as {', '.join((*PICTURES, *_TABLES))}")
    return draw_saturation(curves, suffix[1:], title=title, subtitle=subtitle)


def _table(curves: Sequence[MoleculeCurves], csv_safe: bool) -> bytes:
    table = pd.concat([one.to_frame() for one in curves])
    text = table.select_dtypes(exclude="number").columns
    if csv_safe:
        table[text] = table[text].map(spreadsheet_safe)
    # A carriage return ends a line for other readers.
    table[text] = table[text].replace("\r", " ", regex=True)
    written: str = table.to_csv(index=False, float_format="%.8g", lineterminator="\n")
    return written.encode()


# The figure: scores and attribution rates on the way from the baseline to the molecules.

FloatArray = npt.NDArray[np.float64]

_ONE, _MEDIAN = COLORS[:2]
_STYLE = {"axes.titlesize": 10, "axes.xmargin": 0.02}
_SIZE = (9.0, 3.5)  # inches
_COLORS_OF_PNG = 256


def draw_saturation(
    curves: Sequence[MoleculeCurves], file_format: str, *, title: str, subtitle: str = ""
) -> bytes:
    """Draw curves of molecules: scores on the left, attribution rates on the right, medians bold."""
    _check(curves)
    with plot_style(_STYLE):
        figure = titled_figure(legible(title), legible(subtitle), _SIZE)
        left, right = figure.subplots(1, 2)
        _draw_scores(left, curves)
        _draw_rates(right, curves)
        content = picture(figure, file_format, _STYLE)
    return content if file_format == "svg" else _smaller(content)


def _check(curves: Sequence[MoleculeCurves]) -> None:
    if not curves:
        raise UsageError("there is no curve to draw")
    first = curves[0]
    for one in curves:
        if (one.task, one.target, one.share) != (first.task, first.target, first.share):
            raise UsageError(
                f"curves of one figure must be of one task and target: {first.task} {first.target} "
                f"and {one.task} {one.target}"
            )
        if not np.array_equal(one.at, first.at):
            raise UsageError("curves of one figure must have the same points a")


def _draw_scores(axes: Axes, curves: Sequence[MoleculeCurves]) -> None:
    first = curves[0]
    _draw_lines(axes, first.at, np.array([one.scores for one in curves]))
    axes.set_ylabel(f"{first.target} of {legible(first.task)}")
    if first.target == "probability":
        axes.set_ylim(-0.02, 1.02)
    reached = _median([one.reached_at for one in curves])
    note = ""
    if math.isfinite(reached):
        axes.axvline(reached, **REFERENCE)
        note = f"{first.share:.0%} of the change at a = {reached:.2f}{_of_median(curves)}"
    _name(axes, "Score F(a)", note)
    if len(curves) > 1:
        axes.legend(loc="best", frameon=False, handlelength=1.6)


def _draw_rates(axes: Axes, curves: Sequence[MoleculeCurves]) -> None:
    _draw_lines(axes, curves[0].at, np.array([one.rates for one in curves]))
    axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    axes.set_ylabel(f"attribution rate ({curves[0].target} per a)")
    share = _median([one.gradient_share for one in curves])
    known = math.isfinite(share)
    note = f"gradient × input = {share:.0%} of the change{_of_median(curves)}" if known else ""
    _name(axes, "Rate dF/da", note)


def _name(axes: Axes, name: str, note: str) -> None:
    """Write a name above the left end of the axes and a note above the right end."""
    axes.set_title(name, loc="left")
    axes.set_title(note, loc="right", fontsize=8.5, color=GREY)


def _draw_lines(axes: Axes, at: FloatArray, lines: FloatArray) -> None:
    """Every molecule thin, the median at each point bold."""
    if len(lines) > 1:
        thin, *_ = axes.plot(at, lines.T, color=_ONE, linewidth=0.8, alpha=0.45)
        thin.set_label("one molecule")
        axes.plot(at, np.median(lines, axis=0), color=_MEDIAN, linewidth=2.4, label="median")
    else:
        axes.plot(at, lines[0], color=_ONE, linewidth=2)
    axes.set_xlabel("a, from the baseline (0) to the molecule (1)")
    axes.set_xlim(-0.01, 1.01)


def _smaller(png: bytes) -> bytes:
    """The same picture with a palette: a few colours, a third of the size."""
    with Image.open(io.BytesIO(png)) as image:
        indexed = image.convert("RGB").quantize(_COLORS_OF_PNG, method=Image.Quantize.MEDIANCUT)
        dpi = image.info["dpi"]
    buffer = io.BytesIO()
    indexed.save(buffer, format="PNG", optimize=True, dpi=dpi)
    return buffer.getvalue()


def _of_median(curves: Sequence[MoleculeCurves]) -> str:
    return " (median)" if len(curves) > 1 else ""


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else math.nan


# The choice: which molecules of a file are shown as actives of a task.

_BATCH = 256
_ABOVE = 0.5
_SHOWN_VALUES = 5


@dataclass(frozen=True)
class Actives:
    """Molecules to show, and how they were chosen."""

    molecules: list[Molecule]
    scores: list[float]
    rule: str
    rejections: list[Rejection]


def has_labels(source: str | Path, column: str, **columns: Any) -> bool:
    """Whether a file has a column with at least one value in it, which in hits of molig would be a score."""
    if not (is_store(source) or is_repeatable(source)):
        return False
    records = read_library(source, None, optional=[column, HIT_COLUMN], **columns)
    first = next(records)
    if HIT_COLUMN in first.fields:
        warn_of_scores(source, [column])
        return False
    return any(_text(record.fields.get(column)) for record in chain([first], records))


def choose_actives(
    model: ScoringModel,
    records: Iterable[Record],
    task: str,
    n: int = 25,
    *,
    label: str | None = None,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Actives:
    """Choose actives of a task, in one pass and with bounded memory."""
    # Actives have a 1 in the label column; those that the model recognises come first, at random, then the
    # others by score. Without labels the highest-scoring molecules are taken.
    if n < 1:
        raise UsageError(f"choose at least 1 molecule (got {n})")
    pool = _Pool(model, model.task_index(task), label, seed)
    best = heapq.nlargest(n, pool.candidates(records, progress), key=lambda candidate: candidate.key)
    if not best:
        raise InputError(pool.why_none())
    chosen = sorted(best, key=lambda candidate: candidate.molecule.row)
    n_above = sum(candidate.above for candidate in chosen)
    return Actives(
        [candidate.molecule for candidate in chosen],
        [candidate.score for candidate in chosen],
        pool.rule(len(chosen), n_above),
        pool.rejections,
    )


@dataclass(frozen=True)
class _Candidate:
    molecule: Molecule
    score: float
    above: bool
    key: tuple[bool, float]


@dataclass
class _Pool:
    """Molecules that may be chosen, and what became of the other rows."""

    model: ScoringModel
    column: int
    label: str | None
    seed: int
    n_rows: int = 0
    n_scored: int = 0
    n_above: int = 0
    values: dict[str, None] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def _judges(self) -> bool:
        """Whether the model itself says of a molecule that it is active."""
        return self.label is not None and self.model.objective is Objective.CLASSIFICATION

    def candidates(
        self, records: Iterable[Record], progress: Callable[[int], object] | None
    ) -> Iterator[_Candidate]:
        rng = np.random.default_rng(self.seed)
        for batch in batched(records, _BATCH):
            self.n_rows += len(batch)
            # Of a row that could not be read nobody knows whether it was active.
            wanted = [record for record in batch if record.problem or self._is_active(record)]
            molecules, rejected = self.model.parser.parse_many(wanted)
            self.rejections += rejected
            scores = self.model.score_molecules(molecules)[:, self.column].tolist()
            for molecule, score in zip(molecules, scores, strict=True):
                if not np.isfinite(score):
                    reason = f"its score is not a finite number ({score})"
                    self.rejections.append(Rejection(molecule.row, molecule.id, molecule.smiles, reason))
                    continue
                yield self._candidate(molecule, score, rng.random())
            if progress:
                progress(len(batch))

    def _candidate(self, molecule: Molecule, score: float, chance: float) -> _Candidate:
        above = self.label is not None and (score > _ABOVE or not self._judges)
        self.n_scored += 1
        self.n_above += above
        return _Candidate(molecule, score, above, (above, chance if above else score))

    def _is_active(self, record: Record) -> bool:
        if self.label is None:
            return True
        text = _text(record.fields.get(self.label))
        if len(self.values) < _SHOWN_VALUES:
            self.values.setdefault(text)
        try:
            return text.casefold() == "true" or float(text) == 1
        except ValueError:
            return False

    def why_none(self) -> str:
        """Say why there is nothing to choose from."""
        if self.rejections:
            first, what = self.rejections[0], "molecules" if self.label is None else "actives"
            reason = f"row {first.row}: {first.reason}{likely_cause(self.rejections)}"
            return f"none of the {len(self.rejections)} {what} can be scored; {reason}"
        seen = ", ".join(value or "(empty)" for value in self.values)
        return (
            f"column {self.label!r} marks no actives: none of {self.n_rows} rows has a 1 (but {seen}); "
            "choose another column"
        )

    def rule(self, n_chosen: int, n_above: int) -> str:
        """How molecules were chosen."""
        if self.label is None:
            return f"the {n_chosen} highest-scoring of {self.n_scored:,} molecules"
        rows = f"rows with {self.label} = 1"
        judged = " that the model scores above 0.5" if self._judges else ""
        if n_above == n_chosen < self.n_above:
            return f"{n_chosen} of the {self.n_above:,} {rows}{judged}, at random (seed {self.seed})"
        if n_above == n_chosen:
            return f"all {n_above} {rows}{judged}" if n_above > 1 else f"the only one of the {rows}{judged}"
        rest = n_chosen - n_above
        if not n_above:
            return f"the {rest} highest-scoring {rows}, none of which the model scores above 0.5"
        return f"the {n_above} {rows}{judged} and the {rest} highest-scoring other ones"


def _text(value: Any) -> str:
    """A cell as text, empty where nothing is known."""
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return ""
    text = str(value).strip()
    return "" if text.casefold() in {"nan", "na", "null", "none"} else text
