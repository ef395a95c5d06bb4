"""Saturation curves of molecules, against closed forms, the model itself and integrated gradients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molig.attribution import Explainer, MoleculeCurves, Target, molecule_curves
from molig.errors import UsageError
from molig.model.relaxed import Densities
from molig.molecules import Rejection, smiles_records

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
MOLECULES = [ASPIRIN, "C", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "[Na+].CC(=O)[O-]", "N#CC#N"]


def curves_of(explainer, smiles, **options):
    return list(molecule_curves(explainer, smiles_records(smiles), **options))


class PowerModel:
    """Each atom and pair gives a^power; its rate of change is known in closed form."""

    def __init__(self, model, power, broken_below=0.0):
        self.name, self.tasks, self.objective = "power", ("only",), "regression"
        self.schema, self.parser, self.featurize = model.schema, model.parser, model.featurize
        self._power, self._broken_below = power, broken_below

    def relax(self, graphs, base=None):
        return _PowerRelaxed(graphs, self._power, self._broken_below)


class _PowerRelaxed:
    def __init__(self, graphs, power, broken_below):
        self.graphs, self._power, self._broken_below = graphs, power, broken_below

    def densities(self, molecules, scales, tasks):
        p = self._power
        counts = [(int(self.graphs.atom_counts[m]), int(self.graphs.pair_counts[m])) for m in molecules]
        values = np.array([(a**p) * sum(n) for a, n in zip(scales, counts, strict=True)])
        values[scales < self._broken_below] = np.nan
        rates = [p * a ** (p - 1) for a in scales]
        atoms = [np.full((n, 1), r) for (n, _), r in zip(counts, rates, strict=True)]
        pairs = [np.full((n, 2), r / 2) for (_, n), r in zip(counts, rates, strict=True)]
        return Densities(values, atoms, pairs)


def power_curves(model, power, smiles, **options):
    return curves_of(Explainer(PowerModel(model, power), task="only"), smiles, **options)


class TestClosedForm:
    @pytest.mark.parametrize("power", [1, 2, 3])
    def test_powers(self, small_model, power):
        """F = c a^p reaches 90 % at 0.9^(1/p), and its gradient at the end says p times the change."""
        (found,) = power_curves(small_model, power, ["CCO"])
        n_atoms, n_pairs = 3, 3
        assert found.scores[-1] == n_atoms + n_pairs
        assert found.reached_at == pytest.approx(0.9 ** (1 / power), abs=2e-4)
        assert found.gradient_share == pytest.approx(power)
        np.testing.assert_allclose(found.rates, power * found.at ** (power - 1) * (n_atoms + n_pairs))
        # Every atom of the three has its own feature and half of two pairs.
        np.testing.assert_allclose(found.atoms_at(1), [2 * power] * 3)

    def test_another_share(self, small_model):
        (found,) = power_curves(small_model, 1, ["CCO"], share=0.25)
        assert (found.share, found.reached_at) == (0.25, pytest.approx(0.25))

    def test_a_score_that_is_not_finite_is_a_rejection(self, small_model):
        model = PowerModel(small_model, 1, broken_below=0.01)
        (found,) = curves_of(Explainer(model, task="only"), ["CCO"])
        assert isinstance(found, Rejection)
        assert "not finite at a = 0" in found.reason

    def test_shares_of_nothing_are_unknown(self, small_model):
        explainer = Explainer(PowerModel(small_model, 1), task="only", floor=100)
        (found,) = molecule_curves(explainer, smiles_records(["CCO"]))
        assert np.isnan([found.reached_at, found.gradient_share]).all()
        assert np.isfinite(found.scores).all()


@pytest.fixture(scope="module", params=["probability", "logit"])
def explainer(request, small_model):
    return Explainer(small_model, task="carbonyl", target=request.param)


class TestRealModel:
    def test_ends_are_baseline_and_score(self, explainer, small_model):
        column = small_model.task_index("carbonyl")
        found = curves_of(explainer, MOLECULES)
        outputs = small_model.logits(small_model.featurize([one.mol for one in found]))[:, column]
        zero = small_model.logits(small_model.featurize([one.mol for one in found]), np.zeros(len(found)))
        score = Target(explainer.target).score
        np.testing.assert_allclose([one.scores[-1] for one in found], score(outputs), atol=1e-5)
        np.testing.assert_allclose([one.scores[0] for one in found], score(zero[:, column]), atol=1e-5)

    def test_the_rate_integrates_to_the_change(self, explainer):
        """The rate of a network with relu jumps, so the trapezoid's error falls only with the distance."""
        for one in curves_of(explainer, MOLECULES, at=np.linspace(0, 1, 501)):
            change = one.scores[-1] - one.scores[0]
            allowed = np.abs(np.diff(one.rates)).max() / 500 + 0.005 * abs(change)
            assert np.trapezoid(one.rates, one.at) == pytest.approx(change, abs=allowed)

    def test_the_numbers_are_those_of_the_curve(self, explainer):
        for one in curves_of(explainer, MOLECULES):
            change = one.scores[-1] - one.scores[0]
            if abs(change) < explainer.tolerance.floor:
                assert np.isnan([one.reached_at, one.gradient_share]).all()
                continue
            assert one.gradient_share == pytest.approx(one.rates[-1] / change)
            progress = np.interp(one.reached_at, one.at, one.scores) - one.scores[0]
            assert progress == pytest.approx(0.9 * change, rel=1e-6)
            before = one.scores[one.at < one.reached_at] - one.scores[0]
            assert (before / change < 0.9).all()

    def test_interior_gradients_average_to_integrated_gradients(self, small_model):
        explainer = Explainer(small_model, task="carbonyl", tol=1e-4, precision="double")
        (why,) = explainer.explain_records(smiles_records([ASPIRIN]))
        (found,) = curves_of(explainer, [ASPIRIN], at=np.linspace(0, 1, 2001))
        expected = np.trapezoid(found.atom_rates, found.at, axis=0)
        np.testing.assert_allclose(why.atom_scores, expected, atol=5e-3 * np.abs(expected).max())

    @settings(max_examples=10)
    @given(st.permutations(range(len(MOLECULES))), st.integers(1, 700))
    def test_company_does_not_matter(self, small_model, order, n_points):
        explainer = Explainer(small_model, task="nitrogen")
        at = np.unique(np.append(np.linspace(0, 1, min(n_points, 5)), n_points / 701))
        together = curves_of(explainer, [MOLECULES[i] for i in order], at=at)
        for place, i in enumerate(order):
            (alone,) = curves_of(explainer, [MOLECULES[i]], at=at)
            np.testing.assert_allclose(together[place].atom_rates, alone.atom_rates, atol=1e-5)
            np.testing.assert_allclose(together[place].scores, alone.scores, atol=1e-5)

    def test_groups_keep_order_and_rejections(self, small_model):
        """So many points that every molecule is a group of its own."""
        rows = ["CCO", "C1CC", "CCN", "[*]C"]
        found = curves_of(Explainer(small_model, task="nitrogen"), rows, at=np.linspace(0, 1, 2100))
        assert [type(one) for one in found] == [MoleculeCurves, Rejection] * 2
        assert [one.smiles for one in found] == rows
        assert found[1].reason.startswith("not parsable")

    def test_parsed_molecules_are_taken_as_they_are(self, small_model):
        records = list(smiles_records(["CCO", "CCN"]))
        molecules, _ = small_model.parser.parse_many(records)
        explainer = Explainer(small_model, task="nitrogen")
        mixed = list(molecule_curves(explainer, [records[0], molecules[1]], at=[0.5]))
        np.testing.assert_array_equal(
            [one.scores for one in mixed],
            [one.scores for one in molecule_curves(explainer, records, at=[0.5])],
        )

    def test_a_model_alone_follows_the_highest_scoring_task(self, small_model):
        found = curves_of(small_model, ["CC(C)=O", "CCN"], at=[0.5])
        best = small_model.predict_proba(["CC(C)=O", "CCN"]).argmax(axis=1)
        assert [one.task for one in found] == [small_model.tasks[i] for i in best]
        assert {one.target for one in found} == {"probability"}

    def test_several_baselines_are_averaged(self, small_model):
        one, other, both = (
            curves_of(Explainer(small_model, task="carbonyl", baseline=b), [ASPIRIN], at=[0.5])[0]
            for b in ("zero", "carbon", "zero,carbon")
        )
        np.testing.assert_allclose(both.scores, (one.scores + other.scores) / 2)
        np.testing.assert_allclose(both.atom_rates, (one.atom_rates + other.atom_rates) / 2)


class TestPoints:
    def test_the_ends_are_added(self, small_model):
        (found,) = curves_of(Explainer(small_model, task="carbonyl"), ["CCO"], at=[0.5, 0.1, 0.5])
        assert found.at.tolist() == [0, 0.1, 0.5, 1]
        np.testing.assert_array_equal(found.atoms_at(0.1), found.atom_rates[1])
        with pytest.raises(UsageError, match=r"no point a = 0.2; the nearest is 0.1"):
            found.atoms_at(0.2)

    def test_the_table_has_a_row_per_point(self, small_model):
        (found,) = curves_of(Explainer(small_model, task="carbonyl"), ["CCO"], at=[0.5])
        table = found.to_frame()
        assert table["a"].tolist() == [0, 0.5, 1]
        np.testing.assert_array_equal(table["score"], found.scores)
        np.testing.assert_array_equal(table["rate"], found.rates)
        assert table["smiles"].unique().tolist() == ["CCO"]

    @pytest.mark.parametrize("at", [[-0.1], [1.5], [float("nan")]])
    def test_points_off_the_path(self, small_model, at):
        with pytest.raises(UsageError, match="from 0 to 1"):
            molecule_curves(small_model, [], at=at)

    @pytest.mark.parametrize("share", [0, 1.1, float("nan")])
    def test_impossible_shares(self, small_model, share):
        with pytest.raises(UsageError, match="share must be"):
            molecule_curves(small_model, [], share=share)

    def test_a_model_that_cannot_be_explained(self):
        with pytest.raises(UsageError, match="cannot be explained"):
            molecule_curves(object(), [])
