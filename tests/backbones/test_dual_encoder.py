"""Dual encoders of random weights, loaded as real checkpoints are."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    BertConfig,
    BertModel,
    CLIPImageProcessorPil,
    CLIPProcessor,
    PreTrainedTokenizerFast,
    SiglipImageProcessorPil,
    SiglipProcessor,
)

from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.dual_encoder import Preprocessing, load_dual_encoder
from pnpovss.backbones.registry import load_backbone
from pnpovss.errors import CheckpointError, NamesError
from tests.support.damage import reweigh
from tests.support.dual_encoders import CLIP_LIKE, MEAN, PREPROCESSING, STD, logits_by_hand, photo, save_dual_encoder


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_pairs_agree_as_the_model_itself_says(tmp_path, kind):
    model = save_dual_encoder(tmp_path, kind, PREPROCESSING[kind])
    encoder = load_dual_encoder(str(tmp_path))
    expected = logits_by_hand(model, kind)
    texts = encoder.embed_texts([f"a photo of a {word}." for word in expected], batch=3)
    images = encoder.embed_images([photo(), np.asarray(photo())], batch=1)
    assert images.norm(dim=-1).tolist() == pytest.approx([1, 1])
    logits = images @ texts.T * encoder.checkpoint.scale + encoder.checkpoint.bias
    assert logits[0].tolist() == pytest.approx(list(expected.values()), abs=1e-5)
    assert torch.equal(images[0], images[1])  # arrays and pictures are the same to it
    assert encoder.checkpoint.kind == kind
    assert encoder.checkpoint.revision.startswith("sha256:")
    assert encoder.checkpoint.bias == (0 if kind == "clip" else pytest.approx(model.logit_bias.item()))


def test_texts_that_the_model_does_not_read_to_the_end_are_refused(tmp_path):
    save_dual_encoder(tmp_path, "clip", CLIP_LIKE)
    with pytest.raises(NamesError, match="longer than the 16 that this text encoder reads"):
        load_dual_encoder(str(tmp_path)).embed_texts(["a cat", "cat " * 15])


def test_batches_are_the_same_as_one_by_one(tmp_path):
    save_dual_encoder(tmp_path, "clip", CLIP_LIKE)
    encoder = load_dual_encoder(str(tmp_path))
    photos = [photo(40, 32), photo(33, 50), photo(32, 32)]
    one_by_one = torch.cat([encoder.embed_images([each]) for each in photos])
    assert torch.allclose(encoder.embed_images(photos, batch=2), one_by_one, atol=1e-6)


def test_the_middle_is_cut_out():
    cut = Preprocessing(2, 2, 2, 0, (0, 0, 0), (1, 1, 1))
    values = np.zeros((2, 4, 3), np.uint8)
    values[:, :, 0] = [10, 20, 30, 40]
    assert (cut(Image.fromarray(values))[0] * 255).round().tolist() == [[20, 30], [20, 30]]
    larger = Preprocessing(2, 2, 4, 0, (0, 0, 0), (1, 1, 1))  # 8 x 4, of which the middle is all 20 and 30
    assert (larger(Image.fromarray(values))[0] * 255).round().tolist() == [[20, 30], [20, 30]]
    squeezed = Preprocessing(2, 4, None, 0, (0, 0, 0), (1, 1, 1))
    assert squeezed(Image.fromarray(values)).shape == (3, 2, 4)


@pytest.mark.parametrize("size", [32, {"shortest_edge": 32}, {"height": 32, "width": 32}])
def test_sizes_as_different_releases_write_them(tmp_path, size):
    save_dual_encoder(tmp_path, "clip", {**CLIP_LIKE, "size": size, "crop_size": size})
    assert load_dual_encoder(str(tmp_path)).preprocessing == Preprocessing(
        32, 32, 32, 3, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    )


PROCESSORS = {
    "clip": lambda words: CLIPProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_mean=MEAN, image_std=STD
        ),
        tokenizer=words,
    ),
    "siglip": lambda words: SiglipProcessor(
        image_processor=SiglipImageProcessorPil(
            size={"height": 32, "width": 32}, resample=2, image_mean=MEAN, image_std=STD
        ),
        tokenizer=words,
    ),
}


@pytest.mark.parametrize("kind", PROCESSORS)
def test_photos_are_prepared_as_transformers_itself_saved_it(tmp_path, kind):
    """It writes processor_config.json alone; another file is one that an earlier release left."""
    model = save_dual_encoder(tmp_path, kind, PREPROCESSING[kind])
    (tmp_path / "preprocessor_config.json").unlink()
    PROCESSORS[kind](PreTrainedTokenizerFast.from_pretrained(tmp_path)).save_pretrained(tmp_path)
    assert not (tmp_path / "preprocessor_config.json").exists()
    card, encoder = load_backbone(tmp_path).card, load_dual_encoder(str(tmp_path))
    assert card.mean == encoder.preprocessing.mean == tuple(MEAN)
    assert card.std == encoder.preprocessing.std == tuple(STD)
    expected = logits_by_hand(model, kind)
    texts = encoder.embed_texts([f"a photo of a {word}." for word in expected])
    logits = encoder.embed_images([photo()]) @ texts.T * encoder.checkpoint.scale + encoder.checkpoint.bias
    assert logits[0].tolist() == pytest.approx(list(expected.values()), abs=1e-5)
    change(tmp_path, image_mean=[0.1] * 3, image_std=[0.1] * 3)
    own = AutoImageProcessor.from_pretrained(tmp_path, use_fast=False)
    assert load_backbone(tmp_path).card.mean == load_dual_encoder(str(tmp_path)).preprocessing.mean == tuple(MEAN)
    assert tuple(own.image_mean) == tuple(MEAN)


def test_a_processor_without_images_leaves_it_to_the_file_of_earlier_releases(tmp_path):
    save_dual_encoder(tmp_path, "clip", CLIP_LIKE)
    (tmp_path / "processor_config.json").write_text('{"processor_class": "CLIPProcessor"}')
    assert load_dual_encoder(str(tmp_path)).preprocessing.mean == tuple(MEAN)
    (tmp_path / "processor_config.json").write_text('{"image_processor": 3}')
    with pytest.raises(
        CheckpointError, match=r"processor_config\.json holds image_processor as int; expected an object"
    ):
        load_dual_encoder(str(tmp_path))


def test_other_architectures_are_refused(tmp_path):
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=12, **shape)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="is a 'bert' checkpoint; expected one of clip, metaclip_2, siglip"):
        load_dual_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), r"no config.json"),
        (lambda f: (f / "config.json").write_text("{"), r"config.json cannot be read"),
        (
            lambda f: (f / "preprocessor_config.json").unlink(),
            "says how photos are prepared: expected processor_config.json",
        ),
        (lambda f: (f / "preprocessor_config.json").write_text("{}"), "does not say size, image_mean"),
        (lambda f: change(f, crop_size=1e400), "does not say size"),
        (lambda f: change(f, crop_size=10**6, size=10**6), "asks for 1000000 x 1000000 px"),
        (lambda f: change(f, size=16), "cuts 32 x 32 px out of photos of 16 px"),
        (lambda f: change(f, image_std=[1, 1, 0]), "std above 0"),
        (lambda f: change(f, resample=9), "does not say size"),
        (lambda f: change(f, do_normalize=False), "says do_normalize false"),
        (lambda f: change(f, do_rescale=False), "multiplies values by 1 "),
        (lambda f: (f / "model.safetensors").unlink(), "no weights in"),
        (lambda f: (f / "model.safetensors").write_bytes(b"0" * 99), r"cannot be read|no safetensors file"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "is no tokenizer that can be read"),
        (lambda f: (f / "tokenizer.json").write_text('{"model": {"type": "Unigram", "vocab": []}}'), "is no tokenizer"),
    ],
)
def test_incomplete_folders(tmp_path, spoil, message):
    save_dual_encoder(tmp_path, "clip", CLIP_LIKE)
    spoil(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load_dual_encoder(str(tmp_path))


def change(folder, **settings):
    (folder / "preprocessor_config.json").write_text(json.dumps({**CLIP_LIKE, **settings}))


def test_positions_that_older_releases_saved_do_no_harm(tmp_path):
    save_dual_encoder(tmp_path, "clip", CLIP_LIKE)
    reweigh(tmp_path, lambda w: w.update({"text_model.embeddings.position_ids": torch.arange(16)[None]}))
    assert load_dual_encoder(str(tmp_path)).checkpoint.kind == "clip"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.update({"other.weight": torch.ones(1)}), r"1 not of this model: other\.weight"),
        (lambda w: w.update({"visual_projection.weight": torch.ones(3, 32)}), "1 of another shape: visual_projection"),
        (lambda w: w.pop("visual_projection.weight"), "1 missing: visual_projection"),
        (lambda w: w["visual_projection.weight"].fill_(float("nan")), "not finite: visual_projection"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, change, message):
    save_dual_encoder(tmp_path, "clip", CLIP_LIKE)
    reweigh(tmp_path, change)
    with pytest.raises(CheckpointError, match=message):
        load_dual_encoder(str(tmp_path))


def test_offline_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"not on this machine.*asked \(local_files_only\).*hf download"):
        load_dual_encoder("openai/clip-vit-base-patch16-none", LoadOptions(local_files_only=True))
