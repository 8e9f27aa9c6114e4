"""The losses; see each function for what it teaches."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F


def presence_by_attention(
    scores: Float[Tensor, "p slot n"], named: Bool[Tensor, "p slot"], present: Bool[Tensor, "p slot"]
) -> Float[Tensor, ""]:
    """A name that is there must look at patches, one that is absent at the global token, which comes first.

    The odds of a patch against the global token are exp(logsumexp of patch scores - global score): multiple-instance
    learning with the attention's own scores, so what wins is where the evidence is.
    """
    scores = scores.float()
    odds = scores[..., 1:].logsumexp(-1) - scores[..., 0]
    return F.binary_cross_entropy_with_logits(odds[named], present[named].float())


def presence_by_state(
    states: Float[Tensor, "p slot d"],
    head: torch.nn.Linear,
    named: Bool[Tensor, "p slot"],
    present: Bool[Tensor, "p slot"],
) -> Float[Tensor, ""]:
    """The last hidden state of a name must tell whether the photo shows it: what it looked at has to carry evidence."""
    logits = head(states)[..., 0].float()
    return F.binary_cross_entropy_with_logits(logits[named], present[named].float())


def contrastive(
    similarity: Float[Tensor, "b t"], target: Float[Tensor, "b t"], scale: Float[Tensor, ""], bias: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Sigmoid loss over image-text pairs (Zhai et al., arXiv 2303.15343); target +1, -1, or 0 for not known."""
    known = target != 0
    logits = similarity.float() * scale + bias
    losses = F.softplus(-target * logits)
    positive, negative = known & (target > 0), known & (target < 0)
    return losses[positive].mean() + losses[negative].mean()


def spread(probs: Float[Tensor, "p slot n"], chosen: Bool[Tensor, "p slot"]) -> Float[Tensor, ""]:
    """Penalty on attention that rests on very few patches: its log inverse participation ratio, per name.

    It is 0 for a map flat over a quarter of the patches or more.
    """
    maps = probs.float()[chosen]
    maps = maps / maps.sum(-1, keepdim=True).clamp_min(1e-6)
    patches = maps.shape[-1]
    effective = 1 / maps.square().sum(-1).clamp_min(1e-6)
    return F.relu(torch.log(patches * 0.15 / effective)).mean()


def toward(maps: Float[Tensor, "m n"], target: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
    """Cross-entropy of a map, scaled to sum to one, against a target scaled alike: all of the thing, nothing else."""
    floor = 1e-4 / maps.shape[-1]
    share = maps.float() / maps.float().sum(-1, keepdim=True).clamp_min(1e-8)
    wanted = target / target.sum(-1, keepdim=True).clamp_min(1e-6)
    # Less the target's own entropy, so that a perfect map has no loss.
    entropy = -(wanted * wanted.clamp_min(1e-9).log()).sum(-1)
    return (-(wanted * (share + floor).log()).sum(-1) - entropy).mean()


def extent(maps: Float[Tensor, "m n"], target: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
    """One less the Dice overlap of a map and its target; half of the map's mean height on the thing counts in full.

    Cross-entropy hardly minds what a map spills over a wide background; a threshold does.
    """
    maps = maps.float()
    level = (maps * target).sum(-1, keepdim=True) / target.sum(-1, keepdim=True).clamp_min(1e-6)
    full = (maps / (0.5 * level).clamp_min(1e-8)).clamp(max=1)
    return (1 - 2 * (full * target).sum(-1) / (full.sum(-1) + target.sum(-1)).clamp_min(1e-6)).mean()


def rising(gradients: Float[Tensor, "m n"], target: Float[Tensor, "m n"]) -> Float[Tensor, ""]:
    """Share of the gradient on the thing that is negative: looking there must speak for the match.

    GradCAM cuts negative gradients off, so a thing with negative gradients leaves no map and, by itself, no loss.
    """
    weighted = gradients.float() * target
    negative = F.relu(-weighted).sum(-1)
    return (negative / weighted.abs().sum(-1).clamp_min(1e-9)).mean()


def amount(totals: Float[Tensor, " m"], there: Bool[Tensor, " m"]) -> Float[Tensor, ""]:
    """A GradCAM map of a thing that is there sums to one or more, of one that is not there to nothing.

    Salience Dropout sums maps over passes as they are: a pass in which the thing is blanked must add little.
    """
    short, stray = F.relu(1 - totals[there]), totals[~there].log1p()
    return (short.sum() + stray.sum()) / max(1, len(totals))
