"""BLIP image-text matching (arXiv 2201.12086) through transformers: base and large, any hub id or folder, any size."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from transformers import BlipForImageTextRetrieval

from pnpovss.backbones.base import Backbone, LoadOptions, Match, Reading, Recommended, TextTokens
from pnpovss.backbones.blip.tokenizer import BlipTokenizer
from pnpovss.backbones.blip.vision import VisionSide
from pnpovss.backbones.captioner.backbone import is_captioner, load_captioner
from pnpovss.backbones.parts.blip_config import doubt_text_heads
from pnpovss.backbones.parts.checkpoint import read_model
from pnpovss.backbones.parts.origin import Origin, find
from pnpovss.backbones.parts.text_side import PatchTokens, TextSide, encode_text, match_prompts
from pnpovss.backbones.parts.tuned import tuned

__all__ = ["BlipBackbone", "load_blip"]

# What a checkpoint that nobody tuned starts from: the paper's layer and head of BLIP large, at its size.
_LAYER, _HEAD, _IMAGE_SIZE = 7, 9, 336


class BlipBackbone:
    """A BLIP image-text-matching checkpoint; satisfies `Backbone` and `Contrastive` of `pnpovss.backbones.base`.

    The text side computes in float32 whatever `card.dtype` says: it is a small part of the work, and its gradient is
    what the maps are made of.

    Attributes:
        card: what is fixed about it.
    """

    def __init__(
        self,
        model: BlipForImageTextRetrieval,
        tokenizer: BlipTokenizer,
        origin: Origin,
    ) -> None:
        """Take over a model in evaluation mode, frozen: moved to the device, its image side converted to the dtype."""
        model.to(origin.options.device)  # pyright: ignore[reportArgumentType]
        self._tokenizer = tokenizer
        self._vision = VisionSide(model.vision_model, origin.options.dtype)
        self._text = TextSide(
            embed=model.text_encoder.embeddings,
            layers=model.text_encoder.encoder.layer,
            head=model.itm_head,
            pad_id=tokenizer.pad_id,
            max_tokens=int(_text_config(model).max_position_embeddings),
        )
        self._image_projection, self._text_projection = model.vision_proj, model.text_proj
        self.card = origin.card(
            patch=self._vision.patch,
            max_tokens=self._text.max_tokens,
            heads=self._text.heads,
            gradientless=self._text.gradientless,
            recommended=_recommend(origin.name, model.config.to_dict(), self._text),
        )

    def tokenize(self, text: str) -> TextTokens:
        """Tokenise a text: [ENC], which the match head reads, its pieces, [SEP]. Never truncates."""
        return self._tokenizer(text)

    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> PatchTokens:
        """Encode normalised pixels; see `Backbone.encode_images`.

        Raises:
            InvalidInputError: a side is no multiple of the patch.
        """
        tokens = self._vision(pixels.to(self.card.device, torch.float32))
        patch = self.card.patch
        return PatchTokens(tokens, grid=(pixels.shape[2] // patch, pixels.shape[3] // patch))

    def match(
        self, features: PatchTokens, prompts: Sequence[Sequence[TextTokens]], reading: Reading | None = None
    ) -> Match:
        """Match prompts with images; see `Backbone.match`, and `match_prompts` for what it raises."""
        return match_prompts(self._text, features, prompts, reading)

    @torch.no_grad()
    def embed_images(self, features: PatchTokens) -> Float[Tensor, "b d"]:
        """Images in the contrastive space, as unit vectors."""
        return F.normalize(self._image_projection(features.tokens[:, 0]), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[TextTokens]) -> Float[Tensor, "t d"]:
        """Texts in the contrastive space, as unit vectors; they start with [CLS] and see no image."""
        texts = [TextTokens((self._tokenizer.cls_id, *text.ids[1:]), text.pieces, text.offsets) for text in texts]
        return F.normalize(self._text_projection(encode_text(self._text, texts, self.card.device)), dim=-1)


def load_blip(name: str, options: LoadOptions) -> Backbone:
    """Load a checkpoint by hub id or folder; one that writes captions as a captioner.

    Raises:
        CheckpointError: it cannot be had, or its files are missing, damaged or of another architecture.
    """
    folder, origin = find(name, options, "blip")
    if is_captioner(folder):
        return load_captioner(name, options)
    model = read_model(folder, BlipForImageTextRetrieval)
    text = _text_config(model)
    tokenizer = BlipTokenizer(folder, text.vocab_size)
    doubt_text_heads(name, text)
    return BlipBackbone(model, tokenizer, origin)


def _recommend(name: str, config: dict[str, Any], text: TextSide) -> Recommended:
    """The paper's settings for BLIP large; as near to them as the checkpoint has for any other."""
    if (known := tuned(name, config)) is not None:
        return known
    heads = text.heads
    layer = min(_LAYER, max(set(heads) - set(text.gradientless), default=max(heads)))
    vision = config["vision_config"]
    common = vision["image_size"] >= _IMAGE_SIZE and _IMAGE_SIZE % vision["patch_size"] == 0
    return Recommended(
        layer=layer,
        head=min(_HEAD, heads[layer] - 1),
        image_size=_IMAGE_SIZE if common else vision["image_size"],
        source="untuned: the paper tuned only BLIP-large",
    )


def _text_config(model: BlipForImageTextRetrieval) -> Any:
    """Transformers types it as possibly None or dict."""
    return model.config.text_config
