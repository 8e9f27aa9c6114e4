"""Models that write captions, asked how likely the image makes a name: Florence-2 and BLIP's captioner."""

from pnpovss.backbones.registry import BackboneSpec, lazily

__all__ = ["SPEC"]

MODELS = {
    "florence-community/Florence-2-base": "Florence-2 base, 0.23 B parameters: 24 x 24 cells of 32 px (0.5 GB)",
    "florence-community/Florence-2-large": "Florence-2 large, 0.77 B parameters (1.6 GB)",
    "Salesforce/blip-image-captioning-base": "BLIP base, writes captions, 384 px (1 GB)",
    "Salesforce/blip-image-captioning-large": "BLIP large, writes captions, 384 px (1.9 GB)",
}

SPEC = BackboneSpec(
    key="captioner",
    summary="Florence-2 and BLIP's captioner (transformers), by the likelihood of a name; any hub id or folder",
    model_types=("florence2",),  # a "blip" that writes captions is told from one that matches by its weights
    models=MODELS,
    load=lazily("pnpovss.backbones.captioner.backbone:load_captioner"),
)
