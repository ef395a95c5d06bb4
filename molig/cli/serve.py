"""`molig serve`: the page live, on this machine."""

from __future__ import annotations

import contextlib
import re
import secrets
import webbrowser
from importlib.util import find_spec
from typing import Annotated

import typer

from molig.cli.console import Reporter
from molig.cli.options import DeviceOption, JobsOption, QuietOption

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?B?)", re.IGNORECASE)
_NEEDED = ("fastapi", "uvicorn", "python_multipart")


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", help="Models to offer, as every command takes them; default: bundled."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen at; any but this one lets other machines in, with a token."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8642,
    token: Annotated[
        str | None,
        typer.Option(
            "--token", help="What a request must know; made and printed for a host that others reach."
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
    max_upload: Annotated[str, typer.Option("--max-upload", help="Largest file, such as 100MB.")] = "100MB",
    max_rows: Annotated[int, typer.Option("--max-rows", min=1, help="Largest library, in rows.")] = 1_000_000,
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="Seconds that an answer about one molecule may take.")
    ] = 60.0,
    job_limit: Annotated[float, typer.Option("--job-limit", help="Seconds that a job may take.")] = 3600.0,
    jobs: JobsOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
) -> None:
    """Open a page to screen, explain, compare, edit and audit in, and a REST interface behind it."""
    _check_installed()
    from molig.serve import ServeSettings
    from molig.serve.server import Server, bound_socket
    from molig.serve.service import Service

    reporter = Reporter(quiet)
    settings = ServeSettings(
        models=tuple(model or ()),
        host=host,
        port=port,
        token=token or (None if ServeSettings.is_loopback(host) else secrets.token_urlsafe(24)),
        max_upload=_bytes(max_upload),
        max_rows=max_rows,
        time_limit=time_limit,
        job_limit=job_limit,
        jobs=jobs,
        device=device,
    )
    with (
        contextlib.suppress(KeyboardInterrupt),
        bound_socket(settings) as taken,
        Service(settings, reporter.info) as service,
        Server(service, taken) as server,
    ):
        # Without it nobody could find the server, so it is told even if quiet.
        reporter.console.print(f"molig serve: {server.address_with_token}", soft_wrap=True, markup=False)
        reporter.info("Ctrl-C ends it")
        if not no_browser:
            webbrowser.open(server.address_with_token)
        server.wait()


def _check_installed() -> None:
    from molig.errors import UsageError

    if any(find_spec(name) is None for name in _NEEDED):
        raise UsageError("molig serve needs more packages: pip install 'molig[serve]'")


def _bytes(text: str) -> int:
    from molig.errors import UsageError

    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--max-upload is a size such as 100MB or 2GB (got {text!r})")
    unit = found[2].upper()
    return int(float(found[1]) * _UNITS[unit if unit.endswith("B") or not unit else f"{unit}B"])
