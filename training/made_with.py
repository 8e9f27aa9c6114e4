"""What a cache was made with: what makes another index of the photos, or features of another shape, is refused."""

import json
from pathlib import Path

from pnpovss.files.writing import write_all
from training.photos import ARCHIVES, EVALUATION_ARCHIVE

FILE = "made-with.json"


class OtherCacheError(ValueError):
    """A cache was made with other options, or of other archives."""


def check_cache(cache: Path, data: Path, options: dict[str, int | float]) -> None:
    """Note what a cache is made with, or hold it against what was noted.

    A cache without photos is made anew; one whose photos were indexed before this was noted is taken as it is.

    Args:
        cache: folder of the index and the features.
        data: folder of the archives, of which the sizes in bytes count: the index tells places in them.
        options: those that the index and the shapes of the features hang on, by name. Precision and device are none of
            them: they change rounding alone, and another machine may go on with what it is quick at.

    Raises:
        OtherCacheError: something differs; the message says what.
    """
    now: dict[str, int | float | None] = {f"--{name}": value for name, value in options.items()}
    for name in (*ARCHIVES.values(), EVALUATION_ARCHIVE):
        now[name] = (data / name).stat().st_size if (data / name).exists() else None
    path = cache / FILE
    if path.exists() and (cache / "photos.json").exists():
        before = json.loads(path.read_text())
        differs = [
            f"{name}: {before.get(name)}, now {now.get(name)}"
            for name in {**now, **before}
            if before.get(name) != now.get(name)
        ]
        if differs:
            what = "; ".join(differs)
            raise OtherCacheError(
                f"{cache} was made with other options or archives ({what}): give those, or another --cache"
            )
    else:
        cache.mkdir(parents=True, exist_ok=True)
        write_all({path: json.dumps(now, indent=1).encode()})
