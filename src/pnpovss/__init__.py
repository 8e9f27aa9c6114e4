"""Segment images by words with off-the-shelf vision-language models.

    from pnpovss import Segmenter

    result = Segmenter.from_pretrained("mini")("photo.jpg", ["cat", "sofa"])

The names below are the public interface. They are imported on first use, so that `import pnpovss` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pnpovss._version import __version__

if TYPE_CHECKING:
    from pnpovss.backbones.base import Backbone
    from pnpovss.backbones.registry import BackboneSpec, register
    from pnpovss.config import Config
    from pnpovss.errors import (
        CheckpointError,
        ConfigError,
        DatasetError,
        ImageError,
        InvalidInputError,
        MissingExtraError,
        ModelError,
        NamesError,
        OutputError,
        PnpOvssError,
        PresenceError,
        ResourceError,
        UnknownModelError,
    )
    from pnpovss.images import load_image
    from pnpovss.names import Name
    from pnpovss.results.heatmaps import HeatMaps
    from pnpovss.results.provenance import Provenance
    from pnpovss.results.segmentation import Segmentation
    from pnpovss.segmenter import Segmenter
    from pnpovss.tuning.tune import tune

__all__ = [
    "Backbone",
    "BackboneSpec",
    "CheckpointError",
    "Config",
    "ConfigError",
    "DatasetError",
    "HeatMaps",
    "ImageError",
    "InvalidInputError",
    "MissingExtraError",
    "ModelError",
    "Name",
    "NamesError",
    "OutputError",
    "PnpOvssError",
    "PresenceError",
    "Provenance",
    "ResourceError",
    "Segmentation",
    "Segmenter",
    "UnknownModelError",
    "__version__",
    "load_image",
    "register",
    "tune",
]

_HOMES = {
    "Backbone": "backbones.base",
    **dict.fromkeys(("BackboneSpec", "register"), "backbones.registry"),
    "HeatMaps": "results.heatmaps",
    "Provenance": "results.provenance",
    "Segmentation": "results.segmentation",
    "Name": "names",
    "Config": "config",
    "Segmenter": "segmenter",
    "load_image": "images",
    "tune": "tuning.tune",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
