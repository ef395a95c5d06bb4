"""Forests, boosted trees and linear models on fingerprints: scores, explanations that add up, refusals."""

from __future__ import annotations

import itertools
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from scipy.sparse import csr_matrix
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from support.pages import page_data
from support.small_model import NCI_FILE

import molig
from molig.attribution import ExplainableModel, Explainer
from molig.attribution.explanation import TABLE_SCHEMA, feature_batch
from molig.errors import InputError, UnknownNameError, UsageError, speaking_of_options
from molig.features.environments import bonds_of_environments
from molig.foreign import FingerprintModel, MorganFingerprint
from molig.model import Objective, ScoringModel
from molig.molecules import smiles_records
from molig.report import write_explanations
from molig.report.molecule_table import molecule_batch

SMILES = [line.split()[0] for line in NCI_FILE.read_text().splitlines()]
SMILES = [s for s in SMILES if (m := Chem.MolFromSmiles(s)) is not None and 4 < m.GetNumAtoms() < 40][:260]
MOLS = [Chem.MolFromSmiles(smiles) for smiles in SMILES]
TRAIN, NEW = slice(0, 200), slice(200, 260)
NITROGEN = np.array([any(a.GetAtomicNum() == 7 for a in mol.GetAtoms()) for mol in MOLS]).astype(int)
SIZE = np.array([mol.GetNumAtoms() for mol in MOLS]) / 10.0
COUNTS, BITS = MorganFingerprint(counts=True, n_bits=256), MorganFingerprint(counts=False, n_bits=256)


def trained(estimator, fingerprint=COUNTS, labels=NITROGEN):
    return estimator.fit(fingerprint.of(MOLS[TRAIN]).toarray(), labels[TRAIN])


@pytest.fixture(scope="module")
def estimators():
    return {
        "forest": (trained(RandomForestClassifier(30, random_state=0)), COUNTS),
        "forest on bits": (trained(RandomForestClassifier(30, random_state=0), BITS), BITS),
        "boosted": (trained(GradientBoostingClassifier(n_estimators=20, random_state=0)), COUNTS),
        "logistic": (trained(make_pipeline(MinMaxScaler(), LogisticRegression())), COUNTS),
        "values": (trained(RandomForestRegressor(20, random_state=0), labels=SIZE), COUNTS),
    }


NAMES = ("forest", "forest on bits", "boosted", "logistic", "values")


@pytest.fixture(scope="module")
def models(estimators):
    return {
        (name, size): FingerprintModel(*estimators[name], background=SMILES[:size] if size else None)
        for name in NAMES
        for size in (0, 1, 25)
    }


def own_scores(estimator, fingerprint, mols):
    rows = fingerprint.of(mols).toarray()
    return (
        estimator.predict_proba(rows)[:, 1]
        if hasattr(estimator, "predict_proba")
        else estimator.predict(rows)
    )


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_estimators_own(estimators, models, name):
    found = models[name, 0].predict([*SMILES[NEW], "no molecule"])
    expected = own_scores(*estimators[name], MOLS[NEW])
    np.testing.assert_allclose(found.scores[:-1, 0], expected, atol=1e-12, rtol=1e-12)
    assert np.isnan(found.scores[-1, 0])
    assert found.rejections[0].row == 61


@pytest.mark.parametrize("size", [0, 1, 25])
@pytest.mark.parametrize("name", NAMES)
def test_explanations_add_up(estimators, models, name, size):
    model = models[name, size]
    explained = molig.explain(model, SMILES[NEW][:20])
    own = own_scores(*estimators[name], MOLS[NEW][:20])
    for why, score in zip(explained, own, strict=True):
        change = why.score - why.baseline_score
        assert why.score == pytest.approx(score, abs=1e-12)
        assert abs(why.residual) < 1e-10
        assert why.converged
        # On atoms, on places, and in the drawing the same sum; bonds are part of it.
        for parts in (why.atom_scores, why.environment_attributions):
            assert parts.sum() + why.absent_score == pytest.approx(change, abs=1e-10)
        assert why.panel().atom_scores.sum() == pytest.approx(why.atom_scores.sum(), abs=1e-10)
        panel = why.panel(("atoms", "bonds"))
        assert panel.atom_scores.sum() + panel.bond_scores.sum() == pytest.approx(
            why.atom_scores.sum(), abs=1e-10
        )
        assert why.substructures["score"].sum() == pytest.approx(
            why.environment_attributions.sum(), abs=1e-10
        )
        assert sum(why.parts.values()) == pytest.approx(change, abs=1e-10)
        assert bool(why.absent) <= (size > 0)
        assert size < 25 or why.absent
        assert why.method == "shapley"
        assert (why.error > 0) == (size == 25)
    names = {0: "empty fingerprint", 1: "a reference molecule", 25: "mean of 25 reference molecules"}
    assert explained[0].baseline == names[size]


def test_the_start_is_the_mean_score_of_the_references(estimators, models):
    why = molig.explain(models["forest", 25], SMILES[220])
    assert why.baseline_score == pytest.approx(own_scores(*estimators["forest"], MOLS[:25]).mean(), abs=1e-12)
    nothing = molig.explain(models["forest", 0], SMILES[220])
    empty = estimators["forest"][0].predict_proba(np.zeros((1, 256)))[0, 1]
    assert nothing.baseline_score == pytest.approx(empty, abs=1e-12)
    itself = FingerprintModel(*estimators["forest"], background=[SMILES[220]])
    alike = molig.explain(itself, SMILES[220])
    assert (alike.environment_attributions == 0).all()
    assert alike.absent == {}


def test_a_column_is_shared_by_all_places_that_set_it(models):
    """Evenly, those of another environment on the same bit among them."""
    model = models["forest", 0]
    collisions = 0
    for why in molig.explain(model, SMILES[NEW][:20]):
        held, shares = why.graph.environments, why.environment_attributions
        columns = COUNTS.columns(held.ids)
        (found,) = (model.additive.scores.shares(COUNTS.of([why.mol]), 0, model.background),)
        for column in np.unique(columns):
            rows = columns == column
            assert shares[rows] == pytest.approx(found.columns[column] / rows.sum(), abs=1e-12)
            collisions += len(np.unique(held.ids[rows])) > 1
        # A place gives its atoms and bonds equal parts.
        inside = bonds_of_environments(why.mol, held)
        atoms = np.zeros(why.mol.GetNumAtoms())
        starts = np.cumsum(held.sizes) - held.sizes
        for row, share in enumerate(shares):
            part = share / (held.sizes[row] + inside[row].sum())
            np.add.at(atoms, held.atoms[starts[row] : starts[row] + held.sizes[row]], part)
            for bond in np.flatnonzero(inside[row]).tolist():
                ends = why.mol.GetBondWithIdx(bond)
                atoms[[ends.GetBeginAtomIdx(), ends.GetEndAtomIdx()]] += part / 2
        np.testing.assert_allclose(why.atom_scores, atoms, atol=1e-12)
    assert collisions > 5


def test_absent_bits_are_named_and_ordered(models):
    why = molig.explain(models["forest", 25], "CCCCCC")
    shares = list(why.absent.values())
    assert sorted(shares, key=lambda share: -abs(share)) == shares
    assert all(re.fullmatch(r".+ \(bit \d+\)", name) for name in why.absent)
    name, share = next(iter(why.absent.items()))
    assert why.absent_sentences(1) == [f"lacks {name}: {share:+.2g}"]
    assert why.members["absent substructures"] == pytest.approx(why.absent_score)
    assert sum(why.members.values()) == pytest.approx(why.score - why.baseline_score, abs=1e-10)
    table = why.to_frame()
    assert table["score"].sum() == pytest.approx(why.score - why.baseline_score, abs=1e-10)
    absent = table[table["level"] == "absent"]
    assert absent["atom_i"].isna().all()
    assert absent["category"].tolist() == list(why.absent)
    assert not len(why.features)
    assert len(why.pairs) == 0


def test_references_as_fingerprints(estimators, models):
    estimator, fingerprint = estimators["forest"]
    rows = fingerprint.of(MOLS[:25])
    for background in (rows, rows.toarray(), rows.toarray().astype(np.int64).tolist(), MOLS[:25]):
        why = molig.explain(FingerprintModel(estimator, fingerprint, background=background), SMILES[210])
        expected = molig.explain(models["forest", 25], SMILES[210])
        np.testing.assert_allclose(why.atom_scores, expected.atom_scores, atol=1e-14)
        assert [re.findall(r"bit \d+", name) for name in why.absent] == [
            re.findall(r"bit \d+", name) for name in expected.absent
        ]


def test_logits(models):
    for name in ("forest", "boosted", "logistic"):
        why = molig.explain(models[name, 25], SMILES[205], target="logit")
        probability = molig.explain(models[name, 25], SMILES[205])
        assert 1 / (1 + np.exp(-why.score)) == pytest.approx(probability.score, abs=1e-12)
        assert abs(why.residual) < 1e-10
        # All shares are scaled alike.
        ratio = why.atom_scores.sum() / probability.atom_scores.sum()
        np.testing.assert_allclose(why.atom_scores, ratio * probability.atom_scores, atol=1e-10)


def test_a_probability_of_zero_has_no_logit():
    columns = np.eye(256)[[7] * 5 + [9] * 5]
    forest = RandomForestClassifier(3, bootstrap=False, random_state=0).fit(columns, [0] * 5 + [1] * 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = FingerprintModel(forest, BITS)
    assert molig.explain(model, "CCO").score in (0.0, 1.0)
    with pytest.raises(InputError, match="not finite"):
        molig.explain(model, "CCO", target="logit")


@settings(max_examples=25)
@given(st.sampled_from(SMILES[NEW]), st.sampled_from(NAMES), st.sampled_from([0, 25]), st.randoms())
def test_no_order_of_atoms_matters(models, smiles, name, size, random):
    mol = Chem.MolFromSmiles(smiles)
    order = list(range(mol.GetNumAtoms()))
    random.shuffle(order)
    shuffled = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False, doRandom=False)
    one, other = (molig.explain(models[name, size], each) for each in (smiles, shuffled))
    if (COUNTS.of([one.mol]) != COUNTS.of([other.mol])).nnz:
        return  # RDKit keeps another of two environments of the same bonds
    place = other.mol.GetSubstructMatch(one.mol)
    assert other.score == pytest.approx(one.score, abs=1e-12)
    assert sorted(one.absent.values()) == pytest.approx(sorted(other.absent.values()), abs=1e-10)
    assert one.atom_scores.sum() == pytest.approx(other.atom_scores.sum(), abs=1e-10)
    assert len(place) == len(order)


def test_batches_do_not_matter(models):
    explainer = Explainer(models["boosted", 25])
    together = list(explainer.explain_records(smiles_records(SMILES[NEW][:10])))
    for why, smiles in zip(together, SMILES[NEW][:10], strict=True):
        alone = molig.explain(models["boosted", 25], smiles)
        assert (alone.atom_scores == why.atom_scores).all()


def test_other_methods(models):
    model = models["forest", 25]
    whole = molig.explain(model, "CCOC(=O)c1ccncc1")
    for method in ("occlusion", "leave_one_atom_out"):
        why = molig.explain(model, "CCOC(=O)c1ccncc1", method=method)
        assert (why.score, why.baseline_score) == pytest.approx((whole.score, whole.baseline_score))
        assert why.method == method
        kept = Chem.MolFromSmiles("CCOC(=O)c1ccncc1")
        nitrogen = [atom.GetIdx() for atom in kept.GetAtoms() if atom.GetAtomicNum() == 7]
        assert why.atom_scores.argmax() in nitrogen
        assert len(why.to_frame()) == 11
    with pytest.raises(UsageError, match="no gradient"):
        molig.explain(model, "CCO", method="gradient_x_input")


def test_it_is_what_molig_asks_of_a_model(models):
    model = models["forest", 0]
    assert isinstance(model, ExplainableModel)
    for name in (name for name in vars(ScoringModel) if not name.startswith("_")):
        assert hasattr(model, name), name
    assert model.objective is Objective.CLASSIFICATION
    assert models["values", 0].objective is Objective.REGRESSION
    assert model.for_task("active") is model.parts()[0] is model.double() is model.to("cuda") is model
    assert "calibrated is not known" in model.meaning_of(model.tasks)
    with pytest.raises(UnknownNameError, match="did you mean 'active'"):
        model.task_index("activ")
    with speaking_of_options(), pytest.raises(UsageError, match="--applicability"):
        model.score_with([], applicability=True)
    with speaking_of_options(), pytest.raises(UsageError, match="--uncertainty"):
        model.score_with([], uncertainty=True)
    with pytest.raises(UsageError, match="predicts values"):
        models["values", 0].predict_proba(["CCO"])
    assert model.predict_proba("CCO").shape == (1, 1)
    assert "RandomForestClassifier" in repr(model)
    digests = [each.digest() for each in models.values()]
    assert len(set(digests)) == len(digests)


def test_logits_of_scaled_molecules(models):
    model = models["boosted", 25]
    whole = molig.explain(model, "CCOC(=O)c1ccncc1", target="logit")
    graphs = model.featurize([whole.mol] * 4)
    found = model.logits(graphs, [0, 0.4, 0.6, 1])[:, 0]
    start, end = whole.baseline_score, whole.score
    assert found == pytest.approx([start, start, end, end], abs=1e-12)
    assert model.logits(graphs)[:, 0] == pytest.approx([end] * 4, abs=1e-12)


def test_screening(models):
    found = molig.screen(SMILES[NEW], models["values", 0])
    assert found.n_scored == 60
    assert found.hits["value"].to_numpy() == pytest.approx(
        models["values", 0].predict(SMILES[NEW]).scores[:, 0]
    )


def test_pages_pictures_and_tables(models, tmp_path):
    for size in (0, 25):
        explainer = Explainer(models["forest", size])
        rows = list(explainer.explain_rows(smiles_records(["CCOC(=O)c1ccncc1", "CCN", "nothing"])))
        paths = [tmp_path / f"why{size}.{kind}" for kind in ("html", "md", "json", "svg", "png")]
        write_explanations(iter(rows), *paths[:3], title="Why")
        write_explanations(iter(rows[:1]), *paths[3:], title="Why")
        for path in paths[:3]:
            text = path.read_text()
            if path.suffix == ".html":
                whys = [one["why"][0] for one in page_data(text)["molecules"]]
                text = repr([name for why in whys for name, value in why.items() if value])
            assert "substructures" in text
            assert ("absent" in text) == (size > 0)
        explained = [found[0] for _, found in rows[:2]]
        batch = feature_batch(explained).to_pandas()
        assert list(batch.columns) == TABLE_SCHEMA.names
        sums = batch.groupby("row")["score"].sum()
        for why in explained:
            assert sums[why.row] == pytest.approx(why.score - why.baseline_score, abs=1e-10)
        table = molecule_batch(explained, models["forest", size].member_names).to_pandas()
        assert [len(bonds) for bonds in table["bond_scores"]] == [11, 2]
        assert list(table["method"]) == ["shapley"] * 2


def test_another_fingerprint_is_refused(estimators):
    forest = estimators["forest"][0]
    with pytest.raises(UsageError, match="trained on another fingerprint: it reads 256 columns"):
        FingerprintModel(forest, MorganFingerprint(counts=True))
    with pytest.raises(UsageError, match="was trained on counts"):
        FingerprintModel(forest, BITS)
    with pytest.warns(UserWarning, match="probably trained on bits"):
        FingerprintModel(estimators["forest on bits"][0], COUNTS)
    with pytest.warns(UserWarning, match="nothing in the LogisticRegression shows"):
        FingerprintModel(trained(LogisticRegression()), COUNTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for estimator, fingerprint in estimators.values():
            FingerprintModel(estimator, fingerprint)


@pytest.mark.parametrize(
    ("background", "problem"),
    [
        ([], "names no reference"),
        (["CCO", "not one"], "reference 2 of the background, 'not one'"),
        (np.ones((3, 255)), "255 columns"),
        (np.full((1, 256), 0.5), "must hold counts"),
        (-np.ones((1, 256)), "must hold counts"),
        (np.full((1, 256), np.nan), "must hold counts"),
        (csr_matrix((0, 256)), "names no reference"),
    ],
)
def test_backgrounds_that_do_not_fit(estimators, background, problem):
    with pytest.raises(UsageError, match=problem):
        FingerprintModel(*estimators["forest"], background=background)


def test_tasks(estimators):
    model = FingerprintModel(*estimators["forest"], tasks=["has nitrogen"], name="mine")
    assert molig.explain(model, "CCN").task == "has nitrogen"
    assert model.name == "mine"
    for tasks in (["a", "b"], [], ["a", "a"]):
        with pytest.raises(UsageError, match="tasks must be 1 different names"):
            FingerprintModel(*estimators["forest"], tasks=tasks)


def test_several_tasks():
    labels = np.stack([NITROGEN, (SIZE > 1.5).astype(int)], axis=1)
    model = FingerprintModel(trained(RandomForestClassifier(10, random_state=0), labels=labels), COUNTS)
    (found,) = Explainer(model).explain_all_tasks(smiles_records(["CCN"]))
    assert [why.task for why in found] == ["output 0", "output 1"]
    assert all(abs(why.residual) < 1e-12 for why in found)


def test_unfolded_columns_have_no_collisions():
    ids = sorted(set(itertools.chain(*(COUNTS.occurrences([mol]).ids.tolist() for mol in MOLS[TRAIN]))))
    fingerprint = MorganFingerprint(counts=True, ids=tuple(ids))
    model = FingerprintModel(
        trained(RandomForestClassifier(20, random_state=0), fingerprint), fingerprint, background=SMILES[:10]
    )
    for why in molig.explain(model, SMILES[NEW][:5]):
        assert abs(why.residual) < 1e-12
        unknown = ~np.isin(why.graph.environments.ids, ids)
        assert (why.environment_attributions[unknown] == 0).all()
        assert all(re.search(r"\(column \d+\)$", name) for name in why.absent)


def test_what_to_compare_with_by_name(estimators, models, tmp_path):
    model = models["forest", 25]
    (tmp_path / "own.smi").write_text("CCO first\nCCN second\n")
    for name, background in (
        ("zero", "empty fingerprint"),
        ("compound:CCO", "a reference molecule"),
        ("library", "mean of 100 reference molecules"),
        (f"library:{tmp_path}/own.smi", "mean of 2 reference molecules"),
        (None, "mean of 25 reference molecules"),
    ):
        why = molig.explain(model, "CCOC(=O)c1ccncc1", baseline=name)
        assert why.baseline == background
        assert abs(why.residual) < 1e-12
    assert molig.explain(model, "CCO", baseline="compound:CCO").absent == {}
    assert model.background.size == 25
    for name in ("uniform", "neutral", "mean", "zero,library"):
        with pytest.raises(UsageError, match="compare with zero"):
            molig.explain(model, "CCO", baseline=name)
    with pytest.raises(UsageError, match="the reference compound 'x' of baseline cannot be used"):
        molig.explain(model, "CCO", baseline="compound:x")
