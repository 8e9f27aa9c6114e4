"""SmolVLM at the size of its smallest published config, randomly initialised, through the same door."""

import resource
import time
from pathlib import Path

import pytest
import torch
import transformers

from pnpovss.backbones.base import LoadOptions, Reading
from pnpovss.backbones.decoder.backbone import load_decoder
from tests.support.decoder_models import quiet, save_chat, tokenizer

TEXT = {
    "model_type": "llama",
    "vocab_size": 49280,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "max_position_embeddings": 8192,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e5},
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "pad_token_id": 2,
}
VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_smolvlm_256m(dtype: torch.dtype, tmp_path: Path) -> None:
    """K names must cost far less than K times one."""
    words = tokenizer()
    config = transformers.SmolVLMConfig(
        text_config=TEXT,
        vision_config={**VISION, "image_size": 512, "patch_size": 16},
        scale_factor=4,
        image_token_id=words.token_to_id("<image>"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    with quiet():
        model = transformers.SmolVLMForConditionalGeneration(config)
        assert 250e6 < sum(weights.numel() for weights in model.parameters()) < 260e6
        model.to(torch.bfloat16).save_pretrained(tmp_path)
    del model
    save_chat(tmp_path, words, "frame")
    backbone = load_decoder(str(tmp_path), LoadOptions(dtype=dtype))
    assert (backbone.card.patch, backbone.card.recommended.image_size) == (64, 512)
    prompts = [backbone.tokenize(backbone.card.prompt.format(name)) for name in "abcdefghij"]
    images, seconds = torch.randn(1, 3, 512, 512), {}
    for count in (1, 1, 10):  # the first to warm up
        start = time.process_time()
        features = backbone.encode_images(images)
        encoded = time.process_time()
        [seen] = backbone.match(features, [prompts[:count]], Reading((backbone.card.recommended.layer,))).maps
        seconds[count] = (encoded - start, time.process_time() - encoded)
        assert seen.gradient is not None
        assert seen.attention.shape[3:] == features.grid == (8, 8)
        assert bool(seen.gradient.isfinite().all())
        assert float(seen.gradient.abs().max()) > 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for count, (encode, match) in seconds.items():
        print(f"{dtype}, {count} names: {encode:.2f} s to encode, {match:.2f} s to ask (processor); {peak:.2f} GiB")
    assert sum(seconds[10]) < 6 * sum(seconds[1])
