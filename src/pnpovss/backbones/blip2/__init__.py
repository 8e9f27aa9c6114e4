"""BLIP-2 image-text matching (arXiv 2301.12597): a few queries that look at the image and read the text."""

from pnpovss.backbones.registry import BackboneSpec, lazily

__all__ = ["SPEC"]

MODELS = {
    "Salesforce/blip2-itm-vit-g": "BLIP-2's first stage, ViT-g, 224 px (4.7 GB)",
    "Salesforce/blip2-itm-vit-g-coco": "BLIP-2's first stage, fine-tuned on COCO, 364 px (4.7 GB)",
}

SPEC = BackboneSpec(
    key="blip2",
    summary="BLIP-2 image-text matching (transformers), without its language model; any hub id or folder",
    model_types=("blip-2",),
    models=MODELS,
    load=lazily("pnpovss.backbones.blip2.backbone:load_blip2"),
)
