import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pnpovss.backbones.base import Match, Reading, TextTokens
from pnpovss.backbones.parts import text_side as parts
from pnpovss.backbones.parts.text_side import PatchTokens, TextSide, encode_text, match_prompts
from pnpovss.errors import ConfigError, InvalidInputError, NamesError
from tests.support.blip_models import VOCABULARY, plain_match, random_model
from tests.support.held import count_held

LAYERS = (2, 0, 3)


def text_side(model: Any) -> TextSide:
    encoder = model.text_encoder
    return TextSide(encoder.embeddings, encoder.encoder.layer, model.itm_head, pad_id=0, max_tokens=40)


def prompt(length: int, seed: int = 0) -> TextTokens:
    generator = torch.Generator().manual_seed(100 * length + seed)
    words = torch.randint(5, len(VOCABULARY) - 2, (length - 2,), generator=generator).tolist()
    ids = (len(VOCABULARY) - 1, *words, VOCABULARY.index("[SEP]"))
    return TextTokens(ids, tuple(VOCABULARY[i] for i in ids), ((0, 0),) * length)


def features(images: int, dtype: torch.dtype = torch.float32) -> PatchTokens:
    tokens = torch.randn(images, 1 + 3 * 5, 24, generator=torch.Generator().manual_seed(images))
    return PatchTokens(tokens.to(dtype), grid=(3, 5), prefix=1)


def reference(text: TextSide, seen: PatchTokens, prompts: list[TextTokens], index: list[int]) -> list[Tensor]:
    """What the textbook says, "p layer head token n" with the class token's column."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[*p.ids, *[0] * (longest - len(p))] for p in prompts])
    mask = torch.arange(longest) < torch.tensor([len(p) for p in prompts])[:, None]
    return list(plain_match(text, ids, mask, seen.tokens[index], LAYERS))


def one_each(prompts: list[TextTokens]) -> list[list[TextTokens]]:
    """Prompts paired with images one to one."""
    return [[each] for each in prompts]


def maps(match: Match, image: int = 0) -> tuple[Tensor, Tensor]:
    seen = match.maps[image]
    assert seen.gradient is not None
    return seen.attention, seen.gradient


def relative(found: Tensor, wanted: Tensor) -> float:
    """Largest difference over the largest value."""
    return float((found - wanted).abs().max() / wanted.abs().max())


def check(match: Match, wanted: list[Tensor], prompts: list[TextTokens], tolerance: float) -> None:
    """One prompt per image."""
    logits, *wanted_maps = wanted
    assert relative(torch.cat(match.logits), logits[:, 1]) < tolerance
    assert relative(torch.cat(match.probability), logits.softmax(-1)[:, 1]) < tolerance
    for row, length in enumerate(map(len, prompts)):
        for found, true in zip(maps(match, row), wanted_maps, strict=True):
            assert found.shape[2] == length
            assert relative(found.flatten(-2), true[row, ..., :length, 1:]) < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("lengths", [(6,), (6, 6), (6, 9, 4), (30, 21)], ids=str)
def test_equals_the_textbook(lengths: tuple[int, ...], dtype: torch.dtype, tolerance: float) -> None:
    text = text_side(random_model().to(dtype))  # pyright: ignore
    prompts, seen = [prompt(n) for n in lengths], features(len(lengths), dtype)
    match = match_prompts(text, seen, one_each(prompts), Reading(LAYERS))
    check(match, reference(text, seen, prompts, list(range(len(lengths)))), prompts, tolerance)
    assert [each.attention.shape for each in match.maps] == [(3, 4, length, 3, 5) for length in lengths]


def test_several_layers_differentiate_through_each_other() -> None:
    """The total derivative of a lower layer does not depend on which higher layers are read with it."""
    text, seen, prompts = text_side(random_model().double()), features(1, torch.float64), [prompt(6)]
    together = maps(match_prompts(text, seen, [prompts], Reading(LAYERS)))
    for i, layer in enumerate(LAYERS):
        for found, alone in zip(together, maps(match_prompts(text, seen, [prompts], Reading((layer,)))), strict=True):
            assert relative(found[i], alone[0]) < 1e-12


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 0, 1), (3, 0, 0), (2, 2, 0), (1, 2, 3), (2, 2, 2)], ids=str)
def test_any_pairing_equals_one_pair_at_a_time(counts: tuple[int, ...]) -> None:
    text, seen = text_side(random_model().double()), features(3, torch.float64)
    prompts = [[prompt(5 + 2 * (n % 3), seed=n + image) for n in range(count)] for image, count in enumerate(counts)]
    match = match_prompts(text, seen, prompts, Reading((2,)))
    for image, of_image in enumerate(prompts):
        start = 0
        assert len(match.logits[image]) == len(of_image)
        for row, own in enumerate(of_image):
            alone = match_prompts(text, seen[image : image + 1], [[own]], Reading((2,)))
            assert relative(match.logits[image][row], alone.logits[0][0]) < 1e-12
            for found, true in zip(maps(match, image), maps(alone), strict=True):
                assert relative(found[:, :, start : start + len(own)], true) < 1e-12
            start += len(own)
        assert maps(match, image)[0].shape == (1, 4, start, 3, 5)


@pytest.mark.parametrize("way", ["_folded", "_formed"])
def test_both_ways_to_attend_are_one(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, seen, prompts = text_side(random_model().double()), features(2, torch.float64), [prompt(6), prompt(9)]
    attend = getattr(parts, way)
    for name in ("_folded", "_formed"):
        monkeypatch.setattr(parts, name, attend)
    check(
        match_prompts(text, seen, one_each(prompts), Reading(LAYERS)),
        reference(text, seen, prompts, [0, 1]),
        prompts,
        1e-12,
    )


@pytest.mark.parametrize(("tokens", "way"), [(6, "_folded"), (30, "_formed")])
def test_short_texts_are_folded(tokens: int, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, attend = [], getattr(parts, way)
    monkeypatch.setattr(parts, way, lambda *given: taken.append(way) or attend(*given))
    match_prompts(text_side(random_model()), features(1), [[prompt(tokens)]])
    assert taken == [way] * 4


def test_layers_without_cross_attention_and_other_head_counts() -> None:
    model = random_model().double()
    layers = model.text_encoder.encoder.layer
    layers[1].crossattention = None
    del layers[2].crossattention
    for layer in (layers[0], layers[3]):
        layer.crossattention.self.num_attention_heads = 2
    text, seen, prompts = text_side(model), features(1, torch.float64), [prompt(7)]
    assert text.heads == {0: 2, 3: 2}
    match = match_prompts(text, seen, [prompts], Reading((3, 0)))
    ids = torch.tensor([prompts[0].ids])
    wanted = plain_match(text, ids, torch.ones_like(ids, dtype=torch.bool), seen.tokens, (3, 0))
    check(match, list(wanted), prompts, 1e-12)
    layers[0].crossattention.self.num_attention_heads = 4
    with pytest.raises(ConfigError, match="different numbers of heads"):
        match_prompts(text, seen, [prompts], Reading((3, 0)))
    with pytest.raises(ConfigError, match=r"layer 1 cannot be read; these can.*\[0, 3\]"):
        match_prompts(text, seen, [prompts], Reading((1,)))


def test_value_bias_is_part_of_the_gradient() -> None:
    """Probabilities sum to one, so the bias is invisible in the output; not so in the derivative of each of them."""
    model = random_model().double()
    biased = maps(match_prompts(text_side(model), features(1, torch.float64), [[prompt(6)]], Reading((2,))))[1]
    attention = model.text_encoder.encoder.layer[2].crossattention
    with torch.no_grad():  # move the value's bias to where it does the same to the output
        attention.output.dense.bias += attention.output.dense.weight @ attention.self.value.bias
        attention.self.value.bias.zero_()
    moved = maps(match_prompts(text_side(model), features(1, torch.float64), [[prompt(6)]], Reading((2,))))[1]
    assert relative(moved, biased) > 0.01


def test_nothing_is_left_behind() -> None:
    model = random_model().requires_grad_(True)
    before = copy.deepcopy(model.state_dict())
    seen = features(2)
    seen.tokens.requires_grad_()
    match = match_prompts(text_side(model), seen, one_each([prompt(6), prompt(8)]), Reading(LAYERS))
    assert seen.tokens.grad is None
    assert all(weights.grad is None for weights in model.parameters())
    assert all(torch.equal(weights, before[name]) for name, weights in model.state_dict().items())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert not any(tensor.requires_grad for tensor in (*match.logits, *match.probability, *maps(match)))


def test_logits_alone_make_no_graph() -> None:
    seen, model = features(1), random_model().requires_grad_(True)
    states: list[bool] = []
    model.text_encoder.encoder.layer[0].register_forward_hook(lambda *_: None)
    embed = model.text_encoder.embeddings
    text = text_side(model)

    class Watch(nn.Module):
        def forward(self, hidden: Tensor) -> Tensor:
            states.append(torch.is_grad_enabled())
            return model.itm_head(hidden)

    watched = TextSide(embed, text.layers, Watch(), pad_id=0, max_tokens=40)
    plain = match_prompts(watched, seen, [[prompt(6)]])
    ungraded = match_prompts(watched, seen, [[prompt(6)]], Reading((1,), gradient=False))
    graded = match_prompts(watched, seen, [[prompt(6)]], Reading((1,)))
    assert states == [False, False, True]
    assert plain.maps == ()
    assert ungraded.maps[0].gradient is None
    assert relative(ungraded.maps[0].attention, maps(graded)[0]) < 1e-5


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [(None, [0, 0, 0, 0]), (Reading((1,), gradient=False), [0, 0, 1, 1]), (Reading((3,)), [0, 0, 0, 0])],
    ids=str,
)
def test_only_what_is_read_is_held(reading: Reading | None, wanted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """With many names the maps of all layers are several times as much as all else."""
    held = count_held(parts, monkeypatch)
    match_prompts(text_side(random_model()), features(1), [[prompt(6), prompt(6)]], reading)
    assert held == wanted


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_callers_mode_changes_nothing(mode: Any) -> None:
    text, prompts = text_side(random_model()), [prompt(6)]
    wanted = maps(match_prompts(text, features(1), [prompts], Reading((2,))))
    with mode():
        found = maps(match_prompts(text, features(1), [prompts], Reading((2,))))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_text_without_an_image() -> None:
    model = random_model().double()
    ids = torch.tensor([prompt(6).ids])
    wanted = model.text_encoder(ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    found = encode_text(text_side(model), [prompt(9), prompt(6)])
    assert relative(found[1:], wanted) < 1e-12


def test_refusals() -> None:
    text, seen = text_side(random_model()), features(2)
    with pytest.raises(InvalidInputError, match="no prompts"):
        match_prompts(text, seen, [[], []])
    with pytest.raises(NamesError, match="41 tokens is longer than the 40"):
        match_prompts(text, seen, [[prompt(41)], [prompt(3)]])
    with pytest.raises(InvalidInputError, match="2 images need 2 lists of prompts, one for each; got 1"):
        match_prompts(text, seen, [[prompt(4)]])
    with pytest.raises(ConfigError, match="layer 4 cannot be read"):
        match_prompts(text, seen, [[prompt(4)]] * 2, Reading((4,)))
    with pytest.raises(ConfigError, match="name one twice"):
        match_prompts(text, seen, [[prompt(4)]] * 2, Reading((1, 1)))


def test_images_are_sliced_and_joined() -> None:
    seen = features(3)
    assert len(seen) == 3
    again = PatchTokens.join([seen[2:], seen[:1]])
    assert torch.equal(again.tokens, seen.tokens[[2, 0]])
    assert (again.grid, again.prefix) == (seen.grid, seen.prefix)
