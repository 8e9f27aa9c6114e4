"""Small random decoders that see, each saved as a checkpoint lies on a hub: config, weights, tokenizer, chat."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers.utils import logging

from pnpovss.prompts import TextTokens
from tests.support.nudged import NUDGED, slope

CONTROL = (
    "<|begin|>",
    "<|im_start|>",
    "<|im_end|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2, 3)),
    "<|vision_start|>",
    "<|vision_end|>",
    "<start_of_image>",
    "<end_of_image>",
    "<img>",
    "</img>",
    "<image>",
)
_TEXTS = ["Does this figure show 'cat'? Please answer yes or no.", " Yes", " No", "Yes", "No", "cat dog plant"] * 9

_CHATS = {
    "frame": "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}:{% for c in m['content'] %}"
    "{% if c['type'] == 'text' %}{{ c['text'] }}{% else %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
    "plain": "{% for m in messages %}{{ m['role'] | upper }}: {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    "gemma": "<|begin|>{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<start_of_image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>model\n{% endif %}",
    "qwen": "<|im_start|>system\nHelp.<|im_end|>\n{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<|vision_start|><image><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
}


@dataclass(frozen=True)
class Tiny:
    """A small model of an architecture.

    Attributes:
        config: its config, given what the language model's config says and the image's token.
        chat: which of the chats above it speaks.
        cell: pixels along a side of a cell.
        inputs: for the model's own forward, beside ids and mask, from pixels "b 3 H W" and ids.
    """

    config: Callable[[dict[str, Any], int], transformers.PretrainedConfig]
    chat: str
    cell: int
    inputs: Callable[[Tensor, Tensor, int], dict[str, Tensor]]


def _text(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
    }


_VISION = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3}


def _idefics3(kind: str) -> Callable[[dict[str, Any], int], transformers.PretrainedConfig]:
    def config(text: dict[str, Any], image: int) -> transformers.PretrainedConfig:
        vision = {**_VISION, "image_size": 32, "patch_size": 4}
        whole = {"smolvlm": transformers.SmolVLMConfig, "idefics3": transformers.Idefics3Config}[kind]
        return whole(
            text_config={"model_type": "llama", **text}, vision_config=vision, scale_factor=2, image_token_id=image
        )

    return config


def _llava(text: dict[str, Any], image: int) -> transformers.PretrainedConfig:
    vision = {**_VISION, "model_type": "clip_vision_model", "image_size": 32, "patch_size": 8, "projection_dim": 16}
    return transformers.LlavaConfig(
        text_config={"model_type": "llama", **text}, vision_config=vision, image_token_index=image
    )


def _internvl(text: dict[str, Any], image: int) -> transformers.PretrainedConfig:
    vision = {**_VISION, "image_size": [32, 32], "patch_size": [4, 4]}
    return transformers.InternVLConfig(
        text_config={"model_type": "qwen2", **text},
        vision_config=vision,
        image_token_id=image,
        tie_word_embeddings=False,
    )


def _gemma3(text: dict[str, Any], image: int) -> transformers.PretrainedConfig:
    """A window that is shorter than the prefix, in every other layer."""
    vision = {**_VISION, "model_type": "siglip_vision_model", "image_size": 32, "patch_size": 4}
    kinds = ["sliding_attention", "full_attention"] * 2
    text = {**text, "head_dim": 8, "sliding_window": 12, "layer_types": kinds, "query_pre_attn_scalar": 8}
    return transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=16, image_token_index=image
    )


def _qwen2_5(text: dict[str, Any], image: int) -> transformers.PretrainedConfig:
    vision = {"depth": 3, "hidden_size": 24, "intermediate_size": 40, "num_heads": 3, "patch_size": 4}
    vision |= {"out_hidden_size": 32, "window_size": 16, "fullatt_block_indexes": [1], "in_channels": 3}
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}
    ids = {"image_token_id": image, "video_token_id": image - 1}
    return transformers.Qwen2_5_VLConfig(text_config={**text, "rope_parameters": rope}, vision_config=vision, **ids)


def _qwen3(text: dict[str, Any], image: int) -> transformers.PretrainedConfig:
    vision = {"depth": 3, "hidden_size": 24, "intermediate_size": 40, "num_heads": 3, "patch_size": 4}
    vision |= {"out_hidden_size": 32, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    ids = {"image_token_id": image, "video_token_id": image - 1}
    text = {**text, "head_dim": 8, "rope_parameters": rope}
    return transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **ids)


def _one_frame(pixels: Tensor, ids: Tensor, image: int) -> dict[str, Tensor]:
    return {"pixel_values": pixels[:, None]}


def _pixels(pixels: Tensor, ids: Tensor, image: int) -> dict[str, Tensor]:
    return {"pixel_values": pixels}


def _with_kinds(pixels: Tensor, ids: Tensor, image: int) -> dict[str, Tensor]:
    """Image tokens see one another where their kind says so."""
    return {"pixel_values": pixels, "token_type_ids": (ids == image).long()}


def _processed(pixels: Tensor, ids: Tensor, image: int) -> dict[str, Tensor]:
    """Patches cut in plain loops, two frames each, cell by cell."""
    patch, rows = 4, []
    for picture in pixels:
        for top in range(0, picture.shape[1], 2 * patch):
            for left in range(0, picture.shape[2], 2 * patch):
                for y, x in ((0, 0), (0, patch), (patch, 0), (patch, patch)):
                    square = picture[:, top + y : top + y + patch, left + x : left + x + patch]
                    rows.append(torch.stack([square, square], 1).flatten())
    grid = [[1, pixels.shape[2] // patch, pixels.shape[3] // patch]] * len(pixels)
    kinds = (ids == image).int()
    return {"pixel_values": torch.stack(rows), "image_grid_thw": torch.tensor(grid), "mm_token_type_ids": kinds}


TINY = {
    "smolvlm": Tiny(_idefics3("smolvlm"), "frame", 8, _one_frame),
    "idefics3": Tiny(_idefics3("idefics3"), "frame", 8, _one_frame),
    "llava": Tiny(_llava, "plain", 8, _pixels),
    "internvl": Tiny(_internvl, "plain", 8, _pixels),
    "gemma3": Tiny(_gemma3, "gemma", 8, _with_kinds),
    "qwen2_5_vl": Tiny(_qwen2_5, "qwen", 8, _processed),
    "qwen3_vl": Tiny(_qwen3, "qwen", 8, _processed),
}
"""By `model_type`."""

Config = Callable[[dict[str, Any], int], transformers.PretrainedConfig]


def _with_rest(kind: str, **vision: Any) -> Config:
    """The same model with another image side."""

    def config(text: dict[str, Any], image: int) -> transformers.PretrainedConfig:
        made = TINY[kind].config(text, image)
        for name, value in vision.items():
            setattr(made.vision_config, name, value)
        if kind in ("smolvlm", "idefics3"):
            made.scale_factor = 3
        if kind == "gemma3":
            made.mm_tokens_per_image = 9
        return made

    return config


def _llava_of_siglip(text: dict[str, Any], image: int) -> transformers.PretrainedConfig:
    """A tower without a class token, all of whose tokens are read."""
    vision = {**_VISION, "model_type": "siglip_vision_model", "image_size": 36, "patch_size": 8}
    return transformers.LlavaConfig(
        text_config={"model_type": "llama", **text},
        vision_config=vision,
        image_token_index=image,
        vision_feature_select_strategy="full",
    )


RESTS: dict[str, tuple[str, Config, int, int]] = {
    "smolvlm": ("smolvlm", _with_rest("smolvlm", image_size=52, patch_size=8), 24, 52),
    "idefics3": ("idefics3", _with_rest("idefics3", image_size=52, patch_size=8), 24, 52),
    "llava of clip": ("llava", _with_rest("llava", image_size=36), 8, 36),
    "llava of siglip": ("llava", _llava_of_siglip, 8, 36),
    "internvl": ("internvl", _with_rest("internvl", image_size=[34, 34]), 8, 34),
    "gemma3": ("gemma3", _with_rest("gemma3", image_size=52, patch_size=8), 16, 52),
}
"""Models whose image side is no multiple of the patch, as SigLIP's 384 px are none of 14: kind, config, cell, side."""


def tokenizer() -> Tokenizer:
    """Pieces of bytes, merged as far as the question and a few names go."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    made.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=list(CONTROL), initial_alphabet=alphabet, show_progress=False)  # pyright: ignore[reportCallIssue]
    made.train_from_iterator(_TEXTS, trainer)
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in CONTROL])
    return made


def save_decoder(
    folder: Path, kind: str = "smolvlm", *, local: bool = False, config: Config | None = None, **text: Any
) -> Path:
    """A checkpoint folder of a `model_type`.

    Args:
        folder: is filled.
        kind: one of `TINY`.
        local: no patch sees another: the image side's attention adds nothing.
        config: makes another config than that of `TINY`.
        text: changes of the language model's config.
    """
    words = tokenizer()
    make = config or TINY[kind].config
    made = make({**_text(words.get_vocab_size()), **text}, words.token_to_id("<image>"))
    model = randomise(transformers.AutoModelForImageTextToText.from_config(made))
    if local:
        for name, weights in model.named_parameters():
            if re.search(r"vis.*(out_proj|attn\.proj|projection_layer)", name):
                weights.zero_()
    with quiet():
        model.save_pretrained(folder)
    save_chat(folder, words, TINY[kind].chat)
    return folder


def save_chat(folder: Path, words: Tokenizer, chat: str) -> None:
    """tokenizer.json and its settings, the chat template in a file of its own."""
    words.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<|begin|>", "eos_token": {"content": "<|im_end|>", "special": True}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(_CHATS[chat])


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers."""
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def randomise(model: Any, spread: float = 0.25) -> Any:
    """All weights and biases random, so that none of them can be forgotten unnoticed."""
    generator = torch.Generator().manual_seed(0)
    for name, weights in model.eval().requires_grad_(False).named_parameters():
        middle = float("norm" in name and "bias" not in name)
        weights.copy_(torch.randn(weights.shape, generator=generator) * spread + middle)
    return model


class Whole:
    """transformers' own forward of the whole sequence, image and question together, without a cache."""

    def __init__(self, folder: Path, kind: str, attention: Any = "eager", dtype: torch.dtype = torch.float32) -> None:
        self.inputs = TINY[kind].inputs
        with quiet():
            self.model: Any = transformers.AutoModelForImageTextToText.from_pretrained(
                folder, attn_implementation=attention, dtype=dtype
            ).eval()
        self.words = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        self.template = (folder / "chat_template.jinja").read_text()
        frames = {"smolvlm": "<fake_token_around_image><global-img>{}<fake_token_around_image>"}
        frames |= {"idefics3": frames["smolvlm"], "internvl": "<img>{}</img>"}
        frames |= {"gemma3": "\n\n<start_of_image>{}<end_of_image>\n\n"}
        self.around = frames.get(kind, "{}")

    def ids(self, question: str, cells: int | str) -> list[int]:
        """As the published processors write a chat: the template, then one image token per cell, or what is given."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        chat = self.words.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=True,
        )
        image = self.around.format("<image>" * cells) if isinstance(cells, int) else cells
        return self.words(re.sub("<image>|<start_of_image>", lambda _: image, str(chat)))["input_ids"]

    def __call__(
        self, images: Tensor, ids: list[int], *, inputs: dict[str, Tensor] | None = None, **options: Any
    ) -> tuple[Tensor, Any]:
        """Logit of Yes above No as the next word, and the whole output."""
        text = torch.tensor([ids]).expand(len(images), -1)
        image = self.model.config.image_token_id
        inputs = inputs or self.inputs(images, text, image)
        output = self.model(input_ids=text, attention_mask=torch.ones_like(text), **inputs, **options)
        space = "" if self.words.decode(ids).endswith("\n") else " "
        yes, no = (self.words(space + word)["input_ids"][0] for word in ("Yes", "No"))
        return output.logits[:, -1, yes] - output.logits[:, -1, no], output


def decoder_slope(
    backbone: Any, pixels: Tensor, prompt: TextTokens, layer: int, token: int, direction: Tensor
) -> float:
    """How fast transformers' own answer to the whole sequence changes with a token's attention, in float64."""
    folder = Path(backbone.card.name)
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    whole = Whole(folder, kind, {"text_config": NUDGED, "vision_config": "sdpa"}, torch.float64)
    height, width = (extent // backbone.card.patch for extent in pixels.shape[2:])
    image = whole.model.config.image_token_id
    ids = [*whole.ids("", 1)]
    before = ids[: ids.index(image)]
    ids = [*before, *[image] * (height * width), *prompt.ids]
    row = len(before) + height * width + token

    def move(probs: Tensor) -> Tensor:
        moved = torch.zeros_like(probs)
        moved[:, :, row, len(before) : len(before) + height * width] = direction.flatten(1).to(probs.dtype)
        return moved

    language = whole.model.get_decoder()
    _keep_precision(language)
    with torch.no_grad():
        return slope(lambda: whole(pixels.double(), ids)[0], language.layers[layer].self_attn, move, step=1e-4)


def _keep_precision(model: torch.nn.Module) -> None:
    """Let norms compute in their own precision: transformers' go through float32, whose steps blur differences."""
    for name, norm in list(model.named_modules()):
        if type(norm).__name__.endswith("RMSNorm"):
            weight: Any = norm.weight
            small: Any = norm.eps if "Gemma" in type(norm).__name__ else norm.variance_epsilon
            exact = torch.nn.RMSNorm(weight.shape[0], eps=small, dtype=weight.dtype)  # pyright: ignore
            exact.weight.data.copy_(weight + ("Gemma" in type(norm).__name__))
            model.set_submodule(name, exact)
