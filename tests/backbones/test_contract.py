"""What every backbone keeps, whatever its architecture, on a small checkpoint loaded through the real door."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from pnpovss.backbones.base import Backbone, Match, Reading, TextTokens, is_contrastive
from pnpovss.backbones.registry import known_backbones, load_backbone
from pnpovss.errors import ConfigError, InvalidInputError, NamesError
from pnpovss.segmenter import Segmenter
from tests.support.checkpoints import SMALL, Small

PHOTO = Path(__file__).parents[2] / "examples" / "cat.jpg"


@dataclass(frozen=True)
class Loaded:
    """A small checkpoint's folder and the backbone that was made from it."""

    small: Small
    folder: Path
    backbone: Any

    def pixels(self, images: int) -> Tensor:
        return torch.randn(images, 3, *self.small.size, generator=torch.Generator().manual_seed(images))

    def prompts(self) -> tuple[TextTokens, TextTokens]:
        """A long one and a short one."""
        return self.backbone.tokenize(self.small.text), self.backbone.tokenize("cat")

    @property
    def layers(self) -> tuple[int, ...]:
        """The first and the last that can be read, in an order of the caller's."""
        heads = self.backbone.card.heads
        return tuple(dict.fromkeys((max(heads), min(heads))))


@pytest.fixture(params=SMALL, scope="module")
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    torch.manual_seed(0)
    small = SMALL[request.param]
    folder = small.save(tmp_path_factory.mktemp(request.param))
    return Loaded(small, folder, load_backbone(folder))


def same(first: Tensor, second: Tensor, off: float = 1e-7) -> None:
    """Alike to 1e-4 of the greatest, or to `off`."""
    assert first.shape == second.shape
    if first.numel():
        assert float((first - second).abs().max()) <= 1e-4 * float(second.abs().max()) + off


def same_logit(first: Tensor, second: Tensor) -> None:
    """A logit may be the small difference of two numbers near 1, which float32 rounds to 1e-7 at each step."""
    same(first, second, off=3e-6)


def same_matches(first: Match, second: Match) -> None:
    for a, b in zip(first.logits + first.probability, second.logits + second.probability, strict=True):
        same_logit(a, b)
    for seen, other in zip(first.maps, second.maps, strict=True):
        same(seen.attention, other.attention)
        assert seen.gradient is not None
        assert other.gradient is not None
        same(seen.gradient, other.gradient)


def parts(owner: Any, depth: int = 5) -> Iterator[nn.Module]:
    """All modules that an object holds, by whatever way."""
    if isinstance(owner, nn.Module):
        yield from owner.modules()
    elif depth:
        inside = owner.values() if isinstance(owner, dict) else owner if isinstance(owner, list | tuple) else None
        for part in getattr(owner, "__dict__", {}).values() if inside is None else inside:
            yield from parts(part, depth - 1)


def test_every_backbone_of_this_package_is_here():
    here = {key for key, spec in known_backbones().items() if spec.load.__module__.startswith("pnpovss.")}
    assert {small.key for small in SMALL.values()} == here


def test_it_is_a_backbone_and_its_card_is_sane(loaded: Loaded):
    card, own = loaded.backbone.card, loaded.backbone.card.recommended
    assert isinstance(loaded.backbone, Backbone)
    assert card.name == str(loaded.folder)
    assert card.revision
    assert (card.device.type, card.dtype) == ("cpu", torch.float32)
    assert card.patch > 0
    assert card.max_tokens > 8
    assert all(0 <= value <= 1 for value in card.mean)
    assert all(0 < value <= 1 for value in card.std)
    assert min(card.heads) >= 0
    assert min(card.heads.values()) >= 1
    assert own.head < card.heads[own.layer]
    assert own.image_size % card.patch == 0
    assert own.source
    assert list(parts(loaded.backbone))


def test_names_are_left_out_where_the_match_is_yes_or_no(loaded: Loaded):
    """As docs/models.md says of each family."""
    presence = Segmenter(loaded.backbone).config.presence
    bars = {"mini": 0.2, "blip": 0.5, "bridgetower": 0.5, "blip2": 0.5, "decoder": 0.5}
    assert (presence.above if presence else None) == bars.get(loaded.small.key)


def test_offsets_spell_the_text(loaded: Loaded):
    text = "A picture of cat Potted plant dog"
    tokens = loaded.backbone.tokenize(text)
    spans = [(start, end) for start, end in tokens.offsets if start < end]
    assert len(tokens.ids) == len(tokens.pieces) == len(tokens.offsets)
    assert "".join(text[start:end] for start, end in spans).replace(" ", "") == text.replace(" ", "")
    assert spans == sorted(spans)
    assert (len(spans) < len(tokens)) == loaded.small.special  # special tokens cover nothing


def test_a_batch_is_what_each_is_alone(loaded: Loaded):
    """Images of a batch, prompts of several lengths, an image without prompts, layers in any order."""
    own, pixels, (long, short) = loaded.backbone, loaded.pixels(4), loaded.prompts()
    prompts = [[long], [], [short, long, short], [short]]
    features = own.encode_images(pixels)
    together = own.match(features, prompts, Reading(loaded.layers))
    assert [len(each) for each in together.logits] == [1, 0, 3, 1]
    assert together.maps[1].attention.shape[2] == 0
    for row, asked in enumerate(prompts):
        alone = own.encode_images(pixels[row : row + 1])
        assert alone.grid == features.grid == tuple(side // own.card.patch for side in loaded.small.size)
        for source in (alone, features[row : row + 1], type(features).join([alone])):
            assert len(source) == 1
            for place, prompt in enumerate(asked):
                one = own.match(source, [[prompt]], Reading(loaded.layers))
                same_logit(together.logits[row][place], one.logits[0][0])
                start = sum(map(len, asked[:place]))
                rows = slice(start, start + len(prompt))
                same(together.maps[row].attention[:, :, rows], one.maps[0].attention)
                same(together.maps[row].gradient[:, :, rows], one.maps[0].gradient)  # pyright: ignore[reportOptionalSubscript]


def test_maps_have_the_shapes_and_ranges_that_the_protocol_names(loaded: Loaded):
    own, (long, short) = loaded.backbone, loaded.prompts()
    features = own.encode_images(loaded.pixels(1))
    match = own.match(features, [[long, short]], Reading(loaded.layers))
    [seen] = match.maps
    heads = own.card.heads[loaded.layers[0]]
    assert seen.attention.shape == (len(loaded.layers), heads, len(long) + len(short), *features.grid)
    assert seen.gradient is not None
    assert seen.gradient.shape == seen.attention.shape
    assert 0 <= float(seen.attention.min()) < float(seen.attention.max()) <= 1
    assert all(0 <= float(each.min()) <= float(each.max()) <= 1 for each in match.probability)
    assert own.match(features, [[long]]).maps == ()
    [unweighted] = own.match(features, [[long, short]], Reading(loaded.layers, gradient=False)).maps
    assert unweighted.gradient is None
    same(unweighted.attention, seen.attention)


def test_gradients_are_those_of_the_logit(loaded: Loaded):
    own, pixels, (long, _) = loaded.backbone, loaded.pixels(1), loaded.prompts()
    for layer in own.card.heads:
        [seen] = own.match(own.encode_images(pixels), [[long]], Reading((layer,))).maps
        assert seen.gradient is not None
        assert seen.gradient.any()
        for token in (0, len(long) // 2):
            gradient = seen.gradient[0, :, token]
            direction = torch.randn(gradient.shape, generator=torch.Generator().manual_seed(layer))
            wanted = loaded.small.slope(own, pixels, long, layer, token, direction)
            error = 1e-5 * float(gradient.norm() * direction.norm())
            assert float((gradient * direction).sum()) == pytest.approx(wanted, abs=error, rel=1e-4)


def test_what_is_read_has_a_gradient_in_every_layer_that_is_offered_for_it(loaded: Loaded):
    own, pixels, (long, _) = loaded.backbone, loaded.pixels(1), loaded.prompts()
    words = [place for place, (start, end) in enumerate(long.offsets) if start < end]
    offered = own.card.readable("names", gradient=True)
    assert own.card.recommended.layer in offered
    for read, gradient in (("names", False), ("answer", True)):
        assert own.card.readable(read, gradient=gradient) == own.card.heads
    for layer in own.card.heads:
        [seen] = own.match(own.encode_images(pixels), [[long]], Reading((layer,))).maps
        assert seen.gradient is not None
        moving = seen.gradient[0].transpose(0, 1).flatten(1).any(1)  # by token
        if "names" in own.card.reads:
            assert moving[words].tolist() == [layer in offered] * len(words), layer
        if "answer" in own.card.reads:
            assert moving[own.card.answer], layer


def test_a_callers_modes_do_not_matter(loaded: Loaded):
    own, pixels, prompts = loaded.backbone, loaded.pixels(1), [list(loaded.prompts())]
    wanted = own.match(own.encode_images(pixels), prompts, Reading(loaded.layers))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = own.match(own.encode_images(pixels), prompts, Reading(loaded.layers))
        same_matches(found, wanted)


def test_nothing_is_left_behind_also_after_an_exception(loaded: Loaded):
    own, prompts = loaded.backbone, [list(loaded.prompts())]
    features = own.encode_images(loaded.pixels(1))
    wanted, calls = own.match(features, prompts, Reading(loaded.layers)), 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise ZeroDivisionError

    stop = -1
    with register_module_forward_hook(count):
        own.match(features, prompts, Reading(loaded.layers))
    total, calls = calls, 0
    stop = total * 3 // 4
    with register_module_forward_hook(count), pytest.raises(ZeroDivisionError):
        own.match(features, prompts, Reading(loaded.layers))
    for module in parts(own):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert "forward" not in vars(module)
        assert not module.training
        assert not any(weights.requires_grad or weights.grad is not None for weights in module.parameters())
    again = own.match(features, prompts, Reading(loaded.layers))
    same_matches(again, wanted)
    assert not any(each.requires_grad for each in again.logits + again.probability)
    assert not any(seen.attention.requires_grad for seen in again.maps)
    assert not own.match(features, prompts).logits[0].requires_grad


def test_a_blanked_patch_changes_what_is_seen(loaded: Loaded):
    own, pixels, (long, _) = loaded.backbone, loaded.pixels(1), loaded.prompts()
    before = own.match(own.encode_images(pixels), [[long]], Reading(loaded.layers[:1]))
    pixels[:, :, : own.card.patch, : own.card.patch] = 0
    after = own.match(own.encode_images(pixels), [[long]], Reading(loaded.layers[:1]))
    assert not torch.equal(before.logits[0], after.logits[0])
    assert not torch.equal(before.maps[0].attention, after.maps[0].attention)


@pytest.mark.wrong_types
def test_what_cannot_be_read_is_refused(loaded: Loaded):
    own, (long, _) = loaded.backbone, loaded.prompts()
    patch = own.card.patch
    with pytest.raises(InvalidInputError, match=f"{loaded.small.size[0]} x {loaded.small.size[1] + 1}.*multiple"):
        own.encode_images(torch.zeros(1, 3, loaded.small.size[0], loaded.small.size[1] + 1))
    with pytest.raises(InvalidInputError, match="multiple"):
        own.encode_images(torch.zeros(1, 3, 0, patch))
    features = own.encode_images(loaded.pixels(2))
    with pytest.raises(ConfigError, match="layer 99"):
        own.match(features, [[long]] * 2, Reading((99,)))
    with pytest.raises(ConfigError, match="twice"):
        own.match(features, [[long]] * 2, Reading(loaded.layers[:1] * 2))
    with pytest.raises(InvalidInputError, match="2 images need 2 lists"):
        own.match(features, [[long]])
    with pytest.raises(InvalidInputError, match="no prompts"):
        own.match(features, [[], []])
    with pytest.raises(NamesError, match=f"{own.card.max_tokens}"):
        own.match(features, [[own.tokenize(loaded.small.stray)]] * 2)


def test_images_and_texts_in_one_space(loaded: Loaded):
    own: Any = loaded.backbone
    if not is_contrastive(loaded.backbone):
        pytest.skip("this backbone has no contrastive head")
    images, texts = own.embed_images(own.encode_images(loaded.pixels(3))), own.embed_texts(loaded.prompts())
    assert torch.allclose(images.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(texts.norm(dim=1), torch.ones(2), atol=1e-5)
    assert images.shape[1] == texts.shape[1]
    same(own.embed_texts(loaded.prompts()[1:])[0], texts[1])


def test_it_segments_a_photo(loaded: Loaded):
    segmenter = Segmenter.from_pretrained(
        loaded.folder, device="cpu", without=["presence", "crf"], settings={"dropout.passes": 2}
    )
    result = segmenter(PHOTO, ["cat", "dog"], name_match=True)
    assert result.kept == (0, 1)
    assert result.labels.shape == result.scores.shape[1:]
    assert np.isfinite(result.scores).all()
    assert result.name_match is not None
    assert all(0 <= each <= 1 for each in result.name_match)
    again = segmenter(PHOTO, ["cat", "dog"])
    assert np.array_equal(result.labels, again.labels)
