"""Segment every photo of a folder, a few at a time, and write what share of each photo is what to a table.

Run it in a copy of the repository: python examples/folder.py. Writes out/shares.csv and a label map per photo. On the
command line, `pnpovss segment FOLDER` does this and more: it goes on after bad photos and resumes.
"""

import csv
from pathlib import Path

from pnpovss import Segmenter

FOLDER = Path(__file__).parent
NAMES = ["cat", "cup", "person", "rocket"]
OUT = Path("out")


def main() -> None:
    """Segment in a stream: no more than a batch of photos is in memory at a time."""
    photos = sorted(FOLDER.glob("*.jpg"))
    results = Segmenter.from_pretrained("mini").stream(((photo, NAMES) for photo in photos), batch_size=4)
    OUT.mkdir(exist_ok=True)
    with (OUT / "shares.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["photo", *NAMES])
        for photo, result in zip(photos, results, strict=True):
            table.writerow([photo.name, *(f"{share:.3f}" for share in result.shares)])
            result.to_png().save(OUT / f"{photo.stem}.labels.png")


if __name__ == "__main__":
    main()
