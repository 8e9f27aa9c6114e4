from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pnpovss.backbones.base import Backbone, LoadOptions, Reading, TextTokens
from pnpovss.backbones.decoder.backbone import QUESTIONS, DecoderBackbone, load_decoder
from pnpovss.config import Config
from pnpovss.errors import CheckpointError, ConfigError, InvalidInputError, NamesError
from pnpovss.inputs import to_pixels as normalised
from pnpovss.segmenter import Segmenter
from tests.support.decoder_models import TINY, Whole, save_decoder

KINDS = list(TINY)
Answer = tuple[Tensor, tuple[Tensor, ...]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_decoder(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def loaded(folders: Callable[[str], Path]) -> Callable[[str], DecoderBackbone]:
    made: dict[str, DecoderBackbone] = {}
    return lambda kind: made.setdefault(kind, load_decoder(str(folders(kind)), LoadOptions()))


def pixels(backbone: Backbone, images: int = 2) -> Tensor:
    """3 x 5 cells where any size is read."""
    side = backbone.card.recommended.image_size
    height, width = (24, 40) if backbone.card.sizes == "any" else (side, side)
    return torch.randn(images, 3, height, width, generator=torch.Generator().manual_seed(images))


def to_pixels(photo: np.ndarray, backbone: Backbone) -> Tensor:
    side = backbone.card.recommended.image_size
    return normalised(Image.fromarray(photo), (side, side), backbone.card)


def ask(backbone: Backbone, name: str) -> TextTokens:
    return backbone.tokenize(backbone.card.prompt.format(name))


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_equals_transformers(kind: str, folders: Callable[[str], Path], loaded: Callable[..., DecoderBackbone]) -> None:
    backbone, whole = loaded(kind), Whole(folders(kind), kind)
    images, prompt = pixels(backbone), ask(backbone, "potted plant")
    features = backbone.encode_images(images)
    cells = features.grid[0] * features.grid[1]
    ids = whole.ids("Does this figure show 'potted plant'? Please answer yes or no.", cells)
    assert tuple(ids[-len(prompt) :]) == prompt.ids

    logits, output = whole(images, ids, output_attentions=True)
    layers = (2, 0, 1)
    grads = torch.autograd.grad(logits.sum(), [output.attentions[layer] for layer in layers])
    match = backbone.match(features, [[prompt]] * 2, Reading(layers))
    assert relative(torch.cat(match.logits), logits.detach()) < 1e-5
    assert relative(torch.cat(match.probability), logits.detach().sigmoid()) < 1e-5
    start = len(ids) - len(prompt) - cells
    assert ids.index(whole.model.config.image_token_id) == start
    for image, seen in enumerate(match.maps):
        assert seen.gradient is not None
        for row, layer in enumerate(layers):
            own = (output.attentions[layer].detach(), grads[row])
            attention, gradient = (each[image, :, start + cells :, start : start + cells] for each in own)
            assert relative(seen.attention[row].flatten(2), attention) < 1e-5
            assert relative(seen.gradient[row].flatten(2), gradient) < 1e-4  # norms compute in float32


@pytest.mark.parametrize(("kind", "tiles"), [("smolvlm", (2, 3)), ("idefics3", (1, 2)), ("internvl", (2, 1))])
def test_tiles_equal_transformers(
    kind: str, tiles: tuple[int, int], folders: Callable[[str], Path], loaded: Callable[..., DecoderBackbone]
) -> None:
    """As the published processors cut an image and write it: tiles row by row, then the whole, small."""
    backbone, whole = loaded(kind), Whole(folders(kind), kind)
    rows, columns = tiles
    images = torch.randn(2, 3, 32 * rows, 32 * columns, generator=torch.Generator().manual_seed(5))
    prompt = ask(backbone, "potted plant")
    small = torch.nn.functional.interpolate(images, (32, 32), mode="bicubic", antialias=True)
    cut = [images[..., 32 * r : 32 * r + 32, 32 * c : 32 * c + 32] for r in range(rows) for c in range(columns)]
    frames = torch.stack([*cut, small], 1)  # b frame 3 H W
    cells, image = 16, "<image>" * 16
    if kind in ("smolvlm", "idefics3"):
        lines = [
            "".join(f"<fake_token_around_image><row_{r + 1}_col_{c + 1}>{image}" for c in range(columns)) + "\n"
            for r in range(rows)
        ]
        around = "".join(lines) + f"\n<fake_token_around_image><global-img>{image}<fake_token_around_image>"
        inputs = {"pixel_values": frames}
    else:
        around = f"<img>{image * (len(cut) + 1)}</img>"
        inputs = {"pixel_values": frames.flatten(0, 1)}
    ids = whole.ids("Does this figure show 'potted plant'? Please answer yes or no.", around)
    logits, output = whole(images, ids, output_attentions=True, inputs=inputs)
    [gradient] = torch.autograd.grad(logits.sum(), [output.attentions[1]])
    features = backbone.encode_images(images)
    assert features.grid == (4 * rows, 4 * columns)
    match = backbone.match(features, [[prompt]] * 2, Reading((1,)))
    assert relative(torch.cat(match.logits), logits.detach()) < 1e-5
    seen = [place for place, token in enumerate(ids) if token == whole.model.config.image_token_id]
    assert len(seen) == cells * (len(cut) + 1)
    own = [
        cells * ((row // 4) * columns + column // 4) + 4 * (row % 4) + column % 4
        for row in range(4 * rows)
        for column in range(4 * columns)
    ]
    places = [seen[place] for place in own]
    for number, found in enumerate(match.maps):
        assert found.gradient is not None
        attention, moved = (each[number, :, -len(prompt) :, places] for each in (output.attentions[1], gradient))
        assert relative(found.attention[0].flatten(2), attention.detach()) < 1e-5
        assert relative(found.gradient[0].flatten(2), moved) < 1e-4


def test_a_photo_is_cut_where_a_larger_image_is_asked_for(folders: Callable[[str], Path]) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    settings = {"image_size": 64, "crf": None, "presence": None}
    found = Segmenter.from_pretrained(folders("smolvlm"), device="cpu", settings=settings)(photo, ["cat"])
    assert found.heatmaps.names.shape == (1, 8, 8)
    with pytest.raises(ConfigError, match="reads images at multiples of 32 px, got image_size 40"):
        Segmenter.from_pretrained(folders("smolvlm"), device="cpu", settings={"image_size": 40})


@pytest.mark.parametrize(("kind", "longest"), [("smolvlm", 64), ("internvl", 96), ("qwen3_vl", None), ("llava", None)])
def test_no_more_tiles_are_asked_for_than_the_model_was_shown(
    kind: str, longest: int | None, loaded: Callable[..., DecoderBackbone]
) -> None:
    """The small tokenizer has marks for two rows, where SmolVLM's has them for six; InternVL writes none."""
    card = loaded(kind).card
    assert card.longest_side == longest
    if longest:
        assert Config(image_size=longest).resolve(card).image_size == longest
        with pytest.raises(ConfigError, match=f"reads images of at most {longest} px a side"):
            Config(image_size=longest + 32).resolve(card)


def test_an_image_is_not_cut_without_the_marks_for_it(tmp_path: Path) -> None:
    folder = save_decoder(tmp_path, "smolvlm")
    words = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(words.replace("<row_1_col_1>", "<other_1_col_1>"))
    backbone = load_decoder(str(folder), LoadOptions())
    assert backbone.card.longest_side == backbone.card.recommended.image_size
    assert backbone.card.sides((1,)) == (32,)
    with pytest.raises(CheckpointError, match="has no <row_1_col_1>, so its image cannot be cut"):
        backbone.encode_images(torch.zeros(1, 3, 32, 64))


def test_in_the_last_layer_the_answer_alone_moves_the_match(loaded: Callable[..., DecoderBackbone]) -> None:
    backbone = loaded("smolvlm")
    features, prompt = backbone.encode_images(pixels(backbone, 1)), ask(backbone, "cat")
    [seen] = backbone.match(features, [[prompt]], Reading((3,))).maps
    assert seen.gradient is not None
    moved = seen.gradient[0].abs().amax((0, 2, 3)) > 0
    assert moved.nonzero().flatten().tolist() == [len(prompt) - 1]
    assert backbone.card.answer == -1
    settings = {
        "read": "answer",
        "heads": [[3, head] for head in range(4)],
        "crf": None,
        "presence": None,
        "dropout": None,
    }
    segmenter = Segmenter.from_pretrained(backbone.card.name, device="cpu", settings=settings)
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    found = segmenter(photo, ["cat", "sofa"]).heatmaps.names
    asked = [[ask(backbone, name) for name in ("cat", "sofa")]]
    [seen] = backbone.match(backbone.encode_images(to_pixels(photo, backbone)), asked, Reading((3,))).maps
    last = [len(asked[0][0]) - 1, -1]
    wanted = (seen.attention * seen.gradient.clamp(min=0))[0][:, last].mean(0)  # pyright: ignore[reportOptionalMemberAccess]
    assert relative(torch.from_numpy(found), wanted) < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_many_questions_are_one_by_one(kind: str, loaded: Callable[..., DecoderBackbone]) -> None:
    backbone = loaded(kind)
    features = backbone.encode_images(pixels(backbone))
    names = ["cat", "potted plant", "sofa", "a rather long name of something"]
    many = [names * (QUESTIONS // 4 + 1), names[:1]]
    prompts = [[ask(backbone, name) for name in of_image] for of_image in many]
    together = backbone.match(features, prompts, Reading((1, 2)))
    for image, of_image in enumerate(prompts):
        alone = [backbone.match(features[image : image + 1], [[each]], Reading((1, 2))) for each in of_image[:5]]
        few = len(alone)
        torch.testing.assert_close(together.logits[image][:few], torch.cat([a.logits[0] for a in alone]))
        for what in ("attention", "gradient"):
            maps = torch.cat([getattr(each.maps[0], what) for each in alone], 2)
            own = getattr(together.maps[image], what)
            assert own.shape[2] == sum(map(len, of_image))
            assert relative(own[:, :, : maps.shape[2]], maps) < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_images(kind: str, loaded: Callable[..., DecoderBackbone]) -> None:
    """Also where one is blank: models drop a frame of zeros as padding, and shift what follows."""
    backbone = loaded(kind)
    images, prompt = pixels(backbone, 3), ask(backbone, "cat")
    images[0] = 0
    batch = backbone.encode_images(images)
    each = [backbone.encode_images(image[None]) for image in images]
    torch.testing.assert_close(batch.states, type(batch).join(each).states, rtol=1e-4, atol=1e-5)
    together, alone = (backbone.match(f, [[prompt]] * 3).logits for f in (batch, type(batch).join(each)))
    torch.testing.assert_close(torch.cat(together), torch.cat(alone))
    assert len({round(float(logit), 4) for logit in alone}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_cells_row_by_row(kind: str, tmp_path: Path) -> None:
    """With an image side in which no patch sees another, a changed cell changes its own token alone."""
    backbone = load_decoder(str(save_decoder(tmp_path, kind, local=True)), LoadOptions())
    images = pixels(backbone, 1)
    before = backbone.encode_images(images)
    cell = backbone.card.patch
    for row, column in ((0, 0), (0, before.grid[1] - 1), (1, 2), (before.grid[0] - 1, 0)):
        changed = images.clone()
        changed[:, :, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] += 1
        moved = (backbone.encode_images(changed).states - before.states)[0, 0].abs().sum((0, 1, 3))  # of layer 0, "n"
        assert (moved > 1e-4).nonzero().flatten().tolist() == [before.columns[0] + row * before.grid[1] + column]


@pytest.mark.parametrize(("kind", "tiles"), [("smolvlm", (2, 3)), ("idefics3", (2, 3)), ("internvl", (3, 2))])
def test_tokens_are_cells_row_by_row_across_tiles(kind: str, tiles: tuple[int, int], tmp_path: Path) -> None:
    """Cells of one row lie in several tiles, whose tokens stand far from each other; the small whole stands behind."""
    backbone = load_decoder(str(save_decoder(tmp_path, kind, local=True)), LoadOptions())
    rows, columns = tiles
    images = torch.randn(1, 3, 32 * rows, 32 * columns, generator=torch.Generator().manual_seed(7))
    before = backbone.encode_images(images)
    assert before.grid == (4 * rows, 4 * columns)
    assert len(set(before.columns)) == 16 * rows * columns
    cell = backbone.card.patch
    for row, column in ((0, 0), (0, 4), (3, 5), (4, 3), (5, 7), (before.grid[0] - 1, before.grid[1] - 1)):
        changed = images.clone()
        changed[:, :, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] += 1
        moved = (backbone.encode_images(changed).states - before.states)[0, 0].abs().sum((0, 1, 3))  # of layer 0, "n"
        of_cells = moved[list(before.columns)] > 1e-4
        assert of_cells.nonzero().flatten().tolist() == [row * before.grid[1] + column]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_behind(kind: str, folders: Callable[[str], Path]) -> None:
    backbone = load_decoder(str(folders(kind)), LoadOptions())
    features = backbone.encode_images(pixels(backbone))
    prompts = [[ask(backbone, "cat")], [ask(backbone, "dog"), ask(backbone, "cat")]]
    states = features.states.clone()
    first = backbone.match(features, prompts, Reading((0, 1)))
    assert torch.equal(features.states, states)
    assert not any(each.requires_grad for each in (*first.logits, *first.probability, first.maps[1].attention))
    second = backbone.match(features, prompts, Reading((0, 1)))
    assert all(torch.equal(one, two) for one, two in zip(first.logits, second.logits, strict=True))
    with torch.inference_mode():
        third = backbone.match(backbone.encode_images(pixels(backbone)), prompts, Reading((0, 1)))
    for one, two in zip(first.maps, third.maps, strict=True):
        assert one.gradient is not None
        assert two.gradient is not None
        assert torch.equal(one.gradient, two.gradient)
    without = backbone.match(features, prompts, Reading((0, 1), gradient=False))
    assert all(each.gradient is None for each in without.maps)
    torch.testing.assert_close(without.maps[1].attention, first.maps[1].attention)


def test_a_question_and_its_tokens(loaded: Callable[..., DecoderBackbone]) -> None:
    prompt = ask(loaded("smolvlm"), "zebra")
    assert prompt.pieces[0] == "<fake_token_around_image>"
    assert "".join(prompt.pieces[-7:]).endswith(":")
    text = loaded("smolvlm").card.prompt.format("zebra")
    spelled = [text[start:end] for start, end in prompt.offsets if start < end]
    assert "".join(spelled) == text.replace(" ", "")
    assert [o for o in prompt.offsets if o == (0, 0)]


def test_a_name_that_is_a_control_token_is_refused(loaded: Callable[..., DecoderBackbone]) -> None:
    for name in ("<image>", "cat<end_of_utterance>"):
        with pytest.raises(NamesError, match=r"'<(image|end_of_utterance)>' is a control token of this model"):
            ask(loaded("smolvlm"), name)


def test_what_cannot_be_asked_is_refused(loaded: Callable[..., DecoderBackbone]) -> None:
    backbone = loaded("smolvlm")
    with pytest.raises(
        InvalidInputError, match=r"reads 32 x 32 px, or up to 6 x 6 times that, each a tile; got 32 x 40"
    ):
        backbone.encode_images(torch.zeros(1, 3, 32, 40))
    with pytest.raises(InvalidInputError, match=r"24 x 30 px is no multiple of the cell of .*, 8 px"):
        loaded("qwen3_vl").encode_images(torch.zeros(1, 3, 24, 30))
    features, prompt = backbone.encode_images(pixels(backbone, 1)), ask(backbone, "cat")
    with pytest.raises(ConfigError, match=r"layer 4 cannot be read; these can, counted from 0: .0, 1, 2, 3."):
        backbone.match(features, [[prompt]], Reading((4,)))
    with pytest.raises(ConfigError, match="name one twice"):
        backbone.match(features, [[prompt]], Reading((1, 1)))
    long = ask(backbone, "cat " * 1100)
    assert len(long) > backbone.card.max_tokens
    with pytest.raises(NamesError, match=r"longer than the 10.. that are left beside the image"):
        backbone.match(features, [[long]])


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16(kind: str, folders: Callable[[str], Path], loaded: Callable[..., DecoderBackbone]) -> None:
    half, full = load_decoder(str(folders(kind)), LoadOptions(dtype=torch.bfloat16)), loaded(kind)
    images, prompt = pixels(full, 1), ask(full, "cat")
    found, wanted = (each.match(each.encode_images(images), [[prompt]], Reading((0,))) for each in (half, full))
    assert half.card.dtype == half.encode_images(images).states.dtype == torch.bfloat16
    assert found.maps[0].attention.dtype == torch.float32
    assert relative(found.maps[0].attention, wanted.maps[0].attention) < 0.2


@pytest.mark.parametrize("kind", ["smolvlm", "qwen3_vl"])
def test_segmenter(kind: str, folders: Callable[[str], Path]) -> None:
    """A whole photo: presence by the same question, one question a name, Salience Dropout."""
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    segmenter = Segmenter.from_pretrained(folders(kind), device="cpu", settings={"image_size": 32, "crf": None})
    assert segmenter.config.presence is not None
    result = segmenter(photo, ["cat", "potted plant", "sofa"])
    assert result.name_match is not None
    kept = tuple(i for i, match in enumerate(result.name_match) if match >= segmenter.config.presence.above)
    assert result.kept == kept
    every = Segmenter(segmenter.backbone, segmenter.config.replace({"presence": None}))(photo, ["cat", "potted plant"])
    assert every.provenance.prompts == (
        "Does this figure show 'cat'? Please answer yes or no.",
        "Does this figure show 'potted plant'? Please answer yes or no.",
    )
    assert every.match == pytest.approx(sum(result.name_match[:2]) / 2, rel=1e-4)
    assert every.heatmaps.names.shape == (2, 4, 4)
    assert every.heatmaps.names.max() > 0
    assert "untuned: a guess" in segmenter.backbone.card.recommended.source
