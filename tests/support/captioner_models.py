"""Small random captioners, Florence-2 and BLIP's, and transformers' own forward to compare with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    BlipForConditionalGeneration,
    Florence2Config,
    Florence2ForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from pnpovss.prompts import TextTokens
from tests.support.blip_models import VOCABULARY, config
from tests.support.fuser_models import randomise, save_byte_pairs
from tests.support.nudged import NUDGED, slope

WORDS, IMAGE = 310, 309
TASK = "What does the image describe?"
ATTENTION: Any = {"text_config": NUDGED, "vision_config": "eager"}


def make_florence2() -> Florence2ForConditionalGeneration:
    """Four stages that end in cells of 8 px; three decoder layers of four heads."""
    vision = {
        "depths": (1, 1, 1, 1), "embed_dim": (8, 8, 16, 16), "num_heads": (2, 2, 2, 2), "num_groups": (2, 2, 2, 2),
        "patch_stride": (2, 2, 2, 1), "window_size": 3, "projection_dim": 32, "max_position_embeddings": 10,
    }  # fmt: skip
    text = {
        "model_type": "bart", "vocab_size": WORDS, "d_model": 32, "encoder_layers": 2, "decoder_layers": 3,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
        "max_position_embeddings": 250, "decoder_start_token_id": 2, "bos_token_id": 0, "pad_token_id": 1,
        "eos_token_id": 2,
    }  # fmt: skip
    made = Florence2Config(text_config=text, vision_config=vision, image_token_id=IMAGE)
    return randomise(Florence2ForConditionalGeneration(made))


def save_florence2(folder: Path) -> Path:
    """A checkpoint folder as it lies on a hub."""
    make_florence2().save_pretrained(folder)
    save_byte_pairs(folder)
    return folder


def make_blip(**text: Any) -> BlipForConditionalGeneration:
    """Two image layers, three text layers of four heads; captions start with [DEC]."""
    own = {"num_hidden_layers": 3, "bos_token_id": VOCABULARY.index("[DEC]"), "is_decoder": True}
    return randomise(BlipForConditionalGeneration(config(text={**own, **text})))


def save_blip(folder: Path, **text: Any) -> Path:
    """A checkpoint folder as it lies on a hub; [DEC] and [ENC] are not in its vocabulary."""
    make_blip(**text).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY[:-2]) + "\n")
    return folder


def florence2_likely(model: Any, folder: str, pixels: Tensor, prompt: TextTokens, **options: Any) -> tuple[Tensor, Any]:
    """transformers' own log-likelihood of each token "t", and the whole output, for one image."""
    words = PreTrainedTokenizerFast(tokenizer_file=str(Path(folder) / "tokenizer.json"))
    cells = pixels.shape[2] // 8 * pixels.shape[3] // 8
    ids = torch.tensor([[IMAGE] * (1 + cells) + words(TASK)["input_ids"]])
    written = torch.tensor([prompt.ids])
    read = torch.cat([torch.full((1, 1), 2), written[:, :-1]], 1)
    output = model(
        input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, decoder_input_ids=read, **options
    )
    return output.logits.log_softmax(-1)[0].gather(1, written.T)[:, 0], output


def blip_likely(model: Any, pixels: Tensor, prompt: TextTokens) -> Tensor:
    """transformers' own log-likelihood of each token "t" for one image."""
    start = model.config.text_config.bos_token_id
    ids = torch.tensor([[start, *prompt.ids]])
    output = model(pixel_values=pixels, input_ids=ids, interpolate_pos_encoding=True)
    return output.logits[0, :-1].log_softmax(-1).gather(1, ids[:, 1:].T)[:, 0]


def words_of(prompt: TextTokens) -> list[int]:
    """The tokens that are no special ones."""
    return [place for place, (start, end) in enumerate(prompt.offsets) if start < end]


@contextmanager
def watched(model: Any, layer: int, bump: Tensor | None = None) -> Iterator[list[Tensor]]:
    """What BLIP's cross-attention of a layer gives while it runs, to which `bump` "head t n" is added."""
    seen: list[Tensor] = []

    def hook(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        context, probs = output
        seen.append(probs)
        if bump is None:
            return None
        source = kwargs.get("encoder_hidden_states", args[2] if len(args) > 2 else None)
        value = module.value(source).unflatten(-1, (module.num_attention_heads, -1)).transpose(1, 2)
        return context + (bump @ value).transpose(1, 2).flatten(2), probs

    module = model.text_decoder.bert.encoder.layer[layer].crossattention.self
    handle = module.register_forward_hook(hook, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def florence2_slope(
    backbone: Any, pixels: Tensor, prompt: TextTokens, layer: int, token: int, direction: Tensor
) -> float:
    """transformers' own forward in float64, its decoder's attention moved."""
    folder = backbone.card.name
    model: Any = Florence2ForConditionalGeneration.from_pretrained(
        folder, attn_implementation=ATTENTION, dtype=torch.float64
    ).eval()

    def move(probs: Tensor) -> Tensor:
        moved = torch.zeros_like(probs)
        moved[:, :, token, 1 : 1 + direction[0].numel()] = direction.flatten(1).to(probs.dtype)
        return moved

    def likely() -> Tensor:
        return florence2_likely(model, folder, pixels.double(), prompt)[0][words_of(prompt)].sum()

    module = model.model.language_model.decoder.layers[layer].encoder_attn
    with torch.no_grad():
        return slope(likely, module, move, step=1e-4)


def blip_slope(backbone: Any, pixels: Tensor, prompt: TextTokens, layer: int, token: int, direction: Tensor) -> float:
    """transformers' own forward in float64, its cross-attention moved by a hook; the row that writes the token."""
    model: Any = BlipForConditionalGeneration.from_pretrained(backbone.card.name, dtype=torch.float64).eval()
    step, found = 1e-4, []
    bump = torch.zeros(4, len(prompt) + 1, 1 + direction[0].numel(), dtype=torch.float64)
    bump[:, token, 1:] = direction.flatten(1).double()
    for sign in (1, -1):
        with torch.no_grad(), watched(model, layer, sign * step * bump):
            found.append(float(blip_likely(model, pixels.double(), prompt)[words_of(prompt)].sum()))
    return (found[0] - found[1]) / (2 * step)
