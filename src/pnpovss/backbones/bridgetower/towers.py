"""BridgeTower's image tower, and what flows from a tower into the layers that fuse image and text.

The tower's upper layers each send their hidden state over a bridge into one fusing layer. None of this depends on the
text, so an image goes through its tower once, however many prompts it is matched with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pnpovss.backbones.parts.blocks import FrozenBlock
from pnpovss.backbones.parts.pixels import check_pixels

__all__ = ["ImageTower", "Stream", "TowerStates"]


@dataclass(frozen=True, eq=False)
class TowerStates:
    """Images as the fusing layers see them; satisfies `ImageFeatures`.

    Attributes:
        states: Float "b layer n d", for each fusing layer what the image tower sends it: a class token, then gh * gw
            patches in row-major order.
        grid: (gh, gw), patches down and across.
    """

    states: Float[Tensor, "b layer n d"]
    grid: tuple[int, int]

    def __len__(self) -> int:
        """How many images."""
        return len(self.states)

    def __getitem__(self, images: slice) -> "TowerStates":
        """Some of the images."""
        return TowerStates(self.states[images], self.grid)

    @classmethod
    def join(cls, parts: "Sequence[TowerStates]") -> "TowerStates":
        """Images of one grid, one after the other."""
        return cls(torch.cat([part.states for part in parts]), parts[0].grid)


@dataclass(frozen=True)
class Stream:
    """The way of one modality, image or text, from its tower through the fusing layers.

    Attributes:
        transforms: from the tower's width to the fusing layers'; one for all layers, or a list of one for each.
        kind: Float " d", what tells image tokens from text tokens.
        norm: of what enters the first fusing layer.
        bridges: what joins the tower's state and the layer below before each further fusing layer; one or a list.
        layers: the fusing layers, laid out as transformers' `BridgeTowerBertCrossLayer`.
    """

    transforms: Any
    kind: Float[Tensor, " d"]
    norm: nn.Module
    bridges: Any
    layers: Any

    @classmethod
    def of(cls, model: Any, name: str) -> "Stream":
        """The "text" or "image" stream of a `BridgeTowerModel`."""
        return cls(
            transforms=getattr(model, f"cross_modal_{name}_transform"),
            kind=model.token_type_embeddings.weight[("text", "image").index(name)],
            norm=getattr(model, f"cross_modal_{name}_layernorm"),
            bridges=getattr(model, f"cross_modal_{name}_link_tower"),
            layers=getattr(model, f"cross_modal_{name}_layers"),
        )

    def leave_tower(self, index: int, hidden: Float[Tensor, "b n e"]) -> Float[Tensor, "b n d"]:
        """What a tower sends to fusing layer `index`."""
        return _one_of(self.transforms, index)(hidden) + self.kind

    def enter(
        self, index: int, state: Float[Tensor, "p n d"], below: Float[Tensor, "p n d"] | None
    ) -> Float[Tensor, "p n d"]:
        """What fusing layer `index` reads: the tower's state, joined with what the fusing layer below it says."""
        return self.norm(state) if below is None else _one_of(self.bridges, index - 1)(state, below, None)


def _one_of(modules: Any, index: int) -> Any:
    """A module that a config has once for each layer, or once for all."""
    return modules[index] if isinstance(modules, nn.ModuleList) else modules


class ImageTower:
    """A vision transformer in evaluation mode whose upper layers are all kept.

    With `dtype` bfloat16 the linear layers of its blocks are converted; the patch embedding stays float32, and what
    `FrozenBlock` says does.

    Attributes:
        patch: pixels along one side of a patch.
    """

    def __init__(self, model: Any, dtype: torch.dtype = torch.float32) -> None:
        """Take over the modules of a `BridgeTowerModel`; converts the linear layers of its image tower in place."""
        self._visual = model.vision_model.visual
        self._stream = Stream.of(model, "image")
        used = self._visual.transformer.resblocks[: len(model.text_model.encoder.layer)]
        self._blocks = [_frozen(block, dtype) for block in used]
        self.patch = int(self._visual.embeddings.patch_size)

    @torch.no_grad()
    def __call__(self, pixels: Float[Tensor, "b 3 H W"]) -> TowerStates:
        """Encode normalised pixels, float32.

        Position embeddings are interpolated (bicubic) for sizes other than the checkpoint's.

        Raises:
            InvalidInputError: a side is no multiple of the patch.
        """
        check_pixels(pixels, self.patch)
        # no_grad, not inference_mode: the fusing layers use the states in a graph.
        hidden = self._visual.ln_pre(self._visual.embeddings(pixels, interpolate_pos_encoding=True))
        alone = len(self._blocks) - len(self._stream.layers)  # blocks that send nothing
        states = []
        for index, block in enumerate(self._blocks):
            hidden = block(hidden)
            if index >= alone:
                states.append(self._stream.leave_tower(index - alone, self._visual.ln_post(hidden)))
        grid = (pixels.shape[2] // self.patch, pixels.shape[3] // self.patch)
        return TowerStates(torch.stack(states, 1), grid)


def _frozen(block: Any, dtype: torch.dtype) -> FrozenBlock:
    attention: nn.MultiheadAttention = block.attn
    for module in (attention, block.mlp):
        module.to(dtype)
    return FrozenBlock(
        norm=block.ln_1,
        qkv=lambda hidden: F.linear(hidden, attention.in_proj_weight, attention.in_proj_bias),
        heads=attention.num_heads,
        project=attention.out_proj,
        perceptron_norm=block.ln_2,
        perceptron=nn.Sequential(*block.mlp.values()).eval(),
        dtype=dtype,
    )
