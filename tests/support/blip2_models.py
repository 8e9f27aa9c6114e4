"""Small random BLIP-2 checkpoints, and transformers' own eager forward to compare with."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Blip2Config, Blip2ForImageTextRetrieval

from pnpovss.prompts import TextTokens
from tests.support.blip_models import VOCABULARY
from tests.support.fuser_models import randomise
from tests.support.nudged import NUDGED, slope

QUERIES = 5


def make_blip2(**changes: Any) -> Blip2ForImageTextRetrieval:
    """Two image layers; four layers of four heads in the Q-Former, of which 0 and 2 look at the image."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
    config = Blip2Config(
        vision_config={**shape, "hidden_size": 24, "num_hidden_layers": 2, "image_size": 32, "patch_size": 8},
        qformer_config={
            **shape, "num_hidden_layers": 4, "encoder_hidden_size": 24, "vocab_size": len(VOCABULARY) - 1,
            "max_position_embeddings": 40, "cross_attention_frequency": 2, "use_qformer_text_input": True,
        },
        num_query_tokens=QUERIES,
        image_text_hidden_size=12,
        **changes,
    )  # fmt: skip
    return randomise(Blip2ForImageTextRetrieval(config))


def save_blip2(folder: Path, model: Any = None) -> Path:
    """A checkpoint folder as it lies on a hub: BERT's words and one more, [DEC]."""
    (model or make_blip2()).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY[:-1]) + "\n")
    return folder


def own_logits(model: Any, pixels: Tensor, ids: Tensor, **options: Any) -> tuple[Tensor, Any]:
    """transformers' own parts, in the order of its own forward, which takes square images of one size alone.

    Returns:
        The logits "b 2" and the Q-Former's whole output.
    """
    image = model.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state
    queries = model.query_tokens.expand(len(ids), -1, -1)
    output = model.qformer(
        query_embeds=model.embeddings(input_ids=ids, query_embeds=queries),
        query_length=QUERIES,
        attention_mask=torch.ones(len(ids), QUERIES + ids.shape[1], dtype=torch.long),
        encoder_hidden_states=image,
        encoder_attention_mask=torch.ones(image.shape[:2], dtype=torch.long),
        **options,
    )
    return model.itm_head(output.last_hidden_state[:, :QUERIES]).mean(1), output


def blip2_slope(backbone: Any, pixels: Tensor, prompt: TextTokens, layer: int, token: int, direction: Tensor) -> float:
    """transformers' own forward in float64, where all queries look a little more in the direction."""
    attention: Any = {"vision_config": "sdpa", "qformer_config": NUDGED}
    model: Any = Blip2ForImageTextRetrieval.from_pretrained(
        backbone.card.name, attn_implementation=attention, dtype=torch.float64
    ).eval()
    module = model.qformer.encoder.layer[layer].crossattention.attention

    def move(probs: Tensor) -> Tensor:
        moved = torch.zeros_like(probs)
        moved[..., 1:] = direction.flatten(1).to(probs.dtype)[None, :, None]
        return moved

    with torch.no_grad():
        ids = torch.tensor([prompt.ids])
        return slope(lambda: own_logits(model, pixels.double(), ids)[0][0, 1], module, move, step=1e-4)
