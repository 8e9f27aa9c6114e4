"""The bundled model as a backbone: small enough to ship, runs offline on a CPU."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.base import ImageFeatures, LoadOptions, Match, Recommended
from pnpovss.backbones.cross_attention import TextSide, match_prompts
from pnpovss.backbones.mini.checkpoint import Checkpoint, model_type, read_checkpoint
from pnpovss.backbones.mini.lite2 import STRIDE
from pnpovss.backbones.mini.text import CLS_ID, ENC_ID, MAX_TOKENS, PAD_ID
from pnpovss.errors import CheckpointError, ConfigError, InvalidInputError, NamesError
from pnpovss.prompts import TextTokens

__all__ = ["BUNDLED", "MODELS", "MiniBackbone", "available", "claims", "load_mini"]

BUNDLED = Path(__file__).parent
MODELS = {"mini": "EfficientNet-Lite2 and MiniLM, trained by this project; inside the package, needs no network"}

_MEAN, _STD = 127 / 255, 128 / 255  # Lite2's own: (pixel - 127) / 128
_ENC = "[ENC]"


class MiniBackbone:
    """A `mini` checkpoint; satisfies `pnpovss.backbones.base.Backbone`.

    Attributes:
        name: "mini" or the folder it was loaded from.
        revision: hash of its weights.
        device: where it computes.
        dtype: of the image trunk's convolutions. The rest computes in float32.
        patch: pixels along one side of a patch.
        mean: RGB mean that pixels are normalised with.
        std: RGB standard deviation that pixels are normalised with.
        max_tokens: longest text, special tokens included.
        recommended: layer, head, size and settings it was tuned to.
    """

    patch: int = STRIDE
    mean: tuple[float, float, float] = (_MEAN, _MEAN, _MEAN)
    std: tuple[float, float, float] = (_STD, _STD, _STD)
    max_tokens: int = MAX_TOKENS

    def __init__(self, checkpoint: Checkpoint, *, name: str, options: LoadOptions | None = None) -> None:
        """Take over a checkpoint's model: moved to the device, its trunk converted to the dtype."""
        options = options or LoadOptions()
        self.name, self.revision = name, checkpoint.revision
        self.device, self.dtype = options.device, options.dtype
        self.recommended: Recommended = checkpoint.recommended
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

    @property
    def attention_shape(self) -> dict[int, int]:
        """Heads of each text layer that looks at the image, by 0-based layer index."""
        return self._text.attention_shape

    def tokenize(self, text: str) -> TextTokens:
        """Tokenise a text: [ENC], its pieces, [SEP]. Never truncates."""
        encoding = self._tokenizer.encode(text)
        return TextTokens(
            ids=(ENC_ID, *encoding.ids[1:]),
            pieces=(_ENC, *encoding.tokens[1:]),
            offsets=tuple((start, end) for start, end in encoding.offsets),
        )

    @torch.no_grad()
    def encode_images(self, pixels: Float[Tensor, "b 3 H W"]) -> ImageFeatures:
        """Encode normalised pixels; see `Backbone.encode_images`.

        Raises:
            InvalidInputError: a side is no multiple of the patch.
        """
        height, width = pixels.shape[2:]
        if height % STRIDE or width % STRIDE or not height or not width:
            raise InvalidInputError(f"pixels are {height} x {width}; both sides must be multiples of {STRIDE}")
        pixels = pixels.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        return ImageFeatures(self._model.image_tokens(pixels), grid=(height // STRIDE, width // STRIDE), prefix=1)

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

    @torch.no_grad()
    def similarity(self, features: ImageFeatures, texts: Sequence[TextTokens]) -> Float[Tensor, "b t"]:
        """Cosine similarity of the contrastive heads, in [-1, 1]; the text starts with [CLS] and sees no image.

        Raises:
            InvalidInputError: no texts.
            NamesError: a text is longer than the encoder reads.
        """
        return self.embed_images(features) @ self.embed_texts(texts).T

    @torch.no_grad()
    def embed_images(self, features: ImageFeatures) -> Float[Tensor, "b d"]:
        """Images in the contrastive space, as unit vectors."""
        return F.normalize(self._model.vision_proj(features.tokens[:, 0]), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[TextTokens]) -> Float[Tensor, "t d"]:
        """Texts in the contrastive space, as unit vectors; see `similarity` for what it raises."""
        if not texts:
            raise InvalidInputError("no texts were given: similarity needs at least one")
        longest = max(map(len, texts))
        if longest > MAX_TOKENS:
            raise NamesError(f"a text of {longest} tokens is longer than the {MAX_TOKENS} that mini reads; shorten it")
        rows = [[CLS_ID, *text.ids[1:], *[PAD_ID] * (longest - len(text))] for text in texts]
        mask = torch.arange(longest) < torch.tensor([len(text) for text in texts])[:, None]
        states = self._model.text(torch.tensor(rows, device=self.device), mask.to(self.device))
        return F.normalize(self._model.text_proj(states), dim=-1)


def load_mini(name: str, options: LoadOptions) -> MiniBackbone:
    """Load the bundled checkpoint, or one from a folder.

    Raises:
        CheckpointError: its files are missing, damaged or of another architecture.
        ConfigError: the dtype is neither float32 nor bfloat16, or a revision was asked for.
    """
    if options.dtype not in (torch.float32, torch.bfloat16):
        raise ConfigError(f"mini computes in float32 or bfloat16, not in {options.dtype}")
    if options.revision is not None:
        raise ConfigError(f"revision {options.revision!r} was asked of {name!r}, which has none; leave it out")
    folder = BUNDLED if name in MODELS else Path(name)
    if not folder.is_dir():
        raise CheckpointError(f"the bundled model is not in {folder}; this installation is incomplete, install again")
    return MiniBackbone(read_checkpoint(folder), name=name, options=options)


def claims(name: str) -> bool:
    """Whether `name` is the bundled model or a folder with such a checkpoint."""
    return name in MODELS or model_type(Path(name)) == "pnpovss-mini"


def available(name: str) -> bool:
    """Whether the weights are on this machine: they come with the package."""
    return (BUNDLED / "model.safetensors").is_file()
