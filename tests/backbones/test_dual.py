"""CLIP, MetaCLIP 2 and SigLIP: what is theirs alone; the rest is in the contract that all backbones keep."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook
from transformers import CLIPModel, MetaClip2Model, SiglipModel, Tipsv2Model

from pnpovss.backbones.base import LoadOptions, Reading
from pnpovss.backbones.dual import checkpoint
from pnpovss.backbones.dual.backbone import DualBackbone, load_dual
from pnpovss.backbones.dual.pooling import Probe
from pnpovss.errors import CheckpointError, ConfigError, NamesError
from pnpovss.names import parse_names
from pnpovss.prompts import PREFIX, build_prompts
from pnpovss.segmenter import Segmenter
from tests.support.dual_checkpoints import (
    END,
    START,
    WORDS,
    own_logit,
    save_clip,
    save_metaclip,
    save_siglip,
    save_tips,
    save_unigram,
    seen_by,
    vector_of,
)

KINDS: dict[str, tuple[Callable[[Path], Path], Any]] = {
    "clip": (save_clip, CLIPModel),
    "metaclip": (save_metaclip, MetaClip2Model),
    "tipsv2": (save_tips, Tipsv2Model),
    "siglip": (save_siglip, SiglipModel),
}


@pytest.fixture(params=KINDS, scope="module")
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DualBackbone, Any]:
    """Our backbone and transformers' own model."""
    torch.manual_seed(0)
    save, architecture = KINDS[request.param]
    folder = save(tmp_path_factory.mktemp(request.param))
    own = architecture.from_pretrained(folder, attn_implementation="eager").eval().requires_grad_(False)
    return load_dual(str(folder), LoadOptions()), own


def pixels(height: int = 32, width: int = 32, images: int = 1) -> Tensor:
    return torch.randn(images, 3, height, width, generator=torch.Generator().manual_seed(height * width))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 56), (64, 64)])
def test_logits_are_those_of_the_models_own_forward(both: tuple[DualBackbone, Any], height: int, width: int):
    backbone, own = both
    image = pixels(height, width)
    texts = [backbone.tokenize(text) for text in ("A picture of cat", "dog", "A picture of potted plant")]
    features = backbone.encode_images(image)
    wanted = torch.stack([own_logit(own, image, text) for text in texts])
    torch.testing.assert_close(backbone.match(features, [texts]).logits[0], wanted, rtol=1e-5, atol=1e-5)
    read = backbone.match(features, [texts], Reading((max(backbone.card.heads),)))
    torch.testing.assert_close(read.logits[0], wanted, rtol=1e-5, atol=1e-5)
    cosines = backbone.embed_images(features) @ backbone.embed_texts(texts).T
    found = cosines[0] * backbone._dual.scale + getattr(own, "logit_bias", torch.zeros(1))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_attention_is_that_of_the_models_own_forward(both: tuple[DualBackbone, Any]):
    backbone, own = both
    image, prompt = pixels(24, 56), backbone.tokenize("A picture of cat")
    layers = tuple(sorted(backbone.card.heads))
    [seen] = backbone.match(backbone.encode_images(image), [[prompt]], Reading(layers)).maps
    if isinstance(own, SiglipModel):
        tokens = own.vision_model(image, interpolate_pos_encoding=True).last_hidden_state
        head = own.vision_model.head
        _, probs = head.attention(head.probe, tokens, tokens, average_attn_weights=False)
        wanted = probs[None, 0, :, 0]
    else:
        outputs = own.vision_model(**seen_by(own, image), output_attentions=True)
        prefix = backbone._tower.prefix
        wanted = torch.stack([outputs.attentions[layer][0, :, 0, prefix:] for layer in layers])
    for token in range(len(prompt)):  # all tokens of a prompt share its map
        torch.testing.assert_close(seen.attention[:, :, token].flatten(2), wanted, rtol=1e-5, atol=1e-6)


def test_legrad_is_the_positive_gradient_of_each_layer_s_own_cosine(both: tuple[DualBackbone, Any]):
    backbone, own = both
    image, names = pixels(24, 56, 2), [backbone.tokenize(f"A picture of {name}") for name in ("cat", "dog")]
    layers = tuple(sorted(backbone.card.heads))[-2:]
    match = backbone.match(backbone.encode_images(image), [names, names[1:]], Reading(layers, legrad=True))
    texts = backbone.embed_texts(names) * backbone._dual.scale
    asked = [(0, 0), (0, 1), (1, 1)]  # image, name
    found = [match.maps[0], match.maps[0], match.maps[1]]
    starts = [0, len(names[0]), 0]
    for (photo, name), seen, start in zip(asked, found, starts, strict=True):
        assert seen.composed is not None
        pixel = image[photo : photo + 1].clone().requires_grad_()
        for row, layer in enumerate(layers):
            if isinstance(own, SiglipModel):
                tokens = own.vision_model(pixel, interpolate_pos_encoding=True).last_hidden_state
                head = own.vision_model.head
                weights = head.attention.in_proj_weight.chunk(3), head.attention.in_proj_bias.chunk(3)
                query, key, value = (
                    torch.nn.functional.linear(each, weight, bias).unflatten(-1, (4, -1)).transpose(1, 2)
                    for each, weight, bias in zip((head.probe, tokens, tokens), *weights, strict=True)
                )
                probs = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)
                pooled = head.attention.out_proj((probs @ value).transpose(1, 2).flatten(2))
                vector = (pooled + head.mlp(head.layernorm(pooled)))[:, 0]
                patches = slice(0, None)
            else:
                outputs = own.vision_model(**seen_by(own, pixel), output_attentions=True, output_hidden_states=True)
                probs, state = outputs.attentions[layer], outputs.hidden_states[layer + 1]
                vector, patches = vector_of(own, state.mean(1)), slice(backbone._tower.prefix, None)
            cosine = torch.nn.functional.normalize(vector, dim=-1)[0] @ texts[name]
            [gradient] = torch.autograd.grad(cosine, [probs])
            wanted = gradient.clamp(min=0).mean(2)[0, :, patches]
            for token in range(start, start + len(names[name])):
                torch.testing.assert_close(seen.composed[row, :, token].flatten(1), wanted, rtol=1e-4, atol=1e-6)
    assert torch.equal(match.logits[0], backbone.match(backbone.encode_images(image), [names, names[1:]]).logits[0])


def test_legrad_is_a_setting(both: tuple[DualBackbone, Any]):
    folder, photo = both[0].card.name, np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    options: dict[str, Any] = {"device": "cpu", "without": ["crf", "dropout"]}
    usual = Segmenter.from_pretrained(folder, **options)
    last = max(usual.backbone.card.heads)
    assert usual.config.read == "answer"
    assert usual.config.heads == tuple((last, head) for head in range(4))
    legrad = Segmenter.from_pretrained(folder, **options, settings={"read": "legrad"})
    assert legrad.config.heads == tuple((layer, head) for layer in usual.backbone.card.heads for head in range(4))
    one, two = (each(photo, ["cat", "dog"]).heatmaps.names for each in (usual, legrad))
    assert one.shape == two.shape == (2, 4, 4)
    assert (two.max((1, 2)) > 0).all()
    assert np.abs(one / one.max() - two / two.max()).max() > 0.01
    with pytest.raises(ConfigError, match="legrad is made of gradients"):
        Segmenter.from_pretrained(folder, device="cpu", settings={"read": "legrad"}, without=["gradcam"])
    with pytest.raises(ConfigError, match=r"cannot be read by 'legrad'; it can by: names, answer"):
        Segmenter.from_pretrained("mini", device="cpu", settings={"read": "legrad"})


def test_all_names_share_one_forward_of_the_photo(both: tuple[DualBackbone, Any]):
    backbone, _ = both
    features = backbone.encode_images(pixels())
    names = [backbone.tokenize(f"A picture of {name}") for name in ("cat", "dog", "sofa", "plant", "couch")]
    runs = {}
    for asked in (names[:1], names):
        backbone.embed_texts([*asked, backbone.tokenize(PREFIX)])  # texts are remembered
        calls = []
        with register_module_forward_hook(lambda *_, calls=calls: calls.append(1)):
            backbone.match(features, [asked], Reading((max(backbone.card.heads),)))
        runs[len(asked)] = len(calls)
    assert runs[1] == runs[5] > 0


@pytest.mark.parametrize("read", [(), (-1,), (-2, -1), (-2,)])
def test_in_the_last_layer_only_the_token_that_leaves_it_is_computed(
    both: tuple[DualBackbone, Any], read: tuple[int, ...]
):
    backbone, _ = both
    tower = backbone._tower
    last = tower._head.mlp if isinstance(tower, Probe) else tower._layers[-1].mlp
    layers = sorted(backbone.card.heads)
    features, name = backbone.encode_images(pixels(images=2)), [backbone.tokenize("A picture of cat")]
    seen = []
    with register_module_forward_hook(lambda module, given, _: seen.append(given[0].shape) if module is last else None):
        backbone.match(features, [name, name], Reading(tuple(layers[place] for place in read if -place <= len(layers))))
        backbone.embed_images(features)
    assert seen == [(2, 1, 32)] * 2


def test_many_names_of_several_photos_are_asked_in_turns_of_bounded_memory(
    both: tuple[DualBackbone, Any], monkeypatch: pytest.MonkeyPatch
):
    ours, _ = both
    features = ours.encode_images(torch.randn(2, 3, ours.card.recommended.image_size, ours.card.recommended.image_size))
    texts = [[ours.tokenize(f"a picture of {name}") for name in ("cat", "dog", "bus", "sofa", "cow")]] * 2
    reading = Reading((max(ours.card.heads),))
    at_once = ours.match(features, texts, reading)
    asked, grad = [], torch.autograd.grad
    monkeypatch.setattr("pnpovss.backbones.dual.backbone.GRADIENTS", 4)
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: asked.append(len(k["grad_outputs"])) or grad(*a, **k))
    in_turns = ours.match(features, texts, reading)
    assert asked == [2, 2, 1]
    for one, other in zip(at_once.maps, in_turns.maps, strict=True):
        torch.testing.assert_close(one.gradient, other.gradient)


def test_a_probability_is_the_pairs_own_or_against_the_bare_prompt(both: tuple[DualBackbone, Any]):
    backbone, own = both
    features, cat, bare = backbone.encode_images(pixels()), backbone.tokenize("A picture of cat"), PREFIX
    match = backbone.match(features, [[cat, backbone.tokenize(bare)]])
    logits = match.logits[0]
    wanted = logits.sigmoid() if isinstance(own, SiglipModel) else (logits - logits[1]).sigmoid()
    torch.testing.assert_close(match.probability[0], wanted)


def test_no_name_is_left_out_unless_that_is_asked_for_and_the_guess_is_told(
    both: tuple[DualBackbone, Any], caplog: pytest.LogCaptureFixture
):
    folder = both[0].card.name
    with caplog.at_level(logging.WARNING, logger="pnpovss"):
        segmenter = Segmenter.from_pretrained(folder, device="cpu")
    assert segmenter.config.presence is None
    assert "nobody tuned" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="pnpovss"):
        layer = max(both[0].card.heads)
        chosen = Segmenter.from_pretrained(
            folder, device="cpu", settings={"layer": layer, "head": 1, "presence.above": 0.1}
        )
    assert chosen.config.presence is not None
    assert not caplog.text


def test_siglip_reads_lower_case_without_punctuation_and_knows_its_places(tmp_path: Path):
    backbone = load_dual(str(save_siglip(tmp_path)), LoadOptions())
    text = "A Picture of İ-cat, DOG"
    tokens = backbone.tokenize(text)
    assert tokens.ids[-1] == END
    assert tokens.offsets[-1] == (0, 0)
    shown = {piece: text[start:end] for piece, (start, end) in zip(tokens.pieces, tokens.offsets, strict=True)}
    assert shown["picture"] == "Picture"
    assert shown["dog"] == "DOG"
    assert shown["<unk>"].startswith("İ")  # two characters when lower-cased, one in the text


@pytest.mark.parametrize("kind", ["siglip", "metaclip"])
def test_sentencepiece_tells_what_it_cannot_write_by_id_alone(tmp_path: Path, kind: str):
    folder = save_unigram(KINDS[kind][0](tmp_path), special=kind == "metaclip")
    backbone = load_dual(str(folder), LoadOptions())
    prompt = "a picture of {}"  # in small letters, as MetaCLIP 2's small vocabulary here has them

    def ask(name: str) -> tuple[int, ...]:
        [prompts] = build_prompts(parse_names([name]), backbone.tokenize, 16, wording=prompt).each
        return prompts.tokens.ids

    assert backbone.tokenize("猫").pieces[-2] == "▁猫"  # not "<unk>"
    for name in ("猫", "cat 猫", "zebra"):
        with pytest.raises(NamesError, match="the model's vocabulary cannot write"):
            ask(name)
    words = [WORDS.index(word) for word in ("a", "picture", "of", "cat")]
    assert ask("cat") == ((START, *words, END) if kind == "metaclip" else (*words, END))


@pytest.mark.parametrize(("save", "mean"), [(save_clip, 0.48145466), (save_siglip, 0.5)])
def test_pixels_are_normalised_as_the_checkpoint_says(tmp_path: Path, save: Callable[[Path], Path], mean: float):
    folder = save(tmp_path)
    assert load_dual(str(folder), LoadOptions()).card.mean[0] == mean
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1] * 3, "image_std": [0.2] * 3}))
    assert load_dual(str(folder), LoadOptions()).card.mean == (0.1, 0.1, 0.1)


def test_tipsv2_is_given_pixels_as_it_was_taught(tmp_path: Path):
    folder = save_tips(tmp_path)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1] * 3, "do_normalize": False}))
    backbone = load_dual(str(folder), LoadOptions())
    assert (backbone.card.mean, backbone.card.std) == ((0.5,) * 3, (0.5,) * 3)
    assert backbone._tower.prefix == 2
    assert backbone.tokenize("A cat").ids == (1, 4)


def test_a_model_that_this_transformers_does_not_know_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = save_tips(tmp_path)
    monkeypatch.setitem(checkpoint._MODELS, "tipsv2", ("NoSuchModel", "tipsv2"))
    with pytest.raises(CheckpointError, match=r"a 'tipsv2' checkpoint, which transformers .* does not know: update it"):
        load_dual(str(folder), LoadOptions())


def test_only_the_last_layers_of_clip_can_be_read(tmp_path: Path):
    assert list(load_dual(str(save_clip(tmp_path)), LoadOptions()).card.heads) == [1, 2, 3, 4]


def test_bfloat16_is_near(tmp_path: Path):
    folder = str(save_clip(tmp_path))
    exact, rounded = (load_dual(folder, LoadOptions(dtype=dtype)) for dtype in (torch.float32, torch.bfloat16))
    found = []
    for own in (exact, rounded):
        match = own.match(own.encode_images(pixels()), [[own.tokenize("cat")]], Reading((4,)))
        assert match.maps[0].attention.dtype == torch.float32
        found.append(match.logits[0])
    assert 0 < float((found[0] - found[1]).abs()) < 0.1 * exact._dual.scale


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path):
    folder = save_clip(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 5
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="the model reads it at 5"):
        load_dual(str(folder), LoadOptions())


def test_siglip_without_a_padding_token_is_refused(tmp_path: Path):
    folder = save_siglip(tmp_path)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "unk_token": "<unk>"}))
    with pytest.raises(CheckpointError, match="has no pad_token"):
        load_dual(str(folder), LoadOptions())
