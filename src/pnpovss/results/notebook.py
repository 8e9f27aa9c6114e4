"""How a result shows itself where it is the last line of a notebook's cell."""

import base64
import io
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from pnpovss.images import ImageSource
from pnpovss.results.colours import colour, palette
from pnpovss.results.legend import entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ShowsItself"]

_GROUND = (235, 232, 226)
_WIDEST = 480  # pixels of the picture's longer side


class ShowsItself:
    """What notebooks ask of a `Segmentation`, which does not keep its photo: regions in their colours, and a table."""

    def __repr__(self: Any) -> str:
        """One line: size, and what was found."""
        found = [f"{name} {share:.0%}" for name, share in zip(self.names, self.shares, strict=True) if share > 0]
        height, width = self.labels.shape
        return f"<Segmentation of {width} x {height} pixels: {', '.join(found) or 'nothing found'}>"

    def show(self: Any, photo: ImageSource, kind: Literal["heat", "regions", "words"] = "heat") -> "Figure":
        """Heat maps side by side, or another figure of the photo; see `figure`."""
        return self.figure(photo, kind)

    def _picture(self: Any) -> Image.Image:
        colours = palette(len(self.names))
        colours[0] = _GROUND
        picture = Image.fromarray(colours[self.labels])
        picture.thumbnail((_WIDEST, _WIDEST), Image.Resampling.NEAREST)
        return picture

    def _repr_png_(self: Any) -> bytes:
        """The regions in their colours."""
        file = io.BytesIO()
        self._picture().save(file, "PNG")
        return file.getvalue()

    def _repr_html_(self: Any) -> str:
        """The same beside a table of names, shares and match scores."""
        picture = base64.b64encode(self._repr_png_()).decode("ascii")
        rows = "".join(self._row(i) for i in range(len(self.names)))
        return (
            f'<div style="display:flex;gap:1em;align-items:start"><img alt="{escape(repr(self), quote=True)}" '
            f'src="data:image/png;base64,{picture}"><table><tr><th></th><th>name</th><th>share</th><th>match</th></tr>'
            f"{rows}</table></div>"
        )

    def _row(self: Any, index: int) -> str:
        match = None if self.name_match is None else self.name_match[index]
        told = entry(str(self.names[index]), self.shares[index], kept=index in self.kept, match=None)
        swatch = "#{:02x}{:02x}{:02x}".format(*colour(index)) if told.drawn else "transparent"
        faint = "" if told.drawn else ' style="opacity:.55"'
        score = "" if match is None else f"{match:.2f}"
        return (
            f'<tr{faint}><td style="background:{swatch};min-width:1.2em"></td><td>{escape(told.name)}</td>'
            f"<td>{escape(told.note)}</td><td>{score}</td></tr>"
        )
