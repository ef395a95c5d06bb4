"""Who gets through the gate, and what every answer carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from molig.serve import ServeSettings
from molig.serve.gate import LARGEST_QUESTION, POLICY, Gate

HERE = "http://127.0.0.1:8642"
OWN = {"X-Molig": "1"}
UPLOAD = {
    "type": "http",
    "method": "POST",
    "path": "/api/jobs",
    "query_string": b"",
    "headers": [(b"host", b"localhost"), (b"x-molig", b"1")],
}


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the number of bytes that came."""
    n_bytes, more = 0, True
    while more:
        message = await receive()
        n_bytes += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(n_bytes).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def stumble(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("CCO is a secret")


def done(work: Coroutine[Any, Any, Any]) -> Any:
    """What comes of it; in a thread, since Playwright leaves a loop running in that of the tests."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


def ask(
    method: str = "GET",
    path: str = "/",
    *,
    settings: ServeSettings | None = None,
    app: Any = echo,
    said: list[str] | None = None,
    **request: Any,
) -> httpx.Response:
    gate = Gate(app, settings or ServeSettings(max_upload=1000), (said if said is not None else []).append)

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(gate)
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
            return await client.request(method, path, **request)

    return done(answer())


def test_the_page_is_open_on_loopback():
    answer = ask()
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert "unsafe" not in POLICY
    assert "http" not in POLICY


@pytest.mark.parametrize("host", ["127.0.0.1:8642", "localhost", "LOCALHOST:1", "[::1]:8642"])
def test_names_of_this_machine(host):
    assert ask(headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8642", "", "[", "127.0.0.2"]
)
def test_a_name_that_was_made_to_point_here_is_refused(host):
    answer = ask(headers={"host": host})
    assert answer.status_code == 400
    assert "does not go by that name" in answer.json()["error"]


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_no_other_name_gets_through(name):
    known = name.casefold() in ("localhost", "127.0.0.1", "::1", "[::1]")
    assert known or ask(headers={"host": f"{name}.example"}).status_code == 400


def test_a_server_for_all_addresses_takes_numbers_and_no_foreign_names():
    settings = ServeSettings(host="0.0.0.0", token="secret")
    bearer = {"authorization": "Bearer secret"}
    assert ask(settings=settings, headers=bearer | {"host": "10.1.2.3:8642"}).status_code == 200
    assert ask(settings=settings, headers=bearer | {"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_a_form_of_another_site_cannot_ask(method):
    assert ask(method).status_code == 403
    assert ask(method, headers=OWN | {"origin": "https://evil.example"}).status_code == 403
    assert ask(method, headers=OWN | {"origin": "null"}).status_code == 403
    assert ask(method, headers=OWN | {"origin": "http://["}).status_code == 403
    assert ask(method, headers=OWN | {"origin": HERE}).status_code == 200
    assert ask(method, headers=OWN).status_code == 200


class TestToken:
    SETTINGS = ServeSettings(token="s3cret &?")

    def test_without_it_nothing_is_told(self):
        for path in (
            "/",
            "/static/serve.js",
            "/api/models",
            "/?token=wrong",
            "/api/models?token=s3cret%20%26%3F",
        ):
            answer = ask(path=path, settings=self.SETTINGS)
            assert answer.status_code == 401
            assert "s3cret" not in answer.text

    def test_a_browser_without_it_is_told_on_a_page(self):
        answer = ask(settings=self.SETTINGS, headers={"accept": "text/html,*/*;q=0.8"})
        assert answer.status_code == 401
        assert answer.headers["content-type"].startswith("text/html")
        assert "open the address that molig serve has printed" in answer.text
        assert answer.headers["content-security-policy"] == POLICY

    @pytest.mark.parametrize("given", ["Bearer wrong", "Bearer", "s3cret &?", "Basic s3cret &?", ""])
    def test_a_wrong_one(self, given):
        assert ask(settings=self.SETTINGS, headers={"authorization": given}).status_code == 401

    def test_for_programs(self):
        assert ask(settings=self.SETTINGS, headers={"authorization": "Bearer s3cret &?"}).status_code == 200

    def test_the_address_that_is_printed_opens_the_page_and_keeps_the_token_to_itself(self):
        said: list[str] = []
        gate = Gate(echo, self.SETTINGS, said.append)

        async def visit() -> tuple[httpx.Response, httpx.Response]:
            transport = httpx.ASGITransport(gate)
            async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
                first = await client.get("/", params={"token": "s3cret &?"})
                return first, await client.get("/")

        first, second = done(visit())
        assert first.status_code == 200
        assert 'http-equiv="refresh" content="0; url=/"' in first.text
        assert "s3cret" not in first.text
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "s3cret" not in cookie
        assert second.status_code == 200
        assert "s3cret" not in "".join(said)


class TestBodies:
    def test_a_question_of_the_largest_size(self):
        assert ask("POST", "/api/score", headers=OWN, content=b"x" * LARGEST_QUESTION).text == str(
            LARGEST_QUESTION
        )

    @pytest.mark.parametrize("path", ["/api/score", "/api/jobs"])
    def test_what_says_that_it_is_too_large(self, path):
        limit = LARGEST_QUESTION + (1000 if path == "/api/jobs" else 0)
        answer = ask("POST", path, headers=OWN, content=b"x" * (limit + 1))
        assert answer.status_code == 413
        assert answer.json()["error"].startswith("too large: ")

    def test_what_does_not_say_it_is_counted_as_it_comes(self):
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(100):
                sent += 1
                yield b"x" * (LARGEST_QUESTION // 10)

        assert ask("POST", "/api/score", headers=OWN, content=endless()).status_code == 413
        assert sent == 100  # the rest is read, and kept nowhere, so that the sender hears the answer

    def test_one_that_does_not_come_is_given_up(self, monkeypatch):
        monkeypatch.setattr("molig.serve.gate._SILENCE", 0.01)

        async def silent() -> AsyncIterator[bytes]:
            yield b"x"
            await asyncio.sleep(600)

        sent: list[Any] = []
        messages = silent()

        async def receive() -> Any:
            return {"type": "http.request", "body": await anext(messages), "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        done(Gate(echo, ServeSettings(), lambda _: None)(UPLOAD, receive, send))
        assert sent[0]["status"] == 408
        assert b"nothing came for 0.01 s" in sent[1]["body"]

    @pytest.mark.parametrize("length", ["x", "-1", "9" * 30])
    def test_lengths_that_are_none(self, length):
        headers = OWN | {"content-length": length}
        assert ask("POST", "/api/score", headers=headers, content=b"x").status_code == 413


def test_nothing_of_a_request_is_told_but_method_route_and_status():
    said: list[str] = []
    ask("POST", "/api/score?smiles=CCO", headers=OWN, content=b"CCO", said=said)
    ask("BREW", "/CCO", headers=OWN, said=said)
    ask("GET", "/CCO", said=said)  # what a page asks for all the time is not told
    assert said == ["POST (no route) 200", "(other) (no route) 200"]


def test_who_goes_away_is_no_fault():
    async def interrupted(scope: Any, receive: Any, send: Any) -> None:
        raise ClientDisconnect

    async def nowhere(message: Any) -> None:
        raise AssertionError(message)

    said: list[str] = []
    done(Gate(interrupted, ServeSettings(), said.append)(UPLOAD, None, nowhere))  # type: ignore[arg-type]
    assert said == ["POST (no route) (gone)"]


def test_a_fault_is_told_without_its_words():
    said: list[str] = []
    answer = ask(app=stumble, said=said)
    assert answer.status_code == 500
    assert "ValueError in test_gate.py" in answer.json()["error"]
    assert "CCO" not in answer.text + "".join(said)
    assert answer.headers["content-security-policy"] == POLICY


def test_no_web_sockets():
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    gate = Gate(echo, ServeSettings(), lambda _: None)
    done(gate({"type": "websocket", "path": "/"}, None, send))  # type: ignore[arg-type]
    assert sent == ["websocket.close"]
