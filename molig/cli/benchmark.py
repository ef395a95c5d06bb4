"""`molig benchmark`: explanations and rankings judged against what is known to be right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli import ablation
from molig.cli.console import Reporter, use_threads
from molig.cli.evaluate import evaluate
from molig.cli.options import (
    DeviceOption,
    MethodsOption,
    OneTaskOption,
    QuietOption,
    SmilesColumnOption,
    TargetOption,
    ThreadsOption,
    task_named,
)

if TYPE_CHECKING:
    from molig.benchmark import GroundTruth
    from molig.benchmark.recipe import AttributionOptions, BenchmarkRecipe
    from molig.benchmark.run import BenchmarkPlan, BenchmarkResult
    from molig.model import ScoringModel

app = typer.Typer(
    help="Judge explanations, against ground truth or by removing atoms, and rankings.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_PREFIXES = ("attr_", "ibenchmark_")


def attribution(
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory for models, tables and results.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Ground-truth sets, or null, choosing, reporting; default: all published."),
    ] = None,
    own: Annotated[
        Path | None,
        typer.Option("-i", "--input", help="Own truth instead: Parquet or CSV with smiles, atom_truth."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="Judge this model instead of training one.")
    ] = None,
    task: OneTaskOption = None,
    target: TargetOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Directory of the sets; default: MOLIG_DATA_DIR.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="TOML file instead of each set's own recipe.")
    ] = None,
    methods: MethodsOption = None,
    part: Annotated[str, typer.Option("--part", help="test, or validation to choose recipes by.")] = "test",
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Explain so many molecules of each set only.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of sample and bootstrap.")] = 0,
    smiles_column: SmilesColumnOption = None,
    label_column: Annotated[
        str | None, typer.Option("--label-column", help="With -i: column to predict; default: label.")
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Explain molecules whose right explanation is known, and judge the explanations.

    The sets are published ones, such that molig makes by rules, or a table of your own (-i). A model is
    trained on the training part of each set, or given by -m. Methods: integrated_gradients (ig),
    gradient_x_input, occlusion, leave_one_atom_out and averaged_baselines; by default all. Models lie in
    OUTPUT/NAME/model and are trained once; OUTPUT gets
    attribution.json and attribution.md.
    """
    from molig.benchmark.files import benchmark_json, benchmark_markdown
    from molig.benchmark.run import BenchmarkPlan
    from molig.files import write_whole
    from molig.tables.locks import exclusive_directory

    reporter = Reporter(quiet)
    plan = BenchmarkPlan(part, methods.split(",") if methods else None, sample, seed)
    given = _given_model(model, task, target, recipe, device)
    truths = _truths(names, own, data, smiles_column, label_column)
    requests = [(truth, None if given else _recipe(truth, recipe)) for truth in truths]
    use_threads(threads)
    results: list[BenchmarkResult] = []
    with exclusive_directory(output):
        for truth, chosen in requests:
            directory = output / truth.description.name
            if given:
                results.append(_of_given(truth, given, directory, plan, reporter))
            elif chosen:
                results.append(_one_set(truth, chosen, directory, plan, device=device, reporter=reporter))
            # After each set: a long run that breaks off leaves what it has come to.
            write_whole(output / "attribution.json", benchmark_json(results, plan).encode())
            write_whole(output / "attribution.md", benchmark_markdown(results, plan).encode())
    typer.echo(benchmark_markdown(results, plan), nl=False)
    reporter.info(f"results: {output / 'attribution.json'}, {output / 'attribution.md'}")


app.command("attribution")(attribution)
app.command("ablation")(ablation.ablation)
app.command("screening")(evaluate)


def _truths(
    names: list[str] | None,
    own: Path | None,
    data: Path | None,
    smiles_column: str | None,
    label_column: str | None,
) -> list[GroundTruth]:
    """The sets that are asked for; what is wrong with any is said before the first is trained on."""
    from molig.benchmark import ground_truth_sets, read_ground_truth, read_own_truth, read_rule_set, rule_sets
    from molig.benchmark.rules import rule_groups
    from molig.errors import UnknownNameError, UsageError

    if own is not None:
        if names:
            raise UsageError(f"give names of sets ({', '.join(names)}) or a truth of your own (-i), not both")
        return [read_own_truth(own, smiles_column=smiles_column, label_column=label_column)]
    for option, value in (("--smiles-column", smiles_column), ("--label-column", label_column)):
        if value is not None:
            raise UsageError(f"{option} is for a truth of your own; give its table with -i")
    published, ruled, groups = ground_truth_sets(), rule_sets(), rule_groups()
    wanted: list[str] = []
    for name in names or published:
        short = next((name.removeprefix(p) for p in _PREFIXES if name.removeprefix(p) in published), name)
        if short not in published and short not in ruled and short not in groups:
            raise UnknownNameError("ground-truth set", name, [*published, *ruled, *groups])
        wanted += groups.get(short, (short,))
    return [
        read_rule_set(name, data) if name in ruled else read_ground_truth(name, data)
        for name in dict.fromkeys(wanted)
    ]


def _recipe(truth: GroundTruth, path: Path | None) -> BenchmarkRecipe:
    """How a model is trained on a set."""
    import numpy as np

    from molig.benchmark.recipe import default_benchmark_recipe, read_benchmark_recipe
    from molig.errors import UsageError

    what = truth.description
    chosen = read_benchmark_recipe(path) if path else default_benchmark_recipe(what)
    chosen.check_fits(what)
    if not len(truth.part("train")) or not np.isfinite(truth.targets).all():
        raise UsageError(
            f"{what.file}: no model can be trained without a column split that says train and test and a "
            "column of labels (--label-column); add them, or give a model with -m"
        )
    return chosen


@dataclass(frozen=True)
class _Given:
    """A model to judge instead of training one."""

    model: ScoringModel
    task: str
    options: AttributionOptions


def _given_model(
    model: str | None, task: str | None, target: str | None, recipe: Path | None, device: str
) -> _Given | None:
    from molig.attribution import Target
    from molig.benchmark.ablation import one_task
    from molig.benchmark.recipe import AttributionOptions
    from molig.errors import UsageError
    from molig.foreign import load_any_model

    if model is None:
        for option, value in (("--task", task), ("--target", target)):
            if value is not None:
                raise UsageError(f"{option} is for a model that is given with -m; a recipe says it otherwise")
        return None
    if recipe is not None:
        raise UsageError("--recipe is for models that are trained; leave it out with -m")
    loaded = load_any_model(model, device)
    task = one_task(loaded, task_named(loaded, task, target))
    part = loaded.for_task(task)
    chosen = Target.of(target, part.objective) if target else None
    options = AttributionOptions.model_validate({"target": chosen.value if chosen else None})
    return _Given(part, task, options)


def _of_given(
    truth: GroundTruth, given: _Given, directory: Path, plan: BenchmarkPlan, reporter: Reporter
) -> BenchmarkResult:
    """Judge a given model, with progress."""
    from molig.benchmark.run import given_part, judge_model, n_explanations

    name = truth.description.name
    n_wanted = n_explanations(given_part(truth, plan), plan)
    with reporter.progress(f"{name}: explaining", n_wanted, unit="explanations") as advance:
        result = judge_model(truth, given.model, given.options, task=given.task, plan=plan, advance=advance)
    return _written(result, directory, plan, reporter)


def _written(
    result: BenchmarkResult, directory: Path, plan: BenchmarkPlan, reporter: Reporter
) -> BenchmarkResult:
    from molig.benchmark.files import benchmark_molecules
    from molig.files import write_whole

    for failure in result.explained.failures:
        reporter.warning(f"{result.name}: {failure.id} {failure.smiles!r} is not judged: {failure.reason}")
    write_whole(directory / f"molecules-{plan.part}.parquet", benchmark_molecules(result))
    return result


def _one_set(
    truth: GroundTruth,
    recipe: BenchmarkRecipe,
    directory: Path,
    plan: BenchmarkPlan,
    *,
    device: str,
    reporter: Reporter,
) -> BenchmarkResult:
    """Train and judge, with progress."""
    from molig.benchmark.models import benchmark_models
    from molig.benchmark.run import judge_models, n_explanations, trained_part
    from molig.training import Progress

    name = truth.description.name
    epochs = recipe.training.optimization.epochs

    def report(entry: dict[str, float]) -> None:
        quality = next((key for key in entry if key.startswith("validation_")), None)
        if quality is None:  # trained once more, on the validation part, too
            return
        advance_epochs(1)
        reporter.info(
            f"{name}: epoch {entry['epoch']:.0f}/{epochs}  loss {entry['loss']:.4f}  "
            f"validation {quality.removeprefix('validation_').upper()} {entry[quality]:.4f}"
        )

    members = recipe.attribution.members
    reporter.info(f"{name}: {members} model{'s' if members > 1 else ''} in {directory}")
    with (
        reporter.progress(f"{name}: reading", members * len(truth)) as advance_rows,
        reporter.progress(f"{name}: training", members * epochs, unit="epochs") as advance_epochs,
    ):
        progress = Progress(rows=advance_rows, epoch=report)
        models = benchmark_models(truth, recipe, directory, device, progress)
    n_wanted = n_explanations(trained_part(truth, directory, plan), plan)
    with reporter.progress(f"{name}: explaining", n_wanted, unit="explanations") as advance:
        result = judge_models(truth, models, recipe, directory, plan=plan, advance=advance)
    return _written(result, directory, plan, reporter)
