"""The pictures of one photo's steps as files: a set that replaces its own earlier one, and nobody else's files."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pnpovss.errors import OutputError
from pnpovss.files.marks import bears, same
from pnpovss.files.writing import write_all
from pnpovss.results.figures.canvas import FORMATS, figure_bytes

if TYPE_CHECKING:
    from pnpovss.results.steps import Steps

__all__ = ["StepFiles"]

_MADE_BY = "pnpovss explain of "  # then a few digits of the photo's path: two photos may have one stem


@dataclass(frozen=True)
class StepFiles:
    """Where the pictures go.

    Attributes:
        photo: whose steps they show.
        folder: they lie in it.
        figure: format of the figures: png, svg or pdf.
        animation: format of the passes in motion: webp, gif or none.
    """

    photo: Path
    folder: Path
    figure: str = "png"
    animation: str = "webp"

    def check(self, *, overwrite: bool) -> None:
        """Refuse to replace other files, before anything is computed.

        Raises:
            OutputError: pictures of another photo, or files of somebody else, are there and may not be replaced; or the
                photo itself is.
        """
        kinds = [f"steps.{self.figure}", f"passes.{self.figure}"]
        kinds += [] if self.animation == "none" else [f"passes.{self.animation}"]
        for path in map(self._path, kinds):
            if same(path, self.photo):
                raise OutputError(f"{path} is the photo itself; choose another folder with --out")
            if overwrite or not os.path.lexists(path) or bears(path, self._mark.encode()):
                continue
            whose = "shows another photo" if bears(path, _MADE_BY.encode()) else "was not made by `pnpovss explain`"
            raise OutputError(f"{path} {whose}; choose another folder with --out, or replace it with --overwrite")

    def write(self, steps: "Steps") -> list[Path]:
        """Write the pictures, in the place of all that showed the steps of this photo here before.

        Returns:
            The files, in order.

        Raises:
            OutputError: they cannot be written.
        """
        files = {self._path(f"steps.{self.figure}"): figure_bytes(steps.figure(self.photo), self.figure, self._mark)}
        if len(steps.passes) > 1:
            passes = figure_bytes(steps.passes_figure(self.photo), self.figure, self._mark)
            files[self._path(f"passes.{self.figure}")] = passes
            if self.animation != "none":
                moving = steps.animation(self.photo, self.animation, self._mark)
                files[self._path(f"passes.{self.animation}")] = moving
        write_all(files)
        every = [*(f"{kind}.{form}" for kind in ("steps", "passes") for form in FORMATS), "passes.webp", "passes.gif"]
        for path in map(self._path, every):  # of other settings or names, they would be taken for these
            if path not in files and bears(path, self._mark.encode()):
                path.unlink(missing_ok=True)
        return list(files)

    def _path(self, kind: str) -> Path:
        return self.folder / f"{self.photo.stem}.{kind}"

    @property
    def _mark(self) -> str:
        return _MADE_BY + sha256(os.fsencode(self.photo.resolve())).hexdigest()[:16]
