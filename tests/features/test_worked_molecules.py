"""Molecules whose features were written down by hand."""

import re
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest
from rdkit import Chem

from molig.features import Featurizer, preset

from .reading import atoms_of, distance_row, distances_from, only, pairs_of

BONDS = {"-": "single", "=": "double", "#": "triple", ":": "aromatic", ">": None}


class Worked(NamedTuple):
    """A molecule on paper.

    ``atoms`` holds one entry per atom, separated by commas: element, hybridisation, formal charge,
    CIP label, ``ar`` for aromatic, D(onor), A(cceptor), and ``6:1`` for "in one ring of size 6".
    ``bonds`` writes ``>`` for a dative bond. ``rings`` are the smallest rings.
    """

    smiles: str
    atoms: str
    bonds: str = ""
    rings: tuple[tuple[int, ...], ...] = ()

    def atom_rows(self) -> list[dict[str, float]]:
        return [_atom_row(entry.split()) for entry in self.atoms.split(",")]

    def pair_rows(self, limit: int | None, coding: str) -> dict[tuple[int, int], dict[str, float]]:
        order = {
            (int(i), int(j)): BONDS[kind] for i, kind, j in re.findall(r"(\d+)([-=#:>])(\d+)", self.bonds)
        }
        neighbors: list[list[int]] = [[] for _ in self.atom_rows()]
        for i, j in order:
            neighbors[i].append(j)
            neighbors[j].append(i)
        table = {}
        for i, j in combinations(range(len(neighbors)), 2):
            distance = distances_from(i, neighbors).get(j)
            if distance is None or (limit is not None and distance > limit):
                continue
            row = distance_row(distance, limit, coding)
            if order.get((i, j)):
                row[f"bond/{order[i, j]}"] = 1.0
            if any({i, j} <= set(ring) for ring in self.rings):
                row["same_ring/same ring"] = 1.0
            table[i, j] = row
        return table


def _atom_row(entry: list[str]) -> dict[str, float]:
    element, *facts = entry
    row = {f"type/{element}": 1.0}
    for fact in facts:
        if fact in ("sp", "sp2", "sp3"):
            row[f"hybridization/{fact}"] = 1.0
        elif fact in ("R", "S"):
            row[f"chirality/{fact}"] = 1.0
        elif ":" in fact:
            size, count = fact.split(":")
            row[f"ring_sizes/{size}"] = float(count)
        elif fact in ("D", "A"):
            row[f"hydrogen_bonding/{ {'D': 'donor', 'A': 'acceptor'}[fact] }"] = 1.0
        elif fact == "ar":
            row["aromatic/aromatic"] = 1.0
        else:
            row["formal_charge/charge"] = float(fact)
    return row


PHENYL = ", ".join(["C sp2 ar 6:1"] * 6)

WORKED = {
    "aspirin": Worked(
        "CC(=O)Oc1ccccc1C(=O)O",
        f"C sp3, C sp2, O sp2 A, O sp2 A, {PHENYL}, C sp2, O sp2 A, O sp2 D",
        "0-1 1=2 1-3 3-4 4:5 5:6 6:7 7:8 8:9 4:9 9-10 10=11 10-12",
        ((4, 5, 6, 7, 8, 9),),
    ),
    "caffeine": Worked(
        "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
        "C sp3, N sp2 ar 5:1 A, C sp2 ar 5:1, N sp2 ar 5:1 A, C sp2 ar 5:1 6:1, C sp2 ar 5:1 6:1,"
        " C sp2 ar 6:1,"
        " O sp2 A, N sp2 ar 6:1 A, C sp2 ar 6:1, O sp2 A, N sp2 ar 6:1 A, C sp3, C sp3",
        "0-1 1:2 2:3 3:4 4:5 1:5 5:6 6=7 6:8 8:9 9=10 9:11 4:11 11-12 8-13",
        ((1, 2, 3, 4, 5), (4, 5, 6, 8, 9, 11)),
    ),
    "nitrobenzene": Worked(
        "O=[N+]([O-])c1ccccc1",
        f"O sp2 A, N sp2 +1, O sp2 -1 A, {PHENYL}",
        "0=1 1-2 1-3 3:4 4:5 5:6 6:7 7:8 3:8",
        ((3, 4, 5, 6, 7, 8),),
    ),
    "glycine zwitterion": Worked(
        "[NH3+]CC(=O)[O-]", "N sp3 +1 D, C sp3, C sp2, O sp2 A, O sp2 -1 A", "0-1 1-2 2=3 2-4"
    ),
    "tetramethylammonium": Worked("C[N+](C)(C)C", "C sp3, N sp3 +1, C sp3, C sp3, C sp3", "0-1 1-2 1-3 1-4"),
    "S-alanine": Worked(
        "C[C@H](N)C(=O)O", "C sp3, C sp3 S, N sp3 D A, C sp2, O sp2 A, O sp2 D", "0-1 1-2 1-3 3=4 3-5"
    ),
    "R-alanine": Worked(
        "C[C@@H](N)C(=O)O", "C sp3, C sp3 R, N sp3 D A, C sp2, O sp2 A, O sp2 D", "0-1 1-2 1-3 3=4 3-5"
    ),
    "alanine, unspecified": Worked(
        "CC(N)C(=O)O", "C sp3, C sp3, N sp3 D A, C sp2, O sp2 A, O sp2 D", "0-1 1-2 1-3 3=4 3-5"
    ),
    "meso diol: r and s are neither R nor S": Worked(
        "O[C@H]1C[C@@H](O)C1",
        "O sp3 D A, C sp3 4:1, C sp3 4:1, C sp3 4:1, O sp3 D A, C sp3 4:1",
        "0-1 1-2 2-3 3-4 3-5 1-5",
        ((1, 2, 3, 5),),
    ),
    "imidazole": Worked(
        "c1c[nH]cn1",
        "C sp2 ar 5:1, C sp2 ar 5:1, N sp2 ar 5:1 D, C sp2 ar 5:1, N sp2 ar 5:1 A",
        "0:1 1:2 2:3 3:4 0:4",
        ((0, 1, 2, 3, 4),),
    ),
    "propiolonitrile": Worked("C#CC#N", "C sp, C sp, C sp, N sp A", "0#1 1-2 2#3"),
    "bond across two rings": Worked(
        "C1CC1C1CC1",
        ", ".join(["C sp3 3:1"] * 6),
        "0-1 1-2 0-2 2-3 3-4 4-5 3-5",
        ((0, 1, 2), (3, 4, 5)),
    ),
    "platinum chloride": Worked("Cl[Pt]Cl", "Cl sp3, other, Cl sp3", "0-1 1-2"),
    "dimethyl selenide": Worked("C[Se]C", "C sp3, other sp3, C sp3", "0-1 1-2"),
    "dative bond": Worked("[NH3]->[Pt]", "N sp3 D A, other", "0>1"),
    "dative bond, written backwards": Worked("[Pt]<-[NH3]", "other, N sp3 D A", "0>1"),
    "quadruple bond": Worked("[Re]$[Re]", "other sp, other sp", "0>1"),
    "dummy atom": Worked("*C", "other, C sp3", "0-1"),
    "sodium acetate": Worked(
        "CC(=O)[O-].[Na+]", "C sp3, C sp2, O sp2 A, O sp2 -1 A, other +1", "0-1 1=2 1-3"
    ),
    "sodium ion": Worked("[Na+]", "other +1"),
    "methane": Worked("C", "C sp3"),
    "hydrogen": Worked("[H][H]", "H, H", "0-1"),
    "deuteromethane": Worked("[2H]C", "H, C sp3", "0-1"),
    "nonane": Worked("CCCCCCCCC", ", ".join(["C sp3"] * 9), "0-1 1-2 2-3 3-4 4-5 5-6 6-7 7-8"),
}

all_molecules = pytest.mark.parametrize("worked", WORKED.values(), ids=WORKED)
PAIR_BLOCKS = {
    "simple": ("bond", "distance", "distance_within"),
    "full": ("bond", "distance", "distance_within", "same_ring"),
}


def featurize(smiles: str, schema):
    return Featurizer(schema)(Chem.MolFromSmiles(smiles))


@all_molecules
def test_atoms(worked):
    full, simple = preset("full"), preset("simple")
    found = atoms_of(featurize(worked.smiles, full), full)
    for row in found:
        row.pop("partial_charge/gasteiger", None)
    assert found == worked.atom_rows()
    assert atoms_of(featurize(worked.smiles, simple), simple) == [only(r, "type") for r in worked.atom_rows()]


@all_molecules
@pytest.mark.parametrize(
    ("name", "limit", "coding"),
    [
        ("simple", 1, "one-hot"),
        ("simple", 2, "one-hot"),
        ("simple", 3, "one-hot"),
        ("simple", None, "one-hot"),
        ("simple", 2, "cumulative"),
        ("full", 2, "one-hot"),
        ("full", 8, "one-hot"),
        ("full", None, "one-hot"),
        ("full", None, "cumulative"),
    ],
)
def test_pairs(worked, name, limit, coding):
    schema = preset(name, max_pair_distance=limit, distance=coding)
    wanted = {pair: only(row, *PAIR_BLOCKS[name]) for pair, row in worked.pair_rows(limit, coding).items()}
    assert pairs_of(featurize(worked.smiles, schema), schema) == wanted


@pytest.mark.parametrize(
    ("smiles", "ends"),
    [
        ("CCCCCCCC", {"distance/7": 1.0}),
        ("CCCCCCCCC", {"distance/>7": 1.0}),
        ("CCCCCCCCCCCCCCCC", {"distance/>7": 1.0}),
    ],
)
def test_distances_beyond_seven_share_a_column(smiles, ends):
    schema = preset("simple", max_pair_distance=None)
    assert pairs_of(featurize(smiles, schema), schema)[0, len(smiles) - 1] == ends


@pytest.mark.parametrize(
    ("smiles", "size", "counts"),
    [
        ("C1C2CC12", 3, [1, 2, 1, 2]),
        ("C12C3C4C1C5C2C3C45", 4, [3] * 8),
        ("C1CC2CCC1C2", 5, [1, 1, 2, 1, 1, 2, 2]),
        ("C1CCC2(C1)CCCC2", 5, [1, 1, 1, 2, 1, 1, 1, 1, 1]),
        ("C1CC2CCC1CC2", 6, [2, 2, 3, 2, 2, 3, 2, 2]),
        ("C1C2CC3CC1CC(C2)C3", 6, [2, 3, 2, 3, 2, 3, 2, 3, 2, 2]),
        ("c1ccc2cc3ccccc3cc2c1", 6, [1, 1, 1, 2, 1, 2, 1, 1, 1, 1, 2, 1, 2, 1]),
        ("C1CCCCCC1", 7, [1] * 7),
        ("C1CCCCCCC1", 8, [1] * 8),
        ("C1CCCCCCCC1", None, [0] * 9),
    ],
    ids=[
        "bicyclobutane",
        "cubane",
        "norbornane",
        "spiro",
        "bicyclooctane",
        "adamantane",
        "anthracene",
        "7",
        "8",
        "9",
    ],
)
def test_ring_sizes_count_every_equivalent_smallest_ring(smiles, size, counts):
    schema = preset("full")
    rows = [only(row, "ring_sizes") for row in atoms_of(featurize(smiles, schema), schema)]
    assert rows == [{f"ring_sizes/{size}": float(n)} if n else {} for n in counts]


@pytest.mark.parametrize(
    ("smiles", "charges"),
    [
        ("C", [-0.078]),
        ("CC", [-0.068, -0.068]),
        ("C=C", [-0.106, -0.106]),
        ("C#C", [-0.122, -0.122]),
        ("CF", [0.079, -0.253]),
    ],
)
def test_partial_charges_are_those_of_gasteiger_and_marsili(smiles, charges):
    """Published in Tetrahedron 36, 3219 (1980)."""
    values = featurize(smiles, preset("full")).atom_values[:, 1]
    np.testing.assert_allclose(values, charges, atol=0.002)


@pytest.mark.parametrize(
    "smiles", ["CCO", "C[N+](C)(C)C", "[NH3+]CC(=O)[O-]", "CC(=O)[O-]", "O=[N+]([O-])c1ccccc1", "[Na+].[Cl-]"]
)
def test_partial_charges_add_up_to_the_net_charge(smiles):
    schema, mol = preset("full"), Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert Featurizer(schema)(mol).atom_values[:, 1].sum() == pytest.approx(
        Chem.GetFormalCharge(mol), abs=1e-4
    )


@pytest.mark.parametrize("smiles", ["Cl[Pt]Cl", "C[Na]", "*C", "[Pt]"])
def test_partial_charges_are_0_for_elements_without_parameters(smiles):
    assert (featurize(smiles, preset("full")).atom_values[:, 1] == 0).all()


def test_featurizing_leaves_no_trace():
    mol, full = Chem.MolFromSmiles("C[C@H](N)C(=O)O"), Featurizer(preset("full"))
    before = Chem.MolToSmiles(mol)
    first, again = full(mol), full(mol)
    assert Chem.MolToSmiles(mol) == before
    assert atoms_of(first, full.schema) == atoms_of(again, full.schema)
    assert pairs_of(first, full.schema) == pairs_of(again, full.schema)


def test_storage_is_small_integers_and_single_precision():
    graph = featurize("CCO", preset("full"))
    assert (graph.atom_codes.dtype, graph.pair_codes.dtype) == (np.int8, np.int8)
    assert (graph.atom_values.dtype, graph.pair_values.dtype) == (np.float32, np.float32)
    assert graph.pair_atoms.dtype == np.int64
