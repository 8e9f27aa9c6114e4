"""CLIP and SigLIP checkpoints of random weights, small enough to be made by the test, saved as real ones are."""

import json

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast, SiglipConfig, SiglipModel

WORDS = ["<pad>", "a", "photo", "of", ".", "cat", "dog", "sofa", "couch", "<unk>", "<s>", "</s>"]
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


def save_dual_encoder(folder, kind, preprocessing):
    """A checkpoint of random weights as transformers saves it; gives the model."""
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
PREPROCESSING = {"clip": CLIP_LIKE, "siglip": SIGLIP_LIKE}


def photo(width: int = 40, height: int = 32) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def logits_by_hand(model, kind: str) -> dict[str, float]:
    """What the model's own forward pass says of the photo and "a photo of a WORD."."""
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
    return logits
