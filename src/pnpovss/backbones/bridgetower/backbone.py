"""BridgeTower image-text matching (arXiv 2206.08657), the paper's second model: base, large, any hub id or folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from transformers import BridgeTowerForImageAndTextRetrieval
from transformers.models.bridgetower.modeling_bridgetower import BridgeTowerContrastiveHead

from pnpovss.backbones.base import LoadOptions, Match, Reading, Recommended, TextTokens
from pnpovss.backbones.bridgetower import MODELS
from pnpovss.backbones.bridgetower.fusing import Fusing
from pnpovss.backbones.bridgetower.towers import ImageTower, TowerStates
from pnpovss.backbones.parts.checkpoint import read_model, weight_names
from pnpovss.backbones.parts.framed import ROBERTA, FramedTokenizer
from pnpovss.backbones.parts.origin import Origin, find
from pnpovss.backbones.parts.pairing import last_layer
from pnpovss.backbones.parts.tuned import deep, tuned
from pnpovss.errors import CheckpointError

__all__ = ["BridgeTowerBackbone", "ContrastiveBridgeTower", "load_bridgetower"]

# What a file may hold beside the heads that are used: published ones serve several of transformers' classes.
_OTHER_HEADS = ("mlm_score.", "itc_cross_modal_head.", "logit_scale")


class BridgeTowerBackbone:
    """A BridgeTower image-text-matching checkpoint; satisfies `Backbone` of `pnpovss.backbones.base`.

    `card.dtype` is that of the image tower; the text tower and the fusing layers compute in float32 whatever it says,
    since their gradient is what the maps are made of.

    Attributes:
        card: what is fixed about it.
    """

    def __init__(
        self,
        model: BridgeTowerForImageAndTextRetrieval,
        tokenizer: FramedTokenizer,
        origin: Origin,
    ) -> None:
        """Take over a model in evaluation mode, frozen: moved to the device, its image tower converted to the dtype."""
        model.to(origin.options.device)  # pyright: ignore[reportArgumentType]
        self._tokenizer = tokenizer
        self._tower = ImageTower(model.bridgetower, origin.options.dtype)
        self._fusing = Fusing(model)
        self.card = origin.card(
            patch=self._tower.patch,
            max_tokens=self._fusing.max_tokens,
            heads=self._fusing.heads,
            gradientless=last_layer(self._fusing.heads, len(self._fusing.heads)),
            recommended=_recommend(origin.name, model.config.to_dict(), len(self._fusing.heads)),
        )

    def tokenize(self, text: str) -> TextTokens:
        """Tokenise a text: <s>, its pieces, </s>. Never truncates."""
        return self._tokenizer(text)

    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> TowerStates:
        """Encode normalised pixels; see `Backbone.encode_images`.

        Raises:
            InvalidInputError: a side is no multiple of the patch.
        """
        return self._tower(pixels.to(self.card.device, torch.float32))

    def match(
        self, features: TowerStates, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """Match prompts with images; see `Backbone.match`, and `Fusing.match` for what it raises."""
        return self._fusing.match(features, prompts, reading)


class ContrastiveBridgeTower(BridgeTowerBackbone):
    """A checkpoint that has contrastive heads beside the match head; also satisfies `Contrastive`."""

    def __init__(self, model: "_BothHeads", tokenizer: FramedTokenizer, origin: Origin) -> None:
        """As `BridgeTowerBackbone`."""
        super().__init__(model, tokenizer, origin)
        self._image_head, self._text_head = model.itc_image_head, model.itc_text_head

    @torch.no_grad()
    def embed_images(self, features: TowerStates) -> Float[Tensor, "b d"]:
        """Images in the contrastive space, as unit vectors."""
        return F.normalize(self._image_head(features.states[:, -1, 0]), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[TextTokens]) -> Float[Tensor, "t d"]:
        """Texts in the contrastive space, as unit vectors; they see no image."""
        return F.normalize(self._text_head(self._fusing.read_texts(texts, self.card.device)), dim=-1)


class _BothHeads(BridgeTowerForImageAndTextRetrieval):
    """transformers has a class for either kind of head, none for both."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        width, embedded = config.hidden_size, config.contrastive_hidden_size
        self.itc_image_head = BridgeTowerContrastiveHead(width, embedded)
        self.itc_text_head = BridgeTowerContrastiveHead(width, embedded)


def load_bridgetower(name: str, options: LoadOptions) -> BridgeTowerBackbone:
    """Load a checkpoint by hub id or folder.

    Raises:
        CheckpointError: it cannot be had, its files are missing, damaged or of another architecture, or it has no head
            for image-text matching.
    """
    folder, origin = find(name, options, "bridgetower")
    names = weight_names(folder)
    if not any(key.startswith("itm_score.") for key in names):
        raise CheckpointError(
            f"the checkpoint in {folder} has no head for image-text matching (itm_score): it cannot tell whether a "
            "text matches, and contrastive heads alone, as in BridgeTower/bridgetower-large-itm-mlm-itc, never look at "
            f"image and text together. Use one of {', '.join(MODELS)}"
        )
    both = any(key.startswith("itc_image_head.") for key in names)
    model = read_model(folder, _BothHeads if both else BridgeTowerForImageAndTextRetrieval, other_heads=_OTHER_HEADS)
    _refuse_a_low_tower(folder, model.bridgetower)
    kind = ContrastiveBridgeTower if both else BridgeTowerBackbone
    return kind(model, FramedTokenizer(folder, model.config.text_config.vocab_size, ROBERTA), origin)


def _refuse_a_low_tower(folder: Path, model: Any) -> None:
    """Both towers send their states to the fusing layers side by side, counted from the text tower's layers."""
    image, text = len(model.vision_model.visual.transformer.resblocks), len(model.text_model.encoder.layer)
    if image < text or text < len(model.cross_modal_text_layers):
        raise CheckpointError(
            f"the checkpoint in {folder} has {image} image layers, {text} text layers and "
            f"{len(model.cross_modal_text_layers)} fusing layers; expected no fewer of the former than of the latter"
        )


def _recommend(name: str, config: dict[str, Any], layers: int) -> Recommended:
    """A guess where nobody tuned the checkpoint: as deep among its layers as the paper's layer is in BLIP large."""
    if (known := tuned(name, config)) is not None:
        return known
    return Recommended(
        layer=deep(layers),
        head=0,
        image_size=config["vision_config"]["image_size"],
        source="untuned: a guess; layer and head of BridgeTower are published nowhere",
    )
