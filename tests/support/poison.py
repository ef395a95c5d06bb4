"""Rows that hang RDKit, crash it or eat all memory: valid texts, made here and not committed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Edge = tuple[int, int]


def circulant(n: int, steps: Iterable[int]) -> list[Edge]:
    """Every atom bound to the ones so many places on: a regular graph of twice as many bonds an atom."""
    return [(i, (i + step) % n) for step in steps for i in range(n)]


def complete(n: int) -> list[Edge]:
    """Every atom bound to every other."""
    return [(i, j) for i in range(n) for j in range(i)]


def random_graph(n: int, n_edges: int, seed: int) -> list[Edge]:
    """A chain with random bonds across it."""
    rng = np.random.default_rng(seed)
    edges = {(i, i + 1) for i in range(n - 1)}
    while len(edges) < n_edges:
        i, j = sorted(rng.integers(0, n, 2).tolist())
        if j > i:
            edges.add((i, j))
    return sorted(edges)


def cube(n: int) -> list[Edge]:
    """A cubic lattice of n x n x n atoms."""
    place = {(x, y, z): (x * n + y) * n + z for x in range(n) for y in range(n) for z in range(n)}
    steps = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    return [
        (number, place[x + dx, y + dy, z + dz])
        for (x, y, z), number in place.items()
        for dx, dy, dz in steps
        if (x + dx, y + dy, z + dz) in place
    ]


def prism(n: int, step: int) -> list[Edge]:
    """Generalised Petersen graph: two rings of n atoms, bound to each other; the inner one is a star."""
    outer = [(i, (i + 1) % n) for i in range(n)]
    return outer + [(i, n + i) for i in range(n)] + [(n + i, n + (i + step) % n) for i in range(n)]


def smiles_of(edges: Iterable[Edge], symbol: str) -> str:
    """Write a connected graph whose atoms are all alike, ring bonds beyond 99 in the way of RDKit."""
    neighbours: dict[int, list[int]] = {}
    for i, j in edges:
        neighbours.setdefault(i, []).append(j)
        neighbours.setdefault(j, []).append(i)
    parent, order, stack = {0: -1}, [], [(0, -1)]
    seen: set[int] = set()
    while stack:
        atom, origin = stack.pop()
        if atom in seen:
            continue
        seen.add(atom)
        parent[atom] = origin
        order.append(atom)
        stack.extend((other, atom) for other in neighbours[atom] if other not in seen)
    tree = {frozenset(pair) for pair in parent.items() if pair[1] >= 0}
    rings: dict[int, list[str]] = {atom: [] for atom in order}
    closures = {frozenset(edge) for edge in edges} - tree
    for number, edge in enumerate(sorted(closures, key=sorted), start=1):
        for atom in edge:
            rings[atom].append(
                str(number) if number < 10 else f"%{number}" if number < 100 else f"%({number})"
            )
    children: dict[int, list[int]] = {atom: [] for atom in order}
    for atom in order[1:]:
        children[parent[atom]].append(atom)
    return _written(order[0], children, rings, symbol)


def _written(root: int, children: dict[int, list[int]], rings: dict[int, list[str]], symbol: str) -> str:
    text: list[str] = []
    stack: list[int | str] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            text.append(item)
            continue
        text.append(symbol + "".join(rings[item]))
        *branches, last = children[item] or [None]
        if last is not None:
            stack.append(last)
        for branch in branches:
            stack.extend((")", branch, "("))
    return "".join(text)


def v3000_chain(n: int) -> str:
    """SD record of a chain of carbon atoms."""
    atoms = "\n".join(f"M  V30 {i} C 0 0 0 0" for i in range(1, n + 1))
    bonds = "\n".join(f"M  V30 {i} 1 {i} {i + 1}" for i in range(1, n))
    return (
        f"chain\n     poison\n\n  0  0  0     0  0            999 V3000\nM  V30 BEGIN CTAB\n"
        f"M  V30 COUNTS {n} {n - 1} 0 0 0\nM  V30 BEGIN ATOM\n{atoms}\nM  V30 END ATOM\n"
        f"M  V30 BEGIN BOND\n{bonds}\nM  V30 END BOND\nM  V30 END CTAB\nM  END\n$$$$\n"
    )


GRAPHS = {
    "6-regular graph of 800 sulfur atoms": smiles_of(circulant(800, (1, 7, 61)), "[S]"),
    "complete graph of 70 uranium atoms": smiles_of(complete(70), "[U]"),
    "complete graph of 80 uranium atoms": smiles_of(complete(80), "[U]"),
    "complete graph of 100 uranium atoms": smiles_of(complete(100), "[U]"),
    "random graph of 1,000 uranium atoms": smiles_of(random_graph(1000, 4000, 0), "[U]"),
    "random graph of 1,300 uranium atoms": smiles_of(random_graph(1300, 5000, 0), "[U]"),
    "4-regular graph of 1,900 carbon atoms": smiles_of(circulant(1900, (1, 43)), "C"),
    "cube of 12 x 12 x 12 silicon atoms": smiles_of(cube(12), "[Si]"),
}
"""By what they are: every one of them ended a run, or held it for minutes."""

SLOW = smiles_of(prism(90, 2), "c")
"""Passes the bounds, and takes RDKit more than a second to kekulise."""
