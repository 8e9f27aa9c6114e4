"""Backbones: models whose text-to-image cross-attention can be read."""
