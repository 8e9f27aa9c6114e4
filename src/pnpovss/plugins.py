"""Registries that other packages can add to: an installed entry point that is broken harms no other."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

__all__ = ["Registry", "Spec"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spec:
    """What every entry of a registry tells.

    Attributes:
        key: unique in its registry; the word that asks for it.
        summary: one line for people.
    """

    key: str
    summary: str


Entry = TypeVar("Entry", bound=Spec)


class Registry(Generic[Entry]):
    """Specs by key: this package's own, those of installed entry points, and what `register` was given.

    Attributes:
        broken: by key, why an installed entry point cannot be used; each is said once.
    """

    def __init__(self, what: str, kind: type[Entry], group: str, own: Mapping[str, str]) -> None:
        """Nothing is imported before it is asked for.

        Args:
            what: the things, in messages ("presence filter").
            kind: the class of the specs.
            group: of entry points, each of which names a spec.
            own: this package's own specs by key, as "module:ATTRIBUTE".
        """
        self.broken: dict[str, str] = {}
        self._what = what
        self._kind = kind
        self._group = group
        self._own = own
        self._specs: dict[str, Entry] = {}

    def register(self, spec: Entry) -> Entry:
        """Add a spec from Python.

        Raises:
            ValueError: the key is taken by another spec.
        """
        taken = self._specs.get(spec.key, spec)
        if taken is not spec or (spec.key in self._own and spec.key not in self._specs):
            raise ValueError(f"there is a {self._what} with key {spec.key!r} already; choose another key")
        self._specs[spec.key] = spec
        return spec

    def known(self) -> dict[str, Entry]:
        """All specs by key, own ones first; a warning names the package of an entry point that cannot be used."""
        own = {key: self._specs.get(key) or self._load_own(key) for key in self._own}
        for point in entry_points(group=self._group):
            if point.name not in self._specs and point.name not in self.broken:
                self._load(point)
        return {**own, **self._specs}

    def _load_own(self, key: str) -> Entry:
        module, _, attribute = self._own[key].partition(":")
        self._specs[key] = getattr(import_module(module), attribute)
        return self._specs[key]

    def _load(self, point: EntryPoint) -> None:
        """Add what an installed package offers, or note why that cannot be done: its code may fail in any way."""
        try:
            spec = point.load()
            if not isinstance(spec, self._kind):
                raise TypeError(f"expected a {self._kind.__name__}, got {type(spec).__name__}")
            if spec.key != point.name:
                raise ValueError(f"its key is {spec.key!r}; expected the entry point's name")
            self.register(spec)
        except Exception as error:
            dist = getattr(point, "dist", None)
            package = f"{dist.name} {dist.version}" if dist else "an unknown package"
            owner = dist.name if dist else "the package that brings it"
            self.broken[point.name] = (
                f"the {self._what} {point.name!r} of the package {package} cannot be used: {point.value} fails with "
                f"{type(error).__name__}: {error}; update or uninstall {owner}, or tell its authors"
            )
            logger.warning("%s (every other %s works)", self.broken[point.name], self._what)
