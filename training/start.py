"""The model before its first step: pretrained parts in place, new parts set so that it already looks the right way.

The first cross-attention head of each layer starts as a similarity of words: a token's query is fitted (ridge
regression) to the embedding of the name it stands for, and its key is the semantic token, the embedding of what Lite2's
own classifier sees there. Training then starts from a model that points at dogs when asked for a dog.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pnpovss.backbones.mini import text as text_side
from pnpovss.backbones.mini.model import Mini
from pnpovss.backbones.mini.neck import IN_WIDTH, SEMANTIC_WIDTH, WIDTH
from pnpovss.backbones.mini.text import Attention
from pnpovss.backbones.parts.text_side import feed_forward, self_attention
from training.features import load_trunk
from training.minilm import embed_texts, load_text, load_tokenizer, pad
from training.prompts import enc_ids, prefix_ids

SCORE = 6.0
"""Attention score that a perfect match of name and patch starts with."""


def initial_model(
    names: list[str],
    table: Float[np.ndarray, "1000 s"],
    basis: Float[np.ndarray, "384 s"],
    moments: tuple[np.ndarray, np.ndarray],
) -> Mini:
    """Assemble the model.

    Args:
        names: the vocabulary; queries are fitted on it.
        table: short embeddings of the ImageNet classes.
        basis: the directions those are written in.
        moments: mean and standard deviation of each of the 600 image features.
    """
    model = Mini()
    model.trunk = load_trunk(torch.device("cpu"))
    model.text = load_text()
    model.class_embeddings.copy_(torch.from_numpy(table))
    _start_neck(model, moments)
    states, targets = _query_targets(model.text.eval(), names, basis)
    for index in text_side.CROSS_HEADS:
        crossattention = model.text.encoder.layer[index].crossattention
        assert crossattention is not None
        _start_cross_attention(crossattention, states[index], targets)
    for head in (model.itm_head, model.vision_proj, model.text_proj):
        nn.init.normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
    return model


def _start_neck(model: Mini, moments: tuple[np.ndarray, np.ndarray]) -> None:
    mean, std = (torch.from_numpy(x.astype(np.float32)) for x in moments)
    semantic = slice(IN_WIDTH - SEMANTIC_WIDTH, IN_WIDTH)
    scale = 1 / (std + 1e-3)
    # Semantic directions keep their relative lengths, which carry the meaning: one factor for all of them.
    scale[semantic] = 1 / std[semantic].square().sum().sqrt() * SEMANTIC_WIDTH**0.5
    mean[semantic] = 0
    model.neck.offset.copy_(mean)
    model.neck.scale.copy_(scale)
    with torch.no_grad():
        weight = torch.randn_like(model.neck.project.weight) * (0.5 / IN_WIDTH**0.5)
        weight[:SEMANTIC_WIDTH] = 0
        weight[:SEMANTIC_WIDTH, semantic] = torch.eye(SEMANTIC_WIDTH)
        model.neck.project.weight.copy_(weight)
        model.neck.project.bias.zero_()
        for block in model.neck.blocks:
            nn.init.normal_(block.get_parameter("narrow.weight"), std=0.01)
            nn.init.zeros_(block.get_parameter("narrow.bias"))


@torch.no_grad()
def _query_targets(
    text: text_side.Text, names: list[str], basis: Float[np.ndarray, "384 s"]
) -> tuple[dict[int, Tensor], Tensor]:
    """Hidden states of names where they query the image, and the embeddings they should ask for."""
    tokenizer = load_tokenizer()
    embedded = torch.from_numpy(embed_texts(text, tokenizer, names))
    targets = (embedded - embedded.mean(0)) @ torch.from_numpy(basis)
    rows = [tokenizer.encode(name, add_special_tokens=False).ids for name in names]
    states: dict[int, list[Tensor]] = {index: [] for index in text_side.CROSS_HEADS}
    repeats: list[int] = []
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        ids, mask = pad([enc_ids([*prefix_ids(), *row]) for row in part])
        hidden = text.embeddings(ids)
        spans = [slice(1 + len(prefix_ids()), 1 + len(prefix_ids()) + len(row)) for row in part]
        repeats += [len(row) for row in part]
        for index, layer in enumerate(text.encoder.layer):
            hidden = self_attention(layer.attention, hidden, mask[:, None, None])
            if index in states:
                states[index] += [hidden[i, span] for i, span in enumerate(spans)]
            hidden = feed_forward(layer, hidden)
    return {i: torch.cat(parts) for i, parts in states.items()}, targets.repeat_interleave(torch.tensor(repeats), 0)


def _start_cross_attention(module: Attention, states: Tensor, targets: Tensor) -> None:
    """Fit the first head's query; the other heads start at random. The output starts at (nearly) no change."""
    attention, width = module.self, WIDTH // module.self.num_attention_heads
    mean = states.mean(0)
    centred = states - mean
    gram = centred.T @ centred + 3.0 * torch.eye(WIDTH) * len(states) / 100
    weight = torch.linalg.solve(gram, centred.T @ targets[:, :width]).T
    fitted = centred @ weight.T
    # Scores of a name with its own embedding, before the square root of the head's width divides them.
    factor = SCORE * width**0.5 / (fitted * targets[:, :width]).sum(1).mean().clamp_min(1e-3)
    factor = factor / (SEMANTIC_WIDTH**0.5)
    with torch.no_grad():
        for linear in (attention.query, attention.key, attention.value):
            nn.init.normal_(linear.weight, std=0.03)
            nn.init.zeros_(linear.bias)
        attention.query.weight[:width] = weight * factor
        attention.query.bias[:width] = -(weight @ mean) * factor
        attention.key.weight[:width] = torch.eye(WIDTH)[:width]
        nn.init.normal_(module.output.dense.weight, std=0.002)
        nn.init.zeros_(module.output.dense.bias)
        module.output.LayerNorm.weight.fill_(float(states.std(1).mean()))
        module.output.LayerNorm.bias.fill_(float(states.mean()))
