"""SAM 2 (arXiv 2408.00714) as a refiner, through transformers: its image half, told a box and points per thing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.base import LoadOptions
from pnpovss.errors import CheckpointError
from pnpovss.instances.refiner import Hint

if TYPE_CHECKING:
    from transformers import Sam2Model

__all__ = ["Sam2Refiner"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INSIDE, OUTSIDE, PADDING = 1, 0, -10  # labels of points


class Sam2Refiner:
    """Draws things with a SAM 2 model; see `pnpovss.instances.refiner.Refiner`.

    Attributes:
        model: of transformers.
        name: the folder or hub id that it was loaded from.
    """

    def __init__(self, model: "Sam2Model", name: str) -> None:
        self.model = model.eval()
        self.name = name

    @classmethod
    def from_pretrained(
        cls, model: str | Path, *, device: str = "auto", local_files_only: bool = False
    ) -> "Sam2Refiner":
        """Load a checkpoint, such as "facebook/sam2.1-hiera-tiny", or a folder that holds one.

        Raises:
            CheckpointError: it cannot be had, or is of another architecture.
            ConfigError: an unknown device.
        """
        from transformers import AutoConfig, Sam2Model

        options = LoadOptions.parse(device, local_files_only=local_files_only)
        try:
            kind = AutoConfig.from_pretrained(model, local_files_only=local_files_only).model_type
            if kind not in ("sam2", "sam2_video"):
                raise CheckpointError(f"{model} is of model_type {kind!r}; expected 'sam2'")
            loaded: Any = Sam2Model.from_pretrained(model, local_files_only=local_files_only)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{model} cannot be loaded as SAM 2: {error}") from error
        return cls(loaded.to(options.device), str(model))

    @torch.no_grad()
    def draw(self, photo: UInt8[np.ndarray, "h w 3"], hints: Sequence[Hint]) -> Float[np.ndarray, "thing h w"]:
        """See `Refiner.draw`."""
        config: Any = self.model.config
        side = int(config.prompt_encoder_config.image_size)
        device = self.model.device
        points, labels = _points(hints)
        scale = torch.tensor([side / photo.shape[1], side / photo.shape[0]])
        boxes = torch.tensor([hint.box for hint in hints]).view(1, -1, 2, 2) * scale
        drawn = self.model(
            pixel_values=_pixels(photo, side).to(device),
            input_points=(points * scale)[None].to(device),
            input_labels=labels[None].to(device),
            input_boxes=boxes.flatten(2).to(device),
            multimask_output=False,
        )
        logits = F.interpolate(drawn.pred_masks[0, :, :1], photo.shape[:2], mode="bilinear", align_corners=False)
        return logits[:, 0].float().cpu().numpy()


def _pixels(photo: UInt8[np.ndarray, "h w 3"], side: int) -> Float[Tensor, "1 3 side side"]:
    resized = cv2.resize(photo, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    return torch.from_numpy((resized - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).permute(2, 0, 1)[None]


def _points(hints: Sequence[Hint]) -> tuple[Float[Tensor, "thing point 2"], Int64[Tensor, "thing point"]]:
    """The points of each thing, its own first, with what they mean; padded to the same number."""
    most = 1 + max(len(hint.outside) for hint in hints)
    points, labels = torch.zeros(len(hints), most, 2), torch.full((len(hints), most), PADDING)
    for i, hint in enumerate(hints):
        own = torch.tensor([hint.inside, *hint.outside], dtype=torch.float32)
        points[i, : len(own)] = own
        labels[i, : len(own)] = torch.tensor([INSIDE] + [OUTSIDE] * len(hint.outside))
    return points, labels
