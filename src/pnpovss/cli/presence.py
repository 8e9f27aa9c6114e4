"""`--presence`: ask the segmenter only for names that a filter holds to be in the photo."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from rich.console import Console

from pnpovss.cli.terminal import say
from pnpovss.errors import PresenceError
from pnpovss.structures import Name

if TYPE_CHECKING:
    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["early_presence", "late_presence", "narrow", "tell_presence"]

EVERYTHING = "all"


def early_presence(spec: str) -> "PresenceFilter | None":
    """What can be refused or made before a model is loaded; None for all names, and for filters that ask the model.

    Raises:
        PresenceError: an unknown filter, one that lacks what it needs, or `oracle`, which needs masks.
    """
    if spec == EVERYTHING:
        return None
    from pnpovss.presence import asks_model, make_presence

    if spec == "oracle":
        raise PresenceError("oracle names come from masks, and photos have none; use another filter, such as itm")
    return None if asks_model(spec) else make_presence(spec)


def late_presence(
    spec: str, early: "PresenceFilter | None", segmenter: "Segmenter"
) -> tuple["Segmenter", "PresenceFilter | None"]:
    """A filter that asks the segmenter's own model, and a segmenter that shares its encodings with it."""
    if spec == EVERYTHING or early is not None:
        return segmenter, early
    from pnpovss.evaluation.encodings import share_encodings
    from pnpovss.presence import make_presence
    from pnpovss.segmenter import Segmenter

    segmenter = Segmenter(share_encodings(segmenter.backbone), segmenter.config, segmenter.preset)
    return segmenter, make_presence(spec, backbone=segmenter.backbone, config=segmenter.config)


def narrow(
    presence: "PresenceFilter | None", image: Image.Image, names: Sequence[Name], photo: Path
) -> tuple[tuple[Name, ...], dict[str, Any]]:
    """The names to ask for in one photo, and what the record says of the choice.

    Raises:
        PresenceError: the filter could not decide, or holds none of the names to be there.
    """
    if presence is None:
        return tuple(names), {}
    decided = presence.decide(image, names, sample_key=photo.stem)
    if not decided.kept:
        reason = decided.note or "none of the names is in it"
        raise PresenceError(f"{photo}: {presence.key} says: {reason}; nothing to segment")
    scores = {name.text: round(score, 4) for name, score in zip(names, decided.scores, strict=True)}
    kept = tuple(names[i] for i in decided.kept)
    return kept, {"presence": {"filter": presence.key, "scores": scores, "note": decided.note}}


def tell_presence(presence: "PresenceFilter | None", notes: Console) -> None:
    """What the filter did besides looking: requests, failures, tokens, cost."""
    told = presence.report() if presence else {}
    if presence and set(told) - {"photos"}:
        say(notes, f"{presence.key}: " + ", ".join(f"{key} {value:g}" for key, value in told.items() if value), "dim")
