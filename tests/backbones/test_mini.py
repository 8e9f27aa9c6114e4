import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from pnpovss.backbones.base import LoadOptions, Reading, Recommended
from pnpovss.backbones.mini.backbone import BUNDLED, MiniBackbone, load_mini
from pnpovss.backbones.mini.checkpoint import quantise, read_checkpoint, write_checkpoint
from pnpovss.backbones.registry import load_backbone
from pnpovss.errors import CheckpointError, ConfigError, InvalidInputError, NamesError
from pnpovss.segmenter import Segmenter

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def mini() -> MiniBackbone:
    return load_mini("mini", LoadOptions())


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    image = Image.open(EXAMPLES / "cat.jpg").convert("RGB").resize((192, 160))
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    return ((values - 127) / 128)[None]


def test_it_is_found_by_name():
    assert load_backbone("mini").card.name == "mini"


def test_its_normalisation_is_that_of_its_trunk(mini: MiniBackbone):
    pixel = torch.tensor([0.0, 127.0, 255.0]) / 255
    normalised = (pixel - mini.card.mean[0]) / mini.card.std[0]
    torch.testing.assert_close(normalised, torch.tensor([-127 / 128, 0.0, 1.0]))


def test_an_image_does_not_depend_on_its_batch(mini: MiniBackbone, pixels: torch.Tensor):
    alone = mini.encode_images(pixels).tokens
    among = mini.encode_images(torch.cat([pixels.flip(3), pixels])).tokens[1:]
    torch.testing.assert_close(alone, among, atol=1e-3, rtol=1e-4)


def test_tokens_are_one_global_and_one_a_patch(mini: MiniBackbone, pixels: torch.Tensor):
    features = mini.encode_images(pixels)
    assert features.grid == (10, 12)
    assert features.prefix == 1
    assert features.tokens.shape == (1, 121, 384)


def test_sides_that_are_no_multiple_of_the_patch_are_refused(mini: MiniBackbone):
    with pytest.raises(InvalidInputError, match="100 x 96"):
        mini.encode_images(torch.zeros(1, 3, 100, 96))


def test_a_text_begins_with_enc_and_keeps_its_offsets(mini: MiniBackbone):
    tokens = mini.tokenize("A potted plant [SEP]")
    assert tokens.pieces[0] == "[ENC]"
    assert tokens.ids[0] == 1
    words = ["A potted plant [SEP]"[start:end] for start, end in tokens.offsets[1:-1]]
    assert "".join(words) == "Apottedplant[SEP]"
    assert tokens.ids.count(102) == 1  # a name that reads "[SEP]" is text


def test_the_right_name_matches_better(mini: MiniBackbone, pixels: torch.Tensor):
    features = mini.encode_images(pixels)
    prompts = [mini.tokenize(f"A picture of {name}") for name in ("cat", "bus", "pizza")]
    [matched] = mini.match(features, [prompts]).probability
    alike = (mini.embed_images(features) @ mini.embed_texts(prompts).T)[0]
    assert int(matched.argmax()) == 0
    assert int(alike.argmax()) == 0
    assert float(alike.abs().max()) <= 1 + 1e-5


def test_attention_and_gradient_have_the_shapes_asked_for(mini: MiniBackbone, pixels: torch.Tensor):
    features = mini.encode_images(pixels)
    prompt = mini.tokenize("A picture of cat")
    [seen] = mini.match(features, [[prompt]], Reading((4, 3))).maps
    assert seen.gradient is not None
    assert seen.attention.shape == seen.gradient.shape == (2, 4, len(prompt), 10, 12)
    assert mini.card.heads == {3: 4, 4: 4}


def test_texts_too_long_or_missing_are_refused(mini: MiniBackbone):
    with pytest.raises(NamesError, match="128"):
        mini.embed_texts([mini.tokenize("cat " * 200)])
    with pytest.raises(InvalidInputError, match="no texts"):
        mini.embed_texts([])


def test_options_it_cannot_obey_are_refused():
    with pytest.raises(ConfigError, match="float16"):
        load_mini("mini", LoadOptions(dtype=torch.float16))
    with pytest.raises(ConfigError, match="abc"):
        load_mini("mini", LoadOptions(revision="abc"))


def test_the_checkpoint_is_small_enough_to_ship():
    assert sum(file.stat().st_size for file in BUNDLED.iterdir()) <= 60_000_000


def test_a_checkpoint_written_and_read_is_the_same(mini: MiniBackbone, pixels: torch.Tensor, tmp_path: Path):
    first = read_checkpoint(BUNDLED)
    recommended = Recommended(3, 1, 256, {"threshold": 0.2}, "a test")
    write_checkpoint(tmp_path, first.model, first.tokenizer, recommended)
    second = MiniBackbone(read_checkpoint(tmp_path), name="copy")
    assert second.card.recommended == recommended
    torch.testing.assert_close(second.encode_images(pixels).tokens, mini.encode_images(pixels).tokens)


def test_quantised_words_come_back_within_half_a_step():
    words = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    words[3] = 0
    small, scale = quantise(words)
    assert float((small * scale[:, None] - words).abs().max()) <= float(scale.max()) / 2 + 1e-6


def damaged(folder: Path, **config: object) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": "pnpovss-mini", "format": 1, **config}))
    return folder


def test_checkpoints_of_another_kind_are_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="expected 'pnpovss-mini'"):
        read_checkpoint(damaged(tmp_path, model_type="blip"))
    with pytest.raises(CheckpointError, match="format 99"):
        read_checkpoint(damaged(tmp_path, format=99))


def test_missing_and_damaged_weights_are_refused(tmp_path: Path):
    damaged(tmp_path)
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        read_checkpoint(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((BUNDLED / "tokenizer.json").read_bytes())
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="no word embeddings"):
        read_checkpoint(tmp_path)
    state = load_file(BUNDLED / "model.safetensors")
    del state["itm_head.bias"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"itm_head\.bias"):
        read_checkpoint(tmp_path)


def boxes() -> list[tuple[str, str, list[list[int]]]]:
    listed = json.loads((EXAMPLES / "boxes.json").read_text())
    return [(photo, name, areas) for photo, names in listed.items() for name, areas in names.items()]


def test_most_named_things_get_a_region_over_their_box():
    segmenter = Segmenter.from_pretrained("mini")
    overlaps = []
    for photo in {photo for photo, *_ in boxes()}:
        names = [name for at, name, _ in boxes() if at == photo]
        result = segmenter(EXAMPLES / photo, names)
        for at, name, areas in boxes():
            if at == photo:
                inside = np.zeros(result.labels.shape, bool)
                for left, top, right, bottom in areas:
                    inside[top:bottom, left:right] = True
                region = result.mask(name)
                overlaps.append((region & inside).sum() / max(1, (region | inside).sum()))
    assert np.mean(np.array(overlaps) > 0.2) > 0.5, overlaps
