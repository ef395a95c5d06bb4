from __future__ import annotations

import pytest
from rdkit import Chem

from molig.errors import UnknownNameError, UsageError
from molig.molecules import Molecule, MoleculeParser, Record, Rejection, read_records
from molig.molecules.sdf_reader import with_smiles

from .conftest import WriteFile


def block(smiles: str, name: str, **tags: str) -> str:
    mol = Chem.MolFromSmiles(smiles)
    mol.SetProp("_Name", name)
    items = "".join(f">  <{tag}>  \n{value}\n\n" for tag, value in tags.items())
    return f"{Chem.MolToMolBlock(mol)}{items}$$$$\n"


def read(write: WriteFile, content: str | bytes, **options: str | list[str]) -> list[Record]:
    return list(map(with_smiles, read_records(write("a.sdf", content), **options)))  # type: ignore[arg-type]


def test_records_carry_molecule_smiles_and_title(write: WriteFile) -> None:
    records = read(write, block("OCC", "ethanol") + block("C", ""))
    assert [(r.row, r.id, r.smiles) for r in records] == [(1, "ethanol", "CCO"), (2, "2", "C")]
    assert all(isinstance(MoleculeParser().parse(r), Molecule) for r in records)


def test_tags(write: WriteFile) -> None:
    content = block("C", "x", code="A1", label="1") + block("CC", "y", code="A2")
    records = read(write, content, id_column="code", columns=["label"])
    assert [(r.id, dict(r.fields)) for r in records] == [("A1", {"label": "1"}), ("A2", {"label": ""})]


def test_value_of_several_lines(write: WriteFile) -> None:
    records = read(write, block("C", "x", note="one\ntwo"), columns=["note"])
    assert records[0].fields["note"] == "one\ntwo"


@pytest.mark.parametrize(
    ("damaged", "problem"),
    [
        ("title\n\n\nnonsense\nM  END\n$$$$\n", "damaged SDF record: the mol block is not valid"),
        ("title\n\n\n$$$$\n", "damaged SDF record: no 'M  END' line"),
        ("$$$$\n", "damaged SDF record: no 'M  END' line"),
        (block("C", "title").replace(" C ", " C\0"), "null bytes in the line"),
        (
            block("C", "title").replace("$$$$\n", "") + block("CC", "lost"),
            "damaged SDF record: a second structure",
        ),
        (block("C", "title").replace("M  END", "C" * 200_000), "line longer than 100,000 characters"),
        ("title\n" + "x\n" * 1_100_000 + "$$$$\n", "SDF record longer than 2,000,000 characters"),
    ],
)
def test_damaged_record_is_one_problem_and_the_next_is_read(
    write: WriteFile, damaged: str, problem: str
) -> None:
    records = read(write, block("C", "a") + damaged + block("CCC", "c"))
    assert [r.row for r in records] == [1, 2, 3]
    assert [r.id for r in records] == ["a", "2" if damaged == "$$$$\n" else "title", "c"]
    assert records[1].problem is not None
    assert records[1].problem.startswith(problem)
    assert [r.smiles for r in records] == ["C", "", "CCC"]
    assert isinstance(MoleculeParser().parse(records[1]), Rejection)


def test_impossible_valence_is_named(write: WriteFile) -> None:
    mol = Chem.MolFromSmiles("C(C)(C)(C)(C)C", sanitize=False)
    records = read(write, Chem.MolToMolBlock(mol, kekulize=False) + "$$$$\n")
    assert records[0].problem == (
        "damaged SDF record: Explicit valence for atom # 0 C, 5, is greater than permitted"
    )


def test_last_end_mark_may_be_missing(write: WriteFile) -> None:
    records = read(write, block("C", "a") + block("CC", "b").replace("$$$$\n", "") + "\n\n")
    assert [(r.id, r.problem) for r in records] == [("a", None), ("b", None)]


def test_windows_line_ends(write: WriteFile) -> None:
    assert read(write, block("CCO", "e", t="1").replace("\n", "\r\n"), columns=["t"])[0].fields["t"] == "1"


def test_stereo_is_read_from_the_drawing(write: WriteFile) -> None:
    assert read(write, block("C[C@H](N)C(=O)O", "ala"))[0].smiles == "C[C@H](N)C(=O)O"


def test_attachment_points_are_refused(write: WriteFile) -> None:
    result = MoleculeParser().parse(read(write, block("*CC", "r"))[0])
    assert isinstance(result, Rejection)
    assert result.reason.startswith("dummy atom")


def test_unknown_tag(write: WriteFile) -> None:
    with pytest.raises(UnknownNameError, match="unknown SD tag 'codes'; did you mean 'code'"):
        read(write, block("C", "x", code="A1"), id_column="codes")


def test_smiles_column_makes_no_sense(write: WriteFile) -> None:
    with pytest.raises(UsageError, match="no SMILES column"):
        read(write, block("C", "x"), smiles_column="smiles")


def test_bytes_outside_utf8_keep_identifiers_apart(write: WriteFile) -> None:
    content = (block("C", "a") + block("C", "X1") + block("C", "X2")).encode()
    content = content.replace(b"X1", b"n\xe9").replace(b"X2", b"n\xe8")
    with pytest.warns(UserWarning, match=r"a\.sdf: row 2 is the first that is not encoded in UTF-8"):
        assert [r.id for r in read(write, content)] == ["a", "n\u00e9", "n\u00e8"]
