"""The API: routes, their documents, and how a request becomes work."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.resources import files
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Scope

from pnpovss._version import __version__
from pnpovss.files.json import to_json
from pnpovss.service import documents, method, tellings
from pnpovss.service.answers import Answer, Seen, answer
from pnpovss.service.arriving import Room
from pnpovss.service.guard import Guard, Watch, problem_response
from pnpovss.service.limits import Limits
from pnpovss.service.parse import asked, parse_body
from pnpovss.service.problems import Problem, problem_of
from pnpovss.service.remembering import Asked
from pnpovss.service.schemas import (
    HeadsAnswer,
    MatchAnswer,
    MatchRequest,
    ModelAnswer,
    NameMatch,
    PhotoRequest,
    SegmentRequest,
    SettingsAnswer,
    StepsAnswer,
)
from pnpovss.service.state import Loaded, Service
from pnpovss.service.work import GivenUp, Late, Work

__all__ = ["make_app"]

R = TypeVar("R", bound=PhotoRequest)

PAGE = files("pnpovss.service").joinpath("page")
_LATER = 5  # seconds until it is worth asking again whether the model is loaded


def make_app(service: Service) -> ASGIApp:
    """The service as an ASGI application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="pnpovss",
        version=__version__,
        summary="Segment photos by words.",
        description=documents.DESCRIPTION,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    _add_api(app, service)
    _add_watch(app, service)
    _add_page(app)
    _add_problems(app, service)
    documents.complete(app, needs_key=bool(service.options.keys))
    entered: ASGIApp = Guard(app, service.options)
    if service.options.origins:
        entered = CORSMiddleware(  # around the guard: pages of those origins may read its refusals, too
            entered,
            allow_origins=list(service.options.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=["retry-after", "x-request-id", "photo-id"],
        )
    return Watch(entered, service.metrics)


def _add_api(app: FastAPI, service: Service) -> None:
    @app.post("/v1/segment", **documents.SEGMENT)
    async def segment(request: Request) -> Response:
        """Where are these names in this photo?"""
        return await _worked(service, request, SegmentRequest, _segment)

    @app.post("/v1/match", response_model=MatchAnswer, **documents.MATCH)
    async def match(request: Request) -> Response:
        """Which of these names are in this photo, by the model's own matching head?"""
        return await _worked(service, request, MatchRequest, _match)

    @app.post("/v1/steps", response_model=StepsAnswer, **documents.STEPS)
    async def steps(request: Request) -> Response:
        """What does the method do, pass by pass and step by step?"""
        return await _worked(
            service, request, MatchRequest, lambda loaded, asked, _: _json(method.steps(loaded.sight, asked))
        )

    @app.post("/v1/heads", response_model=HeadsAnswer, **documents.HEADS)
    async def heads(request: Request) -> Response:
        """What does each head of the model look at?"""
        return await _worked(
            service, request, MatchRequest, lambda loaded, asked, _: _json(method.heads(loaded.sight, asked))
        )

    @app.get("/v1/models", response_model=list[ModelAnswer], responses=documents.PROBLEMS_OF_GET)
    async def models() -> Response:
        """Which model is loaded here."""
        return _json([tellings.model(_ready(service).segmenter)])

    @app.get("/v1/settings", response_model=SettingsAnswer, responses=documents.PROBLEMS_OF_GET)
    async def settings() -> Response:
        """Every setting of the method, and what a request may ask for."""
        return _json(tellings.settings(_ready(service).segmenter, service.options.limits))


def _add_watch(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> Response:
        """The process lives."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz", response_class=PlainTextResponse, responses=documents.PROBLEMS_OF_GET)
    async def readyz() -> Response:
        """The model is loaded, and requests are taken."""
        _ready(service)
        return PlainTextResponse("ready\n")

    @app.get("/metrics", response_class=PlainTextResponse, responses=documents.PROBLEMS_OF_GET)
    async def metrics() -> Response:
        """Counts and times, for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(str(PAGE / "index.html"), headers={"cache-control": "no-cache"})

    app.mount("/page", _AskedAnew(directory=str(PAGE)), "page")


class _AskedAnew(StaticFiles):
    """Files that browsers ask for each time: after an update, old scripts would call the new API for weeks."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """As Starlette's own; what did not change is answered by 304."""
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def _add_problems(app: FastAPI, service: Service) -> None:
    """Whatever is wrong is told in one form."""
    limits = service.options.limits

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        text = (
            f"{request.method} {request.url.path[:80]}: {status.phrase.lower()}; GET /openapi.json tells what there is"
        )
        return problem_response(Problem(status, "address", status.phrase, text), error.headers)

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return problem_response(error)

    @app.exception_handler(Exception)
    async def _any(request: Request, error: Exception) -> Response:
        return problem_response(problem_of(error, limits.seconds))


def _ready(service: Service) -> Loaded:
    if service.loaded is None:
        text = "the model is being loaded; ask again soon"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "loading", "Not ready yet", text, None, _LATER)
    return service.loaded


async def _worked(
    service: Service, request: Request, kind: type[R], run: Callable[[Loaded, Asked, R], Response]
) -> Response:
    """Read, check, wait for a worker, answer; problems are answers, too."""
    limits, begun = service.options.limits, time.monotonic()
    try:
        loaded = _ready(service)
        checked, wanted = await _asked(request, kind, loaded, limits)
        seconds = limits.seconds - (time.monotonic() - begun)
        work = loaded.workers.submit(lambda: run(loaded, checked, wanted), seconds)
        response = await _outcome(request, loaded, work)
    except GivenUp:
        raise
    except (TimeoutError, asyncio.TimeoutError):
        text = f"the body did not arrive within {limits.upload_seconds:g} s, the limit of this service"
        return problem_response(Problem(HTTPStatus.REQUEST_TIMEOUT, "slow", "The body came too slowly", text))
    except Exception as error:
        problem = problem_of(error, limits.seconds)
        if problem.kind == "bug":
            raise
        return problem_response(problem)
    _time(service, request, response, work)
    return response


async def _asked(request: Request, kind: type[R], loaded: Loaded, limits: Limits) -> tuple[Asked, R]:
    """What the body asks for, checked; the body itself is kept no longer.

    Raises:
        Full: too many requests wait, or arrive.
        TimeoutError: the body did not arrive in time.
    """
    with Room(loaded.arriving) as room:
        reading = _body(request, limits.body_bytes, None if loaded.workers.is_full else room)
        body = await asyncio.wait_for(reading, limits.upload_seconds)
        if body is None:
            raise loaded.workers.refusal()
        sent = await parse_body(body, request.headers)
        return await asyncio.to_thread(asked, sent, kind, loaded.segmenter, limits)


async def _body(request: Request, most: int, room: Room | None) -> bytes | None:
    """All of the body; None where there is no room, or none any more.

    It is then read and forgotten: a client that still sends when the connection is closed may never see the answer.

    Raises:
        Problem: it is too large.
        GivenUp: the client went away.
    """
    parts, size = list[bytes](), 0
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > most:
        raise _too_large(most)
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise GivenUp
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        if room is not None and room.take(len(part)):
            parts.append(part)
        elif room is not None:
            room.leave()
            parts.clear()
            room = None
        if not message.get("more_body", False):
            return None if room is None else b"".join(parts)


def _too_large(most: int) -> Problem:
    text = f"the body has more than {most:,} bytes, the limit of this service; send a smaller photo"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "large", "The body is too large", text, "photo")


async def _outcome(request: Request, loaded: Loaded, work: Work) -> Response:
    """What a worker makes of it; given up when the client goes, or its time is over."""
    gone = asyncio.ensure_future(request.receive())  # the body is read: what comes next is the end
    try:
        left = max(0.0, work.deadline - time.monotonic())
        done, _ = await asyncio.wait({work.answer, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if work.answer in done:
            return work.answer.result()
        raise GivenUp if gone in done else Late
    finally:
        gone.cancel()
        if not work.answer.done():
            loaded.workers.give_up(work)
            work.answer.cancel()


def _time(service: Service, request: Request, response: Response, work: Work) -> None:
    """Tell where the time went: to the client, and to whoever watches."""
    now = time.monotonic()
    began = work.began or now
    route = getattr(request.scope.get("route"), "path", "other")
    service.metrics.waited.observe(began - work.came)
    service.metrics.computed.labels(route).observe(now - began)
    waited, computed = 1000 * (began - work.came), 1000 * (now - began)
    response.headers["server-timing"] = f"wait;dur={waited:.1f}, compute;dur={computed:.1f}"


# What workers do.


def _segment(loaded: Loaded, asked: Asked, wanted: SegmentRequest) -> Response:
    sight, upright = loaded.sight, loaded.sight.upright(asked)
    explained, decided = sight.look(asked)
    whole = method.Smaller(upright.image, asked.settings)
    least = method.smaller(upright.image, asked.settings) if wanted.draft else whole
    result = sight.refine(asked, explained, least.image, least.settings)
    card = loaded.segmenter.backbone.card
    seen = Seen(asked.photo, least.image, result, decided, card, shown_alike=upright.agreed or wanted.draft)
    return _response(answer(seen, wanted.outputs), asked)


def _match(loaded: Loaded, asked: Asked, _: MatchRequest) -> Response:
    scores = loaded.sight.match(asked)
    rows = [
        NameMatch(name=name.text, synonyms=list(name.synonyms), match=score)
        for name, score in zip(asked.names, scores, strict=True)
    ]
    return _json(MatchAnswer(photo_id=asked.photo, names=rows))


def _response(made: Answer, asked: Asked) -> Response:
    headers = {"photo-id": asked.photo}
    if made.name:
        headers["content-disposition"] = f'inline; filename="{made.name}"'
    return Response(made.body, media_type=made.media_type, headers=headers)


def _json(value: Any) -> Response:
    rows = value if isinstance(value, list) else [value]
    told = [row.model_dump(mode="json", by_alias=True) for row in rows]
    return Response(to_json(told if isinstance(value, list) else told[0]), media_type=JSONResponse.media_type)
