"""The OpenAPI document: what FastAPI cannot see, because bodies are read by hand, and examples."""

from typing import Any

from fastapi import FastAPI

from pnpovss.service.problems import MEDIA_TYPE, ProblemDetails
from pnpovss.service.schemas import OUTPUTS, MatchRequest, PhotoRequest, SegmentRequest

__all__ = ["DESCRIPTION", "HEADS", "MATCH", "PROBLEMS_OF_GET", "SEGMENT", "STEPS", "complete"]

DESCRIPTION = """\
Names and a photo in; where each name is, out. Photos come as a file of a form, as a data URL in JSON, or, a second
time, as the `photo_id` that the first answer gave. No address is ever followed and no file of the service is read.

Problems are told as `application/problem+json` (RFC 9457), in the words of the command line. Status 429 means that too
many requests are waiting: try again after the seconds in `Retry-After`.
"""

_PROBLEMS = {
    400: "the body cannot be read",
    401: "a key is needed",
    403: "not from that page, or not by that name",
    404: "the photo that was named is not remembered",
    408: "the body came too slowly",
    413: "the body is too large, or the work would not fit in memory",
    415: "the body is neither a form nor JSON",
    422: "the photo, the names or a setting cannot be used",
    429: "too many requests are waiting",
    500: "an unexpected error",
    503: "the model is not loaded yet, it took too long, or the service is stopping",
}

_DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAALElEQVR42mP4z8BAU8QwasGoBaMWjFowasGoBaMWjFow"
    "asGoBaMWjFowasGQBwCQwfwQR6ENGwAAAABJRU5ErkJggg=="
)


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    told: dict[str, Any] = {"description": _PROBLEMS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
    if status in (429, 503):
        told["headers"] = {
            "Retry-After": {"description": "seconds until it is worth another try", "schema": {"type": "integer"}}
        }
    return told


def _problems(*but: int) -> dict[int | str, dict[str, Any]]:
    return {status: _problem(status) for status in _PROBLEMS if status not in but}


PROBLEMS_OF_GET: dict[int | str, dict[str, Any]] = _problems(400, 404, 408, 413, 415, 422, 429)

_CONTENT = {
    "application/json": {"schema": {"type": "object"}},
    "image/png": {"schema": {"type": "string", "format": "binary"}},
    "application/zip": {"schema": {"type": "string", "format": "binary"}},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}


def _body(kind: type[PhotoRequest], example: dict[str, Any]) -> dict[str, Any]:
    """How a body of one kind is written, in both types."""
    schema = kind.model_json_schema()
    fields = {name: {**each} for name, each in schema["properties"].items() if name not in ("photo", "draft")}
    form: dict[str, Any] = {"photo": {"type": "string", "format": "binary", "description": "the photo's file"}}
    for name, each in fields.items():
        text = {"names": "words with commas between, or JSON", "settings": "JSON"}.get(
            name, "words with commas between"
        )
        as_text = each.get("type") in ("array", "object")
        told = f"{each.get('description', name)} ({text})" if as_text else each.get("description", name)
        form[name] = {"type": "string", "description": told}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": {"type": "object", "properties": form, "required": ["names"]}},
                "application/json": {"schema": schema, "examples": {"a photo": {"value": example}}},
            },
        }
    }


_EXAMPLE = {"photo": _DOT, "names": ["cat", ["sofa", "couch"]]}

SEGMENT: dict[str, Any] = {
    "openapi_extra": _body(SegmentRequest, {**_EXAMPLE, "outputs": ["polygons"], "settings": {"threshold": 0.2}}),
    "responses": {
        200: {
            "description": "one output as it is, several in a ZIP file: "
            + "; ".join(f"{name}: {text}" for name, text in OUTPUTS.items()),
            "content": _CONTENT,
        },
        **_problems(),
    },
}
MATCH: dict[str, Any] = {"openapi_extra": _body(MatchRequest, _EXAMPLE), "responses": _problems()}
STEPS: dict[str, Any] = {"openapi_extra": _body(MatchRequest, _EXAMPLE), "responses": _problems()}
HEADS: dict[str, Any] = {"openapi_extra": _body(MatchRequest, _EXAMPLE), "responses": _problems()}


def complete(app: FastAPI, *, needs_key: bool) -> None:
    """Add to the document what routes alone do not tell: the form of problems, and the key.

    Args:
        app: with all its routes.
        needs_key: whether a client has to show one.
    """
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            parts = document.setdefault("components", {})
            parts.setdefault("schemas", {})["ProblemDetails"] = ProblemDetails.model_json_schema()
            if needs_key:
                parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
                document["security"] = [{"key": []}]
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it
