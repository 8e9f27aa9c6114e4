"""Small random ViLT and FLAVA checkpoints, and transformers' own forward to compare with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import FlavaConfig, FlavaForPreTraining, ViltConfig, ViltForImageAndTextRetrieval

from pnpovss.prompts import TextTokens
from tests.support.blip_models import VOCABULARY
from tests.support.fuser_models import randomise

SHAPE: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
WORDS = VOCABULARY[:-2]
IMAGE: dict[str, Any] = {"image_size": 32, "patch_size": 8}


def make_vilt(**changes: Any) -> ViltForImageAndTextRetrieval:
    """Three layers of four heads, 4 x 4 patches of 8 px."""
    text = {"vocab_size": len(WORDS), "max_position_embeddings": 40, "max_image_length": -1}
    made = ViltConfig(**SHAPE, **IMAGE, num_hidden_layers=3, **{**text, **changes})
    return randomise(ViltForImageAndTextRetrieval(made))


def make_flava() -> FlavaForPreTraining:
    """Two layers in each tower, three above them."""
    text = {**SHAPE, "num_hidden_layers": 2, "vocab_size": len(WORDS), "max_position_embeddings": 40}
    image = {**SHAPE, **IMAGE, "num_hidden_layers": 2, "vocab_size": 11}
    made = FlavaConfig(
        text_config=text,
        image_config=image,
        multimodal_config={**SHAPE, "num_hidden_layers": 3},
        image_codebook_config={"num_groups": 4, "hidden_size": 4, "num_blocks_per_group": 1, "vocab_size": 11},
        hidden_size=32,
        projection_dim=16,
        init_codebook=False,
    )
    return randomise(FlavaForPreTraining(made))


def save_joint(folder: Path, model: Any) -> Path:
    """A checkpoint folder as it lies on a hub."""
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


def save_vilt(folder: Path) -> Path:
    return save_joint(folder, make_vilt())


def save_flava(folder: Path) -> Path:
    return save_joint(folder, make_flava())


def in_rows(model: Any, pixels: Tensor) -> Tensor:
    """ViLT's own embedded image, its random order undone by what it tells of it."""
    mask = torch.ones(pixels.shape[0], *pixels.shape[2:], dtype=torch.long)
    tokens, _, (places, _) = model.vilt.embeddings.visual_embed(pixels, mask, max_image_length=-1)
    order = (places[..., 0] * (pixels.shape[3] // 8) + places[..., 1]).argsort(1)
    return torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, order[..., None].expand(-1, -1, tokens.shape[2]))], 1)


def own_logits(model: Any, pixels: Tensor, ids: Tensor) -> Tensor:
    """transformers' own forward: logits "b k"."""
    if isinstance(model, ViltForImageAndTextRetrieval):
        image = in_rows(model, pixels)
        mask = torch.ones(image.shape[:2], dtype=torch.long)
        return model(input_ids=ids, image_embeds=image, pixel_mask=mask, pixel_values=None).logits
    flava = model.flava
    states = flava.image_model(pixels, interpolate_pos_encoding=True, output_hidden_states=True).hidden_states[-1]
    words = flava.text_model(ids, output_hidden_states=True).hidden_states[-1]
    row = torch.cat([flava.image_to_mm_projection(states), flava.text_to_mm_projection(words)], 1)
    return model.itm_head(flava.multimodal_model(row).last_hidden_state)


def layers_of(model: Any) -> Any:
    if isinstance(model, ViltForImageAndTextRetrieval):
        return model.vilt.encoder.layer
    return model.flava.multimodal_model.encoder.layer


@contextmanager
def moved(model: Any, layer: int, bump: Tensor | None = None) -> Iterator[list[Tensor]]:
    """The probabilities of a layer while it runs, to which `bump` "head m m" is added.

    They go through a module that drops some of them in training: what it gives is what is attended with.
    """
    seen: list[Tensor] = []

    def hook(module: Any, args: Any, output: Any) -> Any:
        seen.append(output)
        return None if bump is None else output + bump

    handle = layers_of(model)[layer].attention.attention.dropout.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def text_and_patches(model: Any, text: int, patches: int) -> tuple[slice, slice]:
    """Where the text's rows and the patches' columns are."""
    if isinstance(model, ViltForImageAndTextRetrieval):
        return slice(0, text), slice(text + 1, text + 1 + patches)
    return slice(2 + patches, 2 + patches + text), slice(2, 2 + patches)


def load_original(folder: str, dtype: torch.dtype = torch.float32) -> Any:
    vilt = '"vilt"' in (Path(folder) / "config.json").read_text()
    architecture: Any = ViltForImageAndTextRetrieval if vilt else FlavaForPreTraining
    return architecture.from_pretrained(folder, dtype=dtype).eval()


def joint_slope(backbone: Any, pixels: Tensor, prompt: TextTokens, layer: int, token: int, direction: Tensor) -> float:
    """transformers' own forward in float64, its attention moved."""
    model = load_original(backbone.card.name, torch.float64)
    rows, columns = text_and_patches(model, len(prompt), direction[0].numel())
    size = len(prompt) + direction[0].numel() + (1 if rows.start == 0 else 2)
    bump, step, found = torch.zeros(4, size, size, dtype=torch.float64), 1e-4, []
    bump[:, rows.start + token, columns] = direction.flatten(1).double()
    for sign in (1, -1):
        with torch.no_grad(), moved(model, layer, sign * step * bump):
            found.append(float(own_logits(model, pixels.double(), torch.tensor([prompt.ids]))[0, -1]))
    return (found[0] - found[1]) / (2 * step)
