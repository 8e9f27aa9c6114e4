"""What the service holds: cold start, memory, a second word, a slider, and 200 clients at once beside a plain loop.

    python -m benchmarks.service [--seconds 120] [--out benchmarks/results/service.md]

`pnpovss serve` runs with `mini` as a process of its own, its clients in this one, both on the same cores. Every request
brings a photo that the service has not seen: the example photos, cut and packed anew. The plain loop is one process
that segments the same photos by the same names, one after the other, and makes the same record of each, with one thread
and with one per core; what it is compared with is the better of the two. It runs before and, the better one, after. A
client that is refused (429) waits as long as it is told, then asks again.
"""

import argparse
import asyncio
import io
import itertools
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import psutil
from PIL import Image

from tests.support.serving import Served, served

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = ["cat", "cup", "woman", "grass"]
PHOTOS = 300
RAMP = ((1, 0.1), (8, 0.12), (32, 0.15), (200, 1.0))  # clients, part of the seconds
AGAIN = 15  # photos that more is asked of
WORDS = (("cat", "ear"), ("woman", "flag"), ("cup", "table"))  # of the three example photos in turn

LOOP = """
import json, pickle, sys, time
import torch
torch.set_num_threads(int(sys.argv[4]))
from pnpovss import Segmenter
from pnpovss.files.json import to_json
photos, names = pickle.load(open(sys.argv[1], "rb")), sys.argv[2].split(", ")
segmenter = Segmenter.from_pretrained("mini")
for photo in photos[:3]:
    segmenter(photo, names, name_match=True)
begun, busy, done = time.monotonic(), time.process_time(), 0
while time.monotonic() - begun < float(sys.argv[3]):
    to_json(segmenter(photos[done % len(photos)], names, name_match=True).to_dict())
    done += 1
print(json.dumps([done / (time.monotonic() - begun), (time.process_time() - busy) / done]))
"""


def photos() -> Iterator[bytes]:
    """JPEG files, each another cut of an example photo, about 450 x 350 pixels."""
    rng = np.random.default_rng(0)
    sources = [Image.open(EXAMPLES / name).convert("RGB") for name in ("cat.jpg", "astronaut.jpg", "coffee.jpg")]
    for source in itertools.cycle(sources):
        width, height = (int(extent * rng.uniform(0.85, 1)) for extent in source.size)
        left, top = (
            int(rng.uniform(0, full - cut + 1)) for full, cut in zip(source.size, (width, height), strict=True)
        )
        file = io.BytesIO()
        source.crop((left, top, left + width, top + height)).save(file, "JPEG", quality=88)
        yield file.getvalue()


def request(photo: bytes | str, names: list[str] = NAMES, **fields: str) -> bytes:
    """A request for masks, as bytes; a photo by its content or its id."""
    parts = {"names": json.dumps(names), **fields}
    if isinstance(photo, str):
        parts["photo_id"] = photo
    body = b"".join(
        f'--limit\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in parts.items()
    )
    if isinstance(photo, bytes):
        head = b'--limit\r\ncontent-disposition: form-data; name="photo"; filename="p.jpg"\r\n\r\n'
        body += head + photo + b"\r\n"
    body += b"--limit--\r\n"
    head = (
        "POST /v1/segment HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        f"content-type: multipart/form-data; boundary=limit\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Answers:
    """What clients were answered.

    Attributes:
        statuses: how often each HTTP status came; 0 where the connection broke.
        seconds: of each photo that was segmented, from the request that was accepted to the end of its answer.
        patience: the same from the first try, refusals and waiting included.
        odd: what came that was neither masks nor a refusal, in words.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    patience: list[float] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)


async def send(port: int, content: bytes) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers, body; status 0, and why, where the connection broke."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(content)
        await writer.drain()
        answer = await reader.read()
        writer.close()
    except OSError as error:
        return 0, {}, f"{type(error).__name__}: {error}".encode()
    if not answer:
        return 0, {}, b"closed without an answer"
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, body


async def client(port: int, contents: Iterator[bytes], end: float, answers: Answers) -> None:
    """Ask until the end, politely."""
    while time.monotonic() < end:
        content, first = next(contents), time.monotonic()
        while True:
            begun = time.monotonic()
            status, headers, body = await send(port, content)
            answers.statuses[status] += 1
            if status == 429 and time.monotonic() < end:
                await asyncio.sleep(float(headers["retry-after"]))
                continue
            if status == 200:
                answers.seconds.append(time.monotonic() - begun)
                answers.patience.append(time.monotonic() - first)
            elif status != 429:
                answers.odd.append(f"{status}: {body[:200].decode('utf-8', 'replace')}")
            break


def load(port: int, files: list[bytes], clients: int, seconds: float) -> tuple[Answers, float]:
    """So many clients for so long; what they were answered, and photos per second until the last answer."""
    contents, answers = itertools.cycle([request(file) for file in files]), Answers()

    async def run() -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(client(port, contents, end, answers) for _ in range(clients)))

    begun = time.monotonic()
    asyncio.run(run())
    return answers, len(answers.seconds) / (time.monotonic() - begun)


class Loop(NamedTuple):
    """The plain loop: its threads, photos per second, processor seconds per photo."""

    threads: int
    rate: float
    busy: float


def loop(files: list[bytes], seconds: float, threads: int) -> Loop:
    """Run it."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pickle.dumps(files))
        call = [sys.executable, "-c", LOOP, file.name, ", ".join(NAMES), str(seconds), str(threads)]
        done = subprocess.run(call, capture_output=True, text=True, check=True)
        return Loop(threads, *json.loads(done.stdout))


def again(port: int, files: list[bytes]) -> dict[str, list[float]]:
    """Milliseconds of what is asked a second time about photos that are remembered."""
    found: dict[str, list[float]] = {}

    def timed(kind: str, content: bytes) -> dict[str, str]:
        begun = time.monotonic()
        status, headers, body = asyncio.run(send(port, content))
        assert status == 200, body
        found.setdefault(kind, []).append(1000 * (time.monotonic() - begun))
        computed = re.search(r"compute;dur=([\d.]+)", headers["server-timing"])
        found.setdefault(f"{kind}, computing alone", []).append(float(computed[1]) if computed else np.nan)
        return headers

    for i, file in enumerate(files):
        first, second = WORDS[i % len(WORDS)]
        looked_for = {"presence": None}  # whether or not the model holds them to be there
        photo = timed("a new photo, one word", request(file, [first], settings=json.dumps(looked_for)))["photo-id"]
        settings = json.dumps(looked_for)
        timed("a second word", request(photo, [first, second], outputs="view", settings=settings))
        settings = json.dumps({**looked_for, "threshold": 0.11 + i / 100})
        timed("a slider: the threshold", request(photo, [first, second], outputs="view", settings=settings))
        settings = json.dumps({**looked_for, "crf.iterations": 5})
        timed("a slider: iterations of the CRF", request(photo, [first, second], outputs="view", settings=settings))
    return found


class Watch:
    """The memory of a process, looked at twice a second."""

    def __init__(self, process: int) -> None:
        self.process, self.most, self.ended = psutil.Process(process), 0, False
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        while not self.ended:
            self.most = max(self.most, self.now())
            time.sleep(0.5)

    def busy(self) -> float:
        """Processor seconds that it took so far."""
        times = self.process.cpu_times()
        return times.user + times.system

    def now(self) -> int:
        """What it takes at this moment [bytes]."""
        return self.process.memory_info().rss


class Row(NamedTuple):
    """So many clients for so long [s]: their answers, photos per second, the service's processor seconds per photo."""

    clients: int
    long: float
    answers: Answers
    rate: float
    busy: float


def measure(seconds: float) -> str:
    """All of it, as Markdown."""
    files, cores = list(itertools.islice(photos(), PHOTOS)), len(psutil.Process().cpu_affinity())
    loops = [loop(files, seconds / 6, threads) for threads in sorted({1, cores})]
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as service:
        port, watch = urlsplit(service.url).port or 0, Watch(service.process.pid)
        rest = watch.now()
        asyncio.run(send(port, request(files[-1])))
        second = again(port, files[-AGAIN:])
        rows = []
        for clients, part in RAMP:
            before_it = watch.busy()
            answers, rate = load(port, files, clients, part * seconds)
            busy = (watch.busy() - before_it) / max(1, len(answers.seconds))
            rows.append(Row(clients, part * seconds, answers, rate, busy))
        watch.ended = True
        end = watch.now()
    best = max(loops, key=lambda each: each.rate)
    loops.append(loop(files, seconds / 6, best.threads))
    return page(service, loops, second, rows, (rest, watch.most, end))


def page(
    service: Served, loops: list[Loop], second: dict[str, list[float]], rows: list[Row], memory: tuple[int, int, int]
) -> str:
    """What was measured, as Markdown."""
    rate, day = max(each.rate for each in loops), time.strftime("%Y-%m-%d")
    rest, most, end = (f"{size / 1e6:.0f} MB" for size in memory)
    tried = "\n".join(
        f"| {one.threads} | {when} | {one.rate:.2f} | {one.busy:.2f} |"
        for one, when in zip(loops, ["before"] * (len(loops) - 1) + ["after"], strict=True)
    )
    told = f"""\
# The service under load

`python -m benchmarks.service`, {day}, mini, {psutil.cpu_count()} cores, which clients and service share; photos of
about 450 x 350 pixels, {len(NAMES)} names, each photo new to the service.

Cold start: it listens after {service.listened:.1f} s and is ready after {service.cold:.1f} s. Memory at rest {rest},
at most {most} under load, {end} after it; up to 512 MB of it are what is remembered of photos.

| threads of the plain loop | beside the service's run | photos/s | CPU s per photo |
|---|---|---|---|
{tried}

"Of the loop" is of its best, {rate:.2f} photos/s. p50 and p95 are seconds from the request that was accepted to the end
of its answer; the second pair counts from the first try, refusals and waiting included. CPU seconds are those of the
service, refusals included.

| clients | for [s] | photos/s | of the loop | CPU s per photo | p50 | p95 | p50 | p95 | 429 | neither 200 nor 429 |
|---|---|---|---|---|---|---|---|---|---|---|"""
    lines = told.splitlines()
    for clients, long, answers, made, busy in rows:
        times = [*np.percentile(answers.seconds, (50, 95)), *np.percentile(answers.patience, (50, 95))]
        shown = " | ".join(f"{value:.2f}" for value in times)
        ratio, refused = f"{made / rate:.2f} | {busy:.2f}", answers.statuses[429]
        lines.append(f"| {clients} | {long:.0f} | {made:.2f} | {ratio} | {shown} | {refused} | {len(answers.odd)} |")
    lines += [f"\n{count} x `{odd}`" for odd, count in Counter(odd for row in rows for odd in row.answers.odd).items()]
    lines += ["", "| one client, a photo that is remembered | median [ms] | p95 [ms] |", "|---|---|---|"]
    for what, times in second.items():
        lines.append(f"| {what} | {np.median(times):.0f} | {np.percentile(times, 95):.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the table."""
    os.environ.pop("OMP_NUM_THREADS", None)  # both choose their threads themselves
    parser = argparse.ArgumentParser(description="What the service holds.")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    text = measure(arguments.seconds)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
