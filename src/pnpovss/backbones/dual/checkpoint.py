"""One way to read a CLIP-like checkpoint: its model, its tokenizer, its text tower."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.base import LoadOptions
from pnpovss.backbones.dual.tokenizer import DualTokenizer
from pnpovss.backbones.parts.checkpoint import read_json, read_model
from pnpovss.backbones.parts.hub import locate
from pnpovss.errors import CheckpointError, InvalidInputError, NamesError
from pnpovss.prompts import TextTokens

__all__ = ["DualCheckpoint", "Kind", "read_dual", "unit"]

Kind = Literal["clip", "siglip", "tipsv2"]

# Classes of transformers, by `model_type`; older releases do not have all of them.
_MODELS: dict[str, tuple[str, Kind]] = {
    "clip": ("CLIPModel", "clip"),
    "metaclip_2": ("MetaClip2Model", "clip"),
    "siglip": ("SiglipModel", "siglip"),  # SigLIP 2 of fixed size calls itself so, too
    "tipsv2": ("Tipsv2Model", "tipsv2"),
}

_REMEMBERED = 4096  # texts


@dataclass(frozen=True, eq=False)
class DualCheckpoint:
    """What a folder holds.

    Attributes:
        folder: where it lies.
        revision: the hub's commit, or a hash of a local folder's weights.
        kind: "clip" and "tipsv2", trained with a softmax over texts, or "siglip", with a sigmoid for each pair.
        model: of transformers, frozen, in evaluation mode, on its device.
        tokenizer: of its texts.
    """

    folder: Path
    revision: str
    kind: Kind
    model: Any
    tokenizer: DualTokenizer
    _known: dict[tuple[int, ...], Tensor] = field(default_factory=dict)

    @property
    def max_tokens(self) -> int:
        """Longest text, special tokens included."""
        return int(self.model.config.text_config.max_position_embeddings)

    @property
    def scale(self) -> float:
        """Factor of the cosine."""
        if self.kind == "tipsv2":
            return 1 / float(self.model.temperature.detach().float())
        return float(self.model.logit_scale.detach().float().exp())

    @property
    def bias(self) -> float:
        """Added to the scaled cosine; 0 but for SigLIP."""
        return float(self.model.logit_bias.detach().float()) if self.kind == "siglip" else 0.0

    def embed_texts(self, texts: Sequence[TextTokens], batch: int = 64) -> Float[Tensor, "t d"]:
        """Texts as unit vectors, at least float32; each text is computed once and remembered.

        Args:
            texts: from the tokenizer.
            batch: how many are computed at once.

        Raises:
            NamesError: a text is longer than the model reads.
            InvalidInputError: no texts.
        """
        if not texts:
            raise InvalidInputError("no texts were given: give at least one")
        if (longest := max(map(len, texts))) > self.max_tokens:
            raise NamesError(
                f"a text of {longest} tokens is longer than the {self.max_tokens} that this text encoder reads: "
                "give a shorter name"
            )
        wanted = {text.ids: text for text in texts}
        known = {ids: vector for ids in wanted if (vector := self._known.get(ids)) is not None}
        new = [text for ids, text in wanted.items() if ids not in known]
        for start in range(0, len(new), batch):
            part = new[start : start + batch]
            known.update(zip((text.ids for text in part), self._embed(part), strict=True))
        if len(self._known) + len(new) > _REMEMBERED:
            self._known.clear()
        self._known.update(known)
        with torch.inference_mode(False):  # whose vectors could not enter a graph
            return torch.stack([known[text.ids] for text in texts])

    def _embed(self, texts: Sequence[TextTokens]) -> Float[Tensor, "t d"]:
        """CLIP reads its end token, which sees nothing after it, so padding is nothing to it; SigLIP reads the last."""
        length = self.max_tokens if self.kind == "siglip" else max(map(len, texts))
        pad = self.tokenizer.pad_id
        rows = [[*text.ids, *[pad] * (length - len(text))] for text in texts]
        with torch.inference_mode(False), torch.no_grad():
            ids = torch.tensor(rows, device=self.model.device)
            if self.kind == "tipsv2":  # whose texts are the mean of their tokens
                lengths = torch.tensor([len(text) for text in texts], device=ids.device)
                real = (torch.arange(length, device=ids.device) < lengths[:, None]).long()
                return unit(self.model.get_text_features(input_ids=ids, attention_mask=real).pooler_output)
            return unit(self.model.get_text_features(input_ids=ids).pooler_output)


def unit(features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Normalised, at least float32."""
    return F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=-1)


def read_dual(name: str, options: LoadOptions, **more: Any) -> DualCheckpoint:
    """Read a CLIP, MetaCLIP 2, SigLIP or TIPSv2 checkpoint by hub id or folder.

    Args:
        name: hub id or folder.
        options: how to load; the dtype is that of all weights.
        more: arguments of transformers' `from_pretrained`, such as attn_implementation.

    Raises:
        CheckpointError: it cannot be had, files are missing or damaged, or it is of another architecture.
    """
    folder, revision = locate(name, options)
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in _MODELS:
        raise CheckpointError(f"{name} is a {kind!r} checkpoint; expected one of {', '.join(_MODELS)}")
    named, kind = _MODELS[kind]
    architecture = getattr(transformers, named, None)
    if architecture is None:
        raise CheckpointError(
            f"{name} is a {kind!r} checkpoint, which transformers {transformers.__version__} does not know: update it"
        )
    model = read_model(folder, architecture, options.dtype, **more)
    tokenizer = DualTokenizer(folder, kind, model.config.text_config)
    return DualCheckpoint(folder, revision, kind, model.to(options.device), tokenizer)
