"""CLIP and SigLIP checkpoints of random weights, small enough to be made by the test, loaded as real ones are."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
)

from pnpovss.backbones.base import LoadOptions
from pnpovss.errors import CheckpointError
from pnpovss.names import Name
from pnpovss.presence import make_presence
from pnpovss.presence.clip import ClipPreprocessing, load_clip

WORDS = ["<pad>", "a", "photo", "of", ".", "cat", "dog", "sofa", "couch", "<unk>", "<s>", "</s>"]
NAMES = (Name("cat"), Name("sofa", ("couch",)), Name("dog"))
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]


def tokenizer() -> PreTrainedTokenizerFast:
    rules = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    rules.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 10), ("</s>", 11)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=rules, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def save(folder, kind, preprocessing):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**shape, "vocab_size": 12, "max_position_embeddings": 10, "pad_token_id": 0}
    vision = {**shape, "image_size": 32, "patch_size": 16}
    if kind == "clip":
        text |= {"bos_token_id": 10, "eos_token_id": 11, "projection_dim": 8}
        config = CLIPConfig(text_config=text, vision_config={**vision, "projection_dim": 8}, projection_dim=8)
        model = CLIPModel(config)
    else:
        model = SiglipModel(SiglipConfig(text_config={**text, "projection_size": 16}, vision_config=vision))
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return model.eval()


CLIP_LIKE = {
    "do_center_crop": True, "crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 32}, "resample": 3,
    "image_mean": MEAN, "image_std": STD,
}  # fmt: skip
SIGLIP_LIKE = {"size": {"height": 32, "width": 32}, "resample": 2, "image_mean": MEAN, "image_std": STD}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    made = {}
    for kind, preprocessing in (("clip", CLIP_LIKE), ("siglip", SIGLIP_LIKE)):
        folder = tmp_path_factory.mktemp(kind)
        made[kind] = folder, save(folder, kind, preprocessing)
    return made


def photo(width: int = 40, height: int = 32) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def expected(model, kind: str) -> list[float]:
    """The scores by the model's own forward pass, word by word."""
    if kind == "clip":
        middle = np.asarray(photo(), np.float32)[:, 4:36] / 255
    else:
        middle = np.asarray(photo().resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255
    pixels = torch.tensor((middle - np.array(MEAN)) / np.array(STD)).permute(2, 0, 1)[None].float()
    logits = {}
    for word in ("cat", "sofa", "couch", "dog"):
        tokens = [10, 1, 2, 3, 1, WORDS.index(word), 4, 11]
        tokens += [0] * (10 - len(tokens)) if kind == "siglip" else []
        with torch.no_grad():
            logits[word] = model(input_ids=torch.tensor([tokens]), pixel_values=pixels).logits_per_image.item()
    best = torch.tensor([logits["cat"], max(logits["sofa"], logits["couch"]), logits["dog"]])
    return (best.softmax(0) if kind == "clip" else best.sigmoid()).tolist()


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_scores_are_those_of_the_whole_model(checkpoints, kind):
    folder, model = checkpoints[kind]
    filter = make_presence(f"clip:{folder}")
    decided = filter.decide(photo(), NAMES)
    assert decided.scores == pytest.approx(expected(model, kind), abs=1e-5)
    assert decided.kept == filter.rule.keep(decided.scores)
    assert filter.key == f"clip:{folder}:0.1"
    if kind == "clip":
        assert sum(decided.scores) == pytest.approx(1)


def test_the_texts_of_a_vocabulary_are_encoded_once(checkpoints, monkeypatch):
    filter = load_clip(str(checkpoints["clip"][0]))
    calls = []
    embed = type(filter)._embed
    monkeypatch.setattr(type(filter), "_embed", lambda self, texts: calls.append(len(texts)) or embed(self, texts))
    filter.decide(photo(), NAMES)
    filter.decide(photo(64, 20), NAMES)
    assert calls == [4]
    filter.decide(photo(), NAMES[:1])
    assert calls == [4, 1]
    assert filter.report() == {"photos": 3}


def test_the_middle_is_cut_out():
    cut = ClipPreprocessing(2, 2, True, 0, (0, 0, 0), (1, 1, 1))
    values = np.zeros((2, 4, 3), np.uint8)
    values[:, :, 0] = [10, 20, 30, 40]
    assert (cut(Image.fromarray(values))[0, 0] * 255).round().tolist() == [[20, 30], [20, 30]]
    squeezed = ClipPreprocessing(2, 4, False, 0, (0, 0, 0), (1, 1, 1))
    assert squeezed(Image.fromarray(values)).shape == (1, 3, 2, 4)


@pytest.mark.parametrize("size", [32, {"shortest_edge": 32}, {"height": 32, "width": 32}])
def test_sizes_as_different_releases_write_them(checkpoints, tmp_path, size):
    model = checkpoints["clip"][1]
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    written = {**CLIP_LIKE, "size": size, "crop_size": size}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(written))
    assert load_clip(str(tmp_path)).decide(photo(), NAMES).scores == pytest.approx(expected(model, "clip"), abs=1e-5)


def test_other_architectures_are_refused(tmp_path):
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=12, **shape)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="is a 'bert' checkpoint; clip presence takes one of clip, siglip"):
        load_clip(str(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "preprocessor_config.json is missing"),
        (lambda f: (f / "preprocessor_config.json").write_text("{}"), "does not say size, image_mean"),
        (lambda f: (f / "model.safetensors").unlink(), "cannot be read"),
        (lambda f: (f / "model.safetensors").write_bytes(b"0" * 99), "cannot be read"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "cannot be read"),
    ],
)
def test_incomplete_folders(tmp_path, spoil, message):
    save(tmp_path, "clip", CLIP_LIKE)
    spoil(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load_clip(str(tmp_path))


def test_missing_weights_are_not_made_up(tmp_path):
    model = save(tmp_path, "clip", CLIP_LIKE)
    state = {key: value for key, value in model.state_dict().items() if "visual_projection" not in key}
    model.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(CheckpointError, match=r"lack 1 tensors, such as visual_projection\.weight"):
        load_clip(str(tmp_path))


def test_offline_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"not on this machine.*asked \(local_files_only\).*hf download"):
        load_clip("openai/clip-vit-base-patch16-none", LoadOptions(local_files_only=True))
