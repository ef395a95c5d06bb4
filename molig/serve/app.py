"""The routes: the page, and the same by REST."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from molig.errors import MoligError, OutputError, UsageError
from molig.molecules.readers import SUFFIXES
from molig.molecules.sources import PACKED
from molig.serve.desk import BusyError, ClosedError, CrashedError, TooLongError
from molig.serve.documentation import routes_page
from molig.serve.gate import Gate
from molig.serve.jobs import MOST_EXPLAINED, RESULTS, Order, input_name
from molig.serve.messages import (
    JOB_FORM,
    MOST_MODELS,
    MOST_TASKS,
    AboutAnswer,
    CompareAnswer,
    CompareQuestion,
    DrawAnswer,
    DrawQuestion,
    EditsAnswer,
    EditsQuestion,
    ErrorAnswer,
    ExplainAnswer,
    ExplainQuestion,
    JobAnswer,
    JobRemoved,
    JobTaken,
    ModelAnswer,
    ScoreAnswer,
    ScoreQuestion,
)
from molig.serve.service import Service
from molig.version import __version__

_LOOK_EVERY = 0.25

MAX_TEXT = 10_000_000
"""Bytes of pasted text; it is held in memory."""

_STATIC = Path(__file__).parent / "static"
# By its path: to import that room takes seconds and the memory of torch, which this process does without.
_STYLE_OF_REPORTS = Path(__file__).parents[1] / "report" / "templates" / "hit_page.css"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
_STATUS: tuple[tuple[type[MoligError], int], ...] = (
    (BusyError, 429),
    (CrashedError, 502),
    (ClosedError, 503),
    (TooLongError, 504),
    (OutputError, 507),
    (MoligError, 400),
)
_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "the request cannot be met"},
    401: {"model": ErrorAnswer, "description": "the token is missing or wrong"},
    403: {"model": ErrorAnswer, "description": "not from this page: another Origin, or no X-Molig: 1"},
    413: {"model": ErrorAnswer, "description": "too large"},
    422: {"model": ErrorAnswer, "description": "a field is missing, unknown or of the wrong kind"},
    429: {"model": ErrorAnswer, "description": "too many wait already"},
    502: {"model": ErrorAnswer, "description": "the process that worked on it has ended"},
    504: {"model": ErrorAnswer, "description": "it took longer than the limit"},
}
# A report has scripts and a policy of its own; without an origin it can ask this server for nothing.
_OF_REPORTS = {
    "content-security-policy": "sandbox allow-scripts allow-downloads allow-modals; frame-ancestors 'self'",
    "cross-origin-opener-policy": "unsafe-none",  # browsers refuse any other of a page in a sandbox
}


class Json(JSONResponse):
    """JSON that any text can stand in, halves of surrogate pairs too."""

    def render(self, content: Any) -> bytes:
        """As bytes."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def create_app(service: Service) -> FastAPI:
    """Make the application of a server.

    Parameters
    ----------
    service : Service
        Its desk and jobs, open while requests come.

    Returns
    -------
    FastAPI
        An ASGI application; it needs nothing of the network.
    """
    app = FastAPI(
        title="molig",
        version=__version__,
        summary="Score molecules and say why, atom by atom.",
        description='Every request but GET needs the header X-Molig: 1. Errors are {"error": sentence}.',
        openapi_url=None,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        default_response_class=Json,
    )
    app.add_middleware(Gate, settings=service.settings, say=service.say)
    _answer_errors(app)
    _add_questions(app, service)
    _add_jobs(app, service)
    _add_models(app, service)
    _add_page(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(MoligError)
    async def of_molig(_: Request, error: MoligError) -> Response:
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        return Json({"error": str(error)}, status)

    @app.exception_handler(HTTPException)
    async def of_http(_: Request, error: HTTPException) -> Response:
        return Json({"error": str(error.detail)}, error.status_code, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def of_validation(_: Request, error: RequestValidationError) -> Response:
        return Json({"error": "; ".join(map(_in_words, error.errors()))}, 422)


_NO_OBJECT = ("json_invalid", "model_attributes_type")


def _in_words(problem: dict[str, Any]) -> str:
    """What is wrong with a field, without what was sent."""
    if problem["type"] in _NO_OBJECT:
        return "the request must be a JSON object, with Content-Type: application/json"
    where = ".".join(str(part) for part in problem["loc"] if part != "body")
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _not_found(what: str) -> HTTPException:
    return HTTPException(404, f"there is no {what}")


# The page and its files.


def _add_page(app: FastAPI) -> None:
    files = {
        path.relative_to(_STATIC).as_posix(): path
        for path in sorted(_STATIC.rglob("*"))
        if path.suffix in _MEDIA_TYPES
    } | {_STYLE_OF_REPORTS.name: _STYLE_OF_REPORTS}

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return _static(files, "index.html")

    @app.get("/static/{name:path}", include_in_schema=False)
    def static(name: str) -> Response:
        return _static(files, name)

    @app.get("/api/openapi.json", tags=["server"], summary="These routes, for programs")
    def openapi() -> Response:
        return Json(app.openapi())

    @app.get("/api/docs", response_class=HTMLResponse, tags=["server"], summary="These routes, to read")
    def docs() -> Response:
        return HTMLResponse(routes_page(app.openapi()))


def _static(files: dict[str, Path], name: str) -> Response:
    if name not in files:
        raise _not_found("such file")
    path = files[name]
    return FileResponse(path, media_type=_MEDIA_TYPES[path.suffix], headers={"cache-control": "no-cache"})


# Models.


def _add_models(app: FastAPI, service: Service) -> None:
    settings, desk = service.settings, service.desk

    @app.get("/api/about", response_model=AboutAnswer, tags=["server"], summary="Version and limits")
    def about() -> Response:
        return Json(
            {
                "version": __version__,
                "max_upload": settings.max_upload,
                "max_rows": settings.max_rows,
                "max_text": min(MAX_TEXT, settings.max_upload),
                "max_explained": MOST_EXPLAINED,
                "time_limit": settings.time_limit,
                "job_limit": settings.job_limit,
                "formats": [*SUFFIXES, *PACKED],
            }
        )

    @app.get("/api/models", response_model=list[ModelAnswer], tags=["models"], summary="The models")
    def models() -> Response:
        return Json(
            [
                one
                | {
                    "card": f"/api/models/{quote(one['name'], safe='')}/card"
                    if desk.cards[one["name"]]
                    else None
                }
                for one in desk.models
            ]
        )

    @app.get(
        "/api/models/{name:path}/card",
        response_class=PlainTextResponse,
        responses={404: {"model": ErrorAnswer}},
        tags=["models"],
        summary="The card of a model, Markdown",
    )
    def card(name: str) -> Response:
        if not (text := desk.cards.get(name)):
            raise _not_found("card of such a model")
        return PlainTextResponse(text, media_type="text/markdown")


# Questions about single molecules; they wait for the desk in threads.


def _add_questions(app: FastAPI, service: Service) -> None:
    async def ask(request: Request, question: str, details: BaseModel) -> Response:
        async with _still_there(request) as wanted:
            found = partial(service.desk.ask, question, wanted=wanted, **details.model_dump())
            return Json(await run_in_threadpool(found))

    shared: dict[str, Any] = {"responses": _ERRORS, "tags": ["molecules"]}

    @app.post("/api/score", response_model=ScoreAnswer, summary="Scores of a molecule", **shared)
    async def score(request: Request, question: ScoreQuestion) -> Response:
        return await ask(request, "score", question)

    @app.post("/api/explain", response_model=ExplainAnswer, summary="Why it gets its score", **shared)
    async def explain(request: Request, question: ExplainQuestion) -> Response:
        return await ask(request, "explain", question)

    @app.post("/api/compare", response_model=CompareAnswer, summary="Two molecules compared", **shared)
    async def compare(request: Request, question: CompareQuestion) -> Response:
        return await ask(request, "compare", question)

    @app.post("/api/edits", response_model=EditsAnswer, summary="What would change the verdict", **shared)
    async def edits(request: Request, question: EditsQuestion) -> Response:
        return await ask(request, "edits", question)

    @app.post("/api/draw", response_model=DrawAnswer, summary="A structure, drawn", **shared)
    async def draw(request: Request, question: DrawQuestion) -> Response:
        if (question.smiles is None) == (question.molfile is None):
            raise UsageError("give either smiles or molfile")
        return await ask(request, "draw", question)


@contextlib.asynccontextmanager
async def _still_there(request: Request) -> AsyncIterator[Callable[[], bool]]:
    """Whether who asked still waits for the answer."""
    gone = threading.Event()

    async def watch() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(_LOOK_EVERY)
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        yield lambda: not gone.is_set()
    finally:
        watching.cancel()


# Jobs over files.


def _add_jobs(app: FastAPI, service: Service) -> None:
    jobs = service.jobs
    missing: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer}}

    @app.get("/api/jobs", response_model=list[JobAnswer], tags=["jobs"], summary="All jobs, newest first")
    def listed() -> Response:
        return Json(jobs.all())

    @app.post(
        "/api/jobs",
        status_code=202,
        response_model=JobTaken,
        responses=_ERRORS,
        tags=["jobs"],
        summary="Screen, explain or audit a file",
        openapi_extra={
            "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": JOB_FORM}}}
        },
    )
    async def add(request: Request) -> Response:
        jobs.check_room()
        most = MOST_MODELS + MOST_TASKS + len(JOB_FORM["properties"])
        try:
            form = await request.form(max_files=1, max_fields=most, max_part_size=MAX_TEXT)
        except HTTPException as error:
            raise _of_form(error) from error
        except OSError as error:  # a large file waits on the disk
            raise OutputError(f"the server cannot keep the file: {error.strerror or error}") from error
        try:
            order, content = _order_of(form)
            job = await run_in_threadpool(jobs.add, order, content)
        finally:
            await form.close()
        return Json({"id": job.id}, 202)

    @app.get(
        "/api/jobs/{number}", response_model=JobAnswer, responses=missing, tags=["jobs"], summary="A job"
    )
    def one(number: str) -> Response:
        if (told := jobs.told(number)) is None:
            raise _not_found("such job")
        return Json(told)

    @app.delete(
        "/api/jobs/{number}",
        response_model=JobRemoved,
        responses=missing,
        tags=["jobs"],
        summary="Cancel a job, or remove one that is over",
    )
    def remove(number: str) -> Response:
        if (state := jobs.remove(number)) is None:
            raise _not_found("such job")
        return Json({"id": number, "state": state})

    @app.get(
        "/api/jobs/{number}/results/{name}",
        response_class=FileResponse,
        responses=missing,
        tags=["jobs"],
        summary="A file that a job has left",
    )
    def result(number: str, name: str) -> Response:
        path = jobs.result(number, name)
        if path is None or not path.is_file():
            raise _not_found("such result")
        is_page = path.suffix == ".html"
        return FileResponse(
            path,
            media_type=RESULTS[name].media_type,
            filename=name,
            content_disposition_type="inline" if is_page else "attachment",
            headers=_OF_REPORTS if is_page else {},
        )


def _of_form(error: HTTPException) -> HTTPException:
    """What is wrong with a form, in words that say what to do."""
    if "maximum size" in str(error.detail):
        return HTTPException(413, f"a field may have {MAX_TEXT // 10**6} MB: send more as a file")
    return HTTPException(400, f"the form cannot be read: {error.detail}")


def _order_of(form: FormData) -> tuple[Order, IO[bytes] | None]:
    """What a form asks for, and the bytes of its file."""
    if unknown := [name for name in form if name not in JOB_FORM["properties"]]:
        raise UsageError(f"unknown field {unknown[0][:50]!r}; valid: {', '.join(JOB_FORM['properties'])}")
    upload, text = form.get("file"), _text(form, "text")
    kind, file_format = _text(form, "kind") or "", _text(form, "format")
    content: IO[bytes] | None = None
    name = file = ""
    if isinstance(upload, UploadFile):
        name, content = upload.filename or "", upload.file
        file = input_name(name, file_format)
    if text is not None:
        if content is not None:
            raise UsageError("give either a file or text")
        name, content = "pasted text", io.BytesIO(text.encode("utf-8", "replace"))
        file = input_name("", file_format or ("sdf" if "M  END" in text else "smi"))
    if content is None and kind != "audit":
        raise UsageError("give the molecules: a file, or text with one SMILES a line")
    top = _text(form, "top") or "50"
    if not top.isascii() or not top.isdecimal() or len(top) > len(str(MOST_EXPLAINED)):
        raise UsageError(f"top must be a number from 1 to {MOST_EXPLAINED}")
    choices: dict[str, Any] = {one: _text(form, one) for one in ("smiles_column", "id_column", "delimiter")}
    choices |= {"checks": _texts(form, "checks"), "workbook": _flag(_text(form, "workbook"))}
    models, tasks = _texts(form, "models"), _texts(form, "tasks")
    return Order(kind, models, tasks, int(top), name, file, **choices), content


def _flag(text: str | None) -> bool:
    known = {None: False, "false": False, "0": False, "true": True, "1": True}
    if text not in known:
        raise UsageError("workbook must be true or false")
    return known[text]


def _text(form: FormData, name: str) -> str | None:
    values = form.getlist(name)
    if len(values) > 1 or any(isinstance(value, UploadFile) for value in values):
        raise UsageError(f"give {name} once, as text")
    return str(values[0]) if values and values[0] != "" else None


def _texts(form: FormData, name: str) -> tuple[str, ...]:
    values = form.getlist(name)
    if any(isinstance(value, UploadFile) for value in values):
        raise UsageError(f"give {name} as text")
    return tuple(str(value) for value in values if value != "")
