"""Reading attention, and a gradient with respect to it, through a model's own forward of transformers.

transformers lets a model's forward call an attention function that is registered by name. A model that is loaded with
ours computes as it always does, with fused attention; the modules that are to be read form their probabilities:

    model = read_model(folder, CLIPModel, attn_implementation=CAPTURE)       # or set_attn_implementation, of one tower
    with read_attention([layer.self_attn for layer in layers]) as seen:      # in any order; self- or cross-attention
        logits = model(...)
    seen.attention                                                           # each "b head q k"
    seen.gradients(logits.sum())                                             # the same shapes

No hook is set and nothing is patched. What is to be read is known to one context of one thread and forgotten at its
end, so models may be shared between threads and read by several at once.

Why it is cheap: with frozen parameters nothing is in a graph until the first module that is read, whose probabilities
become its leaf. Whatever is below costs what inference costs, and no weight and no image is ever differentiated.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from pnpovss.errors import ModelError

__all__ = ["CAPTURE", "Seen", "attend", "leaf", "read_attention"]

CAPTURE = "pnpovss_capture"
"""The name of our attention function: what `attn_implementation` says of a model that is to be read."""

# What changes attention and is not understood here: refused, never ignored.
_UNREADABLE = ("s_aux", "position_bias", "head_mask")


@dataclass(eq=False)
class Seen:
    """What was read; complete when the model has run.

    Attributes:
        modules: whose attention is read, in the order asked for.
        rows: the queries whose probabilities are read; None for all.
    """

    modules: Sequence[nn.Module]
    rows: Sequence[int] | None = None
    _found: dict[nn.Module, Tensor] = field(default_factory=dict)

    @property
    def attention(self) -> list[Float[Tensor, "b head q k"]]:
        """The probabilities of each module, float32 or wider, without a graph."""
        return [probs.detach() for probs in self._probabilities()]

    def gradients(self, logit: Float[Tensor, ""]) -> list[Float[Tensor, "b head q k"]]:
        """d(logit) / d(probabilities) of each module: the total derivative, through all that runs above it.

        Rows of a batch do not see each other, so the sum of all rows' logits gives each row the gradient of its own.
        The graph is freed.
        """
        return list(torch.autograd.grad(logit, self._probabilities()))

    def gradients_of_each(
        self, logits: Float[Tensor, " n"], at_once: int | None = None
    ) -> list[Float[Tensor, "n b head q k"]]:
        """The same for each of n logits of one forward, all in one go or so many `at_once`. The graph is freed.

        Memory grows with how many are asked at once: each has gradients of its own of all that lies in between.
        """
        each = torch.eye(len(logits), dtype=logits.dtype, device=logits.device)
        turns = each.split(at_once or max(1, len(logits)))
        found = [
            torch.autograd.grad(
                logits,
                self._probabilities(),
                grad_outputs=rows,
                is_grads_batched=True,
                retain_graph=number + 1 < len(turns),
            )
            for number, rows in enumerate(turns)
        ]
        return [torch.cat(parts) for parts in zip(*found, strict=True)]

    def _probabilities(self) -> list[Tensor]:
        if unseen := [module for module in self.modules if module not in self._found]:
            raise ModelError(
                f"{len(unseen)} of {len(self.modules)} modules to be read did not run, or not through {CAPTURE!r}; "
                f"the first is a {type(unseen[0]).__name__}"
            )
        return [self._found[module] for module in self.modules]

    def take(self, module: nn.Module, probs: Float[Tensor, "b head q k"]) -> Float[Tensor, "b head q k"]:
        """Note what a module's softmax gave, and answer with what the module is to go on with.

        For a module that calls no attention function, and whose few lines are written again by its backbone.
        """
        if module in self._found:
            raise ModelError(f"a {type(module).__name__} that is read ran twice; read each run in a context of its own")
        self._found[module] = leaf(probs) if torch.is_grad_enabled() else probs
        return self._found[module]


_reading: ContextVar[Seen | None] = ContextVar("what is read in this thread", default=None)


@contextmanager
def read_attention(
    modules: Sequence[nn.Module], *, rows: Sequence[int] | None = None, gradient: bool = True
) -> Iterator[Seen]:
    """Read the attention of some modules of a model that runs inside the `with` block.

    Args:
        modules: those that call the attention function (`layer.self_attn`), of models loaded with `CAPTURE`; each runs
            once in the block.
        rows: the queries to read, the same in each module and each row of the batch; none by default, which is all. The
            others stay fused, so a few rows cost no more than a run that reads nothing.
        gradient: keep what `Seen.gradients` needs, whatever the caller's own mode is; without it no graph is made.
    """
    seen = Seen(tuple(modules), rows)
    token = _reading.set(seen)
    try:
        # Tensors of inference mode cannot enter a graph, and a caller's no_grad must not switch ours off.
        with torch.inference_mode(False), torch.set_grad_enabled(gradient):
            yield seen
    finally:
        _reading.reset(token)


def leaf(probs: Tensor) -> Tensor:
    """Probabilities that autograd can be asked about; those that no graph has reached yet become its leaf."""
    return probs if probs.requires_grad else probs.detach().requires_grad_()


def attend(
    module: nn.Module,
    query: Float[Tensor, "b head q e"],
    key: Float[Tensor, "b2 kv k e"],
    value: Float[Tensor, "b2 kv k f"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "b q head f"], None]:
    """Attention, as transformers calls it; the mask says all about who sees whom (`is_causal` is not to be believed).

    Args:
        module: that asks.
        query: of all heads.
        key: of all heads, or of each group of them; of one image, or of each.
        value: as the key.
        attention_mask: added to the scores; may reach beyond the last key.
        scaling: of the scores; e ** -0.5 by default.
        dropout: of training, which must be off.
        softcap: scores are squeezed into (-softcap, softcap).
        others: what other functions want to know.
    """
    if strange := [name for name in _UNREADABLE if others.get(name) is not None] + ["dropout"] * bool(dropout):
        raise ModelError(f"a {type(module).__name__} asks for attention with {strange[0]}, which cannot be read")
    groups = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(groups, 1) if groups > 1 else each for each in (key, value))
    mask = None if attention_mask is None else attention_mask[..., : key.shape[-2]]
    how = (query.shape[-1] ** -0.5 if scaling is None else scaling, softcap)
    seen = _reading.get()
    if seen is None or module not in seen.modules:
        context = _unread(query, key, value, mask, *how)
    elif seen.rows is None:
        context = seen.take(module, _probabilities(query, key, mask, *how)).to(value.dtype) @ value
    else:
        rows = torch.tensor(seen.rows, device=query.device)
        own = mask if mask is None or mask.shape[-2] == 1 else mask[..., rows, :]
        probs = seen.take(module, _probabilities(query[:, :, rows], key, own, *how))
        context = _unread(query, key, value, mask, *how).index_copy(2, rows, probs.to(value.dtype) @ value)
    return context.transpose(1, 2).contiguous(), None


def _probabilities(
    query: Tensor, key: Tensor, mask: Tensor | None, scaling: float, softcap: float | None
) -> Float[Tensor, "b head q k"]:
    """At least float32, as transformers computes every softmax, also of bfloat16."""
    scores = query @ key.mT * scaling
    if softcap is not None:
        scores = (scores / softcap).tanh() * softcap
    masked = scores if mask is None else scores + mask
    return masked.softmax(-1, dtype=torch.promote_types(query.dtype, torch.float32))


def _unread(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, softcap: float | None
) -> Float[Tensor, "b head q f"]:
    """Fused where torch has it: it knows no softcap."""
    if softcap is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    return _probabilities(query, key, mask, scaling, softcap).to(value.dtype) @ value


AttentionInterface.register(CAPTURE, attend)
AttentionMaskInterface.register(CAPTURE, eager_mask)  # the whole mask, always: some others leave out what they can
