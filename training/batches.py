"""What a stage of training is told, and its batches of cached features."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["FROZEN_LAYERS", "READ_HEAD", "READ_LAYER", "WHOLE", "Batch", "Batches", "FitConfig", "Near", "seen_of"]

FROZEN_LAYERS = 3
READ_LAYER, READ_HEAD = 4, 0
"""The cross-attention whose maps are used: the losses on maps act on this one."""
HIDDEN = 0.3
"""Least share of a patch, or of one next to it, that is the thing, where the thing is hidden: its edge, too."""
WHOLE = -1
"""Corner of a look at the whole photo."""


@dataclass(frozen=True)
class FitConfig:
    """Settings of one stage.

    Attributes:
        steps: optimiser steps.
        photos: photos in a batch.
        rate_new: peak learning rate of the parts that start at random.
        rate_old: the same for the pretrained text layers.
        rate_trunk: the same for the image trunk's last blocks; 0 leaves them as they came, and the cache as it is.
        keep: weight of the loss that holds those blocks' features near what ImageNet taught them.
        warmup: steps until the peak.
        hide: share of batches' photos of which some squares are hidden.
        hide_things: whether it is a thing that is hidden in half of those; that wants maps that cover all of it.
        near: share of sharp photos of which a part is seen from near, instead of the whole.
        silence: how often the heads that are not read, and tokens that are no names, are silenced.
        spread: weight of the loss against attention on few patches.
        look: weight of the loss on attention against pseudo-maps.
        gradcam: weight of the loss on GradCAM maps against pseudo-maps.
        extent: weight of the loss on how far both maps overlap with pseudo-maps.
        rising: weight of the loss on negative gradients at things.
        amount: weight of the loss on how much a GradCAM map sums to.
        texts: names in the contrastive loss of a step.
        bf16: whether matrices are multiplied in bfloat16.
        device: where it computes.
        seed: of everything that is drawn.
        save_every: steps between checkpoints.
        average: decay of the running mean of the weights.
    """

    steps: int = 3000
    photos: int = 16
    rate_new: float = 7e-4
    rate_old: float = 1e-4
    rate_trunk: float = 0.0
    keep: float = 0.1
    warmup: int = 60
    hide: float = 0.5
    hide_things: bool = False
    near: float = 0.5
    silence: float = 0.3
    spread: float = 0.05
    look: float = 0.5
    gradcam: float = 0.5
    extent: float = 0.0
    rising: float = 0.5
    amount: float = 0.5
    texts: int = 48
    bf16: bool = False
    device: str = "cpu"
    seed: int = 0
    save_every: int = 200
    average: float = 0.997


@dataclass(frozen=True)
class Batch:
    """Photos of one step.

    Attributes:
        photos: their numbers.
        features: "b n 600".
        mirrored: which were mirrored, "b".
        hidden: which patches were hidden, "b n".
        corners: first row and column of the part that is seen, of those of the photo from near; `WHOLE` twice where all
            of it is seen.
    """

    photos: np.ndarray
    features: Tensor
    mirrored: np.ndarray
    hidden: Tensor
    corners: np.ndarray


@dataclass(frozen=True)
class Near:
    """Features of photos at a larger size, of which a step sees parts as large as other photos.

    Attributes:
        trunk: of the trunk, "row n 472".
        semantic: likewise, "row n 128".
        row: which row is of which photo; -1 for photos that are not among them.
    """

    trunk: np.ndarray
    semantic: np.ndarray
    row: np.ndarray

    @property
    def side(self) -> int:
        """Patches along a side."""
        return round(self.trunk.shape[1] ** 0.5)

    def part(self, photo: int, corner: np.ndarray, side: int) -> np.ndarray:
        """Features of `side` x `side` patches from a corner on, "n 600"."""
        where = np.s_[self.row[photo], corner[0] : corner[0] + side, corner[1] : corner[1] + side]
        shape = (len(self.trunk), self.side, self.side, -1)
        parts = [array.reshape(shape)[where].reshape(side**2, -1) for array in (self.trunk, self.semantic)]
        return np.concatenate(parts, -1)


def seen_of(maps: Float[Tensor, "b slot cell"], corners: np.ndarray, side: int) -> Float[Tensor, "b slot n"]:
    """What a look sees of maps of the whole photo, a value for each of `side` x `side` patches."""
    cells = round(maps.shape[-1] ** 0.5)
    square = maps.unflatten(-1, (cells, cells))
    seen = F.interpolate(square, (side, side), mode="area")
    for i, (y, x) in enumerate(corners):
        if y != WHOLE:
            seen[i] = square[i, :, y : y + side, x : x + side]
    return seen.flatten(2)


class Batches:
    """Cached features of photos, with squares hidden and mirrored at random."""

    def __init__(
        self,
        trunk: np.ndarray,
        semantic: np.ndarray,
        blank: Float[Tensor, "n 600"],
        config: FitConfig,
        near: Near | None = None,
    ) -> None:
        self.trunk, self.semantic, self.blank, self.config, self.near = trunk, semantic, blank, config, near
        self.side = round(trunk.shape[1] ** 0.5)
        self.random = np.random.default_rng(config.seed + 1)

    def load(
        self, photos: np.ndarray, *, augment: bool = True, maps: Float[Tensor, "b slot cell"] | None = None
    ) -> Batch:
        """Features of photos, augmented or as they are.

        Args:
            photos: which.
            augment: whether to mirror, to hide, and to see parts from near.
            maps: where things are: sometimes they are what is hidden, as Salience Dropout will do.
        """
        corners = self._corners(photos, maps) if augment else np.full((len(photos), 2), WHOLE)
        rows = np.stack([self.features_of(photo, corner) for photo, corner in zip(photos, corners, strict=True)])
        features = torch.from_numpy(rows.astype(np.float32)).unflatten(1, (self.side, self.side))
        coins = self.random.random(len(photos)) < 0.5 if augment else np.zeros(len(photos), bool)
        mirrored = torch.from_numpy(coins)
        features[mirrored] = features[mirrored].flip(2)
        features = features.flatten(1, 2)
        hidden = torch.zeros(features.shape[:2], dtype=torch.bool)
        if augment:
            seen = None if maps is None else seen_of(maps, corners, self.side).numpy()
            rows = [self._hidden(None if seen is None else seen[i]) for i in range(len(photos))]
            hidden = torch.from_numpy(np.stack(rows))
            square = hidden[mirrored].unflatten(1, (self.side, self.side))
            hidden[mirrored] = square.flip(2).flatten(1)
            features = torch.where(hidden[..., None], self.blank, features)
        return Batch(photos, features, coins, hidden, corners)

    def features_of(self, photo: int, corner: np.ndarray) -> np.ndarray:
        """What a look at a photo sees, "n 600": see `Batch.corners`."""
        if corner[0] == WHOLE:
            return np.concatenate([self.trunk[photo], self.semantic[photo]], -1)
        assert self.near is not None
        return self.near.part(photo, corner, self.side)

    def _corners(self, photos: np.ndarray, maps: Tensor | None) -> np.ndarray:
        """A part of a photo without maps would only ever teach what is absent."""
        corners = np.full((len(photos), 2), WHOLE)
        if self.near is not None and maps is not None:
            here = (self.near.row[photos] >= 0) & (self.random.random(len(photos)) < self.config.near)
            here &= maps.flatten(1).any(1).numpy()
            corners[here] = self.random.integers(0, self.near.side - self.side + 1, (int(here.sum()), 2))
        return corners

    def _hidden(self, maps: np.ndarray | None) -> np.ndarray:
        """Nothing, or squares of 2 x 2 patches (20 to 60% of them: hide and seek), or most of what is a thing."""
        drawn, share = self.random.random(), self.random.uniform(0.2, 0.6)
        if drawn >= self.config.hide:
            return np.zeros(self.side**2, bool)
        if maps is not None and self.config.hide_things and drawn < self.config.hide / 2:
            chosen = self.random.permutation(len(maps))[: self.random.integers(1, len(maps) + 1)]
            thing = torch.from_numpy(maps[chosen].max(0)).view(1, 1, self.side, self.side)
            around = F.max_pool2d(thing, 3, 1, 1).flatten().numpy() > HIDDEN
            return around & (self.random.random(self.side**2) < 0.95)
        coarse = self.random.random((self.side // 2 + 1,) * 2) < share
        return coarse.repeat(2, 0).repeat(2, 1)[: self.side, : self.side].ravel()
