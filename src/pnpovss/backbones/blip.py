"""BLIP image-text matching (arXiv 2201.12086) through transformers: base and large, any hub id or folder, any size."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from transformers import BlipForImageTextRetrieval

from pnpovss.backbones.base import (
    BackboneSpec,
    ImageFeatures,
    LoadOptions,
    Match,
    Recommended,
    TextTokens,
    known_backbones,
)
from pnpovss.backbones.blip_checkpoint import locate, model_type, read_config, read_model, read_normalisation
from pnpovss.backbones.blip_tokenizer import BlipTokenizer
from pnpovss.backbones.blip_vision import VisionSide
from pnpovss.backbones.cross_attention import TextSide, encode_text, match_prompts
from pnpovss.errors import ConfigError

__all__ = ["SPEC", "BlipBackbone"]

_logger = logging.getLogger(__name__)

MODELS = {
    "Salesforce/blip-itm-large-flickr": "BLIP large, fine-tuned on Flickr30k: the paper's model (1.9 GB)",
    "Salesforce/blip-itm-large-coco": "BLIP large, fine-tuned on COCO (1.9 GB)",
    "Salesforce/blip-itm-base-flickr": "BLIP base, fine-tuned on Flickr30k (0.9 GB)",
    "Salesforce/blip-itm-base-coco": "BLIP base, fine-tuned on COCO (0.9 GB)",
}

# Paper, appendix: layer 8 and head 10 counted from 1, at 336 px, found for BLIP large by random search.
_LAYER, _HEAD, _IMAGE_SIZE = 7, 9, 336
_TUNED = "PnP-OVSS (arXiv 2311.17095), tuned for BLIP large: layer 8, head 10 counted from 1, 336 px"
_UNTUNED = "untuned: the paper tuned only BLIP-large"
_LARGE = (1024, 24)  # width and depth of the image side


class BlipBackbone:
    """A BLIP image-text-matching checkpoint; satisfies `pnpovss.backbones.base.Backbone`.

    The text side computes in float32 whatever `dtype` says: it is a small part of the work, and its gradient is what
    the maps are made of.

    Attributes:
        name: hub id or folder it was loaded by.
        revision: the hub's commit, or a hash of the folder's weights.
        device: where it computes.
        dtype: of the image side's linear layers.
        patch: pixels along one side of a patch.
        mean: RGB mean that pixels are normalised with.
        std: RGB standard deviation that pixels are normalised with.
        max_tokens: longest text, special tokens included.
        recommended: layer, head and image size to read.
    """

    def __init__(
        self,
        model: BlipForImageTextRetrieval,
        tokenizer: BlipTokenizer,
        *,
        name: str,
        revision: str | None,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        options: LoadOptions | None = None,
    ) -> None:
        """Take over a model in evaluation mode, frozen: moved to the device, its image side converted to the dtype."""
        options = options or LoadOptions()
        model.to(options.device)  # pyright: ignore[reportArgumentType]
        text_config, vision_config = _configs(model)
        self.name, self.revision, self.mean, self.std = name, revision, mean, std
        self.device, self.dtype = options.device, options.dtype
        self.max_tokens = int(text_config.max_position_embeddings)
        self._tokenizer = tokenizer
        self._vision = VisionSide(model.vision_model, options.dtype)
        self._text = TextSide(
            embed=model.text_encoder.embeddings,
            layers=model.text_encoder.encoder.layer,
            head=model.itm_head,
            pad_id=tokenizer.pad_id,
            max_tokens=self.max_tokens,
        )
        self._image_projection, self._text_projection = model.vision_proj, model.text_proj
        self.patch = self._vision.patch
        self.recommended = _recommend(vision_config, self.attention_shape)

    @property
    def attention_shape(self) -> dict[int, int]:
        """Heads of each text layer, by 0-based layer index."""
        return self._text.attention_shape

    def tokenize(self, text: str) -> TextTokens:
        """Tokenise a text: [ENC], its pieces, [SEP]. Never truncates."""
        return self._tokenizer(text)

    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> ImageFeatures:
        """Encode normalised pixels; see `Backbone.encode_images`.

        Raises:
            InvalidInputError: a side is no multiple of the patch.
        """
        tokens = self._vision(pixels.to(self.device, torch.float32))
        return ImageFeatures(tokens, grid=(pixels.shape[2] // self.patch, pixels.shape[3] // self.patch), prefix=1)

    def match(
        self,
        features: ImageFeatures,
        prompts: Sequence[TextTokens],
        *,
        image_index: Sequence[int] | Int[Tensor, " p"] | None = None,
        layers: Sequence[int] = (),
        gradient: bool = True,
    ) -> Match:
        """Match prompts with images; see `Backbone.match`, and `match_prompts` for what it raises."""
        return match_prompts(self._text, features, prompts, image_index=image_index, layers=layers, gradient=gradient)

    def similarity(self, features: ImageFeatures, texts: Sequence[TextTokens]) -> Float[Tensor, "b t"]:
        """Cosine similarity of the contrastive heads, in [-1, 1]; its text starts with [CLS] and sees no image."""
        return self.embed_images(features) @ self.embed_texts(texts).T

    @torch.no_grad()
    def embed_images(self, features: ImageFeatures) -> Float[Tensor, "b d"]:
        """Images in the contrastive space, as unit vectors."""
        return F.normalize(self._image_projection(features.tokens[:, 0]), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[TextTokens]) -> Float[Tensor, "t d"]:
        """Texts in the contrastive space, as unit vectors; for vocabularies that are compared with many images."""
        texts = [TextTokens((self._tokenizer.cls_id, *text.ids[1:]), text.pieces, text.offsets) for text in texts]
        return F.normalize(self._text_projection(encode_text(self._text, texts, self.device)), dim=-1)


def load_blip(name: str, options: LoadOptions) -> BlipBackbone:
    """Load a checkpoint by hub id or folder.

    Raises:
        CheckpointError: it cannot be had, or its files are missing, damaged or of another architecture.
        ConfigError: the device is not on this machine, or the dtype is neither float32 nor bfloat16.
    """
    _check_options(options)
    folder, revision = locate(name, options)
    read_config(folder)
    mean, std = read_normalisation(folder)
    model = read_model(folder)
    tokenizer = BlipTokenizer(folder, _configs(model)[0].vocab_size)
    backbone = BlipBackbone(model, tokenizer, name=name, revision=revision, mean=mean, std=std, options=options)
    _warn_of_heads(name, _configs(model)[0])
    if backbone.recommended.source != _TUNED:
        read = backbone.recommended
        _logger.warning(
            "%s: reading layer %d, head %d at %d px, %s", name, read.layer, read.head, read.image_size, read.source
        )
    return backbone


def claims(name: str) -> bool:
    """Whether `name` is a folder with a BLIP checkpoint, or a hub id that no other backbone names its own."""
    folder = Path(name)
    if folder.is_dir():
        return model_type(folder / "config.json") == "blip"
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        return False
    cached = try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str):
        return model_type(Path(cached)) == "blip"
    return not any(name in spec.models for spec in known_backbones().values() if spec.key != SPEC.key)


def available(name: str) -> bool:
    """Whether a hub id's files lie in the hub's cache; asks no network."""
    weights = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
    there = [isinstance(try_to_load_from_cache(name, file), str) for file in ("config.json", *weights)]
    return there[0] and any(there[1:])


def _recommend(vision: Any, attention_shape: dict[int, int]) -> Recommended:
    """The paper's settings for BLIP large; as near to them as the checkpoint has for any other."""
    layer = min(_LAYER, max(attention_shape))
    head = min(_HEAD, attention_shape[layer] - 1)
    shaped_as_large = (vision.hidden_size, vision.num_hidden_layers) == _LARGE and (layer, head) == (_LAYER, _HEAD)
    common_size = vision.image_size >= _IMAGE_SIZE and _IMAGE_SIZE % vision.patch_size == 0
    return Recommended(
        layer=layer,
        head=head,
        image_size=_IMAGE_SIZE if common_size else vision.image_size,
        source=_TUNED if shaped_as_large else _UNTUNED,
    )


def _warn_of_heads(name: str, text: Any) -> None:
    """Early revisions of the published configs say 8 heads, the weights were trained with 12; nothing else tells."""
    if text.hidden_size == 768 and text.num_attention_heads != 12:
        _logger.warning(
            "%s: its config says %d text heads, BLIP was trained with 12; if this is a copy of a published checkpoint, "
            "set text_config.num_attention_heads to 12 or fetch it again",
            name,
            text.num_attention_heads,
        )


def _configs(model: BlipForImageTextRetrieval) -> tuple[Any, Any]:
    """Configs of the text and the image side; transformers types them as possibly None or dict."""
    return model.config.text_config, model.config.vision_config


def _check_options(options: LoadOptions) -> None:
    if options.dtype not in (torch.float32, torch.bfloat16):
        raise ConfigError(f"BLIP computes in float32 or bfloat16, not in {options.dtype}")
    if options.device.type == "meta":
        raise ConfigError("device 'meta' computes nothing; expected cpu, cuda or mps")
    try:
        torch.empty(1, device=options.device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device {str(options.device)!r} is not on this machine: {error}") from error


SPEC = BackboneSpec(
    key="blip",
    summary="BLIP image-text matching (transformers), base and large; any hub id or folder",
    models=MODELS,
    claims=claims,
    load=load_blip,
    available=available,
)
