"""What photos and masks hold, as a few digits, by which one data set is told from another, and from itself repaired.

Names, sizes and times of files do not do: a folder that is copied is the same data set, one whose masks were mended in
place is not. Masks are small and read whole. Photos of a benchmark come to gigabytes, so a large one counts by its size
and by samples spread over all of it: photos are mostly compressed, and another one of the same size differs everywhere.
"""

import os
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

from pnpovss.datasets.base import Dataset, Sample
from pnpovss.errors import DatasetError
from pnpovss.files.samples import spread

__all__ = ["masks_digest", "photos_digest"]

SAMPLES, SAMPLE = 16, 4096  # of a photo, and bytes of each; smaller photos are read whole


def masks_digest(dataset: Dataset, samples: Sequence[Sample]) -> str:
    """Of all that the truths of these photos are read from, in order.

    Raises:
        DatasetError: a mask that is missing or cannot be read, by name.
    """
    return _digest(dataset.told(sample) for sample in samples)


def photos_digest(samples: Sequence[Sample]) -> str:
    """Of these photos, in order.

    Raises:
        DatasetError: a photo that is missing or cannot be read, by name.
    """
    return _digest(_sampled(sample.image) for sample in samples)


def _digest(parts: Iterable[bytes]) -> str:
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(blake2b(part).digest())  # of one length, so that no byte can move from one to the next
    return f"blake2b:{digest.hexdigest()}"


def _sampled(photo: Path) -> bytes:
    try:
        with photo.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= SAMPLES * SAMPLE:
                return file.read()
            parts = [size.to_bytes(8, "big")]
            for place in spread(size, SAMPLE, SAMPLES):
                file.seek(place)
                parts.append(file.read(SAMPLE))
            return b"".join(parts)
    except OSError as error:
        raise DatasetError(f"photo {photo} cannot be read ({error.strerror}); get a complete copy") from error
