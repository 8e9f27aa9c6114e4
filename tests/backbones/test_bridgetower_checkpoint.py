"""BridgeTower checkpoints as they are published, and those that are refused, each with its reason."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BridgeTowerForMaskedLM

from pnpovss import Segmenter
from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.bridgetower.backbone import load_bridgetower
from pnpovss.errors import CheckpointError
from tests.support.blip_models import VOCABULARY as WORDPIECES
from tests.support.damage import edit, reweigh
from tests.support.fuser_models import (
    bridgetower_config,
    random_bridgetower,
    random_contrastive,
    randomise,
    save_bridgetower,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bridgetower(tmp_path_factory.mktemp("whole"))


def only_wordpieces(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(WORDPIECES))


def fewer_embeddings(weights: dict[str, torch.Tensor]) -> None:
    key = "bridgetower.text_model.embeddings.word_embeddings.weight"
    weights[key] = weights[key][:50].contiguous()


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another architecture": (
        lambda f: edit(f / "config.json", model_type="vilt"),
        "model_type 'vilt'; expected 'bridgetower'",
    ),
    "no match head": (
        lambda f: reweigh(f, lambda w: [w.pop(key) for key in list(w) if key.startswith("itm_score.")]),
        r"no head for image-text matching \(itm_score\).*Use one of BridgeTower/bridgetower-base-itm-mlm",
    ),
    "half a match head": (
        lambda f: reweigh(f, lambda w: w.pop("itm_score.fc.bias")),
        "1 missing: itm_score.fc.bias",
    ),
    "half the contrastive heads": (
        lambda f: reweigh(f, lambda w: w.update({"itc_image_head.fc.weight": torch.ones(12, 32)})),
        "3 missing: itc_image_head.fc.bias, itc_text_head.fc.bias, itc_text_head.fc.weight",
    ),
    "a fusing layer is missing": (
        lambda f: reweigh(f, lambda w: [w.pop(k) for k in list(w) if "cross_modal_image_layers.1." in k]),
        "26 missing: bridgetower.cross_modal_image_layers.1",
    ),
    "a key too many": (lambda f: reweigh(f, lambda w: w.update(extra=torch.ones(1))), "1 not of this model: extra"),
    "other shapes": (
        lambda f: reweigh(f, fewer_embeddings),
        r"1 of another shape: .*\(50, 32\) instead of \(300, 32\)",
    ),
    "weights that are not finite": (
        lambda f: reweigh(f, lambda w: w["itm_score.fc.bias"].fill_(float("inf"))),
        "not finite: itm_score.fc.bias",
    ),
    "truncated weights": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-100]),
        r"has \d+ bytes, its header announces \d+",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights in"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer in"),
    "damaged tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json is no tokenizer"),
    "tokenizer of another model": (
        only_wordpieces,
        r"expected <s> before and </s> after it, .* as in RoBERTa's byte pairs",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_refused(kind: str, folder: Path) -> None:
    damage, reason = DAMAGES[kind]
    damage(folder)
    with pytest.raises(CheckpointError, match=reason):
        load_bridgetower(str(folder), LoadOptions())


def test_the_contrastive_checkpoint_alone_is_refused(tmp_path: Path) -> None:
    """transformers fills in a random match head and warns; its answers would be worthless."""
    folder = save_bridgetower(tmp_path, random_contrastive())
    with pytest.raises(CheckpointError, match=r"no head for image-text matching .*large-itm-mlm-itc.* never look at"):
        Segmenter.from_pretrained(folder)


def test_a_tokenizer_with_too_many_tokens_is_refused(tmp_path: Path) -> None:
    folder = save_bridgetower(tmp_path, random_bridgetower(text={"vocab_size": 280}))
    with pytest.raises(CheckpointError, match=r"numbers tokens up to 287, but the model embeds 280"):
        load_bridgetower(str(folder), LoadOptions())


def test_a_tower_that_is_too_low_is_refused(tmp_path: Path) -> None:
    folder = save_bridgetower(tmp_path, random_bridgetower(vision={"num_hidden_layers": 3}))
    with pytest.raises(CheckpointError, match="3 image layers, 4 text layers and 3"):
        load_bridgetower(str(folder), LoadOptions())


def test_the_head_for_masked_words_may_be_there_too(folder: Path) -> None:
    """The published "-itm-mlm" files serve two classes of transformers."""
    masked = randomise(BridgeTowerForMaskedLM(bridgetower_config())).state_dict()
    reweigh(folder, lambda w: w.update({key: value for key, value in masked.items() if key.startswith("mlm_score.")}))
    assert load_bridgetower(str(folder), LoadOptions()).card.heads == {0: 4, 1: 4, 2: 4}


def test_pytorch_files_are_read(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["bridgetower.text_model.embeddings.position_ids"] = torch.arange(42)[None]  # a buffer of older files
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    load_bridgetower(str(folder), LoadOptions())
    torch.save({key: value for key, value in weights.items() if "itm" not in key}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="no head for image-text matching"):
        load_bridgetower(str(folder), LoadOptions())
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04 nothing else")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_bridgetower(str(folder), LoadOptions())


def test_normalisation_comes_from_the_checkpoint(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1]}')
    card = load_bridgetower(str(folder), LoadOptions()).card
    assert (card.mean, card.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
