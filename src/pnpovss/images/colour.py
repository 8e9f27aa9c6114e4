"""ICC profiles: what a file's numbers mean as colours, brought to sRGB, which models were trained on."""

import io
import logging
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

__all__ = ["Conversion", "to_srgb"]

logger = logging.getLogger(__name__)

Conversion = Callable[[Image.Image], Image.Image]

_FAMILY = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # the mode of pixels of each colour space
_TAKES = {"RGB": ("RGB",), "L": ("L", "RGB"), "CMYK": ("CMYK",)}  # profiles that a mode of pixels may have
_AS_IT_IS = 2  # of 255; rounding tells sRGB profiles of different makers apart by as much


def to_srgb(profile: object, mode: str, what: str) -> Conversion | None:
    """How pixels with this profile become sRGB, relative colorimetric with black point compensation, as browsers do.

    Args:
        profile: of ICC, as bytes.
        mode: of the pixels: L, RGB or CMYK.
        what: the photo, for the log.

    Returns:
        From pictures of that mode to RGB; None where there is no profile, it is sRGB, or it cannot be used, the last
        with a warning in the log.
    """
    if not profile:
        return None
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))  # type: ignore[arg-type]
        space = str(getattr(source.profile, "xcolor_space", "?"))
        family = _FAMILY.get(space, space)
        if family not in _TAKES[mode]:
            raise ValueError(f"it is for {family.strip()}, the pixels are {mode}")
        return _conversion(source, family)
    except Exception as error:  # a profile is foreign data, and parsers raise whatever they like on it
        logger.warning("%s: its colour profile cannot be used (%s); its colours are taken as sRGB", what, error)
        return None


def _conversion(source: ImageCms.ImageCmsProfile, family: str) -> Conversion | None:
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        family,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )

    def convert(image: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(image.convert(family), transform)
        assert converted is not None
        return converted

    return None if family != "CMYK" and _changes_nothing(convert, family) else convert


def _changes_nothing(convert: Conversion, family: str) -> bool:
    """Whether colours all over the range stay what they are, so that the pixels can be left alone."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    sample = Image.fromarray(colours).convert(family)
    before, after = (np.asarray(picture.convert("RGB")).astype(int) for picture in (sample, convert(sample)))
    return bool(np.abs(before - after).max() <= _AS_IT_IS)
