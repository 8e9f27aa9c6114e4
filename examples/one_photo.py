"""Segment one photo: how much of it is each name, and how sure the model is that the name is there.

Run it in a copy of the repository: python examples/one_photo.py. Writes astronaut.overlay.png.
"""

from pathlib import Path

from pnpovss import Segmenter

PHOTO = Path(__file__).parent / "astronaut.jpg"
NAMES = ["woman", ["flag", "banner"], "rocket"]  # synonyms in a list of their own


def main() -> None:
    """Segment, print a line per name, and save a picture."""
    segmenter = Segmenter.from_pretrained("mini")
    result = segmenter(PHOTO, NAMES, name_match=True)
    for name, share, match in zip(result.names, result.shares, result.name_match or (), strict=True):
        print(f"{name}: {share:.0%} of the pixels, match probability {match:.2f}")
    result.overlay(PHOTO).save("astronaut.overlay.png")


if __name__ == "__main__":
    main()
