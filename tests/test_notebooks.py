"""Every notebook runs from top to bottom, with less of everything than its stored run had."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="comes with nbclient, of the extra dev")
nbclient = pytest.importorskip("nbclient", reason="of the extra dev")
pytest.importorskip("ipykernel", reason="of the extra dev")

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
NEEDING = {"explain_a_series": "moleculeace_30.parquet"}
QUICK = "MOLIG_QUICK_NOTEBOOKS"
HANGS = 1800
"""Seconds after which a cell, or a kernel that does not start, is given up: machines may be slow."""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One kernel for all notebooks: half of their time would be imports. Names are cleared between them.

    It shares nothing with another kernel, or with the user's: sockets are files of its own, since ports that
    are free when they are looked for may be taken a moment later; so are settings and history.
    """
    folder = tmp_path_factory.mktemp("notebooks")
    paths = os.pathsep.join(filter(None, [str(FOLDER.parent), os.environ.get("PYTHONPATH")]))
    own = {"IPYTHONDIR": folder / "ipython"}
    own |= {f"JUPYTER_{name}_DIR": folder / name.lower() for name in ("CONFIG", "DATA", "RUNTIME")}
    # Names of sockets have at most a hundred characters, which those of pytest's directories exceed.
    with tempfile.TemporaryDirectory(prefix="molig-") as sockets, pytest.MonkeyPatch.context() as patch:
        for name, place in own.items():
            patch.setenv(name, str(place))
        client = nbclient.NotebookClient(
            nbformat.v4.new_notebook(),
            resources={"metadata": {"path": str(folder)}},
            kernel_name="python3",
            timeout=HANGS,
            startup_timeout=HANGS,
            iopub_timeout=HANGS,
        )
        manager = client.create_kernel_manager()
        manager.transport, manager.connection_file = "ipc", str(Path(sockets, "kernel.json"))
        client.start_new_kernel(env=os.environ | {QUICK: "1", "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"})
        client.start_new_kernel_client()
        client.owns_km = False  # one notebook's end is not the kernel's
        yield client
        client.kc.stop_channels()
        nbclient.util.run_sync(manager.shutdown_kernel)(now=True)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs(name, kernel):
    table, folder = NEEDING.get(name), os.environ.get("MOLIG_DATA_DIR")
    if table and not (folder and Path(folder, table).is_file()):
        pytest.skip(f"{table} is not in MOLIG_DATA_DIR")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    kernel.nb = notebook
    kernel.execute()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_says_how_long_it_takes_and_holds_what_came_out(name):
    cells = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    assert any(word in cells[0].source for word in ("minute", "second"))
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]


def test_each_is_listed():
    text = (FOLDER / "README.md").read_text()
    assert [name for name in NOTEBOOKS if f"`{name}.ipynb`" not in text] == []
