"""Options that several commands share."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand

from molig.cli.console import Reporter

if TYPE_CHECKING:
    from molig.foreign import ChempropModel, FingerprintModel, FingerprintOptions, InputOptions
    from molig.model import ScoringModel, ScreeningModel

READING, FOREIGN, RUNNING, PICTURES = "What is read", "Models of other packages", "The run", "Pictures"
"""Groups of options in ``--help`` that several commands share."""


class GroupedCommand(TyperCommand):
    """A command whose ``--help`` lists its options in groups, those of their ``rich_help_panel``."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for every group, in the order in which they come first."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                group = getattr(parameter, "rich_help_panel", None)
                groups.setdefault("Arguments" if is_argument else group or "Options", []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


_Command = Callable[..., None]


def with_groups(command: _Command) -> _Command:
    """A command with the options of its groups in their place: dataclasses whose fields are options.

    What several commands ask for alike is declared once, and a command gets it as one value.
    """
    hints, own = get_type_hints(command, include_extras=True), inspect.signature(command).parameters
    groups = {name: hints[name] for name in own if is_dataclass(hints[name])}
    parameters = [
        one
        for name, parameter in own.items()
        for one in (_of_group(groups[name]) if name in groups else [(name, parameter.default, hints[name])])
    ]

    def flat(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    flat.__name__, flat.__doc__, flat.__module__ = command.__name__, command.__doc__, command.__module__
    flat.__annotations__ = {name: annotation for name, _, annotation in parameters}
    flat.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, default, annotation in parameters
        ]
    )
    return flat


def _of_group(group: Any) -> list[tuple[str, Any, Any]]:
    hints = get_type_hints(group, include_extras=True)
    return [(field.name, field.default, hints[field.name]) for field in fields(group)]


_Source = TypeVar("_Source", str, Path, None)


def resolved_input(source: _Source) -> _Source:
    """The file that is meant by a path or by the name of a data set; standard input as it is."""
    if source is None or str(source) in ("", "-") or "://" in str(source):
        return source
    from molig.datasets.places import file_or_dataset

    return type(source)(file_or_dataset(source))


def input_option(what: str) -> Any:
    """Option ``-i`` of a command, which takes a file or the name of a data set."""
    return typer.Option("-i", "--input", callback=resolved_input, help=what)


def input_argument(what: str = "The same as -i.", name: str = "INPUT") -> Any:
    """The same without ``-i``: every command takes its molecules in both ways."""
    return typer.Argument(metavar=f"[{name}]", callback=resolved_input, show_default=False, help=what)


_Named = TypeVar("_Named", str, Path)


def one_input(argument: _Named | None, option: _Named | None) -> _Named | None:
    """What is read, which is named with or without ``-i``."""
    if argument is None:
        return option
    if option is not None:
        from molig.errors import UsageError

        raise UsageError(f"the molecules are named twice, as {argument} and by -i {option}; leave one out")
    return argument


def needed_input(argument: str | None, option: str | None) -> str:
    """The same of a command that cannot do without."""
    source = one_input(argument, option)
    if not source:
        from molig.errors import UsageError

        raise UsageError(
            "name the molecules: a file, a data set (`molig data list`), or - for stdin, with or without -i"
        )
    return source


def task_named(model: ScoringModel, task: str | None, target: str | None = None) -> str | None:
    """A task as the model spells it, whatever the case of its letters; anything else as it is.

    Refuses a task in the place of the target, and says where it belongs.
    """
    if target is not None and (meant := task_named(model, target)) in model.tasks:
        from molig.errors import UsageError

        raise UsageError(f"--target is probability, logit or value; a task is named by --task {meant}")
    if task is None or task in model.tasks:
        return task
    folded = [known for known in model.tasks if known.casefold() == task.casefold()]
    return folded[0] if len(folded) == 1 else "all" if task.casefold() == "all" else task


def tasks_named(model: ScoringModel, tasks: Iterable[str]) -> list[str]:
    """The same of several."""
    return [task_named(model, task) or task for task in tasks]


MOLECULES = "Molecules: a file, a data set by name (`molig data list`), or - for stdin."
ModelOption = Annotated[
    list[str],
    typer.Option(
        "-m",
        "--model",
        help="Bundled model (`molig models`) or directory; admet-ai; Chemprop files (.pt, .ckpt), which "
        "several -m put together to an ensemble; or a forest or linear model (.skops, .onnx; of "
        "XGBoost .json, .ubj; of LightGBM .txt).",
    ),
]
ModelsOption = Annotated[
    list[str],
    typer.Option(
        "-m",
        "--model",
        help="Bundled model (`molig models`) or directory, several -m side by side; admet-ai; Chemprop files "
        "(.pt, .ckpt), which several -m put together to an ensemble; or a forest or linear model (.skops, "
        ".onnx).",
    ),
]
AtomFeaturesOption = Annotated[
    str | None,
    typer.Option(
        "--atom-features",
        rich_help_panel=FOREIGN,
        help="Chemprop models: v2, v1, organic or rigr; default: what fits the weights.",
    ),
]
KeepHOption = Annotated[
    bool | None,
    typer.Option(
        "--keep-h/--no-keep-h",
        rich_help_panel=FOREIGN,
        help="Chemprop models: hydrogens written as atoms stay atoms.",
    ),
]
AddHOption = Annotated[
    bool | None,
    typer.Option(
        "--add-h/--no-add-h", rich_help_panel=FOREIGN, help="Chemprop models: every hydrogen is an atom."
    ),
]
IgnoreStereoOption = Annotated[
    bool | None,
    typer.Option(
        "--ignore-stereo/--no-ignore-stereo",
        rich_help_panel=FOREIGN,
        help="Chemprop models: stereo marks are dropped.",
    ),
]
ReorderAtomsOption = Annotated[
    bool | None,
    typer.Option(
        "--reorder-atoms/--no-reorder-atoms",
        rich_help_panel=FOREIGN,
        help="Chemprop models: order atoms by map numbers.",
    ),
]

FingerprintOption = Annotated[
    str | None,
    typer.Option(
        "--fingerprint",
        rich_help_panel=FOREIGN,
        help="Forests and linear models: what they were trained on, such as "
        "morgan:radius=2,bits=2048,counts (or binary; also chirality, features).",
    ),
]
TrustPickleOption = Annotated[
    bool,
    typer.Option(
        "--trust-pickle",
        rich_help_panel=FOREIGN,
        help="Load a pickle (.pkl, .joblib), which runs whatever program its maker put into it.",
    ),
]


def _loaded(
    names: list[str], device: str, inputs: InputOptions, fingerprint: FingerprintOptions | None = None
) -> ScreeningModel | ChempropModel | FingerprintModel:
    from molig.errors import UsageError
    from molig.foreign import load_any_model
    from molig.foreign.fingerprints import ESTIMATOR_SUFFIXES

    if fingerprint is None and (on_bits := [n for n in names if Path(n).suffix in ESTIMATOR_SUFFIXES]):
        raise UsageError(
            f"{on_bits[0]} is a model on fingerprints, which this command does not take; molig screen, "
            "explain and audit do"
        )
    with doubts_told():
        return load_any_model(names, device, inputs, fingerprint)


@dataclass(frozen=True)
class ReadsAtoms:
    """Options of how models of other packages read molecules."""

    atom_features: AtomFeaturesOption = None
    keep_h: KeepHOption = None
    add_h: AddHOption = None
    ignore_stereo: IgnoreStereoOption = None
    reorder_atoms: ReorderAtomsOption = None

    @property
    def inputs(self) -> InputOptions:
        """The same for `molig.foreign`."""
        from molig.foreign import InputOptions

        return InputOptions(
            self.atom_features, self.keep_h, self.add_h, self.ignore_stereo, self.reorder_atoms
        )

    def load(self, names: list[str], device: str) -> ScreeningModel | ChempropModel | FingerprintModel:
        """The model of `ModelOption`."""
        return _loaded(names, device, self.inputs)


@dataclass(frozen=True)
class ReadsAtomsAndBits(ReadsAtoms):
    """The same with models on fingerprints."""

    fingerprint: FingerprintOption = None
    trust_pickle: TrustPickleOption = False

    @property
    def bits(self) -> FingerprintOptions:
        """The same for `molig.foreign`."""
        from molig.foreign import FingerprintOptions

        return FingerprintOptions(self.fingerprint, self.trust_pickle)

    def load(self, names: list[str], device: str) -> ScreeningModel | ChempropModel | FingerprintModel:
        """The model of `ModelOption`."""
        return _loaded(names, device, self.inputs, self.bits)


@contextmanager
def doubts_told() -> Iterator[None]:
    """Tell what a model warns of when it is loaded."""
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always", UserWarning)
        yield
    for doubt in doubts:
        Reporter(quiet=True).warning(str(doubt.message))


LabelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label", help="Label columns, repeatable: 1, 0, active, inactive, yes, no ... or empty; or values."
    ),
]
OldLabelsOption = Annotated[list[str] | None, typer.Option("--target", hidden=True)]


def label_columns(labels: Iterable[str] | None, old: Iterable[str] | None, reporter: Reporter) -> list[str]:
    """Columns of `LabelsOption`, also by its former name."""
    if old:
        reporter.info(
            "--target still names label columns here, but is called --label now: elsewhere --target says "
            "whether probabilities or logits are explained"
        )
    return [*(labels or []), *(old or [])]


TaskOption = Annotated[
    str | None, typer.Option("--task", help="Task of the model; default: the highest-scoring one.")
]
TargetOption = Annotated[
    str | None,
    typer.Option("--target", help="probability (default) or logit; value where the model predicts values."),
]
TolOption = Annotated[
    float, typer.Option("--tol", help="Allowed residual, as a share of the score's change.")
]
OneTaskOption = Annotated[
    str | None, typer.Option("--task", help="Task of the model; needed if it has several.")
]
TaskOrAllOption = Annotated[
    str | None, typer.Option("--task", help="Task of the model, or all; default: the highest-scoring one.")
]
MethodOption = Annotated[
    str,
    typer.Option("--method", help="integrated_gradients, gradient_x_input, occlusion or leave_one_atom_out."),
]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        help="What molecules are compared with: zero, neutral, mean, library[:FILE], compound:SMILES, "
        "uniform or carbon; several, joined by commas, are averaged. Default: zero, for Chemprop neutral.",
    ),
]


@dataclass(frozen=True)
class Attributing:
    """Options of how scores are attributed."""

    method: MethodOption = "integrated_gradients"
    baseline: BaselineOption = None
    target: TargetOption = None
    tol: TolOption = 0.01

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of `molig.attribution.Explainer`."""
        return asdict(self)


ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="Count scores from those of a compound (SMILES), or from the mean of the molecules given "
        "(mean); instead of --baseline.",
    ),
]
RejectsOption = Annotated[
    Path | None, typer.Option("--rejects", help="Rejected rows with reasons; default NAME.rejected.csv.")
]
MethodsOption = Annotated[
    str | None, typer.Option("--methods", help="Methods of attribution, joined by commas.")
]
SmilesColumnOption = Annotated[
    str | None,
    typer.Option(
        "--smiles-column",
        rich_help_panel=READING,
        help="Column with the SMILES, or its number, if not under a usual name.",
    ),
]
IdColumnOption = Annotated[
    str | None, typer.Option("--id-column", rich_help_panel=READING, help="Column with the identifiers.")
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        rich_help_panel=READING,
        help="Format, where the name does not tell: smi, csv, tsv, sdf, parquet, xlsx.",
    ),
]
DelimiterOption = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        rich_help_panel=READING,
        help="What separates columns: comma, tab, semicolon, pipe, space or a character; default: guessed.",
    ),
]


@dataclass(frozen=True)
class Reading:
    """Options of how a file of molecules is read."""

    smiles_column: SmilesColumnOption = None
    id_column: IdColumnOption = None
    file_format: FormatOption = None
    delimiter: DelimiterOption = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of `molig.molecules.read_records`."""
        return asdict(self)

    @property
    def in_words(self) -> dict[str, str | None]:
        """The same by the names of the options."""
        return dict(
            zip(("--smiles-column", "--id-column", "--format", "--delimiter"), astuple(self), strict=True)
        )


KeepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        help="Columns of the library (SD properties) that come along: all (default), none, or COL,...",
    ),
]


def kept_columns(names: list[str] | None) -> str | tuple[str, ...]:
    """The columns of `KeepOption`: all, none or these."""
    if names is None:
        return "all"
    if len(names) == 1 and names[0] in ("all", "none"):
        return names[0]
    return tuple(name.strip() for text in names for name in text.split(",") if name.strip())


ScaleOption = Annotated[
    str,
    typer.Option(
        "--scale",
        rich_help_panel=PICTURES,
        help="Contribution with the full colour: shared (the largest of all), molecule, or a number.",
    ),
]
LayersOption = Annotated[
    str,
    typer.Option(
        "--layers",
        rich_help_panel=PICTURES,
        help="What is coloured: atoms (default), bonds, pairs (arcs), joined by commas.",
    ),
]
AtomLabelsOption = Annotated[
    str,
    typer.Option("--atom-labels", rich_help_panel=PICTURES, help="Beside atoms: none, numbers, values."),
]
PaletteOption = Annotated[
    str, typer.Option("--palette", rich_help_panel=PICTURES, help="red-blue, orange-purple, grey.")
]
NoiseOption = Annotated[
    float,
    typer.Option(
        "--noise",
        min=0,
        max=1,
        rich_help_panel=PICTURES,
        help="Grey out scores below this share of the largest.",
    ),
]
ArcsOption = Annotated[
    float,
    typer.Option(
        "--arcs",
        min=0,
        max=1,
        rich_help_panel=PICTURES,
        help="Draw arcs of pairs above this share of the scale.",
    ),
]
AlignOption = Annotated[
    str | None,
    typer.Option(
        "--align",
        rich_help_panel=PICTURES,
        help="Draw a series in one orientation: auto (what all have in common), a SMARTS, or an SD or "
        "mol file, whose coordinates are kept.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", rich_help_panel=RUNNING, help="auto, cpu or cuda.")]
ThreadsOption = Annotated[
    int,
    typer.Option(
        "--threads", min=1, rich_help_panel=RUNNING, help="CPU threads of torch; more than one rarely helps."
    ),
]
MaxRejectsOption = Annotated[
    str,
    typer.Option(
        "--max-rejects", help="Rejected rows, a share or a number, from which on the run is a failure."
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force", rich_help_panel=RUNNING, help="Replace a finished result once the new one is done."
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "-j", "--jobs", min=1, rich_help_panel=RUNNING, help="Processes to work in; default: one a core."
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume", rich_help_panel=RUNNING, help="Continue an interrupted run, kept in NAME.parts."
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        rich_help_panel=RUNNING,
        help="Only the I-th of N shares, such as 2/8; `molig merge` puts them together.",
    ),
]


def usable_jobs(jobs: int | None, threads: int, device: str = "cpu") -> int | None:
    """Processes to work in, None for one a core; a GPU, and threads of torch, are for a single one."""
    from molig.errors import UsageError

    if threads > 1 and jobs is not None and jobs > 1:
        raise UsageError(
            "each of several processes (--jobs) computes on one thread: give --threads or --jobs"
        )
    return 1 if threads > 1 or device != "cpu" else jobs


TimeLimitOption = Annotated[
    float,
    typer.Option(
        "--time-limit",
        rich_help_panel=RUNNING,
        help="Seconds of processor time for one molecule; one that needs more is rejected.",
    ),
]
CsvSafeOption = Annotated[
    bool,
    typer.Option(
        "--csv-safe", help="In CSV, an apostrophe before text that a spreadsheet would take for a formula."
    ),
]
QuietOption = Annotated[
    bool, typer.Option("-q", "--quiet", rich_help_panel=RUNNING, help="Only warnings and errors.")
]
