"""The Dense CRF of one image on the CPU, in numba."""

import threading
from collections.abc import Mapping, Sequence

import numba
import numpy as np
from jaxtyping import Shaped

from pnpovss.densecrf.build import embed
from pnpovss.densecrf.jit import Workers, announce
from pnpovss.densecrf.kernels import kernels_for, lanes_for
from pnpovss.densecrf.lattice import Lattice, bands_for, build_lattice
from pnpovss.densecrf.meanfield import Outcome, infer
from pnpovss.densecrf.terms import Term, potts_weight, reward_matrix
from pnpovss.errors import InvalidInputError

__all__ = ["NumbaEngine"]


# Handing out work costs more than doing it below this.
_PIXELS_PER_THREAD = 1 << 14


class NumbaEngine:
    """Lattices of one image, built when first needed.

    Args:
        image: (h, w, channel), uint8 or float32, C-contiguous and writable.
        terms: pairwise terms.
        threads: None for as many as numba uses (NUMBA_NUM_THREADS, `numba.set_num_threads`).
        memory_limit: bytes, or None for what the machine has.

    Attributes:
        device: None, for NumPy arrays.
    """

    def __init__(
        self,
        image: Shaped[np.ndarray, "h w channel"],
        terms: Sequence[Term],
        threads: int | None,
        memory_limit: int | None,
    ) -> None:
        if threads is not None and threads < 1:
            raise InvalidInputError(f"threads must be 1 or more, got {threads}")
        self._image, self._terms = image, tuple(terms)
        self._threads, self._memory_limit = threads, memory_limit
        self._lattices: dict[int, Lattice] = {}
        self.device = None
        self._lock = threading.Lock()

    def adopt(self, lattices: Mapping[int, Lattice]) -> None:
        """Use `shareable` lattices of an image of the same size."""
        self._lattices.update(lattices)

    @property
    def shareable(self) -> Mapping[int, Lattice]:
        """The lattices made so far that hold for every image of this size."""
        return {i: lattice for i, lattice in self._lattices.items() if not self._terms[i].sees_image}

    def infer(
        self, maps: Shaped[np.ndarray, "label pixel"], probabilities: bool, iterations: int, diagnostics: bool
    ) -> Outcome:
        """Mean-field inference from probabilities, or else energies."""
        labels = len(maps)
        rewards = [None if potts_weight(term) is not None else reward_matrix(term, labels) for term in self._terms]
        lanes = lanes_for(labels)
        dims = {len(self._widths(term)) for term in self._terms}
        kernels = kernels_for(lanes)
        filters = kernels.filter if bands_for(maps[0].size) == 1 else kernels.splat
        announce([*(embed(d) for d in dims), *(filters(d + 1) for d in dims)])
        threads = min(self._threads or numba.get_num_threads(), max(1, maps[0].size // _PIXELS_PER_THREAD))
        with Workers(threads) as workers:
            lattices = self._ready(workers)
            return infer(maps, probabilities, lattices, rewards, iterations, diagnostics, self._memory_limit, workers)

    def _ready(self, workers: Workers) -> list[Lattice]:
        with self._lock:
            for i, term in enumerate(self._terms):
                if i not in self._lattices:
                    weight = potts_weight(term)
                    gain = 1.0 if weight is None else weight
                    image = self._image if term.sees_image else self._image[..., :0]
                    self._lattices[i] = build_lattice(image, self._widths(term), gain, self._memory_limit, workers)
            return [self._lattices[i] for i in range(len(self._terms))]

    def _widths(self, term: Term) -> np.ndarray:
        return np.ascontiguousarray(term.widths(self._image.shape[2]))
