"""What each step of the method brings: the same photos with a step left out, or with all combinations."""

from collections.abc import Sequence
from itertools import combinations as choices
from typing import Any

from pnpovss.config import STEPS, Config
from pnpovss.errors import ConfigError

__all__ = ["ABLATED", "FULL", "POSSIBLE", "ablated_steps", "ablation_markdown", "ablation_variants"]

ABLATED = ("gradcam", "dropout", "blur", "crf")  # the paper's ablation
OURS = ("views",)  # steps of this project, left out in turn where the settings have them
# Names come from the run's filter, and things of one name have one label.
POSSIBLE = tuple(step for step in STEPS if step not in ("presence", "instances"))
FULL = "all steps"


def ablated_steps(config: Config) -> tuple[str, ...]:
    """The steps that an ablation leaves out in turn: the paper's, and those of ours that are on.

    GradCAM stays where models are read by LeGrad, which is made of its gradients.
    """
    papers = (step for step in ABLATED if not (step == "gradcam" and config.read == "legrad"))
    return (*(step for step in OURS if not _is_off(config, step)), *papers)


def ablation_variants(
    config: Config, steps: Sequence[str] | None = None, *, combinations: bool = False
) -> dict[str, Config]:
    """The settings as they are, then with each step left out.

    A step that the settings leave out already is put in instead ("with blur"), with the values of the preset best.

    Args:
        config: where to start from.
        steps: which steps; of `POSSIBLE`. None takes `ablated_steps`.
        combinations: every combination of the steps instead of one at a time.

    Raises:
        ConfigError: an unknown step, or one named twice.
    """
    steps = ablated_steps(config) if steps is None else steps
    if unknown := [step for step in steps if step not in POSSIBLE]:
        raise ConfigError(
            f"an ablation leaves out no step {unknown[0]!r}; steps that can be left out: {', '.join(POSSIBLE)}"
        )
    if len(set(steps)) < len(steps):
        raise ConfigError(f"a step was named twice: {', '.join(steps)}")
    most = len(steps) if combinations else 1
    chosen = [flip for count in range(most + 1) for flip in choices(steps, count)]
    return {_name(config, flip): _flip(config, flip) for flip in chosen}


def _is_off(config: Config, step: str) -> bool:
    return config.without(step) == config


def _flip(config: Config, steps: Sequence[str]) -> Config:
    flipped = config.without(*(step for step in steps if not _is_off(config, step)))
    best = Config.preset("best")  # all that ablations vary is on in it
    on = {step: getattr(best, step) for step in steps if _is_off(config, step)}
    return flipped.replace(
        {step: value.model_dump() if hasattr(value, "model_dump") else value for step, value in on.items()}
    )


def _name(config: Config, steps: Sequence[str]) -> str:
    if not steps:
        return FULL if all(not _is_off(config, step) for step in ABLATED) else "as set"
    without = [step for step in steps if not _is_off(config, step)]
    put_in = [step for step in steps if _is_off(config, step)]
    words = (["without " + ", ".join(without)] if without else []) + (["with " + ", ".join(put_in)] if put_in else [])
    return "; ".join(words)


def ablation_markdown(summary: dict[str, Any]) -> str:
    """The table of an ablation; "-" where the photos are too few for an interval."""
    lines = [
        "| variant | mIoU | 95% interval | change | 95% interval of the change | pixel accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for variant, found in summary["variants"].items():
        changes = variant != summary["reference"]
        cells = (
            variant,
            f"{100 * found['miou']:.1f}",
            _span(found["miou_interval"], ""),
            f"{100 * found['change']:+.1f}" if changes else "",
            _span(found["change_interval"], "+") if changes else "",
            f"{100 * found['pixel_accuracy']:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _span(ends: Sequence[float] | None, sign: str) -> str:
    return "-" if ends is None else f"{100 * ends[0]:{sign}.1f} to {100 * ends[1]:{sign}.1f}"
