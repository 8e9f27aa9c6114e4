"""What went wrong, as problem details (RFC 9457): the same words as on the command line, and what they are about."""

from dataclasses import dataclass
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field

from pnpovss.batch.events import one_line
from pnpovss.errors import (
    ConfigError,
    ImageError,
    InvalidInputError,
    MissingExtraError,
    NamesError,
    PnpOvssError,
    PresenceError,
    ResourceError,
)
from pnpovss.service.remembering import Forgotten
from pnpovss.service.work import Full, Late, Stopped

__all__ = ["MEDIA_TYPE", "Problem", "ProblemDetails", "problem_of"]

MEDIA_TYPE = "application/problem+json"


class ProblemDetails(BaseModel):
    """Why a request was not carried out (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="names the kind of problem; the same for all of its kind")
    title: str = Field(description="the kind of problem in words")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what came, what was expected, what to do")
    instance: str = Field(description="names this one request, as the logs do")
    field: str | None = Field(default=None, description="the part of the request that is the cause, where one is")


@dataclass(eq=False)
class Problem(Exception):
    """A request that is not carried out.

    Attributes:
        status: of HTTP.
        kind: one word for the kind.
        title: the kind in words.
        detail: what came, what was expected, what to do.
        field: the part of the request that is the cause.
        retry_after: seconds until it is worth another try.
    """

    status: HTTPStatus
    kind: str
    title: str
    detail: str
    field: str | None = None
    retry_after: int | None = None

    def details(self, request: str) -> ProblemDetails:
        """As the answer says it.

        Args:
            request: the id of the request.
        """
        return ProblemDetails(
            type=f"urn:pnpovss:problem:{self.kind}",
            title=self.title,
            status=int(self.status),
            detail=self.detail,
            instance=f"urn:pnpovss:request:{request}",
            field=self.field,
        )


_UNUSABLE = HTTPStatus.UNPROCESSABLE_ENTITY

# By the kind of the error: status, kind, title, and the part of the request that caused it.
_KINDS: tuple[tuple[type[BaseException], HTTPStatus, str, str, str | None], ...] = (
    (Forgotten, HTTPStatus.NOT_FOUND, "forgotten", "The photo is not remembered", "photo"),
    (ImageError, _UNUSABLE, "photo", "The photo cannot be used", "photo"),
    (NamesError, _UNUSABLE, "names", "The names cannot be used", "names"),
    (ConfigError, _UNUSABLE, "settings", "The settings cannot be used", "settings"),
    (PresenceError, _UNUSABLE, "presence", "The presence filter cannot be used", "presence"),
    (MissingExtraError, _UNUSABLE, "extra", "This service was installed without what the request needs", "settings"),
    (InvalidInputError, _UNUSABLE, "request", "The request cannot be carried out", None),
    (ResourceError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "memory", "It would not fit in memory", "photo"),
    (Late, HTTPStatus.SERVICE_UNAVAILABLE, "late", "It took too long", None),
    (Stopped, HTTPStatus.SERVICE_UNAVAILABLE, "stopped", "The service is stopping", None),
)


def problem_of(error: BaseException, seconds: float) -> Problem:
    """What a client is told of an error.

    Args:
        error: whatever ended the request.
        seconds: that a request may take, for the message of one that took longer.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, Full):
        return Problem(HTTPStatus.TOO_MANY_REQUESTS, "full", "Too many requests", str(error), None, error.retry_after)
    for kind, status, word, title, field in _KINDS:
        if isinstance(error, kind):
            if isinstance(error, MissingExtraError) and error.extra == "heif":
                field = "photo"  # all other extras are for settings
            return Problem(status, word, title, _text(error, seconds), field, 5 if status == 503 else None)
    if isinstance(error, PnpOvssError):
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "model", "The model cannot be used", one_line(error))
    said = "an unexpected error, which is a bug; the log of the service says where"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "bug", "An unexpected error", said)


def _text(error: BaseException, seconds: float) -> str:
    if isinstance(error, Late):
        return f"it was not done within {seconds:g} s, the limit of this service; try again, or ask for less"
    if isinstance(error, Stopped):
        return "the service is stopping; try again soon"
    return one_line(error)
