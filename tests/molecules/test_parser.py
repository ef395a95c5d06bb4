from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, rdBase

from molig.errors import UnknownNameError, UsageError
from molig.molecules import (
    Molecule,
    MoleculeParser,
    Reason,
    Record,
    Rejection,
    StandardizationPolicy,
    smiles_records,
)
from molig.molecules.parser import HYDROGEN, elements_of, read_smiles
from tests.features.molecules import DIVERSE
from tests.support.small_model import nci_smiles

PARSER = MoleculeParser()


def reason(smiles: str, parser: MoleculeParser = PARSER) -> str:
    result = parser.parse_smiles(smiles)
    assert isinstance(result, Rejection), f"{smiles} was accepted"
    return result.reason


def standard(smiles: str, parser: MoleculeParser = PARSER) -> str:
    result = parser.parse_smiles(smiles)
    assert isinstance(result, Molecule), f"{smiles} was refused: {result}"
    return str(Chem.MolToSmiles(result.mol))


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("", Reason.EMPTY),
        ("  \t", Reason.EMPTY),
        ("CC>>CO", Reason.REACTION),
        ("CC>O>CO", Reason.REACTION),
        ("C1CC", Reason.UNPARSABLE),
        ("not a smiles", Reason.UNPARSABLE),
        ("C(C)(C)(C)(C)C", Reason.UNPARSABLE),
        ("c1cccc1", Reason.UNPARSABLE),
        ("CC\ufffdN", Reason.NOT_ASCII),
        ("CC\udc80", Reason.NOT_ASCII),
        ("CC\0N", Reason.NULL_BYTES),
        ("CC\u00a0N", Reason.NOT_ASCII),
        ("CC\u2003ethane", Reason.NOT_ASCII),
        ("CC O", Reason.TEXT_BEHIND),
        ("CCO ethanol", Reason.TEXT_BEHIND),
        ("CCO n\u00e9", Reason.TEXT_BEHIND),
        ("CC\nO", Reason.TEXT_BEHIND),
        ("CC |$;$| O", Reason.TEXT_BEHIND),
        ("CC |$;$|O", Reason.TEXT_BEHIND),
        ("CC |$;$", Reason.TEXT_BEHIND),
        ("C" * 100_001, Reason.CELL_TOO_LONG),
        ("[H][H]", Reason.NO_ATOMS),
        ("[H+]", Reason.NO_ATOMS),
        ("C" * 1000, Reason.TOO_LARGE),
        ("C" * 5000, Reason.TOO_LARGE),
        ("[Fe]", Reason.METAL_ONLY),
        ("[Na+]", Reason.METAL_ONLY),
        ("[Na].[K]", Reason.METAL_ONLY),
        ("[*]", Reason.DUMMY_ATOM),
        ("[*]CC", Reason.DUMMY_ATOM),
        ("[1*]c1ccccc1", Reason.DUMMY_ATOM),
        ("*.CCO", Reason.DUMMY_ATOM),
    ],
)
@pytest.mark.parametrize("policy", list(StandardizationPolicy))
def test_every_bad_smiles_has_its_reason(
    smiles: str, expected: Reason, policy: StandardizationPolicy
) -> None:
    assert reason(smiles, MoleculeParser(policy)).startswith(expected.value)


def test_what_looks_like_a_blank_is_named() -> None:
    assert reason("CC\u00a0O") == (
        "characters outside ASCII: character 3 is U+00A0, no-break space; a SMILES has none"
    )
    assert reason("CC O") == "text behind the SMILES: 'O'; only |...| may stand there"


def test_reasons_can_be_told_apart_by_their_beginning() -> None:
    texts = [r.value for r in Reason]
    assert not [(a, b) for a in texts for b in texts if a is not b and a.startswith(b)]


def test_reason_names_the_atom_and_its_valence() -> None:
    assert (
        reason("CC(C)(C)(C)C")
        == "not parsable: Explicit valence for atom # 1 C, 5, is greater than permitted"
    )


def test_reason_names_the_size_and_the_limit() -> None:
    assert reason("C" * 1000) == "too large: 1000 heavy atoms, more than the limit of 200"


def test_size_limit_is_inclusive() -> None:
    parser = MoleculeParser(max_heavy_atoms=5)
    assert standard("CCCCC", parser) == "CCCCC"
    assert reason("CCCCCC", parser).startswith("too large: 6")


def test_size_is_counted_after_standardisation() -> None:
    smiles = "CC[NH3+].[O-]S(=O)(=O)C"
    assert standard(smiles, MoleculeParser("parent", max_heavy_atoms=3)) == "CCN"
    assert reason(smiles, MoleculeParser("none", max_heavy_atoms=5)).startswith("too large: 8")


def test_explicit_hydrogens_do_not_count_as_size() -> None:
    smiles = "C([H])([H])([H])C([H])([H])[H]"
    assert standard(smiles, MoleculeParser(max_heavy_atoms=2)) == "CC"


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CC(=O)[O-].[Na+]", "CC(=O)O"),
        ("C[NH+](C)C.[Cl-]", "CN(C)C"),
        ("CS(C)=O", "C[S+](C)[O-]"),
        ("CN(=O)=O", "C[N+](=O)[O-]"),
        ("C[N+](C)(C)C.[Br-]", "C[N+](C)(C)C"),
        ("  CCO  ", "CCO"),
        ("CCO |$a;;$|", "CCO"),
    ],
)
def test_parent_of_a_compound(smiles: str, expected: str) -> None:
    assert standard(smiles) == expected


def test_policy_none_leaves_salts_alone() -> None:
    assert standard("CC(=O)[O-].[Na+]", MoleculeParser("none")) == "CC(=O)[O-].[Na+]"


def test_molecule_carries_what_the_record_said() -> None:
    result = PARSER.parse(Record(7, "seven", "OCC"))
    assert isinstance(result, Molecule)
    assert (result.row, result.id, result.smiles, result.origin) == (7, "seven", "OCC", None)


def test_origin_points_into_the_smiles_as_given() -> None:
    given_smiles = "Cl.OC(=O)CN"
    result = PARSER.parse_smiles(given_smiles)
    assert isinstance(result, Molecule)
    assert result.origin == (1, 2, 3, 4, 5)
    source = Chem.MolFromSmiles(given_smiles)
    symbols = [source.GetAtomWithIdx(i).GetSymbol() for i in result.origin]
    assert symbols == [atom.GetSymbol() for atom in result.mol.GetAtoms()]


@pytest.mark.parametrize(
    ("smiles", "scored", "removed", "origin"),
    [
        ("OCC", "OCC", (), None),
        ("[Na+].CC(=O)[O-]", "CC(=O)O", ("sodium",), (1, 2, 3, 4)),
        ("CC(=O)[O-].[Na+]", "CC(=O)O", ("sodium",), None),
        ("[H]C([H])([H])C", "[H]C([H])([H])C", (), (1, 4)),
        ("[2H]c1c([2H])c([2H])c(O)c([2H])c1[2H]", "Oc1ccccc1", (), (1, 2, 4, 6, 7, 8, 10)),
        ("Cl.[H]N([H])CC", "CCN", ("chloride",), (2, 4, 5)),
        ("CS(C)=O", "C[S+](C)[O-]", (), None),
    ],
)
@pytest.mark.parametrize("hydrogens", ["implicit", "explicit"])
def test_what_was_scored_and_which_atoms(
    smiles: str, scored: str, removed: tuple[str, ...], origin: tuple[int, ...] | None, hydrogens: str
) -> None:
    result = MoleculeParser(hydrogens=hydrogens).parse_smiles(smiles)
    assert isinstance(result, Molecule)
    assert (result.scored_smiles, result.removed) == (scored, removed)
    heavy = tuple(index for index in result.origin or () if index >= 0) or None
    n = result.mol.GetNumHeavyAtoms()
    assert (heavy or tuple(range(n))) == (origin or tuple(range(n)))


@pytest.mark.parametrize("smiles", ["[C+99999999]", "[#999999]", "[99999C]", "[C-10]C", "CC[#12345]"])
def test_numbers_that_cannot_be_are_refused(smiles: str) -> None:
    assert reason(smiles) == "not parsable: a charge, isotope or element number that cannot be"


def test_origin_survives_pickling() -> None:
    result = pickle.loads(pickle.dumps(PARSER.parse_smiles("Cl.CN")))
    assert result.origin == (1, 2)


def test_problem_of_the_reader_becomes_the_reason() -> None:
    result = PARSER.parse(Record(3, "c", "CCO", problem="line longer than anyone can read"))
    assert result == Rejection(3, "c", "CCO", "line longer than anyone can read")


def test_the_block_of_a_record_is_read() -> None:
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("Cl.NC"))
    result = PARSER.parse(Record(1, "salt", "", block=block))
    assert isinstance(result, Molecule)
    assert (Chem.MolToSmiles(result.mol), result.smiles, result.origin) == ("CN", "CN.Cl", (1, 2))


def test_a_molecule_that_was_given_is_used() -> None:
    result = PARSER.parse(Record(1, "salt", "", mol=Chem.MolFromSmiles("CN.Cl")))
    assert isinstance(result, Molecule)
    assert Chem.MolToSmiles(result.mol) == "CN"


def test_a_block_without_atoms_is_refused() -> None:
    result = PARSER.parse(Record(1, "nothing", "", block=Chem.MolToMolBlock(Chem.Mol())))
    assert isinstance(result, Rejection)
    assert result.reason == "no heavy atoms"


def test_failing_standardisation_is_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(mol: Chem.Mol) -> tuple[Chem.Mol, tuple[str, ...]]:
        raise RuntimeError("Invariant Violation\n\nlost")

    monkeypatch.setattr("molig.molecules.parser.with_removed_parts", fail)
    assert reason("CC(=O)[O-]") == "standardisation failed: RuntimeError: Invariant Violation lost"


def test_parse_many_accounts_for_every_record_in_order() -> None:
    records = [Record(i, str(i), smiles) for i, smiles in enumerate(["C", "", "CC", "C1", "CCC"], start=1)]
    molecules, rejections = PARSER.parse_many(records)
    assert [m.row for m in molecules] == [1, 3, 5]
    assert [r.row for r in rejections] == [2, 4]


def test_parse_many_agrees_with_parse(nci_smiles: list[str]) -> None:
    records = [Record(i, str(i), smiles) for i, smiles in enumerate(nci_smiles[:300])]
    molecules, rejections = PARSER.parse_many(records)
    for result in [*molecules, *rejections]:
        single = PARSER.parse(records[result.row])
        assert type(single) is type(result)
        assert single.id == result.id


def test_rdkit_says_nothing_while_parsing(capfd: pytest.CaptureFixture[str]) -> None:
    PARSER.parse_smiles("C1CC")
    PARSER.parse_smiles("[Na+].CC(=O)[O-]")
    assert capfd.readouterr().err == ""


def test_rdkit_speaks_again_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    PARSER.parse_smiles("C1CC")
    Chem.MolFromSmiles("C1CC")
    assert "SMILES Parse Error" in capfd.readouterr().err


def test_parser_can_be_pickled() -> None:
    parser = MoleculeParser("none", max_heavy_atoms=17)
    copy = pickle.loads(pickle.dumps(parser))
    assert copy == parser
    assert (copy.policy, copy.max_heavy_atoms) == (StandardizationPolicy.NONE, 17)


def test_unknown_policy_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'parent'"):
        MoleculeParser("parents")


def test_size_limit_must_be_positive() -> None:
    with pytest.raises(UsageError, match="got 0"):
        MoleculeParser(max_heavy_atoms=0)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="CNOcnos()[]=#+-123.%@H*>/\\ ", max_size=40))
def test_any_text_is_a_molecule_or_a_rejection(text: str) -> None:
    result = PARSER.parse_smiles(text, row=5, id="x")
    assert (result.row, result.id) == (5, "x")
    if isinstance(result, Molecule):
        assert 0 < result.mol.GetNumHeavyAtoms() <= PARSER.max_heavy_atoms
    else:
        assert any(result.reason.startswith(r.value) for r in Reason)


EXPLICIT = MoleculeParser(hydrogens="explicit")


def test_explicit_hydrogens_are_atoms_behind_the_heavy_ones() -> None:
    result = EXPLICIT.parse_smiles("[Na+].CC(=O)[O-]")
    assert isinstance(result, Molecule)
    assert [atom.GetSymbol() for atom in result.mol.GetAtoms()] == ["C", "C", "O", "O", "H", "H", "H", "H"]
    assert result.origin == (1, 2, 3, 4, -1, -1, -1, -1)
    plain = EXPLICIT.parse_smiles("CO")
    assert isinstance(plain, Molecule)
    assert plain.origin == (0, 1, -1, -1, -1, -1)
    again = pickle.loads(pickle.dumps(plain))
    assert again.origin == plain.origin


def test_the_size_limit_counts_heavy_atoms_whatever_becomes_of_hydrogens() -> None:
    assert isinstance(MoleculeParser(max_heavy_atoms=5, hydrogens="explicit").parse_smiles("CCCCC"), Molecule)
    assert reason("CCCCCC", MoleculeParser(max_heavy_atoms=5, hydrogens="explicit")).startswith(
        "too large: 6"
    )


@pytest.mark.parametrize("policy", list(StandardizationPolicy))
def test_real_compounds_with_hydrogens_are_the_same_compounds(
    nci_smiles: list[str], policy: StandardizationPolicy
) -> None:
    records = list(smiles_records(nci_smiles[:300]))
    heavy, refused = MoleculeParser(policy).parse_many(records)
    whole, refused_too = MoleculeParser(policy, hydrogens="explicit").parse_many(records)
    assert [r.row for r in refused] == [r.row for r in refused_too]
    for one, other in zip(heavy, whole, strict=True):
        assert other.mol.GetNumHeavyAtoms() == one.mol.GetNumHeavyAtoms()
        n = one.mol.GetNumAtoms()
        assert other.origin is not None
        assert other.origin[:n] == (one.origin or tuple(range(n)))
        assert set(other.origin[n:]) <= {-1}
        assert Chem.MolToSmiles(Chem.RemoveHs(other.mol)) == Chem.MolToSmiles(Chem.RemoveHs(one.mol))


def test_unknown_treatment_of_hydrogens() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'explicit'"):
        MoleculeParser(hydrogens="explizit")


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CCO", [6, 6, 8]),
        ("ClCBr", [17, 6, 35]),
        ("C%12CC%12C(=O)N/C=C\\F", [6, 6, 6, 6, 8, 7, 6, 6, 9]),
        ("c1cc[nH]c1", [6, 6, 6, 7, 6]),
        ("C[C@@H](N)[N+](C)(C)[O-]", [6, 6, 7, 7, 6, 6, 8]),
        ("IP(B)S", [53, 15, 5, 16]),
        ("[Se]C", None),
        ("[13CH4]", None),
        ("[CH3:1]C", None),
        ("*C", None),
        ("C~C", None),
        ("[Cl-]", None),
        ("N->B", None),
        ("C |$R$|", None),
    ],
)
def test_elements_are_read_off_a_plain_smiles(smiles, expected):
    found = elements_of(smiles)
    assert (found if found is None else list(found)) == expected


@pytest.mark.parametrize("smiles", [*nci_smiles(400), *DIVERSE.values()])
def test_reading_without_stereo_is_reading(smiles):
    plain, fast = Chem.MolFromSmiles(smiles), read_smiles(smiles)
    if HYDROGEN.search(smiles) is None:
        assert plain.ToBinary(0) == fast.ToBinary(0)
        assert plain.HasProp("_StereochemDone") == fast.HasProp("_StereochemDone")
    found = elements_of(smiles)
    if found is not None:
        assert list(found) == [atom.GetAtomicNum() for atom in plain.GetAtoms()]


@pytest.mark.parametrize("smiles", ["C(C)(C)(C)(C)C", "c1cccc1", "C1CC", "C/C(C)(C)(C)=C"])
def test_what_cannot_be_sanitised_is_none_as_for_rdkit(smiles):
    with rdBase.BlockLogs():
        assert read_smiles(smiles) is None
        assert Chem.MolFromSmiles(smiles) is None


def test_elements_belong_to_the_molecule_as_given():
    given, changed = PARSER.parse_smiles("CCO"), PARSER.parse_smiles("CC(=O)[O-]")
    assert given.elements == bytes([6, 6, 8])
    assert changed.elements is None
    assert MoleculeParser(hydrogens="explicit").parse_smiles("CCO").elements is None
