"""Pictures whose pixels are numbers of classes, not grays."""

from PIL import Image

from pnpovss.images.depth import raw_mode

__all__ = ["as_stored"]

_STEPS = {"L;2": 85, "L;4": 17}  # between the grays that Pillow makes of 2 and 4 bits


def as_stored(picture: Image.Image) -> Image.Image:
    """A picture with the values of its file, where Pillow spreads grays of 1, 2 and 4 bits over 0 to 255.

    Args:
        picture: opened, but not decoded yet: only then it is known how its grays are stored.

    Returns:
        One of mode L in place of grays of fewer than 8 bits; any other as it is, palettes left alone.
    """
    step = 255 if picture.mode == "1" else _STEPS.get(raw_mode(picture)[:3])
    return picture if step is None else picture.convert("L").point([value // step for value in range(256)])
