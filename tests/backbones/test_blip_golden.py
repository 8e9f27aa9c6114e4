"""The model against what the authors' released code computes on a small random checkpoint.

The stages after the model are held to 1e-5 of each map's maximum in test_golden_stages.py. The model itself cannot be:
twelve layers of random weights magnify rounding about two thousand times (the last test measures it), so that two
correct float32 forwards are 1e-3 apart in logits and up to 1e-2 of the maximum in GradCAM maps. transformers' own eager
forward is as far from these numbers in float32, and in float64, as ours. Exactness is therefore shown in float64, where
rounding cannot hide anything, and closeness to the released code up to its own rounding.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BlipForImageTextRetrieval

from pnpovss.backbones.base import ImageFeatures, LoadOptions
from pnpovss.backbones.blip import BlipBackbone, load_blip
from pnpovss.backbones.cross_attention import TextSide, match_prompts
from tests.support.blip_models import plain_match

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
IMAGES = range(4)
READ = [(7, 9), (3, 2)]

golden = np.load(GOLDEN / "golden.npz")
captions = json.loads((GOLDEN / "golden.json").read_text())["captions"]
pixels = torch.from_numpy(golden["pixel_values"])


@pytest.fixture(scope="module")
def backbone() -> BlipBackbone:
    return load_blip(str(GOLDEN / "model"), LoadOptions())


@pytest.fixture(scope="module")
def double() -> Any:
    return BlipForImageTextRetrieval.from_pretrained(GOLDEN / "model").eval().requires_grad_(False).double()


def difference(found: Tensor, theirs: np.ndarray | Tensor) -> float:
    """Largest difference, as a fraction of their map's maximum."""
    theirs = torch.as_tensor(theirs)
    return float((found - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("image", IMAGES)
def test_the_released_codes_numbers(backbone: BlipBackbone, image: int) -> None:
    prompt = backbone.tokenize(captions[image])
    features = backbone.encode_images(pixels[image : image + 1])
    match = backbone.match(features, [prompt], layers=[layer for layer, _ in READ])
    assert match.attention is not None
    assert match.attention.grads is not None
    assert float((match.logits - torch.from_numpy(golden[f"{image}_logits"])).abs().max()) < 1e-3
    # Their map has the class token's column, and the row of [ENC].
    assert difference(match.attention.probs[0, 0, 9].flatten(1), golden[f"{image}_attention_l7_h9"][:, 1:]) < 1e-3
    gradcam = match.attention.probs * match.attention.grads.relu()
    for row, (layer, head) in enumerate(READ):
        assert difference(gradcam[0, row, head, 1:], golden[f"{image}_gradcam_l{layer}_h{head}_tokens"]) < 2e-2


@pytest.mark.parametrize("image", IMAGES)
def test_exact_where_rounding_cannot_hide_anything(backbone: BlipBackbone, double: Any, image: int) -> None:
    prompt = backbone.tokenize(captions[image])
    text, tokens, ids = _double_side(double, image, prompt.ids)
    wanted = plain_match(text, ids, torch.ones_like(ids, dtype=torch.bool), tokens, (7, 3))
    match = match_prompts(text, ImageFeatures(tokens, (10, 10)), [prompt], layers=(7, 3))
    assert match.attention is not None
    assert match.attention.grads is not None
    for found, true in zip((match.attention.probs, match.attention.grads), wanted[1:], strict=True):
        assert difference(found.flatten(-2), true[..., 1:]) < 1e-9
    assert difference(match.logits, wanted[0]) < 1e-10


@pytest.mark.parametrize("image", IMAGES)
def test_how_far_rounding_goes_in_this_checkpoint(backbone: BlipBackbone, double: Any, image: int) -> None:
    """A change of the image tokens by float32's rounding unit moves the maps by far more than 1e-5 of the maximum."""
    prompt = backbone.tokenize(captions[image])
    text, tokens, _ = _double_side(double, image, prompt.ids)
    noise = 1 + 6e-8 * torch.randn(tokens.shape, generator=torch.Generator().manual_seed(image), dtype=tokens.dtype)
    maps = []
    for seen in (tokens, tokens * noise):
        attention = match_prompts(text, ImageFeatures(seen, (10, 10)), [prompt], layers=(7,)).attention
        assert attention is not None
        assert attention.grads is not None
        maps.append((attention.probs * attention.grads.relu())[0, 0, 9, 1:])
    assert 5e-5 < difference(maps[1], maps[0]) < 2e-2


def _double_side(double: Any, image: int, ids: tuple[int, ...]) -> tuple[TextSide, Tensor, Tensor]:
    encoder = double.text_encoder
    text = TextSide(encoder.embeddings, encoder.encoder.layer, double.itm_head, pad_id=0, max_tokens=64)
    with torch.no_grad():
        tokens = double.vision_model(pixels[image : image + 1].double()).last_hidden_state
    return text, tokens, torch.tensor([ids])
