"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from molig.foreign import ChempropModel, FingerprintModel
    from molig.model import ScreeningModel

_Source = TypeVar("_Source", str, Path, None)


def resolved_input(source: _Source) -> _Source:
    """The file that is meant by a path or by the name of a data set; standard input as it is."""
    if source is None or str(source) in ("", "-"):
        return source
    from molig.datasets.places import file_or_dataset

    return type(source)(file_or_dataset(source))


def input_option(what: str) -> Any:
    """Option ``-i`` of a command, which takes a file or the name of a data set."""
    return typer.Option("-i", "--input", callback=resolved_input, help=what)


MOLECULES = "Molecules: a file, a data set by name (`molig data list`), or - for stdin."
ModelOption = Annotated[
    list[str],
    typer.Option(
        "-m",
        "--model",
        help="Bundled model (`molig models`) or directory; admet-ai; or Chemprop files (.pt, .ckpt), which "
        "several -m put together to an ensemble.",
    ),
]
AtomFeaturesOption = Annotated[
    str | None,
    typer.Option(
        "--atom-features", help="Chemprop models: v2, v1, organic or rigr; default: what fits the weights."
    ),
]
KeepHOption = Annotated[
    bool | None,
    typer.Option("--keep-h/--no-keep-h", help="Chemprop models: hydrogens written as atoms stay atoms."),
]
AddHOption = Annotated[
    bool | None, typer.Option("--add-h/--no-add-h", help="Chemprop models: every hydrogen is an atom.")
]
IgnoreStereoOption = Annotated[
    bool | None,
    typer.Option("--ignore-stereo/--no-ignore-stereo", help="Chemprop models: stereo marks are dropped."),
]
ReorderAtomsOption = Annotated[
    bool | None,
    typer.Option("--reorder-atoms/--no-reorder-atoms", help="Chemprop models: order atoms by map numbers."),
]


def load_named(
    names: list[str],
    device: str,
    atom_features: str | None,
    keep_h: bool | None,
    add_h: bool | None,
    ignore_stereo: bool | None,
    reorder_atoms: bool | None,
) -> ScreeningModel | ChempropModel | FingerprintModel:
    """The model of `ModelOption`, with the options of its molecules."""
    from molig.foreign import InputOptions, load_any_model

    options = InputOptions(atom_features, keep_h, add_h, ignore_stereo, reorder_atoms)
    return load_any_model(names, device, options)


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
TaskOrAllOption = Annotated[
    str | None, typer.Option("--task", help="Task of the model, or all; default: the highest-scoring one.")
]
MethodOption = Annotated[
    str,
    typer.Option("--method", help="integrated_gradients, gradient_x_input, occlusion or leave_one_atom_out."),
]
BaselineOption = Annotated[
    str,
    typer.Option("--baseline", help="zero, uniform or carbon; several, joined by commas, are averaged."),
]
MethodsOption = Annotated[
    str | None, typer.Option("--methods", help="Methods of attribution, joined by commas.")
]
SmilesColumnOption = Annotated[
    str | None,
    typer.Option("--smiles-column", help="Column with the SMILES, or its number, if not under a usual name."),
]
IdColumnOption = Annotated[str | None, typer.Option("--id-column", help="Column with the identifiers.")]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", help="Format, where the name does not tell: smi, csv, tsv, sdf, parquet, xlsx."),
]
DelimiterOption = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        help="What separates columns: comma, tab, semicolon, pipe, space or a character; default: guessed.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, help="CPU threads of torch; more than one rarely helps.")
]
CsvSafeOption = Annotated[
    bool,
    typer.Option(
        "--csv-safe", help="In CSV, an apostrophe before text that a spreadsheet would take for a formula."
    ),
]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")]
