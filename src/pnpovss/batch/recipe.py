"""All that a process has to be told to make the job on its own: values only, fit to be sent to another machine."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pnpovss.batch.model import ModelChoice
from pnpovss.errors import PresenceError
from pnpovss.names import Name

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pnpovss.batch.job import Job
    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["EVERYTHING", "FilterChoice", "Recipe"]

EVERYTHING = "all"  # no filter


@dataclass(frozen=True)
class FilterChoice:
    """Which filter of names decides, and how.

    Attributes:
        spec: as it is written on the command line.
        settings: of a filter that has some.
        device: where `clip` computes.
        local_files_only: whether `clip` must not ask a hub.
        masks: whether the photos have masks, which `oracle` needs; then `all` is a filter, too, for the record.
        photos: paths or URLs of all that will be asked about, as tasks have them, where that is known and a filter is
            asked; they stay in memory.
    """

    spec: str = EVERYTHING
    settings: "BaseModel | None" = None
    device: str = "auto"
    local_files_only: bool = False
    masks: bool = False
    photos: tuple[str, ...] = ()

    @property
    def is_none(self) -> bool:
        """Whether every name is asked for, and nothing said of it."""
        return self.spec == EVERYTHING and not self.masks

    @property
    def asks_model(self) -> bool:
        """Whether it asks the model that segments, which is then loaded first.

        Raises:
            PresenceError: an unknown filter, or `oracle` without masks.
        """
        if self.is_none:
            return False
        from pnpovss.presence import parse_presence

        spec = parse_presence(self.spec).spec
        if spec.needs_truth and not self.masks:
            raise PresenceError(
                f"{self.spec} names come from masks, and photos have none; use another filter, such as itm"
            )
        return spec.asks_model

    def make(self, segmenter: "Segmenter | None" = None) -> "PresenceFilter | None":
        """The filter; None without one.

        Args:
            segmenter: whose model is asked, by filters that do.

        Raises:
            PresenceError: it lacks what it needs.
            CheckpointError: a checkpoint that cannot be had.
        """
        if self.is_none:
            return None
        from pnpovss.backbones.base import LoadOptions
        from pnpovss.presence import PresenceContext, parse_presence

        return parse_presence(self.spec).make(
            PresenceContext(
                backbone=segmenter.backbone if segmenter else None,
                config=segmenter.config if segmenter else None,
                settings=self.settings,
                load=LoadOptions.parse(self.device, local_files_only=self.local_files_only),
                photos=self.photos,
            )
        )


@dataclass(frozen=True)
class Recipe:
    """What `Job` holds, as choices; see there."""

    choice: ModelChoice
    names: tuple[Name, ...]
    out: Path | str
    outputs: tuple[str, ...]
    filter: FilterChoice
    overwrite: bool
    redo: bool
    retry_failed: bool
    max_pixels: int

    def on(self, device: str) -> "Recipe":
        """The same on another device."""
        return replace(self, choice=replace(self.choice, device=device), filter=replace(self.filter, device=device))

    def open(self, made: "PresenceFilter | None" = None) -> "Job":
        """Load the model and make the job.

        Args:
            made: the filter, where it is made already.
        """
        from pnpovss.batch.job import Job

        segmenter = self.choice.load(share_encodings=self.filter.asks_model)
        return Job(
            segmenter,
            self.names,
            self.out,
            self.outputs,
            made or self.filter.make(segmenter),
            self.overwrite,
            self.redo,
            self.retry_failed,
            self.max_pixels,
        )
