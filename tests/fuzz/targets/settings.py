"""Settings of every kind and size, and photos segmented by those that are taken."""

from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from pnpovss.cli.listed import listed
from pnpovss.cli.settings import parse_settings
from pnpovss.config import PRESETS, STEPS, Config, setting_names
from pnpovss.segmenter import Segmenter
from tests.fuzz.mutate import change_bytes, odd_text, odd_value
from tests.support.fakes import colour_backbone

_NUMBERS = (0, 1, 2, 3, 10, 100, 1000, 4096, 1e-300, 1e-6, 1e-3, 0.05, 0.5, 0.999, 5, 1e3, 1e6, 1e30, 1e300, 2**40)


class Settings:
    """From Python and from the command line."""

    def __init__(self, folder: Path) -> None:
        self._names = list(setting_names())
        self._backbone = colour_backbone()
        pixels = np.random.default_rng(0).integers(0, 255, (12, 17, 3), np.uint8)
        self._photo = Image.fromarray(pixels)
        Segmenter(self._backbone)(self._photo, ["red"])  # compiles what has to be

    def run(self, rng: Random, number: int) -> None:
        """A few of them; where they are taken, a small photo is segmented."""
        given = [self._one(rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        if number % 2:
            texts = [f"{name}={odd_text(rng) if rng.random() < 0.2 else value}" for name, value in given]
            overrides = parse_settings(texts)
        else:
            overrides = dict(given)
        steps = listed([rng.choice((*STEPS, "blur,crf", "x", ""))]) if rng.random() < 0.3 else []
        config = Config.preset(rng.choice(list(PRESETS)), overrides).without(*steps)
        if (config.image_size or 0) <= 512:
            Segmenter(self._backbone, config)(self._photo, ["red", "blue", "rock"], name_match=True)

    def _one(self, rng: Random) -> tuple[str, object]:
        name = rng.choice(self._names)
        if rng.random() < 0.05:
            name = change_bytes(name.encode(), rng, times=1).decode("utf-8", "replace")
        value = rng.choice(_NUMBERS) if rng.random() < 0.8 else odd_value(rng)
        return name, [value] * rng.randint(1, 5) if rng.random() < 0.1 else value
