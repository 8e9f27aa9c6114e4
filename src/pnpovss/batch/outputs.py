"""The files that are made of one photo's result, in one table."""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from PIL import Image

from pnpovss.errors import ConfigError, InvalidInputError
from pnpovss.files.json import to_json
from pnpovss.names import Name
from pnpovss.results.figures.canvas import FORMATS, figure_bytes
from pnpovss.results.figures.kinds import FigureKind
from pnpovss.results.segmentation import Segmentation

__all__ = [
    "DEFAULT_OUTPUTS",
    "OUTPUTS",
    "OutputFile",
    "OutputKind",
    "json_bytes",
    "json_text",
    "output_files",
]

SLUG_BYTES = 40


@dataclass(frozen=True)
class OutputFile:
    """One file to be.

    Attributes:
        kind: of `OUTPUTS`.
        suffix: what follows the photo's stem in the file name, from the first dot on.
        content: makes it from a result and its photo.
    """

    kind: str
    suffix: str
    content: Callable[[Segmentation, Image.Image], bytes]


@dataclass(frozen=True)
class OutputKind:
    """A kind of file.

    Attributes:
        summary: what it is, for help.
        files: those of one photo, by the names that are asked for, each with its position among them.
    """

    summary: str
    files: Callable[[Sequence[tuple[int, Name]]], Iterator[OutputFile]]


def output_files(kinds: Sequence[str], names: Sequence[Name], kept: Sequence[int] | None = None) -> list[OutputFile]:
    """The files of one photo.

    Args:
        kinds: of `OUTPUTS`.
        names: all that is asked for; a name's number in a file name is its place in this list, from 1.
        kept: positions of those that are segmented; None means all.

    Raises:
        ConfigError: an unknown kind.
    """
    if unknown := [kind for kind in kinds if kind not in OUTPUTS]:
        raise ConfigError(f"unknown output {unknown[0]!r}; known: {', '.join(OUTPUTS)}")
    chosen = [(i, names[i]) for i in (range(len(names)) if kept is None else kept)]
    return [file for kind in kinds for file in OUTPUTS[kind].files(chosen)]


def _labels(names: Sequence[tuple[int, Name]]) -> Iterator[OutputFile]:
    yield OutputFile("labels", ".labels.png", lambda result, _: result.png_bytes())


def _overlay(names: Sequence[tuple[int, Name]]) -> Iterator[OutputFile]:
    yield OutputFile("overlay", ".overlay.png", lambda result, photo: _png(result.overlay(photo)))


def _heat(names: Sequence[tuple[int, Name]]) -> Iterator[OutputFile]:
    for index, name in names:
        yield OutputFile("heat", f".heat-{index + 1}-{_slug(name.text)}.png", partial(_heat_picture, name.text))


def _npz(names: Sequence[tuple[int, Name]]) -> Iterator[OutputFile]:
    yield OutputFile("npz", ".npz", lambda result, _: result.npz_bytes())


def _figures(form: str, names: Sequence[tuple[int, Name]]) -> Iterator[OutputFile]:
    kinds: list[FigureKind] = ["regions", "heat"]
    if any(" " in name.text for _, name in names):
        kinds.append("words")  # what a single word does, the heat map of its name shows
    for kind in kinds:
        yield OutputFile(f"figure-{form}", f".figure-{kind}.{form}", partial(_figure, kind, form))


def _instances(names: Sequence[tuple[int, Name]]) -> Iterator[OutputFile]:
    yield OutputFile("instances", ".instances.png", lambda result, _: result.instance_png_bytes())


OUTPUTS: dict[str, OutputKind] = {
    "labels": OutputKind("the label map, an indexed PNG", _labels),
    "overlay": OutputKind("the photo with its regions tinted, over a legend", _overlay),
    "heat": OutputKind("a heat map picture per name", _heat),
    **{f"figure-{form}": OutputKind(f"figures, as {form.upper()}", partial(_figures, form)) for form in FORMATS},
    "instances": OutputKind("the number of the thing that each pixel belongs to, a 16-bit PNG", _instances),
    "npz": OutputKind("scores, heat maps, everything; Segmentation.load reads it", _npz),
}
DEFAULT_OUTPUTS = ("labels", "overlay")


def _heat_picture(name: str, result: Segmentation, photo: Image.Image) -> bytes:
    return _png(result.heat_picture(photo, name))


def _figure(kind: FigureKind, form: str, result: Segmentation, photo: Image.Image) -> bytes:
    return figure_bytes(result.figure(photo, kind), form)


def _slug(name: str) -> str:
    """A name as part of a file name: letters and digits, with dashes between."""
    words = re.sub(r"[\W_]+", "-", name.lower()).strip("-")
    return words.encode("utf-8", "ignore")[:SLUG_BYTES].decode("utf-8", "ignore")


def _png(picture: Image.Image) -> bytes:
    """A photo-like picture; of zlib's levels 1 takes a third of the default's time, for 5% more bytes."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def json_text(document: Mapping[str, Any]) -> str:
    """A record as JSON: a line per member, and per item where a member is a list of objects; no line break at its end.

    Raises:
        InvalidInputError: as `to_json`.
    """
    try:
        members = [f" {_line(key)}: {_lines(value)}" for key, value in document.items()]
    except InvalidInputError:
        to_json(document)  # says where in the document the culprit is
        raise
    return "{\n" + ",\n".join(members) + "\n}"


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """The same as a file, with a line break at its end."""
    return f"{json_text(document)}\n".encode()


def _lines(value: Any) -> str:
    """A member's value, which the standard library writes an order of magnitude faster where it need not indent it."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return _line(value)
    return "[\n  " + ",\n  ".join(map(_line, value)) + "\n ]" if value else "[]"


def _line(value: Any) -> str:
    return to_json(value).decode()
