"""Which environments are columns, and how their counts go to the rows of molecules."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from committee.members import SMILES, graphs_of, vocabulary_of
from molig.committee import Vocabulary
from molig.committee.vocabulary import environments_of
from molig.errors import ModelFormatError, UsageError
from molig.features import Featurizer, preset


def test_the_commonest_environments_that_enough_molecules_have():
    held = environments_of(graphs_of())
    molecules_with = {
        key: len(np.unique(held.mol_of_row[held.ids == key])) for key in np.unique(held.ids).tolist()
    }
    often = Vocabulary.of(held, min_molecules=2, max_columns=10_000)
    assert set(often.ids.tolist()) == {key for key, n in molecules_with.items() if n >= 2}
    few = Vocabulary.of(held, min_molecules=1, max_columns=3)
    least = min(molecules_with[key] for key in few.ids.tolist())
    assert all(n <= least for key, n in molecules_with.items() if key not in few.ids)
    assert list(few.ids) == sorted(few.ids)


def test_counts_do_not_depend_on_whether_occurrences_are_listed():
    vocabulary = vocabulary_of()
    listed, counted = (vocabulary.matrix(graphs_of(occurrences=flag)) for flag in (True, False))
    np.testing.assert_array_equal(listed.toarray(), counted.toarray())
    assert listed.sum() > 0


def test_unknown_environments_do_not_count():
    vocabulary = vocabulary_of(["CCO"])
    assert vocabulary.matrix(graphs_of(["[Xe]"])).nnz == 0
    assert Vocabulary(np.zeros(0, dtype=np.int64)).matrix(graphs_of()).shape == (len(SMILES), 0)


@given(st.data())
@settings(max_examples=30)
def test_an_occurrence_counts_by_its_factor(data):
    vocabulary, graphs = vocabulary_of(), graphs_of()
    held = graphs.environments
    factors = np.array(
        data.draw(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=held.n_rows, max_size=held.n_rows))
    )
    counts = vocabulary.count(graphs, factors)
    for molecule in range(len(graphs)):
        entries = counts.entries(molecule)
        for column, value in zip(counts.columns[entries], counts.values[entries], strict=True):
            rows = (held.mol_of_row == molecule) & (held.ids == vocabulary.ids[column])
            assert value == pytest.approx(factors[rows].sum())


@given(seed=st.integers(0, 1000))
def test_shares_of_entries_go_to_their_rows_in_equal_parts(seed):
    vocabulary, graphs = vocabulary_of(), graphs_of()
    counts, rng = vocabulary.count(graphs), np.random.default_rng(seed)
    for molecule, graph in enumerate(graphs):
        per_entry = rng.normal(size=len(counts.columns[counts.entries(molecule)]))
        rows = counts.to_rows(molecule, per_entry)
        assert rows.sum() == pytest.approx(per_entry.sum())
        known = np.isin(graph.environments.ids, vocabulary.ids)
        assert not rows[~known].any()
        for key in np.unique(graph.environments.ids[known]):
            assert np.ptp(rows[graph.environments.ids == key]) < 1e-12


def test_a_molecule_without_a_known_environment_has_rows_of_zero():
    counts = vocabulary_of(["CCO"]).count(graphs_of(["[Xe]", "CCO"]))
    np.testing.assert_array_equal(counts.to_rows(0, np.zeros(0)), np.zeros(2))


@pytest.mark.parametrize(
    "ids", [torch.tensor([2, 1]), torch.tensor([1, 1]), torch.tensor([1.0, 2.0]), torch.zeros(1, 1).long()]
)
def test_damaged_vocabularies_are_refused(ids):
    with pytest.raises(ModelFormatError, match="vocabulary"):
        Vocabulary.of_file(ids)


def test_disordered_vocabularies_are_refused():
    with pytest.raises(UsageError, match="ascending"):
        Vocabulary(np.array([3, 1]))


def test_molecules_featurized_without_environments_are_refused():
    mols = Featurizer(preset("simple", max_pair_distance=2)).featurize([])
    with pytest.raises(UsageError, match="without environments"):
        vocabulary_of().count(mols)
