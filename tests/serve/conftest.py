"""A server with the small models, on a free port, for all tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.serving import TIME_LIMIT, finished

from molig.serve import ServeSettings
from molig.serve.server import Server, bound_socket
from molig.serve.service import Service


@pytest.fixture(scope="session")
def said() -> list[str]:
    """What the server has said to its terminal."""
    return []


@pytest.fixture(scope="session")
def service(
    small_model_dir: Path, small_regression_dir: Path, nan_model_dir: Path, said: list[str]
) -> Iterator[Service]:
    """Desk and jobs of the server."""
    settings = ServeSettings(
        models=tuple(map(str, (small_model_dir, small_regression_dir, nan_model_dir))),
        port=0,
        max_upload=1_000_000,
        max_rows=200,
        time_limit=TIME_LIMIT,
        max_waiting=2,
        jobs=1,
        device="cpu",
    )
    with Service(settings, said.append) as service:
        yield service


@pytest.fixture(scope="session")
def nan_model_dir(tmp_path_factory: pytest.TempPathFactory, small_model_dir: Path) -> Path:
    """The small model with weights so large that its scores are no numbers."""
    import torch

    from molig.model import load_model, save_model

    model = load_model(small_model_dir)
    with torch.no_grad():
        next(iter(model.network.parameters())).fill_(3e38)
    directory = tmp_path_factory.mktemp("nan") / "broken"
    save_model(model, directory)
    return directory


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[httpx.Client]:
    """Asks the running server, as a script of its page would."""
    asking = {"headers": {"X-Molig": "1"}, "timeout": 600}
    with (
        bound_socket(service.settings) as taken,
        Server(service, taken) as server,
        httpx.Client(base_url=server.address, **asking) as client,
    ):
        yield client


@pytest.fixture
def done(client: httpx.Client) -> Callable[..., dict[str, Any]]:
    """Have a job done, and remove it at the end."""
    numbers = []

    def run(content: bytes = b"", name: str = "lib.smi", **form: Any) -> dict[str, Any]:
        files = {"file": (name, content)} if content else None
        taken = client.post("/api/jobs", data=form, files=files)
        assert taken.status_code == 202, taken.text
        numbers.append(taken.json()["id"])
        return finished(client, numbers[-1])

    yield run
    for number in numbers:
        client.delete(f"/api/jobs/{number}")
