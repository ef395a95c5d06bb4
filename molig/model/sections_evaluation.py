"""The section of ``model.json`` that states an evaluation of the model's recipe."""

from __future__ import annotations

from pydantic import Field

from molig.model.sections import Section


class TasksWon(Section):
    """Sign test of the model against another method over tasks, for one figure.

    Parameters
    ----------
    wins, losses, ties : int
        Tasks in which the model's mean figure is the higher one, the lower one, and the same.
    p_value : float
        Of the two-sided test.

    Examples
    --------
    >>> TasksWon(wins=3, losses=9, p_value=0.146).mostly_lost
    True
    """

    wins: int
    losses: int
    ties: int = 0
    p_value: float

    @property
    def n_tasks(self) -> int:
        """Tasks in which both methods have the figure."""
        return self.wins + self.losses + self.ties

    @property
    def mostly_lost(self) -> bool:
        """Whether the other method has the higher figure in more than half of the tasks."""
        return 2 * self.losses > self.n_tasks


class BaselineComparison(Section):
    """Another method on the same folds, against the model.

    Parameters
    ----------
    median_auc : float
        Median over tasks of the other method's mean ROC-AUC.
    wins, losses : int
        Tasks in which the model's mean ROC-AUC is the higher, and the lower one.
    p_value : float
        Two-sided sign test over the tasks.
    figures : dict
        Figure ("roc_auc", "pr_auc", "bedroc", "ef_1") to `TasksWon`; empty in files of older versions, which
        know the ROC-AUC only.
    """

    median_auc: float
    wins: int
    losses: int
    p_value: float
    figures: dict[str, TasksWon] = Field(default={})

    @property
    def tests(self) -> dict[str, TasksWon]:
        """Figure to its sign test, that of the ROC-AUC at least."""
        auc = TasksWon(wins=self.wins, losses=self.losses, p_value=self.p_value)
        return {"roc_auc": auc} | self.figures


class CrossValidation(Section):
    """Quality of the model's recipe over folds; every fold trains a network of its own.

    Parameters
    ----------
    folds : int
        Number of folds; 1 for a single split.
    scheme : str
        How molecules were dealt to folds, such as "stratified" or "scaffold".
    seed : int
        Seed of the folds.
    same_weights : bool
        Whether the one fold is the model's own split and was scored by the model's own weights.
    tasks : dict
        Task to figure ("roc_auc", "bedroc", ...) to its mean over the folds.
    medians : dict
        Figure to the median over tasks of these means.
    baselines : dict
        Name of another method to its `BaselineComparison`.
    source : str
        File with the results in full.
    """

    folds: int = Field(ge=1)
    scheme: str
    seed: int
    same_weights: bool = False
    tasks: dict[str, dict[str, float | None]]
    medians: dict[str, float | None]
    baselines: dict[str, BaselineComparison] = Field(default={})
    source: str = ""
