"""Fingerprints are RDKit's, and occurrences set the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from molig.errors import UsageError
from molig.foreign import MorganFingerprint

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "[Na+].[Cl-]", "CCCCCCCC", "C"]
MOLS = [Chem.MolFromSmiles(smiles) for smiles in SMILES]


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("chirality", [True, False])
@pytest.mark.parametrize("features", [True, False])
@pytest.mark.parametrize(("radius", "n_bits"), [(0, 64), (2, 2048), (3, 1000), (4, 17)])
def test_columns_are_those_of_rdkit(counts, chirality, features, radius, n_bits):
    fingerprint = MorganFingerprint(counts, radius, n_bits, chirality, features)
    invariants = rdFingerprintGenerator.GetMorganFeatureAtomInvGen() if features else None
    generator = rdFingerprintGenerator.GetMorganGenerator(
        radius=radius, fpSize=n_bits, includeChirality=chirality, atomInvariantsGenerator=invariants
    )
    make = generator.GetCountFingerprintAsNumPy if counts else generator.GetFingerprintAsNumPy
    expected = np.stack([make(mol) for mol in MOLS])
    assert (fingerprint.of(MOLS).toarray() == expected).all()
    assert (fingerprint.of_environments(fingerprint.occurrences(MOLS)).toarray() == expected).all()


def test_unfolded():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2)
    held = [generator.GetSparseCountFingerprint(mol).GetNonzeroElements() for mol in MOLS]
    ids = list(dict.fromkeys(key for each in held[:2] for key in each))[::-1]
    fingerprint = MorganFingerprint(counts=True, ids=tuple(ids))
    expected = [[each.get(number, 0) for number in ids] for each in held]
    assert fingerprint.n_columns == len(ids)
    assert (fingerprint.of(MOLS).toarray() == expected).all()
    assert (fingerprint.of_environments(fingerprint.occurrences(MOLS)).toarray() == expected).all()
    assert "environments" in str(fingerprint)


def test_names():
    for text in ("morgan:radius=2,bits=2048,counts", "morgan:radius=3,bits=1024,binary,chirality,features"):
        fingerprint = MorganFingerprint.named(text)
        assert str(fingerprint) == text
        assert MorganFingerprint.named(str(fingerprint)) == fingerprint
    assert MorganFingerprint.named(" Morgan: counts ") == MorganFingerprint(counts=True)


@pytest.mark.parametrize(
    "text",
    [
        "morgan",
        "morgan:radius=2",
        "ecfp:counts",
        "morgan:counts,binary",
        "morgan:counts,radius=x",
        "morgan:counts,radius=-1",
        "morgan:counts,bits=",
        "morgan:counts,size=3",
        "",
    ],
)
def test_names_of_nothing(text):
    with pytest.raises(UsageError, match="write morgan:radius=2,bits=2048,counts"):
        MorganFingerprint.named(text)


def test_impossible_fingerprints():
    for given, problem in (
        ({"radius": 5}, "radius"),
        ({"n_bits": 0}, "columns"),
        ({"ids": ()}, "columns"),
        ({"ids": (1, 1)}, "twice"),
        ({"ids": (1 << 32,)}, "4,294,967,295"),
    ):
        with pytest.raises(UsageError, match=problem):
            MorganFingerprint(counts=True, **given)
    with pytest.raises(UsageError, match="columns"):
        MorganFingerprint.named("morgan:counts,bits=99999999999999999999")
