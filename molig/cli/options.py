"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

ModelOption = Annotated[
    str,
    typer.Option("-m", "--model", help="Model directory, or the name of a bundled model (`molig models`)."),
]
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
    str | None, typer.Option("--smiles-column", help="Column with the SMILES, if not under a usual name.")
]
IdColumnOption = Annotated[str | None, typer.Option("--id-column", help="Column with the identifiers.")]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="Format of standard input: smi, csv, tsv or sdf.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, help="CPU threads of torch; more than one rarely helps.")
]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Only warnings and errors.")]
