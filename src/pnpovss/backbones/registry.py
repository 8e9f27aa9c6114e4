"""Which backbones there are, and which of them loads a model: the one that reads the `model_type` of its config."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from pnpovss.backbones.base import Backbone, LoadOptions
from pnpovss.backbones.parts.checkpoint import hub_config, is_cached, model_type
from pnpovss.errors import ModelError, UnknownModelError

__all__ = ["BackboneSpec", "known_backbones", "load_backbone", "register"]

# This package's own backbones; others are installed entry points of the group below.
OWN = {"mini": "pnpovss.backbones.mini", "blip": "pnpovss.backbones.blip"}
ENTRY_POINT_GROUP = "pnpovss.backbones"
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackboneSpec:
    """An entry of the registry.

    Attributes:
        key: short name of the architecture, unique ("blip").
        summary: one line for `pnpovss models`.
        model_types: values of `model_type` in a config.json that it can load, whatever the name of the checkpoint.
        models: names to show, each with one line on what it is: hub ids, or names of its own ("mini").
        load: loads a name or folder, or raises a `ModelError`.
        available: for a name of `models`: whether its weights are on this machine; by default, in the hub's cache.
    """

    key: str
    summary: str
    model_types: tuple[str, ...]
    models: dict[str, str]
    load: Callable[[str, LoadOptions], Backbone]
    available: Callable[[str], bool] = is_cached


_registry: dict[str, BackboneSpec] = {}
_broken: dict[str, ModelError] = {}  # by entry point: why it is no backbone; each is said once


def register(spec: BackboneSpec) -> BackboneSpec:
    """Add a backbone to the registry; a package may also name its spec under the entry point `pnpovss.backbones`.

    Raises:
        ValueError: the key, or a model type, is taken by another spec.
    """
    for other in _registry.values():
        if other is spec:
            continue
        if other.key == spec.key:
            raise ValueError(f"a backbone with key {spec.key!r} is registered already: {other.summary}")
        if taken := set(other.model_types) & set(spec.model_types):
            raise ValueError(f"the model type {min(taken)!r} is registered already, by the backbone {other.key!r}")
    _registry[spec.key] = spec
    return spec


def known_backbones() -> dict[str, BackboneSpec]:
    """All backbones by key: those of this package, installed entry points, and what `register` was given.

    An entry point that cannot be loaded is left out, and a warning names its package; the others work all the same.
    """
    for key, module in OWN.items():
        if key not in _registry:
            register(import_module(module).SPEC)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name not in _registry and point.name not in _broken:
            _register_entry_point(point)
    return dict(_registry)


def load_backbone(name: str | Path, options: LoadOptions | None = None) -> Backbone:
    """Load a model by its own name, hub id or folder.

    Raises:
        UnknownModelError: no backbone reads such a model; the message lists the known ones.
        CheckpointError: its files are missing, incomplete or damaged, or the hub does not give them.
        ModelError: it is the name of an installed backbone that cannot be used; the message names its package.
    """
    name, options = str(name), options or LoadOptions()
    specs = known_backbones()
    if name in _broken:
        raise _broken[name]
    for spec in specs.values():
        if name in spec.models:
            return spec.load(name, options)
    config = _config_of(name, options)
    kind = None if config is None else model_type(config)
    for spec in specs.values():
        if kind is not None and kind in spec.model_types:
            return spec.load(name, options)
    raise UnknownModelError(_nobody_loads(name, config, kind, specs))


def _config_of(name: str, options: LoadOptions) -> Path | None:
    """The config.json of a folder or hub id; None where the name is neither."""
    if Path(name).is_dir():
        return Path(name) / "config.json"
    return hub_config(name, options) if _HUB_ID.fullmatch(name) else None


def _nobody_loads(name: str, config: Path | None, kind: str | None, specs: dict[str, BackboneSpec]) -> str:
    why = ""
    if config is not None:
        why = f", whose config.json says model_type {kind!r}" if kind else ", whose config.json cannot be read"
        if not config.is_file():
            why = ", a folder without config.json"
    known = ", ".join(model for spec in specs.values() for model in spec.models)
    kinds = ", ".join(kind for spec in specs.values() for kind in spec.model_types)
    unusable = "".join(f" Perhaps it belongs to one that is broken: {error}." for error in _broken.values())
    return (
        f"no backbone knows the model {name!r}{why}. Known: {known}; or give any hub id or folder of model_type "
        f"{kinds}. `pnpovss models` tells what each needs.{unusable}"
    )


def _register_entry_point(point: EntryPoint) -> None:
    """Add what an installed package offers, or note why that cannot be done: its code may fail in any way."""
    try:
        spec = point.load()
        if not isinstance(spec, BackboneSpec):
            raise TypeError(f"expected a BackboneSpec, got {type(spec).__name__}")
        register(spec)
    except Exception as error:
        dist = getattr(point, "dist", None)
        package = f"{dist.name} {dist.version}" if dist else "an unknown package"
        what_to_do = f"update or uninstall {dist.name}" if dist else "update or uninstall the package that brings it"
        broken = ModelError(
            f"the backbone {point.name!r} of the package {package} cannot be used: {point.value} fails with "
            f"{type(error).__name__}: {error}; {what_to_do}, or tell its authors"
        )
        broken.__cause__ = error
        _broken[point.name] = broken
        logger.warning("%s (all other backbones work)", broken)
