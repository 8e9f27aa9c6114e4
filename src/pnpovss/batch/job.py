"""The job: a photo in, its files out. The command line, services and clusters all call this one."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from pnpovss._version import __version__
from pnpovss.batch.events import Done, Failed, Outcome, Skipped, Task
from pnpovss.batch.filesets import claimed
from pnpovss.batch.finished import why_anew
from pnpovss.batch.outputs import DEFAULT_OUTPUTS, json_bytes, output_files
from pnpovss.batch.photo_files import PhotoFiles, checksum
from pnpovss.batch.sources import NOTHING, ChangedPhoto, identity, source_of
from pnpovss.errors import ImageError, NamesError, OutputError
from pnpovss.files.json import to_json
from pnpovss.hints.doubts import doubts
from pnpovss.hints.looks_like import looks_like
from pnpovss.images import MAX_PIXELS
from pnpovss.names import Name
from pnpovss.presence.base import Photo
from pnpovss.results.provenance import Provenance
from pnpovss.results.segmentation import Segmentation

if TYPE_CHECKING:
    from PIL import Image

    from pnpovss.presence.base import PresenceFilter
    from pnpovss.segmenter import Segmenter

__all__ = ["Begun", "Job"]


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Begun:
    """A photo between two steps.

    Attributes:
        task: the photo.
        claim: ends the claim on its files when it is closed.
        files: its files, claimed.
        content: its checksum.
        image: its pixels.
        names: what is looked for in it.
        anew: why it is segmented again although it was finished.
        result: once it is segmented.
        decided: what the record says of a filter's choice.
    """

    task: Task
    claim: ExitStack
    files: PhotoFiles
    content: str
    image: "Image.Image"
    names: tuple[Name, ...]
    anew: str | None
    result: Segmentation | None = None
    decided: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What is done with each photo.

    Attributes:
        segmenter: the model and its settings.
        names: what is looked for, in photos that have no names of their own.
        out: the folder that results go to, or its URL.
        outputs: kinds of files, of `outputs.OUTPUTS`; the record is always written.
        presence: leaves out names before the model looks for them; None leaves that to the method.
        overwrite: whether files that were made from other photos, by others, or were changed by hand, may be replaced.
        redo: whether finished photos are segmented again.
        retry_failed: whether photos are tried again that failed before, for a reason of their own, as they are now.
        max_pixels: photos with more are refused.
    """

    segmenter: "Segmenter"
    names: tuple[Name, ...]
    out: Path | str
    outputs: tuple[str, ...] = DEFAULT_OUTPUTS
    presence: "PresenceFilter | None" = None
    overwrite: bool = False
    redo: bool = False
    retry_failed: bool = False
    max_pixels: int = MAX_PIXELS

    def run(self, task: Task) -> Outcome:
        """Segment one photo and write its files, unless that was done before, and whatever is wrong with it.

        Raises:
            NamesError: the model cannot read the job's names; that holds for every photo.
        """
        begun = self.begin(task)
        seen = self.look(begun) if isinstance(begun, Begun) else begun
        return self.finish(seen) if isinstance(seen, Begun) else seen

    # The three steps of `run`, for callers that do them at the same time for different photos. After the first, the
    # photo's files are claimed; an outcome, or an exception, ends the claim.

    def begin(self, task: Task) -> "Begun | Outcome":
        """Read the photo, unless it is finished."""
        return self._guarded(task, ExitStack(), lambda claim: self._begin(task, claim))

    def look(self, begun: "Begun") -> "Begun | Outcome":
        """Segment it.

        Raises:
            NamesError: the model cannot read the job's names; that holds for every photo.
        """
        return self._guarded(begun.task, begun.claim, lambda claim: self._look(begun))

    def finish(self, begun: "Begun") -> Outcome:
        """Write its files."""
        return self._guarded(begun.task, begun.claim, lambda claim: self._finish(begun))

    def _guarded(self, task: Task, claim: ExitStack, step: "Callable[[ExitStack], T]") -> "T | Failed":
        """What a step gives; the claim goes on only where the photo does."""
        try:
            given = step(claim)
        except Exception as error:
            claim.close()
            if isinstance(error, NamesError) and task.names is None:
                raise
            return Failed.by(task, error)
        except BaseException:
            claim.close()
            raise
        if not isinstance(given, Begun):
            claim.close()
        return given

    def _begin(self, task: Task, claim: ExitStack) -> "Begun | Skipped | Failed":
        files = claim.enter_context(claimed(self.out, task.stem))
        names = task.names or self.names
        source = source_of(task.photo)
        content = source.content
        anew = self._why_anew(files, content, names) if files.record else None
        if files.record and anew is None:
            place = _place(task.photo)
            if {key: files.record[key] for key in _PLACE if key in files.record} != place:  # moved; exports look there
                files.record = {
                    "photo": "",
                    **{key: told for key, told in files.record.items() if key not in _PLACE},
                    **place,
                }
                files.put_record(json_bytes(files.record))
            files.forget_failure()  # of another content that was there for a while
            return Skipped(task, files.record)
        told = self._failed_before(files, content, names)
        if told and not (self.redo or self.retry_failed or task.given_up):
            return Failed(task, f"{told} (failed before; --retry-failed tries it again)", "")
        with self._noting(task, files, content, names):
            if task.given_up:
                raise ImageError(task.given_up)
            image = source.load(self.max_pixels)
        if not self.overwrite:
            suffixes = [file.suffix for file in output_files(self.outputs, names)]
            files.refuse_foreign(suffixes, identity(task.photo), content)
        return Begun(task, claim, files, content, image, names, anew)

    def _look(self, begun: "Begun") -> "Begun":
        with self._noting(begun.task, begun.files, begun.content, begun.names):
            result, decided = self._segment(begun.image, begun.names, begun.task)
        return replace(begun, result=result, decided=decided)

    def _finish(self, begun: "Begun") -> Done:
        result = begun.result
        assert result is not None  # `look` was called
        made = output_files(self.outputs, begun.names, result.kept)
        contents = {file.suffix: file.content(result, begun.image) for file in made}
        hints = _some((*doubts(result, self.segmenter.backbone.card), *looks_like(result)))
        record = {
            **_place(begun.task.photo),
            "photo_sha256": begun.content,
            "kinds": list(self.outputs),
            "files": [
                {
                    "kind": file.kind,
                    "file": f"{begun.files.name}{file.suffix}",
                    "sha256": checksum(contents[file.suffix]),
                }
                for file in made
            ],
            **result.to_dict(),
            **begun.decided,
            "hints": list(hints),
        }
        begun.files.replace(contents, json_bytes(record))
        return Done(begun.task, record, hints, begun.anew)

    @cached_property
    def _provenance(self) -> dict[str, Any]:
        return Provenance.of(
            self.segmenter.backbone.card,
            preset=self.segmenter.preset,
            config=self.segmenter.config,
            settings_source=self.segmenter.settings_source,
        ).as_dict()

    def _why_anew(self, files: PhotoFiles, content: str, names: tuple[Name, ...]) -> str | None:
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

    @contextmanager
    def _noting(self, task: Task, files: PhotoFiles, content: str, names: tuple[Name, ...]) -> Iterator[None]:
        """Write down what is wrong with the photo, or with its own names, so that a rerun need not find out again.

        What would hold for every photo is not written down, nor what may be otherwise the next time: a file that cannot
        be read, no space, no memory.
        """
        try:
            yield
        except (ImageError, NamesError) as error:
            own = isinstance(error, ImageError) or task.names is not None
            if own and content != NOTHING and not isinstance(error, ChangedPhoto):
                note = {
                    "format": _NOTE,
                    "photo": identity(task.photo),
                    "photo_sha256": content,
                    "asked": self._asked(names),
                    "error": Failed.by(task, error).error,
                }
                with suppress(OutputError):  # the photo's own failure is the one to tell; the next run finds it again
                    files.note_failure(json_bytes(note))
            raise

    def _failed_before(self, files: PhotoFiles, content: str, names: tuple[Name, ...]) -> str | None:
        """Why the same photo failed under the same wishes; None where it did not."""
        note = files.failure
        same = note and note.get("photo_sha256") == content and note.get("asked") == self._asked(names)
        return str(note["error"]) if note and same else None

    def _asked(self, names: tuple[Name, ...]) -> str:
        """A checksum of all that a failure may depend on beside the photo."""
        made = {key: self._provenance[key] for key in ("model", "revision", "dtype", "config")}
        wishes = [[name.all for name in names], self.presence and self.presence.key, made, self.max_pixels, __version__]
        return checksum(to_json(wishes))

    def _segment(
        self, image: "Image.Image", names: tuple[Name, ...], task: Task
    ) -> tuple[Segmentation, dict[str, Any]]:
        """The result for all names, and what the record says of a filter's choice."""
        if self.presence is None:
            return self.segmenter(image, names, name_match=True), {}
        decided = self.presence.decide(Photo(image, PurePath(task.photo).as_posix()), names)
        result = self.segmenter(image, names, present=decided.kept, name_match=True)
        scores = {name.text: round(score, 4) for name, score in zip(names, decided.scores, strict=True)}
        return result, {"presence": {"filter": self.presence.key, "scores": scores, "note": decided.note}}


_NOTE = "pnpovss/failure/1"
_PLACE = ("photo", "photo_name")  # of a record
_HINTS = 20  # lines on one photo: thousands of names would give thousands, which nobody reads


def _place(photo: str) -> dict[str, str]:
    """Where a photo is, as its record says; with the name of the link to it, which may have the only suffix.

    Links of git-annex, DVC and caches of hubs lead to files that are named by their content.
    """
    place, name = identity(photo), os.path.basename(photo)
    return {"photo": place} if name == os.path.basename(place) else {"photo": place, "photo_name": name}


def _some(hints: tuple[str, ...]) -> tuple[str, ...]:
    """The first lines, and how many more there are."""
    if len(hints) <= _HINTS:
        return hints
    return (*hints[:_HINTS], f"and {len(hints) - _HINTS:,} lines more")
