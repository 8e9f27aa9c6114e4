"""What several backbones share: checkpoints, prompts paired with images, a BLIP-shaped text side."""
