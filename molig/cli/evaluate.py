"""`molig evaluate`: how well a recipe, or a model, ranks."""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, print_table, use_threads
from molig.cli.options import (
    DelimiterOption,
    DeviceOption,
    OldLabelsOption,
    QuietOption,
    SmilesColumnOption,
    ThreadsOption,
    input_argument,
    input_option,
    label_columns,
    one_input,
)
from molig.errors import MoligError, UsageError
from molig.files import count_rows

if TYPE_CHECKING:
    from molig.evaluation import Evaluation, EvaluationPlan, EvaluationRun
    from molig.evaluation.held_out import HeldOut
    from molig.evaluation.methods import FoldScores
    from molig.evaluation.run import OnDone, OnFoldEpoch
    from molig.training import LabelledTable, Recipe

_OF_MODELS = {
    "model",
    "output",
    "source",
    "molecules",
    "smiles_column",
    "delimiter",
    "device",
    "threads",
    "quiet",
}
_NOT_RECORDED = {"resume", "quiet"}  # they make no difference to results


def evaluate(
    context: typer.Context,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="TOML file, or the name of a bundled recipe.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="Instead: judge this model on what it held out.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Directory; default: evaluation-NAME, with --model none."),
    ] = None,
    source: Annotated[
        Path | None,
        input_option("Table, if not the one that the recipe names: a file, or a data set by name."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Label columns, if not those of the recipe.")
    ] = None,
    old_labels: OldLabelsOption = None,
    molecules: Annotated[Path | None, input_argument()] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="stratified, random, scaffold, group, time or given, for this time."),
    ] = None,
    split_column: Annotated[
        str | None,
        typer.Option("--split-column", help="Column with the groups, times or parts of that split."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", min=1, help="Folds, for this time; 1: the split itself.")
    ] = None,
    baselines: Annotated[
        str | None,
        typer.Option("--baselines", help="Names such as random-forest,gradient-boosting; all; or none."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of folds, baselines, bootstrap.")] = None,
    each_value_of: Annotated[
        str | None,
        typer.Option(
            "--each-value-of",
            help="Column, such as a target's name: evaluate the rows of each value by themselves.",
        ),
    ] = None,
    value: Annotated[
        list[str] | None, typer.Option("--value", help="With --each-value-of: only this value; repeatable.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option("--card", help="Model directory whose card is to state the results.")
    ] = None,
    smiles_column: SmilesColumnOption = None,
    delimiter: DelimiterOption = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes that work at the same time.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in the output.")] = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Train and judge the network of a recipe and simple baselines on the same folds.

    The output gets evaluation.json, evaluation.md and figures; with --each-value-of a directory of them for
    each value, and evaluations.json and .md over all. With --model a trained model is judged on
    the rows that its training held out, and compared with what its card says: a figure that differs by more
    than 0.005 (above 1: 0.5 %) ends with exit code 1, and the output gets reproduction.json and .md.
    """
    use_threads(threads)
    reporter, command = Reporter(quiet), _command(context)
    source = one_input(molecules, source)
    _check_request(context, recipe, model, (each_value_of, value, card))
    if model is not None:
        _judge_model(model, source, (smiles_column, delimiter), device, reporter, output, command)
        return
    from molig.evaluation import EvaluationRun
    from molig.evaluation.baselines import resolve_baselines
    from molig.model.device import resolve_device
    from molig.training.recipe import read_recipe_and_table
    from molig.training.splits import WITHOUT_FOLDS

    labels = label_columns(label, old_labels, reporter)
    read, table = read_recipe_and_table(
        str(recipe), source=source, targets=labels, smiles_column=smiles_column, delimiter=delimiter
    )
    asked = 1 if split in WITHOUT_FOLDS and folds is None else folds
    changed = read.with_objective(None, table).with_split(split, column=split_column)
    changed = changed.with_evaluation(asked, baselines, seed)
    resolve_baselines(changed.evaluation.baselines, changed.objective)
    if table.note and split is None and changed.evaluation.folds == 1:
        reporter.warning(table.note)
    name = Path(str(recipe)).stem
    folder = output or Path(f"evaluation-{name}")
    options = EvaluationRun(folder, resume=resume, jobs=jobs, device=resolve_device(device))
    if each_value_of is not None:
        _each_value(changed, table, each_value_of, value or [], options, reporter, (name, command))
    else:
        _whole_table(changed, table, options, card, reporter, (name, command))


def _check_request(
    context: typer.Context,
    recipe: str | None,
    model: str | None,
    of_values: tuple[str | None, list[str] | None, Path | None],
) -> None:
    """Refuse options that do not go together; `of_values` are the column, its values, and the card."""
    if (recipe is None) == (model is None):
        raise UsageError("name either --recipe or --model")
    if model is not None:
        _refuse_options_of_recipes(context)
    column, values, card = of_values
    if values and column is None:
        raise UsageError("--value is of no use without --each-value-of, which names its column")
    if column is not None and card is not None:
        raise UsageError("--card is of no use with --each-value-of, which makes many evaluations")


def _whole_table(
    recipe: Recipe,
    table: LabelledTable,
    options: EvaluationRun,
    card: Path | None,
    reporter: Reporter,
    title_and_command: tuple[str, str],
) -> None:
    """Evaluate all rows together, and put the results on a card if one is named."""
    from molig.evaluation import evaluate as run
    from molig.evaluation import plan_evaluation, write_evaluation
    from molig.evaluation.card import attach_to_model, check_card

    title, command = title_and_command
    with reporter.progress("reading", count_rows(table.source)) as advance:
        plan = plan_evaluation(recipe, table, advance)
    _warn(plan, reporter)
    if card is not None:
        check_card(plan, card)
    with _progress(plan, reporter) as (done, epoch):
        found = run(plan, replace(options, on_done=done, on_epoch=epoch))
    paths = write_evaluation(found, options.output, title=title, command=command)
    if card is not None:
        attach_to_model(found, card, source=f"{options.output.resolve().name}/{paths[0].name}")
    _print(found, title, reporter)
    reporter.info(f"results: {paths[0]}, {paths[1]}")


def _each_value(
    recipe: Recipe,
    table: LabelledTable,
    column: str,
    values: list[str],
    options: EvaluationRun,
    reporter: Reporter,
    title_and_command: tuple[str, str],
) -> None:
    """Evaluate the rows of every value by themselves; a failure of some ends with exit code 1, after all."""
    from molig.evaluation.by_value import evaluate_by_value, printed_rows, write_by_value

    title, command = title_and_command

    def done(value: str, outcome: Evaluation | MoligError) -> None:
        advance(1)
        if isinstance(outcome, MoligError):
            reporter.warning(f"{value}: not evaluated: {outcome}")
        else:
            reporter.info(f"{value}: {len(outcome.plan.data)} molecules, done")

    with reporter.progress("evaluating", len(values) or None, unit="values") as advance:
        found = evaluate_by_value(recipe, table, column, options, only=values, title=title, on_value=done)
    paths = write_by_value(found, options.output, title=title, command=command)
    header, rows = printed_rows(found)
    n = len(found.evaluations)
    print_table(header, rows, title=f"{title}: median over {n} value{'s' if n > 1 else ''} of {column}")
    if found.shares.n_without:
        reporter.warning(f"{found.shares.n_without} rows have no {column}, or cannot be read")
    reporter.info(f"results: {paths[0]}, {paths[1]}")
    if found.failures:
        failed, asked = len(found.failures), len(found.shares.each)
        raise MoligError(f"{failed} of {asked} values of {column} were not evaluated; see above")


def _given(context: typer.Context) -> dict[str, str]:
    """Names of the parameters that were on the command line, and what their options are called."""
    sources = {p.name: context.get_parameter_source(p.name) for p in context.command.params if p.name}
    options = {p.name: p.opts[0] for p in context.command.params if p.name}
    options |= {"molecules": "-i", "old_labels": "--label"}
    return {name: options[name] for name, found in sources.items() if found and found.name == "COMMANDLINE"}


def _command(context: typer.Context) -> str:
    """The command as it was given, less what makes no difference to the results; files by name only."""
    words = context.command_path.split()
    for name, option in _given(context).items():
        if name not in _NOT_RECORDED:
            values = context.params[name]
            for value in values if isinstance(values, (list, tuple)) else [values]:
                is_file = isinstance(value, Path) or name in {"recipe", "model"}
                words += [option, Path(value).name if is_file else str(value)]
    return shlex.join(words)


def _refuse_options_of_recipes(context: typer.Context) -> None:
    useless = [option for name, option in _given(context).items() if name not in _OF_MODELS]
    if useless:
        raise UsageError(
            f"{', '.join(useless)}: of no effect with --model, which judges a model as it is; leave out "
            f"{'it' if len(useless) == 1 else 'them'}, or name --recipe instead"
        )


@contextlib.contextmanager
def _progress(plan: EvaluationPlan, reporter: Reporter) -> Iterator[tuple[OnDone, OnFoldEpoch]]:
    """A bar over folds and methods; yields what to call after each of them, and after every epoch."""
    from molig.evaluation.baselines import resolve_baselines
    from molig.model import Objective

    recipe = plan.recipe
    quality = "R2" if recipe.objective is Objective.REGRESSION else "AUC"
    n_fits = len(plan.parts) * (1 + len(resolve_baselines(recipe.evaluation.baselines, recipe.objective)))
    with reporter.progress("evaluating", n_fits, unit="fits") as advance:

        def done(method: str, fold: int, scores: FoldScores) -> None:
            advance(1)
            reporter.info(f"fold {fold + 1}: {method} done, {scores.seconds:.0f} s of processor time")

        def epoch(fold: int, entry: dict[str, float]) -> None:
            found = entry.get(f"validation_{quality.casefold()}")
            if found is None:  # trained once more, on the validation part, too
                return
            reporter.info(
                f"fold {fold + 1}: epoch {entry['epoch']:.0f}/{recipe.optimization.epochs}  "
                f"loss {entry['loss']:.4f}  validation {quality} {found:.4f}"
            )

        yield done, epoch


def _warn(plan: EvaluationPlan, reporter: Reporter) -> None:
    for problem in plan.problems():
        reporter.warning(problem)
    if plan.data.rejections:
        first = plan.data.rejections[0]
        reporter.warning(
            f"{len(plan.data.rejections)} rows cannot be used (first: row {first.row}: {first.reason})"
        )
    for note in plan.data.notes:
        reporter.warning(note)
    if plan.data.conflicts and str(plan.data.conflicts):
        reporter.warning(str(plan.data.conflicts))
    if copies := plan.copies_note():
        reporter.warning(copies)


def _print(evaluation: Evaluation, name: str, reporter: Reporter) -> None:
    from molig.evaluation.report import method_title

    criteria = evaluation.criteria
    shown = [(evaluation.figures, f"{name}: median over tasks")]
    if evaluation.subset and evaluation.plan.subset:
        marked = f"{name}, where {evaluation.plan.subset.column} is true: median over tasks"
        shown.append((evaluation.subset.figures, marked))
    header = ["method", *(criteria.figures[figure].title for figure in criteria.of_merit)]
    for figures, title in shown:
        rows = [
            [method_title(method), *(_number(found.medians[figure], figure) for figure in criteria.of_merit)]
            for method, found in figures.items()
        ]
        print_table(header, rows, title=title)
    first = criteria.principal[0]
    for c in evaluation.comparisons:
        if c.figure == first:
            reporter.info(
                f"{criteria.figures[first].title} against {c.against}: {c.test.wins} tasks won, "
                f"{c.test.losses} lost, p = {c.test.p_value:.3g} (sign test)"
            )


def _number(value: float | None, figure: str = "") -> str:
    """Three decimals; of an error, whose unit is that of the labels, four digits."""
    if value is None or math.isnan(value):
        return "n/a"
    return f"{value:.4g}" if figure == "rmse" else f"{value:.3f}"


def _judge_model(
    name: str,
    source: Path | None,
    columns: tuple[str | None, str | None],
    device: str,
    reporter: Reporter,
    output: Path | None,
    command: str,
) -> None:
    from molig.evaluation.held_out import judge_held_out, table_of_model, write_reproduction
    from molig.model import load_model

    model = load_model(name, device)
    table = source or table_of_model(name)
    with reporter.progress("reading", count_rows(table)) as advance:
        found = judge_held_out(
            model, name, table, smiles_column=columns[0], delimiter=columns[1], progress=advance
        )
    _print_held_out(found, model.name)
    if not found.same_table:
        reporter.warning(f"{table} is not the file that the model was trained with; figures may differ")
    if not found.differences:
        reporter.warning(f"the card of {model.name} states no figures of the {found.part} part")
    reporter.info(f"largest difference from the card: {found.largest_difference:.4f}")
    if output:
        paths = write_reproduction(found, output, model=model.name, table=table.name, command=command)
        reporter.info(f"results: {paths[0]}, {paths[1]}")
    _fail_unless_reproduced(found, model.name, output)


def _print_held_out(found: HeldOut, name: str) -> None:
    """Figures of each task, the first of them beside the stated one."""
    from molig.evaluation.held_out import TITLES
    from molig.model import RegressionMetrics

    values = any(isinstance(m, RegressionMetrics) for m in found.metrics.values())
    counts = {"n": "molecules"} if values else {"n_actives": "actives", "n_inactives": "inactives"}
    first, *others = _VALUES if values else _RANKING
    rows = []
    for task, m in found.metrics.items():
        stated = getattr(found.stated.get(task), first, None)
        figures = [_number(getattr(m, figure), figure) for figure in (first, *others)]
        figures.insert(1, _number(stated))
        rows.append([task, *(str(getattr(m, count)) for count in counts), *figures])
    titles = [TITLES[figure] for figure in (first, *others)]
    header = ["task", *counts.values(), titles[0], f"{titles[0]} stated", *titles[1:]]
    print_table(header, rows, title=f"{name}: {found.part} part")


_RANKING = ("roc_auc", "pr_auc", "bedroc", "ef_1")
_VALUES = ("r2", "rmse", "spearman")


def _fail_unless_reproduced(found: HeldOut, name: str, output: Path | None) -> None:
    from molig.evaluation.held_out import REPRODUCTION_REPORT, TOLERANCE, shown

    if found.is_reproduced:
        return
    worst = found.not_reproduced[0]
    stated, now = (shown(value, worst) for value in (worst.stated, worst.now))
    mend = "" if found.same_table else "; name the table that it was trained with by --input"
    where = f"see {output / REPRODUCTION_REPORT}" if output else "all of them with -o DIR"
    raise MoligError(
        f"{len(found.not_reproduced)} of {len(found.differences)} figures on the card of {name} differ by "
        f"more than {TOLERANCE} (above 1: {100 * TOLERANCE:g} %), most {worst.title} of "
        f"{worst.task}: {stated} on the card, {now} now{mend}; {where}"
    )
