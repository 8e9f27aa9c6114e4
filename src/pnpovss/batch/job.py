"""The job: a photo in, its files out. The command line, services and clusters all call this one."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pnpovss.batch.events import Done, Failed, Outcome, Task
from pnpovss.batch.outputs import DEFAULT_OUTPUTS, RECORD, json_bytes, output_files
from pnpovss.batch.photos import refuse_foreign
from pnpovss.errors import NamesError, PresenceError
from pnpovss.files.writing import write_all
from pnpovss.hints.doubts import doubts
from pnpovss.hints.looks_like import looks_like
from pnpovss.images import MAX_PIXELS, load_image
from pnpovss.names import Name
from pnpovss.presence.base import Photo

if TYPE_CHECKING:
    from PIL import Image

    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["Job", "run_all"]


@dataclass(frozen=True)
class Job:
    """What is done with each photo.

    Attributes:
        segmenter: the model and its settings.
        names: what is looked for, in photos that have no names of their own.
        out: the folder that results go to.
        outputs: kinds of files, of `outputs.OUTPUTS`; the record is always written.
        presence: leaves out names before the model looks for them; None leaves that to the method.
        overwrite: whether files that were made from other photos, or by others, may be replaced.
        max_pixels: photos with more are refused.
    """

    segmenter: "Segmenter"
    names: tuple[Name, ...]
    out: Path
    outputs: tuple[str, ...] = DEFAULT_OUTPUTS
    presence: "PresenceFilter | None" = None
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS

    def run(self, task: Task) -> Outcome:
        """Segment one photo and write its files, whatever is wrong with it.

        Raises:
            NamesError: the model cannot read the job's names; that holds for every photo.
        """
        try:
            return self._run(task)
        except NamesError as error:
            if task.names is None:
                raise
            return Failed.by(task, error)
        except Exception as error:
            return Failed.by(task, error)

    def _run(self, task: Task) -> Done:
        image = load_image(task.photo, max_pixels=self.max_pixels)
        names, decided = self._narrow(image, task)
        record_file = self.out / f"{task.stem}{RECORD}"
        files = output_files(self.outputs, names)
        if not self.overwrite:
            there = [self.out / f"{task.stem}{file.suffix}" for file in files]
            refuse_foreign([*there, record_file], record_file, task.photo)
        result = self.segmenter(image, names, name_match=True)
        contents = {f"{task.stem}{file.suffix}": file.content(result, image) for file in files}
        record = {
            "photo": os.path.realpath(task.photo),
            "files": [{"kind": file.kind, "file": name} for file, name in zip(files, contents, strict=True)],
            **result.to_dict(),
            **decided,
        }
        write_all({**{self.out / name: content for name, content in contents.items()}, record_file: json_bytes(record)})
        return Done(task, record, (*doubts(result), *looks_like(result)))

    def _narrow(self, image: "Image.Image", task: Task) -> tuple[tuple[Name, ...], dict[str, Any]]:
        """The names to ask for in one photo, and what the record says of the choice."""
        names = task.names or self.names
        if self.presence is None:
            return names, {}
        decided = self.presence.decide(Photo(image, task.photo.as_posix()), names)
        if not decided.kept:
            reason = decided.note or "none of the names is in it"
            raise PresenceError(f"{task.photo}: {self.presence.key} says: {reason}; nothing to segment")
        scores = {name.text: round(score, 4) for name, score in zip(names, decided.scores, strict=True)}
        kept = tuple(names[i] for i in decided.kept)
        return kept, {"presence": {"filter": self.presence.key, "scores": scores, "note": decided.note}}


def run_all(job: Job, tasks: Iterable[Task]) -> Iterator[Outcome]:
    """Every photo in turn; what is wrong with one does not end the others.

    Raises:
        NamesError: the model cannot read the job's names.
    """
    return map(job.run, tasks)
