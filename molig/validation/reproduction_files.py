"""A model's card and what was measured again, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from molig.files import json_text, made_by, versions
from molig.ranking import METRICS
from molig.screening import write_whole
from molig.validation.heldout import HeldOut
from molig.validation.reproduction import TOLERANCE, FigureDifference

REPRODUCTION_FILE = "reproduction.json"
REPRODUCTION_REPORT = "reproduction.md"

_TITLES = {metric.name: metric.title for metric in METRICS} | {
    "n_actives": "actives",
    "n_inactives": "inactives",
    "baseline_median": "zero baseline, median",
    "baseline_max": "zero baseline, largest",
    "baseline_share_neutral": "zero baseline, share at most 0.02",
}


def figure_title(figure: str) -> str:
    """What tables call a figure of a card.

    Parameters
    ----------
    figure : str
        As in `FigureDifference`.

    Returns
    -------
    str

    Examples
    --------
    >>> figure_title("ef_1")
    'EF 1 %'
    """
    return _TITLES.get(figure, figure)


def write_reproduction(
    found: HeldOut, output: Path, *, model: str, table: str, command: str = ""
) -> list[Path]:
    """Write ``reproduction.json`` and ``reproduction.md``.

    Parameters
    ----------
    found : HeldOut
        Figures of now and of the card.
    output : Path
        Directory to write to.
    model : str
        Name of the model.
    table : str
        Name of the table's file.
    command : str
        The command that was given.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    paths = [output / REPRODUCTION_FILE, output / REPRODUCTION_REPORT]
    write_whole(paths[0], _as_json(found, model, table, command).encode())
    write_whole(paths[1], _as_markdown(found, model, table, command).encode())
    return paths


def _as_json(found: HeldOut, model: str, table: str, command: str) -> str:
    content: dict[str, Any] = {
        "format": "molig-reproduction",
        "model": model,
        "part": found.part,
        "table": {"file": table, "is_training_table": found.same_table},
        "command": command,
        "versions": versions(),
        "tolerance": TOLERANCE,
        "reproduced": found.is_reproduced if found.differences else None,
        "figures": [
            {
                "task": pair.task,
                "figure": pair.figure,
                "on_card": pair.stated,
                "now": pair.now,
                "difference": pair.difference,
                "reproduced": pair.is_reproduced,
            }
            for pair in found.differences
        ],
    }
    return json_text(content)


def _as_markdown(found: HeldOut, model: str, table: str, command: str) -> str:
    lines = [
        f"# {model}: its card measured again",
        "",
        f"The {found.part} part of `{table}`, "
        + ("the table" if found.same_table else "which is not the table")
        + f" that the model was trained with. {_verdict(found)}",
        "",
        f"Allowed: {TOLERANCE} up to a value of 1, {100 * TOLERANCE:g} % of the stated value above it "
        "(enrichment factors, counts). Bootstrap intervals, the validation part, cross-validation and audit "
        "of the card are not measured again.",
        "",
        "| task | figure | on the card | now | difference | |",
        "|---|---|---:|---:|---:|---|",
        *(_row(pair) for pair in found.differences),
        "",
        made_by(command),
    ]
    return "\n".join(lines) + "\n"


def _verdict(found: HeldOut) -> str:
    n, failed = len(found.differences), len(found.not_reproduced)
    if not n:
        return "The card states no figures of this part."
    return (
        f"All {n} figures are reproduced." if not failed else f"{failed} of {n} figures are not reproduced."
    )


def _row(pair: FigureDifference) -> str:
    now, difference = (
        ("n/a", "n/a") if pair.now != pair.now else (_shown(pair.now), f"{pair.difference:+.5f}")
    )
    mark = "" if pair.is_reproduced else "differs"
    cells = [pair.task, figure_title(pair.figure), _shown(pair.stated), now, difference, mark]
    return f"| {' | '.join(cells)} |"


def _shown(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) > 1 else f"{value:.5f}"
