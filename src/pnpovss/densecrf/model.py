"""The public class and function: a Dense CRF over one image, and over a batch of images of one size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
from jaxtyping import Float64, Shaped

from pnpovss.densecrf.inputs import (
    as_image,
    check_image_shape,
    check_iterations,
    check_maps,
    is_tensor,
    only_one,
)
from pnpovss.densecrf.terms import Bilateral, Gaussian, Term
from pnpovss.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

    from pnpovss.densecrf.cpu import NumbaEngine
    from pnpovss.densecrf.gpu import TorchEngine

__all__ = ["Backend", "CRFResult", "DenseCRF", "infer_batch"]

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
        threads: for the CPU; None for numba's number (NUMBA_NUM_THREADS, `numba.set_num_threads`).
        backend: "numba" (CPU), "torch" (any device), or "auto": numba for what lives on the CPU.
        memory_limit: bytes it may take beyond what is in use; None for what the machine (or GPU) has free.

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
        memory_limit: int | None = None,
    ) -> None:
        self._engine = _engine(image, tuple(pairwise), threads, backend, memory_limit)
        self.size: tuple[int, int] = (int(image.shape[0]), int(image.shape[1]))
        self.pairwise: tuple[Term, ...] = tuple(pairwise)

    def infer(
        self,
        *,
        probabilities: ArrayT | None = None,
        energies: ArrayT | None = None,
        iterations: int = 10,
        diagnostics: bool = False,
    ) -> CRFResult[ArrayT]:
        """Mean-field inference.

        Args:
            probabilities: (C, h, w) in [0, 1], clipped below at 1e-5 and turned into energies by -log, as
                pydensecrf's `unary_from_softmax` does. They need not sum to 1.
            energies: (C, h, w) instead, lower is likelier; +inf forbids a label.
            iterations: number of updates; 0 gives the softmax of the unary term.
            diagnostics: also give `kl` and `energy` after each iteration; costs one more filtering.

        Raises:
            InvalidInputError: a shape that does not fit the image, values out of range, or both or none given.
            ResourceError: it would take more memory than there is.
        """
        name, maps = only_one(probabilities, energies)
        check_iterations(iterations)
        check_maps(name, np.shape(maps), self.size)
        labels = maps.shape[0]
        outcome = self._engine.infer(
            _for_engine(maps, self._engine).reshape(labels, -1), probabilities is not None, int(iterations), diagnostics
        )
        q, best = outcome.q.reshape(labels, *self.size), outcome.labels.reshape(self.size)
        return CRFResult(_like(q, maps), _like(best, maps), outcome.kl, outcome.energy)


def infer_batch(
    images: "Shaped[np.ndarray, 'b h w *channel'] | torch.Tensor",
    *,
    probabilities: ArrayT | None = None,
    energies: ArrayT | None = None,
    pairwise: Sequence[Term] = (Gaussian(), Bilateral()),
    iterations: int = 10,
    diagnostics: bool = False,
    threads: int | None = None,
    backend: Backend = "auto",
    memory_limit: int | None = None,
) -> CRFResult[ArrayT]:
    """`DenseCRF(image).infer(...)` for several images of one size; what does not depend on the image is made once.

    Args:
        images: (b, h, w, 3) or another shape that `DenseCRF` takes, with b in front; or a list of images.
        probabilities: (b, C, h, w); see `DenseCRF.infer`.
        energies: (b, C, h, w) instead.
        pairwise: as for `DenseCRF`.
        iterations: as for `DenseCRF.infer`.
        diagnostics: as for `DenseCRF.infer`.
        threads: as for `DenseCRF`.
        backend: as for `DenseCRF`.
        memory_limit: as for `DenseCRF`.

    Raises:
        InvalidInputError: as for `DenseCRF`, no image, images of several sizes, or not one score map an image.
        ResourceError: it would take more memory than there is.
    """
    name, maps = only_one(probabilities, energies)
    if len(images) == 0 or len(images) != len(maps):
        raise InvalidInputError(f"give one or more images and as many {name}, got {len(images)} and {len(maps)}")
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise InvalidInputError(f"the images of a batch must be of one shape, got {sorted(shapes)}")
    results: list[CRFResult[Any]] = []
    shared: Mapping[int, Any] = {}
    for image, scores in zip(images, maps, strict=True):
        crf = DenseCRF(image, pairwise, threads=threads, backend=backend, memory_limit=memory_limit)
        crf._engine.adopt(shared)
        results.append(crf.infer(**{name: scores}, iterations=iterations, diagnostics=diagnostics))
        shared = crf._engine.shareable
    kl = np.stack([r.kl for r in results if r.kl is not None]) if diagnostics else None
    energy = np.stack([r.energy for r in results if r.energy is not None]) if diagnostics else None
    return CRFResult(_stack([r.q for r in results]), _stack([r.labels for r in results]), kl, energy)


def _engine(
    image: Any, terms: tuple[Term, ...], threads: int | None, backend: str, memory_limit: int | None
) -> "NumbaEngine | TorchEngine":
    """What does the work where `image` lives; imported only now, because both take a while to import."""
    if backend not in {"auto", "numba", "torch"}:
        raise InvalidInputError(f'backend must be "auto", "numba" or "torch", got {backend!r}')
    off_cpu = is_tensor(image) and image.device.type != "cpu"
    if backend == "numba" and off_cpu:
        raise InvalidInputError(f'backend "numba" works on the CPU, but the image is on {image.device}')
    if backend == "torch" or off_cpu:
        from pnpovss.densecrf.gpu import TorchEngine

        check_image_shape(tuple(image.shape))
        return TorchEngine(image, terms, memory_limit)
    from pnpovss.densecrf.cpu import NumbaEngine

    return NumbaEngine(as_image(image), terms, threads, memory_limit)


def _for_engine(maps: Any, engine: "NumbaEngine | TorchEngine") -> Any:
    """`maps` as the engine wants them: NumPy, or a tensor on its device."""
    device = engine.device
    if device is None:
        if is_tensor(maps) and maps.device.type != "cpu":
            raise InvalidInputError(f"the scores are on {maps.device} and the image is on the CPU: move one of them")
        return maps.detach().numpy() if is_tensor(maps) else np.asarray(maps)
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


def _stack(arrays: list[Any]) -> Any:
    if is_tensor(arrays[0]):
        import torch

        return torch.stack(arrays)
    return np.stack(arrays)
