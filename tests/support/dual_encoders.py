"""Judges of photos and texts: checkpoints of two towers with what prepares a photo, and what they say by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.support.dual_checkpoints import END, START, TEXT, WORDS, make_clip, make_siglip, make_tips, save

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
CLIP_LIKE: dict[str, Any] = {
    "do_center_crop": True, "crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 32}, "resample": 3,
    "image_mean": MEAN, "image_std": STD,
}  # fmt: skip
SIGLIP_LIKE = {"size": {"height": 32, "width": 32}, "resample": 2, "image_mean": MEAN, "image_std": STD}
TIPS_LIKE = {"size": {"height": 32, "width": 32}, "resample": 2, "do_normalize": False}
PREPROCESSING = {"clip": CLIP_LIKE, "siglip": SIGLIP_LIKE, "tipsv2": TIPS_LIKE}


def save_dual_encoder(folder: Path, kind: str, preprocessing: dict[str, Any]) -> Any:
    """A checkpoint of random weights as transformers saves it; gives the model."""
    model = {"clip": make_clip, "siglip": make_siglip, "tipsv2": make_tips}[kind]()
    save(folder, model)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return model.eval()


def photo(width: int = 40, height: int = 32) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def logits_by_hand(model: Any, kind: str) -> dict[str, float]:
    """What the model's own forward pass says of the photo and "a photo of a WORD.".

    CLIP's text stands between its start and end token; SigLIP's ends with its end token, has no punctuation, as the
    first SigLIP was trained, and is filled up to its full length.
    """
    if kind == "clip":
        middle = np.asarray(photo(), np.float32)[:, 4:36] / 255
    else:
        middle = np.asarray(photo().resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255
    pixels = torch.tensor((middle - np.array(MEAN)) / np.array(STD)).permute(2, 0, 1)[None].float()
    unknown = WORDS.index("<unk>")
    logits = {}
    for word in ("cat", "sofa", "couch", "dog"):
        said = [WORDS.index("a"), unknown, WORDS.index("of"), WORDS.index("a"), WORDS.index(word)]  # photo: unknown
        tokens = [START, *said, unknown, END] if kind == "clip" else [*said, END]
        tokens += [0] * (TEXT["max_position_embeddings"] - len(tokens)) if kind == "siglip" else []
        with torch.no_grad():
            logits[word] = model(input_ids=torch.tensor([tokens]), pixel_values=pixels).logits_per_image.item()
    return logits
