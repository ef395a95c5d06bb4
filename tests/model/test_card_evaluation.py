"""What model cards say about the evaluation of the recipe, and about methods that are better."""

import pytest
from support.random_models import random_model

from molig.model import BaselineComparison, CrossValidation, Objective, TasksWon, model_card

from .test_card import known_limits, rows, section


@pytest.fixture(scope="module")
def bare():
    return random_model().info


def comparison(**figures):
    """Another method: figure to wins, losses and p; an older file knows the ROC-AUC only."""
    wins, losses, p = figures.get("roc_auc", (9, 3, 0.1459))
    tests = {name: TasksWon(wins=w, losses=n, p_value=q) for name, (w, n, q) in figures.items()}
    return BaselineComparison(median_auc=0.79, wins=wins, losses=losses, p_value=p, figures=tests)


def evaluation(baselines=None, **changes):
    known = {
        "folds": 5,
        "scheme": "scaffold",
        "seed": 7,
        "tasks": {"one": {"roc_auc": 0.81, "ef_1": 12.0}, "two": {"roc_auc": None, "ef_1": None}},
        "medians": {"roc_auc": 0.81, "ef_1": 12.0},
        "baselines": baselines or {},
        "source": "evaluation.json",
    }
    return CrossValidation(**known | changes)


def of_one_task(baselines=None, **changes):
    known = {"folds": 1, "scheme": "given", "tasks": {"one": {"roc_auc": 0.81, "ef_1": 12.0}}}
    return evaluation(baselines, **known | changes)


def card(info, found):
    return model_card(info.model_copy(update={"cross_validation": found}))


def limit(info, found):
    """The sentence about better methods, if there is one."""
    limits = known_limits(info.model_copy(update={"cross_validation": found}))
    return next((text for text in limits if "simpler methods" in text), None)


LOST_AT_THE_TOP = {
    "roc_auc": (9, 3, 0.1459),
    "pr_auc": (2, 10, 0.0386),
    "bedroc": (3, 9, 0.1459),
    "ef_1": (6, 6, 1.0),
}


def test_figures_over_folds(bare):
    text = section(card(bare, evaluation()), "Cross-validation")
    assert "Means over 5 scaffold folds (seed 7) of networks trained by the same recipe, not of these" in text
    assert "Full results: `evaluation.json`." in text
    assert rows(text) == [
        ["task", "ROC-AUC", "EF 1 %"],
        ["---"] * 3,
        ["one", "0.810", "12.0"],
        ["two", "n/a", "n/a"],
        ["**median**", "0.810", "12.0"],
    ]


def test_tasks_won_and_lost_in_every_figure(bare):
    text = section(card(bare, evaluation({"Random forest": comparison(**LOST_AT_THE_TOP)})), "Cross")
    won = [f"won : lost in {figure}" for figure in ("ROC-AUC", "PR-AUC", "BEDROC", "EF 1 %")]
    assert rows(text)[-3:] == [
        ["method", "median ROC-AUC", *won],
        ["---"] * 6,
        ["Random forest", "0.790", "9 : 3 (p 0.15)", "2 : 10 (p 0.039)", "3 : 9 (p 0.15)", "6 : 6 (p 1)"],
    ]
    assert "Other methods on the same folds" in text
    assert "p is that of a two-sided sign test" in text


def test_an_older_model_knows_the_area_only(bare):
    older = evaluation({"Random forest": comparison()})
    plain = older.model_dump(mode="json")
    del plain["same_weights"], plain["baselines"]["Random forest"]["figures"]
    read = CrossValidation.model_validate(plain)
    assert read == older
    assert rows(card(bare, read))[-3:] == [
        ["method", "median ROC-AUC", "won : lost in ROC-AUC"],
        ["---"] * 3,
        ["Random forest", "0.790", "9 : 3 (p 0.15)"],
    ]


@pytest.fixture(scope="module")
def of_values():
    return random_model().info.model_copy(update={"objective": Objective.REGRESSION})


class TestRegression:
    @staticmethod
    def found(**figures):
        tests = {name: TasksWon(wins=w, losses=n, p_value=p) for name, (w, n, p) in figures.items()}
        first = tests["r2"]
        forest = BaselineComparison(
            median_r2=0.62, wins=first.wins, losses=first.losses, p_value=first.p_value, figures=tests
        )
        means = {"r2": 0.6, "rmse": 0.7, "spearman": 0.8}
        return evaluation({"Random forest": forest}, tasks={"a": means, "b": means}, medians=means)

    def test_tasks_won_and_lost(self, of_values):
        lost = self.found(rmse=(9, 3, 0.15), r2=(8, 4, 0.39), spearman=(6, 6, 1.0))
        text = section(card(of_values, lost), "Cross-validation")
        assert rows(text)[-3:] == [
            ["method", "median R2", *(f"won : lost in {name}" for name in ("R2", "RMSE", "Spearman"))],
            ["---"] * 5,
            ["Random forest", "0.620", "8 : 4 (p 0.39)", "9 : 3 (p 0.15)", "6 : 6 (p 1)"],
        ]
        assert "those in which the network has the better figure, and the worse one" in text
        assert limit(of_values, lost) is None

    def test_a_method_that_predicts_better_is_a_limit(self, of_values):
        lost = self.found(rmse=(3, 9, 0.15), r2=(2, 10, 0.04), spearman=(6, 6, 1.0))
        assert limit(of_values, lost) == (
            "In the evaluation above simpler methods predict better in most tasks: "
            "Random forest in R2 (10 of 12 tasks), RMSE (9 of 12 tasks)."
        )


class TestOneSplit:
    def test_other_weights_have_a_table_of_their_own(self, bare):
        text = section(card(bare, of_one_task()), "Evaluation of the recipe")
        assert "Test part of the given split, scored by a network trained by the same recipe, not of" in text
        assert rows(text)[2] == ["one", "0.810", "12.0"]

    def test_the_same_weights_are_called_that(self, bare):
        forest = {"Random forest": comparison(roc_auc=(1, 0, 1.0), ef_1=(0, 1, 1.0))}
        text = section(card(bare, of_one_task(forest, same_weights=True)), "Evaluation of the recipe")
        assert "Test part of the given split, scored by these weights: the figures are those above." in text
        assert "not of these weights" not in text
        assert rows(text) == [
            ["method", "median ROC-AUC", "won : lost in ROC-AUC", "won : lost in EF 1 %"],
            ["---"] * 4,
            ["Random forest", "0.790", "1 : 0", "0 : 1"],
        ]
        assert "Other methods on the same molecules" in text
        assert "sign test" not in text  # of one task


class TestBetterMethods:
    def test_a_method_that_wins_most_tasks_at_the_top_is_a_limit(self, bare):
        found = {"Random forest": comparison(**LOST_AT_THE_TOP), "Nearest active": comparison()}
        assert limit(bare, evaluation(found)).startswith(
            "In the evaluation above simpler methods have higher figures in most tasks: "
            "Random forest in PR-AUC (10 of 12 tasks), BEDROC (9 of 12 tasks). "
        )

    def test_where_the_area_is_lost_too_it_is_told(self, bare):
        lost = comparison(roc_auc=(5, 12, 0.14), ef_1=(0, 16, 3e-5))
        assert "Nearest active in ROC-AUC (12 of 17 tasks), EF 1 % (16 of 16 tasks)." in limit(
            bare, evaluation({"Nearest active": lost})
        )

    def test_one_task_has_no_counts(self, bare):
        lost = comparison(roc_auc=(1, 0, 1.0), pr_auc=(0, 1, 1.0), ef_1=(0, 1, 1.0))
        text = limit(bare, of_one_task({"Random forest": lost, "Nearest active": comparison()}))
        assert "simpler methods have higher figures: Random forest in PR-AUC, EF 1 %. PR-AUC" in text

    @pytest.mark.parametrize(
        "others",
        [
            {},
            {"Random forest": comparison()},
            {"Random forest": comparison(roc_auc=(3, 9, 0.15), bedroc=(6, 6, 1.0))},
            {"Random forest": comparison(pr_auc=(12, 0, 0.0005), bedroc=(9, 3, 0.15), ef_1=(11, 1, 0.006))},
        ],
    )
    def test_otherwise_there_is_no_such_sentence(self, bare, others):
        assert limit(bare, evaluation(others)) is None

    def test_half_the_tasks_with_ties_are_not_most(self):
        assert not TasksWon(wins=3, losses=5, ties=2, p_value=0.7).mostly_lost
        assert TasksWon(wins=3, losses=6, ties=2, p_value=0.5).mostly_lost
