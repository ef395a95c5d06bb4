"""What a score means, in one sentence that every output of scores carries."""

from __future__ import annotations

from molig.model.info import ModelInfo, Objective


def meaning_of_scores(info: ModelInfo) -> str:
    """Say what scores of a model are, and for which molecules that holds."""
    if info.objective is Objective.REGRESSION:
        return f"Scores are predicted values, in the unit of the labels{_of_table(info)}."
    if not info.calibrated:
        return "Scores are for ranking: they are no calibrated probabilities of being active."
    several = len(info.tasks) > 1
    return (
        f"Scores are {info.meaning_of_score}: of molecules scored 0.3{' in a task' * several} about 30 % "
        f"should be active{' there' * several}, if they are like those"
        f"{_of_table(info) or ' of the training table'}{_checked(info)}."
    )


def _of_table(info: ModelInfo) -> str:
    return f" of {info.training.data_file}" if info.training else ""


def _checked(info: ModelInfo) -> str:
    """How well it held where that was measured, on molecules that chose nothing."""
    found = info.reliability.get("test")
    return f" (expected calibration error on its test part: {found.expected_error:.3f})" if found else ""
