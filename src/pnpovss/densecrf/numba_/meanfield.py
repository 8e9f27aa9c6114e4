"""Mean-field inference on the CPU (Krähenbühl and Koltun 2011, algorithm 1)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from pnpovss.densecrf.checks import check_energies, check_not_all_forbidden, check_probabilities
from pnpovss.densecrf.engine import FORBIDDEN, SMALLEST, Outcome, kl_and_energy
from pnpovss.densecrf.numba_.filter_kernels import (
    LANES,
    PADDING,
    WIDE,
    Kernels,
    blocks_to_maps,
    kernels_for,
    lanes_for,
)
from pnpovss.densecrf.numba_.lattice import Lattice, bands_for, splat_and_blur
from pnpovss.densecrf.numba_.workers import Workers

__all__ = ["infer", "inference_bytes"]

# Pixels that are converted at a time.
_TILE = 1 << 15


def log_blocks(maps: np.ndarray, probabilities: bool, workers: Workers) -> Float32[np.ndarray, "block pixel lane"]:
    """Log-probabilities (block, pixel, lane) of probabilities or energies (label, pixel).

    Labels are cut into registers (blocks of lanes), and both labels and pixels padded to whole registers.
    """
    labels, count = maps.shape
    lanes = lanes_for(labels)
    multiple = WIDE // LANES[0]
    blocks = np.empty((-(-labels // lanes), -(-count // multiple) * multiple, lanes), dtype=np.float32)
    blocks[-1, :, (labels - 1) % lanes + 1 :] = PADDING
    blocks[:, count:] = 0

    def convert(first: int, last: int) -> None:
        for start in range(first, last, _TILE):
            stop = min(start + _TILE, last)
            for block, c in enumerate(range(0, labels, lanes)):
                part = maps[c : c + lanes, start:stop]
                blocks[block, start:stop, : len(part)] = _log(part, probabilities).T

    workers.run(convert, workers.even(count))
    return blocks


def _log(part: np.ndarray, probabilities: bool) -> np.ndarray:
    # Numbers without a sign have no negative, and half precision no 1e30.
    part = part.astype(np.result_type(part, np.float32), copy=False)
    lowest, highest = part.min(), part.max()
    if probabilities:
        check_probabilities(lowest, highest)
        clipped = np.clip(part, SMALLEST, 1.0).astype(np.float32, copy=False)
        return np.log(clipped, out=clipped)
    check_energies(lowest)
    return np.clip(-part, FORBIDDEN, -FORBIDDEN).astype(np.float32, copy=False)


def infer(
    maps: Shaped[np.ndarray, "label pixel"],
    probabilities: bool,
    lattices: Sequence[Lattice],
    rewards: Sequence[np.ndarray | None],
    iterations: int,
    diagnose: bool,
    workers: Workers,
    go_on: Callable[[], Any] = lambda: None,
) -> Outcome:
    """Mean-field inference.

    Args:
        maps: probabilities or energies.
        probabilities: which of the two.
        lattices: one per pairwise term.
        rewards: per term, None for Potts (already in the lattice's weights) or the reward matrix (label, label).
        iterations: number of updates.
        diagnose: whether to compute kl and energy after each iteration; one more filtering, and slower.
        workers: threads.
        go_on: called before each iteration; what it raises ends the inference.

    Raises:
        InvalidInputError: values out of range.
    """
    labels, count = maps.shape
    lanes = lanes_for(labels)
    logs = log_blocks(maps, probabilities, workers)
    if not probabilities:
        check_not_all_forbidden(int((logs[:, :count].max(axis=(0, 2)) <= FORBIDDEN).sum()))
    kernels = kernels_for(lanes)
    values, start = _planes(logs.copy()), _planes(logs)
    _update(kernels, [], [], values, start, count, workers)
    pairs = [lattice.new_pairs(len(logs), lanes) for lattice in lattices]
    parts = [lattice.new_parts(lanes) for lattice in lattices]
    measures = []
    for step in range(iterations + diagnose):
        go_on()
        splat_and_blur(lattices, kernels, values, pairs, parts, workers)
        for pair, reward in zip(pairs, rewards, strict=True):
            if reward is not None:
                _mix_labels(pair[:, 0].reshape(len(logs), -1, lanes), reward)
        if diagnose:
            sums = np.empty_like(values)
            _collect(kernels, lattices, pairs, sums, start, count, workers)
            measures.append(_measure(values.reshape(logs.shape), logs, sums.reshape(logs.shape), labels, count))
        if step < iterations:
            _update(kernels, lattices, pairs, values, start, count, workers)
    shape = logs.shape
    del logs, start, pairs, parts  # Before the result is allocated: the peak is the iterations'.
    q, best = np.empty((labels, count), dtype=np.float32), np.empty(count, dtype=np.int32)
    workers.run(blocks_to_maps, workers.even(count), values.reshape(shape), q, best)
    kl, energy = np.array(measures).T if diagnose else (None, None)
    return Outcome(q, best, kl, energy)


def inference_bytes(labels: int, pixels: int, points: Sequence[int], diagnose: bool) -> int:
    """Memory that inference takes beyond the image, the scores and the lattices of so many points each."""
    lanes = lanes_for(labels)
    blocks = -(-labels // lanes)
    states = 4 * blocks * lanes * pixels * (3 if diagnose else 2)
    # Large images are splatted in bands, one register of labels at a time.
    bands = bands_for(pixels)
    filters = sum(4 * lanes * (size + 1) * (2 * blocks + bands * (bands > 1)) for size in points)
    results = 4 * pixels * (blocks * lanes + labels + 1)
    converting = 8 * 6 * _TILE  # A few tiles in float64.
    return max(states + filters, results) + converting


def _planes(blocks: np.ndarray) -> np.ndarray:
    return blocks.reshape(len(blocks), -1)


def _collect(
    kernels: Kernels,
    lattices: Sequence[Lattice],
    pairs: Sequence[np.ndarray],
    values: np.ndarray,
    start: np.ndarray,
    count: int,
    workers: Workers,
) -> None:
    """Set values (block, pixel * lane) to start + the messages of all terms."""
    source = start
    for lattice, pair in zip(lattices, pairs, strict=True):
        for block, plane in enumerate(values):
            tables = (pair[block, 0], lattice.points, lattice.weights, np.float32(lattice.gain))
            workers.run(kernels.slice(lattice.corners), workers.even(count), plane, source[block], *tables)
        source = values
    if not lattices:
        values[:] = start


def _update(
    kernels: Kernels,
    lattices: Sequence[Lattice],
    pairs: Sequence[np.ndarray],
    values: np.ndarray,
    start: np.ndarray,
    count: int,
    workers: Workers,
) -> None:
    """Set values (block, pixel * lane) to the softmax of start + the messages of all terms."""
    if len(lattices) > 2:
        _collect(kernels, lattices[:-2], pairs[:-2], values, start, count, workers)
        start = values
    no_points, no_weights = np.empty((count, 0), dtype=np.int32), np.empty((count, 0), dtype=np.float32)
    none = (np.empty(0, dtype=np.float32), no_points, no_weights, np.float32(0.0))
    tables = [
        (pair.reshape(-1), lattice.points, lattice.weights, np.float32(lattice.gain))
        for lattice, pair in zip(lattices[-2:], pairs[-2:], strict=True)
    ]
    tables += [none] * (2 - len(tables))
    corners = [points.shape[1] for _, points, *_ in tables]
    workers.run(
        kernels.update(*corners),
        workers.even(values.shape[1] // WIDE),
        values.reshape(-1),
        start.reshape(-1),
        values.shape[1],
        *tables[0],
        *tables[1],
    )


def _mix_labels(values: np.ndarray, reward: np.ndarray) -> None:
    """Multiply lattice values (block, point, lane) by the reward matrix, in place, some points at a time."""
    blocks, points, lanes = values.shape
    padded = np.zeros((blocks * lanes, blocks * lanes), dtype=np.float32)
    padded[: len(reward), : len(reward)] = reward
    for start in range(0, points, _TILE):
        part = values[:, start : start + _TILE]
        mixed = part.transpose(1, 0, 2).reshape(part.shape[1], -1) @ padded
        part[:] = mixed.reshape(part.shape[1], blocks, lanes).transpose(1, 0, 2)


def _measure(q: np.ndarray, logs: np.ndarray, sums: np.ndarray, labels: int, count: int) -> tuple[float, float]:
    """`kl_and_energy` of `q`, all (block, pixel, lane); `sums` is `logs` plus the messages that q sends."""
    entropy = unary = pairwise = 0.0
    lanes = q.shape[2]
    for c in range(labels):
        for start in range(0, count, _TILE):
            cut = (c // lanes, slice(start, min(start + _TILE, count)), c % lanes)
            part, log, message = (array[cut].astype(np.float64) for array in (q, logs, sums))
            entropy += float(part @ np.log(np.maximum(part, 1e-20)))
            unary -= float(part @ log)
            pairwise -= float(part @ (message - log))
    return kl_and_energy(entropy, unary, pairwise)
