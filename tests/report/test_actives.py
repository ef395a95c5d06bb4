"""Which molecules are chosen as actives, by which rule."""

import numpy as np
import pytest

from molig.errors import InputError, UnknownNameError, UsageError
from molig.molecules import Record
from molig.report.saturation import choose_actives, has_labels

SMILES = ["CCN", "CCO", "CC(C)=O", "c1ccncc1", "CCCC", "NCCN", "CC#N", "OCCO"]


class FixedScores:
    """The small model with scores of our own, by molecule."""

    def __init__(self, model, scores):
        self.parser, self.objective, self._scores = model.parser, model.objective, scores

    def task_index(self, task):
        return 0

    def score_molecules(self, molecules):
        return np.array([[self._scores[m.smiles]] for m in molecules]).reshape(-1, 1)


@pytest.fixture
def choose(small_model):
    """Choose among `SMILES` with these labels and scores."""

    def run(n, labels, scores, **options):
        model = FixedScores(small_model, dict(zip(SMILES, scores, strict=False)))
        records = [
            Record(i, f"m{i}", smiles, {"active": value})
            for i, (smiles, value) in enumerate(zip(SMILES, labels, strict=False), start=1)
        ]
        chosen = choose_actives(model, records, "task", n, **({"label": "active"} | options))
        assert [m.row for m in chosen.molecules] == sorted(m.row for m in chosen.molecules)
        assert chosen.scores == [scores[m.row - 1] for m in chosen.molecules]
        return [m.row for m in chosen.molecules], chosen.rule

    return run


class TestRules:
    def test_actives_above_a_half_at_random(self, choose):
        labels, scores = [1] * 6 + [0, 0], [0.9, 0.8, 0.4, 0.7, 0.6, 0.55, 0.99, 0.99]
        drawn = {tuple(choose(2, labels, scores, seed=seed)[0]) for seed in range(20)}
        assert len(drawn) > 3
        assert {row for rows in drawn for row in rows} == {1, 2, 4, 5, 6}
        assert choose(2, labels, scores, seed=3) == choose(2, labels, scores, seed=3)
        _, rule = choose(2, labels, scores)
        assert rule == "2 of the 5 rows with active = 1 that the model scores above 0.5, at random (seed 0)"

    def test_the_others_by_score_where_too_few_are_above(self, choose):
        rows, rule = choose(3, [1, 1, 1, 1, 0], [0.2, 0.4, 0.9, 0.3, 0.99])
        assert rows == [2, 3, 4]
        assert rule == (
            "the 1 rows with active = 1 that the model scores above 0.5 and the 2 highest-scoring other ones"
        )

    def test_none_above(self, choose):
        rows, rule = choose(1, [1, 1], [0.2, 0.4])
        assert rows == [2]
        assert rule.endswith("none of which the model scores above 0.5")

    def test_all(self, choose):
        assert choose(9, [1, 1], [0.6, 0.7]) == (
            [1, 2],
            "all 2 rows with active = 1 that the model scores above 0.5",
        )

    def test_without_labels_the_highest_scoring(self, choose):
        rows, rule = choose(2, [0] * 4, [0.1, 0.3, 0.2, 0.05], label=None)
        assert (rows, rule) == ([2, 3], "the 2 highest-scoring of 4 molecules")

    @pytest.mark.parametrize("one", [1, 1.0, True, "1", " 1.0 ", np.int8(1)])
    @pytest.mark.parametrize("other", [0, "", None, float("nan"), "nan", "inactive", 2])
    def test_what_counts_as_a_one(self, choose, one, other):
        assert choose(5, [other, one], [0.9, 0.9])[0] == [2]

    def test_values_of_a_regression_are_no_probabilities(self, small_regression):
        records = [Record(i, str(i), s, {"hit": "1"}) for i, s in enumerate(SMILES, start=1)]
        chosen = choose_actives(small_regression, records, "nitrogens", 3, label="hit")
        assert chosen.rule == "3 of the 8 rows with hit = 1, at random (seed 0)"


class TestNothing:
    def test_no_actives(self, choose):
        with pytest.raises(
            InputError, match=r"'active' marks no actives: none of 3 rows has a 1 \(but 0, \("
        ):
            choose(2, [0, None, 0], [0.9] * 3)

    def test_rows_that_cannot_be_scored(self, small_model):
        records = [
            Record(1, "a", "C1CC", {"nitrogen": 1}),
            Record(2, "b", "CCN", {"nitrogen": 1}),
            Record(3, "c", "", {}, problem="damaged"),
            Record(4, "d", "C1CC", {"nitrogen": 0}),
        ]
        chosen = choose_actives(small_model, records, "nitrogen", label="nitrogen")
        assert [m.row for m in chosen.molecules] == [2]
        assert [r.row for r in chosen.rejections] == [1, 3]
        with pytest.raises(InputError, match="none of the 1 actives can be scored; row 1: not parsable"):
            choose_actives(small_model, records[:1], "nitrogen", label="nitrogen")

    def test_scores_that_are_no_numbers(self, choose):
        with pytest.raises(InputError, match="not a finite number"):
            choose(1, [1], [float("nan")])

    def test_wrong_requests(self, small_model):
        with pytest.raises(UnknownNameError, match="did you mean 'nitrogen'"):
            choose_actives(small_model, [], "nitrogn")
        with pytest.raises(UsageError, match="at least 1"):
            choose_actives(small_model, [], "nitrogen", 0)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "smiles,active\nC,\nCC,0\n", True),
        ("a.csv", "smiles,active\nC,\nCC,\n", False),
        ("a.csv", "smiles,other\nC,1\n", False),
        ("a.smi", "C one\n", False),
    ],
)
def test_has_labels(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content)
    assert has_labels(tmp_path / name, "active") is expected


def test_has_labels_tells_of_other_wrong_columns(tmp_path):
    (tmp_path / "a.csv").write_text("smiles,active\nC,1\n")
    with pytest.raises(UnknownNameError, match="'nme'"):
        has_labels(tmp_path / "a.csv", "active", id_column="nme")
