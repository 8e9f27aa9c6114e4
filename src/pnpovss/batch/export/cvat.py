"""CVAT's own XML, "CVAT for images 1.1": annotations.xml with masks as runs, and images/ for the task.

CVAT's runs go through a mask's own box row by row, and begin with the pixels that are not in it.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from pnpovss.batch.export.photos import flat_name, photo_file, suffixed
from pnpovss.batch.export.registry import FormatSpec
from pnpovss.batch.export.run import Found, Run
from pnpovss.results import rle
from pnpovss.results.colours import colour
from pnpovss.results.regions import box_of

__all__ = ["CVAT"]


def write(run: Run, folder: Path, photos: bool) -> Iterator[str]:
    """annotations.xml, written as the photos come, and images/, whose files have the names that it tells."""
    (folder / "images").mkdir()
    with (folder / "annotations.xml").open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        file.write(f"  <meta>\n    <task>\n      <labels>\n{_labels(run)}      </labels>\n    </task>\n  </meta>\n")
        for number, photo in enumerate(run.photos()):
            name = suffixed(flat_name(photo.stem), photo)
            if photos:
                suffix, content = photo_file(photo)
                name = f"{flat_name(photo.stem)}{suffix}"
                (folder / "images" / name).write_bytes(content)
            height, width = photo.size
            file.write(f'  <image id="{number}" name={quoteattr(name)} width="{width}" height="{height}">\n')
            file.writelines(map(_mask, photo.objects()))
            file.write("  </image>\n")
            yield photo.stem
        file.write("</annotations>\n")


def _labels(run: Run) -> str:
    return "".join(
        f"        <label><name>{escape(name)}</name><color>#{'{:02x}{:02x}{:02x}'.format(*colour(number - 1))}</color>"
        "<type>mask</type><attributes></attributes></label>\n"
        for name, number in run.categories.items()
    )


def _mask(region: Found) -> str:
    left, top, width, height = box_of(region.mask)
    inside = region.mask[top : top + height, left : left + width]
    runs = ", ".join(map(str, rle.encode(inside.T, compressed=False)["counts"]))
    return (
        f'    <mask label={quoteattr(region.name)} source="auto" occluded="0" z_order="0" '
        f'left="{left}" top="{top}" width="{width}" height="{height}" rle="{runs}"></mask>\n'
    )


CVAT = FormatSpec("cvat", "CVAT for images 1.1: annotations.xml with masks, and images/", write, photos=False)
