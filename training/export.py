"""Write the trained model as the package ships it, and check that what is read back gives the same maps."""

import logging
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from pnpovss.backbones.base import LoadOptions, Reading, Recommended
from pnpovss.backbones.mini.backbone import MiniBackbone
from pnpovss.backbones.mini.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from pnpovss.backbones.mini.model import Mini
from pnpovss.images import load_image
from pnpovss.inputs import to_pixels
from pnpovss.saliency.gradcam import gradcam
from training.minilm import load_tokenizer

log = logging.getLogger(__name__)

MAX_MAP_ERROR = 0.05
"""Largest difference of a map, relative to its largest value, that rounding may cause (int8 words, float16 weights).

Of the photos of `examples/`: of noise, which nobody segments, one draw in four had five times the others' difference.
"""
MAX_BYTES = 60_000_000

_BESIDE = ".export-"
_EXAMPLES = Path(__file__).parents[1] / "examples"
_PROMPT = "A picture of cat sofa potted plant"


def export(model: Mini, folder: Path, recommended: Recommended) -> float:
    """Write a checkpoint whose maps are those of the model in memory; a folder keeps its former one until that is sure.

    Returns:
        The largest difference of an attention map or GradCAM map, relative to the map's largest value.

    Raises:
        RuntimeError: the difference or the size on disk is too large.
    """
    model = model.eval()
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_BESIDE}*"):  # by an export that was killed
        shutil.rmtree(left)
    with TemporaryDirectory(dir=folder, prefix=_BESIDE) as beside:
        part = Path(beside)
        write_checkpoint(part, model, load_tokenizer(), recommended)
        written = read_checkpoint(part)
        exact = Checkpoint(model, written.tokenizer, recommended, "in memory")
        error = max(
            float((ours - theirs).abs().max() / theirs.abs().max())
            for photo in sorted(_EXAMPLES.glob("*.jpg"))
            for ours, theirs in zip(_maps(written, photo), _maps(exact, photo), strict=True)
        )
        size = sum(file.stat().st_size for file in part.iterdir())
        if error > MAX_MAP_ERROR or size > MAX_BYTES:
            raise RuntimeError(
                f"export refused: {size} bytes (at most {MAX_BYTES}), map error {error} (at most {MAX_MAP_ERROR})"
            )
        for file in part.iterdir():
            file.replace(folder / file.name)
    log.info("exported to %s: %.1f MB, maps differ by at most %.4f of their maximum", folder, size / 1e6, error)
    return error


def _maps(checkpoint: Checkpoint, photo: Path) -> list[Tensor]:
    backbone = MiniBackbone(checkpoint, name="export", options=LoadOptions())
    side = checkpoint.recommended.image_size
    pixels = to_pixels(load_image(photo), (side, side), backbone.card)
    features = backbone.encode_images(pixels)
    layer = checkpoint.recommended.layer
    prompts = [[backbone.tokenize(_PROMPT)]] * len(features)
    seen = backbone.match(features, prompts, Reading((layer,))).maps
    read = [(each.attention[0], each.gradient[0]) for each in seen if each.gradient is not None]
    head = checkpoint.recommended.head
    return [
        torch.stack([attention for attention, _ in read]),
        torch.stack([gradcam(attention[head], gradient[head]) for attention, gradient in read]),
    ]
