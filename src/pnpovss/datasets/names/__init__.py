"""Class names of the benchmarks: one class a line in the order of its mask values, synonyms after commas."""

from importlib.resources import files
from pathlib import Path

from pnpovss.errors import DatasetError, NamesError
from pnpovss.names import Name, parse_names

__all__ = ["bundled_names", "parse_names_file", "read_names_file"]


def bundled_names(benchmark: str) -> tuple[Name, ...]:
    """The names of one of the benchmarks, from the file of that name beside this module."""
    return parse_names_file(files(__name__).joinpath(f"{benchmark}.txt").read_text(encoding="utf-8"), benchmark)


def read_names_file(path: Path) -> tuple[Name, ...]:
    """Names from a file of one's own, as the `cls_*.txt` files of the field are written.

    Raises:
        DatasetError: missing, not UTF-8 text, empty, or with empty or duplicate names; line numbers are told.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path} does not exist; it names the classes, one a line in the order of their mask values, "
            f"synonyms after commas"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as UTF-8 text ({error})") from error
    return parse_names_file(text, str(path))


def parse_names_file(text: str, source: str) -> tuple[Name, ...]:
    """Names from the text of a names file; blank lines at its end do not count.

    Raises:
        DatasetError: no names, an empty one, or a duplicate.
    """
    lines = text.rstrip().splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise DatasetError(
                f"{source}, line {number} is empty; each line is a class, and its number tells its mask value"
            )
    try:
        return parse_names([[word.strip() for word in line.split(",")] for line in lines])
    except NamesError as error:
        raise DatasetError(f"{source}: {error}") from error
