"""Small random BLIP checkpoints, and a plain, slow text side to compare with."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BlipConfig, BlipForImageTextRetrieval

WORDS = ["a", "picture", "of", "cat", "dog", "potted", "##plant", "plant", "sofa"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "[DEC]", "[ENC]"]


def config(text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None) -> BlipConfig:
    """Two image layers and four text layers of four heads; 4 x 4 patches of 8 px."""
    return BlipConfig(
        image_text_hidden_size=12,
        text_config={
            "vocab_size": len(VOCABULARY),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "max_position_embeddings": 40,
            "bos_token_id": len(VOCABULARY) - 2,
            "sep_token_id": VOCABULARY.index("[SEP]"),
            **(text or {}),
        },
        vision_config={
            "hidden_size": 24,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "image_size": 32,
            "patch_size": 8,
            "layer_norm_eps": 1e-6,
            **(vision or {}),
        },
    )


def random_model(seed: int = 0, spread: float = 0.2, **sections: dict[str, Any]) -> BlipForImageTextRetrieval:
    """A model whose weights and biases are all random, so that none of them can be forgotten unnoticed."""
    model = BlipForImageTextRetrieval(config(**sections)).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, weights in model.named_parameters():
        norm = name.endswith("norm.weight") or "LayerNorm.weight" in name or ("layer_norm" in name and "weight" in name)
        weights.copy_(torch.randn(weights.shape, generator=generator) * spread + float(norm))
    return model


def save_checkpoint(folder: Path, model: BlipForImageTextRetrieval | None = None) -> Path:
    """A checkpoint folder as it lies on a hub: config, safetensors and vocab.txt, [DEC] and [ENC] not in it."""
    model = model or random_model()
    model.save_pretrained(folder)
    size = model.config.text_config.vocab_size - 2  # pyright: ignore
    words = [*VOCABULARY[:-2], *(f"[unused{n}]" for n in range(size))][:size]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


def plain_match(
    text: Any, ids: Tensor, mask: Tensor, image: Tensor, layers: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, attention and its gradient ("p layer head token n") by the textbook: keys, values, the whole graph."""
    hidden, read = text.embed(ids), {}
    masked = torch.zeros(mask.shape, dtype=hidden.dtype).masked_fill(~mask, -torch.inf)[:, None, None, :]
    for index, layer in enumerate(text.layers):
        hidden, _ = _plain_attention(layer.attention, hidden, hidden, masked)
        if getattr(layer, "crossattention", None) is not None:
            hidden, read[index] = _plain_attention(layer.crossattention, hidden, image, None)
        hidden = layer.output(layer.intermediate(hidden), hidden)
    logits = text.head(hidden[:, 0])
    probs = [read[layer] for layer in layers]
    grads = torch.autograd.grad(logits[:, 1].sum(), probs)
    return logits.detach(), torch.stack(probs, 1).detach(), torch.stack(grads, 1)


def _plain_attention(module: Any, hidden: Tensor, source: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    attention = module.self
    heads = attention.num_attention_heads
    query, key, value = (
        linear(tokens).unflatten(-1, (heads, -1)).transpose(1, 2)
        for linear, tokens in ((attention.query, hidden), (attention.key, source), (attention.value, source))
    )
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    probs = (scores if mask is None else scores + mask).softmax(-1)
    if not probs.requires_grad:
        probs.requires_grad_()
    return module.output((probs @ value).transpose(1, 2).flatten(2), hidden), probs
