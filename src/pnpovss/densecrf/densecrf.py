"""A Dense CRF over one image: the public class."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
from jaxtyping import Float64, Shaped

from pnpovss.densecrf import memory
from pnpovss.densecrf.checks import (
    as_array,
    as_image,
    check_image_shape,
    check_iterations,
    check_maps,
    is_tensor,
    only_one,
)
from pnpovss.densecrf.engine import Engine
from pnpovss.densecrf.terms import Bilateral, Gaussian, Term
from pnpovss.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

__all__ = ["Backend", "CRFResult", "DenseCRF"]

# A NumPy array or a torch tensor: what comes out is what went in.
ArrayT = TypeVar("ArrayT")
Backend = Literal["auto", "numba", "torch"]


@dataclass(frozen=True, eq=False)
class CRFResult(Generic[ArrayT]):
    """What inference gives. Arrays are NumPy, or torch tensors on the input's device if the scores were a tensor.

    A result of `infer_batch` has one more axis in front, the image.

    Attributes:
        q: float32 (C, h, w), marginal probability of each label; sums to 1 over labels.
        labels: int32 (h, w), index of the most probable label, the lowest one of equals.
        kl: float64 (iterations + 1,) after 0, 1, ... iterations, None unless asked for: KL divergence to the CRF up
            to a constant, as the original's `klDivergence` computes it (it counts each pair of pixels twice).
        energy: float64 (iterations + 1,), None unless asked for: expected energy of a labelling drawn from Q, each
            pair counted once, up to a constant for Potts terms.
    """

    q: ArrayT
    labels: ArrayT
    kl: Float64[np.ndarray, "*b iteration1"] | None = None
    energy: Float64[np.ndarray, "*b iteration1"] | None = None


class DenseCRF:
    """A fully connected CRF over the pixels of one image (Krähenbühl and Koltun 2011).

    Filters (permutohedral lattices) are built at the first call of `infer` and kept for all further calls.
    One object may be used from several threads.

    Args:
        image: (h, w, 3) or (h, w, any channels) or (h, w); uint8, or floating-point. A NumPy array, or a torch
            tensor; a tensor on another device than the CPU is worked on there.
        pairwise: the pairwise terms, any number; the defaults are those of PnP-OVSS.
        threads: for numba; None for the least of the cores, NUMBA_NUM_THREADS, OMP_NUM_THREADS and torch's number.
        backend: "numba" (CPU), "torch" (any device), or "auto": numba for what lives on the CPU.

    Raises:
        InvalidInputError: an image of another shape or type, or a bad option.
    """

    def __init__(
        self,
        image: "Shaped[np.ndarray, 'h w *channel'] | torch.Tensor",
        pairwise: Sequence[Term] = (Gaussian(), Bilateral()),
        *,
        threads: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        self._engine = _engine(image, tuple(pairwise), threads, backend)
        self.size: tuple[int, int] = (int(image.shape[0]), int(image.shape[1]))
        self.pairwise: tuple[Term, ...] = tuple(pairwise)

    @property
    def filters(self) -> dict[int, Any]:
        """The lattices built so far, by the index of their term."""
        return self._engine.lattices

    def infer(
        self,
        *,
        probabilities: ArrayT | None = None,
        energies: ArrayT | None = None,
        iterations: int = 10,
        diagnostics: bool = False,
        go_on: Callable[[], Any] = lambda: None,
    ) -> CRFResult[ArrayT]:
        """Mean-field inference.

        Args:
            probabilities: (C, h, w) in [0, 1], of any type of numbers, clipped below at 1e-5 and turned into energies
                by -log, as pydensecrf's `unary_from_softmax` does. They need not sum to 1.
            energies: (C, h, w) instead, lower is likelier; +inf (and what is above 1e30) forbids a label; every pixel
                must be left one.
            iterations: number of updates; 0 gives the softmax of the unary term.
            diagnostics: also give `kl` and `energy` after each iteration; costs one more filtering.
            go_on: called before each iteration; what it raises ends the inference, since many labels on a large
                photo take minutes.

        Raises:
            InvalidInputError: a shape that does not fit the image, values out of range, or both or none given.
            ResourceError: it would take more memory than there is.
        """
        name, maps = only_one(probabilities, energies)
        check_iterations(iterations)
        check_maps(name, np.shape(maps), self.size)
        labels = maps.shape[0]
        what = f"the Dense CRF of {labels} labels at {self.size[1]} x {self.size[0]} pixels"
        memory.require(self._engine.memory_needed(labels, diagnostics), self._engine.free_memory(), what)
        flat = _for_engine(maps, self._engine).reshape(labels, -1)
        outcome = self._engine.infer(flat, probabilities is not None, int(iterations), diagnostics, go_on)
        q, best = outcome.q.reshape(labels, *self.size), outcome.labels.reshape(self.size)
        return CRFResult(_like(q, maps), _like(best, maps), outcome.kl, outcome.energy)


def _engine(image: Any, terms: tuple[Term, ...], threads: int | None, backend: str) -> Engine:
    """What does the work where `image` lives; imported only now, because both take a while to import."""
    if backend not in {"auto", "numba", "torch"}:
        raise InvalidInputError(f'backend must be "auto", "numba" or "torch", got {backend!r}')
    off_cpu = is_tensor(image) and image.device.type != "cpu"
    if backend == "numba" and off_cpu:
        raise InvalidInputError(f'backend "numba" works on the CPU, but the image is on {image.device}')
    if backend == "torch" or off_cpu:
        from pnpovss.densecrf.torch_engine import TorchEngine

        check_image_shape(tuple(image.shape))
        return TorchEngine(image, terms)
    from pnpovss.densecrf.numba_.engine import NumbaEngine

    return NumbaEngine(as_image(image), terms, threads)


def _for_engine(maps: Any, engine: Engine) -> Any:
    """`maps` as the engine wants them: NumPy, or a tensor on its device."""
    device = engine.device
    if device is None:
        if is_tensor(maps) and maps.device.type != "cpu":
            raise InvalidInputError(f"the scores are on {maps.device} and the image is on the CPU: move one of them")
        return as_array(maps)
    if is_tensor(maps) and maps.device != device:
        raise InvalidInputError(f"the scores are on {maps.device} and the image is on {device}: move one of them")
    return maps


def _like(result: Any, maps: Any) -> Any:
    """`result` as the kind of array that `maps` is."""
    if is_tensor(result) == is_tensor(maps):
        return result
    if is_tensor(result):
        return result.cpu().numpy()
    import torch

    return torch.from_numpy(result)
