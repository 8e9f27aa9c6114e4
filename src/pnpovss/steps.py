"""Every step of the method on one photo, kept to be looked at; `Segmenter` keeps only what comes out."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from pnpovss.config import Settings
from pnpovss.errors import NamesError
from pnpovss.images import ImageSource
from pnpovss.inputs import Inputs, ask, prepare
from pnpovss.names import NameLike
from pnpovss.refine.pipeline import refine
from pnpovss.refine.scores import threshold
from pnpovss.results.figures.passes import PassPicture
from pnpovss.results.steps import Steps
from pnpovss.saliency.tokens import merge_tokens
from pnpovss.segmenter import ONE_LOOK, Segmenter

__all__ = ["steps_of"]


def steps_of(
    segmenter: Segmenter, photo: ImageSource, names: Sequence[NameLike], go_on: Callable[[], Any] = lambda: None
) -> Steps:
    """What each step makes of the whole photo; the step `views` is left out, since it would show each of them twice.

    Args:
        segmenter: whose model and settings are used.
        photo: as `Segmenter` takes it.
        names: what to look for; those that the model holds to be absent are left out.
        go_on: called before each iteration of the Dense CRF; what it raises ends the work.

    Raises:
        NamesError: as `Segmenter`, or none of the names is held to be in the photo.
        ImageError: a photo that cannot be read.
    """
    whole = segmenter.replace(config=segmenter.config.without("views"))
    inputs = prepare(photo, names, whole.backbone.card, whole.config)
    inputs, attention = _attention(whole, inputs)
    prompts = ask([inputs.names[i] for i in inputs.present or ()], whole.backbone, whole.config)
    features = whole.backbone.encode_images(inputs.pixels)
    tokens = prompts.name_tokens
    weights = (whole.config.dropout or ONE_LOOK).pass_weights
    passes = [
        (weight, each.kept[0], merge_tokens(each.maps[0], tokens) * each.kept[0])
        for weight, each in zip(weights, whole.passes(inputs.pixels, features, [prompts.tokens], [tokens]), strict=True)
    ]
    total = sum((weight * maps for weight, _, maps in passes[1:]), passes[0][0] * passes[0][2])
    maps = {"attention": attention}
    if whole.config.gradcam:
        maps["LeGrad" if whole.config.read == "legrad" else "GradCAM"] = passes[0][2]
    if len(passes) > 1:
        maps[f"{len(passes)} passes"] = total
    if whole.config.threshold is not None:
        maps["threshold"] = threshold(total, whole.config.threshold)
    return Steps(
        names=tuple(inputs.names[i].text for i in inputs.present or ()),
        maps={step: each.cpu().numpy() for step, each in maps.items()},
        passes=tuple(PassPicture(kept.cpu().numpy(), maps.cpu().numpy(), weight) for weight, kept, maps in passes),
        stages=_stages(total, np.asarray(inputs.image), whole.config, go_on),
    )


def _attention(whole: Segmenter, inputs: Inputs) -> tuple[Inputs, Float[Tensor, "name gh gw"]]:
    """The inputs with the names that are held to be there, and the attention alone of each of these.

    LeGrad is made of gradients alone, so what it leaves aside is shown: where the same heads look.
    """
    config = whole.config
    if config.read == "legrad":  # the same heads, by their attention
        config = config.replace({"read": "answer", "heads": config.all_heads})
    plain = whole.replace(config=config.without("gradcam", "dropout"))
    [seen] = plain.explain([inputs])
    if not seen.kept:
        raise NamesError(
            f"none of {', '.join(map(str, inputs.names))} is held to be in the photo, so there are no steps to show; "
            "leave the step presence out to look all the same"
        )
    return Inputs(inputs.image, inputs.names, inputs.pixels, seen.kept), seen.names


def _stages(
    total: Float[Tensor, "name gh gw"], image: UInt8[np.ndarray, "h w 3"], settings: Settings, go_on: Callable[[], Any]
) -> dict[str, Integer[np.ndarray, "h w"]]:
    """The label map with the steps of refinement added one after the other."""
    stages = {}
    steps = {"threshold": ("blur", "crf"), "blur": ("crf",), "crf": ()}
    for step, off in steps.items():
        if getattr(settings, step) is not None:
            refined = refine(total, image, settings.without(*off), go_on=go_on)
            stages["Dense CRF" if step == "crf" else step] = refined.labels
    return stages
