"""What stands before every request: what is logged of it, what its answer carries, and who may enter."""

import hmac
import logging
import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pnpovss.service.logs import REQUEST
from pnpovss.service.metrics import Metrics
from pnpovss.service.options import ServiceOptions
from pnpovss.service.problems import MEDIA_TYPE, Problem
from pnpovss.service.work import GivenUp

__all__ = ["Guard", "Watch", "problem_response"]

logger = logging.getLogger(__name__)

PROTECTED = ("/v1/", "/metrics")
PROBES = ("/healthz", "/readyz")  # asked by whatever watches, by whatever name
CLIENT_CLOSED = 499  # what nginx logs where the client went away; nobody is left to be told
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# The page loads its own files alone; styles are set by its scripts, never by attributes in HTML.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
}


def problem_response(problem: Problem, more: Mapping[str, str] | None = None) -> Response:
    """The answer that tells of a problem.

    Args:
        problem: it.
        more: further headers.
    """
    details, headers = problem.details(REQUEST.get() or "-"), dict(more or {})
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="pnpovss"'
    body = details.model_dump_json(exclude_none=True)
    return Response(body, int(problem.status), headers, MEDIA_TYPE)


class Watch:
    """An ASGI application around another one, outside of all others: it logs and counts every request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, begun = Headers(scope=scope), time.perf_counter()
        given = headers.get("x-request-id", "")
        token = REQUEST.set(given if _ID.fullmatch(given) else uuid4().hex)
        told = _Told(scope, send)
        try:
            await self.app(scope, receive, told.send)
        except GivenUp:
            told.status = CLIENT_CLOSED
            self.metrics.given_up.inc()
        except Exception:
            logger.exception("unexpected error")
        finally:
            self._log(scope, told.status, time.perf_counter() - begun)
            REQUEST.reset(token)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.requests.labels(route, status).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        if route in (*PROBES, "/metrics"):
            return
        extra = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        logger.info("request", extra=extra)


class Guard:
    """An ASGI application around another one: it lets in who may enter."""

    def __init__(self, app: ASGIApp, options: ServiceOptions) -> None:
        self.app = app
        self.options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        refusal = None
        if scope["type"] == "http":
            refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        await (problem_response(refusal) if refusal else self.app)(scope, receive, send)

    def _refusal(self, method: str, path: str, headers: Headers) -> Problem | None:
        """Why a request is not let in; None where it is."""
        host, origin = headers.get("host", ""), headers.get("origin")
        known = self.options.known_hosts
        if path in PROBES:
            return None
        if known and _name(host) not in known:
            return _forbidden(f"this service is not called {_name(host)[:80]!r}; allow that name with --host-name")
        same = origin is None or origin.partition("://")[2] == host
        if not same and origin not in self.options.origins:
            return _forbidden(
                f"pages of {origin or 'nowhere':.80} may not use this service; allow them with --allow-origin"
            )
        if self.options.keys and method != "OPTIONS" and path.startswith(PROTECTED) and not self._has_key(headers):
            text = "this service needs a key: send the header Authorization: Bearer KEY"
            return Problem(HTTPStatus.UNAUTHORIZED, "key", "A key is needed", text)
        return None

    def _has_key(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        shown = given.strip().encode() if kind.lower() == "bearer" else b""
        return any([hmac.compare_digest(shown, key.encode()) for key in self.options.keys])


class _Told:
    """Passes an answer on, with the headers that every answer has; remembers its status."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.status = 500
        self._send = send
        self._is_api = scope["path"].startswith(PROTECTED)

    async def send(self, message: Message) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = REQUEST.get() or "-"
            if self._is_api:
                headers["cache-control"] = "no-store"
        await self._send(message)


def _name(host: str) -> str:
    """A host without its port, in small letters."""
    return re.sub(r":\d+$", "", host).lower()


def _forbidden(text: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, "origin", "Not from there", text)
