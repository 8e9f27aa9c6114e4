"""Segmenting by those of the names that a filter keeps, with every name at its place in the whole list."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pnpovss.names import Name
from pnpovss.results.labels import as_asked
from pnpovss.results.provenance import Provenance
from pnpovss.results.segmentation import Segmentation

if TYPE_CHECKING:
    from PIL import Image

    from pnpovss.segmenter import Segmenter

__all__ = ["segment_kept"]


def segment_kept(
    segmenter: "Segmenter", image: "Image.Image", names: Sequence[Name], kept: Sequence[int]
) -> Segmentation:
    """A result for all names, of which the model is asked only for some; labels and colours are those of all.

    Args:
        segmenter: the model and its settings.
        image: the photo.
        names: all.
        kept: positions of those to look for, ascending; there may be none.
    """
    if not kept:
        provenance = Provenance.of(segmenter.backbone, preset=segmenter.preset, config=segmenter.config)
        return Segmentation.of_nothing((image.height, image.width), tuple(names), None, provenance)
    result = segmenter(image, [names[i] for i in kept])
    return replace(
        result,
        labels=as_asked(result.labels, kept, len(names)),
        names=tuple(names),
        kept=tuple(kept[i] for i in result.kept),
        name_match=None,
    )
