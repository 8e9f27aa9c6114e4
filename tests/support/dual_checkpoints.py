"""CLIP, MetaCLIP 2 and SigLIP checkpoints of random weights, and a slope of their logit that owes nothing to ours."""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPModel,
    MetaClip2Config,
    MetaClip2Model,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
    Tipsv2Config,
    Tipsv2Model,
)

from pnpovss.prompts import TextTokens
from tests.support.nudged import NUDGED, STEP, slope

WORDS = ["<pad>", "a", "picture", "of", "cat", "dog", "potted", "plant", "sofa", "couch", "<unk>", "<s>", "</s>"]
START, END = WORDS.index("<s>"), WORDS.index("</s>")
SHAPE: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
TEXT: dict[str, Any] = {
    **SHAPE, "num_hidden_layers": 2, "vocab_size": len(WORDS), "max_position_embeddings": 16, "pad_token_id": 0,
    "bos_token_id": START, "eos_token_id": END,
}  # fmt: skip
VISION: dict[str, Any] = {**SHAPE, "image_size": 32, "patch_size": 8}


def make_clip(layers: int = 5, side: int = 32) -> CLIPModel:
    """Five layers, so that one of them cannot be read."""
    shapes: dict[str, Any] = {
        "text_config": {**TEXT, "projection_dim": 12},
        "vision_config": {**VISION, "projection_dim": 12, "image_size": side},
    }
    shapes["vision_config"]["num_hidden_layers"] = layers
    return CLIPModel(CLIPConfig(**shapes, projection_dim=12))


def make_metaclip(side: int = 32) -> MetaClip2Model:
    shapes: dict[str, Any] = {
        "text_config": {**TEXT, "projection_dim": 12},
        "vision_config": {**VISION, "projection_dim": 12, "image_size": side},
    }
    shapes["vision_config"]["num_hidden_layers"] = 2
    return MetaClip2Model(MetaClip2Config(**shapes, projection_dim=12))


def make_siglip(side: int = 32) -> SiglipModel:
    vision = {**VISION, "num_hidden_layers": 2, "image_size": side}
    return SiglipModel(SiglipConfig(text_config={**TEXT, "projection_size": 32}, vision_config=vision))


def make_tips(side: int = 32) -> Tipsv2Model:
    """A class token, a second one, patches."""
    text = {key: value for key, value in TEXT.items() if not key.endswith("os_token_id")}
    shape = {"hidden_size": 32, "num_attention_heads": 4, "mlp_ratio": 2, "num_hidden_layers": 2}
    vision = {**shape, "image_size": side, "patch_size": 8}
    return Tipsv2Model(Tipsv2Config(text_config=text, vision_config=vision, temperature_init_value=0.2))


def save(folder: Path, model: Any, **preprocessing: Any) -> Path:
    """A folder as the hubs have it, all weights random, none of them 0."""
    generator = torch.Generator().manual_seed(0)
    for name, weights in model.requires_grad_(False).named_parameters():
        if "logit" not in name and name != "temperature":
            weights.add_(torch.randn(weights.shape, generator=generator) * 0.1)
    if hasattr(model, "logit_bias"):
        model.logit_bias.fill_(-1.0)
        model.logit_scale.fill_(1.5)
    model.save_pretrained(folder)
    save_words(folder, special=not isinstance(model, SiglipModel | Tipsv2Model))
    if preprocessing:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def save_words(folder: Path, *, special: bool) -> None:
    """The tokenizer; `special` tells whether it puts its start and end around a text itself."""
    rules = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    rules.normalizer = normalizers.Lowercase()
    rules.pre_tokenizer = pre_tokenizers.Whitespace()
    _save_tokenizer(folder, rules, special)


def _save_tokenizer(folder: Path, rules: Tokenizer, special: bool) -> None:
    if special:
        ends = [("<s>", START), ("</s>", END)]
        rules.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    PreTrainedTokenizerFast(
        tokenizer_object=rules, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)


def save_unigram(folder: Path, *, special: bool) -> Path:
    """The same words as SentencePiece writes them, in place of what `save_words` made; see there."""
    pieces = [word if word.startswith("<") else f"▁{word}" for word in WORDS]
    rules = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], WORDS.index("<unk>"), False))
    rules.pre_tokenizer = pre_tokenizers.Metaspace()
    _save_tokenizer(folder, rules, special)
    return folder


def save_clip(folder: Path) -> Path:
    return save(folder, make_clip())


def save_metaclip(folder: Path) -> Path:
    return save(folder, make_metaclip())


def save_siglip(folder: Path) -> Path:
    return save(folder, make_siglip())


def save_tips(folder: Path) -> Path:
    return save(folder, make_tips())


def save_siglip_with_rest(folder: Path) -> Path:
    """Its side is no multiple of its patch, as in SigLIP's so400m: 384 px and 14."""
    return save(folder, make_siglip(36))


def seen_by(model: Any, pixels: Tensor) -> dict[str, Any]:
    """What a vision model is given: TIPSv2 wants values in [0, 1], and interpolates unasked."""
    if isinstance(model, Tipsv2Model):
        return {"pixel_values": pixels * 0.5 + 0.5}
    return {"pixel_values": pixels, "interpolate_pos_encoding": True}


def vector_of(model: Any, token: Tensor) -> Tensor:
    """What a model compares with texts, of a token of its tower."""
    if isinstance(model, Tipsv2Model):
        return model.vision_model.layernorm(token)
    return model.visual_projection(model.vision_model.post_layernorm(token))


def own_logit(model: Any, pixels: Tensor, prompt: TextTokens) -> Tensor:
    """transformers' own forward of one photo and one text; SigLIP's is padded to its full length."""
    ids = list(prompt.ids)
    if isinstance(model, SiglipModel):
        ids += [0] * (TEXT["max_position_embeddings"] - len(ids))
    return model(input_ids=torch.tensor([ids]), **seen_by(model, pixels)).logits_per_image[0, 0]


def dual_slope(backbone: Any, pixels: Tensor, prompt: TextTokens, layer: int, token: int, direction: Tensor) -> float:
    """transformers' own forward in float64, its attention moved a little; all tokens of a prompt share one map."""
    model = copy.deepcopy(backbone._dual.model).double()
    model.set_attn_implementation(NUDGED)
    pixels, direction = pixels.double(), direction.double()
    if isinstance(model, SiglipModel):
        return _probe_slope(model, pixels, prompt, direction)

    def along(probs: Tensor) -> Tensor:
        move = torch.zeros_like(probs)
        move[0, :, 0, backbone._tower.prefix :] = direction.flatten(1)
        return move

    [module] = backbone._tower.modules((layer,))
    name = next(name for name, each in backbone._dual.model.named_modules() if each is module)
    return slope(lambda: own_logit(model, pixels, prompt), model.get_submodule(name), along)


def _probe_slope(model: Any, pixels: Tensor, prompt: TextTokens, direction: Tensor) -> float:
    """torch's own `nn.MultiheadAttention`: what a probability adds to what goes into its output projection is known."""
    head = model.vision_model.head
    attention, steps = head.attention, {}
    plain = attention.forward

    def moved(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, None]:
        out, _ = plain(query, key, value)
        _, _, weight = attention.in_proj_weight.chunk(3)
        values = (value @ weight.T + attention.in_proj_bias.chunk(3)[2]).unflatten(-1, (attention.num_heads, -1))
        added = torch.einsum("hn,nhe->he", direction.flatten(1), values[0]).flatten()
        return out + distance * added @ attention.out_proj.weight.T, None

    attention.forward = moved  # of a copy that is thrown away
    for distance in (STEP, -STEP, 2 * STEP, -2 * STEP):
        steps[distance] = float(own_logit(model, pixels, prompt))
    return (8 * (steps[STEP] - steps[-STEP]) - (steps[2 * STEP] - steps[-2 * STEP])) / (12 * STEP)
