"""Features in words: what molig stored, and what it should have stored, by another road."""

from __future__ import annotations

from collections import deque

from rdkit import Chem

from molig.features import BlockKind, FeatureSchema, MolGraph

Row = dict[str, float]
"""Columns of one atom or pair that are not 0, named "block/column"."""


def atoms_of(graph: MolGraph, schema: FeatureSchema) -> list[Row]:
    return _rows(graph.atom_codes.tolist(), graph.atom_values.tolist(), schema.atom_blocks)


def pairs_of(graph: MolGraph, schema: FeatureSchema) -> dict[tuple[int, int], Row]:
    rows = _rows(graph.pair_codes.tolist(), graph.pair_values.tolist(), schema.pair_blocks)
    return dict(zip(map(tuple, graph.pair_atoms.tolist()), rows, strict=True))


def _rows(codes, values, blocks) -> list[Row]:
    rows = []
    for code_row, value_row in zip(codes, values, strict=True):
        left_codes, left_values, row = list(code_row), list(value_row), {}
        for block in blocks:
            if block.kind is BlockKind.CATEGORICAL:
                code = left_codes.pop(0)
                found = {} if code < 0 else {block.columns[code]: 1.0}
            else:
                found = {column: left_values.pop(0) for column in block.columns}
            row |= {f"{block.name}/{column}": value for column, value in found.items() if value}
        assert not left_codes
        assert not left_values
        rows.append(row)
    return rows


def only(row: Row, *blocks: str) -> Row:
    """The columns of some blocks."""
    return {column: value for column, value in row.items() if column.split("/")[0] in blocks}


# --- the slow road: one atom, one bond, one breadth-first search at a time ---------------------

Neighbors = list[list[int]]


def neighbors_of(mol: Chem.Mol) -> Neighbors:
    return [[neighbor.GetIdx() for neighbor in atom.GetNeighbors()] for atom in mol.GetAtoms()]


def distances_from(start: int, neighbors: Neighbors) -> dict[int, int]:
    distance, queue = {start: 0}, deque([start])
    while queue:
        here = queue.popleft()
        for there in neighbors[here]:
            if there not in distance:
                distance[there] = distance[here] + 1
                queue.append(there)
    return distance


def distance_row(distance: int, limit: int | None, coding: str) -> Row:
    """Columns of a distance as section 3 of the reference states them."""
    if coding == "cumulative":
        return {f"distance_within/<={d}": 1.0 for d in range(distance, 8)}
    beyond = distance > 7 and (limit is None or limit > 7)
    return {"distance/>7" if beyond else f"distance/{distance}": 1.0}


def slow_pairs(mol: Chem.Mol, limit: int | None, coding: str) -> dict[tuple[int, int], Row]:
    names = {
        Chem.BondType.SINGLE: "single",
        Chem.BondType.DOUBLE: "double",
        Chem.BondType.TRIPLE: "triple",
        Chem.BondType.AROMATIC: "aromatic",
    }
    neighbors, table = neighbors_of(mol), {}
    for i in range(mol.GetNumAtoms()):
        for j, distance in distances_from(i, neighbors).items():
            if j <= i or (limit is not None and distance > limit):
                continue
            bond = mol.GetBondBetweenAtoms(i, j)
            row = distance_row(distance, limit, coding)
            if bond is not None and bond.GetBondType() in names:
                row[f"bond/{names[bond.GetBondType()]}"] = 1.0
            if mol.GetRingInfo().AreAtomsInSameRing(i, j):
                row["same_ring/same ring"] = 1.0
            table[i, j] = row
    return table


def slow_atoms(mol: Chem.Mol) -> list[Row]:
    """All blocks but chirality, partial charge, hydrogen bonding: these have tables of their own."""
    known = {"H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"}
    rows = []
    for atom in mol.GetAtoms():
        symbol, hybridization = atom.GetSymbol(), atom.GetHybridization().name.lower()
        row: Row = {f"type/{symbol if symbol in known else 'other'}": 1.0}
        if hybridization in ("sp", "sp2", "sp3"):
            row[f"hybridization/{hybridization}"] = 1.0
        if charge := atom.GetFormalCharge():
            row["formal_charge/charge"] = float(charge)
        if atom.GetIsAromatic():
            row["aromatic/aromatic"] = 1.0
        sizes = mol.GetRingInfo().AtomRingSizes(atom.GetIdx())
        row |= {f"ring_sizes/{n}": float(list(sizes).count(n)) for n in range(3, 9) if n in sizes}
        rows.append(row)
    return rows
