"""A dual encoder of one's choice decides: any CLIP or SigLIP checkpoint of transformers.

Photos are prepared with Pillow by the checkpoint's own preprocessor_config.json, because transformers' processors
want torchvision.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from pnpovss.backbones.base import LoadOptions
from pnpovss.errors import CheckpointError
from pnpovss.images import ImageSource, load_image
from pnpovss.names import Name
from pnpovss.presence.base import Presence, Report, Rule

__all__ = ["CLIP_RULE", "SIGLIP_RULE", "Clip", "ClipPreprocessing", "load_clip"]

# A softmax over the vocabulary: names share a probability of 1, so several can pass, but few.
CLIP_RULE = Rule(above=0.1)
# A sigmoid a name, trained with far more absent than present texts, hence low.
SIGLIP_RULE = Rule(above=0.1)

TEMPLATE = "a photo of a {}."
KINDS = ("clip", "siglip", "siglip2")
FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
BATCH = 64  # texts encoded at once


@dataclass(frozen=True)
class ClipPreprocessing:
    """How a photo becomes pixels.

    Attributes:
        height: of the input in pixels.
        width: of the input in pixels.
        crop: scale the shorter side to the input and cut out the middle; else squeeze the photo into it.
        resample: Pillow's number of the filter (2 bilinear, 3 bicubic).
        mean: RGB, of values in [0, 1].
        std: RGB.
    """

    height: int
    width: int
    crop: bool
    resample: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Image.Image) -> Float[Tensor, "1 3 H W"]:
        """RGB photo of any size to normalised pixels."""
        size = (self.width, self.height)
        if self.crop:
            scale = max(self.width / image.width, self.height / image.height)
            size = (max(self.width, round(image.width * scale)), max(self.height, round(image.height * scale)))
        image = image.resize(size, Image.Resampling(self.resample))
        left, top = (size[0] - self.width) // 2, (size[1] - self.height) // 2
        image = image.crop((left, top, left + self.width, top + self.height))
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values = (np.asarray(image, dtype=np.float32) / 255 - mean) / std
        return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


class Clip:
    """Scores in [0, 1]: softmax over the vocabulary (CLIP) or a sigmoid a name (SigLIP), each name by its best synonym.

    Attributes:
        name: hub id or folder.
        rule: turns scores into a decision.
    """

    def __init__(
        self, name: str, model: Any, tokenizer: Any, preprocessing: ClipPreprocessing, rule: Rule | None = None
    ) -> None:
        self.name = name
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._prepare = preprocessing
        self._sigmoid = model.config.model_type != "clip"
        self.rule = rule or (SIGLIP_RULE if self._sigmoid else CLIP_RULE)
        self._known: tuple[tuple[Name, ...], Float[Tensor, "t d"]] | None = None
        self._photos = 0

    @property
    def key(self) -> str:
        """The checkpoint and the rule."""
        return f"clip:{self.name}:{self.rule}"

    @torch.no_grad()
    def decide(
        self,
        image: ImageSource,
        names: Sequence[Name],
        sample_key: str | None = None,
        truth: Sequence[int] | None = None,
    ) -> Presence:
        """See `PresenceFilter.decide`."""
        pixels = self._prepare(load_image(image)).to(self._model.device, self._model.dtype)
        seen = _unit(self._model.get_image_features(pixel_values=pixels))
        cosines = (seen @ self._texts(tuple(names)).T)[0]
        self._photos += 1
        scores = tuple(self._probabilities(_best(cosines, names)).tolist())
        return Presence(self.rule.keep(scores), scores)

    def report(self) -> Report:
        """How many photos were looked at."""
        return {"photos": self._photos}

    def _probabilities(self, cosines: Float[Tensor, " name"]) -> Float[Tensor, " name"]:
        logits = cosines.float() * self._model.logit_scale.float().exp()
        if self._sigmoid:
            return (logits + self._model.logit_bias.float()).sigmoid()
        return logits.softmax(0)

    def _texts(self, names: tuple[Name, ...]) -> Float[Tensor, "t d"]:
        """Unit vectors of all words, one name's synonyms after the other; kept for the next photo."""
        if self._known is None or self._known[0] != names:
            words = [TEMPLATE.format(word) for name in names for word in name.all]
            parts = [self._embed(words[start : start + BATCH]) for start in range(0, len(words), BATCH)]
            self._known = (names, torch.cat(parts))
        return self._known[1]

    def _embed(self, texts: list[str]) -> Float[Tensor, "t d"]:
        length = self._model.config.text_config.max_position_embeddings
        # SigLIP was trained on texts padded to full length, without a mask.
        padding = "max_length" if self._sigmoid else True
        tokens = self._tokenizer(texts, padding=padding, truncation=True, max_length=length, return_tensors="pt")
        wanted = {"input_ids": tokens["input_ids"]}
        if not self._sigmoid:
            wanted["attention_mask"] = tokens["attention_mask"]
        on_device = {key: value.to(self._model.device) for key, value in wanted.items()}
        return _unit(self._model.get_text_features(**on_device))


def load_clip(name: str, options: LoadOptions | None = None, rule: Rule | None = None) -> Clip:
    """Load a CLIP or SigLIP checkpoint by hub id or folder.

    Raises:
        CheckpointError: it cannot be had, files are missing or damaged, or it is of another architecture.
    """
    options = options or LoadOptions()
    folder = _locate(name, options)
    kind = _read_json(folder / "config.json").get("model_type")
    if kind not in KINDS:
        raise CheckpointError(f"{name} is a {kind!r} checkpoint; clip presence takes one of {', '.join(KINDS)}")
    preprocessing = _preprocessing(folder / "preprocessor_config.json")
    try:
        model, info = AutoModel.from_pretrained(
            folder, local_files_only=True, dtype=options.dtype, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises whatever its readers do
        raise CheckpointError(f"the checkpoint in {folder} cannot be read: {str(error).splitlines()[0]}") from error
    if info["missing_keys"]:
        lacking = sorted(info["missing_keys"])
        raise CheckpointError(f"the weights in {folder} lack {len(lacking)} tensors, such as {lacking[0]}")
    return Clip(name, model.to(options.device), tokenizer, preprocessing, rule)


def _locate(name: str, options: LoadOptions) -> Path:
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(
            snapshot_download(
                name, revision=options.revision, allow_patterns=FILES, local_files_only=options.local_files_only
            )
        )
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"the model {name!r} is not on this machine, and no hub was "
            f"{'asked (local_files_only)' if options.local_files_only else 'reached'}: fetch it once where there is a "
            f"network (`hf download {name}`), or give the folder of a copy"
        ) from error
    except Exception as error:  # the hub's client changes its HTTP library, and so its errors, between releases
        raise CheckpointError(f"the hub does not give the model {name!r}: {str(error).splitlines()[0]}") from error


def _preprocessing(path: Path) -> ClipPreprocessing:
    """Read preprocessor_config.json; sizes are a number, or an object of height and width or shortest_edge."""
    given = _read_json(path)
    crop = bool(given.get("do_center_crop", False))
    size = given.get("crop_size" if crop else "size", given.get("size"))
    try:
        height, width = _height_width(size)
        mean, std = (tuple(float(value) for value in given[key]) for key in ("image_mean", "image_std"))
        (m0, m1, m2), (s0, s1, s2) = mean, std
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} does not say size, image_mean and image_std as expected ({error!r})") from error
    return ClipPreprocessing(height, width, crop, int(given.get("resample", 3)), (m0, m1, m2), (s0, s1, s2))


def _height_width(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    edge = size.get("shortest_edge")
    return int(edge or size["height"]), int(edge or size["width"])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; give a folder as transformers' save_pretrained writes it") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error})") from error


def _unit(features: Any) -> Float[Tensor, "n d"]:
    """Normalised; transformers 5 answers with an output object, transformers 4 with the tensor."""
    values = features if isinstance(features, Tensor) else features.pooler_output
    return values / values.norm(dim=-1, keepdim=True)


def _best(cosines: Float[Tensor, " t"], names: Sequence[Name]) -> Float[Tensor, " name"]:
    """Each name's greatest cosine over its words."""
    return torch.stack([part.max() for part in cosines.split([len(name.all) for name in names])])
