"""Photos in, whatever they come as: always an upright 8-bit sRGB picture out, or an error that says why not."""

from pnpovss.images.files import MAX_PIXELS
from pnpovss.images.indices import as_stored
from pnpovss.images.kinds import PHOTO_SUFFIXES
from pnpovss.images.load import ImageSource, load_image, orientation_of
from pnpovss.images.orientation import Orientation

__all__ = ["MAX_PIXELS", "PHOTO_SUFFIXES", "ImageSource", "Orientation", "as_stored", "load_image", "orientation_of"]
