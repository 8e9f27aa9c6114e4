"""Two independent truths for the Dense CRF: exact sums over all pairs of pixels, and the original implementation."""

import numpy as np


def exact_q(
    image: np.ndarray,
    energies: np.ndarray,
    kernels: list[tuple[np.ndarray, np.ndarray]],
    iterations: int,
) -> np.ndarray:
    """Mean field with the kernels written out as N x N matrices, in float64.

    kernels: per term the widths (x, y, channels...) and what label a gains by a neighbour b, (C, C).
    """
    labels, height, width = energies.shape
    y, x = np.mgrid[:height, :width]
    unary = energies.reshape(labels, -1).astype(np.float64)
    filters = []
    for widths, reward in kernels:
        planes = np.stack([x, y, *np.moveaxis(image.astype(np.float64), -1, 0)])[: len(widths)]
        features = planes.reshape(len(widths), -1) / widths[:, None]
        squares = ((features[:, :, None] - features[:, None, :]) ** 2).sum(axis=0)
        kernel = np.exp(-squares / 2)
        norm = 1 / np.sqrt(kernel.sum(axis=1))
        filters.append((kernel * norm[:, None] * norm[None, :], reward))
    q = _softmax(-unary)
    for _ in range(iterations):
        q = _softmax(-unary + sum(reward @ (q @ kernel) for kernel, reward in filters))
    return q.reshape(labels, height, width)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def pydensecrf_q(
    image: np.ndarray,
    probabilities: np.ndarray,
    gaussians: list[tuple],
    bilaterals: list[tuple],
    iterations: int,
) -> tuple[np.ndarray, list[float]]:
    """Q (C, h, w) of the original C++, and its KL divergence after 0, 1, ... iterations.

    gaussians: (sxy, compat); bilaterals: (sxy, srgb, compat).
    """
    from pydensecrf import densecrf, utils

    labels, height, width = probabilities.shape
    crf = densecrf.DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(utils.unary_from_softmax(probabilities)))
    for sxy, compat in gaussians:
        crf.addPairwiseGaussian(sxy=sxy, compat=compat)
    for sxy, srgb, compat in bilaterals:
        crf.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=np.ascontiguousarray(image), compat=compat)
    q, first, second = crf.startInference()
    kl = [crf.klDivergence(q)]
    for _ in range(iterations):
        crf.stepInference(q, first, second)
        kl.append(crf.klDivergence(q))
    return np.array(q, dtype=np.float32).reshape(labels, height, width), kl


def scene(height: int, width: int, labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A made-up photo (flat regions, an edge, noise) and smooth score maps over it: uint8 and softmax float32."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    regions = (np.sin(5 * x + rng.uniform(0, 6)) + np.cos(4 * y + rng.uniform(0, 6)) > 0).astype(np.float64)
    image = (
        60
        + 110 * regions[..., None] * rng.uniform(0.3, 1, 3)
        + 40 * x[..., None]
        + rng.normal(0, 6, (height, width, 3))
    )
    waves = [np.sin(rng.uniform(2, 9) * x + rng.uniform(2, 9) * y + rng.uniform(0, 6)) for _ in range(labels)]
    logits = 2 * np.stack(waves) + rng.normal(0, 0.5, (labels, height, width))
    return image.clip(0, 255).astype(np.uint8), _softmax(logits).astype(np.float32)
