"""The folder of a run: what was run, on what and with what, so that it can be resumed, compared and made again.

run.json        the settings, and when and with which versions it was worked on
images.jsonl    one line for each finished image, see `journal`
summary.json    the scores, once all images are done
maps/           with --save-maps: a class map for each image
"""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from pnpovss.config import Config
from pnpovss.datasets.base import Dataset, Protocol, Sample
from pnpovss.errors import ConfigError, DatasetError, InvalidInputError
from pnpovss.files.journal import Record, read_journal
from pnpovss.files.writing import write_all
from pnpovss.segmenter import Segmenter

__all__ = ["Run", "RunSettings", "Subset", "choose", "describe", "open_run", "read_run"]

SETTINGS, RECORDS, SUMMARY, MAPS = "run.json", "images.jsonl", "summary.json", "maps"
FORMAT = 1  # of the files in the folder
PACKAGES = ("pnpovss", "torch", "transformers", "numpy", "numba", "opencv-python-headless", "pillow")


class Subset(BaseModel):
    """Which images of a data set were used; `limit` None means all that are on the disk.

    Attributes:
        limit: how many were drawn.
        seed: of the draw.
        images: how many were used.
        on_disk: how many the folder holds.
        full: how many the whole benchmark has; None where that is not known.
        digest: of the keys, in order.
    """

    model_config = ConfigDict(frozen=True)
    limit: int | None
    seed: int
    images: int
    on_disk: int
    full: int | None
    digest: str

    @property
    def partial(self) -> bool:
        """Whether this is less than the benchmark, or less than the folder."""
        return self.images < max(self.on_disk, self.full or 0)

    def __str__(self) -> str:
        whole = max(self.on_disk, self.full or 0)
        return f"subset of {self.images} of {whole}" if self.partial else f"all {self.images}"


class RunSettings(BaseModel):
    """Everything that the scores depend on; a resumed run must have the same."""

    model_config = ConfigDict(frozen=True)
    format: int = FORMAT
    kind: str
    dataset: str
    protocol: Protocol
    classes: tuple[str, ...]
    background_class: int | None
    subset: Subset
    presence: str
    model: str
    revision: str | None
    preset: str
    config: Config
    settings_source: str
    dtype: str
    arms: dict[str, Config] | None = None


@dataclass(frozen=True)
class Run:
    """A run's folder, read.

    Attributes:
        folder: where it is.
        settings: what was run.
        root: the data set's folder at the time.
        sittings: each time it was worked on: when, by which command, with which versions, on what machine.
        records: finished images by key.
        summary: the scores; None while images are missing.
    """

    folder: Path
    settings: RunSettings
    root: Path
    sittings: tuple[dict[str, Any], ...]
    records: dict[str, Record]
    summary: dict[str, Any] | None

    @property
    def finished(self) -> bool:
        """Whether every image has its record."""
        return len(self.records) >= self.settings.subset.images


def choose(dataset: Dataset, limit: int | None, seed: int) -> tuple[tuple[Sample, ...], Subset]:
    """All samples, or `limit` of them drawn by `seed`, in the data set's order.

    Raises:
        InvalidInputError: a limit below 1.
        DatasetError: no photos at all.
    """
    if limit is not None and limit < 1:
        raise InvalidInputError(f"a limit of {limit} leaves no photo; give 1 or more, or none at all")
    everything = tuple(dataset)
    if not everything:
        raise DatasetError(f"{dataset.root} holds no photo of {dataset.space.key}")
    chosen = everything
    if limit is not None and limit < len(everything):
        chosen = tuple(everything[i] for i in sorted(Random(seed).sample(range(len(everything)), limit)))
    digest = blake2b("\n".join(sample.key for sample in chosen).encode(), digest_size=8).hexdigest()
    drawn = limit if len(chosen) < len(everything) else None
    return chosen, Subset(
        limit=drawn, seed=seed, images=len(chosen), on_disk=len(everything), full=dataset.full, digest=digest
    )


def describe(
    kind: str,
    segmenter: Segmenter,
    dataset: Dataset,
    subset: Subset,
    presence: str,
    arms: dict[str, Config] | None = None,
) -> RunSettings:
    """The settings of a run about to start."""
    space, backbone = dataset.space, segmenter.backbone
    return RunSettings(
        kind=kind,
        dataset=space.key,
        protocol=space.protocol,
        classes=space.classes,
        background_class=0 if space.counts_background else None,
        subset=subset,
        presence=presence,
        model=backbone.name,
        revision=backbone.revision,
        preset=segmenter.preset,
        config=segmenter.config,
        settings_source=backbone.recommended.source,
        dtype=str(backbone.dtype).removeprefix("torch."),
        arms=arms,
    )


def open_run(folder: Path, settings: RunSettings, root: Path, device: str) -> None:
    """Start a run in a new or empty folder, or go on with the one that is there.

    Raises:
        ConfigError: the folder holds a run with other settings; the first difference is named.
        OutputError: it cannot be written.
    """
    sittings: list[dict[str, Any]] = []
    if (folder / SETTINGS).exists():
        there = read_run(folder)
        _refuse_other(folder, there.settings, settings)
        sittings = list(there.sittings)
    elif folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty and holds no run; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        **settings.model_dump(mode="json"),
        "root": str(root.resolve()),
        "sittings": [*sittings, _sitting(device)],
    }
    write_all({folder / SETTINGS: json.dumps(content, indent=1).encode()})


def read_run(folder: Path) -> Run:
    """Read a run's folder, finished or not.

    Raises:
        InvalidInputError: it holds no run, or one of another format.
    """
    path = folder / SETTINGS
    try:
        content = json.loads(path.read_text())
        settings = RunSettings.model_validate(content)
    except FileNotFoundError as error:
        raise InvalidInputError(f"{folder} holds no run: {SETTINGS} is missing") from error
    except ValueError as error:
        raise InvalidInputError(f"{path} is damaged or of another version: {str(error).splitlines()[0]}") from error
    if settings.format != FORMAT:
        raise InvalidInputError(f"{path} has format {settings.format}, this version reads {FORMAT}; run it again")
    summary = folder / SUMMARY
    return Run(
        folder=folder,
        settings=settings,
        root=Path(content["root"]),
        sittings=tuple(content["sittings"]),
        records=read_journal(folder / RECORDS),
        summary=json.loads(summary.read_text()) if summary.exists() else None,
    )


def _refuse_other(folder: Path, there: RunSettings, asked: RunSettings) -> None:
    for name in RunSettings.model_fields:
        old, new = getattr(there, name), getattr(asked, name)
        if old != new:
            detail = _difference(old, new)
            raise ConfigError(
                f"{folder} holds a run with another {name} ({detail}); a run is resumed with the same settings only, "
                "so name a new folder"
            )


def _difference(old: object, new: object) -> str:
    """What differs between two settings, down to the field."""
    if isinstance(old, BaseModel) and isinstance(new, BaseModel):
        fields = [name for name in type(old).model_fields if getattr(old, name) != getattr(new, name)]
        return ", ".join(f"{name}: {getattr(old, name)} there, {getattr(new, name)} asked" for name in fields[:3])
    return f"{str(old)[:80]} there, {str(new)[:80]} asked"


def _sitting(device: str, arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """When, how and where the run is being worked on."""
    command = [Path(sys.argv[0]).name, *sys.argv[1:]] if arguments is None else list(arguments)
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(command),
        "commit": _commit(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": device,
        "threads": torch.get_num_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the source tree, "+changes" where the package differs from it; None for an installed package."""
    here = Path(__file__).resolve().parents[2]
    if "site-packages" in here.parts:
        return None
    try:
        commit = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", ".")
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or no repository: provenance is the version alone
    return commit + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()
