"""Whether a photo is finished: what its record says against what is wanted now."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pnpovss.names import Name

__all__ = ["why_anew"]

_MODEL = {"model": "the model", "revision": "the model's revision", "dtype": "the dtype"}


def why_anew(
    record: Mapping[str, Any],
    *,
    content: str,
    names: Sequence[Name],
    presence: str | None,
    provenance: Mapping[str, Any],
    kinds: Sequence[str],
) -> str | None:
    """Why a photo has to be segmented again although it has a record; None where it is finished.

    Args:
        record: of the photo.
        content: checksum of the photo as it is now.
        names: what is looked for now.
        presence: the filter of names now, by its key; None without one.
        provenance: of results as they would be made now, as `Provenance.as_dict` gives it.
        kinds: of files that are wanted now.
    """
    try:
        return next(_differences(record, content, names, presence, provenance, kinds), None)
    except (KeyError, TypeError, AttributeError):
        return "its record is of another form"


def _differences(
    record: Mapping[str, Any],
    content: str,
    names: Sequence[Name],
    presence: str | None,
    provenance: Mapping[str, Any],
    kinds: Sequence[str],
) -> Iterator[str]:
    before = record["provenance"]
    if record["photo_sha256"] != content:
        yield "the photo has changed"
    if [[row["name"], *row["synonyms"]] for row in record["names"]] != [list(name.all) for name in names]:
        yield "other names were asked for"
    if record.get("presence", {}).get("filter") != presence:
        yield f"presence was {record.get('presence', {}).get('filter')}, is {presence}"
    for key, what in _MODEL.items():
        if before[key] != provenance[key]:
            yield f"{what} was {before[key]}, is {provenance[key]}"
    yield from _changed(before["config"], provenance["config"])
    if before["versions"]["pnpovss"] != provenance["versions"]["pnpovss"]:
        yield f"it was made by version {before['versions']['pnpovss']}"
    if missing := set(kinds) - set(record["kinds"]):
        yield f"{', '.join(sorted(missing))} is wanted, too"


def _changed(before: Any, now: Any, name: str = "") -> Iterator[str]:
    """Settings that differ, such as "threshold was 0.15, is 0.3"."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            yield from _changed(before.get(key), now.get(key), f"{name}.{key}".removeprefix("."))
    elif before != now:
        yield f"{name} was {before}, is {now}"
