"""`molig benchmark`: explanations and rankings judged against what is known to be right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli import ablation
from molig.cli.console import Reporter, use_threads
from molig.cli.evaluate import evaluate
from molig.cli.options import DeviceOption, MethodsOption, QuietOption, ThreadsOption

if TYPE_CHECKING:
    from molig.benchmark import GroundTruth
    from molig.benchmark.recipe import BenchmarkRecipe
    from molig.benchmark.run import BenchmarkPlan, BenchmarkResult

app = typer.Typer(
    help="Judge explanations, against ground truth or by removing atoms, and rankings.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_PREFIXES = ("attr_", "ibenchmark_")


def attribution(
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory for models, tables and results.")],
    names: Annotated[list[str] | None, typer.Argument(help="Ground-truth sets; default: all.")] = None,
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
    device: DeviceOption = "auto",
    threads: ThreadsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Train on sets with known explanations, explain what they hold out, and judge the explanations.

    Methods: integrated_gradients (ig), gradient_x_input, occlusion, leave_one_atom_out and
    averaged_baselines; by default all. Models lie in OUTPUT/NAME/model and are trained once; OUTPUT gets
    attribution.json and attribution.md.
    """
    from molig.benchmark.files import benchmark_json, benchmark_markdown
    from molig.benchmark.run import BenchmarkPlan
    from molig.files import write_whole
    from molig.tables.locks import exclusive_directory

    reporter = Reporter(quiet)
    plan = BenchmarkPlan(part, methods.split(",") if methods else None, sample, seed)
    requests = _requests(names, data, recipe)
    use_threads(threads)
    results: list[BenchmarkResult] = []
    with exclusive_directory(output):
        for truth, chosen in requests:
            results.append(
                _one_set(
                    truth,
                    chosen,
                    output / truth.description.name,
                    plan,
                    device=device,
                    reporter=reporter,
                )
            )
            # After each set: a long run that breaks off leaves what it has come to.
            write_whole(output / "attribution.json", benchmark_json(results, plan).encode())
            write_whole(output / "attribution.md", benchmark_markdown(results, plan).encode())
    typer.echo(benchmark_markdown(results, plan), nl=False)
    reporter.info(f"results: {output / 'attribution.json'}, {output / 'attribution.md'}")


app.command("attribution")(attribution)
app.command("ablation")(ablation.ablation)
app.command("screening")(evaluate)


def _requests(
    names: list[str] | None, data: Path | None, recipe: Path | None
) -> list[tuple[GroundTruth, BenchmarkRecipe]]:
    """Sets and their recipes; whatever is wrong with any of them is said before the first is trained on."""
    from molig.benchmark import ground_truth_sets, read_ground_truth
    from molig.benchmark.recipe import default_benchmark_recipe, read_benchmark_recipe
    from molig.errors import UnknownNameError

    known = ground_truth_sets()
    wanted = []
    for name in names or known:
        short = next((name.removeprefix(p) for p in _PREFIXES if name.removeprefix(p) in known), name)
        if short not in known:
            raise UnknownNameError("ground-truth set", name, known)
        wanted.append(short)
    given = read_benchmark_recipe(recipe) if recipe else None
    requests = []
    for name in dict.fromkeys(wanted):
        chosen = given or default_benchmark_recipe(name)
        chosen.check_fits(known[name])
        requests.append((read_ground_truth(name, data), chosen))
    return requests


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
    from molig.benchmark.files import benchmark_molecules
    from molig.benchmark.models import benchmark_models
    from molig.benchmark.run import judge_models, n_explanations
    from molig.files import write_whole
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
    n_wanted = n_explanations(truth, directory, plan)
    with reporter.progress(f"{name}: explaining", n_wanted, unit="explanations") as advance:
        result = judge_models(truth, models, recipe, directory, plan=plan, advance=advance)
    for failure in result.explained.failures:
        reporter.warning(f"{name}: {failure.id} {failure.smiles!r} is not judged: {failure.reason}")
    write_whole(directory / f"molecules-{plan.part}.parquet", benchmark_molecules(result))
    return result
