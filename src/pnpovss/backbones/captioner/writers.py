"""How each architecture sees an image and writes a caption over it: all that differs between captioners.

Texts are tokens of which the i-th is written by the i-th row: the decoder reads them one place to the right, behind its
start token. So where the decoder looks while it writes a token is the row of that token.
"""

from collections.abc import Callable, Sequence
from math import isqrt
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pnpovss.backbones.blip.vision import VisionSide
from pnpovss.backbones.parts.capture import Seen
from pnpovss.backbones.parts.framed import BERT, ROBERTA, FramedTokenizer
from pnpovss.backbones.parts.pixels import check_pixels
from pnpovss.backbones.parts.text_side import PatchTokens, attend, feed_forward, self_attention
from pnpovss.errors import CheckpointError, InvalidInputError
from pnpovss.prompts import TextTokens

__all__ = ["BlipWriter", "Florence2Writer", "Writer"]

# What Florence-2 was taught to be asked for a caption; its own task token "<CAPTION>" stands for these words.
_TASK = "What does the image describe?"


@runtime_checkable
class Writer(Protocol):
    """An image side and a decoder that looks at it.

    Attributes:
        heads: heads of each layer that looks at the image, by 0-based index.
        patch: pixels along one side of a patch.
        side: of the square that is shown by default [px].
        longest_side: see `Card`.
        max_tokens: longest text, special tokens included.
        pad_id: of any token; it stands behind the end of a text, where nothing looks.
        tokenize: a text to its tokens, the end token included, a start token that is not written left out.
    """

    heads: dict[int, int]
    patch: int
    side: int
    longest_side: int | None
    max_tokens: int
    pad_id: int
    tokenize: Callable[[str], TextTokens]

    def see(self, pixels: Float[Tensor, "b 3 H W"]) -> PatchTokens:
        """Images as the decoder looks at them; tokens that are no patches come before and, perhaps, after these."""
        ...

    def modules(self, layers: Sequence[int]) -> list[Any]:
        """What is read of some layers."""
        ...

    def write(
        self, ids: Int[Tensor, "p t"], memory: Float[Tensor, "1 n d"], seen: Seen
    ) -> Float[Tensor, "p t vocabulary"]:
        """Scores of all words at the place of each token, given those before it; attention goes to `seen`."""
        ...


class Florence2Writer:
    """Florence-2 (arXiv 2311.06242): an encoder over image and task, a decoder of BART; see `Writer`.

    With a dtype of bfloat16 the vision tower is converted, no more.
    """

    def __init__(self, model: Any, folder: Path, dtype: torch.dtype) -> None:
        """Take over a `Florence2ForConditionalGeneration` that was loaded with `CAPTURE`."""
        config = model.config
        self._model, self._head = model.model, model.lm_head
        self._model.vision_tower.to(dtype)
        self._decoder = self._model.language_model.decoder
        self.heads = dict.fromkeys(range(len(self._decoder.layers)), int(config.text_config.decoder_attention_heads))
        self.patch = 1
        for stride in config.vision_config.patch_stride:
            self.patch *= int(stride)
        self._most = int(config.vision_config.max_position_embeddings)
        self.max_tokens = self._positions = int(config.text_config.max_position_embeddings)
        self.pad_id = int(config.text_config.pad_token_id)
        self._start = int(config.text_config.decoder_start_token_id)
        self._tokenizer = FramedTokenizer(folder, int(model.get_input_embeddings().num_embeddings), ROBERTA)
        self._task = self.tokenize(_TASK).ids
        square = isqrt(max(0, self._positions - 1 - len(self._task)))  # cells along a side, beside token and task
        self.longest_side = min(self._most, square) * self.patch
        self.side = min(_FLORENCE_CELLS * self.patch, self.longest_side)

    def tokenize(self, text: str) -> TextTokens:
        """<s>, its pieces, </s>. Never truncates."""
        return self._tokenizer(text)

    def see(self, pixels: Float[Tensor, "b 3 H W"]) -> PatchTokens:
        """One token for the whole, the patches, the task's words, each of which has seen all.

        Raises:
            InvalidInputError: a side is no multiple of the patch, or longer than the model has places for.
        """
        check_pixels(pixels, self.patch)
        height, width = (extent // self.patch for extent in pixels.shape[2:])
        if max(height, width) > self._most:
            raise InvalidInputError(
                f"an input of {tuple(pixels.shape[2:])} px has {height} x {width} patches; this model has places for "
                f"{self._most} each way: give a smaller image_size"
            )
        if 1 + height * width + len(self._task) > self._positions:
            raise InvalidInputError(
                f"an input of {height * width} patches beside the {len(self._task)} words of its task takes more than "
                f"the {self._positions} positions of this model: give a smaller image_size"
            )
        seen = self._model.vision_tower(pixels).last_hidden_state
        image = self._model.multi_modal_projector(seen.to(self._head.weight.dtype))
        words = torch.tensor([self._task], device=pixels.device).expand(len(pixels), -1)
        told = torch.cat([image, self._model.get_input_embeddings()(words)], 1)
        tokens = self._model.language_model.encoder(inputs_embeds=told).last_hidden_state
        return PatchTokens(tokens, (height, width))

    def modules(self, layers: Sequence[int]) -> list[Any]:
        """See `Writer`."""
        return [self._decoder.layers[layer].encoder_attn for layer in layers]

    def write(
        self, ids: Int[Tensor, "p t"], memory: Float[Tensor, "1 n d"], seen: Seen
    ) -> Float[Tensor, "p t vocabulary"]:
        """See `Writer`; the decoder's own forward, which tells `seen` by itself."""
        hidden = self._decoder(
            input_ids=_shifted(ids, self._start), encoder_hidden_states=memory, use_cache=False
        ).last_hidden_state
        return self._head(hidden)


class BlipWriter:
    """BLIP's captioner (arXiv 2201.12086): BERT as a decoder with cross-attention; see `Writer`.

    Its attention calls no function of transformers: the layers' lines are those of `parts.text_side`. With a dtype of
    bfloat16 the linear layers of the image side are converted, no more.
    """

    def __init__(self, model: Any, folder: Path, dtype: torch.dtype) -> None:
        """Take over a `BlipForConditionalGeneration`."""
        text = model.config.text_config
        self._vision = VisionSide(model.vision_model, dtype)
        self._embed, self._layers = model.text_decoder.bert.embeddings, model.text_decoder.bert.encoder.layer
        self._head = model.text_decoder.cls
        self.heads = dict.fromkeys(range(len(self._layers)), int(text.num_attention_heads))
        self.patch, self.side = self._vision.patch, int(model.config.vision_config.image_size)
        self.longest_side = None
        self._start = int(text.bos_token_id)
        self.max_tokens = int(text.max_position_embeddings)
        self._tokenizer = FramedTokenizer(folder, int(text.vocab_size), BERT)
        self.pad_id = self._tokenizer.pad_id
        if not 0 <= self._start < text.vocab_size:
            raise CheckpointError(f"{folder}: captions start with token {self._start}, of {text.vocab_size}")

    def tokenize(self, text: str) -> TextTokens:
        """Its pieces, [SEP]; captions start with [DEC], which is not written. Never truncates."""
        whole = self._tokenizer(text)
        unknown = tuple(place - 1 for place in whole.unknown)
        return TextTokens(whole.ids[1:], whole.pieces[1:], whole.offsets[1:], unknown)

    def see(self, pixels: Float[Tensor, "b 3 H W"]) -> PatchTokens:
        """A class token, then the patches.

        Raises:
            InvalidInputError: a side is no multiple of the patch.
        """
        tokens = self._vision(pixels.float())
        return PatchTokens(tokens, (pixels.shape[2] // self.patch, pixels.shape[3] // self.patch))

    def modules(self, layers: Sequence[int]) -> list[Any]:
        """See `Writer`."""
        return [self._layers[layer].crossattention.self for layer in layers]

    def write(
        self, ids: Int[Tensor, "p t"], memory: Float[Tensor, "1 n d"], seen: Seen
    ) -> Float[Tensor, "p t vocabulary"]:
        """See `Writer`."""
        hidden = self._embed(_shifted(ids, self._start))
        earlier = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()[None, None]
        for layer in self._layers:
            hidden = self_attention(layer.attention, hidden, earlier)
            if layer.crossattention.self in seen.modules:
                hidden = _look(layer.crossattention, hidden, memory, seen)
            else:
                hidden = attend(layer.crossattention, hidden, memory, None)
            hidden = feed_forward(layer, hidden)
        return self._head(hidden)


_FLORENCE_CELLS = 24  # along a side, of the 768 px that it was trained at


def _shifted(ids: Int[Tensor, "p t"], start: int) -> Int[Tensor, "p t"]:
    """What a decoder has read when it writes these tokens."""
    return torch.cat([ids.new_full((len(ids), 1), start), ids[:, :-1]], 1)


def _look(
    module: Any, hidden: Float[Tensor, "p t d"], memory: Float[Tensor, "1 n e"], seen: Seen
) -> Float[Tensor, "p t d"]:
    """Attention to the image that is read, residual and norm included."""
    attention = module.self
    heads = (attention.num_attention_heads, -1)
    query, key, value = (
        linear(tokens).unflatten(-1, heads).transpose(1, 2)
        for linear, tokens in ((attention.query, hidden), (attention.key, memory), (attention.value, memory))
    )
    probs = seen.take(attention, (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1))
    return module.output((probs @ value).transpose(1, 2).flatten(2), hidden)
