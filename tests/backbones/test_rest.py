"""Models whose image side is no multiple of the patch: the convolution into patches steps over the rest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.base import LoadOptions, Reading
from pnpovss.backbones.decoder.backbone import load_decoder
from pnpovss.backbones.dual.backbone import load_dual
from pnpovss.errors import ConfigError
from pnpovss.segmenter import Segmenter
from tests.support.decoder_models import RESTS, Whole, save_decoder
from tests.support.dual_checkpoints import make_clip, make_metaclip, make_siglip, make_tips, save, seen_by

DUAL: dict[str, Callable[..., Any]] = {
    "clip": make_clip,
    "metaclip": make_metaclip,
    "siglip": make_siglip,
    "tipsv2": make_tips,
}
PHOTO = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)


def saved(kind: str, folder: Path) -> Path:
    if kind in DUAL:
        return save(folder, DUAL[kind](side=36))
    family, config, _, _ = RESTS[kind]
    return save_decoder(folder, family, config=config)


def images(side: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side))


def as_processed(pixels: Tensor, side: int) -> Tensor:
    """As large as the model's own processor makes them, with something else where no patch lies."""
    rest = side - pixels.shape[-1]
    return F.pad(pixels, (0, rest, 0, rest), value=3.0)


@pytest.mark.parametrize("kind", [*DUAL, *RESTS])
def test_a_photo_is_segmented_by_default(kind: str, tmp_path: Path) -> None:
    segmenter = Segmenter.from_pretrained(saved(kind, tmp_path), device="cpu")
    card = segmenter.backbone.card
    assert card.recommended.image_size % card.patch == 0
    assert segmenter.config.image_size == card.recommended.image_size
    assert segmenter(PHOTO, ["cat"], present=[0]).labels.shape == (40, 60)


@pytest.mark.parametrize("kind", DUAL)
def test_a_dual_encoder_sees_what_its_own_forward_sees(kind: str, tmp_path: Path) -> None:
    """At the size it was made for, so with its own positions, not interpolated ones."""
    backbone = load_dual(str(saved(kind, tmp_path)), LoadOptions())
    assert backbone.card.recommended.image_size == 32
    model, pixels = backbone._dual.model, images(32)
    given = seen_by(model, as_processed(pixels, 36))
    given.pop("interpolate_pos_encoding", None)
    wanted = F.normalize(model.get_image_features(**given).pooler_output, dim=-1)
    torch.testing.assert_close(backbone.embed_images(backbone.encode_images(pixels)), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", RESTS)
def test_a_decoder_sees_what_its_own_forward_sees(kind: str, tmp_path: Path) -> None:
    family, _, cell, side = RESTS[kind]
    folder = saved(kind, tmp_path)
    backbone, whole = load_decoder(str(folder), LoadOptions()), Whole(folder, family)
    own = side // cell * cell
    assert (backbone.card.patch, backbone.card.recommended.image_size) == (cell, own)
    prompt, pixels = backbone.tokenize(backbone.card.prompt.format("cat")), images(own)
    features = backbone.encode_images(pixels)
    assert features.grid == (own // cell, own // cell)
    cells = (own // cell) ** 2
    ids = whole.ids("Does this figure show 'cat'? Please answer yes or no.", cells)
    logits, output = whole(as_processed(pixels, side), ids, output_attentions=True)
    match = backbone.match(features, [[prompt]] * 2, Reading((1,)))
    torch.testing.assert_close(torch.cat(match.logits), logits.detach(), rtol=1e-4, atol=1e-5)
    start = len(ids) - len(prompt) - cells
    for image, seen in enumerate(match.maps):
        wanted = output.attentions[1][image, :, start + cells :, start : start + cells].detach()
        torch.testing.assert_close(seen.attention[0].flatten(2), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["smolvlm", "idefics3", "internvl"])
def test_tiles_are_whole_cells_too(kind: str, tmp_path: Path) -> None:
    """Tiles lie side by side; the processors' larger ones would each lose the rest at its right and lower edge."""
    folder, (_, _, cell, side) = saved(kind, tmp_path), RESTS[kind]
    own = side // cell * cell
    found = Segmenter.from_pretrained(folder, device="cpu", settings={"image_size": 2 * own, "presence": None})
    assert found(PHOTO, ["cat"]).heatmaps.names.shape == (1, 2 * own // cell, 2 * own // cell)
    with pytest.raises(ConfigError, match=f"image_size {side} is no multiple of the patch .*; try {own}"):
        Segmenter.from_pretrained(folder, device="cpu", settings={"image_size": side})
