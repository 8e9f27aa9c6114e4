"""What the trunk's own ImageNet classifier says of every photo: semantic tokens, and class probabilities of windows."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pnpovss.backbones.mini.lite2 import MID_CHANNELS, Lite2
from pnpovss.backbones.mini.neck import SEMANTIC_WIDTH, semantic_tokens
from pnpovss.files.writing import write_all
from training.minilm import embed_texts, load_text, load_tokenizer
from training.vocabulary import class_hypernyms, count_leaves, leaf_names
from training.wordnet import WordNet

log = logging.getLogger(__name__)

WINDOW_SHARE, WINDOW_STEPS = 0.5, 3
"""Windows are half as high and wide as the photo, three by three of them, and the whole photo comes first."""


def class_embeddings(
    wordnet: WordNet, classes: list[int]
) -> tuple[Float[np.ndarray, "1000 s"], Float[np.ndarray, "384 s"]]:
    """A short embedding for each ImageNet class: half its own names, half its hypernyms, nearer ones first.

    Returns:
        The embeddings, centred and projected on their leading directions, and those directions.
    """
    text, tokenizer = load_text().eval(), load_tokenizer()
    counts = count_leaves(wordnet, classes)
    rows = []
    for offset in classes:
        own = embed_texts(text, tokenizer, leaf_names(wordnet, offset)).mean(0)
        above = class_hypernyms(wordnet, offset, counts)[:4]
        rows.append(own + embed_texts(text, tokenizer, above).mean(0) if above else 2 * own)
    table = np.stack(rows)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    table -= table.mean(0)
    _, _, directions = np.linalg.svd(table, full_matrices=False)
    basis = directions[:SEMANTIC_WIDTH].T
    return (table @ basis).astype(np.float32), basis.astype(np.float32)


def _windows(side: int) -> list[tuple[slice, slice]]:
    size = round(side * WINDOW_SHARE)
    starts = np.linspace(0, side - size, WINDOW_STEPS).round().astype(int)
    parts = [slice(start, start + size) for start in starts]
    return [(slice(0, side), slice(0, side)), *((rows, columns) for rows in parts for columns in parts)]


WINDOWS = 1 + WINDOW_STEPS**2


@dataclass
class Semantics:
    """Arrays on disk, one row a photo.

    Attributes:
        tokens: float16 `(photo, n, 128)`, semantic tokens.
        windows: float16 `(photo, 10, 1000)`, class probabilities of each window.
        pooled: float16 `(photo, 10, 1280)`, the classifier's input for each window.
    """

    tokens: np.memmap
    windows: np.memmap
    pooled: np.memmap


def open_semantics(folder: Path, count: int, side: int, *, write: bool) -> Semantics:
    """The arrays for photos of `side` x `side` tokens."""

    def array(name: str, *shape: int) -> np.memmap:
        path = folder / f"{name}-{side}.f16"
        mode = "r+" if write and path.exists() else "w+" if write else "r"
        return np.memmap(path, np.float16, mode, shape=(count, *shape))

    return Semantics(
        array("semantic", side**2, SEMANTIC_WIDTH), array("windows", WINDOWS, 1000), array("pooled", WINDOWS, 1280)
    )


@torch.no_grad()
def cache_semantics(
    trunk: Lite2,
    features: np.memmap,
    table: Float[np.ndarray, "1000 s"],
    folder: Path,
    rows: range,
    *,
    device: torch.device,
    dtype: torch.dtype,
    batch: int = 16,
) -> None:
    """Run the classifier's head over `rows` of the cached features; picks up where it was interrupted."""
    count, side = len(features), round(features.shape[1] ** 0.5)
    done_file = folder / f"semantic-{side}-{rows.start}.done"
    done = int(done_file.read_text()) if done_file.exists() else rows.start
    out = open_semantics(folder, count, side, write=True)
    embeddings = torch.from_numpy(table).to(device)
    while done < rows.stop:
        stop = min(done + batch, rows.stop)
        top = torch.from_numpy(features[done:stop, :, MID_CHANNELS:].astype(np.float32)).to(device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            hidden, logits = (each.float() for each in _head(trunk, top))
        out.tokens[done:stop] = semantic_tokens(logits, embeddings).half().cpu().numpy()
        square = hidden.unflatten(1, (side, side))
        pooled = torch.stack([square[:, rows, columns].mean((1, 2)) for rows, columns in _windows(side)], 1)
        out.pooled[done:stop] = pooled.half().cpu().numpy()
        out.windows[done:stop] = trunk.classifier(pooled).softmax(-1).half().cpu().numpy()
        done = stop
        write_all({done_file: str(done).encode()})
        if (done - rows.start) % (64 * batch) < batch:
            log.info("semantics: %d of %d-%d", done, rows.start, rows.stop)
    for array in (out.tokens, out.windows, out.pooled):
        array.flush()


def _head(trunk: Lite2, top: Tensor) -> tuple[Tensor, Tensor]:
    """The classifier's hidden layer and its logits at every position."""
    hidden = F.relu6(F.linear(top, trunk.head.weight.flatten(1), trunk.head.bias))
    return hidden, trunk.classifier(hidden)
