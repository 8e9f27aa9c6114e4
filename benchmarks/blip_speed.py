"""BLIP large, 336 px, four passes of Salience Dropout: CPU time and peak memory against the released code's way.

    python benchmarks/blip_speed.py [--rounds 3] [--threads 1] [--out benchmarks/results/blip_speed.md]

Each variant runs in a process of its own (so peak memory is its own), variants take turns within a round, and what is
timed is the saliency half of the method (`Segmenter.explain`: encoding, matching, gradients, dropout) after one
untimed look at another, smaller image. Weights are random (no checkpoint is downloaded): the work does not depend on
them, but attention is flat, so agreement of labels says little about photos.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

NAMES = ["cat", "sofa", "person"]
VARIANTS = ("baseline", "float32", "bfloat16")
TARGETS = {"float32": "3.3x, 2.3 GiB", "bfloat16": "6x"}
VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}


def save_random_blip_large(folder: Path) -> None:
    from transformers import BlipConfig, BlipForImageTextRetrieval

    torch.manual_seed(0)
    vision = {**VISION, "image_size": 384, "layer_norm_eps": 1e-6, "initializer_range": 0.02}
    model = BlipForImageTextRetrieval(BlipConfig(text_config={"num_attention_heads": 12}, vision_config=vision))
    model.save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of", *NAMES]
    words += [f"[unused{n}]" for n in range(30522 - len(words))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")


def photo(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC)


def labels_of(names: np.ndarray) -> np.ndarray:
    """The label map that the rest of the method, CRF included, makes of class maps "name gh gw"."""
    from pnpovss.config import Config
    from pnpovss.refine.pipeline import refine

    return refine(torch.from_numpy(names), np.asarray(photo(0)), Config.preset("authors")).labels


class Clock:
    """CPU seconds spent in some of an object's methods, by method."""

    def __init__(self, target: Any, *methods: str) -> None:
        self.seconds = dict.fromkeys(methods, 0.0)
        for method in methods:
            setattr(target, method, self._timed(method, getattr(target, method)))

    def _timed(self, method: str, call: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            result = call(*args, **kwargs)
            self.seconds[method] += time.process_time() - start
            return result

        return timed


def work(variant: str, folder: str, threads: int, out: str) -> None:
    """Measure one variant once: numbers to stdout as JSON, maps and labels to a file."""
    torch.set_num_threads(threads)
    from pnpovss.backbones.base import LoadOptions
    from pnpovss.backbones.blip.backbone import load_blip
    from pnpovss.config import Config
    from pnpovss.inputs import prepare
    from pnpovss.segmenter import Segmenter

    if variant == "baseline":
        from authors_baseline import load_baseline

        backbone: Any = load_baseline(folder)
    else:
        backbone = load_blip(folder, LoadOptions(dtype=getattr(torch, variant)))
    config = Config.preset("authors", {"image_size": 336})
    segmenter = Segmenter(backbone, config, "authors")
    warm = Segmenter(backbone, config.replace({"image_size": 96, "dropout": None}), "authors")
    warm.explain([prepare(photo(1), NAMES, backbone.card, warm.config)])
    inputs = prepare(photo(0), NAMES, backbone.card, segmenter.config)
    clock = Clock(backbone, "encode_images", "match")
    start = time.process_time()
    [explained] = segmenter.explain([inputs])
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    np.save(out, explained.names.numpy())
    print(json.dumps({"seconds": seconds, "peak": peak, "match": explained.match, **clock.seconds}))


def measure(variant: str, folder: str, threads: int, out: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--work", variant, folder, str(out), "--threads", str(threads)]
    environment = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    return json.loads(done.stdout.splitlines()[-1])


def gigaflops(dtype: torch.dtype, threads: int) -> float:
    """GFLOP/s of one of the image side's larger linear layers on this CPU."""
    torch.set_num_threads(threads)
    linear, x = torch.nn.Linear(1024, 4096, dtype=dtype), torch.randn(442, 1024).to(dtype)
    times = []
    with torch.no_grad():
        for _ in range(12):
            start = time.process_time()
            linear(x)
            times.append(time.process_time() - start)
    return 2e-9 * 442 * 1024 * 4096 / statistics.median(times[2:])


def cpu() -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.is_file() else ""
    fields = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in fields.get("flags", "").split()]
    family = ", ".join(f"{key} {fields[key]}" for key in ("cpu family", "model") if key in fields)
    return f"{fields.get('model name', platform.processor())} ({family}); {', '.join(flags)}"


def report(runs: dict[str, list[dict[str, float]]], found: dict[str, np.ndarray], threads: int, command: str) -> str:
    def median(variant: str, key: str) -> float:
        return statistics.median(run[key] for run in runs[variant])

    rows = []
    for variant in VARIANTS:
        ratio = statistics.median(
            base["seconds"] / own["seconds"] for base, own in zip(runs["baseline"], runs[variant], strict=True)
        )
        spread = ", ".join(f"{run['seconds']:.1f}" for run in runs[variant])
        rows.append(
            f"| {variant} | {median(variant, 'encode_images'):.2f} | {median(variant, 'match'):.2f} "
            f"| **{median(variant, 'seconds'):.2f}** ({spread}) | **{ratio:.2f}** "
            f"| {max(run['peak'] for run in runs[variant]) / 2**30:.2f} | {TARGETS.get(variant, '')} |"
        )
    base = found["baseline"]
    agree = []
    for variant in VARIANTS[1:]:
        own = found[variant]
        apart = float(np.abs(own - base).max() / base.max())
        argmax = float((own.argmax(0) == base.argmax(0)).mean())
        labels = float((labels_of(own) == labels_of(base)).mean())
        agree.append(
            f"- {variant}: largest difference {apart:.1e} of the maximum; strongest name the same on {argmax:.2%} of "
            f"the patches, final label the same on {labels:.2%} of the pixels"
        )
    rates = ", ".join(f"{name} {gigaflops(getattr(torch, name), threads):.0f}" for name in VARIANTS[1:])
    return "\n".join(
        [
            "# BLIP large on a CPU",
            "",
            f"`{command}`, {date.today().isoformat()}, torch {torch.__version__}, {threads} thread(s), "
            f"load average {os.getloadavg()[2]:.1f} on {os.cpu_count()} cores  ",
            f"CPU: {cpu()}  ",
            f"GFLOP/s of a linear layer (442 x 1024 x 4096) on it: {rates}",
            "",
            f"Random weights of BLIP large's sizes, 336 px, one image, names {', '.join(NAMES)}; preset `authors`:",
            "four passes, ten patches dropped after each. CPU seconds (`time.process_time`) of the saliency half of",
            f"the method (`Segmenter.explain`), rounds: {len(runs['baseline'])}, medians; each variant in a process of",
            "its own, taking turns; the ratio is the median of the rounds' ratios. Peak memory is its largest",
            "resident set, loading included. The baseline (`benchmarks/authors_baseline.py`) does what the released",
            "code does; its backward pass, image side included, counts in the second column.",
            "",
            "| variant | image side [s] | text side, gradient [s] | total [s] (rounds) | ratio | peak [GiB] | target |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Class maps and labels against the baseline's:",
            "",
            *agree,
            "",
            "Random weights make flat attention, in which the ranking of patches hangs on small differences; how far",
            "bfloat16 labels differ on photos, only trained weights can tell. bfloat16 pays only where the CPU",
            "multiplies it faster than float32 (see the GFLOP/s above).",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--checkpoint", type=Path, help="use this folder, not random weights made for the run")
    parser.add_argument("--work", nargs=3, metavar=("VARIANT", "FOLDER", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        variant, folder, out = given.work
        return work(variant, folder, given.threads, out)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.checkpoint or Path(scratch) / "blip-large"
        if given.checkpoint is None:
            save_random_blip_large(folder)
        runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
        for turn in range(given.rounds):
            for variant in VARIANTS:
                runs[variant].append(measure(variant, str(folder), given.threads, Path(scratch) / f"{variant}.npy"))
                print(turn, variant, runs[variant][-1], file=sys.stderr, flush=True)
        found = {variant: np.load(Path(scratch) / f"{variant}.npy") for variant in VARIANTS}
    command = f"python benchmarks/blip_speed.py --rounds {given.rounds} --threads {given.threads}"
    text = report(runs, found, given.threads, command)
    print(text)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text)


if __name__ == "__main__":
    main()
