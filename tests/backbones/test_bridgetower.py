import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BridgeTowerForContrastiveLearning, BridgeTowerForImageAndTextRetrieval

from pnpovss import Segmenter
from pnpovss.backbones.base import Backbone, LoadOptions, Match, Reading, TextTokens, is_contrastive
from pnpovss.backbones.bridgetower import fusing
from pnpovss.backbones.bridgetower.backbone import BridgeTowerBackbone, ContrastiveBridgeTower
from pnpovss.backbones.bridgetower.fusing import ROWS, Fusing
from pnpovss.backbones.bridgetower.towers import ImageTower
from pnpovss.backbones.registry import load_backbone
from pnpovss.errors import ConfigError, InvalidInputError, NamesError
from tests.support.fuser_models import (
    LAYERS,
    eager,
    random_bridgetower,
    random_contrastive,
    save_bridgetower,
)
from tests.support.held import count_held

TEXT = "A picture of cat potted plant"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bridgetower(tmp_path_factory.mktemp("bridgetower"))


@pytest.fixture(scope="module")
def backbone(folder: Path) -> BridgeTowerBackbone:
    return load(folder)


def load(folder: Path, **options: Any) -> BridgeTowerBackbone:
    loaded = load_backbone(folder, LoadOptions(**options))
    assert isinstance(loaded, BridgeTowerBackbone)
    return loaded


def original(folder: Path) -> BridgeTowerForImageAndTextRetrieval:
    return BridgeTowerForImageAndTextRetrieval.from_pretrained(folder, attn_implementation="eager").eval()


def exactly(folder: Path) -> tuple[ImageTower, Fusing, BridgeTowerForImageAndTextRetrieval]:
    """Tower and fusing layers in float64, to tell errors of rounding from others, and the original."""
    model = original(folder).double().requires_grad_(False)
    return ImageTower(model.bridgetower, torch.float64), Fusing(model), model


def pixels(images: int, height: int = 32, width: int = 32) -> Tensor:
    return torch.randn(images, 3, height, width, generator=torch.Generator().manual_seed(height * width + images))


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def maps(match: Match, image: int = 0) -> tuple[Tensor, Tensor]:
    seen = match.maps[image]
    assert seen.gradient is not None
    return seen.attention, seen.gradient


def check_equal(
    backbone: BridgeTowerBackbone, model: BridgeTowerForImageAndTextRetrieval, size: tuple[int, int]
) -> None:
    images, prompt = pixels(2, *size), backbone.tokenize(TEXT)
    logits, probs = eager(model, images, torch.tensor([prompt.ids]).expand(2, -1))
    grads = torch.autograd.grad(logits[:, 1].sum(), probs)
    features = backbone.encode_images(images)
    order = (1, 2, 0)
    match = backbone.match(features, [[prompt]] * 2, Reading(order))
    assert features.grid == (size[0] // 8, size[1] // 8)
    assert relative(torch.cat(match.logits), logits[:, 1].detach()) < 1e-5
    assert relative(torch.cat(match.probability), logits.softmax(-1)[:, 1].detach()) < 1e-5
    for image in range(2):
        attention, gradient = maps(match, image)
        assert attention.shape == (3, 4, len(prompt), *features.grid)
        for row, layer in enumerate(order):
            seen, moved = (each[layer][image, ..., 1:].detach() for each in (probs, grads))
            assert relative(attention[row].flatten(-2), seen) < 1e-5
            assert relative(gradient[row].flatten(-2), moved) < 1e-5


@pytest.mark.parametrize("size", [(32, 32), (48, 48), (24, 56), (64, 16)], ids=str)
def test_equals_transformers(backbone: BridgeTowerBackbone, folder: Path, size: tuple[int, int]) -> None:
    check_equal(backbone, original(folder), size)


@pytest.mark.parametrize(
    "changes",
    [
        {"share_cross_modal_transformer_layers": False},
        {"link_tower_type": "interpolate"},
        {"link_tower_type": "scaled_add"},
        {"vision": {"num_hidden_layers": 5}},
        {"share_link_tower_layers": False, "text": {"hidden_act": "relu"}},
    ],
    ids=str,
)
def test_other_configs_equal_transformers(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = save_bridgetower(tmp_path, random_bridgetower(**changes))
    check_equal(load(folder), original(folder), (24, 40))


@pytest.mark.parametrize("layer", range(LAYERS))
def test_gradient_equals_a_finite_difference(folder: Path, backbone: BridgeTowerBackbone, layer: int) -> None:
    tower, fusing_layers, model = exactly(folder)
    images, prompt = pixels(1, 24, 40).double(), backbone.tokenize(TEXT)
    _, gradient = maps(fusing_layers.match(tower(images), [[prompt]], Reading((layer,))))
    step, rows = 1e-4, (0, 4, len(prompt) - 1)
    for head, token, cell in ((0, rows[0], 3), (2, rows[1], 7), (3, rows[2], 14), (1, rows[1], 0)):
        bump = torch.zeros(1, 4, len(prompt), 16, dtype=torch.float64)
        bump[0, head, token, 1 + cell] = step
        ids = torch.tensor([prompt.ids])
        up, down = (eager(model, images, ids, {layer: sign * bump})[0][0, 1] for sign in (1, -1))
        wanted = (up - down) / (2 * step)
        found = gradient[0, head, token].flatten()[cell]
        assert float((found - wanted).abs()) < 1e-5 * float(gradient.abs().max())


def test_the_last_layer_moves_the_match_by_the_class_token_alone(backbone: BridgeTowerBackbone) -> None:
    features = backbone.encode_images(pixels(1))
    _, gradient = maps(backbone.match(features, [[backbone.tokenize(TEXT)]], Reading((LAYERS - 1,))))
    assert float(gradient[:, :, 0].abs().max()) > 0
    assert float(gradient[:, :, 1:].abs().max()) == 0
    assert backbone.card.recommended.layer < LAYERS - 1


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [(None, [0, 0, 0]), (Reading((0,), gradient=False), [0, 1, 1]), (Reading((2,)), [0, 0, 0])],
    ids=str,
)
def test_only_what_is_read_is_held(
    backbone: BridgeTowerBackbone, reading: Reading | None, wanted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = count_held(fusing, monkeypatch)
    backbone.match(backbone.encode_images(pixels(1)), [[backbone.tokenize(TEXT)]], reading)
    assert held == wanted


def test_several_layers_differentiate_through_each_other(folder: Path, backbone: BridgeTowerBackbone) -> None:
    tower, fusing_layers, _ = exactly(folder)
    prompt, states = backbone.tokenize(TEXT), tower(pixels(1).double())
    together = maps(fusing_layers.match(states, [[prompt]], Reading((2, 0, 1))))
    for row, layer in enumerate((2, 0, 1)):
        alone = maps(fusing_layers.match(states, [[prompt]], Reading((layer,))))
        for found, wanted in zip(together, alone, strict=True):
            assert relative(found[row], wanted[0]) < 1e-12


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 0, 1), (3, 0, 0), (1, 2, 3), (7, 0, 2)], ids=str)
def test_any_pairing_equals_one_pair_at_a_time(
    folder: Path, backbone: BridgeTowerBackbone, counts: tuple[int, ...]
) -> None:
    """Batches, padding, rows fused in parts and images without prompts change nothing."""
    tower, fusing_layers, _ = exactly(folder)
    states = tower(pixels(3, 24, 32).double())
    texts = ["cat", "A picture of dog", "A picture of cat potted plant sofa"]
    prompts = [[backbone.tokenize(texts[(n + image) % 3]) for n in range(count)] for image, count in enumerate(counts)]
    match = fusing_layers.match(states, prompts, Reading((0,)))
    for image, own in enumerate(prompts):
        assert len(match.logits[image]) == len(own)
        start = 0
        for row, prompt in enumerate(own):
            alone = fusing_layers.match(states[image : image + 1], [[prompt]], Reading((0,)))
            assert relative(match.logits[image][row], alone.logits[0][0]) < 1e-10
            for found, wanted in zip(maps(match, image), maps(alone), strict=True):
                assert relative(found[:, :, start : start + len(prompt)], wanted) < 1e-10
            start += len(prompt)
        assert maps(match, image)[0].shape == (1, 4, start, 3, 4)


def test_images_do_not_see_their_batch(backbone: BridgeTowerBackbone) -> None:
    together = backbone.encode_images(pixels(3))
    for row, image in enumerate(pixels(3)):
        assert relative(together.states[row], backbone.encode_images(image[None]).states[0]) < 1e-5
    again = type(together).join([together[2:], together[:1]])
    assert torch.equal(again.states, together.states[[2, 0]])
    assert (len(again), again.grid) == (2, (4, 4))


def test_patches_are_cells_in_rows(backbone: BridgeTowerBackbone) -> None:
    """With a tower that mixes nothing, blanking the pixels of cell (r, c) changes token r * gw + c alone."""
    visual = backbone._tower._visual
    image = pixels(1, 24, 40)
    blanked = image.clone()
    blanked[..., 8:16, 24:32] = 0
    patches = [visual.embeddings(each, interpolate_pos_encoding=True)[0, 1:] for each in (image, blanked)]
    changed = (patches[0] != patches[1]).any(-1).unflatten(0, (3, 5)).nonzero().tolist()
    assert changed == [[1, 3]]
    prompt = backbone.tokenize(TEXT)
    before, after = (
        torch.cat(backbone.match(backbone.encode_images(each), [[prompt]]).logits) for each in (image, blanked)
    )
    assert relative(after, before) > 1e-4


def test_what_is_not_asked_for_is_not_computed(backbone: BridgeTowerBackbone, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt, features = backbone.tokenize(TEXT), backbone.encode_images(pixels(1))
    graph: list[tuple[int, bool, bool]] = []
    layer = backbone._fusing._layer

    def watch(index: int, *given: Any, **named: Any) -> Any:
        text, image = layer(index, *given, **named)
        graph.append((index, text.requires_grad, image.requires_grad))
        return text, image

    monkeypatch.setattr(backbone._fusing, "_layer", watch)
    plain = backbone.match(features, [[prompt]])
    assert plain.maps == ()
    assert graph == [(0, False, False), (1, False, False), (2, False, False)]
    graph.clear()
    ungraded = backbone.match(features, [[prompt]], Reading((1,), gradient=False))
    assert ungraded.maps[0].gradient is None
    assert graph == [(0, False, False), (1, False, False), (2, False, False)]
    graph.clear()
    graded = backbone.match(features, [[prompt]], Reading((1,)))
    assert graph == [(0, False, False), (1, True, False), (2, True, True)]
    assert relative(ungraded.maps[0].attention, graded.maps[0].attention) < 1e-6


def test_the_tower_runs_once_an_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty names asked for one by one, and the joint prompt, go through one encoding of the photo."""
    segmenter = Segmenter.from_pretrained(folder, settings={"presence.above": 0.0}, without=["dropout", "crf"])
    encoded, fused = [], []
    backbone: Any = segmenter.backbone
    encode, fuse = backbone._tower, backbone._fusing._fuse
    monkeypatch.setattr(backbone, "_tower", lambda seen: encoded.append(len(seen)) or encode(seen))
    monkeypatch.setattr(backbone._fusing, "_fuse", lambda ids, *rest: fused.append(len(ids)) or fuse(ids, *rest))
    segmenter(np.zeros((30, 50, 3), np.uint8), ["cat", "dog", "sofa", "plant", "potted plant", "a"])
    assert encoded == [1]
    assert sum(fused) == 6 + 1
    assert max(fused) <= ROWS


def test_nothing_is_left_behind(folder: Path) -> None:
    backbone = load(folder)
    features = backbone.encode_images(pixels(2))
    assert not features.states.requires_grad
    assert not features.states.is_inference()
    match = backbone.match(features, [[backbone.tokenize("cat")]] * 2, Reading((0, 1)))
    assert not any(tensor.requires_grad for tensor in (*match.logits, *match.probability, *maps(match)))
    modules = [*backbone._fusing._text.layers, *backbone._fusing._image.layers, *backbone._fusing._tower_layers]
    weights = [w for module in modules for w in module.parameters()]
    assert weights
    assert not any(w.requires_grad or w.grad is not None for w in weights)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_callers_mode_changes_nothing(backbone: BridgeTowerBackbone, mode: Any) -> None:
    prompt = backbone.tokenize(TEXT)
    wanted = maps(backbone.match(backbone.encode_images(pixels(1)), [[prompt]], Reading((1,))))
    with mode():
        found = maps(backbone.match(backbone.encode_images(pixels(1)), [[prompt]], Reading((1,))))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_bfloat16_is_near(folder: Path, backbone: BridgeTowerBackbone) -> None:
    half = load(folder, dtype=torch.bfloat16)
    exact, rounded = (own.encode_images(pixels(2)).states for own in (backbone, half))
    assert half.card.dtype == torch.bfloat16
    assert rounded.dtype == torch.float32
    assert 1e-5 < relative(rounded, exact) < 0.05  # it did round, and not by much


def test_card(backbone: BridgeTowerBackbone, folder: Path) -> None:
    assert isinstance(backbone, Backbone)
    assert not is_contrastive(backbone)
    card = backbone.card
    assert (card.name, card.patch, card.max_tokens) == (str(folder), 8, 40)
    assert card.heads == dict.fromkeys(range(LAYERS), 4)
    assert card.mean == (0.48145466, 0.4578275, 0.40821073)
    assert (card.recommended.layer, card.recommended.head, card.recommended.image_size) == (1, 0, 32)
    assert card.recommended.source.startswith("untuned: a guess")


@pytest.mark.parametrize("trim", [True, False])
def test_tokens_know_where_they_come_from(tmp_path: Path, trim: bool) -> None:
    backbone = load(save_bridgetower(tmp_path, trim_offsets=trim))
    text = "A picture of potted plant, zebra 🐈 </s> cat"
    tokens = backbone.tokenize(text)
    assert tokens.ids[0] == 0
    assert tokens.ids[-1] == 2
    assert tokens.offsets[0] == tokens.offsets[-1] == (0, 0)
    assert tokens.ids.count(2) == 1  # the name's own is text
    covered = [text[start:end] for start, end in tokens.offsets[1:-1]]
    assert covered[:5] == ["A", "picture", "of", "potted", "plant"]
    assert all(part == part.strip() for part in covered)
    assert covered[-1] == "cat"
    cat = text.index("🐈")
    assert {span for span, part in zip(tokens.offsets[1:-1], covered, strict=True) if "🐈" in part} == {(cat, cat + 1)}
    spelt = {place for start, end in tokens.offsets for place in range(start, end)}
    assert spelt == {place for place, letter in enumerate(text) if letter != " "}
    assert tokens.unknown == ()


def test_phrases_and_words_of_several_pieces_are_segmented(folder: Path) -> None:
    segmenter = Segmenter.from_pretrained(folder, without=["presence"])
    photo = np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    names = ["potted plant", "zebra crossing", ["sofa", "couch"]]
    result = segmenter(photo, names)
    assert result.labels.shape == (40, 56)
    assert result.heatmaps.names.shape == (3, 4, 4)
    assert all(float(each.max()) > 0 for each in result.heatmaps.names)
    [again, _] = segmenter.stream([(photo, names), (photo[::-1].copy(), ["dog"])])
    assert float(np.abs(again.heatmaps.names - result.heatmaps.names).max()) < 1e-4 * result.heatmaps.names.max()


def test_refusals(backbone: BridgeTowerBackbone) -> None:
    features, prompt = backbone.encode_images(pixels(2)), backbone.tokenize("cat")
    longest, long = (TextTokens((5,) * n, ("x",) * n, ((0, 0),) * n) for n in (40, 41))
    with pytest.raises(InvalidInputError, match="no prompts"):
        backbone.match(features, [[], []])
    with pytest.raises(InvalidInputError, match="2 images need 2 lists of prompts"):
        backbone.match(features, [[prompt]])
    with pytest.raises(NamesError, match="41 tokens is longer than the 40"):
        backbone.match(features, [[long], [prompt]])
    backbone.match(features, [[longest], [prompt]])
    with pytest.raises(ConfigError, match="layer 3 cannot be read"):
        backbone.match(features, [[prompt]] * 2, Reading((3,)))
    with pytest.raises(InvalidInputError, match=r"32 x 36 px is no multiple of the patch, 8 px; try 32 x 32"):
        backbone.encode_images(torch.zeros(1, 3, 32, 36))
    with pytest.raises(NamesError, match="too long"):
        Segmenter(backbone)(np.zeros((32, 32, 3), np.uint8), ["zebra " * 20])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[ContrastiveBridgeTower, BridgeTowerForContrastiveLearning]:
    """A checkpoint with the heads of two classes of transformers, and the one of them that has contrastive heads."""
    width = {"hidden_size": 64}  # transformers' own contrastive forward wants all of one width
    model, contrastive = (make(text=width, vision=width, **width) for make in (random_bridgetower, random_contrastive))
    contrastive.bridgetower.load_state_dict(model.bridgetower.state_dict())
    folder = save_bridgetower(tmp_path_factory.mktemp("both"), model)
    save_file({**model.state_dict(), **contrastive.state_dict()}, folder / "model.safetensors", {"format": "pt"})
    backbone = load(folder)
    assert isinstance(backbone, ContrastiveBridgeTower)
    return backbone, contrastive


def test_similarity_equals_transformers(
    both: tuple[ContrastiveBridgeTower, BridgeTowerForContrastiveLearning],
) -> None:
    backbone, contrastive = both
    assert isinstance(backbone, Backbone)
    assert is_contrastive(backbone)
    images, texts = pixels(2), [backbone.tokenize(text) for text in ("A picture of cat", "dog")]
    embedded, seen = backbone.embed_texts(texts), backbone.embed_images(backbone.encode_images(images))
    for row, text in enumerate(texts):
        ids = torch.tensor([text.ids] * 2)
        with torch.no_grad():
            wanted = contrastive(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=images)
        assert relative(embedded[row], wanted.text_embeds[0]) < 1e-5
        assert relative(seen, wanted.image_embeds) < 1e-5


def test_contrastive_heads_leave_the_match_as_it_is(
    both: tuple[ContrastiveBridgeTower, BridgeTowerForContrastiveLearning], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(both[0].card.name, tmp_path / "match"))
    weights = load_file(folder / "model.safetensors")
    matching = {key: value for key, value in weights.items() if key.startswith(("bridgetower.", "itm_score."))}
    assert len(matching) < len(weights)
    save_file(matching, folder / "model.safetensors", {"format": "pt"})
    alone = load(folder)
    assert not is_contrastive(alone)
    found, wanted = (
        torch.cat(own.match(own.encode_images(pixels(1)), [[own.tokenize(TEXT)]]).logits) for own in (both[0], alone)
    )
    assert torch.equal(found, wanted)
