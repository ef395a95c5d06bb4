"""Rows that may hurt cost one row and not the run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from support import poison

from molig.molecules import Molecule, MoleculeParser, Reason, Rejection, read_records
from molig.molecules.guard import MAX_RINGS, SUSPECT_CHARACTERS, ReaderProcess, check_rings
from molig.molecules.reasons import RefusedError

PARSER = MoleculeParser()
SETTINGS = ["parent", 200, "implicit"]
LONG = "C" * 120 + "CC(=O)O" * 25 + "C" * 20


@pytest.mark.parametrize("name", poison.GRAPHS)
def test_graphs_that_explode_are_refused_before_they_are_sanitised(name: str) -> None:
    start = time.process_time()
    result = PARSER.parse_smiles(poison.GRAPHS[name])
    assert isinstance(result, Rejection)
    assert result.reason.startswith((Reason.TOO_COMPLEX.value, Reason.TOO_LARGE.value)), result.reason
    assert time.process_time() - start < 5  # this process only waits


def test_the_rows_before_and_behind_are_scored(tmp_path: Path) -> None:
    lines = ["CCO first", *(f"{smiles} {name}" for name, smiles in poison.GRAPHS.items()), "CCN last"]
    (tmp_path / "poison.smi").write_text("\n".join(lines) + "\n")
    molecules, rejections = PARSER.parse_many(read_records(tmp_path / "poison.smi"))
    assert [m.id for m in molecules] == ["first", "last"]
    assert [r.id for r in rejections] == list(poison.GRAPHS)


def test_a_chain_of_20_000_atoms_in_an_sd_file(tmp_path: Path) -> None:
    ethanol = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    text = f"{ethanol}$$$$\n{poison.v3000_chain(20_000)}{ethanol}$$$$\n"
    (tmp_path / "poison.sdf").write_text(text)
    molecules, rejections = PARSER.parse_many(read_records(tmp_path / "poison.sdf"))
    assert [m.row for m in molecules] == [1, 3]
    assert [(r.row, r.reason) for r in rejections] == [(2, "too large: 20000 heavy atoms")]


def test_a_long_sd_record_is_read_as_a_short_one(tmp_path: Path) -> None:
    mol = Chem.AddHs(Chem.MolFromSmiles("C" * 90 + "O"))
    (tmp_path / "long.sdf").write_text(Chem.MolToMolBlock(mol) + "$$$$\n")
    (record,) = read_records(tmp_path / "long.sdf")
    molecule = PARSER.parse(record)
    assert isinstance(molecule, Molecule)
    assert molecule.mol.GetNumAtoms() == 91
    assert Chem.MolToSmiles(molecule.mol) == Chem.MolToSmiles(Chem.MolFromSmiles("C" * 90 + "O"))


@pytest.mark.parametrize("smiles", [LONG, "[Na+]." + LONG, "[H]" + LONG, LONG + ".OCC[N+](C)(C)C.[Cl-]"])
@pytest.mark.parametrize("hydrogens", ["implicit", "explicit"])
def test_a_long_row_is_the_molecule_that_it_was(smiles: str, hydrogens: str) -> None:
    assert len(smiles) > SUSPECT_CHARACTERS
    parser = MoleculeParser(max_heavy_atoms=500, hydrogens=hydrogens)
    here, removed = parser.scored(smiles)
    there = parser.parse_smiles(smiles)
    assert isinstance(there, Molecule)
    assert Chem.MolToSmiles(there.mol, canonical=False) == Chem.MolToSmiles(here, canonical=False)
    assert there.removed == removed
    props = [a.GetPropsAsDict(includePrivate=True) for a in here.GetAtoms()]
    index = "_molig_input_index"
    assert there.origin is None or list(there.origin) == [p.get(index, i) for i, p in enumerate(props)]


def test_a_row_that_takes_too_long_ends_its_process_and_nothing_else() -> None:
    process = ReaderProcess(cpu_seconds=0.5)
    with pytest.raises(RefusedError, match=r"^given up: it takes more than 0.5 s of processor time$"):
        process.ask({"smiles": poison.SLOW, "parser": SETTINGS})
    mol, removed = process.ask({"smiles": "CCO", "parser": SETTINGS})
    assert (Chem.MolToSmiles(mol), removed) == ("CCO", [])
    process.close()


def test_a_row_that_crashes_rdkit_is_named_with_the_signal() -> None:
    process = ReaderProcess()
    process.ask({"smiles": "C", "parser": SETTINGS})
    inner = process._process
    assert inner is not None
    os.kill(inner.pid, signal.SIGSTOP)  # it must not answer before it dies
    os.kill(inner.pid, signal.SIGSEGV)
    os.kill(inner.pid, signal.SIGCONT)
    with pytest.raises(RefusedError, match=r"^given up: RDKit crashed on it \(SIGSEGV\)$"):
        process._answer("{}")
    assert Chem.MolToSmiles(process.ask({"smiles": "CCO", "parser": SETTINGS})[0]) == "CCO"
    process.close()


def test_memory_is_limited() -> None:
    process = ReaderProcess(memory_bytes=1 << 30)
    mol, _ = process.ask({"smiles": "CCO", "parser": SETTINGS})
    assert mol.GetNumAtoms() == 3
    process.close()


@given(n=st.integers(3, 160))
@settings(max_examples=30, deadline=None)
def test_the_number_of_rings_is_exact_at_the_bound(n: int) -> None:
    ladder = [(i, i + 1) for i in range(n - 1)] + [(n + i, n + i + 1) for i in range(n - 1)]
    raw = Chem.MolFromSmiles(
        poison.smiles_of([*ladder, *((i, n + i) for i in range(n))], "C"), sanitize=False
    )
    if n - 1 <= MAX_RINGS:
        check_rings(raw)
    else:
        with pytest.raises(RefusedError, match=f"{n - 1} independent rings, more than the limit of 100"):
            check_rings(raw)


def test_what_the_bounds_allow_is_read() -> None:
    cage = poison.smiles_of(circulant := poison.circulant(90, (1, 7)), "C")
    assert len(circulant) - 90 + 1 <= MAX_RINGS
    assert isinstance(PARSER.parse_smiles(cage), Molecule)
