"""Class names of the benchmarks: one class a line in the order of its mask values, synonyms after commas."""

from importlib.resources import files

from pnpovss.names import Name, parse_names_text

__all__ = ["bundled_names"]


def bundled_names(benchmark: str) -> tuple[Name, ...]:
    """The names of one of the benchmarks, from the file of that name beside this module."""
    text = files(__name__).joinpath(f"{benchmark}.txt").read_text(encoding="utf-8")
    return parse_names_text(text, benchmark, positional=True).names
