"""Which backbones there are, and which of them loads a model: the one that reads the `model_type` of its config."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from pnpovss.backbones.base import Backbone, LoadOptions
from pnpovss.backbones.parts.checkpoint import model_type, refuse_adapter
from pnpovss.backbones.parts.hub import hub_config, is_cached
from pnpovss.errors import ModelError, UnknownModelError
from pnpovss.plugins import Registry, Spec

__all__ = ["BackboneSpec", "known_backbones", "lazily", "load_backbone", "register"]

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class BackboneSpec(Spec):
    """An entry of the registry; its key is a short name of the architecture ("blip").

    Attributes:
        model_types: values of `model_type` in a config.json that it can load, whatever the name of the checkpoint.
        models: names to show, each with one line on what it is: hub ids, or names of its own ("mini").
        load: loads a name or folder, or raises a `ModelError`.
        available: for a name of `models`: whether its weights are on this machine; by default, in the hub's cache.
    """

    model_types: tuple[str, ...]
    models: dict[str, str]
    load: Callable[[str, LoadOptions], Backbone]
    available: Callable[[str], bool] = is_cached


_backbones = Registry(
    "backbone",
    BackboneSpec,
    "pnpovss.backbones",
    {
        "mini": "pnpovss.backbones.mini:SPEC",
        "blip": "pnpovss.backbones.blip:SPEC",
        "blip2": "pnpovss.backbones.blip2:SPEC",
        "bridgetower": "pnpovss.backbones.bridgetower:SPEC",
        "captioner": "pnpovss.backbones.captioner:SPEC",
        "dual": "pnpovss.backbones.dual:SPEC",
        "joint": "pnpovss.backbones.joint:SPEC",
        "decoder": "pnpovss.backbones.decoder:SPEC",
    },
)


def lazily(target: str) -> Callable[[str, LoadOptions], Backbone]:
    """A loader, "module:function", imported when it is called: nobody waits for a model that is not asked for."""
    module, _, function = target.partition(":")
    return lambda name, options: getattr(import_module(module), function)(name, options)


def register(spec: BackboneSpec) -> BackboneSpec:
    """Add a backbone to the registry; a package may also name its spec under the entry point `pnpovss.backbones`.

    Raises:
        ValueError: the key, or a model type, is taken by another spec.
    """
    for other in _backbones.known().values():
        taken = set(other.model_types) & set(spec.model_types)
        if other is not spec and other.key != spec.key and taken:
            raise ValueError(f"the model type {min(taken)!r} is registered already, by the backbone {other.key!r}")
    return _backbones.register(spec)


def known_backbones() -> dict[str, BackboneSpec]:
    """All backbones by key: those of this package, installed entry points, and what `register` was given.

    An entry point that cannot be loaded is left out, and a warning names its package; the others work all the same.
    """
    return _backbones.known()


def load_backbone(name: str | Path, options: LoadOptions | None = None) -> Backbone:
    """Load a model by its own name, hub id or folder.

    Raises:
        UnknownModelError: no backbone reads such a model; the message lists the known ones.
        CheckpointError: its files are missing, incomplete or damaged, or the hub does not give them.
        ModelError: it is the name of an installed backbone that cannot be used; the message names its package.
    """
    name, options = str(name), options or LoadOptions()
    specs = known_backbones()
    if name in _backbones.broken:
        raise ModelError(_backbones.broken[name])
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
    """The config.json of a folder or hub id; None where the name is neither.

    Raises:
        CheckpointError: the hub does not give it, or there is an adapter of PEFT instead of a model.
    """
    if (folder := Path(name)).is_dir():
        if not (folder / "config.json").is_file():
            refuse_adapter(folder)
        return folder / "config.json"
    return hub_config(name, options) if _HUB_ID.fullmatch(name) else None


def _nobody_loads(name: str, config: Path | None, kind: str | None, specs: dict[str, BackboneSpec]) -> str:
    why = ""
    if config is not None:
        why = f", whose config.json says model_type {kind!r}" if kind else ", whose config.json cannot be read"
        if not config.is_file():
            why = ", a folder without config.json"
    known = ", ".join(model for spec in specs.values() for model in spec.models)
    kinds = ", ".join(kind for spec in specs.values() for kind in spec.model_types)
    unusable = "".join(f" Perhaps it belongs to one that is broken: {error}." for error in _backbones.broken.values())
    return (
        f"no backbone knows the model {name!r}{why}. Known: {known}; or give any hub id or folder of model_type "
        f"{kinds}. `pnpovss models` tells what each needs.{unusable}"
    )
