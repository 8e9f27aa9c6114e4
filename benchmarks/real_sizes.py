"""Checkpoints of random weights at the sizes of published ones, for measuring what those cost: none is downloaded.

The words that they know are few, but the tables of word embeddings have the published lengths. `SIZES` lists them; a
new architecture adds a line, with where its sizes come from.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from pnpovss.backbones.mini.backbone import BUNDLED
from tests.support.decoder_models import quiet, save_chat, tokenizer
from tests.support.dual_checkpoints import END, START, save_words
from tests.support.fuser_models import save_byte_pairs

__all__ = ["NAMES", "SIZES", "Size"]

NAMES = [
    "cat",
    "dog",
    "plant",
    "cat dog",
    "dog cat",
    "potted plant",
    "plant cat",
    "plant dog",
    "cat plant",
    "dog plant",
]

DEFAULTS = "transformers' defaults"
PAPER = "the paper's table and transformers' defaults"
KNOWN = "the published config as remembered, checked by its number of parameters"


@dataclass(frozen=True)
class Size:
    """A published model.

    Attributes:
        like: the checkpoint that it is as large as.
        source: where its sizes come from.
        save: writes it to an empty folder.
        dtype: of its weights on disk, and what it computes in.
        gigabytes: of memory that it is expected to take; those that do not fit are left out.
    """

    like: str
    source: str
    save: Callable[[Path], None]
    dtype: str = "float32"
    gigabytes: float = 4


def fill(architecture: Any, config: Any, folder: Path, dtype: str = "float32") -> None:
    """Save a model of a config with small random weights, norms of 1, without the time of a proper initialisation."""
    with torch.device("meta"):
        model = architecture(config)
    model.to(getattr(torch, dtype)).to_empty(device="cpu")
    model.tie_weights()
    generator = torch.Generator().manual_seed(0)
    for name, weights in model.requires_grad_(False).named_parameters():
        if weights.ndim == 1:
            weights.fill_(float("norm" in name.lower() and not name.endswith("bias")))
        elif weights.ndim:
            weights.normal_(0, 0.02, generator=generator)
        else:
            weights.fill_(2.0)  # the scale of a contrastive logit
    with quiet():
        model.save_pretrained(folder)


def wordpieces(folder: Path, count: int) -> None:
    """BERT's vocab.txt, of words that are there and words that are not."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of", "cat", "dog", "potted", "plant"]
    (folder / "vocab.txt").write_text("\n".join([*words, *(f"[unused{n}]" for n in range(count - len(words)))]) + "\n")


def mini(folder: Path) -> None:
    for file in BUNDLED.glob("*.[js][sa]*"):
        (folder / file.name).symlink_to(file)


def blip(**vision: int) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        shape = {"image_size": 384, "patch_size": 16, "layer_norm_eps": 1e-6, **vision}
        config = transformers.BlipConfig(text_config={"num_attention_heads": 12}, vision_config=shape)
        fill(transformers.BlipForImageTextRetrieval, config, folder)
        wordpieces(folder, 30522)

    return save


LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}


def bridgetower(**config: Any) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        made = transformers.BridgeTowerConfig(**{"text_config": {}, "vision_config": {}, **config})
        fill(transformers.BridgeTowerForImageAndTextRetrieval, made, folder)
        save_byte_pairs(folder)

    return save


def blip2(folder: Path) -> None:
    text = {"vocab_size": 30523, "use_qformer_text_input": True}
    config = transformers.Blip2Config(qformer_config=text, image_text_hidden_size=256)
    fill(transformers.Blip2ForImageTextRetrieval, config, folder)
    wordpieces(folder, 30522)


def vilt(folder: Path) -> None:
    fill(transformers.ViltForImageAndTextRetrieval, transformers.ViltConfig(max_image_length=-1), folder)
    wordpieces(folder, 30522)


def flava(folder: Path) -> None:
    fill(transformers.FlavaForPreTraining, transformers.FlavaConfig(init_codebook=False), folder)
    wordpieces(folder, 30522)


def florence2(folder: Path) -> None:
    text = {
        "model_type": "bart", "vocab_size": 51289, "d_model": 768, "encoder_layers": 6, "decoder_layers": 6,
        "encoder_attention_heads": 12, "decoder_attention_heads": 12, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072,
        "max_position_embeddings": 4096, "decoder_start_token_id": 2, "bos_token_id": 0, "pad_token_id": 1,
        "eos_token_id": 2,
    }  # fmt: skip
    config = transformers.Florence2Config(
        text_config=text, vision_config={"projection_dim": 768}, image_token_id=51288, tie_word_embeddings=True
    )
    fill(transformers.Florence2ForConditionalGeneration, config, folder)
    save_byte_pairs(folder)


def blip_captions(folder: Path) -> None:
    shape = {"image_size": 384, "patch_size": 16, "layer_norm_eps": 1e-6}
    text = {"num_attention_heads": 12, "bos_token_id": 30522, "is_decoder": True}
    config = transformers.BlipConfig(text_config=text, vision_config=shape)
    fill(transformers.BlipForConditionalGeneration, config, folder)
    wordpieces(folder, 30522)


def clip(text: dict[str, Any], vision: dict[str, Any], projected: int) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        ends = {"bos_token_id": START, "eos_token_id": END, "pad_token_id": 0}
        config = transformers.CLIPConfig(
            text_config={**text, **ends, "projection_dim": projected},
            vision_config={**vision, "projection_dim": projected},
            projection_dim=projected,
        )
        fill(transformers.CLIPModel, config, folder)
        save_words(folder, special=True)

    return save


def siglip(side: int, words: int) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        config = transformers.SiglipConfig(
            text_config={"vocab_size": words, "eos_token_id": END, "bos_token_id": START, "pad_token_id": 0},
            vision_config={"image_size": side, "patch_size": 16},
        )
        fill(transformers.SiglipModel, config, folder)
        save_words(folder, special=False)

    return save


def decoder(kind: str, chat: str, config: Callable[[int], Any]) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        words = tokenizer()
        fill(getattr(transformers, kind), config(words.get_vocab()["<image>"]), folder, "bfloat16")
        save_chat(folder, words, chat)

    return save


def smolvlm(width: int, inner: int, layers: int, heads: int, groups: int) -> Callable[[int], Any]:
    text = {
        "model_type": "llama", "vocab_size": 49280, "hidden_size": width, "intermediate_size": inner,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": groups, "head_dim": 64,
        "max_position_embeddings": 8192, "rope_parameters": {"rope_type": "default", "rope_theta": 1e5},
        "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "pad_token_id": 2,
    }  # fmt: skip
    eyes = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    return lambda image: transformers.SmolVLMConfig(
        text_config=text, vision_config={**eyes, "image_size": 512, "patch_size": 16}, scale_factor=4,
        image_token_id=image, tie_word_embeddings=False,
    )  # fmt: skip


def internvl(image: int) -> Any:
    text = {
        "model_type": "qwen2", "vocab_size": 151674, "hidden_size": 896, "intermediate_size": 4864,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "max_position_embeddings": 32768,
    }  # fmt: skip
    eyes = {**LARGE, "image_size": [448, 448], "patch_size": [14, 14]}
    return transformers.InternVLConfig(text_config=text, vision_config=eyes, image_token_id=image)


def qwen3_vl(image: int) -> Any:
    text = {
        "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 32768,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True,
        },
    }  # fmt: skip
    eyes = {
        "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "patch_size": 16,
        "out_hidden_size": 2048, "num_position_embeddings": 2304, "deepstack_visual_indexes": [5, 11, 17],
    }  # fmt: skip
    return transformers.Qwen3VLConfig(
        text_config=text, vision_config=eyes, image_token_id=image, video_token_id=image - 1, tie_word_embeddings=True
    )


def qwen2_5_vl(image: int) -> Any:
    text = {
        "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36,
        "num_attention_heads": 16, "num_key_value_heads": 2, "max_position_embeddings": 32768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    }  # fmt: skip
    eyes = {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14,
        "out_hidden_size": 2048, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
    }  # fmt: skip
    return transformers.Qwen2_5_VLConfig(
        text_config=text, vision_config=eyes, image_token_id=image, video_token_id=image - 1, tie_word_embeddings=True
    )


def llava(image: int) -> Any:
    """All of its defaults are those of the 7 B model."""
    return transformers.LlavaConfig(image_token_index=image)


SIZES = {
    "mini": Size("mini", "the bundled model itself", mini, gigabytes=1),
    "blip-base": Size("Salesforce/blip-itm-base-coco", DEFAULTS, blip()),
    "blip-large": Size("Salesforce/blip-itm-large-flickr", PAPER, blip(**LARGE)),
    "bridgetower-base": Size("BridgeTower/bridgetower-base-itm-mlm", DEFAULTS, bridgetower()),
    "bridgetower-large": Size(
        "BridgeTower/bridgetower-large-itm-mlm",
        PAPER,
        bridgetower(
            hidden_size=1024,
            num_attention_heads=16,
            text_config=LARGE,
            vision_config={"hidden_size": 1024, "num_hidden_layers": 24, "image_size": 294, "patch_size": 14},
        ),
        gigabytes=6,
    ),
    "blip2": Size("Salesforce/blip2-itm-vit-g", DEFAULTS, blip2, gigabytes=8),
    "vilt": Size("dandelin/vilt-b32-finetuned-coco", DEFAULTS, vilt),
    "flava": Size("facebook/flava-full", DEFAULTS, flava),
    "florence2-base": Size("florence-community/Florence-2-base", KNOWN, florence2),
    "blip-captions": Size("Salesforce/blip-image-captioning-base", DEFAULTS, blip_captions),
    "clip-base": Size(
        "openai/clip-vit-base-patch16", f"{DEFAULTS}, patches of 16 px", clip({}, {"patch_size": 16}, 512)
    ),
    "clip-large": Size(
        "openai/clip-vit-large-patch14-336",
        PAPER,
        clip(
            {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
            {**LARGE, "image_size": 336, "patch_size": 14},
            768,
        ),
    ),
    "siglip-base": Size("google/siglip-base-patch16-224", DEFAULTS, siglip(224, 32000)),
    "siglip2-base": Size(
        "google/siglip2-base-patch16-384", f"{DEFAULTS}, 384 px and 256,000 words", siglip(384, 256000)
    ),
    "smolvlm-256m": Size(
        "HuggingFaceTB/SmolVLM-256M-Instruct",
        KNOWN,
        decoder("SmolVLMForConditionalGeneration", "frame", smolvlm(576, 1536, 30, 9, 3)),
        "bfloat16",
    ),
    "smolvlm-500m": Size(
        "HuggingFaceTB/SmolVLM-500M-Instruct",
        KNOWN,
        decoder("SmolVLMForConditionalGeneration", "frame", smolvlm(960, 2560, 32, 15, 5)),
        "bfloat16",
    ),
    "internvl3-1b": Size(
        "OpenGVLab/InternVL3-1B-hf",
        KNOWN,
        decoder("InternVLForConditionalGeneration", "plain", internvl),
        "bfloat16",
    ),
    "qwen3-vl-2b": Size(
        "Qwen/Qwen3-VL-2B-Instruct",
        KNOWN,
        decoder("Qwen3VLForConditionalGeneration", "qwen", qwen3_vl),
        "bfloat16",
        8,
    ),
    "qwen2.5-vl-3b": Size(
        "Qwen/Qwen2.5-VL-3B-Instruct",
        KNOWN,
        decoder("Qwen2_5_VLForConditionalGeneration", "qwen", qwen2_5_vl),
        "bfloat16",
        12,
    ),
    "llava-1.5-7b": Size(
        "llava-hf/llava-1.5-7b-hf",
        DEFAULTS,
        decoder("LlavaForConditionalGeneration", "plain", llava),
        "bfloat16",
        18,
    ),
}


def parameters(folder: Path) -> int:
    """Numbers in the weights of a folder, from the headers of its files."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, entry in header.items():
            if name != "__metadata__":
                count = 1
                for extent in entry["shape"]:
                    count *= extent
                total += count
    return total
