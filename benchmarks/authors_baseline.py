"""The slow way, as the released code goes it: a backbone with the same answers, to measure ours against.

Written from the description of what that code computes, none of it copied. Every pass it runs transformers' eager
forward with the graph of both sides kept, retains the cross-attention of all layers and heads, calls `backward()` on
the match logit, so that every parameter of the image side too gets a gradient, and forms GradCAM for all layers and
heads, although one of them is read.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BlipForImageTextRetrieval

from pnpovss.backbones.base import LoadOptions, Match, Reading, TextTokens, TokenMaps
from pnpovss.backbones.blip.backbone import BlipBackbone
from pnpovss.backbones.blip.tokenizer import BlipTokenizer
from pnpovss.backbones.parts.checkpoint import read_model
from pnpovss.backbones.parts.origin import find
from pnpovss.backbones.parts.text_side import PatchTokens

__all__ = ["AuthorsBaseline", "load_baseline"]


class AuthorsBaseline(BlipBackbone):
    """BLIP driven as the released code drives it: one image and one prompt at a time, float32, on the CPU."""

    model: Any

    def encode_images(self, pixels: Tensor) -> PatchTokens:
        """Encode with every layer's attention formed and the whole graph kept."""
        self.model.zero_grad()
        tokens = self.model.vision_model(pixels, interpolate_pos_encoding=True).last_hidden_state
        patch = self.card.patch
        return PatchTokens(tokens, (pixels.shape[2] // patch, pixels.shape[3] // patch))

    def match(
        self, features: PatchTokens, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """Keep all maps and their gradients, and differentiate everything."""
        [[prompt]] = prompts
        ids = torch.tensor([prompt.ids])
        out = self.model.text_encoder(
            ids,
            attention_mask=torch.ones_like(ids),
            encoder_hidden_states=features.tokens,
            encoder_attention_mask=torch.ones(features.tokens.shape[:2], dtype=torch.long),
            output_attentions=True,
        )
        for probs in out.cross_attentions:
            probs.retain_grad()
        logits = self.model.itm_head(out.last_hidden_state[:, 0])
        logits[:, 1].sum().backward()
        self.gradcam = torch.stack([probs.grad.clamp(0) * probs.detach() for probs in out.cross_attentions])
        read = [out.cross_attentions[layer] for layer in (reading.layers if reading else ())]
        probs, grads = (
            torch.stack(maps, 1)[..., 1:].unflatten(-1, features.grid)
            for maps in ([probs.detach() for probs in read], [probs.grad for probs in read])
        )
        logits = logits.detach()
        return Match((logits[:, 1],), (logits.softmax(-1)[:, 1],), (TokenMaps(probs[0], grads[0]),))


def load_baseline(folder: str) -> AuthorsBaseline:
    """Load a checkpoint's folder with all weights trainable, as the released code leaves them."""
    path, origin = find(folder, LoadOptions(), "blip")
    model = read_model(path, BlipForImageTextRetrieval)
    tokenizer = BlipTokenizer(path, model.config.text_config.vocab_size)  # pyright: ignore
    baseline = AuthorsBaseline(model, tokenizer, origin)
    baseline.model = model.requires_grad_(True)
    return baseline
