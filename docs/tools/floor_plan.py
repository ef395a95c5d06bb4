"""Draw the floor plan, docs/figures/floor_plan.svg: the rooms, and where each walk of architecture.md stops.

Run: ``python docs/tools/floor_plan.py`` after a room or a walk has changed; tests/test_docs.py says when.
"""

from __future__ import annotations

import re
import textwrap
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "figures" / "floor_plan.svg"
PAGE = ROOT / "docs" / "architecture.md"

# From the roof to the foundations; imports lead down, and on a floor to the left.
FLOORS: list[tuple[str, dict[str, str]]] = [
    ("ask", {"serve": "a page and REST, on this machine", "cli": "parse, call the library, print"}),
    (
        "judge",
        {
            "evaluation": "how well networks rank, beside simple methods",
            "benchmark": "explanations against known truth",
            "report": "pages and tables of explanations",
            "audit": "thirteen checks, and their findings",
        },
    ),
    (
        "use",
        {
            "depiction": "drawings of molecules",
            "attribution": "which atoms carry a score",
            "screening": "a library in, ranked hits out",
            "series": "analogues compared, aligned, edited",
        },
    ),
    (
        "learn",
        {
            "network": "Weave modules and readouts, in torch",
            "secant": "shares slopes along paths",
            "committee": "members that judge together",
            "model": "network, features, domain, card: one directory",
            "foreign": "other people's models, read and scored",
            "training": "a table in, a model out",
        },
    ),
    (
        "read",
        {
            "molecules": "rows of a file: molecules, or rejections with a reason",
            "features": "molecules to categorical codes of atoms and pairs",
        },
    ),
    (
        "stand on",
        {
            "errors": "what was wrong, and what to do",
            "text": "legible, whatever it holds",
            "deferred": "slow imports, late",
            "files": "atomic writes, digests, JSON",
            "compiled": "loops for Numba",
            "tables": "CSV and Parquet, resumable",
            "stats": "ranking figures, intervals, plots",
            "datasets": "public data, downloaded and verified",
        },
    ),
]
COLORS = {"screen": "#1565c0", "explain": "#c62828", "train": "#2e7d32", "audit": "#6a1b9a"}

_WIDTH, _LEFT, _FLOOR, _GAP = 920, 84, 86, 10


def draw(rooms_of: dict[str, set[str]]) -> str:
    """The picture, from the rooms in which each walk stops."""
    height = 40 + len(FLOORS) * _FLOOR
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<title>Rooms of molig, floor by floor, and the walks that enter them</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        *_legend(),
    ]
    for number, (floor, rooms) in enumerate(FLOORS):
        top = 40 + number * _FLOOR
        parts.append(f'<text x="12" y="{top + 42}" fill="#78909c" font-style="italic">{floor}</text>')
        width = (_WIDTH - _LEFT - 12 - _GAP * (len(rooms) - 1)) / len(rooms)
        for place, (room, caption) in enumerate(rooms.items()):
            walks = [walk for walk in COLORS if room in rooms_of[walk]]
            parts += _room(room, caption, walks, (_LEFT + place * (width + _GAP), top, width))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    parts = [f'<text x="{_LEFT}" y="24" fill="#546e7a">walks:</text>']
    for place, (walk, color) in enumerate(COLORS.items()):
        x = _LEFT + 60 + place * 90
        parts.append(
            f'<circle cx="{x}" cy="20" r="5.5" fill="{color}"/><text x="{x + 12}" y="24">{walk}</text>'
        )
    parts.append(
        f'<text x="{_WIDTH - 12}" y="24" text-anchor="end" fill="#546e7a">imports lead down and left</text>'
    )
    return parts


def _room(room: str, caption: str, walks: list[str], box: tuple[float, float, float]) -> list[str]:
    x, y, width = box
    text, below = x + 10, y + 22
    frame = f'x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_FLOOR - _GAP}" rx="5"'
    parts = [
        f'<rect {frame} fill="#eceff1" stroke="#b0bec5"/>',
        f'<text x="{text:.1f}" y="{below}" font-weight="bold" fill="#263238">{room}</text>',
    ]
    for line in textwrap.wrap(caption, int(width / 7.2)):
        below += 16
        parts.append(f'<text x="{text:.1f}" y="{below}" fill="#455a64" font-size="12">{escape(line)}</text>')
    for place, walk in enumerate(reversed(walks)):
        dot = f'cx="{x + width - 14 - 15 * place:.1f}" cy="{y + 17}" r="5.5" fill="{COLORS[walk]}"'
        parts.append(f'<circle class="{walk} {room}" {dot}/>')
    return parts


def stops(page: str, walk: str) -> list[str]:
    """Functions and classes that the numbered list of a walk names, in its order."""
    (section,) = re.findall(rf"^### .* through `{walk}`$(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    return re.findall(r"`(molig(?:\.\w+)+)`", "".join(re.findall(r"^\d+\. .*", section, re.MULTILINE)))


def floor_plan() -> str:
    """The picture as it should be."""
    page = PAGE.read_text(encoding="utf-8")
    return draw({walk: {stop.split(".")[1] for stop in stops(page, walk)} for walk in COLORS})


if __name__ == "__main__":
    PICTURE.write_text(floor_plan(), encoding="utf-8")
