"""What each layer and head shows of one photo: its heat in each pass of Salience Dropout, and the pieces it would give.

One forward and one backward pass per look serve all of them. What is dropped between looks is what the head that is
read finds salient, for all heads alike.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pnpovss.config import InstanceSettings
from pnpovss.heads import look_with_all_heads
from pnpovss.images import ImageSource
from pnpovss.inputs import ask, prepare
from pnpovss.instances.find import find_instances
from pnpovss.names import NameLike
from pnpovss.refine.pipeline import refine
from pnpovss.results.instances import Instances
from pnpovss.saliency.dropout import blank_patches
from pnpovss.segmenter import ONE_LOOK, Segmenter

__all__ = ["HeadSeen", "Maps", "look_by_head", "maps_of"]

Maps = Mapping[str, Float[np.ndarray, "name gh gw"]]


@dataclass(frozen=True, eq=False)
class HeadSeen:
    """One photo by the heat of one head.

    Attributes:
        maps: heat maps by what they are of, see `maps_of`.
        found: the connected pieces of the regions that it gives without views and Dense CRF.
    """

    maps: Maps
    found: Instances


def maps_of(passes: Float[np.ndarray, "pass name gh gw"]) -> Maps:
    """The heat of all passes together, and of each."""
    return {"all passes": passes.sum(0), **{f"pass {i}": maps for i, maps in enumerate(passes, start=1)}}


def look_by_head(segmenter: Segmenter, image: ImageSource, names: Sequence[NameLike]) -> dict[str, HeadSeen]:
    """One photo by each head, by "layer.head"; one look per pass, without views."""
    backbone = segmenter.backbone
    alone = Segmenter(backbone, segmenter.config.without("views", "crf"))
    inputs = prepare(image, names, backbone.card, alone.config)
    prompts = ask(inputs.names, backbone, alone.config)
    whole = backbone.encode_images(inputs.pixels)
    weights = (alone.config.dropout or ONE_LOOK).pass_weights
    looks = alone.passes(inputs.pixels, whole, [prompts.tokens], [prompts.name_tokens])
    added: dict[str, list[Tensor]] = defaultdict(list)
    for weight, each in zip(weights, looks, strict=True):
        shown = replace(inputs, pixels=blank_patches(inputs.pixels, each.kept))
        for look in look_with_all_heads(backbone, shown, alone.config):
            added[look.key].append(weight * look.maps * each.kept[0])
    pixels = np.asarray(inputs.image)
    return {key: _seen(torch.stack(passes), pixels, alone) for key, passes in added.items()}


def _seen(passes: Float[Tensor, "pass name gh gw"], pixels: np.ndarray, alone: Segmenter) -> HeadSeen:
    refined = refine(passes.sum(0), pixels, alone.config)
    own = alone.config.instances or InstanceSettings()
    pieces = own.model_copy(update={"split": "pieces"})
    heat = passes.cpu().numpy()
    everyone = range(passes.shape[1])
    return HeadSeen(maps_of(heat), find_instances(refined.labels, refined.scores, everyone, heat, pixels, pieces))
