"""The training loop of both stages: batches from the cache, losses, schedule, log, resume."""

import csv
import logging
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from pnpovss.backbones.mini.lite2 import MID_CHANNELS, TOP_CHANNELS
from pnpovss.backbones.mini.model import Mini
from pnpovss.backbones.mini.text import CLS_ID, CROSS_HEADS, SEP_ID
from pnpovss.files.writing import write_all
from training.batches import FROZEN_LAYERS, READ_HEAD, READ_LAYER, WHOLE, Batch, Batches, FitConfig
from training.forward import Looked, from_middle, last_blocks, look
from training.losses import (
    amount,
    contrastive,
    extent,
    presence_by_attention,
    presence_by_state,
    rising,
    spread,
    toward,
)
from training.minilm import pad
from training.prompts import SLOTS, Prompts, PromptWriter, prefix_ids, without
from training.whole import whole

log = logging.getLogger(__name__)


class Seen(Protocol):
    """What the looks of a step show of the things whose place is known."""

    def targets(self, prompts: Prompts) -> tuple[Tensor, Tensor, Tensor]:
        """Of the prompts' names: target maps "p slot n", which of them exist, and which things are hidden, "p slot"."""
        ...

    def in_doubt(self) -> list[list[int]]:
        """Of each look, the names of which nobody can say whether it shows them."""
        ...

    def labels(self, labels: np.ndarray) -> np.ndarray:
        """What the looks show, "b name", +1, -1 or 0 for not known, of what whole photos show.

        A thing that is hidden, or outside the part that is seen, is absent; things without a map, of which nobody
        knows whether they are in the part, are not known.
        """
        ...


class Targets(Protocol):
    """Where things are."""

    def of(self, photos: np.ndarray) -> Tensor:
        """Maps of some photos, shares of each cell that are the thing, "b slot cell"."""
        ...

    def seen(self, batch: Batch) -> Seen:
        """What is left of them in the looks of a step."""
        ...


class Heads(nn.Module):
    """What training needs beside the model: a presence head and the contrastive scale."""

    def __init__(self) -> None:
        super().__init__()
        self.presence = nn.Linear(384, 1)
        self.scale = nn.Parameter(torch.tensor(2.3))
        self.bias = nn.Parameter(torch.tensor(-4.0))


def parameter_groups(model: Mini, heads: Heads, config: FitConfig) -> list[dict]:
    """Each part at its rate; norms, biases and the trunk undecayed."""
    model.requires_grad_(False)
    for layer in model.text.encoder.layer[FROZEN_LAYERS:]:
        layer.requires_grad_(True)
    for module in (model.neck, model.itm_head, model.vision_proj, model.text_proj):
        module.requires_grad_(True)
    if config.rate_trunk:
        # Not the depthwise filters: 2% of the weights, and on a CPU nearly half of the backward pass.
        for block in last_blocks(model):
            block.project.requires_grad_(True)
            if block.expand is not None:
                block.expand.requires_grad_(True)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in [*model.named_parameters(), *heads.named_parameters()]:
        if parameter.requires_grad:
            trunk, old = name.startswith("trunk."), name.startswith("text.") and "crossattention" not in name
            rate = config.rate_trunk if trunk else config.rate_old if old else config.rate_new
            decay = 0.05 if parameter.ndim > 1 and not trunk else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": parameters, "peak": rate, "weight_decay": decay} for (rate, decay), parameters in groups.items()]


def _silence(prompts: Prompts, config: FitConfig, random: np.random.Generator) -> dict[int, Tensor] | None:
    """Factors for `training.forward.look`: sometimes only names look, sometimes only the head that is read."""
    drawn = random.random()
    if drawn >= 2 * config.silence:
        return None
    rows, length = prompts.ids.shape
    keep = torch.ones(rows, CROSS_HEADS[READ_LAYER], length, device=prompts.ids.device)
    if drawn < config.silence:
        keep[:, 1:] = 0
    else:
        has_names = (prompts.names >= 0).any(1)
        keep *= ((prompts.slot_of >= 0) | ~has_names[:, None])[:, None].float()
    factors = {READ_LAYER: keep}
    if drawn > config.silence:
        factors[READ_LAYER - 1] = keep
    return factors


def _texts(writer: PromptWriter, labels: np.ndarray, config: FitConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Names that some look of the batch shows, as ids, mask and target "b t"; of labels "b name"."""
    present = np.flatnonzero((labels > 0).any(0))
    chosen = writer.random.choice(present, min(config.texts, len(present)), replace=False)
    ids, mask = pad([[CLS_ID, *prefix_ids(), *writer.pieces[i][:6], SEP_ID] for i in chosen])
    return ids, mask, torch.from_numpy(labels[:, chosen].astype(np.float32))


def step_losses(
    model: Mini,
    heads: Heads,
    batch: Batch,
    prompts: Prompts,
    texts: tuple[Tensor, Tensor, Tensor],
    config: FitConfig,
    random: np.random.Generator,
    targets: tuple[Tensor, Tensor] | None,
) -> tuple[dict[str, Tensor], float]:
    """All losses of a step, weighted, by name; and the share of prompts judged rightly."""
    side = round(batch.features.shape[1] ** 0.5)
    silence = _silence(prompts, config, random)
    # The maps' gradient is itself differentiated, which only the plain attention kernel can do.
    with (
        torch.autocast(torch.device(config.device).type, torch.bfloat16, enabled=config.bf16),
        sdpa_kernel(SDPBackend.MATH),
    ):
        features = from_middle(model, batch.features) if config.rate_trunk else batch.features
        tokens = model.neck(features, (side, side))
        seen = look(model.text, tokens, prompts.ids, prompts.mask, frozen_layers=FROZEN_LAYERS, silence=silence)
        logits = model.itm_head(seen.rows.first_of(seen.hidden)).float()
        ids, mask, target = texts
        image = F.normalize(model.vision_proj(tokens[:, 0]).float(), dim=-1)
        text = F.normalize(model.text_proj(model.text(ids, mask)).float(), dim=-1)
        named = prompts.names >= 0
        by_layer = {
            layer: presence_by_attention(_of_names(seen, scores[:, READ_HEAD], prompts), named, prompts.present)
            for layer, scores in seen.scores.items()
        }
        states = seen.rows.mean_of_slots(seen.hidden, prompts.slot_of, SLOTS)
        losses = {
            "match": F.cross_entropy(logits, prompts.matches.long()),
            "read": by_layer[READ_LAYER],
            "attend": 0.3 * by_layer[READ_LAYER - 1],
            "state": presence_by_state(states, heads.presence, named, prompts.present),
            "contrast": 0.5 * contrastive(image @ text.T, target, heads.scale.exp(), heads.bias),
        }
        if config.rate_trunk:
            top, scale = slice(MID_CHANNELS, MID_CHANNELS + TOP_CHANNELS), model.neck.scale
            drift = ((features - batch.features) * scale)[..., top][~batch.hidden]
            losses["keep"] = config.keep * drift.square().mean()
        if targets is not None:
            losses |= map_losses(seen, logits, prompts, targets, config)
        else:
            read = _of_names(seen, seen.probs[READ_LAYER][:, READ_HEAD], prompts)[..., 1:]
            losses["spread"] = config.spread * spread(read, named & prompts.present)
    return losses, float((logits.argmax(1) == prompts.matches).float().mean())


def _of_names(seen: Looked, values: Float[Tensor, "b l n"], prompts: Prompts) -> Float[Tensor, "p slot n"]:
    return seen.rows.mean_of_slots(values.float(), prompts.slot_of, SLOTS)


def map_losses(
    seen: Looked, logits: Tensor, prompts: Prompts, targets: tuple[Tensor, Tensor], config: FitConfig
) -> dict[str, Tensor]:
    """The attention of names, and the GradCAM map that the method makes of it, against pseudo-maps."""
    target, exists = targets
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), seen.probs[READ_LAYER], create_graph=True)
    gradient, probs = gradient[:, READ_HEAD], seen.probs[READ_LAYER][:, READ_HEAD]

    def of_names(values: Tensor) -> Tensor:
        return _of_names(seen, values, prompts)[..., 1:]

    wanted = target[exists]
    named = prompts.names >= 0
    positive = of_names(F.relu(gradient) * probs)
    total = config.amount * amount(positive.sum(-1)[named], prompts.present[named])
    if not bool(exists.any()):
        return {"amount": total}
    read = of_names(probs)[exists]
    return {
        "amount": total,
        "look": config.look * toward(read, wanted),
        "look_below": 0.5 * config.look * toward(of_names(seen.probs[READ_LAYER - 1][:, READ_HEAD])[exists], wanted),
        "gradcam": config.gradcam * toward(positive[exists], wanted),
        "extent": 0.5 * config.extent * (extent(read, wanted) + extent(positive[exists], wanted)),
        "rising": config.rising * rising(of_names(gradient)[exists], wanted),
    }


def fit(
    model: Mini,
    batches: Batches,
    writer: PromptWriter,
    choose: Callable[[np.random.Generator, int], np.ndarray],
    folder: Path,
    config: FitConfig,
    targets: Targets | None = None,
) -> Mini:
    """Train, and return the model with the running mean of its weights.

    A checkpoint is written every `save_every` steps and on the last; a run started again goes on from it.

    Args:
        model: trained in place.
        batches: features.
        writer: texts.
        choose: draws the photos of a batch.
        folder: for `last.pt` and `log.csv`.
        config: settings.
        targets: pseudo-maps; without them only presence teaches the maps.
    """
    torch.manual_seed(config.seed)
    folder.mkdir(parents=True, exist_ok=True)
    model.to(config.device)
    heads = Heads().to(config.device)
    groups = parameter_groups(model, heads, config)
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98))
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    mean = {name: parameter.detach().clone() for name, parameter in trained}
    first = 0
    checkpoint = folder / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False, map_location=config.device)
        model.load_state_dict(state["model"], strict=False)
        heads.load_state_dict(state["heads"])
        optimizer.load_state_dict(state["optimizer"])
        mean, first = state["mean"], state["step"]
        writer.random.bit_generator.state, batches.random.bit_generator.state = state["random"]
        writer.asked = state["asked"]
        log.info("going on from step %d", first)
    random = np.random.default_rng(config.seed + 2 + first)
    history = folder / "log.csv"
    forget_behind(history, first)
    started, sums, counted = time.monotonic(), {}, 0
    for step in range(first, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * _schedule(step, config)
        photos = choose(random, config.photos)
        batch = batches.load(photos, maps=None if targets is None else targets.of(photos))
        seen = None if targets is None else targets.seen(batch)
        prompts = writer.draw(
            photos.tolist(), (batch.corners[:, 0] != WHOLE).tolist(), None if seen is None else seen.in_doubt()
        )
        wanted, labels = None, writer.labels[photos]
        if seen is not None:
            labels = seen.labels(labels)
            *wanted, gone = seen.targets(prompts)
            prompts = without(prompts, gone)
            wanted = tuple(wanted)
        losses, right = step_losses(
            model,
            heads,
            to_device(batch, config.device),
            to_device(prompts, config.device),
            to_device(_texts(writer, labels, config), config.device),
            config,
            random,
            to_device(wanted, config.device),  # pyright: ignore[reportArgumentType]
        )
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
        optimizer.step()
        with torch.no_grad():
            decay = min(config.average, (1 + step) / (10 + step))
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
                [mean[n] for n, _ in trained], [p for _, p in trained], 1 - decay
            )
        for name, value in [*((n, v.item()) for n, v in losses.items()), ("match_right", right)]:
            sums[name] = sums.get(name, 0.0) + value
        counted += 1
        if (step + 1) % 25 == 0 or step + 1 == config.steps:
            _report(
                history,
                step + 1,
                {k: v / counted for k, v in sums.items()},
                (time.monotonic() - started) / (step + 1 - first),
            )
            sums, counted = {}, 0
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            _save(checkpoint, model, heads, optimizer, mean, step + 1, writer, batches)
    model.load_state_dict(mean, strict=False)
    return model


T = TypeVar("T")


def to_device(value: T, device: str) -> T:
    """Move the tensors of a tuple or dataclass; what is none stays."""
    if isinstance(value, Tensor):
        return value.to(device)  # pyright: ignore[reportReturnType]
    if isinstance(value, tuple):
        return tuple(to_device(each, device) for each in value)  # pyright: ignore[reportReturnType]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: to_device(getattr(value, f.name), device) for f in fields(value)})
    return value


def _schedule(step: int, config: FitConfig) -> float:
    rise = min(1.0, (step + 1) / config.warmup)
    fall = max(0.0, (step - config.warmup) / max(1, config.steps - config.warmup))
    return rise * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(1.0, fall))))


def forget_behind(history: Path, step: int) -> None:
    """Drop a log's rows of steps behind a checkpoint's, which come again, and one that was cut off."""
    if history.exists():
        with history.open(newline="") as file:
            lines = [line for line in file if line.endswith("\n")]
        kept = [*lines[:1], *(line for line in lines[1:] if int(line.split(",")[0]) <= step)]
        write_all({history: "".join(kept).encode()})


def _report(history: Path, step: int, values: dict[str, float], seconds: float) -> None:
    new = not history.exists() or not history.stat().st_size  # a kill may come between file and header
    with history.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", *values, "seconds_a_step"])
        writer.writerow([step, *(f"{v:.4f}" for v in values.values()), f"{seconds:.2f}"])
    log.info("step %d  %s  %.2f s", step, "  ".join(f"{k} {v:.3f}" for k, v in values.items()), seconds)


def _save(
    path: Path,
    model: Mini,
    heads: Heads,
    optimizer: torch.optim.Optimizer,
    mean: dict[str, Tensor],
    step: int,
    writer: PromptWriter,
    batches: Batches,
) -> None:
    frozen = ("trunk.", "text.embeddings.")
    kept = {n: value for n, value in model.state_dict().items() if n in mean or not n.startswith(frozen)}
    state = {
        "model": kept, "heads": heads.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean, "step": step,
        "random": (writer.random.bit_generator.state, batches.random.bit_generator.state), "asked": writer.asked,
    }  # fmt: skip
    save_whole(state, path)


def save_whole(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint that is whole or absent."""
    with whole(path) as part:
        torch.save(state, part)
