"""COCO's average precision of masks, by pycocotools (the extra `coco`)."""

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pnpovss.errors import MissingExtraError
from pnpovss.results.regions import box_of
from pnpovss.results.rle import Rle, decode

__all__ = ["Marked", "average_precision", "require_pycocotools"]


@dataclass(frozen=True)
class Marked:
    """A thing in a photo, of the truth or found.

    Attributes:
        row: its class.
        mask: run-length encoded, compressed.
        score: of what was found, in [0, 1].
        crowd: of the truth, see `datasets.Thing`.
    """

    row: int
    mask: Rle
    score: float = 1.0
    crowd: bool = False


def require_pycocotools() -> None:
    """Say what to install.

    Raises:
        MissingExtraError: pycocotools is not there.
    """
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("COCO's average precision", "coco") from error


def average_precision(photos: Sequence[tuple[Sequence[Marked], Sequence[Marked]]]) -> Mapping[str, float]:
    """Average precision in [0, 1], the mean over the classes of the truth; NaN where there are none.

    Args:
        photos: of each, the truth and what was found.

    Returns:
        ap: over IoU from 0.5 to 0.95. ap50 and ap75: at 0.5 and 0.75. small, medium, large: `ap` of things below
        32 x 32 pixels, below 96 x 96, and from there on.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rows = sorted({thing.row for truth, _ in photos for thing in truth})
    truth: Any = COCO()  # its types want what only a file would hold
    found: Any = []
    truth.dataset = {
        "images": [{"id": i + 1} for i in range(len(photos))],
        "categories": [{"id": row + 1} for row in rows],
        "annotations": [],
    }
    for image, (things, guesses) in enumerate(photos, start=1):
        for each in (*things, *guesses):
            truth.dataset["images"][image - 1] |= dict(zip(("height", "width"), each.mask["size"], strict=True))
        for thing in things:
            mask = decode(thing.mask)
            area = int(mask.sum())
            truth.dataset["annotations"].append(
                {
                    **_entry(thing, image),
                    "id": len(truth.dataset["annotations"]) + 1,
                    "area": area,
                    "bbox": list(box_of(mask)) if area else [0, 0, 0, 0],
                    "iscrowd": int(thing.crowd),
                }
            )
        # No box: what is found with one gets its box's area from `loadRes`, and a false alarm the size of its box.
        found += [{**_entry(each, image), "score": each.score} for each in guesses]
    names = ("ap", "ap50", "ap75", "small", "medium", "large")
    if not found or not rows:
        return dict.fromkeys(names, 0.0 if rows else float("nan"))
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools' own, of NumPy 2
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(found), "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return {name: float(value) if value >= 0 else float("nan") for name, value in zip(names, judge.stats, strict=False)}


def _entry(thing: Marked, image: int) -> dict[str, Any]:
    return {"image_id": image, "category_id": thing.row + 1, "segmentation": dict(thing.mask)}
