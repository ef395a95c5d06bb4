"""Fingerprints: the same as RDKit's own, one molecule at a time, and similarities the same as its loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import Descriptors, rdFingerprintGenerator
from scipy.sparse import csr_matrix
from support.small_model import nci_smiles

from molig.errors import InputError, UsageError
from molig.evaluation.fingerprints import (
    Described,
    OnDemand,
    as_bits,
    as_logs,
    descriptors,
    morgan_counts,
    nearest_similarities,
)


@pytest.mark.parametrize(("radius", "columns"), [(2, 2048), (3, 512)])
def test_counts_and_bits_are_rdkits(radius, columns):
    smiles = nci_smiles(100)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=columns)
    mols = [Chem.MolFromSmiles(text) for text in smiles]
    counts = morgan_counts(smiles, radius=radius, columns=columns)
    assert counts.dtype == np.float32
    assert counts.has_sorted_indices
    assert (counts.toarray() == [generator.GetCountFingerprintAsNumPy(mol) for mol in mols]).all()
    assert (as_bits(counts).toarray() == [generator.GetFingerprintAsNumPy(mol) for mol in mols]).all()
    assert as_logs(counts).toarray() == pytest.approx(np.log1p(counts.toarray()))


def test_molecules_generators_chunks_and_threads_change_nothing(monkeypatch):
    smiles = nci_smiles(50)
    expected = morgan_counts(smiles).toarray()
    monkeypatch.setattr("molig.evaluation.fingerprints._CHUNK", 7)
    found = morgan_counts((Chem.MolFromSmiles(text) for text in smiles), n_jobs=2)
    assert (found.toarray() == expected).all()


def test_no_molecules():
    assert morgan_counts([]).shape == (0, 2048)


def test_unreadable_smiles_is_named():
    with pytest.raises(InputError, match=r"molecule 1 \(counted from 0\).*'C\(C'"):
        morgan_counts(["CC", "C(C"])


@pytest.mark.parametrize("options", [{"radius": -1}, {"columns": 0}, {"n_jobs": 0}])
def test_impossible_options(options):
    with pytest.raises(UsageError):
        morgan_counts(["C"], **options)


def test_nearest_is_the_naive_loop():
    smiles = nci_smiles(120)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    vectors = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    naive = [max(DataStructs.TanimotoSimilarity(v, a) for a in vectors[:40]) for v in vectors[40:]]
    bits = as_bits(morgan_counts(smiles))
    assert nearest_similarities(bits[40:], bits[:40]).tolist() == naive


@settings(max_examples=25)
@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 1000))
def test_nearest_in_blocks(n, n_references, seed):
    rng = np.random.default_rng(seed)
    bits, references = (rng.random((size, 16)) < 0.15 for size in (n, n_references))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("molig.evaluation.fingerprints._BLOCK", 3 * n_references)
        found = nearest_similarities(*(csr_matrix(m.astype(np.float32)) for m in (bits, references)))
    for row, nearest in zip(bits, found, strict=True):
        common, either = (row & references).sum(axis=1), (row | references).sum(axis=1)
        assert nearest == (common / np.maximum(either, 1)).max()


def test_nearest_needs_a_reference():
    bits = as_bits(morgan_counts(["C"]))
    with pytest.raises(UsageError, match="no reference"):
        nearest_similarities(bits, bits[:0])


def test_descriptors_are_rdkits_own_list_less_a_few():
    smiles = nci_smiles(30)
    found = descriptors(smiles)
    assert found.dtype == np.float32
    for text, row in zip(smiles, found, strict=True):
        mol = Chem.MolFromSmiles(text)
        whole = {
            name: np.float32(function(mol))
            for name, function in Descriptors.descList
            if not name.startswith("fr_") and name != "qed"
        }
        expected = [value for name, value in whole.items() if not name.startswith("BCUT2D")]
        expected += [value for name, value in whole.items() if name.startswith("BCUT2D")]
        np.testing.assert_allclose(row, np.where(np.isfinite(expected), expected, np.nan), rtol=1e-6)


@pytest.mark.parametrize("smiles", ["[Na+].[Cl-]", "[U]", "[H][H]", "C" * 150, "[Fe+2]", "*C"])
def test_descriptors_of_odd_molecules_are_finite_or_missing(smiles):
    found = descriptors([smiles])
    assert found.shape == (1, descriptors([]).shape[1])
    assert not np.isinf(found).any()
    assert np.isfinite(found).any()


def test_some_of_the_described():
    smiles = nci_smiles(6)
    molecules = Described(morgan_counts(smiles), descriptors(smiles))
    some = molecules[np.array([4, 1])]
    assert (len(molecules), len(some)) == (6, 2)
    assert (some.counts != molecules.counts[[4, 1]]).nnz == 0
    np.testing.assert_array_equal(some.descriptors, molecules.descriptors[[4, 1]])
    assert Described(molecules.counts)[2:4].descriptors is None


def test_descriptors_on_demand_are_those_of_the_rows_and_made_once():
    smiles = ["CCO", "c1ccccc1", "CC(=O)N", "CCN"]
    read = []

    def reading(text):
        read.append(text)
        return Chem.MolFromSmiles(text)

    lazy = OnDemand(smiles, reading)
    some = lazy[np.array([3, 1])][::-1]
    assert len(some) == 2
    assert read == []
    expected = descriptors(smiles)
    np.testing.assert_array_equal(np.asarray(some), expected[[1, 3]])
    np.testing.assert_array_equal(np.asarray(lazy), expected)
    assert sorted(read) == sorted(smiles)
