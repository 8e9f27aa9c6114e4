"""The Dense CRF against pydensecrf2: how alike, how fast, how much memory.

    python benchmarks/crf.py agree PHOTOS.tar [--scores FOLDER | --model mini] [--out benchmarks/results/crf_agree]
    python benchmarks/crf.py speed PHOTOS.tar [--threads 1 2] [--rounds 3] [--out benchmarks/results/crf_speed]

PHOTOS.tar is in VOC's layout (JPEGImages/*.jpg and, for --model, SegmentationClassAug/*.png). pydensecrf2 is in the
extra `crf-oracle`. Score maps are, in order of preference: `--scores`, .npz files as `Segmentation.save` writes them
with the CRF off; `--model`, what the method hands to its CRF with this model and the names in the photo's ground
truth; else a stand-in, the photo's colours clustered and smoothed. Each writes FILE.md and FILE.json.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from pnpovss.densecrf import Bilateral, DenseCRF, Gaussian

PRESET: dict[str, Any] = {
    "sxy": 3,
    "compat": 7,
    "bilateral_sxy": 50,
    "srgb": 5,
    "bilateral_compat": 10,
    "iterations": 10,
}
CASES = [(500, 375, 4), (500, 375, 21), (1280, 960, 5), (4000, 3000, 3), (500, 375, 171)]
# Photos a round: fewer where one takes a minute.
PHOTOS = {(500, 375, 4): 8, (500, 375, 21): 4, (1280, 960, 5): 2}
# Part of a core that others may use during a turn, and the seconds for which turns are repeated to have it so.
QUIET, PATIENCE = 0.1, 45
Q = Callable[[np.ndarray, np.ndarray], np.ndarray]


def photos(tar: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Name, RGB pixels, and the ground truth where there is one."""
    with tarfile.open(tar) as archive:
        members = {Path(m.name).parent.name + "/" + Path(m.name).name: m for m in archive.getmembers() if m.isfile()}

        def pixels(key: str) -> Image.Image:
            file = archive.extractfile(members[key])
            assert file is not None
            return Image.open(BytesIO(file.read()))

        for key in sorted(key for key in members if key.startswith("JPEGImages/")):
            stem = Path(key).stem
            mask = f"SegmentationClassAug/{stem}.png"
            truth = np.array(pixels(mask)) if mask in members else None
            yield stem, np.array(pixels(key).convert("RGB")), truth


def stand_in(image: np.ndarray, labels: int) -> np.ndarray:
    """Softmax score maps (C, h, w): distance to each of C colours of the photo, smoothed as the method smooths."""
    height, width, _ = image.shape
    small = cv2.resize(image, (80, 60), interpolation=cv2.INTER_AREA).reshape(-1, 3).astype(np.float32)
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0.0)
    _, _, colours = cv2.kmeans(small, labels, np.empty(0, np.int32), criteria, 1, cv2.KMEANS_PP_CENTERS)
    maps = np.empty((labels, height, width), np.float32)
    for c, colour in enumerate(colours):
        near = np.exp(-((image.astype(np.float32) - colour) ** 2).sum(axis=2) / (2 * 40**2))
        maps[c] = cv2.GaussianBlur(near, (0, 0), 0.05 * max(height, width) / 4)
        maps[c] = (maps[c] - maps[c].min()) / max(float(np.ptp(maps[c])), 1e-6)
    powers = np.exp(maps)
    return powers / powers.sum(axis=0)


def theirs(image: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    import pydensecrf.densecrf
    from pydensecrf.utils import unary_from_softmax

    labels, height, width = probabilities.shape
    crf = pydensecrf.densecrf.DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(np.ascontiguousarray(unary_from_softmax(probabilities)))
    crf.addPairwiseGaussian(sxy=PRESET["sxy"], compat=PRESET["compat"])
    crf.addPairwiseBilateral(
        sxy=PRESET["bilateral_sxy"], srgb=PRESET["srgb"], rgbim=image, compat=PRESET["bilateral_compat"]
    )
    return np.array(crf.inference(PRESET["iterations"]), dtype=np.float32).reshape(labels, height, width)


def ours(threads: int) -> Q:
    terms = [
        Gaussian(PRESET["sxy"], PRESET["compat"]),
        Bilateral(PRESET["bilateral_sxy"], PRESET["srgb"], PRESET["bilateral_compat"]),
    ]

    def infer(image: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        crf = DenseCRF(image, terms, threads=threads)
        return crf.infer(probabilities=probabilities, iterations=PRESET["iterations"]).q

    return infer


def methods(threads: list[int]) -> dict[str, Q]:
    return {"pydensecrf2": theirs, **{f"pnpovss, {n} thread{'s' * (n > 1)}": ours(n) for n in threads}}


def real_scores(arguments: argparse.Namespace) -> Callable[[str, np.ndarray, np.ndarray | None], np.ndarray | None]:
    """What gives a photo's score maps (C, h, w), or None for a photo to leave out."""
    if arguments.scores:

        def from_file(stem: str, image: np.ndarray, truth: np.ndarray | None) -> np.ndarray | None:
            path = arguments.scores / f"{stem}.npz"
            if not path.is_file():
                return None
            with np.load(path) as saved:
                background = [saved["background_score"][None]] if "background_score" in saved else []
                return np.concatenate([*background, saved["scores"]])

        return from_file
    if arguments.model:
        from pnpovss import Segmenter
        from pnpovss.datasets.names import bundled_names

        segmenter = Segmenter.from_pretrained(arguments.model, without=["presence", "crf"], local_files_only=True)
        names = bundled_names("voc2012")

        def from_model(stem: str, image: np.ndarray, truth: np.ndarray | None) -> np.ndarray | None:
            assert truth is not None
            present = [names[i - 1] for i in np.unique(truth) if 0 < i <= len(names)]
            result = segmenter(image, present)
            background = [] if result.background_score is None else [result.background_score[None]]
            return np.concatenate([*background, result.scores]).astype(np.float32)

        return from_model
    return lambda stem, image, truth: stand_in(image, 4)


def agree(arguments: argparse.Namespace) -> None:
    scores = real_scores(arguments)
    kind = f"--scores {arguments.scores.name}" if arguments.scores else arguments.model or "stand-in (4 colours)"
    rows, infer = [], ours(2)
    chosen = list(photos(arguments.photos))
    every = -(-len(chosen) // arguments.limit) if arguments.limit else 1
    for stem, image, truth in chosen[::every]:
        probabilities = scores(stem, image, truth)
        if probabilities is None:
            continue
        a, b = infer(image, probabilities), theirs(image, probabilities)
        apart = np.abs(a - b)
        rows.append(
            {
                "photo": stem,
                "labels": len(a),
                "pixels": a[0].size,
                "unequal": int((a.argmax(axis=0) != b.argmax(axis=0)).sum()),
                "q_max": float(apart.max()),
                "q_mean": float(apart.mean()),
                "moved": float((probabilities.argmax(axis=0) != b.argmax(axis=0)).mean()),
            }
        )
    pixels, unequal = (sum(row[key] for row in rows) for key in ("pixels", "unequal"))
    worst = max(rows, key=lambda row: row["unequal"] / row["pixels"])
    lines = [
        f"Score maps: {kind}. {len(rows)} photos, {pixels:,} pixels, {min(r['labels'] for r in rows)} to "
        f"{max(r['labels'] for r in rows)} labels; settings {PRESET}.",
        "",
        "| | |",
        "|---|---|",
        f"| pixels with the same label as pydensecrf2 | {100 * (1 - unequal / pixels):.5f}% ({unequal} differ) |",
        f"| worst photo | {100 * (1 - worst['unequal'] / worst['pixels']):.4f}% ({worst['photo']}) |",
        f"| largest difference of Q anywhere | {max(row['q_max'] for row in rows):.2e} |",
        f"| photos with Q within 1e-3 everywhere | {sum(row['q_max'] < 1e-3 for row in rows)} of {len(rows)} |",
        f"| mean difference of Q | {statistics.mean(row['q_mean'] for row in rows):.2e} |",
        f"| pixels whose label the CRF changed | {100 * statistics.mean(row['moved'] for row in rows):.1f}% |",
    ]
    report(arguments.out, "Dense CRF: agreement with pydensecrf2", lines, rows)


def speed(arguments: argparse.Namespace) -> None:
    choices = methods(arguments.threads)
    measured: dict[str, list[dict[str, Any]]] = {}
    for case in [CASES[number - 1] for number in arguments.cases]:
        width, height, labels = case
        inputs = list(case_inputs(arguments.photos, case))
        for method in choices.values():  # Compiled and paged in before anything is timed.
            method(inputs[0][0][:40, :50].copy(), inputs[0][1][:, :40, :50].copy())
        seconds: dict[str, list[float]] = {name: [] for name in choices}
        processor: dict[str, list[float]] = {name: [] for name in choices}
        disturbed = 0
        for _ in range(arguments.rounds if width * height * labels < 5e6 else 1):
            for image, probabilities in inputs:
                turn, quiet = quiet_turn(choices, image, probabilities)
                disturbed += not quiet
                for name, (wall, used) in turn.items():
                    seconds[name].append(wall)
                    processor[name].append(used)
        for name, times in seconds.items():
            row = {
                "case": title(case),
                "method": name,
                "seconds": statistics.median(times),
                "ratio": median_ratio(seconds["pydensecrf2"], times),
                "cpu_seconds": statistics.median(processor[name]),
                "cpu_ratio": median_ratio(processor["pydensecrf2"], processor[name]),
                "runs": len(times),
                "disturbed": disturbed,
                "peak_mib": peak(arguments.photos, case, name),
            }
            measured.setdefault(row["case"], []).append(row)
            print(json.dumps(row), flush=True)
    rows = [row for case in CASES for row in measured.get(title(case)) or former_rows(arguments.out, title(case))]
    lines = [
        "Wall seconds an image, set-up of the filters included, median over photos and rounds; the methods take turns",
        "on each photo, and the ratio is the median of the ratios within a turn. A turn during which other processes",
        f"took more than {QUIET:.0%} of a core is repeated, for up to {PATIENCE} s; disturbed: those that stayed so. "
        "Peak memory: of a",
        "process that does this once, beyond what it held with its inputs loaded. VOC photos, enlarged for larger",
        f"cases, and stand-in score maps; settings {PRESET}.",
        "",
        "Cases that the command leaves out (--cases) are from the run before.",
        "",
        "| case | method | seconds | times as fast | CPU seconds | times less | peak memory, MiB | runs | disturbed |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            "| {case} | {method} | {seconds:.3f} | {ratio:.1f} | {cpu_seconds:.3f} | {cpu_ratio:.1f} ".format(**row)
            + "| {peak_mib:.0f} | {runs} | {disturbed} |".format(**row)
            for row in rows
        ),
    ]
    report(arguments.out, "Dense CRF: speed against pydensecrf2", lines, rows)


def title(case: tuple[int, int, int]) -> str:
    return "{} x {}, {} labels".format(*case)


def former_rows(out: Path | None, case: str) -> list[dict[str, Any]]:
    """What an earlier run wrote of this case."""
    file = out.with_suffix(".json") if out else None
    return [row for row in json.loads(file.read_text()) if row["case"] == case] if file and file.is_file() else []


def quiet_turn(
    choices: dict[str, Q], image: np.ndarray, probabilities: np.ndarray
) -> tuple[dict[str, tuple[float, float]], bool]:
    """Wall and CPU seconds of each method, of a turn in which the machine did little else; and whether it was one.

    Where no turn was, the one with the least else.
    """
    turns, first = [], time.perf_counter()
    while not turns or time.perf_counter() - first < PATIENCE:
        turn: dict[str, tuple[float, float]] = {}
        began, elsewhere = time.perf_counter(), _busy_elsewhere()
        for name, method in choices.items():
            start, used = time.perf_counter(), time.process_time()
            method(image, probabilities)
            turn[name] = time.perf_counter() - start, time.process_time() - used
        others = (_busy_elsewhere() - elsewhere) / (time.perf_counter() - began)
        turns.append((others, turn))
        if others <= QUIET:
            break
        time.sleep(2)
    others, turn = min(turns, key=lambda pair: pair[0])
    return turn, others <= QUIET


def _busy_elsewhere() -> float:
    """CPU seconds that others have used since the start, the host's included (Linux; else 0)."""
    file = Path("/proc/stat")
    if not file.is_file():
        return 0.0
    user, nice, system, _, _, irq, softirq, steal = map(int, file.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - time.process_time()


def median_ratio(baseline: list[float], times: list[float]) -> float:
    return statistics.median(b / t for b, t in zip(baseline, times, strict=True))


def case_inputs(tar: Path, case: tuple[int, int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    width, height, labels = case
    wide = (image for _, image, _ in photos(tar) if image.shape[1] == 500 and image.shape[0] >= 333)
    for _ in range(PHOTOS.get(case, 1)):
        image = np.ascontiguousarray(cv2.resize(next(wide), (width, height), interpolation=cv2.INTER_CUBIC))
        yield image, stand_in(image, labels)


def peak(tar: Path, case: tuple[int, int, int], method: str) -> float:
    """MiB that one run adds to a fresh process's peak."""
    command = [sys.executable, __file__, "peak", str(tar), "--case", *map(str, case), "--method", method]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def measure_peak(arguments: argparse.Namespace) -> None:
    threads = 2 if "2 thread" in arguments.method else 1
    method = methods([threads])[arguments.method]
    image, probabilities = next(case_inputs(arguments.photos, tuple(arguments.case)))
    method(image[:40, :50].copy(), probabilities[:, :40, :50].copy())
    Path("/proc/self/clear_refs").write_text("5")  # The peak so far is forgotten (Linux).
    before = _peak_kib()
    method(image, probabilities)
    print((_peak_kib() - before) / 1024)


def _peak_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def report(out: Path | None, title: str, lines: list[str], rows: list[dict[str, Any]]) -> None:
    command = " ".join(["python benchmarks/crf.py", *map(_plain, sys.argv[1:])])
    load = os.getloadavg()[0]
    head = [
        f"# {title}",
        "",
        f"`{command}`, {date.today()}, {_processor()},",
        f"{os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__};",
        f"load average at the end {load:.1f}.",
        "",
    ]
    if load > 1.5 * (os.cpu_count() or 1) and "disturbed" not in rows[0]:  # Speed tells its disturbed turns itself.
        head += [
            "**The machine was busy with other work.** Wall seconds are not to be relied on, two threads could not be",
            "judged, and CPU seconds carry the contention for caches alone.",
            "",
        ]
    text = "\n".join([*head, *lines]) + "\n"
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".md").write_text(text)
        out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


def _plain(argument: str) -> str:
    """Folders are the machine's own business."""
    return Path(argument).name if argument.startswith("/") else argument


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("agree", agree), ("speed", speed), ("peak", measure_peak)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("photos", type=Path)
        if name == "agree":
            command.add_argument("--scores", type=Path)
            command.add_argument("--model")
            command.add_argument("--limit", type=int, help="at most so many photos, spread over all")
        if name == "speed":
            command.add_argument("--threads", type=int, nargs="+", default=[1, 2])
            command.add_argument("--rounds", type=int, default=3)
            numbers = range(1, len(CASES) + 1)
            command.add_argument("--cases", type=int, nargs="+", choices=numbers, default=list(numbers))
        if name == "peak":
            command.add_argument("--case", type=int, nargs=3)
            command.add_argument("--method")
        else:
            command.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
