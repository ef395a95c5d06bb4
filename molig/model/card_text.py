"""Pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar in a cell, as names of tasks may have, does not end the cell."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def bullets(title: str, items: Iterable[str]) -> str:
    """A section that is a list."""
    return "\n".join([f"## {title}", "", *(f"- {item}" for item in items)])


def shown(value: float | None, form: str = ".3f") -> str:
    """A figure, or "n/a"."""
    return "n/a" if value is None else format(value, form)
