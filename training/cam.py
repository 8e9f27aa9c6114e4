"""Class activation maps of the frozen trunk: the first teacher of where things are.

Zhou et al., "Learning deep features for discriminative localization" (arXiv 1512.04150): a linear classifier of names
over the mean of the trunk's features is, applied at one position, a map of its evidence. Nothing mixes positions but
the trunk's own receptive field, so the map cannot point at the grass for "dog".
"""

import logging

import numpy as np
import torch
from jaxtyping import Float, Int8
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.mini.lite2 import MID_CHANNELS, TOP_CHANNELS, Lite2

log = logging.getLogger(__name__)

MIN_PHOTOS = 12


def train_cam(
    pooled: Float[np.ndarray, "photo f"],
    labels: Int8[np.ndarray, "photo name"],
    photos: np.ndarray,
    *,
    seed: int,
    epochs: int = 12,
) -> tuple[Float[np.ndarray, "name f"], np.ndarray]:
    """Fit one linear classifier for each name with enough photos.

    Args:
        pooled: mean of the trunk's last features over each photo.
        labels: +1, -1, 0 for unknown, which is left out.
        photos: which to train on.
        seed: of the order.
        epochs: passes over the photos.

    Returns:
        Weights, zero for names left out, and which names were kept.
    """
    torch.manual_seed(seed)
    known = np.flatnonzero((labels[photos] > 0).sum(0) >= MIN_PHOTOS)
    x = torch.from_numpy(pooled[photos].astype(np.float32))
    y = torch.from_numpy(labels[photos][:, known])
    mean = x.mean(0)
    weight = torch.zeros(len(known), x.shape[1], requires_grad=True)
    bias = torch.full((len(known),), -4.0, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (len(x) // 256 + 1))
    for epoch in range(epochs):
        total = 0.0
        for part in torch.randperm(len(x)).split(256):
            logits = (x[part] - mean) @ weight.T + bias
            target = y[part].float()
            losses = F.softplus(-target * logits) * (target != 0)
            loss = losses.sum() / (target != 0).sum() * 10
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(part)
        log.info("class activation maps: epoch %d, loss %.4f", epoch + 1, total / len(x))
    weights = np.zeros((labels.shape[1], x.shape[1]), np.float32)
    weights[known] = weight.detach().numpy()
    kept = np.zeros(labels.shape[1], bool)
    kept[known] = True
    return weights, kept


class CamTeacher:
    """Maps of names from the trunk alone: the linear classifiers and, where it knows the name, ImageNet's own."""

    cut = (0.10, 0.60)

    def __init__(self, trunk: Lite2, weights: Float[np.ndarray, "name f"], leaves: list[tuple[int, ...]]) -> None:
        self.trunk, self.weights, self.leaves = trunk, torch.from_numpy(weights), leaves

    @torch.no_grad()
    def __call__(
        self, features: Float[Tensor, "b n 600"], names: list[list[int]]
    ) -> tuple[Float[Tensor, "b name n"], Float[Tensor, "b name"]]:
        """For each photo, maps of as many names, largest value 1 (0 where nothing speaks for the name); all sure."""
        top = features[..., MID_CHANNELS : MID_CHANNELS + TOP_CHANNELS]
        hidden = F.relu6(F.linear(top, self.trunk.head.weight.flatten(1), self.trunk.head.bias))
        logits = self.trunk.classifier(hidden)
        chances = logits.softmax(-1)
        maps = []
        for photo, chosen in enumerate(names):
            evidence = _unit((hidden[photo] @ self.weights[chosen].T).T.clamp(min=0))
            for slot, name in enumerate(chosen):
                if self.leaves[name]:
                    chance = chances[photo][:, list(self.leaves[name])].sum(-1)
                    evidence[slot] = 0.5 * evidence[slot] + 0.5 * _unit(chance[None])[0].sqrt()
            maps.append(evidence)
        return torch.stack(maps), torch.ones(len(names), len(names[0]))


def _unit(maps: Float[Tensor, "name n"]) -> Float[Tensor, "name n"]:
    """Divide by the mean of the five largest values, and cap at 1."""
    top = maps.topk(5, dim=-1).values.mean(-1, keepdim=True)
    return (maps / top.clamp_min(1e-6)).clamp(max=1)
