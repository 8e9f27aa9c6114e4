"""Pictures of any mode as 8-bit sRGB; whatever is transparent is laid on white."""

import logging

from PIL import Image

from pnpovss.images.colour import Conversion, to_srgb
from pnpovss.images.depth import DEEP_MODES, UNTOLD, Depth, gray_to_bytes, refuse_dark
from pnpovss.images.strips import strips

__all__ = ["to_rgb"]

logger = logging.getLogger(__name__)

_FAMILIES = {"1": "L", "L": "L", "LA": "L", "La": "L", "CMYK": "CMYK"}  # of modes that are not RGB in another dress
_WITHOUT_PROFILE = ("LAB", "HSV")
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}


def to_rgb(image: Image.Image, what: str, told: Depth = UNTOLD) -> Image.Image:
    """A new picture of mode RGB, without metadata.

    Args:
        image: decoded; it is not changed.
        what: the photo, for messages.
        told: what its container says of its samples.

    Raises:
        ImageError: samples of more than 8 bits that do not tell which value is white.
    """
    refuse_dark(image, what, told)
    flat = gray_to_bytes(image, what, told) if image.mode in DEEP_MODES else image
    convert = _colours(flat.mode, image.info.get("icc_profile"), what)
    transparent = flat.mode != "CMYK" and flat.has_transparency_data and _is_understood(flat, what)
    if convert is None and not transparent and "transparency" not in flat.info:
        rgb = flat.convert("RGB")
        rgb.info = {}
        return rgb
    rgb = Image.new("RGB", flat.size, "white")
    for top, strip in strips(flat):
        if transparent:
            layers = _with_alpha(strip)
            rgb.paste(_opaque(layers, convert), (0, top), layers.getchannel("A"))
        else:
            strip.info = {}
            rgb.paste(_opaque(strip, convert), (0, top))
    return rgb


def _colours(mode: str, profile: object, what: str) -> Conversion | None:
    return None if mode in _WITHOUT_PROFILE else to_srgb(profile, _FAMILIES.get(mode, "RGB"), what)


def _opaque(image: Image.Image, convert: Conversion | None) -> Image.Image:
    return image.convert("RGB") if convert is None else convert(image)


def _with_alpha(image: Image.Image) -> Image.Image:
    """As RGBA; Pillow goes there from premultiplied pixels by their plain form alone."""
    return image.convert(_PREMULTIPLIED.get(image.mode, image.mode)).convert("RGBA")


def _is_understood(image: Image.Image, what: str) -> bool:
    """Whether Pillow makes sense of the transparency; pictures made from others may carry what fits those alone."""
    try:
        _with_alpha(image.crop((0, 0, 1, 1)))
    except (TypeError, ValueError) as error:
        logger.warning("%s: its transparency is ignored, for it does not fit mode %s (%s)", what, image.mode, error)
        return False
    return True
