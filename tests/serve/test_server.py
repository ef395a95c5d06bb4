"""Where a server listens, and what it cannot start with."""

from __future__ import annotations

import socket
import tempfile

import pytest

from molig.errors import OutputError, UsageError
from molig.serve import ServeSettings
from molig.serve.server import Server, bound_socket
from molig.serve.service import Service


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OutputError, match=rf"^port {port} of 127.0.0.1 is in use.*--port N"):
            bound_socket(ServeSettings(port=port))


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_none(host):
    with pytest.raises(UsageError, match=f"^--host {host}: this machine"):
        bound_socket(ServeSettings(host=host, token="t", port=0))


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("0.0.0.0", socket.gethostname())],
)
def test_the_address_that_is_printed(host, shown):
    settings = ServeSettings(host=host, port=0, token="a b")
    with bound_socket(settings) as taken:
        server = Server(Service(settings), taken)
        port = taken.getsockname()[1]
        assert server.address == f"http://{shown}:{port}/"
        assert server.address_with_token == f"http://{shown}:{port}/?token=a%20b"


def test_a_connection_that_says_nothing_is_closed(client, monkeypatch):
    monkeypatch.setattr("molig.serve.server._HEAD_SECONDS", 0.05)
    place = (client.base_url.host, client.base_url.port)
    for said in (b"", b"GET / HTTP/1.1\r\nHost: local"):
        with socket.create_connection(place, timeout=60) as silent:
            silent.sendall(said)
            assert silent.recv(1) == b""
    assert client.get("/api/about").status_code == 200


def test_no_place_for_temporary_files(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError, match=r"^cannot make a directory for temporary files: .*TMPDIR"):
        Service(ServeSettings()).__enter__()


@pytest.mark.parametrize("limit", ["max_upload", "max_rows", "time_limit", "job_limit"])
def test_limits_are_above_0(limit):
    with pytest.raises(UsageError, match=f"^--{limit.replace('_', '-')} must be above 0"):
        ServeSettings(**{limit: 0})


def test_other_machines_need_a_token():
    with pytest.raises(UsageError, match="a token is needed"):
        ServeSettings(host="0.0.0.0")
    assert "secret" not in repr(ServeSettings(token="secret"))
