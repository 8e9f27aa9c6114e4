"""BLIP image-text matching."""

from pnpovss.backbones.blip.backbone import SPEC, BlipBackbone, load_blip

__all__ = ["SPEC", "BlipBackbone", "load_blip"]
