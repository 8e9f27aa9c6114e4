"""A backbone of your own: no network at all, but everything that a backbone must answer. It knows colours by name.

Run it in a copy of the repository: python examples/own_backbone.py. A model with weights differs in what computes
attention and match; the shapes, and who keeps which promise, are the same. In a package of yours, an entry point makes
it known to `--model`:

    [project.entry-points."pnpovss.backbones"]
    colours = "your_package.own_backbone:SPEC"
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pnpovss import Segmenter
from pnpovss.backbones.base import Card, LoadOptions, Match, Reading, Recommended, TextTokens, TokenMaps
from pnpovss.backbones.registry import BackboneSpec, register

COLOURS = {"red": (1.0, -1.0, -1.0), "green": (-1.0, 1.0, -1.0), "blue": (-1.0, -1.0, 1.0)}  # RGB in [-1, 1]
PATCH = 8


@dataclass(frozen=True, eq=False)
class PatchColours:
    """Encoded images: Float "b 3 gh gw", the mean colour of each patch. Opaque to all but the backbone."""

    colours: Float[Tensor, "b 3 gh gw"]

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across."""
        return self.colours.shape[2], self.colours.shape[3]

    def __len__(self) -> int:
        return len(self.colours)

    def __getitem__(self, images: slice) -> "PatchColours":
        return PatchColours(self.colours[images])

    @classmethod
    def join(cls, parts: "Sequence[PatchColours]") -> "PatchColours":
        """Images of one grid, one after the other."""
        return cls(torch.cat([part.colours for part in parts]))


class ColourBackbone:
    """Attends to patches whose colour a word names; one layer of one head."""

    card = Card(
        name="colours",
        revision=None,
        device=torch.device("cpu"),
        dtype=torch.float32,
        patch=PATCH,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        max_tokens=64,
        heads={0: 1},
        recommended=Recommended(layer=0, head=0, image_size=96, source="by hand"),
    )

    def tokenize(self, text: str) -> TextTokens:
        """A token per word, and the characters that it covers."""
        words = list(re.finditer(r"\w+", text.lower()))
        ids = [list(COLOURS).index(word[0]) if word[0] in COLOURS else len(COLOURS) for word in words]
        return TextTokens(tuple(ids), tuple(word[0] for word in words), tuple(word.span() for word in words))

    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> PatchColours:
        """The mean colour of each patch; a patch that was blanked is 0, which is grey."""
        return PatchColours(F.avg_pool2d(pixels, PATCH))

    def match(
        self, features: PatchColours, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """By image, as the prompts come: logits, probabilities, and maps where they are asked for."""
        seen = [
            [self._look(colours, prompt, reading) for prompt in of_image]
            for colours, of_image in zip(features.colours, prompts, strict=True)
        ]
        logits = tuple(torch.tensor([logit for logit, _ in of_image]) for of_image in seen)
        maps = tuple(_in_a_row([maps for _, maps in of_image]) for of_image in seen) if reading else ()
        return Match(logits, tuple(each.sigmoid() for each in logits), maps)

    def _look(
        self, colours: Float[Tensor, "3 gh gw"], prompt: TextTokens, reading: Reading | None
    ) -> tuple[float, TokenMaps]:
        """The match logit of one prompt with one image, and where its tokens look: attention is made a leaf."""
        wanted = torch.tensor([COLOURS.get(piece, (0.0, 0.0, 0.0)) for piece in prompt.pieces])
        alike = torch.einsum("tc,chw->thw", wanted, colours)
        attention = alike.flatten(1).softmax(-1).view_as(alike).requires_grad_()
        logit = (attention * alike).sum()
        gradient = torch.autograd.grad(logit, attention)[0][None, None] if reading and reading.gradient else None
        return float(logit.detach()), TokenMaps(attention.detach()[None, None], gradient)


def _in_a_row(maps: Sequence[TokenMaps]) -> TokenMaps:
    """The tokens of all prompts of an image, one after the other."""
    gradients = [each.gradient for each in maps if each.gradient is not None]
    return TokenMaps(torch.cat([each.attention for each in maps], 2), torch.cat(gradients, 2) if gradients else None)


def load(name: str, options: LoadOptions) -> ColourBackbone:
    """The model of a name that the spec lists; one with weights would obey the options or refuse them."""
    return ColourBackbone()


SPEC = BackboneSpec(
    key="colours",
    summary="knows red, green and blue",
    model_types=("colours",),
    models={"colours": "no weights"},
    load=load,
    available=lambda name: True,
)


def main() -> None:
    """Segment a flag."""
    register(SPEC)
    flag = Image.new("RGB", (96, 64), (255, 255, 255))
    flag.paste((200, 30, 40), (0, 0, 32, 64))
    flag.paste((20, 60, 200), (64, 0, 96, 64))
    result = Segmenter.from_pretrained("colours")(flag, ["red", "blue"])
    print({str(name): f"{share:.0%}" for name, share in zip(result.names, result.shares, strict=True)})
    result.overlay(flag).save("flag.overlay.png")


if __name__ == "__main__":
    main()
