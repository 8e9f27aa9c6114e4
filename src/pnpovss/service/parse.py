"""From an HTTP body to what is asked for: a form with a file, or JSON with a data URL."""

import base64
import binascii
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pnpovss.batch.recipe import EVERYTHING
from pnpovss.config import Config
from pnpovss.errors import InvalidInputError, NamesError, PresenceError
from pnpovss.files.json import from_json
from pnpovss.names import parse_names
from pnpovss.presence.registry import parse_presence, refuse_idle
from pnpovss.presets import read_preset
from pnpovss.segmenter import Segmenter
from pnpovss.service.limits import Limits
from pnpovss.service.problems import Problem
from pnpovss.service.remembering import Asked, photo_id
from pnpovss.service.schemas import PhotoRequest, SegmentRequest

__all__ = ["Sent", "asked", "parse_body"]

R = TypeVar("R", bound=PhotoRequest)

# Lists in a form are text: JSON where it starts like it, else words with commas between, as on the command line.
_LISTS = ("names", "without", "outputs")
_FIELDS = 12
_FIELD_BYTES = 100_000
_VALUES = 10_000  # thousands of heads; a refusal of each of millions of values would take minutes, and gigabytes


class Sent:
    """A body: its fields, and the photo's content where it came as a file."""

    def __init__(self, fields: dict[str, Any], content: bytes | None = None) -> None:
        self.fields = fields
        self.content = content


async def parse_body(body: bytes, headers: Headers) -> Sent:
    """Take a body apart.

    Raises:
        Problem: neither a form nor JSON, or damaged.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _form(body, headers)
    if kind == "application/json":
        return Sent(_object(body))
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "media-type",
        "The body has a type that is not read",
        f"the body is {kind or 'of no type'!r}; send multipart/form-data with a file, or application/json",
    )


def _object(body: bytes) -> dict[str, Any]:
    _refuse_many_values(body)
    try:
        value = from_json(body)
    except InvalidInputError as error:
        raise _malformed(f"the body cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise _malformed(f"the body is JSON of the type {type(value).__name__}; send an object")
    return value


def _refuse_many_values(text: bytes) -> None:
    """Before they take memory: each value but the first stands behind a comma, or behind what opens a list or object.

    Raises:
        Problem: there may be more than a request needs.
    """
    if (count := sum(text.count(sign) for sign in (b",", b"[", b"{"))) > _VALUES:
        said = f"there are {count:,} commas, lists and objects; this service takes {_VALUES:,}: ask for less"
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "large", "The body holds too many values", said)


def _malformed(text: str, field: str | None = None) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "malformed", "The body cannot be read", text, field)


class _InMemory(MultiPartParser):
    """A parser of forms that writes nothing to the disk: the body is bounded, and in memory already."""

    spool_max_size = 1 << 40


async def _form(body: bytes, headers: Headers) -> Sent:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parser = _InMemory(headers, whole(), max_files=1, max_fields=_FIELDS, max_part_size=_FIELD_BYTES)
        form = await parser.parse()
    except MultiPartException as error:
        raise _malformed(f"the form cannot be read: {error.message}") from error
    except Exception as error:  # a parser of others, on whatever was sent: what it refuses is malformed
        raise _malformed(f"the form cannot be read: {error or type(error).__name__}") from error
    try:
        return await _sent(form)
    finally:
        await form.close()


async def _sent(form: FormData) -> Sent:
    fields: dict[str, Any] = {}
    content: bytes | None = None
    for key, value in form.multi_items():
        if key in fields or (key == "photo" and content is not None):
            raise _malformed(f"the form holds {key!r:.80} twice; give each field once")
        if not isinstance(value, UploadFile):
            fields[key] = _value(key, value)
        elif key == "photo":
            content = await value.read()
        else:
            raise _malformed(f"the form holds a file {key!r:.80}; only the photo is one")
    if content is not None and "photo" in fields:
        raise _malformed("the form holds 'photo' twice; give it once")
    return Sent(fields, content)


def _value(key: str, text: str) -> Any:
    _refuse_many_values(text.encode(errors="replace"))
    if key in _LISTS and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",")]
    if key in (*_LISTS, "settings"):
        try:
            return from_json(text)
        except InvalidInputError as error:
            raise _malformed(f"the field {key} cannot be read: {error}", key) from error
    return text


def asked(sent: Sent, kind: type[R], base: Segmenter, limits: Limits) -> tuple[Asked, R]:
    """What a body asks for, checked as far as that needs no photo.

    Args:
        sent: the body.
        kind: of request.
        base: the model, and the settings of the service.
        limits: on each request.

    Raises:
        Problem: a field is missing, unknown or of another type.
        InvalidInputError: names, settings or a filter that cannot be used.
    """
    try:
        request = kind.model_validate(sent.fields)
    except ValidationError as error:
        raise _refused(error) from error
    content = sent.content if request.photo is None else _content(request.photo)
    if (content is None) == (request.photo_id is None):
        given = "neither" if content is None else "both"
        raise _unusable(f"give the photo, or the id of one that is remembered; got {given}", "photo")
    limits.check_names([len(_words(words)) for words in request.names])
    if long := [word for words in request.names for word in _words(words) if len(word) > limits.letters]:
        raise NamesError(f"name {long[0]!r:.60} has {len(long[0])} letters; this service takes {limits.letters}")
    names = parse_names(request.names)
    presence = request.presence if isinstance(request, SegmentRequest) else None
    if presence is not None:
        _refuse_what_opens_files(presence)
        refuse_idle(request.settings, presence)
    config = _base(base, request.preset).replace(request.settings).without(*request.without)
    if presence is not None:
        config = config.without("presence")  # whoever is asked replaces the method's own judgement
    settings = config.resolve(base.backbone.card)
    limits.check_settings(settings)
    photo = request.photo_id if content is None else photo_id(content)
    assert photo is not None
    source = base.settings_source if request.preset is None else base.backbone.card.recommended.source
    return Asked(photo, content, names, settings, request.preset or base.preset, presence, source), request


def _base(base: Segmenter, preset: str | None) -> Config:
    """The settings that a request starts from."""
    if preset is None:
        return Config.model_validate(base.config.model_dump())
    return read_preset(preset).config(base.backbone.card.recommended.settings)


def _words(words: str | list[str]) -> list[str]:
    return [words] if isinstance(words, str) else words


def _content(url: str) -> bytes:
    """What a data URL holds; no other URL is ever followed."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise _unusable(f"the photo is {url[:40]!r}; send a data URL, data:image/jpeg;base64,...", "photo")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unusable(f"the photo's data URL is no base64: {error}", "photo") from error


def _refuse_what_opens_files(presence: str) -> None:
    spec = parse_presence(presence).spec
    if not spec.asks_model and spec.key != EVERYTHING:
        raise PresenceError(
            f"presence {presence!r} opens files or other addresses, which no request may here; use all, itm, itc, "
            "itm+itc or itm+itc+attention"
        )


def _unusable(text: str, field: str) -> Problem:
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "field", "A field cannot be used", text, field)


def _refused(error: ValidationError) -> Problem:
    """The first field that was refused."""
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0])[:80] if first["loc"] else None
    where = ".".join(str(part)[:80] for part in first["loc"])
    got = "" if first["type"] in ("missing", "extra_forbidden") else f", got {first.get('input')!r:.80}"
    return _unusable(f"{where}: {first['msg']}{got}", field or "body")
