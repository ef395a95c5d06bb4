"""Substructures of a committee's explanations: names, what they contribute, which are told of, table rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from support.explanations import MIXED
from support.small_model import nci_smiles

from molig.attribution import Explainer
from molig.attribution.explanation import FEATURE_SCHEMA, feature_batch
from molig.attribution.substructures import Substructure, main_substructures, names_of_occurrences
from molig.features.environments import EnvironmentBlock, environments
from molig.molecules import smiles_records

BLOCKS = (EnvironmentBlock("environment"), EnvironmentBlock("element_environment"))


@pytest.fixture(scope="module")
def explanations(small_committee):
    return list(
        Explainer(small_committee, task="nitrogen").explain_records(smiles_records([*MIXED, *nci_smiles(20)]))
    )


def names(smiles):
    """Block and name of each occurrence, with its radius."""
    mol = Chem.MolFromSmiles(smiles)
    held = environments([mol], BLOCKS, occurrences=True)
    return list(zip(names_of_occurrences(mol, held, BLOCKS), held.radii.tolist(), strict=True))


class TestNames:
    @pytest.mark.parametrize(
        ("smiles", "expected"),
        [
            ("CCO", {"[CH3]", "[CH2]", "[OH]"}),
            ("c1cc[nH]c1", {"[cH]", "[nH]"}),
            ("C[N+](C)(C)CC(=O)[O-]", {"[CH3]", "[N+]", "[CH2]", "[C]", "[O]", "[O-]"}),
            ("ClC", {"[Cl]", "[CH3]"}),
        ],
    )
    def test_a_single_atom_has_its_hydrogens_and_charge(self, smiles, expected):
        found = {name for (block, name), radius in names(smiles) if block == "environment" and not radius}
        assert found == expected

    def test_an_atom_of_which_only_the_element_counts_is_called_after_it(self):
        found = {
            name for (block, name), r in names("c1ccccc1CCl") if block == "element_environment" and not r
        }
        assert found == {"C atom", "Cl atom"}

    @pytest.mark.parametrize(
        ("smiles", "largest"),
        [
            ("Oc1ccccc1", "Oc(cc)cc"),
            ("CC(=O)Nc1ccccc1", "CC(=O)Nc"),
            ("O=[N+]([O-])c1ccccc1", "O=[N+]([O-])c(cc)cc"),
            ("c1cc[nH]c1", "c[nH]c"),
            ("C1CC1", "C1CC1"),
        ],
    )
    def test_a_group_is_written_as_it_stands(self, smiles, largest):
        assert largest in {name for (_, name), _ in names(smiles)}

    def test_a_pair_of_elements_is_named_in_words(self):
        mol, blocks = Chem.MolFromSmiles("NCCO"), (EnvironmentBlock("element_pair", 3),)
        held = environments([mol], blocks, occurrences=True)
        found = dict(
            zip(map(tuple, held.atoms.reshape(-1, 2)), names_of_occurrences(mol, held, blocks), strict=True)
        )
        assert found[0, 3] == ("element_pair", "N and O, 3 bonds apart")
        assert found[0, 1] == ("element_pair", "C and N, 1 bond apart")

    def test_one_fragment_has_one_name_whatever_it_is_part_of(self):
        in_many = ["CCOC(C)=O", "CC(=O)OCCN", "O=C(C)OCCc1ccccc1", "ClCCOC(=O)C"]
        assert all("CCOC(C)=O" in {name for (_, name), _ in names(smiles)} for smiles in in_many)

    @pytest.mark.parametrize("smiles", nci_smiles(30))
    def test_names_do_not_depend_on_the_order_of_the_atoms(self, smiles):
        mol = Chem.MolFromSmiles(smiles)
        turned = Chem.RenumberAtoms(mol, list(range(mol.GetNumAtoms()))[::-1])
        both = []
        for one in (mol, turned):
            held = environments([one], BLOCKS, occurrences=True)
            both.append(sorted(names_of_occurrences(one, held, BLOCKS)))
        # Of environments with the same atoms RDKit keeps the first that it meets.
        assert {name for _, name in both[0]} == {name for _, name in both[1]}

    @pytest.mark.parametrize("smiles", nci_smiles(30))
    def test_a_molecule_contains_what_it_is_said_to_contain(self, smiles):
        mol = Chem.MolFromSmiles(smiles)
        for (_, name), radius in names(smiles):
            if radius:
                assert mol.HasSubstructMatch(Chem.MolFromSmiles(name, sanitize=False)), name


class TestContributions:
    def test_they_add_up(self, explanations):
        for why in explanations:
            total = why.environment_attributions.sum()
            assert why.substructures["score"].sum() == pytest.approx(total, abs=1e-12)
            assert why.main_substructures(10**6) == why.main_substructures(len(why.substructures))

    def test_atoms_are_those_of_the_input(self, explanations):
        (acetate,) = [why for why in explanations if why.smiles == "[Na+].CC(=O)[O-]"]
        inside = {a for places in acetate.substructures["atoms"] for place in places for a in place}
        assert inside == {1, 2, 3, 4}

    def test_counts_are_numbers_of_places(self, explanations):
        for why in explanations:
            for row in why.substructures.itertuples():
                assert row.count == len(row.atoms) == len(set(row.atoms))

    def test_a_network_alone_has_none(self, small_model):
        (why,) = Explainer(small_model).explain_records(smiles_records(["CCO"]))
        assert why.substructures.empty
        assert why.main_substructures() == []
        assert why.substructure_sentences() == []


def one(name, score, *places):
    return Substructure(name, score, places)


class TestChoice:
    def test_sentences(self):
        assert one("c1ccc(O)cc1", 0.123, (0, 1)).sentence == "contains c1ccc(O)cc1: +0.12"
        assert one("CN", -0.05, (0, 1), (3, 4)).sentence == "contains CN twice: -0.05"
        assert one("CN", 0.5, (0, 1), (3, 4), (5, 6)).sentence == "contains CN 3 times: +0.5"

    def test_the_larger_one_is_told_at_an_equal_score(self):
        found = [one("[OH]", 0.2, (3,)), one("ccc(O)cc", 0.2, (2, 0, 1, 3, 4, 5))]
        assert [s.name for s in main_substructures(found, 2)] == ["ccc(O)cc"]

    def test_an_atom_is_told_if_nothing_around_it_carries_nearly_as_much(self):
        found = [one("[OH]", 0.2, (3,)), one("ccc(O)cc", 0.01, (2, 0, 1, 3, 4, 5))]
        assert [s.name for s in main_substructures(found, 2)] == ["[OH]", "ccc(O)cc"]

    def test_a_finding_is_told_once_but_its_opposite_as_well(self):
        found = [
            one("CCNCC", 0.3, (2, 0, 1, 3, 4)),
            one("CCNC", 0.29, (1, 0, 2, 3)),
            one("CNCC", -0.2, (3, 2, 4, 1)),
        ]
        assert [s.name for s in main_substructures(found, 3)] == ["CCNCC", "CNCC"]

    @given(
        st.lists(
            st.tuples(st.floats(-1, 1), st.sets(st.integers(0, 9), min_size=1, max_size=6)), max_size=12
        ),
        st.integers(0, 5),
    )
    def test_no_more_than_asked_each_once_and_the_largest_first(self, drawn, n):
        found = [one(str(i), score, tuple(atoms)) for i, (score, atoms) in enumerate(drawn) if score]
        told = main_substructures(found, n)
        assert len(told) == len({s.name for s in told}) <= n
        assert bool(told) == bool(found and n)
        assert [abs(s.score) for s in told] == sorted((abs(s.score) for s in told), reverse=True)
        assert set(told) <= set(found)


class TestTable:
    def test_scores_of_a_molecule_add_up(self, explanations):
        for why in explanations:
            frame = why.to_frame()
            change = why.score - why.baseline_score
            assert frame["score"].sum() + why.residual == pytest.approx(change, abs=1e-9)
            assert frame["level"].drop_duplicates().tolist()[-1] == "substructure"

    def test_a_row_for_every_occurrence_with_a_score(self, explanations):
        for why in explanations:
            rows = why.to_frame().query("level == 'substructure'")
            held = why.graph.environments
            chosen = np.flatnonzero(why.environment_attributions)
            centres = held.atoms[(np.cumsum(held.sizes) - held.sizes)[chosen]]
            assert rows["atom_i"].tolist() == why.input_atoms[centres].tolist()
            assert rows["symbol"].tolist() == [why.mol.GetAtomWithIdx(int(a)).GetSymbol() for a in centres]
            assert rows["score"].tolist() == why.environment_attributions[chosen].tolist()
            assert rows["atom_j"].isna().all()
            assert rows["bonded"].isna().all()
            assert set(rows["value"]) == {1.0}
            by_name = rows.groupby(["block", "category"])["score"].sum().to_dict()
            listed = why.substructures.set_index(["block", "substructure"])["score"].to_dict()
            assert by_name == pytest.approx(listed)

    def test_together_they_are_what_they_are_one_by_one(self, small_committee):
        records = list(smiles_records(MIXED))
        whole = [e for row in Explainer(small_committee).explain_all_tasks(records) for e in row]
        together = feature_batch(whole).to_pandas()
        apart = [feature_batch([one]).to_pandas() for one in whole]
        assert together.astype(str).values.tolist() == [
            row for frame in apart for row in frame.astype(str).values.tolist()
        ]

    def test_whole_atoms_have_no_substructures(self, small_committee):
        found = Explainer(small_committee, method="occlusion").explain_records(smiles_records(["CCN"]))
        assert set(next(found).to_frame()["level"]) == {"atom"}

    def test_of_a_network_alone_the_table_knows_no_substructures(self, small_model):
        found = list(Explainer(small_model).explain_records(smiles_records(["CCN"])))
        batch = feature_batch(found)
        assert batch.schema == FEATURE_SCHEMA
        assert batch.column("level").dictionary.to_pylist() == ["atom", "pair"]


def test_a_pair_of_elements_is_told_of_only_where_it_says_far_more_than_a_group():
    group = Substructure("CC(N)=O", 0.02, ((1, 0, 2, 3),))
    pair = Substructure("C and O, 3 bonds apart", 0.05, ((5, 8), (6, 9)), "element_pair")
    assert main_substructures([pair, group], 1) == [group]
    assert main_substructures([pair, group], 2) == [pair, group]
    far_more = Substructure(pair.name, 0.5, pair.atoms, pair.block)
    assert main_substructures([far_more, group], 1) == [far_more]
