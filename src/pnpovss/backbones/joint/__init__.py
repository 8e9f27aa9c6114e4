"""Models in which text and patches stand in one row and all see all: ViLT and FLAVA."""

from pnpovss.backbones.registry import BackboneSpec, lazily

__all__ = ["SPEC"]

MODELS = {
    "dandelin/vilt-b32-finetuned-coco": "ViLT, fine-tuned on COCO, patches of 32 px (0.4 GB)",
    "dandelin/vilt-b32-finetuned-flickr30k": "ViLT, fine-tuned on Flickr30k (0.4 GB)",
    "facebook/flava-full": "FLAVA, 224 px; its matching head was trained on texts with words left out (1.4 GB)",
}

SPEC = BackboneSpec(
    key="joint",
    summary="ViLT and FLAVA (transformers), text and patches in one row; any hub id or folder",
    model_types=("vilt", "flava"),
    models=MODELS,
    load=lazily("pnpovss.backbones.joint.backbone:load_joint"),
)
