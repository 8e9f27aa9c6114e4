"""The Dense CRF of several images of one size."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped

from pnpovss.densecrf.checks import is_tensor, only_one
from pnpovss.densecrf.densecrf import ArrayT, Backend, CRFResult, DenseCRF
from pnpovss.densecrf.terms import Bilateral, Gaussian, Term
from pnpovss.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

__all__ = ["infer_batch"]


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

    Raises:
        InvalidInputError: as for `DenseCRF`, no image, images of several sizes, or not one set of score maps per image.
        ResourceError: it would take more memory than there is.
    """
    name, maps = only_one(probabilities, energies)
    if len(images) == 0 or len(images) != len(maps):
        raise InvalidInputError(f"give one or more images and as many {name}, got {len(images)} and {len(maps)}")
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise InvalidInputError(f"the images of a batch must be of one shape, got {sorted(shapes)}")
    results: list[CRFResult[Any]] = []
    shared: dict[int, Any] = {}  # Filters that hold for every image of this size, by term.
    for image, scores in zip(images, maps, strict=True):
        crf = DenseCRF(image, pairwise, threads=threads, backend=backend)
        crf.filters.update(shared)
        results.append(crf.infer(**{name: scores}, iterations=iterations, diagnostics=diagnostics))
        shared = {i: built for i, built in crf.filters.items() if not pairwise[i].sees_image}
    kl = np.stack([r.kl for r in results if r.kl is not None]) if diagnostics else None
    energy = np.stack([r.energy for r in results if r.energy is not None]) if diagnostics else None
    return CRFResult(_stack([r.q for r in results]), _stack([r.labels for r in results]), kl, energy)


def _stack(arrays: list[Any]) -> Any:
    if is_tensor(arrays[0]):
        import torch

        return torch.stack(arrays)
    return np.stack(arrays)
