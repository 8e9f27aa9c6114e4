import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.decoder import SPEC
from pnpovss.backbones.decoder.backbone import load_decoder
from pnpovss.backbones.decoder.eyes import ARCHITECTURES
from pnpovss.backbones.registry import load_backbone
from pnpovss.errors import CheckpointError
from tests.support.damage import edit, reweigh
from tests.support.decoder_models import CONTROL, RESTS, TINY, save_decoder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_decoder(tmp_path_factory.mktemp("whole"))


def rename(folder: Path, old: str, new: str) -> None:
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace(old, new))


NO_IMAGE = "does not write one '<image>' and then the question"
DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another architecture": (lambda f: edit(f / "config.json", model_type="blip"), "model_type 'blip'; expected 'smol"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights in"),
    "a missing key": (
        lambda f: reweigh(f, lambda w: w.pop("lm_head.weight")),
        "not those of SmolVLMForConditionalGeneration: 1 missing: lm_head.weight",
    ),
    "a key too many": (lambda f: reweigh(f, lambda w: w.update(extra=torch.ones(1))), "1 not of this model: extra"),
    "another shape": (
        lambda f: reweigh(f, lambda w: w.update({"lm_head.weight": torch.ones(3, 3)})),
        "1 of another shape: lm_head.weight",
    ),
    "weights that are not finite": (
        lambda f: reweigh(f, lambda w: w["lm_head.weight"].fill_(float("inf"))),
        "hold values that are not finite: lm_head.weight",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer in"),
    "no chat template": (lambda f: (f / "chat_template.jinja").unlink(), "no chat template in .*chat_template.jinja"),
    "a template without an image": (
        lambda f: (f / "chat_template.jinja").write_text("{{ messages[0]['content'][1]['text'] }}"),
        NO_IMAGE,
    ),
    "a template without a question": (lambda f: (f / "chat_template.jinja").write_text("<image> Hello."), NO_IMAGE),
    "the question before the image": (
        lambda f: (f / "chat_template.jinja").write_text("{{ messages[0]['content'][1]['text'] }}<image>"),
        NO_IMAGE,
    ),
    "a broken template": (
        lambda f: (f / "chat_template.jinja").write_text("{% for"),
        "chat template in .* cannot write a question",
    ),
    "a template that reaches out": (
        lambda f: (f / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        "chat template in .* cannot write a question",
    ),
    "tokenizer of another model": (lambda f: rename(f, "<image>", "<pic>"), NO_IMAGE.replace("<image>", "<pic>")),
    "a token that is not there": (
        lambda f: edit(f / "config.json", image_token_id=90000),
        "has no token 90000, the image's by the config",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_refused(kind: str, folder: Path) -> None:
    damage, reason = DAMAGES[kind]
    damage(folder)
    with pytest.raises(CheckpointError, match=reason):
        load_decoder(str(folder), LoadOptions())


def test_one_layer_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has one layer; names are read below the last of several"):
        load_decoder(str(save_decoder(tmp_path, num_hidden_layers=1)), LoadOptions())


@pytest.mark.parametrize(
    ("tower", "wrong", "tokens"),
    [("llava of clip", "full", 17), ("llava of siglip", "default", 15)],
)
def test_tokens_that_are_not_those_of_the_patches_are_refused(
    tower: str, wrong: str, tokens: int, tmp_path: Path
) -> None:
    """They were read as if they were, each patch's attention as that of its neighbour."""
    folder = save_decoder(tmp_path, "llava", config=RESTS[tower][1])
    load_decoder(str(folder), LoadOptions())
    edit(folder / "config.json", vision_feature_select_strategy=wrong)
    said = rf"{folder} says \S+ '{wrong}', by which {tokens} tokens of .* 16 patches"
    with pytest.raises(CheckpointError, match=said):
        load_decoder(str(folder), LoadOptions())


@pytest.mark.parametrize("kind", TINY)
def test_found_by_its_model_type(kind: str, tmp_path: Path) -> None:
    backbone = load_backbone(save_decoder(tmp_path, kind))
    assert backbone.card.prompt == "Does this figure show '{}'? Please answer yes or no."
    assert not backbone.card.joint_prompt
    assert backbone.card.heads == {0: 4, 1: 4, 2: 4, 3: 4}
    assert backbone.card.patch == TINY[kind].cell
    assert (backbone.card.mean, backbone.card.std) == ARCHITECTURES[kind].normalisation
    assert backbone.card.recommended.source.startswith("untuned: a guess")


def test_every_architecture_is_tested() -> None:
    assert set(TINY) == set(ARCHITECTURES) == set(SPEC.model_types)


def test_the_chat_template_may_lie_where_older_versions_put_it(folder: Path) -> None:
    text = "a picture of cat"
    wanted = load_decoder(str(folder), LoadOptions()).tokenize(text)
    own = folder / "chat_template.jinja"
    template = own.read_text()
    own.unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert load_decoder(str(folder), LoadOptions()).tokenize(text) == wanted
    (folder / "chat_template.json").unlink()
    for where in (template, [{"name": "tools", "template": "?"}, {"name": "default", "template": template}]):
        edit(folder / "tokenizer_config.json", chat_template=where)
        assert load_decoder(str(folder), LoadOptions()).tokenize(text) == wanted


def test_a_text_begins_once(folder: Path) -> None:
    """A tokenizer that begins every text by itself, with a template that does so too, or does not."""
    path = folder / "tokenizer.json"
    content, begin = json.loads(path.read_text()), CONTROL[0]
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": begin, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {begin: {"id": begin, "ids": [0], "tokens": [begin]}},
    }
    plain = load_decoder(str(folder), LoadOptions()).encode_images(torch.zeros(1, 3, 32, 32)).columns[0]
    path.write_text(json.dumps(content))
    assert load_decoder(str(folder), LoadOptions()).encode_images(torch.zeros(1, 3, 32, 32)).columns[0] == plain + 1
    template = folder / "chat_template.jinja"
    template.write_text("{{ bos_token }}" + template.read_text())
    assert load_decoder(str(folder), LoadOptions()).encode_images(torch.zeros(1, 3, 32, 32)).columns[0] == plain + 1
