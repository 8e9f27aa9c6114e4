"""The bundled model, `mini`."""

from pnpovss.backbones.mini.backbone import MODELS, MiniBackbone, available, load_mini
from pnpovss.backbones.mini.checkpoint import MODEL_TYPE
from pnpovss.backbones.registry import BackboneSpec

__all__ = ["SPEC", "MiniBackbone"]

SPEC = BackboneSpec(
    key="mini",
    summary="the bundled model: EfficientNet-Lite2 and MiniLM, runs offline on a CPU",
    model_types=(MODEL_TYPE,),
    models=MODELS,
    load=load_mini,
    available=available,
)
