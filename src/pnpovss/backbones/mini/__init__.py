"""The bundled model, `mini`."""

from pathlib import Path

from pnpovss.backbones.registry import BackboneSpec, lazily

__all__ = ["SPEC"]

SPEC = BackboneSpec(
    key="mini",
    summary="the bundled model: EfficientNet-Lite2 and MiniLM, runs offline on a CPU",
    model_types=("pnpovss-mini",),
    models={"mini": "EfficientNet-Lite2 and MiniLM, trained by this project; inside the package, needs no network"},
    load=lazily("pnpovss.backbones.mini.backbone:load_mini"),
    available=lambda name: Path(__file__).with_name("model.safetensors").is_file(),
)
