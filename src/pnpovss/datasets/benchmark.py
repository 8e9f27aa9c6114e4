"""How a benchmark is found on disk: which folders and files it has, what is missing, and where to get it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pnpovss.datasets.base import Counting, Dataset, LabelSpace, Sample
from pnpovss.errors import DatasetError

__all__ = ["Benchmark", "find_folder", "from_folders", "from_list", "value_ranges"]


@dataclass(frozen=True)
class Benchmark:
    """One data set that can be evaluated on.

    Attributes:
        key: its name on the command line.
        summary: one line for people.
        space: its label space in a protocol.
        samples: finds all photos and masks below a root; raises DatasetError where any is missing.
        full: photos in the whole split; a data set with fewer is called a subset.
        source: where to get it.
        evaluates: whether a photo is one of those that the benchmark evaluates, by its name and folders.
        dataset: what reads its masks.
    """

    key: str
    summary: str
    space: Callable[[Counting], LabelSpace]
    samples: Callable[[Path], Sequence[Sample]]
    full: int
    source: str
    evaluates: Callable[[Path], bool]
    dataset: type[Dataset] = Dataset


def find_folder(root: Path, inside: Iterable[str], needed: Iterable[str]) -> Path:
    """The folder that holds all of `needed`: the root itself, or one of the usual places inside it.

    Raises:
        DatasetError: the root does not exist or nothing of the benchmark is in it; or the best candidate is partial,
            with the first folder or file that is missing.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder")
    needed = list(needed)
    absent = {
        place: [part for part in needed if not (place / part).exists()] for place in [root, *map(root.joinpath, inside)]
    }
    best = min(absent, key=lambda place: len(absent[place]))
    if absent[best]:
        raise DatasetError(f"{best / absent[best][0]} is missing")
    return best


def from_list(listing: Path, images: Path, masks: Path) -> list[Sample]:
    """Samples of a split file: one key per line; `images`/key.jpg and `masks`/key.png.

    Raises:
        DatasetError: the list is no text, is empty, names a key twice or one that is no plain file name, or files of it
            are missing.
    """
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{listing} cannot be read as UTF-8 text ({error})") from error
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise DatasetError(f"{listing} is empty; it lists the photos of the split, one key per line")
    if len(set(keys)) < len(keys):
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise DatasetError(f"{listing} lists {twice} twice")
    try:
        samples = [Sample(key, images / f"{key}.jpg", masks / f"{key}.png") for key in keys]
    except DatasetError as error:
        raise DatasetError(f"{listing}: {error}") from error
    refuse_missing([sample.image for sample in samples], f"{listing.name} lists {len(keys)} photos")
    refuse_missing([sample.mask for sample in samples], f"{listing.name} lists {len(keys)} photos")
    return samples


def from_folders(images: Path, masks: Path, suffixes: Iterable[str], mask_suffix: str) -> list[Sample]:
    """Samples of two folders with one mask per photo, in order of their names.

    Args:
        images: holds the photos.
        masks: holds the masks, each named as its photo with `mask_suffix` for the photo's suffix.
        suffixes: of photos, lower case, such as ".jpg".
        mask_suffix: such as ".png" or "_labelTrainIds.png".

    Raises:
        DatasetError: no photos; two of one name; a photo without mask, or a mask without photo.
    """
    known = set(suffixes)
    # A hidden file may be what macOS keeps beside each file on other people's disks, "._a.jpg": no photo, no mask.
    found = [path for path in sorted(images.iterdir()) if path.suffix.lower() in known and path.name[0] != "."]
    photos = {path.stem: path for path in found}
    if not photos:
        raise DatasetError(f"{images} holds no photos ({', '.join(sorted(known))})")
    if len(photos) < len(found):
        twice = next(path for path in found if photos[path.stem] != path)
        raise DatasetError(f"{twice} and {photos[twice.stem].name} would share one mask; rename one of them")
    samples = [Sample(key, photo, masks / f"{key}{mask_suffix}") for key, photo in photos.items()]
    refuse_missing([sample.mask for sample in samples], f"{images} holds {len(photos)} photos")
    alone = [
        path
        for path in sorted(masks.glob(f"*{mask_suffix}"))
        if path.name[0] != "." and path.name.removesuffix(mask_suffix) not in photos
    ]
    if alone:
        photo, mask = f"{alone[0].name.removesuffix(mask_suffix)}.*", alone[0].name
        raise DatasetError(
            f"{images} holds no photo {photo} for the mask {mask}; add the photo, or remove the mask"
            + (f" ({len(alone)} masks have no photo)" if len(alone) > 1 else "")
        )
    return samples


def refuse_missing(paths: Sequence[Path], context: str) -> None:
    """Name the first file that does not exist, and how many do not.

    Folders are listed once: asking for thousands of files one by one takes minutes on network drives.

    Raises:
        DatasetError: a file is missing.
    """
    there = {folder: {entry.name for entry in folder.iterdir()} for folder in {path.parent for path in paths}}
    missing = [path for path in paths if path.name not in there[path.parent]]
    if missing:
        raise DatasetError(f"{missing[0]} is missing ({len(missing)} of {len(paths)} such files are; {context})")


def value_ranges(text: str) -> tuple[int, ...]:
    """Mask values from their short form: "1-3 7" is 1, 2, 3, 7."""
    parts = [part.partition("-") for part in text.split()]
    return tuple(value for low, _, high in parts for value in range(int(low), int(high or low) + 1))
