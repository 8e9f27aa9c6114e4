"""The bundled model, ``mini``."""

from pnpovss.backbones.base import BackboneSpec
from pnpovss.backbones.mini.backbone import MODELS, MiniBackbone, available, claims, load_mini

__all__ = ["SPEC", "MiniBackbone"]

SPEC = BackboneSpec(
    key="mini",
    summary="the bundled model: EfficientNet-Lite2 and MiniLM, runs offline on a CPU",
    models=MODELS,
    claims=claims,
    load=load_mini,
    available=available,
)
