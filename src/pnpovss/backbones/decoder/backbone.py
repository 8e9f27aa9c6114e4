"""Decoders as matching models: ask a language model that sees whether a name is in the picture (VQAScore).

"Does this figure show 'cat'? Please answer yes or no." The match logit is what the model gives to Yes above No as its
next word, and the attention that is read is that of the question's tokens to the image's. In the last layer only the
token that the answer follows has a gradient: the setting `read` chooses it, `answer` instead of `names`.
"""

from collections.abc import Sequence
from typing import Any

import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache

from pnpovss.backbones.base import LoadOptions, Match, Reading, Recommended, TextTokens
from pnpovss.backbones.decoder.chat import QUESTION, Chat
from pnpovss.backbones.decoder.eyes import ARCHITECTURES, Architecture, ImageTokens
from pnpovss.backbones.decoder.prefix import ImagePrefix, continue_from, keys_and_values
from pnpovss.backbones.parts.capture import CAPTURE, read_attention
from pnpovss.backbones.parts.checkpoint import read_model
from pnpovss.backbones.parts.origin import Origin, find_kind
from pnpovss.backbones.parts.pairing import by_image, checked, flatten, for_graph, last_layer, token_maps
from pnpovss.backbones.parts.tuned import tuned
from pnpovss.errors import CheckpointError, InvalidInputError, NamesError

__all__ = ["DecoderBackbone", "load_decoder"]

QUESTIONS = 16  # asked at once: bounds memory, of which each question takes as much as the prefix of a layer or two


class DecoderBackbone:
    """A decoder with eyes; satisfies `Backbone` of `pnpovss.backbones.base`.

    Each prompt asks for one name. Only questions are in a graph, and of them what lies above the lowest layer read.

    Attributes:
        card: what is fixed about it.
    """

    def __init__(self, model: Any, architecture: Architecture, chat: Chat, origin: Origin) -> None:
        """Take over a frozen model in evaluation mode, whose language model attends through `CAPTURE`."""
        model.to(origin.options.device)
        text = model.config.get_text_config()
        self._chat, self._eyes = chat, architecture.eyes(model)
        self._tiles, self._most = architecture.tiled or _never_cut, architecture.most
        self._embed, self._head = model.get_input_embeddings(), model.get_output_embeddings()
        self._longest = int(text.max_position_embeddings)
        heads = dict.fromkeys(range(text.num_hidden_layers), int(text.num_attention_heads))
        cells = (self._eyes.side // self._eyes.cell) ** 2
        self.card = origin.card(
            patch=self._eyes.cell,
            max_tokens=self._longest - len(chat.before) - cells,
            heads=heads,
            recommended=tuned(origin.name, model.config.to_dict())
            or Recommended(
                (len(heads) - 2) // 2, 0, self._eyes.side, source="untuned: a guess, half way up, first head"
            ),
            joint_prompt=False,
            sizes=self._eyes.sizes,
            longest_side=self._longest_side() if self._eyes.sizes == "frames" else None,
            prompt=QUESTION,
            answer=-1,
            gradientless=last_layer(heads, len(heads)),
        )

    def tokenize(self, text: str) -> TextTokens:
        """Tokenise a question and the chat after it; a text, not a name: `card.prompt` makes names questions.

        Raises:
            NamesError: the text holds a control token of the chat.
        """
        return self._chat(text)

    @torch.no_grad()
    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> ImagePrefix:
        """Encode normalised pixels and all of the chat that stands before the question; see `Backbone.encode_images`.

        Raises:
            InvalidInputError: a size that the model does not read.
        """
        grid, pixels = self._grid(pixels), pixels.to(self.card.device, self.card.dtype)
        parts, columns, image = self._tiled(pixels) if self._is_cut(pixels) else self._whole(pixels, grid)
        prefix = torch.cat([part.expand(len(pixels), -1, -1) for part in parts], 1)
        cache, positions = DynamicCache(), self._prefix_positions(columns[0], grid)
        # By place: transformers renamed the cache's argument from one release to another.
        mask = None if self._eyes.mask is None else self._eyes.mask(prefix.shape[1], columns[0])
        self._eyes.language(None, mask, positions, cache, prefix, **_deeper(image, columns[0]))
        return ImagePrefix(keys_and_values(cache), grid, columns)

    def _longest_side(self) -> int:
        """Of a square of so many tiles as the model was shown, and its tokenizer has marks for [px]."""
        squares = (n for n in range(self._most, 1, -1) if not self._chat.lacks(self._tiles(n, n)))
        return next(squares, 1) * self._eyes.side

    def _is_cut(self, pixels: Float[Tensor, "b 3 H W"]) -> bool:
        return self._eyes.sizes == "frames" and max(pixels.shape[2:]) > self._eyes.side

    def _whole(
        self, pixels: Float[Tensor, "b 3 H W"], grid: tuple[int, int]
    ) -> tuple[list[Float[Tensor, "_b _n d"]], tuple[int, ...], ImageTokens]:
        """What stands in the prefix, side by side, and where the image's tokens are: they end it."""
        image, before = self._eyes.see(pixels), self._words(self._chat.before)
        return [before, image.tokens], tuple(range(before.shape[1], before.shape[1] + grid[0] * grid[1])), image

    def _tiled(
        self, pixels: Float[Tensor, "b 3 H W"]
    ) -> tuple[list[Float[Tensor, "_b _n d"]], tuple[int, ...], ImageTokens]:
        """The same for an image that is cut into tiles, behind which the whole stands, small."""
        side, cells = self._eyes.side, self._eyes.side // self._eyes.cell
        down, across = (extent // side for extent in pixels.shape[2:])
        tiles = pixels.unfold(2, side, side).unfold(3, side, side).flatten(2, 3).transpose(1, 2)  # b tile 3 H W
        small = F.interpolate(pixels.float(), (side, side), mode="bicubic", antialias=True).to(pixels.dtype)
        image = self._eyes.see(torch.cat([tiles, small[:, None]], 1).flatten(0, 1))
        frames = image.tokens.unflatten(0, (len(pixels), -1))
        parts: list[Tensor] = []
        starts, length = [], 0
        for marks, frame in zip(self._chat.between(self._tiles(down, across)), frames.unbind(1), strict=True):
            parts += [self._words(marks), frame]
            starts.append(length + len(marks))
            length = starts[-1] + frame.shape[1]
        place = torch.arange(cells * cells).view(1, cells, 1, cells)
        first = torch.tensor(starts[:-1]).view(down, 1, across, 1)
        return parts, tuple((first + place).flatten().tolist()), image

    def _words(self, ids: Sequence[int]) -> Float[Tensor, "1 n d"]:
        return self._embed(torch.tensor([ids], dtype=torch.long, device=self.card.device))

    def match(
        self, features: ImagePrefix, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """Ask each image its questions; see `Backbone.match`.

        With several layers each gradient is the total derivative: what a lower layer's probabilities do to a higher
        layer's is part of it.

        Raises:
            NamesError: a prompt is longer than the model reads.
            ConfigError: a layer that cannot be read.
            InvalidInputError: no prompts, or lists of prompts for another number of images.
        """
        reading = checked(reading, self.card.heads)
        flat, owner = flatten(prompts, len(features))
        with torch.inference_mode(False):  # its tensors cannot enter a graph
            ids, last = self._pad(features, flat)
            images = torch.tensor(owner, device=self.card.device)
            parts = [
                self._ask(features, ids[rows], last[rows], images[rows], reading)
                for rows in (slice(start, start + QUESTIONS) for start in range(0, len(flat), QUESTIONS))
            ]
        logits, attention, gradient = (
            None if each[0] is None else torch.cat(each) for each in zip(*parts, strict=True)
        )
        assert logits is not None
        maps = () if attention is None else token_maps(attention, gradient, prompts)
        return Match(by_image(logits, prompts), by_image(logits.sigmoid(), prompts), maps)

    def _ask(
        self,
        features: ImagePrefix,
        ids: Int[Tensor, "p t"],
        last: Int[Tensor, " p"],
        images: Int[Tensor, " p"],
        reading: Reading,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Match logits " p", and attention and gradient "p layer head t gh gw" where they are wanted."""
        modules = [self._eyes.language.layers[layer].self_attn for layer in reading.layers]
        differentiate = reading.gradient and bool(modules)
        with read_attention(modules, gradient=differentiate) as seen:
            states = for_graph(features.states)
            cache, positions = continue_from(states, images), self._question_positions(features, ids)
            hidden = self._eyes.language(None, None, positions, cache, self._embed(ids)).last_hidden_state
            words = self._head(hidden[torch.arange(len(ids)), last]).float()
            logits = words[:, self._chat.yes] - words[:, self._chat.no]
            gradients = seen.gradients(logits.sum()) if differentiate else []
        attention, gradient = (_of_image(each, features) for each in (seen.attention, gradients))
        return logits.detach(), attention, gradient

    def _pad(
        self, features: ImagePrefix, prompts: Sequence[TextTokens]
    ) -> tuple[Int[Tensor, "p t"], Int[Tensor, " p"]]:
        """Ids filled up to the longest prompt, and where each ends. What comes after the end is seen by nothing."""
        lengths = [len(prompt) for prompt in prompts]
        room = min(self.card.max_tokens, self._longest - features.states.shape[-2])
        if max(lengths) > room:
            raise NamesError(
                f"a prompt of {max(lengths)} tokens is longer than the {room} that are left beside the image: "
                "give a shorter name, or a smaller image"
            )
        ids = [[*prompt.ids, *[prompt.ids[-1]] * (max(lengths) - len(prompt))] for prompt in prompts]
        device = self.card.device
        return torch.tensor(ids, device=device), torch.tensor(lengths, device=device) - 1

    def _grid(self, pixels: Float[Tensor, "b 3 H W"]) -> tuple[int, int]:
        (height, width), cell, side = pixels.shape[2:], self._eyes.cell, self._eyes.side
        if height % cell or width % cell or not height * width:
            raise InvalidInputError(f"{height} x {width} px is no multiple of the cell of {self.card.name}, {cell} px")
        if self._eyes.sizes == "fixed" and (height, width) != (side, side):
            raise InvalidInputError(f"{self.card.name} reads {side} x {side} px only, got {height} x {width}")
        if self._eyes.sizes == "frames" and (height % side or width % side or max(height, width) > self._most * side):
            raise InvalidInputError(
                f"{self.card.name} reads {side} x {side} px, or up to {self._most} x {self._most} times that, each a "
                f"tile; got {height} x {width}"
            )
        return height // cell, width // cell

    def _prefix_positions(self, start: int, grid: tuple[int, int]) -> Int[Tensor, "3 1 n"] | None:
        """(time, row, column) of the tokens before the question; None where they simply count."""
        if not self._eyes.rotates_by_grid:
            return None
        rows, columns = torch.meshgrid(*(torch.arange(extent) for extent in grid), indexing="ij")
        cells = torch.stack([torch.zeros_like(rows), rows, columns]).flatten(1) + start
        return torch.cat([torch.arange(start).expand(3, -1), cells], 1)[:, None].to(self.card.device)

    def _question_positions(self, features: ImagePrefix, ids: Int[Tensor, "p t"]) -> Int[Tensor, "3 p t"] | None:
        """The same for the question, which goes on beyond the image's longer side."""
        if not self._eyes.rotates_by_grid:
            return None
        first = features.columns[0] + max(features.grid)
        return torch.arange(first, first + ids.shape[1], device=ids.device).expand(3, *ids.shape)


def _never_cut(rows: int, columns: int) -> str:
    raise AssertionError(f"an image of one frame was cut into {rows} x {columns}")


def _of_image(
    maps: Sequence[Float[Tensor, "p head t k"]], features: ImagePrefix
) -> Float[Tensor, "p layer head t gh gw"] | None:
    """The image's columns, on their grid, layers side by side."""
    cells = list(features.columns)
    return torch.stack([each[..., cells].unflatten(-1, features.grid) for each in maps], 1) if maps else None


def _deeper(image: ImageTokens, start: int) -> dict[str, object]:
    """What the language model is told beside the tokens (DeepStack)."""
    if not image.deeper:
        return {}
    where = torch.arange(start + image.tokens.shape[1], device=image.tokens.device) >= start
    return {
        "visual_pos_masks": where.expand(len(image.tokens), -1),
        "deepstack_visual_embeds": [each.flatten(0, 1) for each in image.deeper],
    }


def load_decoder(name: str, options: LoadOptions) -> DecoderBackbone:
    """Load a checkpoint by hub id or folder.

    Raises:
        CheckpointError: it cannot be had, or its files are missing, damaged or of another architecture.
    """
    folder, kind, origin = find_kind(name, options, {kind: each.normalisation for kind, each in ARCHITECTURES.items()})
    architecture = ARCHITECTURES[kind]
    model = read_model(
        folder,
        getattr(transformers, architecture.model),
        options.dtype,
        attn_implementation={"text_config": CAPTURE, "vision_config": "sdpa"},
    )
    if model.config.get_text_config().num_hidden_layers < 2:
        raise CheckpointError(f"the language model in {folder} has one layer; names are read below the last of several")
    vocabulary = int(model.get_input_embeddings().num_embeddings)
    chat = Chat(folder, model.config.image_token_id, architecture.frame, vocabulary, architecture.mark)
    return DecoderBackbone(model, architecture, chat, origin)
