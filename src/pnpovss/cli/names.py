"""Names as they are typed, or as a file lists them."""

from pathlib import Path

from pnpovss.errors import NamesError

__all__ = ["gather_names", "read_names_file"]


def gather_names(typed: str | None, file: Path | None) -> list[tuple[str, ...]]:
    """Names from `--names "cat, sofa"` or from a file, each with its synonyms; later checks are `parse_names`'s.

    Raises:
        NamesError: neither or both were given, an empty name between commas, or a file that cannot be read.
    """
    if typed is not None and file is not None:
        raise NamesError("--names and --names-file were both given; use one of them")
    if file is not None:
        return read_names_file(file)
    if typed is None or not typed.strip():
        raise NamesError('no names were given; say what to look for, such as --names "cat, sofa"')
    words = [word.strip() for word in typed.split(",")]
    if not all(words):
        raise NamesError(f"an empty name was given in --names {typed!r}; remove the extra comma")
    return [(word,) for word in words]


def read_names_file(path: Path) -> list[tuple[str, ...]]:
    """One name a line, synonyms after commas; blank lines, and lines that start with "#", are skipped.

    Raises:
        NamesError: missing, not UTF-8 text, without names, an empty synonym, or a word that was there before.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise NamesError(f"{path} is not UTF-8 text; save the names as a plain text file") from error
    except (OSError, ValueError) as error:
        raise NamesError(f"cannot read the names in {path}: {getattr(error, 'strerror', None) or error}") from error
    names: list[tuple[str, ...]] = []
    first_seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = tuple(" ".join(word.split()) for word in line.split(","))
        if not all(words):
            raise NamesError(f"{path}, line {number}: an empty name in {line.strip()!r}; remove the extra comma")
        for word in words:
            if word.casefold() in first_seen:
                before = first_seen[word.casefold()]
                raise NamesError(f"{path}, line {number}: {word!r} was given before, in line {before}; remove one")
            first_seen[word.casefold()] = number
        names.append(words)
    if not names:
        raise NamesError(f"{path} holds no names; write one a line, with synonyms after commas")
    return names
