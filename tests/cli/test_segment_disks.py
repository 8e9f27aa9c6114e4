"""`pnpovss segment` on real disks: one that fills up, and photos that cannot be read; in namespaces of their own."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program_calls import files, save_flag

PHOTOS = 12
SEGMENT = f"{sys.executable} -m tests.support.program segment in --names red --model fake --without dropout,blur,crf"
ALONE = ("unshare", "--user", "--map-root-user", "--mount")
EACH = (".json", ".labels.png", ".overlay.png")


def may(*command: str) -> bool:
    """Whether this machine lets anybody have a namespace."""
    return bool(shutil.which("unshare")) and subprocess.run([*command, "true"], capture_output=True).returncode == 0


def shell(script: str, folder: Path, namespace: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*namespace, "sh", "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.skipif(not may(*ALONE), reason="no namespaces here")
def test_a_disk_that_fills_up_costs_the_photos_that_met_it(tmp_path: Path):
    """40 KiB hold three photos of three files; then there is room, and the same command does the others."""
    for i in range(PHOTOS):
        save_flag(tmp_path / "in" / f"{i}.png")
    (tmp_path / "out").mkdir()
    done = shell(
        f"""
        mount -t tmpfs -o size=40k tmpfs out || exit 3
        {SEGMENT} --out out; echo first $?; cp -a out full
        mount -o remount,size=10m out
        {SEGMENT} --out out; echo second $?; cp -a out whole
        """,
        tmp_path,
        ALONE,
    )
    assert done.stdout.split() == ["first", "1", "second", "0"], done.stderr
    assert "No space left on device; check the folder, its permissions and its space" in done.stderr
    whole = {name.removesuffix(".json") for name in files(tmp_path / "full") if name.endswith(".json")}
    assert 1 <= len(whole) < PHOTOS
    assert files(tmp_path / "full") == {f"{stem}{suffix}" for stem in whole for suffix in EACH}
    assert f"{PHOTOS - len(whole)} photos done, {len(whole)} finished before" in done.stderr
    assert files(tmp_path / "whole") == {f"{i}{suffix}" for i in range(PHOTOS) for suffix in EACH}


@pytest.mark.skipif(not may("unshare", "--user"), reason="no namespaces here")
def test_photos_that_cannot_be_read_fail_alone(tmp_path: Path):
    """In a namespace that does not know the user, permissions hold for root, too."""
    for name in ("good.png", "locked.png"):
        save_flag(tmp_path / "in" / name)
    (tmp_path / "in" / "locked.png").chmod(0)
    (tmp_path / "in" / "folder.png").mkdir()
    (tmp_path / "in" / "empty.jpg").touch()
    (tmp_path / "in" / "nowhere.png").symlink_to("gone.png")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    done = shell(f"{SEGMENT} --out out", tmp_path, ("unshare", "--user"))
    assert done.returncode == 1, done.stderr
    for says in (
        "locked.png may not be read by this user; change its permissions",
        "empty.jpg is empty (0 bytes); get a complete copy",
        "nowhere.png does not exist",
        "pipe.png is a device or pipe; save the photo to a file first",
        "1 photo done, 4 failed",
    ):
        assert says in done.stderr
    assert {f"good{suffix}" for suffix in EACH} <= files(tmp_path / "out")
    assert not (tmp_path / "out" / "locked.failed").exists()  # tried again as soon as it may be read
    assert stat.S_ISFIFO((tmp_path / "in" / "pipe.png").stat().st_mode)
