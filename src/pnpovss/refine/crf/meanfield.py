"""Mean-field inference on the CPU (Krähenbühl and Koltun 2011, algorithm 1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32

from pnpovss.refine.crf.jit import Workers
from pnpovss.refine.crf.kernels import PADDING, Kernels, kernels_for, lanes_for, rows_to_maps
from pnpovss.refine.crf.lattice import Lattice, blur_and_splat

__all__ = ["Outcome", "infer", "log_rows"]

# Pixels that are converted at a time.
_TILE = 1 << 15
# pydensecrf's smallest probability.
CLIP = 1e-5


@dataclass(frozen=True, eq=False)
class Outcome:
    """What inference gives: q float32 (label, pixel), labels int32 (pixel,), and the diagnostics of each iteration."""

    q: Float32[np.ndarray, "label pixel"]
    labels: Int32[np.ndarray, " pixel"]
    kl: Float64[np.ndarray, " iteration1"] | None
    energy: Float64[np.ndarray, " iteration1"] | None


def log_rows(maps: np.ndarray, probabilities: bool, workers: Workers) -> Float32[np.ndarray, "pixel width"]:
    """Log-probabilities (pixel, label padded to whole registers) of probabilities or energies (label, pixel)."""
    labels, count = maps.shape
    lanes = lanes_for(labels)
    rows = np.empty((count, -(-labels // lanes) * lanes), dtype=np.float32)
    rows[:, labels:] = PADDING

    def convert(first: int, last: int) -> None:
        for start in range(first, last, _TILE):
            stop = min(start + _TILE, last)
            if probabilities:
                part = np.clip(maps[:, start:stop], CLIP, 1.0).astype(np.float32, copy=False)
                np.log(part, out=part)
            else:
                part = np.maximum(-maps[:, start:stop].astype(np.float32, copy=False), PADDING)
            rows[start:stop, :labels] = part.T

    workers.run(convert, workers.even(count))
    return rows


def infer(
    logs: Float32[np.ndarray, "pixel width"],
    labels: int,
    lattices: Sequence[Lattice],
    rewards: Sequence[np.ndarray | None],
    iterations: int,
    diagnose: bool,
    workers: Workers,
) -> Outcome:
    """Mean-field inference.

    Args:
        logs: log-probabilities (minus energies), padded; see `log_rows`.
        labels: how many there are, without padding.
        lattices: one a pairwise term.
        rewards: per term, None for Potts (already in the lattice's weights) or the reward matrix (label, label).
        iterations: number of updates.
        diagnose: whether to compute kl and energy after each iteration; one more filtering, and slower.
        workers: threads.
    """
    count, width = logs.shape
    kernels = kernels_for(lanes_for(labels))
    bounds = workers.even(count)
    flat, rows = logs.reshape(-1), logs.reshape(-1).copy()
    workers.run(kernels.softmax, bounds, rows, width)
    buffers = [_buffer(kernels, lattice, width) for lattice in lattices]
    scratch = np.zeros(max((lattice.size + 1 for lattice in lattices), default=0) * kernels.lanes, dtype=np.float32)
    paddeds = [None if reward is None else _padded(reward, width) for reward in rewards]
    measures = []
    for step in range(iterations + diagnose):
        for lattice, buffer, padded in zip(lattices, buffers, paddeds, strict=True):
            part = scratch[: (lattice.size + 1) * kernels.lanes]
            part[-kernels.lanes :] = 0
            for block in range(width // kernels.lanes):
                blur_and_splat(lattice, kernels, rows, width, block, buffer[block], part, workers)
            if padded is not None:
                _mix_labels(buffer, padded, kernels.lanes)
        before = rows.copy() if diagnose else rows
        start = flat
        if not lattices:
            rows[:] = flat
        for lattice, buffer in zip(lattices, buffers, strict=True):
            workers.run(
                kernels.slice,
                bounds,
                rows,
                start,
                width,
                buffer.reshape(-1),
                buffer.shape[1],
                lattice.points,
                lattice.slice_weights,
            )
            start = rows
        if diagnose:
            measures.append(_diagnose(before.reshape(logs.shape), logs, rows.reshape(logs.shape), labels))
            if step == iterations:
                rows = before
                break
        workers.run(kernels.softmax, bounds, rows, width)
    q = np.empty((labels, count), dtype=np.float32)
    best = np.empty(count, dtype=np.int32)
    workers.run(rows_to_maps, bounds, rows.reshape(logs.shape), q, best)
    kl, energy = np.array(measures).T if diagnose else (None, None)
    return Outcome(q, best, kl, energy)


def _buffer(kernels: Kernels, lattice: Lattice, width: int) -> np.ndarray:
    """Values of all lattice points and one more that stays 0: (block, (point + 1) * lanes)."""
    return np.zeros((width // kernels.lanes, (lattice.size + 1) * kernels.lanes), dtype=np.float32)


def _padded(reward: np.ndarray, width: int) -> np.ndarray:
    padded = np.zeros((width, width), dtype=np.float32)
    padded[: len(reward), : len(reward)] = reward
    return padded


def _mix_labels(buffer: np.ndarray, reward: np.ndarray, lanes: int) -> None:
    """Multiply lattice values (block, point * lanes) by the reward matrix, in place, some points at a time."""
    blocks = len(buffer)
    values = buffer.reshape(blocks, -1, lanes)
    for start in range(0, values.shape[1], _TILE):
        part = values[:, start : start + _TILE]
        mixed = part.transpose(1, 0, 2).reshape(part.shape[1], -1) @ reward
        part[:] = mixed.reshape(part.shape[1], blocks, lanes).transpose(1, 0, 2)


def _diagnose(q: np.ndarray, logs: np.ndarray, sums: np.ndarray, labels: int) -> tuple[float, float]:
    """KL as the original defines it, and the expected energy, of `q`.

    `sums` is log-probabilities plus the messages that q sends. With U = -logs and P = -messages:
    kl = sum q log q + sum q U + sum q P; the original counts each pair twice here. energy = sum q U + sum q P / 2.
    """
    entropy = unary = pairwise = 0.0
    for start in range(0, len(q), _TILE):
        part = q[start : start + _TILE, :labels].astype(np.float64)
        log = logs[start : start + _TILE, :labels].astype(np.float64)
        entropy += float((part * np.log(np.maximum(part, 1e-20))).sum())
        unary -= float((part * log).sum())
        pairwise -= float((part * (sums[start : start + _TILE, :labels] - log)).sum())
    return entropy + unary + pairwise, unary + pairwise / 2
