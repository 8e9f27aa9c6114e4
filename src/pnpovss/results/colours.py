"""The colour of each name, the same in every picture, told apart with all common kinds of colour vision."""

import colorsys

import numpy as np
from jaxtyping import UInt8

__all__ = ["Rgb", "colour", "palette"]

Rgb = tuple[int, int, int]

# Okabe and Ito (2008), without black, ordered so that the first ones differ most on photos.
_OKABE_ITO: tuple[Rgb, ...] = (
    (0, 114, 178),  # blue
    (230, 159, 0),  # orange
    (204, 121, 167),  # purple
    (0, 158, 115),  # green
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermilion
    (86, 180, 233),  # sky blue
)
_GOLDEN = 0.618034  # hues a golden ratio apart never come close to one another soon


def colour(index: int) -> Rgb:
    """RGB of the name at this position among those asked for, each in [0, 255]."""
    if index < len(_OKABE_ITO):
        return _OKABE_ITO[index]
    extra = index - len(_OKABE_ITO)
    red, green, blue = colorsys.hls_to_rgb((0.1 + extra * _GOLDEN) % 1, (0.4, 0.65, 0.5)[extra % 3], 0.65)
    return round(red * 255), round(green * 255), round(blue * 255)


def palette(names: int) -> UInt8[np.ndarray, "label 3"]:
    """RGB by label: black for the background, then a colour per name."""
    return np.array([(0, 0, 0), *(colour(i) for i in range(names))], np.uint8)
