"""BridgeTower image-text matching (arXiv 2206.08657), the paper's second model."""

from pnpovss.backbones.registry import BackboneSpec, lazily

__all__ = ["SPEC"]

MODELS = {
    "BridgeTower/bridgetower-base-itm-mlm": "BridgeTower base, pre-trained on captions (1.3 GB)",
    "BridgeTower/bridgetower-large-itm-mlm": "BridgeTower large, pre-trained on captions (3.5 GB)",
}

SPEC = BackboneSpec(
    key="bridgetower",
    summary="BridgeTower image-text matching (transformers), base and large; any hub id or folder",
    model_types=("bridgetower",),
    models=MODELS,
    load=lazily("pnpovss.backbones.bridgetower.backbone:load_bridgetower"),
)
