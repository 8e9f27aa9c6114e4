"""One small checkpoint of every backbone there is, saved to a folder, for the contract that all of them keep.

A new backbone adds a line to `SMALL`: a factory that saves random weights as the hubs have them, and a way to move its
attention that owes nothing to the code under test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BridgeTowerForImageAndTextRetrieval

from pnpovss.backbones.base import TextTokens
from pnpovss.backbones.mini.backbone import BUNDLED
from tests.support import blip2_models, blip_models, captioner_models, dual_checkpoints, fuser_models, joint_models
from tests.support.decoder_models import RESTS, TINY, decoder_slope, save_decoder


@dataclass(frozen=True)
class Small:
    """A checkpoint and what the contract's test has to know of it.

    Attributes:
        key: of the backbone's entry in the registry.
        save: writes it to an empty folder and tells where it is.
        slope: of (backbone, pixels of one image, prompt, layer, token, direction "head gh gw"): how fast the match
            logit changes as the token's attention goes in the direction.
        size: height and width of the test's images [px], not square where the model takes such.
        text: the test's prompt, in words that the checkpoint knows.
        stray: a text far longer than the model reads.
        special: whether it puts special tokens around a text.
    """

    key: str
    save: Callable[[Path], Path]
    slope: Callable[[Any, Tensor, TextTokens, int, int, Tensor], float]
    size: tuple[int, int] = (32, 48)
    text: str = "A picture of cat potted plant"
    stray: str = "cat " * 3000
    special: bool = True


def save_mini(folder: Path) -> Path:
    """The bundled one: it is small, and has one shape."""
    for file in BUNDLED.glob("*.[js][sa]*"):
        (folder / file.name).symlink_to(file)
    return folder


def blip_slope(backbone: Any, pixels: Tensor, prompt: TextTokens, layer: int, token: int, direction: Tensor) -> float:
    """By the textbook, the whole graph."""
    ids = torch.tensor([prompt.ids])
    tokens = backbone.encode_images(pixels).tokens
    _, _, gradients = blip_models.plain_match(backbone._text, ids, torch.ones_like(ids).bool(), tokens, (layer,))
    return float((gradients[0, 0, :, token, 1:] * direction.flatten(1)).sum())


def bridgetower_slope(
    backbone: Any, pixels: Tensor, prompt: TextTokens, layer: int, token: int, direction: Tensor
) -> float:
    """By transformers' own forward, the whole graph."""
    folder = backbone.card.name
    model = BridgeTowerForImageAndTextRetrieval.from_pretrained(folder, attn_implementation="eager").eval()
    logits, probs = fuser_models.eager(model, pixels, torch.tensor([prompt.ids]))
    [gradient] = torch.autograd.grad(logits[0, 1], [probs[layer]])
    return float((gradient[0, :, token, 1:] * direction.flatten(1)).sum())


def decoder(kind: str) -> Small:
    """Frames of one size where the architecture has one."""
    size = (32, 48) if kind.startswith("qwen") else (32, 32)
    return Small("decoder", partial(save_decoder, kind=kind), decoder_slope, size)


SMALL = {
    "mini": Small("mini", save_mini, blip_slope, size=(64, 96)),
    "blip": Small("blip", blip_models.save_checkpoint, blip_slope),
    "blip2": Small("blip2", blip2_models.save_blip2, blip2_models.blip2_slope),
    "bridgetower": Small("bridgetower", fuser_models.save_bridgetower, bridgetower_slope),
    "florence2": Small("captioner", captioner_models.save_florence2, captioner_models.florence2_slope),
    "blip captioner": Small("captioner", captioner_models.save_blip, captioner_models.blip_slope),
    "vilt": Small("joint", joint_models.save_vilt, joint_models.joint_slope),
    "flava": Small("joint", joint_models.save_flava, joint_models.joint_slope),
    "clip": Small("dual", dual_checkpoints.save_clip, dual_checkpoints.dual_slope),
    "metaclip": Small("dual", dual_checkpoints.save_metaclip, dual_checkpoints.dual_slope),
    "tipsv2": Small("dual", dual_checkpoints.save_tips, dual_checkpoints.dual_slope, special=False),
    "siglip": Small("dual", dual_checkpoints.save_siglip, dual_checkpoints.dual_slope),
    "siglip with a rest": Small("dual", dual_checkpoints.save_siglip_with_rest, dual_checkpoints.dual_slope),
    **{kind: decoder(kind) for kind in TINY},
    "smolvlm with a rest": Small("decoder", partial(save_decoder, config=RESTS["smolvlm"][1]), decoder_slope, (48, 48)),
}
