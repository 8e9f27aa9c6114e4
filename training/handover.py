"""A stage's weights, small enough to lie beside the source: another machine goes on from them.

Only what training changed is kept, as float16; the rest is in the packages that the model begins with.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pnpovss.backbones.mini.model import Mini
from training.features import load_trunk
from training.fit import save_whole
from training.minilm import load_text
from training.whole import whole


def keep(model: Mini, path: Path) -> None:
    """Write the weights of a model that are not the packages'."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packages = {f"trunk.{name}": value for name, value in load_trunk(torch.device("cpu")).state_dict().items()}
    packages |= {f"text.{name}": value for name, value in load_text().state_dict().items()}
    changed = {n: v for n, v in model.state_dict().items() if n not in packages or not torch.equal(v, packages[n])}
    with whole(path) as part:
        save_file({name: value.half().contiguous() for name, value in changed.items()}, part)
        part.chmod(0o644)  # safetensors makes it private


def take_up(path: Path, stage: Path) -> None:
    """Make the checkpoint of a finished stage from what `keep` wrote; one that is there already stays.

    What the optimiser remembered is not kept: the stages behind it can be run, that stage cannot go on.
    """
    if (stage / "last.pt").exists():
        return
    stage.mkdir(parents=True, exist_ok=True)
    model: dict[str, Tensor] = {name: value.float() for name, value in load_file(path).items()}
    save_whole({"model": model, "mean": {}}, stage / "last.pt")
