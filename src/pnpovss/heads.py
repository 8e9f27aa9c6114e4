"""Every layer and head from one forward and one backward pass, and what the attention of each looks like.

Which heads ground words well, and what tells them from the others without labels, is a question the paper leaves open.
Reading all heads costs no more passes than reading one: the gradient of the match logit reaches all layers at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.backbones.base import Backbone, Card, Reading
from pnpovss.config import Heads, Settings
from pnpovss.inputs import Inputs, ask
from pnpovss.matching import refuse_what_is_not_finite
from pnpovss.saliency.gradcam import sum_heads
from pnpovss.saliency.tokens import merge_tokens

__all__ = ["HeadLook", "all_heads", "head_keys", "head_statistics", "look_with_all_heads"]


@dataclass(frozen=True, eq=False)
class HeadLook:
    """What one head sees in one photo.

    Attributes:
        layer: 0-based text layer.
        head: 0-based head.
        maps: the name maps that a segmentation would start from: GradCAM, or attention where GradCAM is off.
        attention: the name maps of plain attention.
        relevance: mass of the positive GradCAM of this head over all names; how much the match rests on it.
    """

    layer: int
    head: int
    maps: Float[Tensor, "name gh gw"]
    attention: Float[Tensor, "name gh gw"]
    relevance: float

    @property
    def key(self) -> str:
        """As "layer.head"."""
        return f"{self.layer}.{self.head}"


def all_heads(card: Card, settings: Settings) -> Heads:
    """(layer, head) of each look that `look_with_all_heads` gives, in its order."""
    layers = card.readable(settings.read, gradient=settings.gradcam)
    return tuple((layer, head) for layer, heads in sorted(layers.items()) for head in range(heads))


def head_keys(card: Card, settings: Settings) -> list[str]:
    """The key of each look that `look_with_all_heads` gives, in its order."""
    return [f"{layer}.{head}" for layer, head in all_heads(card, settings)]


def look_with_all_heads(backbone: Backbone, inputs: Inputs, settings: Settings) -> list[HeadLook]:
    """All heads of all layers that these settings can read, by layer and head; one encoding of the photo.

    Args:
        backbone: the model.
        inputs: of one photo.
        settings: how names are written, what is read, and whether attention is weighed by the gradient of the match
            logit.

    Raises:
        ModelError: the model answers with numbers that are not finite.
    """
    features = backbone.encode_images(inputs.pixels)
    prompts = ask(inputs.names, backbone, settings)
    looks = []
    for layers in backbone.card.read_together(backbone.card.readable(settings.read, gradient=settings.gradcam)):
        [seen] = backbone.match(features, [prompts.tokens], Reading(layers, legrad=settings.read == "legrad")).maps
        for row, layer in enumerate(layers):
            for head in range(backbone.card.heads[layer]):
                cam = merge_tokens(sum_heads(seen, [(row, head)]), prompts.name_tokens)
                plain = merge_tokens(seen.attention[row, head].float(), prompts.name_tokens)
                looks.append(HeadLook(layer, head, cam if settings.gradcam else plain, plain, float(cam.sum())))
    refuse_what_is_not_finite(backbone, "maps", [each for look in looks for each in (look.maps, look.attention)])
    return sorted(looks, key=lambda look: (look.layer, look.head))


def head_statistics(look: HeadLook) -> dict[str, float]:
    """What can be said of a head in one photo without any label.

    Returns:
        entropy: of a name's attention over the patches, in [0, 1] (0: one patch, 1: even), mean over names.
        spread: root mean square distance of that attention from its centre, of that of an even one; small is local.
        patches: share of the attention that falls on patches, not on global tokens, mean over names.
        overlap: cosine of the names' maps, mean over pairs; 1 means that all names look at the same place. 0 with
            one name.
        relevance: see `HeadLook`; compare between heads of one model.
    """
    flat = look.attention.flatten(1).cpu().double()  # name patch; Apple GPUs have no float64
    mass = flat.sum(1)
    shares = flat / mass.clamp(min=1e-12)[:, None]
    patches = flat.shape[1]
    entropy = -(shares * shares.clamp(min=1e-12).log()).sum(1)
    return {
        "entropy": float((entropy / torch.tensor(max(patches, 2)).log()).mean()),
        "spread": float((_spread(shares, look.attention.shape[1:]) / _even_spread(look.attention.shape[1:])).mean()),
        "patches": float(mass.mean()),
        "overlap": _overlap(look.maps.flatten(1).cpu().double()),
        "relevance": look.relevance,
    }


def _spread(shares: Float[Tensor, "name patch"], grid: Sequence[int]) -> Float[Tensor, " name"]:
    """Root mean square distance from the centre of mass; patches are squares of the unit square."""
    rows, columns = torch.meshgrid(*((torch.arange(n).double() + 0.5) / n for n in grid), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], 1)  # patch 2
    centre = shares @ places
    squared = (places[None] - centre[:, None]).square().sum(-1)
    return (shares * squared).sum(1).sqrt()


def _even_spread(grid: Sequence[int]) -> float:
    patches = grid[0] * grid[1]
    return max(float(_spread(torch.full((1, patches), 1 / patches).double(), grid)), 1e-12)


def _overlap(maps: Float[Tensor, "name patch"]) -> float:
    if len(maps) < 2:
        return 0.0
    unit = maps / maps.norm(dim=1, keepdim=True).clamp(min=1e-12)
    cosines = unit @ unit.T
    pairs = torch.triu_indices(len(maps), len(maps), offset=1)
    return float(cosines[pairs[0], pairs[1]].mean())
