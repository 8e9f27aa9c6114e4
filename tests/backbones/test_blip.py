import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor
from transformers import BlipConfig, BlipForImageTextRetrieval

from pnpovss.backbones.base import Backbone, LoadOptions, Reading, is_contrastive
from pnpovss.backbones.blip import SPEC
from pnpovss.backbones.blip.backbone import BlipBackbone, load_blip
from pnpovss.backbones.parts.tuned import tuned
from pnpovss.backbones.registry import load_backbone
from pnpovss.errors import ConfigError, InvalidInputError
from tests.support.blip_models import random_model, save_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module")
def backbone(folder: Path) -> BlipBackbone:
    return load_blip(str(folder), LoadOptions())


@pytest.fixture(scope="module")
def original(folder: Path) -> BlipForImageTextRetrieval:
    return BlipForImageTextRetrieval.from_pretrained(folder).eval()


def pixels(images: int, height: int = 32, width: int = 32) -> Tensor:
    return torch.randn(images, 3, height, width, generator=torch.Generator().manual_seed(height * width + images))


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def eager(model: Any, images: Tensor, ids: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """transformers' own forward of one prompt, its attention ("layer b head token n") and plain autograd."""
    tokens = model.vision_model(images, interpolate_pos_encoding=True).last_hidden_state
    text = torch.tensor([ids]).expand(len(images), -1)
    out = model.text_encoder(
        text,
        attention_mask=torch.ones_like(text),
        encoder_hidden_states=tokens,
        encoder_attention_mask=torch.ones(tokens.shape[:2]),
        output_attentions=True,
    )
    logits = model.itm_head(out.last_hidden_state[:, 0])
    grads = torch.autograd.grad(logits[:, 1].sum(), out.cross_attentions)
    return logits.detach(), torch.stack(out.cross_attentions).detach(), torch.stack(grads)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 48), (24, 56), (64, 16)])
def test_equals_transformers(
    backbone: BlipBackbone, original: BlipForImageTextRetrieval, height: int, width: int
) -> None:
    images, prompt = pixels(2, height, width), backbone.tokenize("A picture of cat potted plant")
    logits, probs, grads = eager(original, images, list(prompt.ids))
    features = backbone.encode_images(images)
    match = backbone.match(features, [[prompt]] * 2, Reading((1, 3, 0)))
    assert features.grid == (height // 8, width // 8)
    assert relative(torch.cat(match.logits), logits[:, 1]) < 1e-5
    for image, seen in enumerate(match.maps):
        assert seen.gradient is not None
        for row, layer in enumerate((1, 3, 0)):
            attention, gradient = (maps[layer][image, ..., 1:].unflatten(-1, features.grid) for maps in (probs, grads))
            assert relative(seen.attention[row], attention) < 1e-5
            assert relative(seen.gradient[row], gradient) < 1e-5


def test_similarity_equals_transformers(backbone: BlipBackbone, original: BlipForImageTextRetrieval) -> None:
    images, texts = pixels(3), ["a picture of cat", "dog"]
    embedded = backbone.embed_texts([backbone.tokenize(text) for text in texts])
    found = backbone.embed_images(backbone.encode_images(images)) @ embedded.T
    for column, text in enumerate(texts):
        ids = torch.tensor([[2, *backbone.tokenize(text).ids[1:]]])  # [CLS]
        with torch.no_grad():
            wanted = original(ids, images, use_itm_head=False, attention_mask=torch.ones_like(ids)).itm_score
        assert relative(found[:, column], wanted[:, 0]) < 1e-5
    assert found.shape == (3, 2)
    assert float(found.abs().max()) <= 1 + 1e-6


def test_images_do_not_see_their_batch(backbone: BlipBackbone) -> None:
    together = backbone.encode_images(pixels(3)).tokens
    for row, image in enumerate(pixels(3)):
        assert relative(together[row], backbone.encode_images(image[None]).tokens[0]) < 1e-5


def test_satisfies_the_protocol(backbone: BlipBackbone, folder: Path) -> None:
    assert isinstance(backbone, Backbone)
    assert is_contrastive(backbone)
    card = backbone.card
    assert card.name == str(folder)
    assert card.revision is not None
    assert card.revision.startswith("sha256:")
    assert (card.patch, card.max_tokens) == (8, 40)
    assert card.heads == dict.fromkeys(range(4), 4)
    assert (card.device, card.dtype) == (torch.device("cpu"), torch.float32)


def test_weights_are_frozen_and_nothing_installed_is_touched(folder: Path) -> None:
    forwards = {
        module: vars(module).get("forward")
        for module in map(type, BlipForImageTextRetrieval.from_pretrained(folder).modules())
    }
    own = load_blip(str(folder), LoadOptions())
    features = own.encode_images(pixels(1))
    assert not features.tokens.requires_grad
    assert not features.tokens.is_inference()
    own.match(features, [[own.tokenize("a cat")]], Reading((2,)))
    assert all(vars(module).get("forward") is forward for module, forward in forwards.items())
    layers = [*own._text.layers, *own._vision._model.encoder.layers]
    weights = [w for layer in layers for w in layer.parameters()]
    assert weights
    assert not any(w.requires_grad or w.grad is not None for w in weights)


def test_bfloat16_is_near(folder: Path, backbone: BlipBackbone) -> None:
    half = load_blip(str(folder), LoadOptions(dtype=torch.bfloat16))
    prompt = backbone.tokenize("a picture of cat")
    exact, rounded = (own.encode_images(pixels(2)) for own in (backbone, half))
    assert half.card.dtype == torch.bfloat16
    assert rounded.tokens.dtype == torch.float32
    difference = relative(rounded.tokens, exact.tokens)
    assert 1e-5 < difference < 0.05  # it did round, and not by much
    first, second = (
        torch.cat(own.match(seen, [[prompt]] * 2).logits) for own, seen in ((backbone, exact), (half, rounded))
    )
    assert relative(second, first) < 0.05


def test_tokens_know_where_they_come_from(backbone: BlipBackbone) -> None:
    text = "A picture of Pottedplant, 🐈 [SEP] cat"
    tokens = backbone.tokenize(text)
    assert tokens.pieces[:6] == ("[ENC]", "a", "picture", "of", "potted", "##plant")
    assert tokens.ids[0] == 15
    assert tokens.offsets[0] == tokens.offsets[-1] == (0, 0)
    assert [text[start:end] for start, end in tokens.offsets[4:6]] == ["Potted", "plant"]
    start, end = tokens.offsets[tokens.pieces.index("cat")]
    assert text[start:end] == "cat"
    assert tokens.pieces.count("[SEP]") == 1  # the name's own is text


@pytest.fixture
def unchecked() -> Iterator[None]:
    """The suite may run with shapes checked by jaxtyping; users do not, and meet our own message."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.mark.usefixtures("unchecked")
def test_pixels_that_do_not_fit_the_patch(backbone: BlipBackbone) -> None:
    with pytest.raises(InvalidInputError, match=r"32 x 33 px is no multiple of the patch, 8 px; try 32 x 32"):
        backbone.encode_images(torch.zeros(1, 3, 32, 33))
    with pytest.raises(InvalidInputError, match=r"\(3, 32, 32\); expected \(images, 3"):
        backbone.encode_images(torch.zeros(3, 32, 32))


def test_devices_and_dtypes_are_obeyed_or_refused() -> None:
    for device in ("cuda", "mps", "meta"):
        if device != "meta" and getattr(torch, device).is_available():
            continue
        with pytest.raises(ConfigError, match=f"device '{device}' is not on this machine; it has: "):
            LoadOptions(device=torch.device(device))
    with pytest.raises(ConfigError, match="unknown dtype 'float16'; expected one of float32, bfloat16"):
        LoadOptions(dtype=torch.float16)


def test_untuned_checkpoints_say_so(backbone: BlipBackbone) -> None:
    own = backbone.card.recommended
    assert (own.layer, own.head, own.image_size) == (2, 3, 32)  # of four, the last of which names cannot read
    assert own.source == "untuned: the paper tuned only BLIP-large"


def test_the_papers_settings_are_for_blip_large() -> None:
    text = {"num_attention_heads": 12}
    large, base = (
        tuned("a/name", BlipConfig(vision_config=vision, text_config=text).to_dict())
        for vision in (
            {"hidden_size": 1024, "num_hidden_layers": 24},
            {"hidden_size": 768, "num_hidden_layers": 12},
        )
    )
    assert large is not None
    assert (large.layer, large.head, large.image_size) == (7, 9, 336)
    assert "tuned for BLIP large" in large.source
    assert base is None


def test_text_heads_of_an_early_config_are_doubted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = random_model(text={"hidden_size": 768, "num_attention_heads": 8, "num_hidden_layers": 1})
    with caplog.at_level(logging.WARNING, logger="pnpovss"):
        load_blip(str(save_checkpoint(tmp_path, model)), LoadOptions())
    assert "its config says 8 text heads, BLIP was trained with 12" in caplog.text


def test_the_hubs_cache_is_read_without_a_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, commit = "Salesforce/blip-itm-base-coco", "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert not SPEC.available(name)
    cache = tmp_path / "models--Salesforce--blip-itm-base-coco"
    snapshot = cache / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    assert SPEC.available(name)
    own = load_backbone(name, LoadOptions(local_files_only=True))
    assert (own.card.name, own.card.revision) == (name, commit)
