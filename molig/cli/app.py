"""The `molig` command."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
import warnings
from typing import Annotated

import typer

import molig
from molig.cli import (
    audit,
    benchmark,
    compare,
    data,
    demo,
    edits,
    evaluate,
    explain,
    merge,
    models,
    prepare,
    report,
    saturation,
    screen,
    serve,
    substructures,
    train,
)
from molig.cli.console import Reporter
from molig.cli.interrupts import heard_interrupts
from molig.cli.options import GroupedCommand
from molig.errors import MoligError, speaking_of_options
from molig.text import legible

_AFTER_CTRL_C = 130

app = typer.Typer(
    name="molig",
    help="Rank molecules with a screening network, and say why, atom by atom.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("screen", cls=GroupedCommand)(screen.screen)
app.command("merge", cls=GroupedCommand)(merge.merge)
app.command("prepare", cls=GroupedCommand)(prepare.prepare)
app.command("explain")(explain.explain)
app.command("compare", cls=GroupedCommand)(compare.compare)
app.command("edits", cls=GroupedCommand)(edits.edits)
app.command("substructures", cls=GroupedCommand)(substructures.substructures)
app.command("report", cls=GroupedCommand)(report.report)
app.command("saturation")(saturation.saturation)
app.command("train")(train.train)
app.command("audit")(audit.audit)
app.command("evaluate")(evaluate.evaluate)
app.command("serve", cls=GroupedCommand)(serve.serve)
app.command("models")(models.models)
app.command("demo")(demo.demo)
app.add_typer(benchmark.app, name="benchmark")
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"molig {molig.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Rank molecules with a screening network, and say why, atom by atom."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit code 0 is success, 1 a failed run, 2 a wrong request."""
    _hold_standard_streams()
    # When the process ends, Python would look through all objects of torch for garbage, for half a second.
    atexit.register(gc.freeze)
    with heard_interrupts(), warnings.catch_warnings(), speaking_of_options():
        warnings.showwarning = _show_warning
        code = _run(arguments)
    sys.exit(code)


def _hold_standard_streams() -> None:
    """Keep our files from taking the numbers of standard streams that are closed, and let writing fail."""
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 (as long as the process)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    Reporter(quiet=False).warning(str(message))


def _run(arguments: list[str] | None) -> int:
    try:
        app(arguments, prog_name="molig")
    except SystemExit as done:
        # Typer has told about usage errors itself, and says 130 after Ctrl-C.
        code = done.code if isinstance(done.code, int) else 0
        return _interrupted() if code == _AFTER_CTRL_C else _flush(code)
    except MoligError as err:
        code = _fail(str(err), err.exit_code)
        try:
            sys.stdout.flush()
        except OSError:  # which was told already
            _discard_stdout()
        return code
    except KeyboardInterrupt:
        return _interrupted()
    except OSError as err:
        return _output_failed(err)
    return _flush(0)


def _flush(code: int) -> int:
    """Write what is still in the buffer now, while a full disk can be told."""
    try:
        sys.stdout.flush()
    except OSError as err:
        return _output_failed(err)
    return code


def _output_failed(err: OSError) -> int:
    _discard_stdout()
    where = f": {err.filename}" if err.filename else ""
    # The reader of a pipe has gone: nobody is there to be told.
    return 1 if isinstance(err, BrokenPipeError) else _fail(f"{err.strerror or err}{where}", 1)


def _interrupted() -> int:
    return _fail("interrupted; nothing incomplete was left under a final name", 1)


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(f"error: {legible(message)}", file=sys.stderr)
    return code


def _discard_stdout() -> None:
    """Let the interpreter's last flush go nowhere, since standard output cannot take more."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
