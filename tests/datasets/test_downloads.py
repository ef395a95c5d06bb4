"""Downloads: whole, cut, continued, changed, redirected, refused."""

from __future__ import annotations

import errno
import hashlib
import random
import socket
from pathlib import Path
from urllib.request import Request

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.file_server import running_file_server

from molig.datasets.downloads import ChecksumError, DownloadError, PartialFile, _CarefulRedirects, download
from molig.errors import OutputError, UsageError

CONTENT = random.Random(0).randbytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "file.gz"


@pytest.fixture
def fetch(target):
    """Download without waiting between attempts."""

    def run(url, **how):
        return download(url, target, **{"pause": 0.0, "timeout": 120.0, **how})

    return run


def left_over(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_whole(server, fetch, target):
    file = server.serve("/a", CONTENT)
    seen = []
    assert fetch(server.url("/a"), sha256=DIGEST.upper(), progress=lambda *at: seen.append(at)) == DIGEST
    assert target.read_bytes() == CONTENT
    assert left_over(target) == ["file.gz"]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [n for n, _ in seen] == sorted(n for n, _ in seen)
    assert "Range" not in file.requests[0]
    assert file.requests[0]["Accept-Encoding"] == "identity"


def test_replaces_an_older_file_only_when_complete(server, fetch, target):
    target.write_bytes(b"older")
    server.serve("/a", CONTENT, cuts=[10] * 9)
    with pytest.raises(DownloadError):
        fetch(server.url("/a"), attempts=1)
    assert target.read_bytes() == b"older"
    server.serve("/a", CONTENT)
    fetch(server.url("/a"))
    assert target.read_bytes() == CONTENT


def test_empty_file(server, fetch, target):
    server.serve("/a", b"")
    assert fetch(server.url("/a")) == hashlib.sha256(b"").hexdigest()
    assert target.read_bytes() == b""


def test_cut_connection_is_continued(server, fetch, target):
    file = server.serve("/a", CONTENT, cuts=[100_000, 50_000])
    assert fetch(server.url("/a"), sha256=DIGEST) == DIGEST
    assert [request.get("Range") for request in file.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert file.requests[1]["If-Range"] == '"one"'


def test_date_serves_where_there_is_no_tag(server, fetch):
    date = "Mon, 05 Jan 2026 10:00:00 GMT"
    file = server.serve("/a", CONTENT, cuts=[1000], etag=None, modified=date)
    assert fetch(server.url("/a")) == DIGEST
    assert file.requests[1]["If-Range"] == date


@pytest.mark.parametrize("how", [{"etag": None}, {"etag": 'W/"weak"'}, {"ranges": False}])
def test_starts_again_where_continuing_is_not_safe(server, fetch, target, how):
    file = server.serve("/a", CONTENT, cuts=[200_000], **how)
    assert fetch(server.url("/a")) == DIGEST
    assert len(file.requests) == 2
    assert target.read_bytes() == CONTENT


def test_next_run_continues(server, fetch, target):
    server.serve("/a", CONTENT, cuts=[100_000])
    with pytest.raises(DownloadError, match=r"100,000 of 300,000 bytes.*100,000 bytes are kept"):
        fetch(server.url("/a"), attempts=1)
    assert left_over(target) == ["file.gz.part", "file.gz.part.json"]
    file = server.serve("/a", CONTENT)
    seen = []
    assert fetch(server.url("/a"), progress=lambda *at: seen.append(at)) == DIGEST
    assert file.requests[0]["Range"] == "bytes=100000-"
    assert seen[0] == (100_000, 300_000)
    assert left_over(target) == ["file.gz"]


def test_changed_in_between_starts_again(server, fetch, target):
    server.serve("/a", b"x" * 300_000, cuts=[100_000])
    with pytest.raises(DownloadError):
        fetch(server.url("/a"), attempts=1)
    server.serve("/a", CONTENT, etag='"two"')
    assert fetch(server.url("/a")) == DIGEST
    assert target.read_bytes() == CONTENT


def test_server_that_continues_another_version_is_not_believed(server, fetch, target):
    server.serve("/a", b"x" * 300_000, cuts=[100_000])
    with pytest.raises(DownloadError):
        fetch(server.url("/a"), attempts=1)
    file = server.serve("/a", CONTENT, etag='"two"')
    # Ignores If-Range: sends the rest of what it has now, with its own tag.
    file.modified = '"one"'
    assert fetch(server.url("/a")) == DIGEST
    assert [request.get("Range") for request in file.requests] == ["bytes=100000-", None]


def test_wrong_part_is_not_believed(server, fetch):
    file = server.serve("/a", CONTENT, cuts=[100_000], shift=7)
    assert fetch(server.url("/a")) == DIGEST
    assert [request.get("Range") for request in file.requests] == [None, "bytes=100000-", None]


def test_part_of_another_url_is_not_continued(server, fetch):
    server.serve("/b", b"x" * 300_000, cuts=[100_000])
    with pytest.raises(DownloadError):
        fetch(server.url("/b"), attempts=1)
    file = server.serve("/a", CONTENT)
    assert fetch(server.url("/a")) == DIGEST
    assert "Range" not in file.requests[0]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"url": 1}', "\x00"])
def test_part_without_a_good_note_is_not_continued(server, fetch, target, note):
    server.serve("/a", CONTENT)
    Path(f"{target}.part").write_bytes(b"x" * 1000)
    Path(f"{target}.part.json").write_text(note)
    assert fetch(server.url("/a")) == DIGEST


def test_part_that_is_complete_or_too_long_starts_again(server, fetch, target):
    for size in (300_000, 300_001):
        file = server.serve("/a", CONTENT)
        part = PartialFile(target)
        part.begin(server.url("/a"), '"one"')
        part.path.write_bytes(b"x" * size)
        assert fetch(server.url("/a")) == DIGEST
        assert [request.get("Range") for request in file.requests] == [f"bytes={size}-", None]


def test_gives_up_without_getting_further(server, fetch, target):
    file = server.serve("/a", CONTENT, cuts=[1000] * 50, ranges=False)
    with pytest.raises(DownloadError, match="gave up after 3 attempts, 1,000 bytes are kept"):
        fetch(server.url("/a"), attempts=3)
    assert len(file.requests) == 3


def test_goes_on_as_long_as_it_gets_further(server, fetch):
    file = server.serve("/a", CONTENT, cuts=[20_000] * 14)
    assert fetch(server.url("/a"), attempts=2) == DIGEST
    assert len(file.requests) == 15


def test_waits_longer_each_time(server, fetch, monkeypatch):
    waited = []
    monkeypatch.setattr("molig.datasets.downloads.time.sleep", waited.append)
    server.serve("/a", CONTENT, statuses=[503] * 9)
    with pytest.raises(DownloadError, match=r"HTTP 503 Service Unavailable; gave up after 8 attempts"):
        fetch(server.url("/a"), attempts=8, pause=1.0)
    assert waited == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_failures_are_tried_again(server, fetch, status):
    server.serve("/a", CONTENT, statuses=[status])
    assert fetch(server.url("/a")) == DIGEST


@pytest.mark.parametrize(("status", "told"), [(404, "Not Found"), (403, "Forbidden"), (410, "Gone")])
def test_lasting_failures_are_told_at_once(server, fetch, target, status, told):
    file = server.serve("/a", CONTENT, statuses=[status] * 9)
    with pytest.raises(DownloadError, match=rf"/a: HTTP {status} {told}; check the URL"):
        fetch(server.url("/a"))
    assert len(file.requests) == 1
    assert left_over(target) == []


def test_corrupted(server, fetch, target):
    wrong = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    server.serve("/a", wrong)
    with pytest.raises(ChecksumError) as error:
        fetch(server.url("/a"), sha256=DIGEST)
    assert DIGEST in str(error.value)
    assert hashlib.sha256(wrong).hexdigest() in str(error.value)
    assert left_over(target) == []


def test_truncation_that_nobody_tells_is_found_by_the_digest(server, fetch, target):
    server.serve("/a", CONTENT, cuts=[1000], says_length=False)
    with pytest.raises(ChecksumError):
        fetch(server.url("/a"), sha256=DIGEST)
    assert left_over(target) == []


def test_redirect(server, fetch):
    server.serve("/a", redirect="/b")
    server.serve("/b", CONTENT, cuts=[1000])
    assert fetch(server.url("/a")) == DIGEST
    assert server.files["/b"].requests[1]["Range"] == "bytes=1000-"


def test_redirect_in_a_circle(server, fetch):
    server.serve("/a", redirect="/b")
    server.serve("/b", redirect="/a")
    with pytest.raises(DownloadError, match=r"/a: HTTP 302 Found, but the redirects lead in a circle"):
        fetch(server.url("/a"))


def test_redirect_to_nothing(server, fetch):
    server.serve("/a", redirect="/gone")
    with pytest.raises(DownloadError, match=r"/a: HTTP 404 Not Found at http://127.*/gone"):
        fetch(server.url("/a"))


@pytest.mark.parametrize("to", ["file:///etc/hosts", "ftp://127.0.0.1/a"])
def test_redirect_to_something_else(server, fetch, target, to):
    server.serve("/a", redirect=to)
    with pytest.raises(DownloadError, match=r"is refused|away from the web"):
        fetch(server.url("/a"))
    assert left_over(target) == []


def test_redirect_out_of_encryption():
    # Asked directly: a server with a certificate would test the certificate.
    request = Request("https://example.org/a")
    redirects = _CarefulRedirects()
    with pytest.raises(DownloadError, match="https to http is refused"):
        redirects.redirect_request(request, None, 302, "Found", {}, "http://example.org/a")
    assert redirects.redirect_request(request, None, 302, "Found", {}, "https://example.org/b") is not None


@pytest.mark.parametrize(
    "url", ["file:///etc/hosts", "tox21.csv", "ftp://a/b", "http://", "https://[", "http://a/b c", ""]
)
def test_only_the_web(fetch, url):
    with pytest.raises(UsageError, match="http:// or https://"):
        fetch(url)


def test_nobody_there(fetch, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadError, match="refuses the connection"):
        fetch(f"http://127.0.0.1:{port}/a")


def test_unknown_host(fetch, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match=r"cannot find the host example\.org"):
        fetch("https://example.org/a")


def test_silent_server(fetch, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        with pytest.raises(DownloadError, match="timed out; gave up after 2 attempts"):
            fetch(url, timeout=0.05, attempts=2)


def test_full_disk(server, fetch, target, monkeypatch):
    server.serve("/a", CONTENT)
    opened = Path.open

    def full(self, mode="r", *rest, **named):
        if mode == "ab":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(self, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match=r"file\.gz\.part: No space left on device"):
        fetch(server.url("/a"))
    assert "file.gz" not in left_over(target)


def test_directory_that_cannot_be(server, tmp_path):
    server.serve("/a", CONTENT)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        download(server.url("/a"), tmp_path / "file" / "a")


def test_interrupted_leaves_what_has_arrived(server, fetch, target):
    server.serve("/a", CONTENT)

    def interrupt(received, total):
        if received > 50_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(server.url("/a"), progress=interrupt)
    assert left_over(target) == ["file.gz.part", "file.gz.part.json"]
    assert CONTENT.startswith(PartialFile(target).path.read_bytes())
    file = server.serve("/a", CONTENT)
    assert fetch(server.url("/a")) == DIGEST
    assert "Range" in file.requests[0]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    how=st.fixed_dictionaries(
        {
            "cuts": st.lists(st.integers(0, 3000), max_size=5),
            "statuses": st.lists(st.sampled_from([500, 503]), max_size=2),
            "ranges": st.booleans(),
            "etag": st.sampled_from(['"one"', 'W/"one"', None]),
        }
    )
)
def test_any_mishap_ends_in_the_file_or_an_error(tmp_path_factory, monkeypatch, how):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    content = CONTENT[:3000]
    target = tmp_path_factory.mktemp("download") / "a"
    with running_file_server() as server:
        server.serve("/a", content, **how)
        try:
            download(server.url("/a"), target, pause=0.0, attempts=3)
        except DownloadError:
            assert not target.exists()
        else:
            assert target.read_bytes() == content
