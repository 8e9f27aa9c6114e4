"""A segmentation in the forms that other programs read. Pure functions: none writes to the disk but `save`."""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pnpovss.config import Config
from pnpovss.errors import ImageError, InvalidInputError, MissingExtraError
from pnpovss.files.writing import write_all
from pnpovss.images import ImageSource, load_image
from pnpovss.names import Name
from pnpovss.results import drawing, rle
from pnpovss.results.segmentation import HeatMaps, Provenance, Segmentation

if TYPE_CHECKING:
    import supervision

__all__ = [
    "CocoRegion",
    "PipelineRegion",
    "heat_picture",
    "load",
    "npz_bytes",
    "overlay",
    "png_bytes",
    "save",
    "to_coco_rle",
    "to_dict",
    "to_pipeline",
    "to_png",
    "to_supervision",
]

FORMAT = "pnpovss/1"  # of `to_dict` and `save`; the number grows when a reader of the old form would be misled


class CocoRegion(TypedDict):
    """One name's region, with the field names of COCO's result files."""

    category_id: int  # the region's label, from 1 on
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


def to_png(result: Segmentation) -> Image.Image:
    """The label map as a picture: one byte a pixel, with a palette; 16-bit gray beyond 255 names."""
    if len(result.names) > 255:
        return Image.fromarray(result.labels.astype(np.uint16))
    picture = Image.fromarray(result.labels.astype(np.uint8)).convert("L")
    picture.putpalette(drawing.palette(len(result.names)).tobytes())
    return picture


def png_bytes(result: Segmentation) -> bytes:
    """`to_png` as a file; its text fields "names" (JSON, by label from 0) and "software" say what the labels mean."""
    info = PngInfo()
    info.add_itxt("names", json.dumps(["background", *map(str, result.names)], ensure_ascii=False))
    info.add_text("software", f"pnpovss {result.provenance.versions.get('pnpovss', '')}".strip())
    file = io.BytesIO()
    to_png(result).save(file, "PNG", pnginfo=info, optimize=True)
    return file.getvalue()


def overlay(result: Segmentation, photo: ImageSource) -> Image.Image:
    """The photo with the regions tinted and outlined, over a legend.

    Args:
        result: of this photo.
        photo: anything `load_image` takes.

    Raises:
        ImageError: the photo has another size than the label map.
    """
    upright = _photo_of(result, photo)
    return drawing.region_picture(upright, result.labels, [str(name) for name in result.names], result.shares)


def heat_picture(result: Segmentation, photo: ImageSource, name: str) -> Image.Image:
    """The photo under the heat map of a name, or of a word of the prompt.

    Raises:
        ImageError: the photo has another size than the label map.
        KeyError: neither a name nor a word of the prompt.
    """
    return drawing.heat_picture(_photo_of(result, photo), result.heatmap(name), name)


def to_coco_rle(result: Segmentation, *, compressed: bool = True) -> list[CocoRegion]:
    """A region for each name that has pixels, run-length encoded.

    Args:
        result: a segmentation.
        compressed: counts as COCO's string, or as a list of numbers.
    """
    return [
        CocoRegion(
            category_id=i + 1,
            category=str(name),
            score=_score(result, i, mask),
            area=int(mask.sum()),
            bbox=_box(mask),
            segmentation=rle.encode(mask, compressed=compressed),
        )
        for i, name, mask in _regions(result)
    ]


def to_pipeline(result: Segmentation) -> list[PipelineRegion]:
    """A list like transformers' image-segmentation pipeline gives, one item for each name that has pixels."""
    return [
        PipelineRegion(
            score=_score(result, i, mask), label=str(name), mask=Image.fromarray(mask.astype(np.uint8) * 255)
        )
        for i, name, mask in _regions(result)
    ]


def to_supervision(result: Segmentation) -> "supervision.Detections":
    """Detections with one mask for each name that has pixels; class_id is the name's position in `names`.

    Raises:
        MissingExtraError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise MissingExtraError("Export to supervision.Detections", "supervision") from error
    regions = _regions(result)
    boxes = [_box(mask) for _, _, mask in regions]
    return supervision.Detections(
        xyxy=np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float32).reshape(-1, 4),
        mask=np.array([mask for _, _, mask in regions], bool).reshape(-1, *result.size),
        confidence=np.array([_score(result, i, mask) for i, _, mask in regions], np.float32),
        class_id=np.array([i for i, _, _ in regions], int),
        data={"class_name": np.array([str(name) for _, name, _ in regions], str)},
    )


def to_dict(result: Segmentation) -> dict[str, Any]:
    """All but the score and heat maps, as JSON-ready values: names with shares and regions, and the provenance."""
    regions = {region["category_id"]: region for region in to_coco_rle(result)}
    names = []
    for i, name in enumerate(result.names):
        region = regions.get(i + 1)
        names.append(
            {
                "name": name.text,
                "synonyms": list(name.synonyms),
                "label": i + 1,
                "share": result.shares[i],
                "match": result.name_match[i] if result.name_match else None,
                "score": region["score"] if region else None,
                "bbox": region["bbox"] if region else None,
                "segmentation": region["segmentation"] if region else None,
            }
        )
    return {
        "format": FORMAT,
        "height": result.size[0],
        "width": result.size[1],
        "match": result.match,
        "background": {"label": 0, "share": float((result.labels == 0).mean())} if result.has_background else None,
        "names": names,
        "provenance": result.provenance.as_dict(),
    }


def npz_bytes(result: Segmentation) -> bytes:
    """Everything as an .npz file: label, score and heat maps, names and provenance."""
    meta = {
        "format": FORMAT,
        "names": [list(name.all) for name in result.names],
        "words": list(result.heatmaps.words),
        "match": result.match,
        "name_match": result.name_match,
        "provenance": result.provenance.as_dict(),
    }
    arrays = {
        "labels": result.labels,
        "scores": result.scores,
        "name_heatmaps": result.heatmaps.names,
        "word_heatmaps": result.heatmaps.word_maps,
        "meta": np.array(json.dumps(meta)),
    }
    if result.background_score is not None:
        arrays["background_score"] = result.background_score
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def save(result: Segmentation, path: str | Path) -> None:
    """Write `npz_bytes` to a file that `load` reads.

    Raises:
        OutputError: it cannot be written there; what was there before stays.
    """
    write_all({Path(path): npz_bytes(result)})


def load(path: str | Path) -> Segmentation:
    """Read what `save` wrote.

    Raises:
        InvalidInputError: missing, damaged, or not written by `save`.
    """
    try:
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        meta = json.loads(str(arrays["meta"]))
        if meta["format"] != FORMAT:
            raise InvalidInputError(f"{path} has format {meta['format']!r}, this version reads {FORMAT!r}")
        return _from_saved(meta, arrays)
    except InvalidInputError:
        raise
    except Exception as error:  # NumPy, zipfile, zlib and json raise a dozen kinds on damaged files
        raise InvalidInputError(f"{path} is no saved segmentation ({type(error).__name__}: {error})") from error


def _from_saved(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Segmentation:
    provenance = meta["provenance"]
    provenance |= {"config": Config.model_validate(provenance["config"]), "prompts": tuple(provenance["prompts"])}
    return Segmentation(
        labels=arrays["labels"],
        scores=arrays["scores"],
        background_score=arrays.get("background_score"),
        names=tuple(Name(text, tuple(synonyms)) for text, *synonyms in meta["names"]),
        heatmaps=HeatMaps(arrays["name_heatmaps"], tuple(meta["words"]), arrays["word_heatmaps"]),
        match=meta["match"],
        name_match=None if meta["name_match"] is None else tuple(meta["name_match"]),
        provenance=Provenance(**provenance),
    )


def _regions(result: Segmentation) -> list[tuple[int, Name, np.ndarray]]:
    """(position, name, Bool "h w") of each name that has pixels."""
    return [(i, name, result.labels == i + 1) for i, name in enumerate(result.names) if result.shares[i] > 0]


def _score(result: Segmentation, index: int, mask: np.ndarray) -> float:
    return float(result.scores[index][mask].mean(dtype=np.float64))


def _box(mask: np.ndarray) -> list[int]:
    """x, y, width, height of the smallest box around a mask that is not empty [px]."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def _photo_of(result: Segmentation, source: ImageSource) -> Image.Image:
    photo = load_image(source, max_pixels=None)  # it was accepted once
    height, width = result.size
    if photo.size != (width, height):
        raise ImageError(
            f"the segmentation is of a photo of {width} x {height} pixels, this one has "
            f"{photo.width} x {photo.height}; give the same photo"
        )
    return photo
