"""What a score means, in one sentence that every output of scores carries."""

from __future__ import annotations

from molig.model import ModelInfo, Objective


def meaning_of_scores(info: ModelInfo, *, target: str = "") -> str:
    """Say what scores are and for which molecules that holds; of explained logits, how they follow from it.

    Parameters
    ----------
    info : ModelInfo
        Of the model that scores.
    target : str, optional
        What is explained, if not the scores themselves: "logit".

    Returns
    -------
    str
        One sentence, or two.
    """
    if info.objective is Objective.REGRESSION:
        return f"Scores are predicted values, in the unit of the labels{_of_table(info)}."
    if not info.calibrated:
        sentence = "Scores are for ranking: they are no calibrated probabilities of being active."
    else:
        several = len(info.tasks) > 1
        sentence = (
            f"Scores are {info.meaning_of_score}: of molecules scored 0.3{' in a task' * several} about 30 % "
            f"should be active{' there' * several}, if they are like those"
            f"{_of_table(info) or ' of the training table'}{_checked(info)}."
        )
    of_logits = "Explained is the logit, log(p / (1 - p)) of a score p. " if target == "logit" else ""
    return of_logits + sentence


def _of_table(info: ModelInfo) -> str:
    return f" of {info.training.data_file}" if info.training else ""


def _checked(info: ModelInfo) -> str:
    """How well it held where that was measured, on molecules that chose nothing."""
    found = info.reliability.get("test")
    return f" (expected calibration error on its test part: {found.expected_error:.3f})" if found else ""
