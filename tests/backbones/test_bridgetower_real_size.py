"""BridgeTower at its real sizes, randomly initialised, through the same door as a published checkpoint."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BridgeTowerConfig, BridgeTowerForImageAndTextRetrieval

from pnpovss.backbones.base import LoadOptions, Reading
from pnpovss.backbones.bridgetower.backbone import load_bridgetower
from tests.support.fuser_models import save_bridgetower

LARGE_TEXT = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
LARGE_IMAGE = {"hidden_size": 1024, "num_hidden_layers": 24, "image_size": 294, "patch_size": 14}
LARGE = {"hidden_size": 1024, "num_attention_heads": 16, "text_config": LARGE_TEXT, "vision_config": LARGE_IMAGE}
SIZES: dict[str, tuple[dict[str, Any], int, int, float]] = {  # config, side [px], heads, size of the file [GB]
    "base": ({"text_config": {}, "vision_config": {}}, 288, 12, 1.2),
    "large": (LARGE, 294, 16, 3.3),
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("size", SIZES)
def test_bridgetower(tmp_path: Path, size: str) -> None:
    config, side, heads, gigabytes = SIZES[size]
    torch.manual_seed(0)
    folder = save_bridgetower(tmp_path, BridgeTowerForImageAndTextRetrieval(BridgeTowerConfig(**config)))
    assert (folder / "model.safetensors").stat().st_size > gigabytes * 1e9
    backbone = load_bridgetower(str(folder), LoadOptions())
    card, prompt = backbone.card, backbone.tokenize("A picture of cat potted plant sofa")
    assert card.heads == dict.fromkeys(range(6), heads)
    assert (card.max_tokens, card.recommended.image_size, card.recommended.layer) == (512, side, 3)
    for height, width in ((side, side), (side, side + 4 * card.patch)):
        features = backbone.encode_images(torch.randn(1, 3, height, width))
        [seen] = backbone.match(features, [[prompt]], Reading((card.recommended.layer,))).maps
        assert seen.gradient is not None
        assert seen.attention.shape == (1, heads, len(prompt), height // card.patch, width // card.patch)
        assert 0.9 < float(seen.attention[0, 0].sum((-1, -2)).mean()) < 1
        assert bool(seen.gradient.isfinite().all())
        assert bool(seen.gradient[:, :, 1:-1].any())
