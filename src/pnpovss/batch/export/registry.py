"""Every format by the word that asks for it: this package's own, and those of installed packages."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pnpovss.batch.export.run import Run
from pnpovss.errors import InvalidInputError
from pnpovss.plugins import Registry, Spec

__all__ = ["FormatSpec", "known_formats", "parse_formats", "register"]


@dataclass(frozen=True)
class FormatSpec(Spec):
    """A format.

    Attributes:
        write: writes a run into a new, empty folder; gives something for each photo, so that progress can be shown.
            Its last argument says whether the photos go along.
        photos: whether the format is of use only with the photos in it.
        check: refuses names that it cannot hold, by an `InvalidInputError`; None where it holds all.
    """

    write: Callable[[Run, Path, bool], Iterator[str]]
    photos: bool = True
    check: Callable[[Sequence[str]], None] | None = None


_formats = Registry(
    "export format",
    FormatSpec,
    "pnpovss.formats",
    {
        "masks": "pnpovss.batch.export.masks:MASKS",
        "coco": "pnpovss.batch.export.coco:COCO",
        "yolo": "pnpovss.batch.export.yolo:YOLO",
        "voc": "pnpovss.batch.export.voc:VOC",
        "cvat": "pnpovss.batch.export.cvat:CVAT",
        "labelme": "pnpovss.batch.export.labelme:LABELME",
        "labelstudio": "pnpovss.batch.export.label_studio:LABEL_STUDIO",
        "fiftyone": "pnpovss.batch.export.fiftyone:FIFTYONE",
        "huggingface": "pnpovss.batch.export.hugging_face:HUGGING_FACE",
    },
)


def register(spec: FormatSpec) -> FormatSpec:
    """Add a format; a package may also name its spec under the entry point `pnpovss.formats`.

    Raises:
        ValueError: the key is taken by another spec.
    """
    return _formats.register(spec)


def known_formats() -> dict[str, FormatSpec]:
    """Every format by its key; an installed one that is broken is left out, and a warning names its package."""
    return _formats.known()


def parse_formats(words: Sequence[str]) -> list[FormatSpec]:
    """Formats by their keys, each once: ["coco", "yolo"].

    Raises:
        InvalidInputError: an unknown one, or none.
    """
    known = known_formats()
    if unknown := [word for word in words if word not in known] or ([""] if not words else []):
        raise InvalidInputError(f"unknown format {unknown[0]!r}; known: {', '.join(known)} (see docs/folders.md)")
    return [known[word] for word in dict.fromkeys(words)]
