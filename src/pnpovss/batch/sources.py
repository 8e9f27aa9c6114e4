"""The photo of a task, wherever it lies: a file, or an object behind a URL."""

import os
import stat
from hashlib import sha256
from pathlib import Path

from PIL import Image

from pnpovss.errors import ImageError, InvalidInputError
from pnpovss.files.remote import is_url, read_url
from pnpovss.images import load_image

__all__ = ["NOTHING", "ChangedPhoto", "Source", "identity", "source_of"]

NOTHING = sha256().hexdigest()  # of a file that cannot be read


class ChangedPhoto(ImageError):
    """What was read is not what the checksum tells."""


def identity(photo: str) -> str:
    """The same for every name of one photo, as records hold it: a URL, or a path without links."""
    return photo if is_url(photo) else os.path.realpath(photo)


class Source:
    """A photo that is about to be read.

    Attributes:
        photo: its path or URL.
        content: SHA-256 of its content; that of nothing where it cannot be read, for `load` says what is wrong.
    """

    photo: str
    content: str

    def load(self, max_pixels: int) -> Image.Image:
        """Its pixels, upright, of the content that the checksum tells.

        Raises:
            ChangedPhoto: it was changed meanwhile.
            ImageError: as `load_image`.
        """
        raise NotImplementedError


def source_of(photo: str) -> Source:
    """The photo behind a path or a URL.

    Raises:
        ImageError: a URL that cannot be read.
        MissingExtraError: a URL, without the package that reads it.
    """
    return _Remote(photo) if is_url(photo) else _File(photo)


class _File(Source):
    def __init__(self, photo: str) -> None:
        self._before = _state(photo)  # first: what changes while the checksum is made is found as well
        self.photo, self.content = photo, _content(photo)

    def load(self, max_pixels: int) -> Image.Image:
        try:
            return load_image(self.photo, max_pixels=max_pixels)
        finally:
            if _state(self.photo) != self._before:
                raise ChangedPhoto(f"{self.photo} was changed or removed while it was read; segment it again")


class _Remote(Source):
    """Read once, as a whole."""

    def __init__(self, photo: str) -> None:
        try:
            self._data = read_url(photo)
        except InvalidInputError as error:
            raise ImageError(str(error)) from error
        self.photo, self.content = photo, sha256(self._data).hexdigest()

    def load(self, max_pixels: int) -> Image.Image:
        return load_image(self._data, max_pixels=max_pixels)


def _content(photo: str) -> str:
    digest = sha256()
    try:
        if stat.S_ISREG(os.stat(photo).st_mode):
            with open(photo, "rb", buffering=0) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except (OSError, ValueError):
        pass
    return digest.hexdigest()


def _state(photo: str) -> tuple[int, ...] | None:
    """What changes when a file is replaced or written to."""
    try:
        told = os.stat(Path(photo))
    except (OSError, ValueError):
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns
