"""The shapes and types that signatures promise, checked at every call while tests run."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, BinaryIO, TextIO

from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import config, install_import_hook
from numpy.typing import ArrayLike

KERNELS = {"filter_kernels", "lattice_kernels", "plain", "registers", "simd"}
"""Modules of the Dense CRF whose functions numba compiles: it wants them as they are, and they have no annotations."""

check = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True,  # as type checkers have it: an int will do for a float
        # What is looked for at run time is more than what is meant: a name and a mode that files in memory lack,
        # and methods of a sequence that tuples lack.
        hint_overrides=FrozenDict({BinaryIO: object, TextIO: object, IO[bytes]: object, ArrayLike: object}),
    )
)


def modules() -> list[str]:
    """Every module of the package but the kernels, without importing any."""
    spec = find_spec("pnpovss")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    paths = (path.relative_to(root.parent).with_suffix("") for path in root.rglob("*.py"))
    return [".".join(path.parts) for path in paths if path.stem not in KERNELS | {"__init__"}]


def check_signatures() -> None:
    """Check every function and dataclass of the package from now on; before any of it is imported."""
    install_import_hook(modules(), "tests.support.shapes.check")


@contextmanager
def unchecked() -> Iterator[None]:
    """Let wrong types through, for the package's own checks to refuse."""
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)
