"""Where a checkpoint lies: a folder, or a hub's cache, into which the files are fetched that will be read."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.parts.checkpoint import (
    ADAPTER,
    WEIGHTS,
    content_hash,
    expected_weights,
    first_line,
    part_names,
    refuse_adapter,
    weight_files,
)
from pnpovss.errors import CheckpointError

__all__ = ["hub_config", "is_cached", "locate"]

_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]


def locate(name: str, options: LoadOptions) -> tuple[Path, str]:
    """Folder of a checkpoint, and its revision: the hub's commit, or a hash of a local folder's content.

    Raises:
        CheckpointError: the hub does not have it or cannot be reached, or the folder is not usable.
    """
    folder = Path(name)
    if folder.is_dir():
        if options.revision is not None:
            raise CheckpointError(f"revision {options.revision!r} was asked of the local folder {name}; leave it out")
        return folder, content_hash(weight_files(folder))
    with _hub_errors(name, options):
        folder = _fetch(name, options)
        # Where no hub is reached, the client gives a folder that an interrupted download left, with whatever is in it.
        for file in expected_weights(folder) or WEIGHTS[:1]:
            if not (folder / file).is_file():
                _ask_for(file, name, options)
    return folder, folder.name  # hub snapshots lie in folders named by their commit


def hub_config(name: str, options: LoadOptions) -> Path:
    """config.json of a hub id; from the hub's cache where it is there.

    Raises:
        CheckpointError: the hub does not have it or cannot be reached, or has an adapter of PEFT by that name.
    """
    cached = try_to_load_from_cache(name, "config.json", revision=options.revision)
    if isinstance(cached, str):
        return Path(cached)
    with _hub_errors(name, options):
        try:
            return _download_file(name, options, "config.json")
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError):  # the hub would not be reached again
                options = replace(options, local_files_only=True)
            with suppress(EntryNotFoundError):
                refuse_adapter(_download_file(name, options, ADAPTER).parent)
            raise


def is_cached(name: str) -> bool:
    """Whether a hub id's files lie in the hub's cache; asks no network."""
    weights = (*WEIGHTS, *(f"{each}.index.json" for each in WEIGHTS))
    there = [isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", *weights)]
    return there[0] and any(there[1:])


def _fetch(name: str, options: LoadOptions, preferred: tuple[str, ...] = WEIGHTS) -> Path:
    """Fetch the weights that `weight_files` prefers, and no others: what lies beside them is not read.

    That may be the same weights in other formats, those of other programs (open_clip_model.safetensors) or adapters.
    """
    first, *others = preferred
    folder = _download(name, options, [*_SMALL_FILES, first])  # the index is one of the small files
    index = folder / f"{first}.index.json"
    if not (folder / first).is_file() and index.is_file():
        return _download(name, options, [*_SMALL_FILES, *part_names(index)])
    return folder if (folder / first).is_file() or not others else _fetch(name, options, tuple(others))


def _ask_for(file: str, name: str, options: LoadOptions) -> None:
    """Ask for a weight file that a download did not bring: it tells whether the hub lacks it, or was not reached."""
    try:
        _download_file(name, options, file)
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError as error:
        raise CheckpointError(
            f"the hub's model {name!r} has no {file}: expected {' or '.join(WEIGHTS)}, or all parts that its index "
            "names; give another model, or the folder of one that transformers' save_pretrained wrote"
        ) from error


def _download(name: str, options: LoadOptions, patterns: list[str]) -> Path:
    return Path(
        snapshot_download(
            name, revision=options.revision, allow_patterns=patterns, local_files_only=options.local_files_only
        )
    )


def _download_file(name: str, options: LoadOptions, file: str) -> Path:
    return Path(hf_hub_download(name, file, revision=options.revision, local_files_only=options.local_files_only))


@contextmanager
def _hub_errors(name: str, options: LoadOptions) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except LocalEntryNotFoundError as error:
        asked = "asked (local_files_only)" if options.local_files_only else "reached"
        raise CheckpointError(
            f"the model {name!r} is not on this machine, or not all of it, and no hub was {asked}: fetch it once where "
            f"there is a network (`hf download {name}`), or give the folder of a copy"
        ) from error
    except Exception as error:  # the hub's client changes its HTTP library, and so its errors, between releases
        raise CheckpointError(f"the hub does not give the model {name!r}: {first_line(error)}") from error
