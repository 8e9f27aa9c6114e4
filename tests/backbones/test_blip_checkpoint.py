"""Checkpoints that are not whole are refused, each with its reason; nothing is filled in at random."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BlipForImageTextRetrieval
from transformers.utils import logging as transformers_logging

from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.blip.backbone import load_blip
from pnpovss.backbones.parts.checkpoint import content_hash, read_model
from pnpovss.errors import CheckpointError
from tests.support.blip_models import VOCABULARY, random_model, save_checkpoint
from tests.support.damage import edit, reweigh


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("whole"))


def truncate(path: Path, fraction: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json in .*save_pretrained"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "config.json holds list; expected an object"),
    "another architecture": (
        lambda f: edit(f / "config.json", model_type="vilt"),
        "model_type 'vilt'; expected 'blip'",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights in .*model.safetensors"),
    "empty weights": (lambda f: truncate(f / "model.safetensors", 0), "no safetensors file"),
    "truncated header": (lambda f: truncate(f / "model.safetensors", 0.01), "no safetensors file"),
    "truncated weights": (lambda f: truncate(f / "model.safetensors", 0.7), r"has \d+ bytes, its header announces \d+"),
    "weights are text": (lambda f: (f / "model.safetensors").write_text("hello world, here I am"), "no safetensors"),
    "a missing key": (
        lambda f: reweigh(f, lambda w: w.pop("itm_head.weight")),
        r"1 missing: itm_head.weight\. Its config names \['BlipForImageTextRetrieval'\]",
    ),
    "many missing keys": (
        lambda f: reweigh(f, lambda w: [w.pop(k) for k in list(w) if k.startswith("text_encoder.encoder.layer.0")]),
        r"26 missing: (\S+, ){3}\.\.\.",
    ),
    "a key too many": (
        lambda f: reweigh(f, lambda w: w.update(extra=torch.ones(1))),
        "1 not of this model: extra",
    ),
    "another shape": (
        lambda f: reweigh(f, lambda w: w.update({"text_proj.bias": torch.ones(3)})),
        r"1 of another shape: text_proj.bias \(3,\) instead of \(12,\)",
    ),
    "no tokenizer": (lambda f: (f / "vocab.txt").unlink(), "no tokenizer in .*expected tokenizer.json or vocab.txt"),
    "damaged tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json is no tokenizer"),
    "no [ENC]": (
        lambda f: (f / "vocab.txt").write_text("\n".join(VOCABULARY[:-3])),
        r"has no \[ENC\].* knows 13 tokens and the model 16",
    ),
    "tokenizer of another model": (
        lambda f: (f / "vocab.txt").write_text("\n".join([*VOCABULARY, "more", "words"])),
        "numbers tokens up to 17, but the model embeds 16, from 0",
    ),
    "vocabulary without [CLS]": (
        lambda f: (f / "vocab.txt").write_text("\n".join(w for w in VOCABULARY if w != "[CLS]")),
        r"vocab.txt is no tokenizer|no \[CLS\]|start a text with \[CLS\]",
    ),
    "weights that are not finite": (
        lambda f: reweigh(f, lambda w: w["itm_head.bias"].fill_(float("nan"))),
        "1 weights in .* hold values that are not finite: itm_head.bias; fetch it again",
    ),
    "normalisation is not finite": (
        lambda f: edit(f / "preprocessor_config.json", image_mean=[0.5, 0.5, float("inf")]),
        "expected three values, std above 0",
    ),
    "normalisation is nonsense": (
        lambda f: edit(f / "preprocessor_config.json", image_std=[0.5, 0.5]),
        "expected three values, std above 0",
    ),
    "no normalisation": (
        lambda f: edit(f / "preprocessor_config.json", do_normalize=False),
        r"preprocessor_config\.json says do_normalize false; .*image_mean \[0, 0, 0\] and image_std \[1, 1, 1\]",
    ),
    "values to 255": (
        lambda f: edit(f / "preprocessor_config.json", do_rescale=False),
        r"multiplies values by 1 \(do_rescale, rescale_factor\); expected 1/255",
    ),
    "values to 2": (
        lambda f: edit(f / "preprocessor_config.json", rescale_factor=1 / 127.5),
        r"multiplies values by 0\.0078.*expected 1/255",
    ),
    "values in words": (
        lambda f: edit(f / "preprocessor_config.json", rescale_factor="1/255"),
        "multiplies values by '1/255'",
    ),
    "normalisation is no JSON": (
        lambda f: (f / "preprocessor_config.json").write_text("?"),
        "preprocessor_config.json cannot be read",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_refused(kind: str, folder: Path) -> None:
    damage, reason = DAMAGES[kind]
    damage(folder)
    with pytest.raises(CheckpointError, match=reason):
        load_blip(str(folder), LoadOptions())


def test_a_captioning_model_is_refused(folder: Path) -> None:
    edit(folder / "config.json", architectures=["BlipForConditionalGeneration"])
    reweigh(folder, lambda w: [w.pop(key) for key in list(w) if key.startswith(("text_encoder", "itm"))])
    with pytest.raises(
        CheckpointError, match=r"not those of BlipForImageTextRetrieval: .* names \['BlipForConditionalGeneration'\]"
    ):
        load_blip(str(folder), LoadOptions())


def test_a_missing_part_is_refused(folder: Path) -> None:
    BlipForImageTextRetrieval.from_pretrained(folder).save_pretrained(folder / "parts", max_shard_size="50KB")
    shutil.copy(folder / "vocab.txt", folder / "parts")
    parts = sorted((folder / "parts").glob("*.safetensors"))
    assert len(parts) > 2
    load_blip(str(folder / "parts"), LoadOptions())
    parts[1].unlink()
    with pytest.raises(CheckpointError, match=rf"1 of {len(parts)} parts of the weights are missing: {parts[1].name}"):
        load_blip(str(folder / "parts"), LoadOptions())


def test_what_is_read_is_what_was_saved(folder: Path) -> None:
    saved, read = load_file(folder / "model.safetensors"), read_model(folder, BlipForImageTextRetrieval)
    state = read.state_dict()
    assert all(torch.equal(state[name], weights) for name, weights in saved.items())
    assert not read.training
    assert not any(weights.requires_grad for weights in read.parameters())


def test_half_precision_files_are_read_as_float32(folder: Path) -> None:
    reweigh(folder, lambda w: w.update({name: weights.half() for name, weights in w.items()}))
    assert {weights.dtype for weights in read_model(folder, BlipForImageTextRetrieval).parameters()} == {torch.float32}


def test_buffers_of_older_files_are_no_error(folder: Path) -> None:
    reweigh(folder, lambda w: w.update({"text_encoder.embeddings.position_ids": torch.arange(40)[None]}))
    load_blip(str(folder), LoadOptions())


def test_pytorch_files_are_read(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    load_blip(str(folder), LoadOptions())
    truncate(folder / "pytorch_model.bin", 0.5)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_blip(str(folder), LoadOptions())


def test_normalisation_comes_from_the_checkpoint(folder: Path) -> None:
    assert load_blip(str(folder), LoadOptions()).card.mean == (0.48145466, 0.4578275, 0.40821073)
    edit(folder / "preprocessor_config.json", image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.2, 0.1], size=384)
    usual = {"do_rescale": True, "rescale_factor": 0.00392156862745098, "do_normalize": True}
    edit(folder / "preprocessor_config.json", **usual)
    own = load_blip(str(folder), LoadOptions())
    assert (own.card.mean, own.card.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))


def test_enc_is_found_where_the_tokenizer_names_it(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(["[ENC]", *VOCABULARY[:-2], "more"]))
    assert load_blip(str(folder), LoadOptions()).tokenize("cat").ids[0] == 0


def test_a_hub_id_that_is_not_here_says_what_to_do() -> None:
    with pytest.raises(CheckpointError, match=r"not on this machine.*local_files_only.*hf download nobody/nothing"):
        load_blip("nobody/nothing", LoadOptions(local_files_only=True))
    with pytest.raises(CheckpointError, match="the hub does not give the model 'no body/x'"):
        load_blip("no body/x", LoadOptions(local_files_only=True))


def test_a_revision_is_of_a_hub_id(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="revision 'v2' was asked of the local folder"):
        load_blip(str(folder), LoadOptions(revision="v2"))


def test_the_hash_follows_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pytorch_model.bin"
    hashes = set()
    for small in (1 << 30, 1 << 10):
        monkeypatch.setattr("pnpovss.backbones.parts.checkpoint._SMALL", small)
        for content in (bytes(2 << 20), bytes((2 << 20) - 1) + b"\x01", b"\x01" + bytes((2 << 20) - 1), bytes(3 << 19)):
            path.write_bytes(content)
            hashes.add(content_hash([path]))
    assert len(hashes) == 8
    assert sum(value.startswith("sampled-sha256:") for value in hashes) == 4


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_the_hash_of_a_large_file_sees_a_head_that_was_trained_alone(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pnpovss.backbones.parts.checkpoint._SMALL", 1 << 20)
    weights = {f"layer.{i}.weight": torch.full((1 << 20,), float(i)) for i in range(8)}  # 4 MiB each
    weights["layer.4.bias"] = torch.zeros(700)
    path, hashes = tmp_path / file, []
    for change in ({}, {}, {"layer.4.bias": torch.ones(700)}, {"layer.2.weight": torch.full((1 << 20,), 2.01)}):
        if path.suffix == ".safetensors":
            save_file({**weights, **change}, path)
        else:
            torch.save({**weights, **change}, path)
        hashes.append(content_hash([path]))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_transformers_is_left_as_talkative_as_it_was(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    transformers_logging.enable_progress_bar()
    before = transformers_logging.get_verbosity()
    reweigh(folder, lambda w: w.pop("itm_head.weight"))
    with pytest.raises(CheckpointError):
        load_blip(str(folder), LoadOptions())
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.get_verbosity() == before
    assert transformers_logging.is_progress_bar_enabled()


def test_header_length_beyond_the_file(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_blip(str(folder), LoadOptions())


def test_seeds_differ() -> None:
    """The checkpoints of these tests are random, not constant: a weight left out would show."""
    one, two = (random_model(seed).state_dict() for seed in (0, 1))
    assert not any(torch.equal(one[name], two[name]) for name in one if "position_ids" not in name)
