"""The bundled model as a backbone: small enough to ship, runs offline on a CPU."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.base import Card, LoadOptions, Match, Reading, TextTokens
from pnpovss.backbones.mini.checkpoint import Checkpoint, read_checkpoint
from pnpovss.backbones.mini.lite2 import STRIDE
from pnpovss.backbones.mini.text import CLS_ID, ENC_ID, MAX_TOKENS, PAD_ID
from pnpovss.backbones.parts.framed import BERT, starting_with
from pnpovss.backbones.parts.pixels import check_pixels
from pnpovss.backbones.parts.text_side import PatchTokens, TextSide, match_prompts
from pnpovss.backbones.parts.tokenizer import text_tokens
from pnpovss.errors import CheckpointError, ConfigError, InvalidInputError, NamesError

__all__ = ["BUNDLED", "MiniBackbone", "load_mini"]

BUNDLED = Path(__file__).parent

_MEAN, _STD = 127 / 255, 128 / 255  # Lite2's own: (pixel - 127) / 128
_ENC = "[ENC]"


class MiniBackbone:
    """A `mini` checkpoint; satisfies `Backbone` and `Contrastive` of `pnpovss.backbones.base`.

    The image trunk's convolutions compute in `card.dtype`, the rest in float32.

    Attributes:
        card: what is fixed about it.
    """

    def __init__(self, checkpoint: Checkpoint, *, name: str, options: LoadOptions | None = None) -> None:
        """Take over a checkpoint's model: moved to the device, its trunk converted to the dtype."""
        options = options or LoadOptions()
        self._tokenizer = checkpoint.tokenizer
        self._model = checkpoint.model.to(options.device)
        self._model.trunk.to(options.dtype)
        self._text = TextSide(
            embed=self._model.text.embeddings,
            layers=list(self._model.text.encoder.layer),
            head=self._model.itm_head,
            pad_id=PAD_ID,
            max_tokens=MAX_TOKENS,
        )
        self.card = Card(
            name=name,
            revision=checkpoint.revision,
            device=options.device,
            dtype=options.dtype,
            patch=STRIDE,
            mean=(_MEAN, _MEAN, _MEAN),
            std=(_STD, _STD, _STD),
            max_tokens=MAX_TOKENS,
            heads=self._text.heads,
            gradientless=self._text.gradientless,
            recommended=checkpoint.recommended,
        )

    def tokenize(self, text: str) -> TextTokens:
        """Tokenise a text: [ENC], its pieces, [SEP]. Never truncates."""
        return starting_with(text_tokens(self._tokenizer, text, BERT.unknown), ENC_ID, _ENC)

    @torch.no_grad()
    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> PatchTokens:
        """Encode normalised pixels; see `Backbone.encode_images`.

        Raises:
            InvalidInputError: a side is no multiple of the patch.
        """
        check_pixels(pixels, STRIDE)
        pixels = pixels.to(self.card.device, self.card.dtype).contiguous(memory_format=torch.channels_last)
        grid = (pixels.shape[2] // STRIDE, pixels.shape[3] // STRIDE)
        # One at a time on one thread, whose cache holds the features of one image: five take 15 to 22 % less.
        # Several threads wait for each other the more often, and a GPU has work for all.
        alone = pixels.device.type == "cpu" and torch.get_num_threads() == 1
        parts = pixels.split(1 if alone else len(pixels))
        return PatchTokens(torch.cat([self._model.image_tokens(part) for part in parts]), grid)

    def match(
        self, features: PatchTokens, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """Match prompts with images; see `Backbone.match`, and `match_prompts` for what it raises."""
        return match_prompts(self._text, features, prompts, reading)

    @torch.no_grad()
    def embed_images(self, features: PatchTokens) -> Float[Tensor, "b d"]:
        """Images in the contrastive space, as unit vectors."""
        return F.normalize(self._model.vision_proj(features.tokens[:, 0]), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[TextTokens]) -> Float[Tensor, "t d"]:
        """Texts in the contrastive space, as unit vectors; they start with [CLS] and see no image.

        Raises:
            InvalidInputError: no texts.
            NamesError: a text is longer than the encoder reads.
        """
        if not texts:
            raise InvalidInputError("no texts were given; give at least one")
        longest = max(map(len, texts))
        if longest > MAX_TOKENS:
            raise NamesError(f"a text of {longest} tokens is longer than the {MAX_TOKENS} that mini reads; shorten it")
        rows = [[CLS_ID, *text.ids[1:], *[PAD_ID] * (longest - len(text))] for text in texts]
        mask = torch.arange(longest) < torch.tensor([len(text) for text in texts])[:, None]
        states = self._model.text(torch.tensor(rows, device=self.card.device), mask.to(self.card.device))
        return F.normalize(self._model.text_proj(states), dim=-1)


def load_mini(name: str, options: LoadOptions) -> MiniBackbone:
    """Load the bundled checkpoint, or one from a folder.

    Raises:
        CheckpointError: its files are missing, damaged or of another architecture.
        ConfigError: a revision was asked for.
    """
    if options.revision is not None:
        raise ConfigError(f"revision {options.revision!r} was asked of {name!r}, which has none; leave it out")
    folder = BUNDLED if name == "mini" else Path(name)
    if not folder.is_dir():
        raise CheckpointError(f"the bundled model is not in {folder}; this installation is incomplete, install again")
    return MiniBackbone(read_checkpoint(folder), name=name, options=options)
