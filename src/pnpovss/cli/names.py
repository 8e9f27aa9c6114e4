"""Names as they are typed, or as a file lists them."""

from collections.abc import Sequence
from pathlib import Path

from pnpovss.errors import NamesError
from pnpovss.names import Name, parse_names, read_names_file

__all__ = ["gather_names"]


def gather_names(typed: Sequence[str] | None, file: Path | None) -> tuple[Name, ...]:
    """Names from `--names "cat, sofa"`, or from several of these, or from a file, which may give synonyms.

    Raises:
        NamesError: neither or both were given, names that `parse_names` refuses, or a file that cannot be read.
    """
    if typed and file is not None:
        raise NamesError("--names and --names-file were both given; use one of them")
    if file is not None:
        return read_names_file(file).names
    text = ",".join(typed or ())
    if not text.strip():
        raise NamesError('no names were given; say what to look for, such as --names "cat, sofa"')
    return parse_names(text.split(","))
