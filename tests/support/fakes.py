"""A backbone whose attention is set by hand, so that every label map can be checked with pencil and paper.

    backbone = FakeBackbone({"cat": [[9, 4], [0, 0]], "dog": [[0, 0], [0, 8]]})

looks at the four patches of a 2 x 2 grid: the word "cat" attends to the upper left patch with 9 and to the one beside
it with 4. A patch whose pixels are all 0 after normalisation (blanked, as Salience Dropout does) gets attention 0.
The match logit is the sum of all attention times its gradient, which is 1 unless given.
"""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pnpovss.backbones.base import Card, Match, Reading, Recommended, TextTokens
from pnpovss.backbones.parts.pairing import by_image, flatten, token_maps
from pnpovss.backbones.parts.text_side import PatchTokens
from pnpovss.backbones.registry import BackboneSpec

# Per word: values on the grid, or a function from the patches' mean colours ("gh gw 3", RGB as normalised) to them.
Attention = Sequence[Sequence[float]] | Tensor | Callable[[Tensor], Tensor]

PADDING = 1000.0  # what tokens past a prompt's end hold: whoever reads them gets a result that is plainly wrong


@dataclass
class FakeBackbone:
    """See the module's docstring; satisfies `pnpovss.backbones.base.Backbone`.

    Attributes:
        attention: by lower-case word, special tokens "[ENC]" and "[SEP]" included; other words attend to nothing.
        gradients: by word, d(match logit) / d(attention); 1 everywhere for other words.
        heads: heads of each layer. Head h of the i-th layer scales all attention by 1 + h + 10 * i.
        patch: pixels along one side of a patch.
        grid: patches down and across that the recommended image size has; that of the attention if not given.
        encoded: the pixels of every `encode_images` call, for tests to look at.
    """

    attention: Mapping[str, Attention] = field(default_factory=dict)
    gradients: Mapping[str, Attention] = field(default_factory=dict)
    heads: Mapping[int, int] = field(default_factory=lambda: {0: 1})
    patch: int = 8
    grid: int | None = None
    name: str = "fake"
    revision: str | None = "by-hand"
    max_tokens: int = 35
    joint_prompt: bool = True
    reads: tuple[Any, ...] = ("names", "answer")
    gradientless: tuple[int, ...] = ()
    sizes: Any = "any"
    longest_side: int | None = None
    bias: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    encoded: list[Tensor] = field(default_factory=list)

    @property
    def card(self) -> Card:
        """Normalised pixels are in [-1, 1]; the recommended size has the grid of the attention, or the one given."""
        sides = [len(values) for values in self.attention.values() if not callable(values)]
        side = self.patch * (self.grid or max(sides, default=2))
        layer = next(iter(self.heads))
        return Card(
            name=self.name,
            revision=self.revision,
            device=torch.device("cpu"),
            dtype=torch.float32,
            patch=self.patch,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            max_tokens=self.max_tokens,
            heads=dict(self.heads),
            recommended=Recommended(layer, 0, side, settings=self.settings, source="by hand"),
            joint_prompt=self.joint_prompt,
            sizes=self.sizes,
            longest_side=self.longest_side,
            reads=self.reads,
            gradientless=self.gradientless,
        )

    def tokenize(self, text: str) -> TextTokens:
        """Words and punctuation marks, between [ENC] and [SEP]."""
        found = list(re.finditer(r"\w+|[^\w\s]", text))
        pieces = ["[ENC]", *(match.group().lower() for match in found), "[SEP]"]
        return TextTokens(
            ids=tuple(1000 + zlib.crc32(piece.encode()) % 30000 for piece in pieces),
            pieces=tuple(pieces),
            offsets=((0, 0), *(match.span() for match in found), (0, 0)),
        )

    def encode_images(self, pixels: Tensor) -> PatchTokens:
        """One global token, then a token a patch: its mean colour and whether any of its pixels is not 0."""
        self.encoded.append(pixels)
        patches = pixels.unfold(2, self.patch, self.patch).unfold(3, self.patch, self.patch).flatten(4)  # b 3 gh gw n
        colour = patches.mean(-1)
        visible = (patches != 0).any(-1).any(1, keepdim=True)
        tokens = torch.cat([colour, visible], 1).flatten(2).transpose(1, 2)  # b gh*gw 4
        return PatchTokens(
            tokens=torch.cat([tokens.mean(1, keepdim=True), tokens], 1), grid=(colour.shape[2], colour.shape[3])
        )

    def match(
        self, features: PatchTokens, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """Attention by hand, 0 on blanked patches; the match logit is its sum, weighted by the gradients."""
        flat, owner = flatten(prompts, len(features))
        length = max(map(len, flat))
        probs, grads, logits = [], [], []
        for prompt, image in zip(flat, owner, strict=True):
            patches = features.tokens[image, features.prefix :].unflatten(0, features.grid)  # gh gw 4
            p = torch.stack([self._values(self.attention, piece, patches, 0.0) for piece in prompt.pieces])
            g = torch.stack([self._values(self.gradients, piece, patches, 1.0) for piece in prompt.pieces])
            p = p * patches[..., 3]
            logits.append(self.bias + (p * g).sum())
            pad = (0, 0, 0, 0, 0, length - len(prompt))
            probs.append(torch.nn.functional.pad(p, pad, value=PADDING))
            grads.append(torch.nn.functional.pad(g, pad, value=PADDING))
        scores = torch.stack(logits)
        maps = ()
        if reading:
            scales = self._scales(reading.layers)
            gradient = torch.stack(grads)[:, None, None].expand(-1, *scales.shape[1:3], -1, -1, -1)
            maps = token_maps(
                torch.stack(probs)[:, None, None] * scales, gradient if reading.gradient else None, prompts
            )
        return Match(by_image(scores, prompts), by_image(scores.sigmoid(), prompts), maps)

    def _scales(self, layers: Sequence[int]) -> Tensor:
        """What layer and head multiply attention by, "1 layer head 1 1 1"."""
        order = list(self.heads)
        scales = [[1.0 + head + 10 * order.index(layer) for head in range(self.heads[layer])] for layer in layers]
        return torch.tensor(scales)[None, :, :, None, None, None]

    @staticmethod
    def _values(given: Mapping[str, Attention], piece: str, patches: Tensor, default: float) -> Tensor:
        values = given.get(piece)
        if values is None:
            return torch.full(patches.shape[:2], default)
        grid = values(patches[..., :3]) if callable(values) else torch.as_tensor(values, dtype=torch.float32)
        if grid.shape != patches.shape[:2]:
            raise ValueError(f"attention of {piece!r} is {tuple(grid.shape)}, the grid {tuple(patches.shape[:2])}")
        return grid


def colour(red: float, green: float, blue: float) -> Callable[[Tensor], Tensor]:
    """Attention in (0, 1] by how near a patch's mean colour (normalised, [-1, 1]) is to this one."""
    target = torch.tensor([red, green, blue])
    return lambda patches: torch.exp(-2 * (patches - target).square().sum(-1))


def colour_backbone(name: str = "fake", grid: int = 4) -> FakeBackbone:
    """Knows the words red, green and blue by the patches' colours, whatever the grid."""
    words: dict[str, Attention] = {"red": colour(1, -1, -1), "green": colour(-1, 1, -1), "blue": colour(-1, -1, 1)}
    return FakeBackbone(words, grid=grid, name=name)


def fake_spec(backbone: FakeBackbone, key: str = "fake") -> BackboneSpec:
    """A registry entry that loads this one backbone, by its name."""
    return BackboneSpec(
        key=key,
        summary="attention by hand",
        model_types=(),
        models={backbone.name: "for tests"},
        load=lambda name, options: backbone,
        available=lambda name: True,
    )
