"""The evaluation of a recipe: its network and simple baselines on the same folds."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from molig.errors import MoligError
from molig.evaluation.baselines import Baseline, resolve_baselines
from molig.evaluation.criteria import Criteria, criteria_of
from molig.evaluation.figures import Comparison, MethodFigures, compare, method_figures
from molig.evaluation.fingerprints import Described
from molig.evaluation.methods import NETWORK, FoldScores, described, run_baseline, run_network
from molig.evaluation.plan import EvaluationPlan, check_output
from molig.tables.locks import exclusive_directory

OnDone = Callable[[str, int, FoldScores], None]
OnFoldEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Evaluation:
    """An evaluation with its results.

    Parameters
    ----------
    plan : EvaluationPlan
        Molecules and folds.
    scores : dict of str to list of FoldScores
        Method to its scores on every fold; ``"molig"`` is the recipe's network.
    figures : dict of str to MethodFigures
        Method to its figures.
    comparisons : list of Comparison
        Sign tests of the network against every baseline.
    subset : SubsetFigures, optional
        The same of the rows that ``evaluation.subset_column`` marks.
    """

    plan: EvaluationPlan
    scores: dict[str, list[FoldScores]]
    figures: dict[str, MethodFigures]
    comparisons: list[Comparison]
    subset: SubsetFigures | None = None

    @property
    def criteria(self) -> Criteria:
        """What the methods are judged by."""
        return criteria_of(self.plan.recipe.objective)


@dataclass(frozen=True)
class SubsetFigures:
    """Figures and comparisons of some of the test molecules."""

    figures: dict[str, MethodFigures]
    comparisons: list[Comparison]


@dataclass(frozen=True)
class EvaluationRun:
    """How an evaluation is carried out.

    Parameters
    ----------
    output : Path
        Directory for scores and checkpoints.
    resume : bool
        Use what is there already.
    jobs : int
        Processes; each works on one method and fold at a time, with one thread.
    device : torch.device
        Where networks compute.
    on_done : callable, optional
        Called with method, fold and scores whenever a fold of a method is done.
    on_epoch : callable, optional
        Called with fold and history entry after every epoch, if there is one process only.
    n_resamples : int
        Bootstrap samples.
    """

    output: Path
    resume: bool = False
    jobs: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    on_done: OnDone | None = None
    on_epoch: OnFoldEpoch | None = None
    n_resamples: int = 1000


def evaluate(plan: EvaluationPlan, run: EvaluationRun, *, network: bool = True) -> Evaluation:
    """Train and judge the network of a recipe and the baselines that it names, fold by fold.

    Every finished fold is a file in the output directory, and every epoch a checkpoint; an evaluation that
    was interrupted goes on from there with ``run.resume``.

    Parameters
    ----------
    plan : EvaluationPlan
        Molecules and folds.
    run : EvaluationRun
        Where and how.
    network : bool
        Whether to run the network itself beside the baselines.

    Returns
    -------
    Evaluation

    Raises
    ------
    UnknownNameError
        If the recipe names an unknown baseline.
    UsageError
        If the output directory holds results of other data or another recipe, or any without ``run.resume``.
    MoligError
        If a process of several ended unexpectedly.
    """
    baselines = resolve_baselines(plan.recipe.evaluation.baselines, plan.recipe.objective)
    with exclusive_directory(run.output):
        return _cross_validate(plan, run, baselines, network)


def _cross_validate(
    plan: EvaluationPlan, run: EvaluationRun, baselines: Sequence[Baseline], network: bool
) -> Evaluation:
    check_output(run.output, plan, run.resume)
    tasks = [_Task(NETWORK, fold) for fold in range(len(plan.parts)) if network]
    tasks += [_Task(b.name, fold) for b in baselines for fold in range(len(plan.parts))]
    scores: dict[str, list[FoldScores]] = {task.method: [] for task in tasks}
    missing = [task for task in tasks if not task.file(run.output).exists()]
    for task in tasks:
        if task not in missing and run.on_done:
            run.on_done(task.method, task.fold, FoldScores.load(task.file(run.output)))
    for task, fold_scores in _work(plan, run, missing, baselines):
        fold_scores.save(task.file(run.output))
        if run.on_done:
            run.on_done(task.method, task.fold, fold_scores)
    for task in tasks:
        scores[task.method].append(FoldScores.load(task.file(run.output)))
    return judge(plan, scores, n_resamples=run.n_resamples)


def judge(
    plan: EvaluationPlan, scores: dict[str, list[FoldScores]], *, n_resamples: int = 1000
) -> Evaluation:
    """Figures and comparisons of scores, by method and fold."""
    figures, comparisons = _judged(plan, scores, n_resamples)
    if plan.subset is None:
        return Evaluation(plan, scores, figures, comparisons)
    rows = plan.subset.rows
    marked = {name: [fold.of_rows(rows) for fold in folds] for name, folds in scores.items()}
    subset = SubsetFigures(*_judged(plan, marked, n_resamples))
    return Evaluation(plan, scores, figures, comparisons, subset)


def _judged(
    plan: EvaluationPlan, scores: dict[str, list[FoldScores]], n_resamples: int
) -> tuple[dict[str, MethodFigures], list[Comparison]]:
    criteria = criteria_of(plan.recipe.objective)
    figures = {
        name: method_figures(
            name,
            folds,
            plan.data.tasks,
            criteria=criteria,
            seed=plan.recipe.evaluation.seed,
            n_resamples=n_resamples,
        )
        for name, folds in scores.items()
    }
    others = [f for name, f in figures.items() if name != NETWORK]
    return figures, compare(figures[NETWORK], others, criteria) if NETWORK in figures else []


@dataclass(frozen=True)
class _Task:
    """One method on one fold."""

    method: str
    fold: int

    def file(self, output: Path) -> Path:
        return output / f"fold-{self.fold + 1}" / f"{self.method}.npz"


def _work(
    plan: EvaluationPlan, run: EvaluationRun, tasks: Sequence[_Task], baselines: Sequence[Baseline]
) -> Iterator[tuple[_Task, FoldScores]]:
    if not tasks:
        return
    needed = [b for b in baselines if any(task.method == b.name for task in tasks)]
    worker = _Worker(
        plan, run.output, run.resume, run.device, tuple(needed), described(plan, needed) if needed else None
    )
    if run.jobs == 1 or len(tasks) == 1:
        for task in tasks:
            yield task, worker.do(task, run.on_epoch)
        return
    with _processes(worker, run.jobs) as pool:
        futures: dict[Future[FoldScores], _Task] = {pool.submit(_do, task): task for task in tasks}
        for done in as_completed(futures):
            yield futures[done], done.result()


@contextlib.contextmanager
def _processes(worker: _Worker, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that have all a task needs; after an error or an interruption nobody waits for them."""
    others = multiprocessing.active_children()
    # Started afresh: a copy of a process that has used threads may hang.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start, (worker,))
    try:
        yield pool
    except BaseException as err:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - set(others):
            process.terminate()
        if isinstance(err, BrokenProcessPool):
            raise MoligError(
                "a process ended unexpectedly, perhaps for want of memory; go on with --resume and fewer jobs"
            ) from err
        raise
    pool.shutdown()


@dataclass
class _Worker:
    """All that a process needs to do any task."""

    plan: EvaluationPlan
    output: Path
    resume: bool
    device: torch.device
    baselines: tuple[Baseline, ...]
    molecules: Described | None

    def do(self, task: _Task, on_epoch: OnFoldEpoch | None = None) -> FoldScores:
        if task.method == NETWORK:
            return run_network(
                self.plan,
                task.fold,
                task.file(self.output).parent,
                device=self.device,
                resume=self.resume,
                on_epoch=partial(on_epoch, task.fold) if on_epoch else None,
            )
        baseline = next(b for b in self.baselines if b.name == task.method)
        return run_baseline(self.plan, task.fold, baseline, cast(Described, self.molecules))


_HERE: dict[str, Any] = {}


def _start(worker: _Worker) -> None:
    # Ctrl-C goes to all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _HERE["worker"] = worker


def _do(task: _Task) -> FoldScores:
    worker: _Worker = _HERE["worker"]
    return worker.do(task)
