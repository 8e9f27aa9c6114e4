"""What a stage of training is told, and its batches of cached features."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["FROZEN_LAYERS", "READ_HEAD", "READ_LAYER", "Batch", "Batches", "FitConfig"]

FROZEN_LAYERS = 3
READ_LAYER, READ_HEAD = 4, 0
"""The cross-attention whose maps are used: the losses on maps act on this one."""


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
        silence: how often the heads that are not read, and tokens that are no names, are silenced.
        spread: weight of the loss against attention on few patches.
        look: weight of the loss on attention against pseudo-maps.
        gradcam: weight of the loss on GradCAM maps against pseudo-maps.
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
    silence: float = 0.3
    spread: float = 0.05
    look: float = 0.5
    gradcam: float = 0.5
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
    """

    photos: np.ndarray
    features: Tensor
    mirrored: np.ndarray
    hidden: Tensor


class Batches:
    """Cached features of photos, with squares hidden and mirrored at random."""

    def __init__(
        self, trunk: np.ndarray, semantic: np.ndarray, blank: Float[Tensor, "n 600"], config: FitConfig
    ) -> None:
        self.trunk, self.semantic, self.blank, self.config = trunk, semantic, blank, config
        self.side = round(trunk.shape[1] ** 0.5)
        self.random = np.random.default_rng(config.seed + 1)

    def load(self, photos: np.ndarray, *, augment: bool = True, maps: np.ndarray | None = None) -> Batch:
        """Features of photos, augmented or as they are.

        Args:
            photos: which.
            augment: whether to mirror and hide.
            maps: uint8 "b slot n", where things are: sometimes they are what is hidden, as Salience Dropout will do.
        """
        rows = np.concatenate([self.trunk[photos], self.semantic[photos]], -1)
        features = torch.from_numpy(rows.astype(np.float32)).unflatten(1, (self.side, self.side))
        coins = self.random.random(len(photos)) < 0.5 if augment else np.zeros(len(photos), bool)
        mirrored = torch.from_numpy(coins)
        features[mirrored] = features[mirrored].flip(2)
        features = features.flatten(1, 2)
        hidden = torch.zeros(features.shape[:2], dtype=torch.bool)
        if augment:
            rows = [self._hidden(None if maps is None else maps[i]) for i in range(len(photos))]
            hidden = torch.from_numpy(np.stack(rows))
            square = hidden[mirrored].unflatten(1, (self.side, self.side))
            hidden[mirrored] = square.flip(2).flatten(1)
            features = torch.where(hidden[..., None], self.blank, features)
        return Batch(photos, features, coins, hidden)

    def _hidden(self, maps: np.ndarray | None) -> np.ndarray:
        """Nothing, or squares of 2 x 2 patches (20 to 60% of them: hide and seek), or most of what is a thing."""
        drawn, share = self.random.random(), self.random.uniform(0.2, 0.6)
        if drawn >= self.config.hide:
            return np.zeros(self.side**2, bool)
        if maps is not None and drawn < self.config.hide / 2:
            thing = maps[self.random.permutation(len(maps))[: self.random.integers(1, len(maps) + 1)]].max(0) > 100
            return thing & (self.random.random(self.side**2) < 0.95)
        coarse = self.random.random((self.side // 2 + 1,) * 2) < share
        return coarse.repeat(2, 0).repeat(2, 1)[: self.side, : self.side].ravel()
