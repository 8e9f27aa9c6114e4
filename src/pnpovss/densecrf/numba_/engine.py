"""The Dense CRF of one image on the CPU, in numba."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pnpovss.densecrf import memory
from pnpovss.densecrf.engine import Outcome
from pnpovss.densecrf.numba_.compiling import announce
from pnpovss.densecrf.numba_.filter_kernels import kernels_for, lanes_for
from pnpovss.densecrf.numba_.lattice import Lattice, bands_for, build_lattice
from pnpovss.densecrf.numba_.lattice_kernels import embed
from pnpovss.densecrf.numba_.meanfield import infer, inference_bytes
from pnpovss.densecrf.numba_.workers import Workers, default_threads
from pnpovss.densecrf.terms import Term, potts_weight, reward_matrix
from pnpovss.errors import InvalidInputError

__all__ = ["NumbaEngine"]

# Handing out work costs more than doing it below this.
_PIXELS_PER_THREAD = 1 << 14
# Lattice points that a photo's pixel makes per term: 0.13 to 0.6 for the method's terms.
_POINTS_PER_PIXEL = 0.6


class NumbaEngine:
    """An `Engine` for NumPy arrays.

    Args:
        image: (h, w, channel), uint8 or float32, C-contiguous and writable.
        terms: pairwise terms.
        threads: None for `default_threads`.
    """

    def __init__(self, image: Shaped[np.ndarray, "h w channel"], terms: Sequence[Term], threads: int | None) -> None:
        if threads is not None and threads < 1:
            raise InvalidInputError(f"threads must be 1 or more, got {threads}")
        self._image, self._terms, self._threads = image, tuple(terms), threads
        self.device = None
        self.lattices: dict[int, Lattice] = {}
        self._lock = threading.Lock()

    def free_memory(self) -> int | None:
        """See `Engine`."""
        return memory.free_memory()

    def memory_needed(self, labels: int, diagnostics: bool) -> int:
        """See `Engine`."""
        pixels = self._image.shape[0] * self._image.shape[1]
        points = int(pixels * _POINTS_PER_PIXEL)
        missing = [len(self._widths(term)) for i, term in enumerate(self._terms) if i not in self.lattices]
        # Tables kept per pixel and per point; one lattice at a time is numbered and normalised.
        lattices = sum(8 * (dims + 1) * (pixels + points) for dims in missing)
        building = (16 * pixels + 96 * points) * bool(missing)
        return lattices + max(building, inference_bytes(labels, pixels, [points] * len(self._terms), diagnostics))

    def infer(
        self,
        maps: Shaped[np.ndarray, "label pixel"],
        probabilities: bool,
        iterations: int,
        diagnostics: bool,
        go_on: Callable[[], Any] = lambda: None,
    ) -> Outcome:
        """See `Engine`."""
        labels = len(maps)
        rewards = [None if potts_weight(term) is not None else reward_matrix(term, labels) for term in self._terms]
        kernels = kernels_for(lanes_for(labels))
        dims = {len(self._widths(term)) for term in self._terms}
        filters = kernels.filter if bands_for(maps[0].size) == 1 else kernels.splat
        announce([*(embed(d) for d in dims), *(filters(d + 1) for d in dims)])
        threads = min(self._threads or default_threads(), max(1, maps[0].size // _PIXELS_PER_THREAD))
        with Workers(threads) as workers:
            lattices = self._ready(workers)
            return infer(maps, probabilities, lattices, rewards, iterations, diagnostics, workers, go_on)

    def _ready(self, workers: Workers) -> list[Lattice]:
        with self._lock:
            for i, term in enumerate(self._terms):
                if i not in self.lattices:
                    weight = potts_weight(term)
                    image = self._image if term.sees_image else self._image[..., :0]
                    self.lattices[i] = build_lattice(
                        image, self._widths(term), 1.0 if weight is None else weight, workers
                    )
            return [self.lattices[i] for i in range(len(self._terms))]

    def _widths(self, term: Term) -> np.ndarray:
        return np.ascontiguousarray(term.widths(self._image.shape[2]))
