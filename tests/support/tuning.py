"""A judge that sees colours, a model with a head that looks away, and photos of colours with their names."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tests.support.colours import COLOURS, colour_dataset
from tests.support.fakes import FakeBackbone, colour_backbone

SIDE = 16


class ColourJudge:
    """Tells a colour by its share of what is seen; counts the looks."""

    key = "colours"
    is_the_model_itself = False

    def __init__(self, side: int = SIDE):
        self.side = side
        self.looks = 0

    def pixels(self, image: Image.Image) -> torch.Tensor:
        small = image.convert("RGB").resize((self.side, self.side))
        return torch.from_numpy(np.asarray(small, np.float32) / 127.5 - 1).permute(2, 0, 1)

    def logits(self, pixels: torch.Tensor, names) -> torch.Tensor:
        self.looks += len(pixels)
        seen = (pixels != 0).any(1).flatten(1).sum(1).clamp(min=1)
        shares = []
        for name in names:
            colour = torch.tensor(COLOURS[name.text]) / 127.5 - 1
            near = (pixels - colour[None, :, None, None]).abs().amax(1) < 0.5
            shares.append(near.flatten(1).sum(1) / seen)
        return 10 * torch.stack(shares, 1)


class TwoHeads(FakeBackbone):
    """Head 1 looks away from the colour that it is asked for; counts the matches."""

    matches = 0

    def match(self, features, prompts, reading=None):
        found = super().match(features, prompts, reading)
        self.matches += len(prompts)
        for seen in found.maps:
            seen.attention[:, 1] = 1.0 - seen.attention[:, 0].clamp(max=1.0)
        return found


def two_heads() -> TwoHeads:
    return TwoHeads(colour_backbone().attention, heads={0: 2}, grid=4, name="fake")


def photos_of_colours(root: Path, count: int = 8) -> list[tuple[Path, list[str]]]:
    """Photos with what is in them; those that hold nothing are left out."""
    data = colour_dataset(root, count)
    names = [name.text for name in data.space.names]
    found = [(sample.image, [names[i] for i in data.present(sample)]) for sample in data]
    return [(image, own) for image, own in found if own]
