"""Streams of explanations: all tasks at once, company, precision, bad rows and bad requests."""

import numpy as np
import pytest
from rdkit import Chem
from support.random_models import TASKS, random_model

import molig
from molig.attribution import Baseline, Explainer, Explanation
from molig.attribution import methods as methods_module
from molig.attribution.engine import Tolerance
from molig.attribution.targets import Target
from molig.errors import InputError, UnknownNameError, UsageError
from molig.model import BaselineValue, Objective, ScreeningModel
from molig.molecules import Molecule, Record, Rejection, smiles_records
from molig.secant import Panels, trail

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
SMILES = [ASPIRIN, "C", "CCO", "not a molecule", "[Na+].CC(=O)[O-]", "CCO", "N#CC#N"]
METHODS = list(methods_module.Method)


@pytest.fixture(scope="module")
def model():
    return random_model()


def flat(why) -> np.ndarray:
    return np.concatenate([why.atom_attributions.ravel(), why.pair_attributions.ravel()])


def assert_same(one, other, tolerance):
    for found, expected in zip(one, other, strict=True):
        assert type(found) is type(expected)
        if isinstance(found, Rejection):
            assert found == expected
            continue
        assert (found.task, found.smiles) == (expected.task, expected.smiles)
        largest = max(np.abs(flat(expected)).max(), 0.01)
        np.testing.assert_allclose(flat(found), flat(expected), rtol=0, atol=tolerance * largest)
        assert found.score == pytest.approx(expected.score, abs=1e-5)
        assert found.baseline_score == pytest.approx(expected.baseline_score, abs=1e-5)
        assert found.converged == expected.converged


def all_tasks(model, **options):
    """Lists of explanations, task by task; rejections in every list."""
    rows = Explainer(model, **options).explain_all_tasks(smiles_records(SMILES))
    return list(zip(*([row] * 2 if isinstance(row, Rejection) else row for row in rows), strict=True))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", ["simple", "full"])
def test_all_tasks_at_once_are_the_tasks_one_by_one(method, schema):
    model = random_model(schema)
    options = {"method": method, "precision": "double"}
    for task, found in zip(TASKS, all_tasks(model, **options), strict=True):
        assert_same(found, molig.explain(model, SMILES, task=task, **options), 1e-9)


@pytest.mark.parametrize("units", [False, True])
def test_all_tasks_with_coarse_products(monkeypatch, model, units):
    """In bfloat16, where the processor has units for it, the certificate holds all the same."""
    monkeypatch.setattr(trail, "has_bfloat16_units", lambda device: units)
    for task, found in zip(TASKS, all_tasks(model), strict=True):
        assert_same(found, molig.explain(model, SMILES, task=task), 0.06)
        for why in found:
            if isinstance(why, Explanation):
                assert why.converged
                assert abs(why.residual) <= Tolerance().residual(why.score - why.baseline_score)


def test_molecules_that_coarse_products_lead_astray_are_repeated(monkeypatch, model):
    class Astray(trail.Trail):
        def share(self, panels: Panels):
            found = super().share(panels)
            return found._replace(atoms=found.atoms * 1.5) if self.fast else found

    monkeypatch.setattr(trail, "has_bfloat16_units", lambda device: True)
    monkeypatch.setattr("molig.model.relaxed.Trail", Astray)
    for task, found in zip(TASKS, all_tasks(model), strict=True):
        assert_same(found, molig.explain(model, SMILES, task=task), 0.02)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", ["simple", "full"])
def test_company_and_copies_do_not_matter(method, schema):
    model = random_model(schema)
    options = {"task": TASKS[1], "method": method, "precision": "double"}
    together = molig.explain(model, SMILES, **options)
    alone = [molig.explain(model, [smiles], **options)[0] for smiles in SMILES]
    assert (together[3].row, alone[3].row) == (4, 1)
    assert_same(together[:3] + together[4:], alone[:3] + alone[4:], 1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_order_of_the_atoms_does_not_matter(model, method):
    mol = Chem.MolFromSmiles(ASPIRIN)
    order = np.random.default_rng(0).permutation(mol.GetNumAtoms()).tolist()
    shuffled = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
    one, other = molig.explain(model, [ASPIRIN, shuffled], task="one", method=method, precision="double")
    match = other.mol.GetSubstructMatch(one.mol)
    own, moved = one.atom_scores, other.atom_scores[list(match)]
    symmetric = [9, 10]  # which oxygen of C(=O)O is matched is settled; the ring is not symmetric
    assert len(own) > max(symmetric)
    np.testing.assert_allclose(moved, own, atol=1e-9)


def test_groups_leave_no_seam(monkeypatch, model):
    whole = molig.explain(model, SMILES, task="two", precision="double")
    monkeypatch.setattr("molig.attribution.explainer.GROUP", 2)
    assert_same(molig.explain(model, SMILES, task="two", precision="double"), whole, 1e-9)


@pytest.mark.parametrize("target", ["probability", "logit"])
def test_a_tight_tolerance_converges_in_double_precision(model, target):
    for why in molig.explain(model, SMILES[:3], task="one", target=target, tol=1e-4):
        assert why.converged
        assert abs(why.residual) <= 1e-4 * max(abs(why.score - why.baseline_score), 0.01)
        assert why.error <= Tolerance(1e-4).error(np.abs(flat(why)).max())


@pytest.mark.parametrize("double", [False, True])
def test_an_input_equal_to_its_baseline(double):
    """A lone carbon atom against carbon atoms: nothing differs, so nothing is attributed."""
    model = random_model(double=double)
    for method in ("integrated_gradients", "gradient_x_input"):
        why = molig.explain(model, "C", task="one", baseline="carbon", method=method)
        assert not flat(why).any()
        assert why.residual == 0
        assert why.converged
        assert why.score == why.baseline_score


def test_precision():
    model = random_model()
    dtypes = {
        (p, tol): Explainer(model, precision=p, tol=tol).model.dtype.itemsize
        for p in ("auto", "single", "double")
        for tol in (0.01, 1e-4)
    }
    assert [dtypes["auto", 0.01], dtypes["auto", 1e-4]] == [4, 8]
    assert {dtypes["single", tol] for tol in (0.01, 1e-4)} == {4}
    assert {dtypes["double", tol] for tol in (0.01, 1e-4)} == {8}
    assert model.dtype.itemsize == 4


def broken(where) -> ScreeningModel:
    model = random_model()
    dict(model.network.named_parameters())[where].fill_(float("nan"))
    return model


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", ["last_atom_layer.weight", "head.0.weight", "modules_.0.pair_to_atom.bias"])
def test_weights_that_are_not_numbers_reject_every_row(method, where):
    found = molig.explain(broken(where), ["CCO", "bad", "CCN"], task="one", method=method)
    assert [type(f) for f in found] == [Rejection] * 3
    assert [f.row for f in found] == [1, 2, 3]
    assert "of one is not finite on the path from baseline" in found[0].reason
    with pytest.raises(InputError, match="'CCO' cannot be explained: the probability of one is not finite"):
        molig.explain(broken(where), "CCO", method=method)


def test_one_molecule_that_is_no_number_leaves_the_others():
    """Bromine is the only element with a broken weight: only its molecules are rejected."""
    model = random_model()
    bromine = [str(c) for c in model.schema.columns("atom")].index("atom.type = Br")
    weight = model.network.modules_[0].atom_to_atom.weight
    weight[:, bromine] = 3e38  # finite, so that 0 times it is 0
    found = molig.explain(model, ["CCO", "CBr", "CCN"], task="one")
    assert [type(f) for f in found] == [Explanation, Rejection, Explanation]
    assert_same(found[::2], molig.explain(random_model(), ["CCO", "CCN"], task="one"), 1e-4)


def test_values_of_a_regression():
    model = random_model()
    info = model.info.model_copy(update={"objective": Objective.REGRESSION})
    regression = ScreeningModel(info, model.network)
    for why, logit in zip(
        molig.explain(regression, SMILES[:3], task="one"),
        molig.explain(model, SMILES[:3], task="one", target="logit"),
        strict=True,
    ):
        assert why.target == Target.VALUE
        np.testing.assert_allclose(flat(why), flat(logit), atol=1e-12)
    with pytest.raises(UsageError, match="regression model has no probability"):
        molig.explain(regression, "CCO", task="one", target="probability")
    with pytest.raises(UsageError, match="name one of the tasks"):
        molig.explain(regression, "CCO")


@pytest.mark.parametrize(("deviation", "floor"), [(3.0, 0.03), (None, 0.01), (0.0, 0.01)])
def test_floor_of_a_regression_is_a_share_of_the_labels_deviation(deviation, floor):
    model = random_model()
    changes = {"objective": Objective.REGRESSION}
    if deviation is not None:
        value = BaselineValue(median=0, farthest=0, share_neutral=1, neutral=0, tolerance=deviation / 10)
        changes["baseline"] = dict.fromkeys(TASKS, value)
    regression = ScreeningModel(model.info.model_copy(update=changes), model.network)
    assert Explainer(regression, task="one").tolerance.floor == pytest.approx(floor)
    assert Explainer(regression, task="one", floor=0.5).tolerance.floor == 0.5


def test_default_task_is_the_highest_scoring(model):
    for why, scores in zip(molig.explain(model, SMILES[:3]), model.predict_proba(SMILES[:3]), strict=True):
        assert why.task == TASKS[int(scores.argmax())]


def test_parsed_molecules(model):
    molecule = model.parser.parse(Record(7, "x", ASPIRIN))
    assert isinstance(molecule, Molecule)
    explainer = Explainer(model, task="one")
    (found,) = explainer.explain_molecules([molecule])
    assert_same([found], molig.explain(model, [ASPIRIN], task="one"), 1e-6)
    assert explainer.explain_molecules([]) == []
    assert list(explainer.explain_records([])) == []
    assert next(iter(explainer.explain_all_tasks([Record(1, "", "bad")]))).row == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "saliency"}, UnknownNameError, "unknown method 'saliency'"),
        ({"baseline": "black"}, UnknownNameError, "unknown baseline 'black'"),
        ({"baseline": []}, UsageError, "at least one baseline"),
        ({"baseline": Baseline("x", np.zeros(1), np.zeros(1))}, UsageError, "'x' must have rows"),
        ({"precision": "half"}, UnknownNameError, "unknown precision 'half'"),
        ({"target": "value"}, UsageError, "no value to attribute"),
        ({"target": "odds"}, UnknownNameError, "unknown target 'odds'"),
        ({"task": "tow"}, UnknownNameError, "did you mean 'two'"),
        ({"tol": 0}, UsageError, "tol must be greater than 0"),
        ({"tol": float("nan")}, UsageError, "tol must be greater than 0"),
        ({"floor": 0}, UsageError, "floor must be greater than 0"),
        ({"max_evaluations": -1}, UsageError, "max_evaluations must be greater than 0"),
    ],
)
def test_impossible_requests(model, options, error, message):
    with pytest.raises(error, match=message):
        Explainer(model, **options)


BUNDLED = ["Oc1ccc(Cl)cc1", "CN(C)C=S", "CCOC=O"]


def test_single_features_of_the_bundled_model():
    """Against 400 panels of equal width in double precision, whose own error is far smaller."""
    model = molig.load_model("tox21-w2n2-simple")
    double, n, task = model.double(), 400, model.tasks.index("SR-ARE")
    for why in molig.explain(model, BUNDLED, task="SR-ARE"):
        walked = double.relax(double.featurize([why.mol])).trail()
        outputs = walked.visit(np.zeros(n + 1, dtype=int), np.arange(n + 1) / n)[:, task]
        shares = walked.share(Panels(np.arange(n), np.arange(n) + 1, np.full(n, task)))
        slope = Target.PROBABILITY.slope(outputs[:-1], outputs[1:])
        expected = [np.einsum("n,nrk->rk", slope, s.reshape(n, -1, s.shape[1])) for s in shares]
        largest = max(np.abs(part).max() for part in expected)
        for found, wanted in zip((why.atom_attributions, why.pair_attributions), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=0.06 * largest)
        assert why.converged
