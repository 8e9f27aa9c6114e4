"""A names filter of your own: it keeps the names that stand in the photo's caption.

Run it in a copy of the repository: python examples/own_filter.py. How a filter of a package of yours becomes known to
the command line is told in docs/presence.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pnpovss import Name, Segmenter
from pnpovss.presence import Photo, Presence

FOLDER = Path(__file__).parent
NAMES = [Name("cat"), Name("cup", ("coffee",)), Name("rocket")]
CAPTIONS = {"cat.jpg": "a cat looks up", "coffee.jpg": "black coffee on a wooden table"}


class Captions:
    """Holds a name to be in a photo if it, or one of its synonyms, is a word of the photo's caption."""

    key = "captions"

    def __init__(self, captions: Mapping[str, str]) -> None:
        self.captions = captions

    def decide(self, photo: Photo, names: Sequence[Name]) -> Presence:
        """Which of the names are there; a score for each, all of them 0 or 1 here."""
        words = self.captions[photo.key or ""].split()
        scores = tuple(float(any(word in words for word in name.all)) for name in names)
        return Presence(kept=tuple(i for i, score in enumerate(scores) if score), scores=scores)

    def report(self) -> dict[str, float | int | str]:
        """What it has cost, for the record of a run: nothing."""
        return {}


def main() -> None:
    """Segment two photos by the names that the filter leaves."""
    presence = Captions(CAPTIONS)
    segmenter = Segmenter.from_pretrained("mini")
    for path in (FOLDER / photo for photo in CAPTIONS):
        kept = [NAMES[i] for i in presence.decide(Photo(path, key=path.name), NAMES).kept]
        result = segmenter(path, kept)
        print(path.name, {str(name): f"{share:.0%}" for name, share in zip(kept, result.shares, strict=True)})


if __name__ == "__main__":
    main()
