"""Photos with the names of what is in them: all that tuning is given."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from random import Random

import numpy as np

from pnpovss.errors import InvalidInputError
from pnpovss.files.json import to_json
from pnpovss.images import ImageSource, load_image
from pnpovss.names import Name, NameLike, parse_names, spelling

__all__ = ["OnPhoto", "TuningPhoto", "TuningPhotos"]

OnPhoto = Callable[[str, int, int], None]  # what is done, how many photos are done, of how many


@dataclass(frozen=True, eq=False)
class TuningPhoto:
    """A photo and what is in it.

    Attributes:
        key: what it is called; unique.
        image: its pixels, or where they are.
        names: what is in it; at least one.
    """

    key: str
    image: ImageSource
    names: tuple[Name, ...]

    @cached_property
    def digest(self) -> str:
        """Of its content: the file's bytes, or the pixels."""
        content = (
            Path(self.image).read_bytes()
            if isinstance(self.image, str | Path)
            else np.asarray(load_image(self.image)).tobytes()
        )
        return blake2b(content, digest_size=8).hexdigest()


@dataclass(frozen=True, eq=False)
class TuningPhotos:
    """The photos that settings are chosen on.

    Attributes:
        photos: each with its names.
        vocabulary: all names that a judge tells apart: those of the photos, and others.
        names_from: who said what is in them, in words.
        evaluation_photos: benchmarks that evaluate photos among them, because that was asked for.
    """

    photos: tuple[TuningPhoto, ...]
    vocabulary: tuple[Name, ...]
    names_from: str
    evaluation_photos: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be tuned on.

        Raises:
            InvalidInputError: no photos, two of one key, one without names, or with a name that is not in the
                vocabulary; or a vocabulary of one name, since no judge can tell it from another.
        """
        if not self.photos:
            raise InvalidInputError("there is no photo with a name to tune on; name what is in some photos")
        keys = [photo.key for photo in self.photos]
        if len(set(keys)) < len(keys):
            twice = next(key for i, key in enumerate(keys) if key in keys[:i])
            raise InvalidInputError(f"the photo {twice!r} is named twice; name each photo once")
        known = set(self.vocabulary)
        for photo in self.photos:
            if not photo.names or not set(photo.names) <= known:
                names = ", ".join(name.text for name in photo.names) or "none"
                raise InvalidInputError(f"the names of {photo.key!r} ({names}) are not all in the vocabulary")
        if len(known) < 2:
            raise InvalidInputError(
                f"all photos hold {self.vocabulary[0].text!r} and no other name is known: a judge needs at least two "
                "to choose between; give a names file with more"
            )

    @classmethod
    def of(
        cls,
        pairs: Iterable[tuple[ImageSource, Sequence[NameLike]]],
        vocabulary: Sequence[NameLike] = (),
        names_from: str = "given by the caller",
    ) -> "TuningPhotos":
        """From (image, names) pairs; photos are numbered, those of files are called by their paths.

        Args:
            pairs: photos with at least one name each.
            vocabulary: further names that a judge is to tell them from.
            names_from: who said what is in them.

        Raises:
            NamesError: a name that is none.
            InvalidInputError: see the class.
        """
        photos = [
            TuningPhoto(str(image) if isinstance(image, str | Path) else f"photo {i:04}", image, parse_names(names))
            for i, (image, names) in enumerate(pairs)
        ]
        return cls.joined(photos, parse_names(vocabulary) if vocabulary else (), names_from)

    @classmethod
    def joined(
        cls,
        photos: Sequence[TuningPhoto],
        vocabulary: Sequence[Name],
        names_from: str,
        evaluation_photos: Sequence[str] = (),
    ) -> "TuningPhotos":
        """Of photos with names, and further names; a name that is spelled as one before it is that one."""
        by_spelling: dict[str, Name] = {}
        for name in (*vocabulary, *(name for photo in photos for name in photo.names)):
            known = next((by_spelling[word] for word in map(spelling, name.all) if word in by_spelling), name)
            for word in name.all:
                by_spelling.setdefault(spelling(word), known)
        renamed = [
            TuningPhoto(each.key, each.image, tuple(dict.fromkeys(by_spelling[spelling(n.text)] for n in each.names)))
            for each in photos
        ]
        words = tuple(dict.fromkeys(by_spelling.values()))
        return cls(tuple(renamed), words, names_from, tuple(evaluation_photos))

    @property
    def digest(self) -> str:
        """Of what each photo is called, holds and shows, and of the vocabulary; in whatever order.

        What was found in a photo is kept by its key, and asked for with all words of each of its names.
        """
        photos = sorted([each.key, each.digest, sorted(name.all for name in each.names)] for each in self.photos)
        vocabulary = sorted(name.all for name in self.vocabulary)
        return blake2b(to_json([photos, vocabulary]), digest_size=8).hexdigest()

    def asked(self, photo: TuningPhoto) -> tuple[int, ...]:
        """Indices into the vocabulary of a photo's names."""
        place = {name: i for i, name in enumerate(self.vocabulary)}
        return tuple(place[name] for name in photo.names)

    def drawn(self, count: int | None, seed: int) -> "TuningPhotos":
        """In an order drawn by `seed`, so that the first of them are like all; no more than `count`.

        The names of each photo come in one order, too, whatever order they were given in: what is collected of them
        is kept by their places.
        """
        order = sorted(self.photos, key=lambda photo: photo.key)
        Random(seed).shuffle(order)
        chosen = tuple(
            TuningPhoto(each.key, each.image, tuple(sorted(each.names, key=lambda name: name.all)))
            for each in order[:count]
        )
        return TuningPhotos(chosen, self.vocabulary, self.names_from, self.evaluation_photos)
