"""`molig data`: public data sets, listed and downloaded, and small example files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molig.cli.console import Reporter, print_table
from molig.cli.options import QuietOption

if TYPE_CHECKING:
    from molig.datasets import Dataset

_NAMED = 12

app = typer.Typer(
    help="Public data sets: list them, get them; example files.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_sets(quiet: QuietOption = False) -> None:
    """List the data sets that can be had, and say which are on this machine.

    Looked for in MOLIG_DATA_DIR, then in the cache directory (MOLIG_CACHE_DIR).
    """
    from molig.datasets import datasets
    from molig.datasets.places import locate_dataset

    rows = [
        [name, one.title, _count(one), str(len(one.targets)), "yes" if locate_dataset(name) else "no"]
        for name, one in datasets().items()
    ]
    print_table(["data set", "what", "rows", "tasks", "here"], rows, whole=["data set"])
    Reporter(quiet).info(
        "molig data show NAME tells more about one, molig data get NAME downloads it; a name can stand for a "
        "file, as in molig train -i NAME"
    )


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="Data set; see `molig data list`.")]) -> None:
    """Say what a data set is: columns, labels, terms, what to cite, where it comes from and where it lies.

    checksum: "catalogue" where the content is known beforehand, "first download" where the first download
    decides what later ones must hold.
    """
    from molig.datasets.catalogue import known_dataset
    from molig.datasets.places import locate_dataset

    one = known_dataset(name)
    path = locate_dataset(name)
    targets = list(one.targets) if len(one.targets) <= _NAMED else [*one.targets[:_NAMED], "..."]
    kind = "measured values" if one.has_values else "active (1) or not (0)"
    facts = [
        ["what", one.title],
        ["note", one.what],
        ["rows", _count(one)],
        ["labels", f"{kind}: {', '.join(targets)}"],
        ["other columns", ", ".join(column for column in one.columns if column not in one.targets)],
        ["licence", one.licence],
        *_listed("please cite", one.citation),
        *_listed("source", one.urls),
        ["checksum", "catalogue" if one.is_pinned else "first download"],
        ["here", str(path) if path else f"no; molig data get {name}"],
    ]
    print_table(["", name], facts, whole=[""])
    if one.meanings:
        column = one.members_column if one.is_long else "label"
        print_table(
            [column, "stands for"], [[key, text] for key, text in one.meanings.items()], whole=[column]
        )


def _count(one: Dataset) -> str:
    return f"{one.rows:,}" if one.is_pinned else f">= {one.rows:,}"


def _listed(what: str, items: tuple[str, ...]) -> list[list[str]]:
    """A row for each item, of which the first is named."""
    return [["" if i else what, item] for i, item in enumerate(items)]


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="Data set; see `molig data list`.")],
    directory: Annotated[
        Path | None,
        typer.Option("--directory", help="Where to put it; default: the cache directory (MOLIG_CACHE_DIR)."),
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="Download from here instead.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Download even if it is there.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Download a data set, verify it, and write it as Parquet; prints where it lies.

    A download that broke off is continued by the same command. NAME.json beside the table records URL,
    digests, date and licence.
    """
    from molig.datasets import get_dataset
    from molig.datasets.catalogue import known_dataset

    reporter = Reporter(quiet)
    one = known_dataset(name)
    downloaded = False

    def note(received: int, total: int | None) -> None:
        nonlocal downloaded
        downloaded = True
        advance(received, total)

    with _bytes_bar(reporter, name) as advance:
        path = get_dataset(name, directory, url=url, force=force, progress=note)
    reporter.info(one.title if downloaded else f"{name} is there already; --force downloads it again")
    if downloaded:
        reporter.info(f"licence: {one.licence}")
        reporter.info("please cite: " + "; ".join(one.citation))
    typer.echo(str(path))


@app.command("example")
def example(
    directory: Annotated[Path, typer.Argument(help="Where to put them; default: here.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files of these names.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Write the example files of the README: library.smi, labelled.csv and recipe.toml.

    400 molecules to screen, 400 molecules with four assays of Tox21, and a recipe to train with. Prints where
    they lie.
    """
    from molig.datasets.examples import example_files
    from molig.errors import UsageError
    from molig.files import write_whole

    contents = {directory / name: path.read_bytes() for name, path in example_files().items()}
    other = [path for path, content in contents.items() if path.exists() and not _holds(path, content)]
    if other and not force:
        raise UsageError(
            f"{other[0]} is there and is another file; --force overwrites it, or name another directory"
        )
    for path, content in contents.items():
        write_whole(path, content)
        typer.echo(str(path))
    reporter = Reporter(quiet)
    reporter.info("library.smi: compounds of NCI's open repository, from the file that comes with RDKit")
    reporter.info("labelled.csv: Tox21 (NIH/NCATS); both are in the public domain")


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


@contextlib.contextmanager
def _bytes_bar(reporter: Reporter, name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show how much of a file has arrived; yields the function to call with it."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = [TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()]
    with Progress(*columns, console=reporter.console, disable=reporter.quiet) as bar:
        # Shown with the first bytes: a table that is there needs no bar.
        task = bar.add_task(f"{name}: downloading", total=None, visible=False)
        yield lambda received, total: bar.update(task, completed=received, total=total, visible=True)
