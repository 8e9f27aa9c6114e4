"""Language models that see, asked whether something is in the picture (VQAScore, arXiv 2404.01291).

PaliGemma is left out: its image rows see the question, so that nothing of an image can be computed once for many names.
"""

from pnpovss.backbones.registry import BackboneSpec, lazily

__all__ = ["SPEC"]

MODELS = {
    "HuggingFaceTB/SmolVLM-256M-Instruct": "SmolVLM, 0.26 B parameters: 8 x 8 cells of 64 px (0.5 GB)",
    "HuggingFaceTB/SmolVLM-500M-Instruct": "SmolVLM, 0.5 B parameters (1 GB)",
    "OpenGVLab/InternVL3-1B-hf": "InternVL3, 0.8 B parameters: 16 x 16 cells of 28 px (about 2 GB)",
    "llava-hf/llava-1.5-7b-hf": "LLaVA 1.5, 7 B parameters: 24 x 24 cells of 14 px (14 GB)",
    "google/gemma-3-4b-it": "Gemma 3, 4 B parameters: 16 x 16 cells of 56 px; its hub asks to agree to terms (8.6 GB)",
    "Qwen/Qwen2.5-VL-3B-Instruct": "Qwen2.5-VL, 3 B parameters: any size, cells of 28 px; for research only (7.5 GB)",
    "Qwen/Qwen3-VL-2B-Instruct": "Qwen3-VL, 2 B parameters: any size, cells of 32 px (4.3 GB)",
}

SPEC = BackboneSpec(
    key="decoder",
    summary="language models that see, asked a yes/no question: SmolVLM, Idefics3, LLaVA, InternVL, Gemma 3, Qwen-VL",
    model_types=("smolvlm", "idefics3", "llava", "internvl", "gemma3", "qwen2_5_vl", "qwen3_vl"),
    models=MODELS,
    load=lazily("pnpovss.backbones.decoder.backbone:load_decoder"),
)
