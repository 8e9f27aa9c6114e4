"""CLIP, MetaCLIP 2, TIPSv2, SigLIP and SigLIP 2: two towers that place photos and texts in one space."""

from pnpovss.backbones.registry import BackboneSpec, lazily

__all__ = ["SPEC"]

MODELS = {
    "openai/clip-vit-base-patch16": "CLIP base, 224 px (0.6 GB)",
    "openai/clip-vit-large-patch14-336": "CLIP large, 336 px (1.7 GB)",
    "facebook/metaclip-2-worldwide-huge-quickgelu": "MetaCLIP 2 huge, many languages, 224 px (7 GB)",
    "google/tipsv2-b14": "TIPSv2 base, 448 px; wants a release of transformers that knows it (0.8 GB)",
    "google/siglip-base-patch16-224": "SigLIP base, 224 px (0.8 GB)",
    "google/siglip2-base-patch16-384": "SigLIP 2 base, 384 px (1.5 GB)",
}

SPEC = BackboneSpec(
    key="dual",
    summary="CLIP, MetaCLIP 2, TIPSv2, SigLIP, SigLIP 2 of fixed size (transformers); any hub id or folder",
    model_types=("clip", "metaclip_2", "siglip", "tipsv2"),
    models=MODELS,
    load=lazily("pnpovss.backbones.dual.backbone:load_dual"),
)
