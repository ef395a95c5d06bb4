"""The sentence that says what a score means."""

from molig.model.info import ReliabilityInfo
from molig.model.meaning import meaning_of_scores
from molig.screening import screen


def test_of_a_network_alone_they_rank(small_model):
    sentence = meaning_of_scores(small_model.info)
    assert sentence == "Scores are for ranking: they are no calibrated probabilities of being active."
    assert screen(["CCO"], small_model, task="nitrogen").meaning == small_model.meaning_of([]) == sentence


def test_of_a_regression_they_are_values_of_its_table(small_regression):
    table = small_regression.info.training.data_file
    expected = f"Scores are predicted values, in the unit of the labels of {table}."
    assert meaning_of_scores(small_regression.info) == expected
    without = small_regression.info.model_copy(update={"training": None})
    assert meaning_of_scores(without) == "Scores are predicted values, in the unit of the labels."


class TestCalibrated:
    def test_it_says_for_which_molecules_and_how_well(self, small_committee):
        measured = {"test": ReliabilityInfo(bins=(), expected_error=0.0214)}
        info = small_committee.info.model_copy(update={"reliability": measured})
        assert meaning_of_scores(info) == (
            "Scores are calibrated probabilities of being active: of molecules scored 0.3 in a task about "
            f"30 % should be active there, if they are like those of {info.training.data_file} "
            "(expected calibration error on its test part: 0.021)."
        )

    def test_what_chose_the_calibration_does_not_measure_it(self, small_committee):
        measured = {"validation": ReliabilityInfo(bins=(), expected_error=0.0214)}
        info = small_committee.info.model_copy(update={"reliability": measured, "training": None})
        assert meaning_of_scores(info).endswith("like those of the training table.")

    def test_it_stands_above_the_table_of_a_notebook(self, small_committee):
        assert screen(["CCO"], small_committee)._repr_html_().startswith("<p>Scores are calibrated")
