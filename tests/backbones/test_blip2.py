"""BLIP-2: what is its own alone; the rest is in the contract that all backbones keep."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Blip2ForImageTextRetrieval

from pnpovss import Segmenter
from pnpovss.backbones.base import LoadOptions, Reading, is_contrastive
from pnpovss.backbones.blip2.backbone import PROMPTS, Blip2Backbone, load_blip2
from pnpovss.errors import CheckpointError
from tests.support.blip2_models import QUERIES, make_blip2, own_logits, save_blip2

TEXT = "A picture of cat potted plant"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_blip2(tmp_path_factory.mktemp("blip2"))


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Blip2Backbone:
    return load_blip2(str(folder), LoadOptions())


@pytest.fixture(scope="module")
def original(folder: Path) -> Any:
    return Blip2ForImageTextRetrieval.from_pretrained(folder, attn_implementation="eager").eval()


def pixels(height: int = 32, width: int = 32, images: int = 1) -> Tensor:
    return torch.randn(images, 3, height, width, generator=torch.Generator().manual_seed(height * width))


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max().detach() / wanted.abs().max().detach())


def test_the_match_is_that_of_the_models_own_forward(backbone: Blip2Backbone, original: Any):
    image, prompt = pixels(), backbone.tokenize(TEXT)
    ids = torch.tensor([prompt.ids])
    wanted = original(image, ids, torch.ones_like(ids), use_image_text_matching_head=True).logits_per_image
    match = backbone.match(backbone.encode_images(image), [[prompt]])
    assert relative(match.logits[0], wanted[:, 1]) < 1e-5
    assert relative(match.probability[0], wanted.softmax(-1)[:, 1]) < 1e-5


@pytest.mark.parametrize("size", [(32, 32), (24, 56)], ids=str)
def test_maps_are_composed_over_the_queries(backbone: Blip2Backbone, original: Any, size: tuple[int, int]):
    image, prompt = pixels(*size), backbone.tokenize(TEXT)
    logits, output = own_logits(original, image, torch.tensor([prompt.ids]), output_attentions=True)
    layers = (2, 0)
    # transformers puts the cross-attentions among these, too.
    among = [each for each in output.attentions if each.shape[-1] == QUERIES + len(prompt)]
    read = [among[layer] for layer in layers]
    look = [output.cross_attentions[layer // 2] for layer in layers]
    grads = torch.autograd.grad(logits[0, 1], [*read, *look])
    features = backbone.encode_images(image)
    match = backbone.match(features, [[prompt]], Reading(layers))
    assert relative(match.logits[0], logits[:, 1]) < 1e-5
    [seen] = match.maps
    assert seen.gradient is not None
    assert seen.composed is not None
    for row in range(2):
        s, c = read[row][0, :, :QUERIES, QUERIES:], look[row][0, :, :, 1:]  # head q t, head q n
        gs, gc = grads[row][0, :, :QUERIES, QUERIES:], grads[2 + row][0, :, :, 1:]
        assert relative(seen.attention[row, :, 0].flatten(1), c.mean(1)) < 1e-5
        assert relative(seen.composed[row, :, 0].flatten(1), (gc.clamp(min=0) * c).sum(1)) < 1e-5
        for token in (1, 4, len(prompt) - 1):
            share = s.mean(0)[:, token]
            own = (share[:, None] / share.sum() * c).sum(1)
            assert relative(seen.attention[row, :, token].flatten(1), own) < 1e-5
            weight = (gs.clamp(min=0) * s).mean(0)[:, token]
            both = (weight[:, None] * gc.clamp(min=0) * c).sum(1)
            assert relative(seen.composed[row, :, token].flatten(1), both) < 1e-4
            assert relative(seen.gradient[row, :, token].flatten(1), gc.sum(1)) < 1e-4


def test_without_gradient_nothing_is_composed(backbone: Blip2Backbone):
    [seen] = backbone.match(
        backbone.encode_images(pixels()), [[backbone.tokenize(TEXT)]], Reading((0,), gradient=False)
    ).maps
    assert seen.gradient is None
    assert seen.composed is None
    assert float(seen.attention.sum((-1, -2)).max()) < 1  # the class token's share is left out


def test_many_prompts_are_matched_in_parts(backbone: Blip2Backbone):
    features = backbone.encode_images(pixels(images=2))
    prompts = [backbone.tokenize(f"A picture of {'cat ' * (n % 5)}dog") for n in range(PROMPTS + 3)]
    together = backbone.match(features, [prompts, prompts[:1]], Reading((2,)))
    alone = backbone.match(features[:1], [prompts[-1:]], Reading((2,)))
    assert relative(together.logits[0][-1:], alone.logits[0]) < 1e-4
    rows = len(prompts[-1])
    for what in ("attention", "gradient", "composed"):
        found, wanted = (getattr(match.maps[0], what) for match in (together, alone))
        assert found.shape[2] == sum(map(len, prompts))
        assert relative(found[:, :, -rows:], wanted) < 1e-4
    assert together.maps[1].attention.shape[2] == len(prompts[0])


def test_a_photo_by_one_prompt_per_name_and_by_one_for_all(folder: Path):
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    names = ["cat", "potted plant"]
    options: dict[str, Any] = {"device": "cpu", "without": ["presence", "crf", "dropout"]}
    each = Segmenter.from_pretrained(folder, **options)
    assert each.config.read == "answer"
    apart = each(photo, names)
    assert apart.provenance.prompts == ("A picture of cat", "A picture of potted plant")
    together = Segmenter.from_pretrained(folder, **options, settings={"read": "names"})(photo, names)
    assert together.provenance.prompts == ("A picture of cat potted plant",)
    for result in (apart, together):
        assert result.heatmaps.names.shape == (2, 4, 4)
        assert (result.heatmaps.names.max((1, 2)) > 0).all()
    assert "untuned: a guess" in each.backbone.card.recommended.source


def test_its_contrastive_heads_are_no_cosine(backbone: Blip2Backbone):
    assert not is_contrastive(backbone)
    assert backbone.card.heads == {0: 4, 2: 4}


def test_patches_are_cells_in_rows(backbone: Blip2Backbone):
    """With an image side that mixes nothing, blanking cell (r, c) changes token r * gw + c alone."""
    embed: Any = backbone._model.vision_model.embeddings
    image = pixels(24, 40)
    blanked = image.clone()
    blanked[..., 8:16, 24:32] = 0
    before, after = (embed(each, interpolate_pos_encoding=True)[0, 1:] for each in (image, blanked))
    assert (before != after).any(-1).unflatten(0, (3, 5)).nonzero().tolist() == [[1, 3]]


def test_bfloat16_is_near(folder: Path, backbone: Blip2Backbone):
    half = load_blip2(str(folder), LoadOptions(dtype=torch.bfloat16))
    assert half.card.dtype == torch.bfloat16
    found, wanted = (own.encode_images(pixels()).tokens for own in (half, backbone))
    assert found.dtype == torch.float32
    assert 1e-4 < relative(found, wanted) < 0.1
    assert half._model.query_tokens.dtype == half._model.itm_head.weight.dtype == torch.float32


def test_a_checkpoint_of_the_second_stage_is_refused(tmp_path: Path):
    save_blip2(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "itm_head" not in k}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"no head for image-text matching.*Salesforce/blip2-itm-vit-g"):
        load_blip2(str(tmp_path), LoadOptions())


def test_a_language_model_beside_it_is_left_alone(tmp_path: Path):
    """The config of the published ones has `image_token_index`, too, at which transformers cuts the text."""
    save_blip2(tmp_path, make_blip2(image_token_index=7))
    weights = load_file(tmp_path / "model.safetensors")
    save_file({**weights, "language_model.head": torch.ones(2)}, tmp_path / "model.safetensors")
    backbone = load_blip2(str(tmp_path), LoadOptions())
    match = backbone.match(backbone.encode_images(pixels()), [[backbone.tokenize(TEXT)]])
    assert float(match.probability[0]) > 0


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path: Path):
    save_blip2(tmp_path)
    weights, config = load_file(tmp_path / "model.safetensors"), json.loads((tmp_path / "config.json").read_text())
    save_file({k: v for k, v in weights.items() if "query_tokens" not in k}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="1 missing: query_tokens"):
        load_blip2(str(tmp_path), LoadOptions())
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "blip"}))
    with pytest.raises(CheckpointError, match="says model_type 'blip'; expected 'blip-2'"):
        load_blip2(str(tmp_path), LoadOptions())
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = (tmp_path / "vocab.txt").read_text().replace("[CLS]", "[XXX]")
    (tmp_path / "vocab.txt").write_text(words)
    with pytest.raises(CheckpointError, match=r"tokenizer"):
        load_blip2(str(tmp_path), LoadOptions())
