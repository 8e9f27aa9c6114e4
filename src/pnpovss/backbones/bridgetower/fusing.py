"""The layers in which BridgeTower fuses image and text: match logits, text-to-image attention and its gradient.

In each fusing layer the text looks at the image and the image at the text, side by side; the match head reads the class
tokens of both. What is read is where text tokens look in the image. A layer's text attention cannot change what its own
image side says, so below and at the lowest layer that is read no image token enters the graph, its probabilities become
a leaf, and no parameter is ever differentiated.

In the last fusing layer the head reads the class tokens alone: the attention of all other tokens there has gradient 0.

transformers' own forward must be asked for `eager` attention to agree: with its `sdpa` the tokens of the image, and of
texts without padding, see only those before them, which the model was not trained with.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pnpovss.backbones.base import Match, Reading, TextTokens, TokenMaps
from pnpovss.backbones.bridgetower.towers import Stream, TowerStates
from pnpovss.backbones.parts.pairing import by_image, checked, flatten, for_graph, pad_prompts, token_maps
from pnpovss.backbones.parts.text_side import SeenTokens, attend, cross_attention, feed_forward, self_attention

__all__ = ["Fusing"]

ROWS = 4  # prompts fused at once, each with all patches of its image; bounds memory


class Fusing:
    """The text tower and the fusing layers of a `BridgeTowerForImageAndTextRetrieval`, in evaluation mode.

    Attributes:
        heads: heads of each fusing layer, by 0-based index.
        max_tokens: longest text, special tokens included.
    """

    def __init__(self, model: Any) -> None:
        tower = model.bridgetower
        self._embed = tower.text_model.embeddings
        self._tower_layers = tower.text_model.encoder.layer
        self._text, self._image = Stream.of(tower, "text"), Stream.of(tower, "image")
        self._pool, self._head = tower.get_cls_features, model.itm_score
        self._pad_id = int(self._embed.padding_idx)
        attention = [layer.crossattention.self for layer in self._text.layers]
        self.heads = {index: int(module.num_attention_heads) for index, module in enumerate(attention)}
        # Positions are counted from the one after the padding's.
        self.max_tokens = int(self._embed.position_embeddings.num_embeddings) - self._pad_id - 1

    def match(
        self, features: TowerStates, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """Match prompts with images; see `Backbone.match`.

        With several layers each gradient is the total derivative: what a lower layer's probabilities do to a higher
        layer's is part of it.

        Raises:
            NamesError: a prompt is longer than the text tower reads.
            ConfigError: a layer that there is not.
            InvalidInputError: no prompts, or lists of prompts for another number of images.
        """
        reading = checked(reading, self.heads)
        flat, owner = flatten(prompts, len(features))
        # Features made under inference_mode cannot enter a graph; a caller's no_grad must not switch ours off.
        with torch.inference_mode(False):
            states = for_graph(features.states)
            ids, real = pad_prompts(flat, self._pad_id, self.max_tokens, states.device)
            rows = [slice(start, start + ROWS) for start in range(0, len(ids), ROWS)]
            fused = [self._fuse(ids[some], real[some], states, owner[some], reading) for some in rows]
        logits, attention, gradient = (torch.cat(each) for each in zip(*fused, strict=True))
        return Match(
            logits=by_image(logits[:, 1], prompts),
            probability=by_image(logits.softmax(-1)[:, 1], prompts),
            maps=_maps(attention, gradient if reading.gradient else None, features, prompts) if reading.layers else (),
        )

    @torch.no_grad()
    def read_texts(self, texts: Sequence[TextTokens], device: torch.device | None = None) -> Float[Tensor, "t e"]:
        """The text tower's last hidden state of the first token of each text, no image involved."""
        ids, real = pad_prompts(texts, self._pad_id, self.max_tokens, device)
        return self._read(ids, real[:, None, None])[-1][:, 0]

    def _read(self, ids: Int[Tensor, "p t"], mask: Bool[Tensor, "p 1 1 t"]) -> list[Float[Tensor, "p t e"]]:
        """The hidden states of the text tower that go to the fusing layers."""
        hidden, states = self._embed(ids), []
        for layer in self._tower_layers:
            hidden = feed_forward(layer, self_attention(layer.attention, hidden, mask))
            states.append(hidden)
        return states[-len(self._text.layers) :]

    def _fuse(
        self,
        ids: Int[Tensor, "p t"],
        real: Bool[Tensor, "p t"],
        states: Float[Tensor, "b layer n d"],
        owner: list[int],
        reading: Reading,
    ) -> tuple[Float[Tensor, "p 2"], Float[Tensor, " p *read"], Float[Tensor, " p *moved"]]:
        """Logits, and "p read head t n" the probabilities and gradients of the layers asked for, or "p 0"."""
        differentiate = reading.gradient and bool(reading.layers)
        lowest = min(reading.layers) if differentiate else len(self.heads)
        mask = real[:, None, None]
        read: dict[int, Tensor] = {}
        with torch.no_grad():
            words = [self._text.leave_tower(index, hidden) for index, hidden in enumerate(self._read(ids, mask))]
        text = image = None
        for index in self.heads:
            with torch.set_grad_enabled(index >= lowest):
                text = self._text.enter(index, words[index], text)
                image = self._image.enter(index, states[owner, index], image)
                kept = read if index in reading.layers else None
                text, image = self._layer(index, text, image, mask, kept, leaf=index == lowest)
        with torch.set_grad_enabled(differentiate):
            logits = self._head(self._pool(text, image))
            wanted = [read[index] for index in reading.layers]
            # Pairs do not see each other, so the gradient of the sum is each pair's own.
            grads = torch.autograd.grad(logits[:, 1].sum(), wanted) if differentiate else ()
        nothing = logits.new_zeros(len(ids), 0)
        return (
            logits.detach(),
            torch.stack(wanted, 1).detach() if wanted else nothing,
            torch.stack(grads, 1) if grads else nothing,
        )

    def _layer(
        self,
        index: int,
        text: Float[Tensor, "p t d"],
        image: Float[Tensor, "p n d"],
        mask: Bool[Tensor, "p 1 1 t"],
        kept: dict[int, Tensor] | None,
        leaf: bool,
    ) -> tuple[Float[Tensor, "p t d"], Float[Tensor, "p m d"]]:
        """One fusing layer: text that saw the image, image that saw the text; where the text looked goes to `kept`."""
        layer = self._text.layers[index]
        words = self_attention(layer.attention, text, mask)
        words, probs = cross_attention(layer.crossattention, words, SeenTokens(image, 1), leaf)
        if kept is not None:
            kept[index] = probs
        words = feed_forward(layer, words)
        layer = self._image.layers[index]
        # Of the last layer's image side the head reads the class token alone.
        patches = attend(layer.attention, image[:, :1] if index == max(self.heads) else image, image, None)
        patches = attend(layer.crossattention, patches, text, mask)
        return words, feed_forward(layer, patches)


def _maps(
    attention: Float[Tensor, "p read head t n"],
    gradient: Float[Tensor, "p read head t n"] | None,
    features: TowerStates,
    prompts: Sequence[Sequence[TextTokens]],
) -> tuple[TokenMaps, ...]:
    """Without the class token's column, unfolded to the grid, by image."""
    seen, grads = (
        None if maps is None else maps[..., 1:].unflatten(-1, features.grid) for maps in (attention, gradient)
    )
    assert seen is not None
    return token_maps(seen, grads, prompts)
