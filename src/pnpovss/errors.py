"""Every exception that pnpovss raises on purpose.

    PnpOvssError
    ├── InvalidInputError (ValueError)      what the caller gave cannot be used
    │   ├── ImageError                      a photo that cannot be read or is refused
    │   ├── NamesError                      no names, empty, duplicate, or too long for the text encoder
    │   ├── DatasetError                    a data set with missing files, or masks that do not fit
    │   ├── PresenceError                   a presence filter that lacks what it needs, or could not be asked
    │   └── ConfigError                     an unknown preset or setting, or a value out of range
    ├── ModelError                          a model that cannot be had as asked
    │   ├── UnknownModelError (ValueError)  no backbone answers to this name or folder
    │   └── CheckpointError                 files missing, incomplete, or of another architecture
    ├── MissingExtraError (ImportError)     an optional package is needed; the message names the extra
    ├── ResourceError (RuntimeError)        it does not fit in memory: refused before trying, or found out
    └── OutputError (OSError)               a result cannot be written where it was asked for

Messages say what came, what was expected and what to do.
"""

from typing import Any

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DatasetError",
    "ImageError",
    "InvalidInputError",
    "MissingExtraError",
    "ModelError",
    "NamesError",
    "OutputError",
    "PnpOvssError",
    "PresenceError",
    "ResourceError",
    "UnknownModelError",
]


class PnpOvssError(Exception):
    """Base of all errors of this package.

    Attributes:
        page: of the documentation, that says more about errors of this kind; None where none does.
    """

    page: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Send it from process to process as it is; Python would make it anew from its message alone."""
        return _as_it_was, (type(self), self.args), self.__dict__


def _as_it_was(kind: type[PnpOvssError], args: tuple[Any, ...]) -> PnpOvssError:
    return kind.__new__(kind, *args)


class InvalidInputError(PnpOvssError, ValueError):
    """What the caller gave cannot be used."""


class ImageError(InvalidInputError):
    """A photo that cannot be read, or is refused."""

    page = "photos.md"


class NamesError(InvalidInputError):
    """Names that cannot be asked for: none, empty, duplicate, or too long."""

    page = "names.md"


class DatasetError(InvalidInputError):
    """A data set with missing files, or masks that do not fit their photos or classes."""

    page = "datasets.md"


class PresenceError(InvalidInputError):
    """A presence filter that lacks what it needs, or could not be asked."""

    page = "presence.md"


class ConfigError(InvalidInputError):
    """An unknown preset or setting, or a value out of its range."""

    page = "settings.md"


class ModelError(PnpOvssError):
    """A model that cannot be had as asked."""

    page = "troubleshooting.md#models"


class UnknownModelError(ModelError, ValueError):
    """No backbone answers to this name, hub id or folder."""


class CheckpointError(ModelError):
    """A checkpoint with missing, incomplete or foreign files."""


class MissingExtraError(PnpOvssError, ImportError):
    """An optional package is needed.

    Attributes:
        extra: the extra of this package that brings it.
    """

    page = "start.md#extras"

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs an optional package: pip install 'pnpovss[{extra}]' (in a copy of the repository: "
            f"pip install '.[{extra}]')"
        )
        self.extra = extra


class ResourceError(PnpOvssError, RuntimeError):
    """It does not fit in memory: refused before trying, or found out."""

    page = "troubleshooting.md#memory"


class OutputError(PnpOvssError, OSError):
    """A result cannot be written where it was asked for."""

    page = "folders.md#where-results-go"
