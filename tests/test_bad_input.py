"""Whatever a person may get wrong, through the program: refused or handled, never half done, never the others' end."""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pnpovss.backbones import registry
from pnpovss.batch.pipeline import WRITERS
from pnpovss.cli.main import app
from tests.support.fakes import colour_backbone, fake_spec
from tests.support.photos import blank_png

FAST = ("--model", "fake", "--without", "dropout,blur,crf")
PROGRAM = (sys.executable, "-m", "tests.support.program")


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(registry._backbones._specs, "fake", fake_spec(colour_backbone()))


def call(*arguments: object, names: str = "red, blue"):
    return CliRunner().invoke(app, ["segment", *map(str, arguments), "--names", names, *FAST])


def flag(path: Path, side: int = 32) -> Path:
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[:, : side // 2, 0], pixels[:, side // 2 :, 2] = 255, 255
    Image.fromarray(pixels).save(path)
    return path


def labels(folder: Path, stem: str) -> np.ndarray:
    with Image.open(folder / f"{stem}.labels.png") as image:
        return np.asarray(image)


def whole_sets(folder: Path) -> int:
    """Count the photos done; every file there must be readable, and belong to a complete set."""
    records = list(folder.glob("*.json"))
    for record in records:
        for file in json.loads(record.read_text())["files"]:
            assert (folder / file["file"]).exists()
    for picture in folder.glob("*.png"):
        with Image.open(picture) as image:
            image.load()
    assert not list(folder.glob(".*")), "temporary files are left"
    return len(records)


def test_one_run_over_everything_bad_does_the_good_ones(tmp_path: Path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    flag(photos / "a-good.png")
    flag(photos / "z-good.png")
    (photos / "empty.jpg").touch()
    (photos / "text.jpg").write_text("this is not a photo")
    flag(photos / "whole.jpg", 64)
    (photos / "truncated.jpg").write_bytes((photos / "whole.jpg").read_bytes()[:400])
    (photos / "whole.jpg").unlink()
    blank_png(photos / "huge.png", 30_000, 30_000)
    done = call(photos, photos / "missing.jpg", "--out", out)
    assert done.exit_code == 1
    assert "2 photos done, 5 failed" in done.stderr
    for name, says in {
        "empty.jpg": "is empty (0 bytes)",
        "text.jpg": "is no photo: it seems to be text",
        "truncated.jpg": "is damaged or incomplete",
        "huge.png": "30,000 x 30,000 = 900,000,000 pixels, more than the limit",
        "missing.jpg": "does not exist",
    }.items():
        [line] = [line for line in done.stderr.splitlines() if name in line]
        assert says in line
    assert "Traceback" not in done.output
    assert whole_sets(out) == 2
    noted = {
        "text.failed",
        "truncated.failed",
        "huge.failed",
    }  # what is empty or missing may be otherwise the next time
    assert {path.name for path in out.iterdir() if not path.name.startswith(("a-good.", "z-good."))} == noted


def test_unusual_photos_are_handled(tmp_path: Path):
    Image.new("RGB", (1, 1), "red").save(tmp_path / "dot.png")
    Image.new("RGB", (400, 1), "red").save(tmp_path / "line.png")
    with Image.open(flag(tmp_path / "rgb.png")) as rgb:
        rgb.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
        rgb.convert("RGBA").save(tmp_path / "alpha.png")
        rgb.save(tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", rgb.size)])
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned a quarter to the right: red comes on top
        rgb.crop((0, 0, 32, 16)).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(np.linspace(0, 65535, 1024).reshape(32, 32).astype(np.uint16)).save(tmp_path / "deep.png")
    out = tmp_path / "out"
    photos = [path for path in sorted(tmp_path.iterdir()) if path.is_file()]
    done = call(*photos, "--out", out)
    assert done.exit_code == 0, done.output
    assert whole_sets(out) == len(photos) == 8
    assert labels(out, "dot").tolist() == [[1]]
    assert labels(out, "line").shape == (1, 400)
    assert (labels(out, "rgb")[:, [2, 29]] == [1, 2]).all()
    for stem in ("cmyk", "alpha", "moving"):
        assert (labels(out, stem)[:, [2, 29]] == [1, 2]).all(), stem
    turned = labels(out, "turned")
    assert turned.shape == (32, 16)
    assert (turned[[2, 29]].T == [1, 2]).all()
    assert labels(out, "deep").shape == (32, 32)
    assert "moving.gif is an animation" in done.stderr


def test_photos_that_are_not_read_do_not_vanish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # the extra is not there
    flag(tmp_path / "good.png")
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    (tmp_path / "new.jxl").write_bytes(b"\xff\x0a" + bytes(30))
    done = call(tmp_path, "--out", tmp_path / "out")
    assert done.exit_code == 1, done.output
    assert "1 photo done, 2 failed" in done.stderr
    assert (
        "IMG_1.HEIC is a HEIC photo; reading it needs an optional package: pip install 'pnpovss[heif]'" in done.stderr
    )
    assert "new.jxl is no photo: it is a JPEG XL photo, which is not read; convert it to PNG" in done.stderr


def test_the_pixel_limit_is_an_option(tmp_path: Path):
    photo = flag(tmp_path / "flag.png")
    done = call(photo, "--out", tmp_path, "--max-pixels", 1000)
    assert done.exit_code == 1
    assert "more than the limit of 1,000" in done.stderr
    assert call(photo, "--out", tmp_path, "--max-pixels", 1024).exit_code == 0


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("", "no names were given"),
        ("red, , blue", "an empty name"),
        ("red, blue, RED", "name 'RED' is the same word as in 'red'"),
        ("red, red", "named twice"),
        (
            " ".join(["very"] * 60) + " red",
            "is too long: 66 tokens with the prompt around it, the text encoder takes 35",
        ),
    ],
)
def test_names_that_cannot_be_asked_for_end_the_run_at_once(tmp_path: Path, names: str, says: str):
    photo = flag(tmp_path / "flag.png")
    done = call(photo, flag(tmp_path / "other.png"), "--out", tmp_path / "out", names=names)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("out/*"))


def test_emoji_and_other_scripts_reach_every_file(tmp_path: Path):
    done = call(flag(tmp_path / "flag.png"), "--out", tmp_path, "--heatmaps", names="red, 🐱, Кошка, 猫")
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "flag.json").read_text())
    assert [name["name"] for name in record["names"]] == ["red", "🐱", "Кошка", "猫"]
    assert "🐱" in done.stdout
    assert whole_sets(tmp_path) == 1


def test_a_file_name_that_is_no_text(tmp_path: Path):
    photo = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    shutil.copy(flag(tmp_path / "flag.png"), photo)
    done = subprocess.run(
        [*PROGRAM, "segment", photo, "--names", "red", "--json", "-", "--out", tmp_path / "out", *FAST],
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["photo"] == str(photo)


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder anyone may use, and none of root's powers while in it."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_no_permission(tmp_path: Path):
    assert call(flag(tmp_path / "warm-up.png"), "--out", tmp_path).exit_code == 0  # nobody may not import from here
    with as_nobody() as folder:
        photo, secret, locked = flag(folder / "flag.png"), flag(folder / "secret.png"), folder / "locked"
        secret.chmod(0)
        locked.mkdir(mode=0o500)
        done = call(secret, photo, "--out", folder)
        assert done.exit_code == 1
        assert "secret.png may not be read by this user" in done.stderr
        assert (folder / "flag.json").exists()
        for out in (locked, locked / "deeper"):
            done = call(photo, "--out", out)
            assert done.exit_code == 2
            assert f"cannot write into the folder {out}: Permission denied; choose another with --out" in done.stderr
        assert list(locked.iterdir()) == []


def test_no_space_on_the_disk(tmp_path: Path):
    """With a limit on file sizes in place of a full disk: the same refusal, half way through the write."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    flag(tmp_path / "small.png")
    out = tmp_path / "out"
    done = subprocess.run(
        [*PROGRAM, "segment", tmp_path / "large.png", tmp_path / "small.png", "--names", "red", "--out", out, *FAST],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
    )
    assert done.returncode == 1, done.stderr
    assert "large.overlay.png: File too large; check the folder, its permissions and its space" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "small.labels.png",
        "small.overlay.png",
        "small.json",
    }


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no small disk to be had: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk(tmp_path: Path, small_disk: Path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    done = call(tmp_path / "large.png", flag(tmp_path / "small.png"), "--out", small_disk)
    assert done.exit_code == 1
    assert "large.overlay.png: No space left on device" in done.stderr
    assert whole_sets(small_disk) == 1


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """120 photos, 10 to a folder."""
    flag(tmp_path / "flag.png", 256)
    for i in range(120):
        folder = tmp_path / "photos" / f"{i // 10:02}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "flag.png", folder / f"{i % 10}.png")
    return tmp_path / "photos"


def start(photos: Path, out: Path, *options: object) -> "subprocess.Popen[str]":
    call = [*PROGRAM, "segment", photos, "--recursive", "--names", "red, blue", "--out", out, *FAST, *options]
    return subprocess.Popen(list(map(str, call)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finished(out: Path) -> dict[Path, int]:
    """When each record was written; every set that has one is complete."""
    records = {path: path.stat().st_mtime_ns for path in out.rglob("*.json")}
    for record in records:
        for file in json.loads(record.read_text())["files"]:
            content = (record.parent / file["file"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == file["sha256"], record
    return records


def wait_for(process: "subprocess.Popen[str]", out: Path, count: int):
    deadline = time.monotonic() + 200
    while len(list(out.rglob("*.json"))) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_run_leaves_whole_files(
    tmp_path: Path, many: Path, number: int, code: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PNPOVSS_TEST_PAUSE", "0.3")
    out, listed = tmp_path / "out", tmp_path / "all.json"
    process = start(many, out, "--json", listed)
    wait_for(process, out, 5)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code, said
    assert "Traceback" not in said
    done = finished(out)
    assert 5 <= len(done) < 120
    assert len(list(out.rglob(".*"))) <= 1, "but for an empty claim on the photo at hand"
    told = len(json.loads(listed.read_text())["results"])
    assert len(done) - WRITERS <= told <= len(done), "records of what was done, but for photos that were just written"


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.timeout(3600)
def test_killed_at_random_moments_a_run_ends_as_an_undisturbed_one(
    tmp_path: Path, many: Path, kills: int, monkeypatch: pytest.MonkeyPatch
):
    """Nothing lost, nothing half-written, nothing refused for ever, nothing done twice; the same bytes in the end."""
    out, chance = tmp_path / "out", random.Random(kills)
    seen: dict[Path, int] = {}
    monkeypatch.setenv("PNPOVSS_TEST_PAUSE", "0.1")
    for _ in range(kills):
        process = start(many, out)
        wait_for(process, out, len(seen) + chance.randint(1, max(1, 80 // kills)))
        time.sleep(chance.random() * 0.15)  # the pause, and what a photo takes beside it
        process.kill()
        process.communicate()
        now = finished(out)
        assert {path: now[path] for path in seen} == seen, "done twice"
        seen = now
    assert 0 < len(seen) < 120
    monkeypatch.delenv("PNPOVSS_TEST_PAUSE")
    last = start(many, out)
    _, said = last.communicate(timeout=300)
    assert last.returncode == 0, said
    assert f"{120 - len(seen)} photos done, {len(seen)} finished before" in said
    undisturbed = start(many, tmp_path / "undisturbed")
    assert undisturbed.wait() == 0
    undisturbed.communicate()
    assert tree(out) == tree(tmp_path / "undisturbed")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
