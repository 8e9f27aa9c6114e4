"""Regions in the forms that other programs read. Pure functions of regions and names: none knows a `Segmentation`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from PIL import Image

from pnpovss.errors import MissingExtraError
from pnpovss.names import Name
from pnpovss.results import rle
from pnpovss.results.regions import Region

if TYPE_CHECKING:
    import supervision

__all__ = ["CocoRegion", "PipelineRegion", "coco", "detections", "name_rows", "pipeline"]


class CocoRegion(TypedDict):
    """One name's region, with the field names of COCO's result files."""

    category_id: int  # the region's label: 1 for the first name asked for, whatever of them is there
    category: str
    score: float  # mean probability over the region, [0, 1]
    area: int  # [px]
    bbox: list[int]  # x, y, width, height [px]
    segmentation: rle.Rle


class PipelineRegion(TypedDict):
    """One name's region, as transformers' image-segmentation pipeline gives it."""

    score: float
    label: str
    mask: Image.Image  # mode "L": 255 in the region, 0 elsewhere


def coco(regions: Sequence[Region], names: Sequence[Name], *, compressed: bool = True) -> list[CocoRegion]:
    """Run-length encoded regions.

    Args:
        regions: of these names.
        names: all that were asked for.
        compressed: counts as COCO's string, or as a list of numbers.
    """
    return [
        CocoRegion(
            category_id=region.index + 1,
            category=names[region.index].text,
            score=region.score,
            area=region.area,
            bbox=list(region.box),
            segmentation=rle.encode(region.mask, compressed=compressed),
        )
        for region in regions
    ]


def pipeline(regions: Sequence[Region], names: Sequence[Name]) -> list[PipelineRegion]:
    """A list like transformers' image-segmentation pipeline gives, one item per region."""
    return [
        PipelineRegion(
            score=region.score,
            label=names[region.index].text,
            mask=Image.fromarray(region.mask.astype(np.uint8) * 255),
        )
        for region in regions
    ]


def detections(regions: Sequence[Region], names: Sequence[Name], size: tuple[int, int]) -> "supervision.Detections":
    """Detections with one mask per region; class_id is the name's position among those asked for.

    Args:
        regions: of these names; there may be none.
        names: all that were asked for.
        size: (height, width) of the masks [px].

    Raises:
        MissingExtraError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise MissingExtraError("Export to supervision.Detections", "supervision") from error
    corners = [(x, y, x + width, y + height) for x, y, width, height in (region.box for region in regions)]
    return supervision.Detections(
        xyxy=np.array(corners, np.float32).reshape(-1, 4),
        mask=np.array([region.mask for region in regions], bool).reshape(-1, *size),
        confidence=np.array([region.score for region in regions], np.float32),
        class_id=np.array([region.index for region in regions], int),
        data={"class_name": np.array([names[region.index].text for region in regions], str)},
    )


def name_rows(
    names: Sequence[Name],
    kept: Sequence[int],
    shares: Sequence[float],
    match: Sequence[float] | None,
    regions: Sequence[Region],
) -> list[dict[str, Any]]:
    """What a record says of each name asked for, as JSON-ready values.

    Args:
        names: all that were asked for.
        kept: positions of those that were looked for.
        shares: of the pixels, in [0, 1], by name.
        match: probability in [0, 1] that the name is there, by name; None where nobody asked.
        regions: of those that have pixels.
    """
    found = {region["category_id"]: region for region in coco(regions, names)}
    rows = []
    for i, name in enumerate(names):
        region = found.get(i + 1)
        rows.append(
            {
                "name": name.text,
                "synonyms": list(name.synonyms),
                "label": i + 1,
                "kept": i in kept,
                "share": shares[i],
                "match": match[i] if match else None,
                "score": region["score"] if region else None,
                "bbox": region["bbox"] if region else None,
                "segmentation": region["segmentation"] if region else None,
            }
        )
    return rows
