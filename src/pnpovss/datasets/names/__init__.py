"""Class names of the benchmarks, one class a line in the order of its mask values, synonyms after commas.

And which photos a benchmark evaluates, where their folder does not tell.
"""

from functools import cache
from importlib.resources import files

from pnpovss.names import Name, parse_names_text

__all__ = ["bundled_names", "bundled_photos"]


def bundled_names(benchmark: str) -> tuple[Name, ...]:
    """The names of one of the benchmarks, from the file of that name beside this module."""
    text = files(__name__).joinpath(f"{benchmark}.txt").read_text(encoding="utf-8")
    return parse_names_text(text, benchmark, positional=True).names


@cache
def bundled_photos(benchmark: str) -> frozenset[str]:
    """The names, without suffix, of the photos that a benchmark evaluates."""
    text = files(__name__).joinpath(f"{benchmark}_val_photos.txt").read_text(encoding="utf-8")
    return frozenset(text.split())
