"""The gate: what a request must fulfil before anything looks at it, and what every answer carries.

The server trusts nobody who cannot show that a user of this page sent the request. ``Host`` must be a name of
this server, or another site's name could be made to point here (DNS rebinding). What changes anything must
come from this origin and carry a header that no form of another site can send. Where there is a token, every
request must know it. Bodies are counted as they stream in.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import socket
import time
from collections.abc import Callable
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from molig.serve.processes import place_of
from molig.serve.settings import ServeSettings

OWN_HEADER = "x-molig"
"""A header that only scripts of this origin, and programs, can send."""

LARGEST_QUESTION = 1 << 20
"""Bytes of a request that is no upload."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""Content-Security-Policy of everything that has none of its own."""

_ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "SAMEORIGIN",
    "cache-control": "no-store",
    "content-security-policy": POLICY,
}
_GO_ON = b'<!DOCTYPE html><title>molig</title><meta http-equiv="refresh" content="0; url=/">'
_WRONG = 400
_PAGE = '<!DOCTYPE html><html lang="en"><title>molig</title><h1>molig</h1><p>{}</p></html>'
_ROOM_FOR_FORM = 1 << 20
_SILENCE = 30.0
"""Seconds in which something more of a body must come, or it makes room for others."""
_PATIENCE = 10.0
"""Seconds in which a sender of too much may finish, so that it hears why."""

_NOT_KNOWN = (
    "a token is needed: open the address that molig serve has printed, or send the header "
    "Authorization: Bearer TOKEN"
)
_UPLOADS = "/api/jobs"
_NUMBER = re.compile(r"\d{1,19}")


class _BodyError(Exception):
    """A body is longer than it may be, or does not come."""


class Gate:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    app : ASGI application
        What is behind it.
    settings : ServeSettings
        Host, token, limits.
    say : callable
        Told of requests that change something or go wrong: method, route and status, and nothing else of it.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, say: Callable[[str], object]) -> None:
        self._app, self._settings, self._say = app, settings, say
        self._names = _names_of(settings.host)
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._request(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(send)
        refused = self._refusal(scope)
        if refused is not None:
            await answer.refuse(*refused, is_page=_wants_page(scope))
        elif self._has_token_in_address(scope):
            await answer.go_on(self._cookie(scope))
        else:
            await self._let_through(scope, receive, answer)
        if scope["method"] != "GET" or answer.status >= _WRONG:  # pages ask how jobs are all the time
            route = getattr(scope.get("route"), "path", "(no route)")
            self._say(f"{_word(scope['method'])} {route} {answer.status or '(gone)'}")

    async def _let_through(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        limit, why = LARGEST_QUESTION, f"a question may have {_size(LARGEST_QUESTION)}"
        if scope["path"] == _UPLOADS:
            limit = self._settings.max_upload + _ROOM_FOR_FORM
            why = f"a file may have {_size(self._settings.max_upload)} on this server (--max-upload)"
        body = _Body(receive, limit, why, answer)
        declared = _header(scope, "content-length")
        if declared is not None and (not _NUMBER.fullmatch(declared) or int(declared) > limit):
            answer.refusal = 413, f"too large: {why}"
        else:
            try:
                await self._app(scope, body.receive, answer.send)
            except (_BodyError, ClientDisconnect):
                pass
            except Exception as err:  # nothing of it may reach the log of uvicorn, which prints molecules
                await self._stumbled(err, answer)
        if answer.refusal is not None and not answer.has_begun:
            if _header(scope, "expect") is None:
                await body.drain()
            await answer.refuse(*answer.refusal)

    async def _stumbled(self, err: Exception, answer: _Answer) -> None:
        where = place_of(err)
        self._say(f"a fault of molig: {where}")
        if not answer.has_begun:
            await answer.refuse(500, f"this is a fault of molig, not of the request: {where}")

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        if not self._is_ours(host):
            return 400, "this server does not go by that name: open the address that molig serve has printed"
        if scope["method"] not in ("GET", "HEAD"):
            origin = _header(scope, "origin")
            if origin is not None and _place(origin) != host.casefold():
                return 403, "another site may not ask for this"
            if _header(scope, OWN_HEADER) != "1":
                return 403, "the header X-Molig: 1 is missing, which shows that no other site's form asks"
        if not self._knows_token(scope):
            return 401, _NOT_KNOWN
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").casefold()
        except ValueError:
            return False
        # A name can be made to point here by whoever owns it; a number cannot.
        return name in self._names or (_is_wildcard(self._settings.host) and _is_number(name))

    def _knows_token(self, scope: Scope) -> bool:
        token = self._settings.token
        if token is None:
            return True
        scheme, _, given = (_header(scope, "authorization") or "").partition(" ")
        if scheme.casefold() == "bearer" and _same(given.strip(), token):
            return True
        if _same(_cookies(scope).get(self._cookie_name(scope), ""), self._session):
            return True
        return self._has_token_in_address(scope)

    def _has_token_in_address(self, scope: Scope) -> bool:
        """Whether it asks for the page by an address with the right token."""
        if scope["path"] != "/" or scope["method"] != "GET" or self._settings.token is None:
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return _same(given, self._settings.token)

    def _cookie_name(self, scope: Scope) -> str:
        # Cookies do not know ports: two servers on one machine must not take each other's.
        return f"molig-{(scope.get('server') or ('', 0))[1]}"

    def _cookie(self, scope: Scope) -> str:
        return f"{self._cookie_name(scope)}={self._session}; Path=/; HttpOnly; SameSite=Strict"


class _Answer:
    """What is sent back, with the headers that everything has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.has_begun = False
        self.refusal: tuple[int, str] | None = None

    async def send(self, message: Message) -> None:
        if self.refusal is not None and not self.has_begun:
            return  # what the application makes of a body that was cut off
        if message["type"] == "http.response.start":
            self.has_begun, self.status = True, message["status"]
            known = {name.lower() for name, _ in message["headers"]}
            missing = [(n.encode(), v.encode()) for n, v in _ALWAYS.items() if n.encode() not in known]
            message = {**message, "headers": [*message["headers"], *missing]}
        await self._send(message)

    async def refuse(self, status: int, error: str, *, is_page: bool = False) -> None:
        self.refusal = None
        body = _PAGE.format(escape(error)) if is_page else json.dumps({"error": error})
        kind = "text/html; charset=utf-8" if is_page else "application/json"
        await self._whole(status, body.encode(), {"content-type": kind, "connection": "close"})

    async def go_on(self, cookie: str) -> None:
        """Give the cookie and go on to the page without the token in its address.

        By the document itself: after a redirect browsers keep a strict cookie to themselves if the link was
        another site's, such as that of a chat.
        """
        await self._whole(200, _GO_ON, {"content-type": "text/html; charset=utf-8", "set-cookie": cookie})

    async def _whole(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        sent = [(n.encode(), v.encode()) for n, v in {**headers, "content-length": str(len(body))}.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": sent})
        await self.send({"type": "http.response.body", "body": body})


class _Body:
    """The body of a request, counted as it comes."""

    def __init__(self, receive: Receive, limit: int, why: str, answer: _Answer) -> None:
        self._receive, self._limit, self._why, self._answer = receive, limit, why, answer
        self._n_bytes = 0
        self._is_whole = False

    async def receive(self) -> Message:
        try:
            async with asyncio.timeout(None if self._is_whole else _SILENCE):
                message = await self._receive()
        except TimeoutError as err:
            self._is_whole = True  # nobody waits for the rest
            self._answer.refusal = 408, f"nothing came for {_SILENCE:g} s, so the request is given up"
            raise _BodyError from err
        if message["type"] == "http.request":
            self._n_bytes += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._n_bytes > self._limit:
                self._answer.refusal = 413, f"too large: {self._why}"
                raise _BodyError
        return message

    async def drain(self) -> None:
        """Read on and keep nothing, for a while: who still sends does not hear an answer."""
        until = time.monotonic() + _PATIENCE
        with contextlib.suppress(TimeoutError):
            while not self._is_whole:
                async with asyncio.timeout(until - time.monotonic()):
                    message = await self._receive()
                self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)


def _place(origin: str) -> str:
    """Host and port of an origin; "" for what is none."""
    try:
        return urlsplit(origin).netloc.casefold()
    except ValueError:
        return ""


def _wants_page(scope: Scope) -> bool:
    return scope["method"] == "GET" and "text/html" in (_header(scope, "accept") or "")


def _header(scope: Scope, name: str) -> str | None:
    found = [value for key, value in scope["headers"] if key == name.encode()]
    return found[0].decode("latin-1") if found else None


def _cookies(scope: Scope) -> dict[str, str]:
    try:
        return {name: one.value for name, one in SimpleCookie(_header(scope, "cookie") or "").items()}
    except CookieError:
        return {}


def _same(given: str, wanted: str) -> bool:
    """Whether they are equal, in a time that does not tell how far they agree."""
    digests = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (given, wanted)]
    return hmac.compare_digest(*digests)


def _names_of(host: str) -> set[str]:
    names = {"localhost", "127.0.0.1", "::1", host.casefold()}
    if _is_wildcard(host):
        names |= {socket.gethostname().casefold(), socket.getfqdn().casefold()}
    return names


def _is_wildcard(host: str) -> bool:
    return host in ("", "0.0.0.0", "::")  # noqa: S104 - only compared with


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _word(method: Any) -> str:
    return method if method in ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS") else "(other)"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes >= 1e6 else f"{n_bytes:,} bytes"
