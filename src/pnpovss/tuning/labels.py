"""Who says what is in a photo: folders named after it, a table, captions, a data set's masks, or the model itself."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from pnpovss.datasets.base import Dataset
from pnpovss.errors import InvalidInputError
from pnpovss.files.json import from_json
from pnpovss.files.keys import photo_key
from pnpovss.images import load_image
from pnpovss.names import Name, parse_names, spelling
from pnpovss.presence.base import Photo, PresenceFilter
from pnpovss.tuning.guard import photos_below
from pnpovss.tuning.photos import OnPhoto, TuningPhoto

__all__ = ["class_folders", "from_dataset", "from_filter", "from_labels", "names_in", "read_labels"]

_PHOTO = ("photo", "file", "image", "path", "filename")
_NAMES = ("names", "labels", "label", "class", "name")
_CAPTION = ("caption", "captions", "text")
_EXPECTED = (
    "expected CSV with a column photo and one of names (several with ; between them) or caption, or JSON as "
    '{"a/cat.jpg": ["cat", "sofa"]} or {"a/cat.jpg": "a cat on a sofa"}'
)


def class_folders(folder: Path) -> list[TuningPhoto]:
    """The photos of a folder of folders, each of which is called what its photos show ("potted_plant").

    Raises:
        InvalidInputError: photos that lie in no such folder, or none at all.
    """
    photos = []
    for path in photos_below(folder):
        place = path.relative_to(folder)
        if len(place.parts) == 1:
            raise InvalidInputError(
                f"{path} lies in no folder that says what it shows; say it with --labels, or give --names-file and let "
                "the model decide"
            )
        photos.append(TuningPhoto(str(place), path, parse_names([place.parts[0].replace("_", " ").strip()])))
    if not photos:
        raise InvalidInputError(f"{folder} holds no photo")
    return photos


def from_labels(folder: Path, labels: Path, vocabulary: Sequence[Name] = ()) -> list[TuningPhoto]:
    """The photos of a folder that a table names something in.

    Args:
        folder: of photos.
        labels: see `read_labels`; photos by path below the folder, or by file name where that is the only one. How the
            machine that wrote it spells paths (forms of Unicode, backslashes) does not matter.
        vocabulary: the names that are looked for in captions; names alone are taken from the table.

    Raises:
        InvalidInputError: a table that cannot be read, a photo of it that is not there, captions without a vocabulary.
        NamesError: a name that is none.
    """
    by_name: dict[str, list[Path]] = {}
    by_path: dict[str, list[Path]] = {}
    for path in photos_below(folder):
        for name in {path.name, path.stem}:
            by_name.setdefault(photo_key(name), []).append(path)
        by_path.setdefault(photo_key(str(path.relative_to(folder))), []).append(path)
    photos = []
    for key, said in read_labels(labels).items():
        found = by_path.get(key) or by_name.get(key) or []
        if len(found) != 1:
            what = "is the name of several photos; give its path" if found else "is not there"
            raise InvalidInputError(f"{labels} names the photo {key!r}, which {what} (below {folder})")
        [path] = found
        names = _read_names(said, vocabulary, labels)
        if names:
            photos.append(TuningPhoto(str(path.relative_to(folder)), path, names))
    return photos


def read_labels(path: Path) -> dict[str, list[str] | str]:
    """What a table says of each photo, by its key in one form (see `photo_key`).

    Returns:
        A list of names, or a caption; several lines of one photo are joined.

    Raises:
        InvalidInputError: neither CSV nor JSON as expected, or JSON that names a photo twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"cannot read {path}: {error}; {_EXPECTED}") from error
    try:
        return _json_labels(from_json(text, unique=True)) if path.suffix.lower() == ".json" else _csv_labels(text)
    except (InvalidInputError, csv.Error) as error:
        raise InvalidInputError(f"{path}: {error}; {_EXPECTED}") from error


def _json_labels(told: Any) -> dict[str, list[str] | str]:
    if not isinstance(told, dict):
        raise InvalidInputError(f"it holds a {type(told).__name__}")
    for key, value in told.items():
        if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            raise InvalidInputError(f"{key!r} has {value!r:.80}")
    table: dict[str, list[str] | str] = {}
    for key, value in told.items():
        if photo_key(key.strip()) in table:
            raise InvalidInputError(f"{key!r} is there twice, in two spellings")
        table[photo_key(key.strip())] = value
    return table


def _csv_labels(text: str) -> dict[str, list[str] | str]:
    rows = csv.DictReader(io.StringIO(text))
    columns = {str(column).strip().lower(): str(column) for column in rows.fieldnames or ()}
    photo, names, caption = (next((columns[c] for c in known if c in columns), None) for known in _COLUMNS)
    if photo is None or (names is None and caption is None):
        raise InvalidInputError(f"its columns are {', '.join(columns) or 'none'}")
    table: dict[str, list[str] | str] = {}
    for row in rows:
        if more := [each for each in row.get(None, ()) if each.strip()]:  # DictReader's key of what has no column
            raise InvalidInputError(
                f"line {rows.line_num}: {more[0].strip()!r:.80} stands in no column; write ; between names, and "
                'quotes around a text that holds commas ("a cat, asleep")'
            )
        said = row[names] if names is not None else row[str(caption)]
        if not (row[photo] or "").strip():
            if (said or "").strip():
                raise InvalidInputError(f"line {rows.line_num}: {said.strip()!r:.80} is of no photo; name it before")
            continue  # a spreadsheet saves empty rows, too
        key = photo_key(row[photo].strip())
        before = table.get(key)
        if names is not None:
            own = [part.strip() for part in (said or "").split(";") if part.strip()]
            table[key] = [*(before or ()), *(name for name in own if name not in (before or ()))]
        else:
            table[key] = f"{before}\n{said}" if before else said or ""
    return table


_COLUMNS = (_PHOTO, _NAMES, _CAPTION)


def _read_names(said: list[str] | str, vocabulary: Sequence[Name], labels: Path) -> tuple[Name, ...]:
    if isinstance(said, list):
        return parse_names(said) if said else ()
    if not vocabulary:
        raise InvalidInputError(f"{labels} holds captions; give a names file, too: which words are names of things?")
    return names_in(said, vocabulary)


def names_in(caption: str, vocabulary: Sequence[Name]) -> tuple[Name, ...]:
    """The names that a caption speaks of, in singular or plural, by any of their synonyms; in the vocabulary's order.

    A phrase means what it says as a whole: "a hot dog" speaks of no dog, where both are in the vocabulary.
    """
    text, found = spelling(caption), set[int]()
    words = [(spelling(word), i) for i, name in enumerate(vocabulary) for word in name.all]
    for word, i in sorted(words, key=lambda each: -len(each[0])):
        text, count = _forms(word).subn("\0", text)  # no letter and no space: what stood around it makes no phrase
        if count:
            found.add(i)
    return tuple(name for i, name in enumerate(vocabulary) if i in found)


def _forms(word: str) -> re.Pattern[str]:
    """A word in singular and plural."""
    plurals = (word.removesuffix(end) + plural for end, plural in _PLURALS.items() if word.endswith(end))
    forms = "|".join(re.escape(form) for form in (word, *plurals))
    return re.compile(rf"\b(?:{forms})\b")


# By how a word ends; a form that no one writes ("humen", "keies") is not found either.
_PLURALS = {
    "": "s",
    "s": "ses",
    "x": "xes",
    "z": "zes",
    "h": "hes",
    "o": "oes",
    "y": "ies",
    "f": "ves",
    "fe": "ves",
    "man": "men",
    "child": "children",
    "foot": "feet",
    "tooth": "teeth",
    "goose": "geese",
    "mouse": "mice",
    "ox": "oxen",
    "person": "people",
}


def from_dataset(dataset: Dataset) -> list[TuningPhoto]:
    """The photos of a data set with the names that their masks hold; nothing else of a mask is used."""
    names = dataset.space.names
    found = [(sample, dataset.present(sample)) for sample in dataset]
    return [TuningPhoto(each.key, each.image, tuple(names[i] for i in present)) for each, present in found if present]


def from_filter(
    folder: Path,
    vocabulary: Sequence[Name],
    presence: PresenceFilter,
    limit: int | None = None,
    seed: int = 0,
    on_photo: OnPhoto | None = None,
) -> list[TuningPhoto]:
    """The photos of a folder with the names that a filter holds to be in them, such as the model that is tuned.

    Args:
        folder: of photos.
        vocabulary: the names to choose from.
        presence: who decides.
        limit: of so many photos, drawn by `seed`; all if not given.
        seed: of the draw.
        on_photo: told after each photo.
    """
    paths, photos = photos_below(folder), []
    Random(seed).shuffle(paths)
    for done, path in enumerate(chosen := paths[:limit], start=1):
        kept = presence.decide(Photo(load_image(path), str(path)), vocabulary).kept
        if kept:
            photos.append(TuningPhoto(str(path.relative_to(folder)), path, tuple(vocabulary[i] for i in kept)))
        if on_photo:
            on_photo("named", done, len(chosen))
    return photos
