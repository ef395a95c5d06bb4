"""The applicability domain: similarities by definition, flags by what was and was not in training."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from support.random_models import random_model
from support.small_model import nci_smiles

from molig.errors import InputError, UsageError
from molig.features import Featurizer, preset
from molig.model import Applicability, DomainStatus
from molig.model import domain as module
from molig.model.domain import ReferenceFingerprints
from molig.molecules import Hydrogens, MoleculeParser

from .conftest import domain_of

SCHEMA = preset("simple", max_pair_distance=2)
ALCOHOLS = ["CCO", "CCCO", "CC(C)O", "OCCO", "CCCCO", "CCC(O)C"]


def fitted(smiles, schema=SCHEMA, seed=0) -> Applicability:
    canonical = [Chem.CanonSmiles(s) for s in smiles]
    mols = [Chem.MolFromSmiles(s) for s in canonical]
    return Applicability.fit(canonical, Featurizer(schema).featurize(mols), schema, seed=seed)


def flag(domain, smiles):
    return domain.flag([Chem.MolFromSmiles(smiles)])[0]


@pytest.fixture(scope="module")
def nci(nci_file):
    return [Chem.CanonSmiles(s) for s in nci_smiles(60)]


@pytest.fixture(scope="module")
def domain(nci):
    return fitted(nci)


@pytest.fixture(scope="module")
def alcohols():
    return fitted(ALCOHOLS)


def reference_similarities(smiles, others):
    """Tanimoto by RDKit's own function, to each of the others."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    one, *rest = (generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in [smiles, *others])
    return DataStructs.BulkTanimotoSimilarity(one, rest)


class TestSimilarity:
    def test_it_is_the_greatest_tanimoto_similarity(self, domain, nci):
        for smiles in nci_smiles(15, start=1000):
            expected = max(reference_similarities(smiles, nci))
            assert flag(domain, smiles).similarity == pytest.approx(expected, abs=1e-12)

    def test_quantiles_are_those_of_the_nearest_other_molecule(self, domain, nci):
        different = list(dict.fromkeys(nci))
        nearest = [
            max(reference_similarities(smiles, different[:i] + different[i + 1 :]))
            for i, smiles in enumerate(different)
        ]
        for percent, value in domain.info.similarity.items():
            assert value == pytest.approx(np.quantile(nearest, percent / 100), abs=1e-12)
        assert set(domain.info.similarity) == {1, 5, 25, 50, 75}
        assert domain.info.threshold == domain.info.similarity[5]

    def test_training_molecules_are_their_own_neighbours(self, domain, nci):
        found = domain.flag([Chem.MolFromSmiles(s) for s in nci])
        assert {f.similarity for f in found} == {1.0}
        assert {f.status for f in found} == {DomainStatus.IN}

    def test_copies_are_no_neighbours(self):
        assert fitted([*ALCOHOLS, *ALCOHOLS]).info == fitted(ALCOHOLS).info

    def test_more_bits_than_a_byte_counts(self):
        bits = np.ones((3, 1024), dtype=np.uint8)
        bits[1, :500] = bits[2, 300:] = 0
        reference = ReferenceFingerprints(bits)
        np.testing.assert_allclose(reference.similarities(bits[1]), [524 / 1024, 1, 0])
        np.testing.assert_allclose(reference.similarities(np.zeros(1024, dtype=np.uint8)), 0)

    def test_hydrogens_as_atoms_do_not_count(self, domain):
        heavy = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
        assert domain.similarity([heavy]) == domain.similarity([Chem.AddHs(heavy)])

    def test_hydrogens_with_several_bonds(self, domain):
        # NSC's way to write a hydride; RDKit accepts it once, and not when hydrogens are removed.
        hydride = MoleculeParser().parse_smiles("[H][H-][B-]1([H-][H])[n+]2ccccc2-c2cccc[n+]21").mol
        assert domain.flag([hydride])[0].detail.startswith("in no training molecule: element B")
        assert domain.known_scaffold([hydride]).tolist() == [False]

    def test_molecules_without_ring_information(self, domain, capfd):
        made = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
        bare = Chem.Mol(made)
        bare.GetRingInfo()
        edited = Chem.RWMol(made)
        edited.ClearComputedProps(includeRings=True)
        assert domain.similarity([edited.GetMol()]) == domain.similarity([made])
        assert capfd.readouterr().err == ""


class TestReference:
    def test_a_large_training_part_is_sampled_with_the_seed(self, nci, monkeypatch):
        monkeypatch.setattr(module, "MAX_REFERENCE", 40)
        one, same, other = (fitted(nci, seed=seed) for seed in (0, 0, 1))
        assert one.info.n_reference == 40
        assert one.info.n_molecules == len(set(nci))
        np.testing.assert_array_equal(one.fingerprints, same.fingerprints)
        assert (one.fingerprints != other.fingerprints).any()
        # Elements and sizes are those of all molecules.
        assert (one.info.elements, one.info.heavy_atoms) == (other.info.elements, other.info.heavy_atoms)

    def test_composition(self):
        found = fitted(["CCO", "CCCl", "c1ccccc1", "[Na+].[Cl-]"]).info
        assert found.elements == {"C": 3, "Cl": 2, "Na": 1, "O": 1}
        assert (found.heavy_atoms.min, found.heavy_atoms.max) == (2, 6)

    def test_a_single_molecule_has_no_other(self):
        found = fitted(["CCO"])
        assert found.info.threshold == 0
        assert flag(found, "CCO").status == "in domain"

    def test_nothing_to_fit(self):
        graphs = Featurizer(SCHEMA).featurize([Chem.MolFromSmiles("C")])
        with pytest.raises(InputError, match="no molecule to describe"):
            Applicability.fit([], graphs.select([]), SCHEMA)

    def test_smiles_that_cannot_be_read_again_are_left_out(self):
        mols = [Chem.MolFromSmiles(s) for s in ("CCO", "CCN")]
        graphs = Featurizer(SCHEMA).featurize(mols)
        assert Applicability.fit(["CCO", "c1cccc1"], graphs, SCHEMA).info.n_reference == 1


class TestFlags:
    @pytest.mark.parametrize(
        ("smiles", "detail"),
        [
            ("CCS", "element S"),
            ("[SiH3]CCBr", "element Br, element Si"),
            ("CC=O", "pair.bond = double"),
            ("CC(=O)N", "element N, pair.bond = double"),
        ],
    )
    def test_what_was_never_seen_is_named(self, smiles, detail):
        found = flag(fitted(ALCOHOLS), smiles)
        assert (found.status, found.detail) == ("unseen feature", f"in no training molecule: {detail}")

    def test_a_rare_element_that_was_seen_is_no_unseen_feature(self):
        domain = fitted([*ALCOHOLS, "CC[Pt]"])
        assert flag(domain, "CCC[Pt]").status != "unseen feature"
        assert flag(domain, "CCC[Pd]").detail == "in no training molecule: element Pd"

    def test_the_absence_of_all_categories_is_a_category(self):
        ethane_like = fitted(["CC", "OC"])
        assert flag(ethane_like, "CCC").detail == (
            "in no training molecule: pair.bond = none, pair.distance = 2"
        )

    def test_numbers_beyond_those_seen_are_unseen(self):
        domain = fitted(["CC[NH3+]", "CCO", "CC(=O)[O-]", "C1CC1"], preset("full", max_pair_distance=2))
        assert domain.info.ranges["atom.formal_charge: charge"] == (-1, 1)
        found = flag(domain, "CC[NH2+2]")
        assert "atom.formal_charge: charge 2" in found.detail
        assert "partial_charge" not in found.detail

    def test_far_from_training(self, domain):
        found = flag(domain, "N=NN=NN=NN=NN=N")
        assert found.status == "far from training"
        assert found.similarity < domain.info.threshold
        assert found.detail == (
            f"nearest training molecule at similarity {found.similarity:.3f}, "
            f"below the threshold {domain.info.threshold:.3f}"
        )

    def test_a_molecule_larger_than_all_is_far(self):
        found = flag(fitted(ALCOHOLS), "CCCCCCCCCCCCO")
        assert found.status == "far from training"
        assert found.detail == "13 heavy atoms; training molecules have 3 to 5"

    def test_unseen_goes_before_far(self):
        found = flag(fitted(ALCOHOLS), "S" * 20)
        assert found.similarity == 0
        assert found.status == "unseen feature"

    @given(st.lists(st.integers(0, 59), max_size=12))
    @settings(max_examples=20)
    def test_a_flag_does_not_depend_on_the_others(self, alcohols, nci, chosen):
        mols = [Chem.MolFromSmiles(nci[i]) for i in chosen]
        assert alcohols.flag(mols) == [alcohols.flag([mol])[0] for mol in mols]

    def test_graphs_that_are_there_are_not_made_again(self, domain, nci):
        mols = [Chem.MolFromSmiles(s) for s in nci_smiles(10, start=700)]
        graphs = Featurizer(SCHEMA).featurize(mols)
        assert domain.flag(mols, graphs) == domain.flag(mols)

    def test_no_molecules(self, domain):
        assert domain.flag([]) == []


class TestPredict:
    SMILES = ("CCO", "bad(", "CC[TeH]", None, "CC(=O)Oc1ccccc1C(=O)O")

    def test_one_flag_per_row_and_none_for_the_rejected(self, domain_model):
        found = domain_model.predict(self.SMILES, applicability=True)
        assert [f and f.status.value for f in found.applicability][1:4] == [None, "unseen feature", None]
        np.testing.assert_array_equal(found.scores, domain_model.predict(self.SMILES).scores)

    @pytest.mark.parametrize("batch_size", [1, 2, 5])
    def test_batches_do_not_matter(self, domain_model, batch_size):
        found = domain_model.predict(self.SMILES, batch_size=batch_size, applicability=True)
        assert found.applicability == domain_model.predict(self.SMILES, applicability=True).applicability

    def test_frame(self, domain_model):
        frame = domain_model.predict(self.SMILES, applicability=True).to_frame()
        assert list(frame.columns) == [*domain_model.tasks, "applicability", "similarity"]
        assert frame["applicability"].isna().tolist() == [False, True, False, True, False]
        assert frame["similarity"].isna().tolist() == [False, True, False, True, False]
        assert domain_model.predict([], applicability=True).to_frame().shape == (0, 4)

    def test_it_is_off_unless_asked_for(self, domain_model):
        found = domain_model.predict(["CCO"])
        assert found.applicability is None
        assert list(found.to_frame().columns) == list(domain_model.tasks)

    def test_a_model_without_a_domain_says_so(self):
        model = random_model()
        with pytest.raises(UsageError, match="'random' has no applicability domain"):
            model.predict(["CCO"], applicability=True)
        with pytest.raises(UsageError, match="no applicability domain"):
            model.score_with([], applicability=True)

    def test_copies_of_the_model_keep_it(self, domain_model):
        assert domain_model.to("cpu").applicability is domain_model.applicability
        assert domain_model.double().applicability is domain_model.applicability

    def test_explicit_hydrogens(self):
        model = random_model("simple")
        info = model.info.model_copy(
            update={"molecules": model.info.molecules.model_copy(update={"hydrogens": Hydrogens.EXPLICIT})}
        )
        explicit = type(model)(info, model.network)
        explicit.applicability = domain_of(explicit, ALCOHOLS)
        assert [f.similarity for f in explicit.predict(ALCOHOLS, applicability=True).applicability] == [1] * 6
