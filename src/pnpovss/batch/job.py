"""The job: a photo in, its files out. The command line, services and clusters all call this one."""

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pnpovss.batch.events import Done, Failed, Outcome, Skipped, Task
from pnpovss.batch.filesets import FileSet, checksum, claimed
from pnpovss.batch.finished import why_anew
from pnpovss.batch.outputs import DEFAULT_OUTPUTS, json_bytes, output_files
from pnpovss.errors import ImageError, NamesError
from pnpovss.hints.doubts import doubts
from pnpovss.hints.looks_like import looks_like
from pnpovss.images import MAX_PIXELS, load_image
from pnpovss.names import Name
from pnpovss.presence.base import Photo
from pnpovss.results.provenance import Provenance
from pnpovss.results.segmentation import Segmentation

if TYPE_CHECKING:
    from PIL import Image

    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["Job"]


@dataclass(frozen=True)
class Job:
    """What is done with each photo.

    Attributes:
        segmenter: the model and its settings.
        names: what is looked for, in photos that have no names of their own.
        out: the folder that results go to.
        outputs: kinds of files, of `outputs.OUTPUTS`; the record is always written.
        presence: leaves out names before the model looks for them; None leaves that to the method.
        overwrite: whether files that were made from other photos, by others, or were changed by hand, may be replaced.
        redo: whether finished photos are segmented again.
        max_pixels: photos with more are refused.
    """

    segmenter: "Segmenter"
    names: tuple[Name, ...]
    out: Path
    outputs: tuple[str, ...] = DEFAULT_OUTPUTS
    presence: "PresenceFilter | None" = None
    overwrite: bool = False
    redo: bool = False
    max_pixels: int = MAX_PIXELS

    def run(self, task: Task) -> Outcome:
        """Segment one photo and write its files, unless that was done before, and whatever is wrong with it.

        Raises:
            NamesError: the model cannot read the job's names; that holds for every photo.
        """
        try:
            with claimed(self.out, task.stem) as files:
                return self._run(task, files)
        except NamesError as error:
            if task.names is None:
                raise
            return Failed.by(task, error)
        except Exception as error:
            return Failed.by(task, error)

    def _run(self, task: Task, files: FileSet) -> Done | Skipped:
        photo, names = os.path.realpath(task.photo), task.names or self.names
        content, before = _content(task.photo), _state(task.photo)
        anew = self._why_anew(files, content, names) if files.record else None
        if files.record and anew is None:
            return Skipped(task, files.record)
        image = load_image(task.photo, max_pixels=self.max_pixels)
        if _state(task.photo) != before:
            raise ImageError(f"{task.photo} was changed while it was read; segment it again")
        if not self.overwrite:
            files.refuse_foreign([file.suffix for file in output_files(self.outputs, names)], photo)
        result, decided = self._segment(image, names, task)
        made = output_files(self.outputs, names, result.kept)
        contents = {file.suffix: file.content(result, image) for file in made}
        record = {
            "photo": photo,
            "photo_sha256": content,
            "kinds": list(self.outputs),
            "files": [
                {"kind": file.kind, "file": f"{files.name}{file.suffix}", "sha256": checksum(contents[file.suffix])}
                for file in made
            ],
            **result.to_dict(),
            **decided,
        }
        files.replace(contents, json_bytes(record))
        return Done(task, record, (*doubts(result), *looks_like(result)), anew)

    @cached_property
    def _provenance(self) -> dict[str, Any]:
        return Provenance.of(
            self.segmenter.backbone.card, preset=self.segmenter.preset, config=self.segmenter.config
        ).as_dict()

    def _why_anew(self, files: FileSet, content: str, names: tuple[Name, ...]) -> str | None:
        if self.redo:
            return "asked for"
        if not files.is_complete():
            return "some of its files are missing"
        assert files.record is not None
        presence = self.presence.key if self.presence else None
        return why_anew(
            files.record,
            content=content,
            names=names,
            presence=presence,
            provenance=self._provenance,
            kinds=self.outputs,
        )

    def _segment(
        self, image: "Image.Image", names: tuple[Name, ...], task: Task
    ) -> tuple[Segmentation, dict[str, Any]]:
        """The result for all names, and what the record says of a filter's choice."""
        if self.presence is None:
            return self.segmenter(image, names, name_match=True), {}
        decided = self.presence.decide(Photo(image, task.photo.as_posix()), names)
        result = self.segmenter(image, names, present=decided.kept, name_match=True)
        scores = {name.text: round(score, 4) for name, score in zip(names, decided.scores, strict=True)}
        return result, {"presence": {"filter": self.presence.key, "scores": scores, "note": decided.note}}


def _content(photo: Path) -> str:
    """SHA-256 of a file; of what is no readable file it is that of nothing, for `load_image` says what is wrong."""
    digest = sha256()
    try:
        if stat.S_ISREG(os.stat(photo).st_mode):
            with open(photo, "rb", buffering=0) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except (OSError, ValueError):
        pass
    return digest.hexdigest()


def _state(photo: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced or written to."""
    try:
        told = os.stat(photo)
    except (OSError, ValueError):
        return None
    return told.st_ino, told.st_size, told.st_mtime_ns
