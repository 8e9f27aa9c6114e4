"""Small random BridgeTower checkpoints, and transformers' own eager forward to compare with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.implementations.byte_level_bpe import ByteLevelBPETokenizer
from tokenizers.processors import RobertaProcessing
from torch import Tensor, nn
from transformers import BridgeTowerConfig, BridgeTowerForContrastiveLearning, BridgeTowerForImageAndTextRetrieval

SPECIAL: list[str | AddedToken] = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SENTENCES = ["A picture of cat dog sofa", "a potted plant", "A picture of potted plant", "dog cat plant of"] * 3
VOCABULARY = 300
LAYERS = 3


def bridgetower_config(**changes: Any) -> BridgeTowerConfig:
    """Four layers in each tower, three fusing layers of four heads; 4 x 4 patches of 8 px."""
    changes = dict(changes)
    text = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
        "num_attention_heads": 4, "max_position_embeddings": 42, **changes.pop("text", {}),
    }  # fmt: skip
    vision = {
        "hidden_size": 128, "num_hidden_layers": 4, "image_size": 32, "patch_size": 8, **changes.pop("vision", {}),
    }  # fmt: skip
    whole = {
        "hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "contrastive_hidden_size": 12,
        "logit_scale_init_value": 2.6, "attn_implementation": "eager", **changes,
    }  # fmt: skip
    return BridgeTowerConfig(text_config=text, vision_config=vision, **whole)


def randomise(model: Any, seed: int = 0, spread: float = 0.2) -> Any:
    """All weights and biases random, so that none of them can be forgotten unnoticed; norms are near 1."""
    generator = torch.Generator().manual_seed(seed)
    norms = {id(module.weight) for module in model.modules() if isinstance(module, nn.LayerNorm)}
    for weights in model.requires_grad_(False).parameters():
        around = float(id(weights) in norms)
        weights.copy_(torch.randn(weights.shape, generator=generator) * spread + around)
    return model.eval()


def random_bridgetower(seed: int = 0, **changes: Any) -> BridgeTowerForImageAndTextRetrieval:
    return randomise(BridgeTowerForImageAndTextRetrieval(bridgetower_config(**changes)), seed)


def random_contrastive(seed: int = 0, **changes: Any) -> BridgeTowerForContrastiveLearning:
    return randomise(BridgeTowerForContrastiveLearning(bridgetower_config(**changes)), seed)


def save_bridgetower(folder: Path, model: Any = None, *, trim_offsets: bool = True) -> Path:
    """A checkpoint folder as it lies on a hub: config, safetensors and RoBERTa's tokenizer.json."""
    (model or random_bridgetower()).save_pretrained(folder)
    save_byte_pairs(folder, trim_offsets=trim_offsets)
    return folder


def save_byte_pairs(folder: Path, *, trim_offsets: bool = True) -> None:
    """A tokenizer of byte pairs, learnt from a few sentences, in RoBERTa's form."""
    trained = ByteLevelBPETokenizer(trim_offsets=trim_offsets)
    trained.train_from_iterator(iter(SENTENCES), vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False)
    tokenizer = Tokenizer.from_str(trained.to_str())
    tokenizer.post_processor = RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=trim_offsets, add_prefix_space=False
    )
    tokenizer.save(str(folder / "tokenizer.json"))


@contextmanager
def watched(model: BridgeTowerForImageAndTextRetrieval, bumps: dict[int, Tensor] | None = None) -> Iterator[list[Any]]:
    """What the text's cross-attention of each fusing layer gives, in order, while the model runs.

    Args:
        model: with eager attention.
        bumps: by layer, what is added to its attention, "b head token n".
    """
    seen: list[Any] = []

    def bump(index: int) -> Any:
        def hook(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
            context, weights = output
            seen.append(weights)
            if bumps and index in bumps:
                source = kwargs["encoder_hidden_states"]
                value = module.value(source).unflatten(-1, (module.num_attention_heads, -1)).transpose(1, 2)
                context = context + (bumps[index] @ value).transpose(1, 2).flatten(2)
            return context, weights

        return hook

    layers: Any = model.bridgetower.cross_modal_text_layers
    handles = [
        layer.crossattention.self.register_forward_hook(bump(index), with_kwargs=True)
        for index, layer in enumerate(layers)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def eager(
    model: BridgeTowerForImageAndTextRetrieval, images: Tensor, ids: Tensor, bumps: dict[int, Tensor] | None = None
) -> tuple[Tensor, list[Tensor]]:
    """transformers' own logits "b 2" and the attention of each fusing layer "b head token n", in a graph."""
    with watched(model, bumps) as seen:
        out = model.bridgetower(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=images,
            interpolate_pos_encoding=True,
        )
    return model.itm_score(out.pooler_output), seen
