"""An export as a folder that is whole or absent."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pnpovss.batch.export.mark import MARK, is_export, mark
from pnpovss.batch.export.registry import FormatSpec
from pnpovss.batch.export.run import Run
from pnpovss.batch.folder import folder_at
from pnpovss.errors import InvalidInputError, OutputError

__all__ = ["check_target", "export"]


def export(run: Run, spec: FormatSpec, folder: Path, *, photos: bool = True, overwrite: bool = False) -> Iterator[str]:
    """Write a run into a folder in one format; gives the stem of each photo as it is written.

    The folder appears when it is complete, in the place of an earlier export of this program.

    Args:
        run: what is exported.
        spec: the format.
        folder: where to.
        photos: whether the photos go along.
        overwrite: whether a folder that this program did not make may be replaced.

    Raises:
        OutputError: something else is there, or it cannot be written.
        InvalidInputError: no photos, for a format that is of no use without; names that it cannot hold; or a photo or
            label map that cannot be used.
    """
    check_target(spec, folder, list(run.categories), photos=photos, overwrite=overwrite)
    part, old = (folder.parent / f".{folder.name}.{word}" for word in ("part", "old"))
    count = 0
    try:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)
        part.mkdir(parents=True)
        for stem in spec.write(run, part, photos):
            count += 1
            yield stem
        (part / MARK).write_bytes(mark(spec.key, count))
        if folder.exists():
            folder.replace(old)
        os.replace(part, folder)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another with --out") from error
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


def check_target(
    spec: FormatSpec,
    folder: Path,
    names: Sequence[str],
    *,
    photos: bool = True,
    overwrite: bool = False,
    instead: str = "replace it with --overwrite",
) -> None:
    """Refuse what could not be exported, as far as that can be told before anything is segmented.

    Args:
        spec: the format.
        folder: where to.
        names: of the run, each once.
        photos: whether the photos go along.
        overwrite: whether a folder that this program did not make may be replaced.
        instead: what else to do about such a folder.

    Raises:
        OutputError: something else is there.
        InvalidInputError: no photos, for a format that is of no use without; names that the format cannot hold.
    """
    if not photos and spec.photos:
        raise InvalidInputError(f"{spec.key} is of use only with the photos in it; leave --no-photos out")
    if folder.is_symlink():  # the export would take the place of the link, not of what it leads to
        raise OutputError(f"{folder} is a link; remove it, or choose another --out")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose another --out")
    if folder.exists() and not overwrite and not is_export(folder_at(folder)) and any(folder.iterdir()):
        raise OutputError(f"{folder} is not of this program; choose another --out, or {instead}")
    if spec.check is not None:
        spec.check(names)
