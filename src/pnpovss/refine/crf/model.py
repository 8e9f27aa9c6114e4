"""The public class: a Dense CRF over one image, and the same for a batch of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pnpovss.errors import InvalidInputError
from pnpovss.refine.crf.terms import Bilateral, Gaussian, Term, potts_weight, reward_matrix

__all__ = ["CRFResult", "DenseCRF"]


@dataclass(frozen=True, eq=False)
class CRFResult:
    """What inference gives; arrays are NumPy or torch, as the input was.

    Attributes:
        q: float32 (C, h, w), marginal probability of each label; sums to 1 over labels.
        labels: int32 (h, w), index of the most probable label.
        kl: float64 (iterations + 1,), or None when not asked for: KL divergence as the original implementation
            defines it (up to a constant), after 0, 1, ... iterations.
        energy: float64 (iterations + 1,), or None: expected energy of a labelling drawn from Q.
    """

    q: Any
    labels: Any
    kl: Any = None
    energy: Any = None


class DenseCRF:
    """A fully connected CRF over the pixels of one image."""

    def __init__(self, image: Any, pairwise: Sequence[Term] = (Gaussian(), Bilateral()), threads: int | None = None):
        self.image = np.ascontiguousarray(image)
        self.pairwise = tuple(pairwise)
        self.threads = threads
        self._lattices = None

    def infer(self, *, probabilities=None, energies=None, iterations: int = 10, diagnose: bool = False) -> CRFResult:
        from pnpovss.refine.crf.jit import Workers
        from pnpovss.refine.crf.lattice import build_lattice
        from pnpovss.refine.crf.meanfield import infer, log_rows

        maps = probabilities if probabilities is not None else energies
        if maps is None:
            raise InvalidInputError("give probabilities or energies")
        maps = np.asarray(maps)
        labels = maps.shape[0]
        import numba

        with Workers(self.threads or numba.get_num_threads()) as workers:
            if self._lattices is None:
                self._lattices = []
                for term in self.pairwise:
                    im = self.image if term.sees_image else self.image[..., :0]
                    w = potts_weight(term)
                    self._lattices.append(
                        build_lattice(
                            np.ascontiguousarray(im), term.widths(im.shape[2]), 1.0 if w is None else w, workers
                        )
                    )
            rewards = [None if potts_weight(t) is not None else reward_matrix(t, labels) for t in self.pairwise]
            logs = log_rows(maps.reshape(labels, -1), probabilities is not None, workers)
            out = infer(logs, labels, self._lattices, rewards, iterations, diagnose, workers)
        hw = self.image.shape[:2]
        return CRFResult(out.q.reshape(labels, *hw), out.labels.reshape(hw), out.kl, out.energy)
