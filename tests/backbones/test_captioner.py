"""Florence-2 and BLIP's captioner: what is theirs alone; the rest is in the contract that all backbones keep."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BlipForConditionalGeneration, Florence2ForConditionalGeneration

from pnpovss import Segmenter
from pnpovss.backbones.base import LoadOptions, Reading
from pnpovss.backbones.blip.backbone import BlipBackbone
from pnpovss.backbones.captioner.backbone import PROMPTS, CaptionerBackbone
from pnpovss.backbones.parts.origin import Origin
from pnpovss.backbones.parts.tuned import tuned
from pnpovss.backbones.registry import load_backbone
from pnpovss.config import Config
from pnpovss.errors import CheckpointError, ConfigError, InvalidInputError
from pnpovss.inputs import input_size
from tests.support.blip_models import save_checkpoint
from tests.support.captioner_models import (
    blip_likely,
    florence2_likely,
    save_blip,
    save_florence2,
    watched,
    words_of,
)

TEXT = "A picture of potted plant cat"
SAVE = {"florence2": save_florence2, "blip": save_blip}


@pytest.fixture(scope="module", params=SAVE)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CaptionerBackbone:
    loaded = load_backbone(SAVE[request.param](tmp_path_factory.mktemp(request.param)))
    assert isinstance(loaded, CaptionerBackbone)
    return loaded


def pixels(height: int = 32, width: int = 32, images: int = 1) -> Tensor:
    return torch.randn(images, 3, height, width, generator=torch.Generator().manual_seed(height * width))


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max().detach() / wanted.abs().max().detach())


def original(backbone: CaptionerBackbone, image: Tensor, layer: int) -> tuple[Tensor, Tensor]:
    """transformers' own likelihoods "t" and the attention "head t n" of a layer, in a graph."""
    folder, prompt = backbone.card.name, backbone.tokenize(TEXT)
    if json.loads((Path(folder) / "config.json").read_text())["model_type"] == "blip":
        model: Any = BlipForConditionalGeneration.from_pretrained(folder).eval()
        with watched(model, layer) as seen:
            likely = blip_likely(model, image, prompt)
        return likely, seen[0]
    model = Florence2ForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").eval()
    likely, output = florence2_likely(model, folder, image, prompt, output_attentions=True)
    return likely, output.cross_attentions[layer]


CLOSE = 5e-5
"""Relative; processors add float32 up in different orders."""


@pytest.mark.parametrize("size", [(32, 32), (24, 56)], ids=str)
@pytest.mark.parametrize("layer", [0, 2])
def test_equals_transformers(backbone: CaptionerBackbone, size: tuple[int, int], layer: int):
    image, prompt = pixels(*size), backbone.tokenize(TEXT)
    likely, attention = original(backbone, image, layer)
    words, cells = words_of(prompt), slice(1, 1 + size[0] * size[1] // 64)
    features = backbone.encode_images(image)
    match = backbone.match(features, [[prompt]], Reading((layer,)))
    assert relative(match.logits[0], likely[words].sum()) < CLOSE
    [seen] = match.maps
    assert seen.gradient is not None
    assert seen.composed is not None
    rows = slice(0, len(prompt))
    assert relative(seen.attention[0].flatten(2), attention[0, :, rows, cells]) < CLOSE
    [whole] = torch.autograd.grad(likely[words].sum(), [attention], retain_graph=True)
    assert relative(seen.gradient[0].flatten(2), whole[0, :, rows, cells]) < CLOSE
    for token in words:
        [own] = torch.autograd.grad(likely[token], [attention], retain_graph=True)
        wanted = (own.clamp(min=0) * attention)[0, :, token, cells]
        assert relative(seen.composed[0, :, token].flatten(1), wanted) < CLOSE
    special = [token for token in range(len(prompt)) if token not in words]
    assert special
    assert not seen.composed[0, :, special].any()


def test_a_token_s_map_is_of_the_row_that_writes_it(backbone: CaptionerBackbone):
    """The row has read what stands before the token, and nothing of the token itself."""
    features = backbone.encode_images(pixels())
    first, second = (backbone.tokenize(f"A picture of {name}") for name in ("cat", "dog"))
    assert [a == b for a, b in zip(first.ids, second.ids, strict=True)].count(False) == 1
    maps = [backbone.match(features, [[each]], Reading((1,), gradient=False)).maps[0] for each in (first, second)]
    place = next(i for i, (a, b) in enumerate(zip(first.ids, second.ids, strict=True)) if a != b)
    assert relative(maps[0].attention[:, :, : place + 1], maps[1].attention[:, :, : place + 1]) < 1e-6
    assert relative(maps[0].attention[:, :, place + 1], maps[1].attention[:, :, place + 1]) > 1e-3


def test_probability_is_against_a_picture_of_the_mean_colour(backbone: CaptionerBackbone):
    prompt = backbone.tokenize(TEXT)
    blank, image = (backbone.match(backbone.encode_images(each), [[prompt]]) for each in (pixels() * 0, pixels()))
    assert float(blank.probability[0]) == pytest.approx(0.5)
    assert relative(image.probability[0], (image.logits[0] - blank.logits[0]).sigmoid()) < 1e-5
    for side in (40, 48, 56, 64, 72):  # few are remembered
        backbone.match(backbone.encode_images(pixels(side, 32)), [[prompt]])
    assert len(backbone._blanks) <= 4


def test_what_another_thread_forgets_meanwhile_is_not_missed(
    backbone: CaptionerBackbone, monkeypatch: pytest.MonkeyPatch
):
    features = backbone.encode_images(pixels())
    prompts = [backbone.tokenize(f"A picture of {name}") for name in ("cat", "dog")]
    expected = backbone.match(features, [prompts]).probability[0]
    [blank] = (each for each in backbone._blanks.values() if prompts[1] in each.likely)
    del blank.likely[prompts[1]]
    read = backbone._read

    def forgetful(*given: Any) -> Any:
        blank.likely.clear()
        return read(*given)

    monkeypatch.setattr(backbone, "_read", forgetful)
    assert relative(backbone.match(features, [prompts]).probability[0], expected) < 1e-6


def test_many_texts_are_written_in_parts(backbone: CaptionerBackbone):
    features = backbone.encode_images(pixels(images=2))
    prompts = [backbone.tokenize(f"A picture of {'cat ' * (n % 5)}dog") for n in range(PROMPTS + 3)]
    together = backbone.match(features, [prompts, prompts[:1]], Reading((0, 2)))
    alone = backbone.match(features[:1], [prompts[-1:]], Reading((0, 2)))
    assert relative(together.logits[0][-1:], alone.logits[0]) < 1e-5
    rows = len(prompts[-1])
    for what in ("attention", "gradient", "composed"):
        found, wanted = (getattr(match.maps[0], what) for match in (together, alone))
        assert found.shape[2] == sum(map(len, prompts))
        assert relative(found[:, :, -rows:], wanted) < 1e-4


def test_a_photo_and_a_caption_word_by_word(backbone: CaptionerBackbone):
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    segmenter = Segmenter.from_pretrained(
        backbone.card.name, device="cpu", settings={"image_size": 32, "crf": None, "head": 1, "dropout.passes": 2}
    )
    assert segmenter.config.presence is None
    found = segmenter(photo, ["potted plant", "cat"])
    assert found.provenance.prompts == ("A picture of potted plant", "A picture of cat")
    assert (found.heatmaps.names.max((1, 2)) > 0).all()
    caption = segmenter(photo, ["cat of a potted plant"]).heatmaps
    assert caption.words == ("A", "picture", "of", "cat", "of", "a", "potted", "plant")
    seen = [each.tobytes() for each in caption.word_maps if each.any()]
    assert len(set(seen)) == len(seen) > 3
    with pytest.raises(ConfigError, match="cannot be read by 'answer'; it can by: names"):
        Segmenter.from_pretrained(backbone.card.name, device="cpu", settings={"read": "answer"})


def test_bfloat16_is_near(backbone: CaptionerBackbone):
    half = load_backbone(backbone.card.name, LoadOptions(dtype=torch.bfloat16))
    found, wanted = (own.encode_images(pixels()).tokens for own in (half, backbone))  # pyright: ignore
    assert found.dtype == torch.float32
    assert 1e-5 < relative(found, wanted) < 0.2


def test_florence2_has_places_for_so_many_patches(tmp_path: Path):
    backbone: Any = load_backbone(save_florence2(tmp_path))
    assert (backbone.card.patch, backbone.card.recommended.image_size) == (8, 80)
    with pytest.raises(InvalidInputError, match="has 1 x 11 patches; this model has places for 10 each way"):
        backbone.encode_images(torch.zeros(1, 3, 8, 88))
    with pytest.raises(ConfigError, match="reads images of at most 80 px a side, got image_size 88"):
        Config(image_size=88).resolve(backbone.card)
    wide = input_size(Image.new("RGB", (90, 30)), 80, backbone.card, keep_aspect=True)
    assert wide == (24, 80)
    assert backbone.encode_images(torch.zeros(1, 3, *wide)).grid == (3, 10)


def test_the_longest_side_of_florence2_leaves_positions_for_its_task(tmp_path: Path):
    folder = save_florence2(tmp_path)
    task = len(load_backbone(folder)._writer._task)  # pyright: ignore
    kept = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if name.endswith("embed_positions.weight")]:
        weights[name] = weights[name][: 2 + 65 + task].clone()  # BART's begin at 2
    kept["text_config"]["max_position_embeddings"] = 65 + task  # one token, 64 cells, the task
    (folder / "config.json").write_text(json.dumps(kept))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    backbone = load_backbone(folder)
    assert backbone.card.longest_side == backbone.card.recommended.image_size == 64
    assert backbone.encode_images(torch.zeros(1, 3, 64, 64)).grid == (8, 8)


def test_florence2_has_so_many_positions(tmp_path: Path):
    folder = save_florence2(tmp_path)
    backbone: Any = load_backbone(folder)
    task = len(backbone._writer._task)
    backbone._writer._positions = 110
    with pytest.raises(InvalidInputError, match=rf"100 patches .* {task} words .* takes more than the 110 positions"):
        backbone.encode_images(torch.zeros(1, 3, 80, 80))


def test_a_cell_of_florence2_is_its_place(tmp_path: Path):
    """Token 1 + r * gw + c is what the tower gives at (r, c); the first stands for all."""
    backbone: Any = load_backbone(save_florence2(tmp_path))
    model = backbone._writer._model
    seen = model.vision_tower(pixels(24, 56)).last_hidden_state
    assert seen.shape[2:] == (3, 7)
    changed = seen.clone()
    changed[:, 0, 1, 3] += 1
    before, after = (model.multi_modal_projector(each)[0] for each in (seen, changed))
    assert (before != after).any(-1).nonzero().flatten().tolist() == [0, 1 + 1 * 7 + 3]


def test_blip_is_told_apart_by_its_weights(tmp_path: Path):
    matching, writing = tmp_path / "matching", tmp_path / "writing"
    assert isinstance(load_backbone(save_checkpoint(matching)), BlipBackbone)
    assert isinstance(load_backbone(save_blip(writing)), CaptionerBackbone)


def test_what_was_tuned_for_matching_is_not_taken_for_writing(backbone: CaptionerBackbone):
    """BLIP's large captioner has the sizes of the large matching model, which the paper tuned."""
    large = {
        "model_type": "blip",
        "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24},
        "text_config": {"num_hidden_layers": 12, "num_attention_heads": 12},
    }
    assert tuned("large", large) is not None
    own = CaptionerBackbone(backbone._writer, large, Origin("large", None)).card.recommended
    assert own.source.startswith("untuned")
    assert own.image_size == backbone.card.recommended.image_size
    assert not own.tells_absence


def test_text_heads_of_an_early_config_are_doubted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    load_backbone(save_blip(tmp_path, hidden_size=768, num_attention_heads=8, num_hidden_layers=1))
    assert "its config says 8 text heads, BLIP was trained with 12" in caplog.text


@pytest.mark.parametrize("kind", SAVE)
def test_damaged_and_foreign_checkpoints_are_refused(tmp_path: Path, kind: str):
    folder = SAVE[kind](tmp_path)
    weights = load_file(folder / "model.safetensors")
    dropped = next(name for name in weights if "layers.1" in name or "layer.1" in name)
    save_file({k: v for k, v in weights.items() if k != dropped}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"1 missing: {dropped}"):
        load_backbone(folder)
    save_file(weights, folder / "model.safetensors")
    for file in folder.glob("*o*"):
        if file.name in ("tokenizer.json", "vocab.txt"):
            file.unlink()
    with pytest.raises(CheckpointError, match="no tokenizer"):
        load_backbone(folder)


def test_a_tokenizer_that_ends_otherwise_is_refused(tmp_path: Path):
    folder = save_florence2(tmp_path)
    words = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**words, "post_processor": None}))
    with pytest.raises(CheckpointError, match="expected <s> before and </s> after it"):
        load_backbone(folder)


def test_a_start_token_that_there_is_not_is_refused(tmp_path: Path):
    folder = save_blip(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["bos_token_id"] = 99
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="captions start with token 99"):
        load_backbone(folder)
