"""ViLT and FLAVA: what is theirs alone; the rest is in the contract that all backbones keep."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import ViltForQuestionAnswering

from pnpovss import Segmenter
from pnpovss.backbones.base import LoadOptions, Reading
from pnpovss.backbones.joint.backbone import ROWS, JointBackbone, load_joint
from pnpovss.errors import CheckpointError, ConfigError
from pnpovss.prompts import PREFIX
from tests.support.fuser_models import randomise
from tests.support.joint_models import (
    in_rows,
    load_original,
    make_vilt,
    moved,
    own_logits,
    save_flava,
    save_joint,
    save_vilt,
    text_and_patches,
)

TEXT = "A picture of cat potted plant"
SAVE = {"vilt": save_vilt, "flava": save_flava}


@pytest.fixture(scope="module", params=SAVE)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[JointBackbone, Any]:
    folder = SAVE[request.param](tmp_path_factory.mktemp(request.param))
    return load_joint(str(folder), LoadOptions()), load_original(str(folder))


def pixels(height: int = 32, width: int = 32, images: int = 1) -> Tensor:
    return torch.randn(images, 3, height, width, generator=torch.Generator().manual_seed(height * width))


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max().detach() / wanted.abs().max().detach())


@pytest.mark.parametrize("size", [(32, 32), (24, 56)], ids=str)
@pytest.mark.parametrize("layer", [0, 1])
def test_equals_transformers(both: tuple[JointBackbone, Any], size: tuple[int, int], layer: int):
    backbone, model = both
    image, prompt = pixels(*size), backbone.tokenize(TEXT)
    with moved(model, layer) as seen:
        logits = own_logits(model, image, torch.tensor([prompt.ids]))
    [wanted], [gradient] = seen, torch.autograd.grad(logits[0, -1], seen)
    match = backbone.match(backbone.encode_images(image), [[prompt]], Reading((layer,)))
    assert relative(match.logits[0], logits[:, -1]) < 1e-5
    rows, columns = text_and_patches(model, len(prompt), size[0] * size[1] // 64)
    [found] = match.maps
    assert found.gradient is not None
    assert relative(found.attention[0].flatten(2), wanted[0, :, rows, columns]) < 1e-5
    assert relative(found.gradient[0].flatten(2), gradient[0, :, rows, columns]) < 1e-5
    if logits.shape[1] == 2:
        assert relative(match.probability[0], logits.softmax(-1)[:, 1]) < 1e-5


def test_vilt_is_in_order_and_takes_no_chance(tmp_path: Path):
    """Its own embedding shuffles: what stands where is undone, and nobody's random numbers are used up."""
    backbone, image = load_joint(str(save_vilt(tmp_path)), LoadOptions()), pixels(24, 56)
    model = load_original(str(tmp_path))
    state = torch.get_rng_state()
    first = backbone.encode_images(image)
    assert torch.equal(torch.get_rng_state(), state)
    kinds = model.vilt.embeddings.token_type_embeddings.weight[1]
    assert relative(first.tokens, in_rows(model, image) + kinds) < 1e-5
    assert not torch.equal(*(model.vilt.embeddings.visual_embed(image, image[:, 0] * 0 + 1)[0] for _ in range(2)))
    changed = image.clone()
    changed[..., 8:16, 24:32] += 1
    other = backbone.encode_images(changed).tokens[0, 1:]
    assert (first.tokens[0, 1:] != other).any(-1).nonzero().flatten().tolist() == [1 * 7 + 3]


def test_vilt_sees_all_patches_whatever_its_config_draws(tmp_path: Path):
    backbone = load_joint(str(save_joint(tmp_path, make_vilt(max_image_length=5))), LoadOptions())
    assert backbone.encode_images(pixels(24, 56)).tokens.shape[1] == 1 + 21


def test_many_pairs_are_matched_in_parts(both: tuple[JointBackbone, Any]):
    backbone, _ = both
    features = backbone.encode_images(pixels(images=2))
    prompts = [backbone.tokenize(f"A picture of {'cat ' * (n % 5)}dog") for n in range(ROWS + 3)]
    together = backbone.match(features, [prompts, prompts[:1]], Reading((1,)))
    alone = backbone.match(features[:1], [prompts[-1:]], Reading((1,)))
    assert relative(together.logits[0][-1:], alone.logits[0]) < 1e-4
    assert relative(together.probability[0][-1:], alone.probability[0]) < 1e-4
    rows = len(prompts[-1])
    assert relative(together.maps[0].attention[:, :, -rows:], alone.maps[0].attention) < 1e-4


def test_a_rank_is_told_against_the_bare_prompt(both: tuple[JointBackbone, Any]):
    backbone, model = both
    prompts = [backbone.tokenize(PREFIX), backbone.tokenize(TEXT)]
    match = backbone.match(backbone.encode_images(pixels()), [prompts])
    if model.config.model_type == "vilt":
        assert float(match.probability[0][0]) == pytest.approx(0.5)
        wanted = (match.logits[0] - match.logits[0][0]).sigmoid()
        assert relative(match.probability[0], wanted) < 1e-5
    assert Segmenter(backbone).config.presence is None


def test_what_can_be_read(both: tuple[JointBackbone, Any]):
    """FLAVA's match is read from no token of the text: its last layer says nothing of words."""
    backbone, model = both
    if model.config.model_type == "vilt":
        assert list(backbone.card.heads) == [0, 1, 2]
        assert backbone.card.reads == ("names", "answer")
    else:
        assert list(backbone.card.heads) == [0, 1]
        with pytest.raises(ConfigError, match="cannot be read by 'answer'"):
            Segmenter.from_pretrained(backbone.card.name, device="cpu", settings={"read": "answer"})


def test_a_photo(both: tuple[JointBackbone, Any]):
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    segmenter = Segmenter.from_pretrained(both[0].card.name, device="cpu", without=["crf"])
    result = segmenter(photo, ["potted plant", ["sofa", "dog"]])
    assert result.provenance.prompts == ("A picture of potted plant sofa dog",)
    assert (result.heatmaps.names.max((1, 2)) > 0).all()
    assert "untuned: a guess" in segmenter.backbone.card.recommended.source


def test_bfloat16_is_near(both: tuple[JointBackbone, Any]):
    exact, _ = both
    half = load_joint(exact.card.name, LoadOptions(dtype=torch.bfloat16))
    found, wanted = (own.encode_images(pixels()).tokens for own in (half, exact))
    assert found.dtype == torch.float32
    assert 1e-5 < relative(found, wanted) < 0.1


@pytest.mark.parametrize("kind", SAVE)
def test_damaged_and_foreign_checkpoints_are_refused(tmp_path: Path, kind: str):
    folder = SAVE[kind](tmp_path)
    weights, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    dropped = next(name for name in weights if "layer.1" in name)
    save_file({k: v for k, v in weights.items() if k != dropped}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"1 missing: {dropped}"):
        load_joint(str(folder), LoadOptions())
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "blip"}))
    with pytest.raises(CheckpointError, match="model_type 'blip'; expected 'vilt' or 'flava'"):
        load_joint(str(folder), LoadOptions())


def test_a_vilt_of_another_task_is_refused(tmp_path: Path):
    config: Any = make_vilt().config
    config.num_labels = 3
    with pytest.raises(CheckpointError, match=r"missing: rank_output\.bias"):
        load_joint(str(save_joint(tmp_path, randomise(ViltForQuestionAnswering(config)))), LoadOptions())
