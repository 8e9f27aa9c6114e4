"""The tree of Pascal VOC: JPEGImages, SegmentationClass, Annotations with boxes, ImageSets, labelmap.txt."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from pnpovss.batch.export.masks import index_png
from pnpovss.batch.export.photos import flat_name, photo_file
from pnpovss.batch.export.registry import FormatSpec
from pnpovss.batch.export.run import Run, RunPhoto
from pnpovss.errors import InvalidInputError
from pnpovss.results.colours import palette
from pnpovss.results.regions import box_of

__all__ = ["VOC"]

_FOLDERS = ("JPEGImages", "SegmentationClass", "Annotations", "ImageSets/Segmentation", "ImageSets/Main")
_MOST = 254  # categories beside the background; VOC keeps 255 for pixels that do not count


def write(run: Run, folder: Path, photos: bool) -> Iterator[str]:
    """The tree, all photos in the subset "train"."""
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    colours = zip(["background", *run.categories], palette(len(run.categories)).tolist(), strict=True)
    rows = [f"{name}:{','.join(map(str, colour))}::\n" for name, colour in colours]
    (folder / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "".join(rows), "utf-8")
    with (folder / "ImageSets/Segmentation/train.txt").open("w", encoding="utf-8") as listed:
        for photo in run.photos():
            name = flat_name(photo.stem)
            suffix, content = photo_file(photo) if photos else (".jpg", None)
            if content is not None:
                (folder / "JPEGImages" / f"{name}{suffix}").write_bytes(content)
            (folder / "SegmentationClass" / f"{name}.png").write_bytes(index_png(photo.labels, len(run.categories)))
            _annotation(photo, f"{name}{suffix}").write(folder / "Annotations" / f"{name}.xml", "utf-8")
            listed.write(f"{name}\n")
            yield photo.stem
    lists = folder / "ImageSets"
    (lists / "Main/train.txt").write_bytes((lists / "Segmentation/train.txt").read_bytes())


def _annotation(photo: RunPhoto, file: str) -> "ElementTree.ElementTree[ElementTree.Element]":
    """A box per name that has pixels; corners count from 1 and are inside, as in VOC."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "folder").text = "JPEGImages"
    ElementTree.SubElement(root, "filename").text = file
    size = ElementTree.SubElement(root, "size")
    for tag, value in zip(("width", "height", "depth"), (photo.size[1], photo.size[0], 3), strict=True):
        ElementTree.SubElement(size, tag).text = str(value)
    ElementTree.SubElement(root, "segmented").text = "1"
    for region in photo.objects():
        left, top, width, height = box_of(region.mask)
        thing = ElementTree.SubElement(root, "object")
        for tag, text in (("name", region.name), ("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
            ElementTree.SubElement(thing, tag).text = text
        box, corners = ElementTree.SubElement(thing, "bndbox"), (left + 1, top + 1, left + width, top + height)
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            ElementTree.SubElement(box, tag).text = str(value)
    ElementTree.indent(root)
    return ElementTree.ElementTree(root)


def check(names: Sequence[str]) -> None:
    """Refuse names that the tree cannot hold.

    Raises:
        InvalidInputError: more names than a VOC mask has values for, or one that labelmap.txt cannot hold.
    """
    if len(names) > _MOST:
        raise InvalidInputError(f"VOC masks hold {_MOST} names at most, this run has {len(names)}; use coco")
    # A line of labelmap.txt is NAME:R,G,B:parts:actions, and one that begins with # is a comment; nothing is escaped.
    if wrong := [name for name in names if ":" in name or name.startswith("#")]:
        raise InvalidInputError(
            f"VOC's labelmap.txt holds no name with a colon or with # before it, this run has {wrong[0]!r}; use coco, "
            "or segment with another name"
        )


VOC = FormatSpec("voc", "the tree of Pascal VOC, with index masks and boxes", write, photos=False, check=check)
