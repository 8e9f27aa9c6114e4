"""What all figures share: matplotlib without a window, sizes of text, and files that are the same each time."""

import io
import textwrap
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pnpovss.errors import ConfigError, MissingExtraError
from pnpovss.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "FAINT",
    "FORMATS",
    "INK",
    "MOST",
    "TEXT",
    "bare",
    "figure_around",
    "figure_bytes",
    "figure_format",
    "figure_picture",
    "new_figure",
    "panel_size",
    "shrink",
    "wrapped",
]

FORMATS = ("png", "svg", "pdf")
INK, FAINT = "#202020", "#767676"  # on white, both at least 4.5 : 1
TEXT = 10
"""Size of letters [pt]; figures are sized in inches, so that it does not follow from the photo's pixels."""

MOST = 24
"""Names that a figure shows one by one."""

_LARGEST = 1280  # longer side of a photo in a figure [px]
_DPI = 160
_LINE = 26  # letters in a line over a panel of 3 inches
_NAME = 200  # letters of a name that are shown; the longest of WordNet has 71
# Text stays text in SVG and PDF, and two runs give the same bytes.
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "pnpovss", "pdf.fonttype": 42, "font.size": TEXT}
_style_lock = threading.Lock()


def new_figure(width: float, height: float, feature: str = "figures") -> "Figure":
    """A figure of so many inches, without a window system and without matplotlib's global state; notebooks show it.

    Raises:
        MissingExtraError: matplotlib is not installed; `feature` needs it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(feature, "figures") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    figure._repr_png_ = partial(figure_bytes, figure)  # type: ignore[attr-defined]  # what notebooks ask for
    return figure


def figure_around(axes: "Axes") -> "Figure":
    """The whole figure that axes are part of."""
    part: Any = axes.get_figure()
    return part.figure


def panel_size(photo: UInt8[np.ndarray, "h w 3"], width: float) -> tuple[float, float]:
    """(width, height) in inches of a panel that holds the photo: as wide as asked, and at most as high as that."""
    height = width * photo.shape[0] / photo.shape[1]
    return (width, height) if height <= width else (width * width / height, width)


def bare(axes: "Axes", title: str, note: str = "", *, faint: bool = False, letters: int = _LINE) -> None:
    """Axes without ticks or frame, under a title with a note in grey below it; both are wrapped, neither is cut."""
    axes.set_axis_off()
    lines = wrapped(note, letters + 6)
    above = 4 + 1.25 * (TEXT - 1) * (lines.count("\n") + 1) if note else 4
    axes.set_title(wrapped(title, letters), fontsize=TEXT, color=FAINT if faint else INK, pad=above)
    if note:
        place = {"xy": (0.5, 1), "xytext": (0, 3), "xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(lines, **place, ha="center", va="bottom", fontsize=TEXT - 1, color=FAINT, annotation_clip=False)


def wrapped(text: str, letters: int = _LINE) -> str:
    """A text in lines of at most so many letters; harmless to show, and no formula where it holds dollar signs."""
    shown = printable(text if len(text) <= _NAME else f"{text[:_NAME]}...").replace("$", r"\$")
    return "\n".join(textwrap.wrap(shown, letters)) or shown


def shrink(pixels: np.ndarray, *, labels: bool = False) -> np.ndarray:
    """A photo, or a label map, at the size that figures hold: the mean of pixels' areas, or the nearest label."""
    factor = _LARGEST / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST if labels else cv2.INTER_AREA)


def figure_format(word: str) -> str:
    """A form that figures are written in, once it is sure that they can be made.

    Raises:
        ConfigError: another form.
        MissingExtraError: matplotlib is not installed.
    """
    if word not in FORMATS:
        raise ConfigError(f"a figure is written as {', '.join(FORMATS)}; got {word!r}")
    new_figure(1, 1)
    return word


def figure_bytes(figure: "Figure", form: str = "png", mark: str = "") -> bytes:
    """A figure as a file: letters in SVG and PDF are text, and no date makes two of them differ.

    Args:
        figure: of matplotlib.
        form: png, svg or pdf.
        mark: words that the file holds unseen, such as who made it.

    Raises:
        ConfigError: another form.
    """
    figure_format(form)
    from matplotlib import rc_context

    told: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
    if mark:
        told[form][{"svg": "Description", "pdf": "Subject", "png": "Comment"}[form]] = mark
    file = io.BytesIO()
    with _style_lock, rc_context(_STYLE):  # the style is the process's: a thread that ends would take it from another
        figure.savefig(file, format=form, dpi=_DPI, metadata=told[form], bbox_inches="tight", pad_inches=0.06)
    return _without_spaces_at_ends(file.getvalue()) if form == "svg" else file.getvalue()


def _without_spaces_at_ends(svg: bytes) -> bytes:
    return b"\n".join(line.rstrip() for line in svg.split(b"\n"))


def figure_picture(figure: "Figure", dpi: int = 110) -> Image.Image:
    """A figure as an RGB picture, for a frame of an animation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
