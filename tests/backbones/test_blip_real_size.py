"""BLIP large at its real size, randomly initialised, through the same door as a published checkpoint."""

from pathlib import Path

import pytest
import torch
from transformers import BlipConfig, BlipForImageTextRetrieval

from pnpovss.backbones.base import LoadOptions, Reading
from pnpovss.backbones.blip.backbone import BlipBackbone, load_blip
from tests.support.blip_models import save_checkpoint

LARGE_VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}


def save_random(folder: Path, **vision: int) -> Path:
    settings = {"image_size": 384, "layer_norm_eps": 1e-6, "initializer_range": 0.02, **vision}
    config = BlipConfig(text_config={"num_attention_heads": 12}, vision_config=settings)
    torch.manual_seed(0)
    return save_checkpoint(folder, BlipForImageTextRetrieval(config).eval())


def check_both_sizes(backbone: BlipBackbone) -> None:
    prompt = backbone.tokenize("A picture of cat potted plant sofa")
    assert prompt.ids[0] == 30523
    assert backbone.card.heads == dict.fromkeys(range(12), 12)
    for side in (336, 384):
        features = backbone.encode_images(torch.randn(1, 3, side, side))
        [seen] = backbone.match(features, [[prompt]], Reading((backbone.card.recommended.layer,))).maps
        assert seen.gradient is not None
        assert seen.attention.shape == seen.gradient.shape == (1, 12, len(prompt), side // 16, side // 16)
        assert 0.9 < float(seen.attention[0, 9].sum((-1, -2)).mean()) < 1
        assert bool(seen.gradient.isfinite().all())
        assert float(seen.gradient.abs().max()) > 0


def test_published_vocabulary_with_a_small_image_side(tmp_path: Path) -> None:
    small = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    backbone = load_blip(str(save_random(tmp_path, **small)), LoadOptions())
    assert backbone.card.recommended.image_size == 336
    check_both_sizes(backbone)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_blip_large(tmp_path: Path) -> None:
    folder = save_random(tmp_path, **LARGE_VISION)
    assert (folder / "model.safetensors").stat().st_size > 1.5e9
    backbone = load_blip(str(folder), LoadOptions())
    assert "tuned for BLIP large" in backbone.card.recommended.source
    assert backbone.card.revision is not None
    assert backbone.card.revision.startswith("sampled-sha256:")
    check_both_sizes(backbone)
