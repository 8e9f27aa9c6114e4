"""What is installed, which models are here, and whether this machine segments: the checks of `pnpovss doctor`."""

import importlib.util
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from pnpovss._version import __version__
from pnpovss.errors import PnpOvssError

__all__ = ["Finding", "examine"]

_PACKAGES = ("torch", "transformers", "numpy", "numba", "pillow", "opencv-python-headless")
_HARMFUL = ("torchvision", "timm")  # nothing here needs them, and torchvision has to fit torch exactly
_OF_DEVELOPERS = {"crf-oracle", "dev", "docs", "fuzz-http", "readers", "training"}  # extras that nobody else needs
# "matplotlib>=3.8; extra == 'figures'" of the package's metadata.
_OF_EXTRA = re.compile(r"(?P<name>[\w.-]+).*;.*\bextra == ['\"](?P<extra>[\w-]+)['\"]")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: the group it belongs to.
        what: what was looked at.
        found: what it is.
        fine: whether it is as it should be; None where either is.
        remedy: what to do; empty where nothing has to be done.
    """

    part: str
    what: str
    found: str
    fine: bool | None = None
    remedy: str = ""


def examine(*, self_test: bool = True) -> Iterator[Finding]:
    """Look at everything, quick things first."""
    yield from _versions()
    yield from _extras()
    yield from _machine()
    yield from _models()
    if self_test:
        yield _self_test()


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "pnpovss", f"{__version__}, in {Path(__file__).parent}")
    yield Finding("versions", "Python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("versions", "system", platform.platform())
    for package in _PACKAGES:
        yield Finding("versions", package, metadata.version(package))


def _extras() -> Iterator[Finding]:
    """Extras for users, each with whether all its packages are here."""
    about = metadata.metadata("pnpovss")
    required = [found for line in metadata.requires("pnpovss") or () if (found := _OF_EXTRA.match(line))]
    for extra in sorted(set(about.get_all("Provides-Extra") or ()) - _OF_DEVELOPERS):
        own = [each["name"] for each in required if each["extra"] == extra]
        missing = [name for name in own if not _installed(name)]
        if not missing:
            yield Finding("extras", extra, "installed", fine=True)
        else:
            found = "not installed" if missing == own else f"without {', '.join(missing)}"
            yield Finding("extras", extra, found, None, f"pip install 'pnpovss[{extra}]'")


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _machine() -> Iterator[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    limits = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    given = ", ".join(f"{name}={os.environ[name]}" for name in limits if name in os.environ)
    more = threads > cores
    yield Finding(
        "machine",
        "threads",
        f"{threads} of torch on {cores} cores{f' ({given})' if given else ''}",
        fine=not more,
        remedy="more threads than cores are slower: set OMP_NUM_THREADS to the number of cores" if more else "",
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield Finding("machine", f"cuda:{index}", torch.cuda.get_device_name(index), fine=True)
    else:
        built = "built for CUDA, but no device is found" if torch.version.cuda else "a build for the CPU"
        yield Finding("machine", "CUDA", f"none: torch is {built}")
    if torch.backends.mps.is_available():
        yield Finding("machine", "mps", "Apple's GPU", fine=True)
    for package in _HARMFUL:
        if importlib.util.find_spec(package):
            yield Finding("machine", package, "installed; nothing here needs it")


def _models() -> Iterator[Finding]:
    from huggingface_hub.constants import HF_HUB_CACHE

    from pnpovss.backbones.registry import known_backbones

    offline = os.environ.get("HF_HUB_OFFLINE")
    yield Finding("models", "downloads go to", HF_HUB_CACHE + (", and HF_HUB_OFFLINE forbids any" if offline else ""))
    for spec in known_backbones().values():
        for model in spec.models:
            if spec.available(model):
                yield Finding("models", model, "on this machine", fine=True)


def _self_test() -> Finding:
    """Segment a drawn picture with `mini`: weights, model, Dense CRF and all."""
    from pnpovss.segmenter import Segmenter

    picture = np.full((96, 128, 3), 200, np.uint8)
    picture[24:72, 32:96] = (40, 90, 160)
    try:
        start = time.perf_counter()
        segmenter = Segmenter.from_pretrained("mini", device="cpu", without=["presence"])
        loaded = time.perf_counter()
        result = segmenter(picture, ["square", "wall"])
        done = time.perf_counter()
    except (PnpOvssError, RuntimeError, OSError) as error:
        return Finding("self-test", "mini", f"failed: {error}", fine=False, remedy="install pnpovss anew")
    assert result.background_score is not None
    total = result.scores.sum(0) + result.background_score
    if not np.allclose(total, 1, atol=1e-3):
        found = f"probabilities sum to {total.min():.3f} to {total.max():.3f}, and should to 1"
        return Finding("self-test", "mini", found, fine=False, remedy="install torch and numba anew")
    found = f"loaded in {loaded - start:.1f} s, segmented in {done - loaded:.1f} s"
    return Finding("self-test", "mini", found, fine=True)
