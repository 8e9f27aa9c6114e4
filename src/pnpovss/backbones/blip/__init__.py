"""BLIP image-text matching (arXiv 2201.12086)."""

from pnpovss.backbones.registry import BackboneSpec, lazily

__all__ = ["SPEC"]

MODELS = {
    "Salesforce/blip-itm-large-flickr": "BLIP large, fine-tuned on Flickr30k: the paper's model (1.9 GB)",
    "Salesforce/blip-itm-large-coco": "BLIP large, fine-tuned on COCO (1.9 GB)",
    "Salesforce/blip-itm-base-flickr": "BLIP base, fine-tuned on Flickr30k (0.9 GB)",
    "Salesforce/blip-itm-base-coco": "BLIP base, fine-tuned on COCO (0.9 GB)",
}

SPEC = BackboneSpec(
    key="blip",
    summary="BLIP image-text matching (transformers), base and large; any hub id or folder",
    model_types=("blip",),
    models=MODELS,
    load=lazily("pnpovss.backbones.blip.backbone:load_blip"),
)
